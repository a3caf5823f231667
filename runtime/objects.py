"""Where Python's objects hold what: read directly where they are as expected, asked for politely where not."""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import CONTIGUOUS, OBJECT_LAYOUT, WRITEABLE

Array = npt.NDArray[Any]


@cache
def as_expected() -> bool:
    """Whether objects lie in memory as OBJECT_LAYOUT says: CPython with its lock, 64 bits, NumPy's arrays as ever."""
    return (
        sys.implementation.name == "cpython"
        and struct.calcsize("P") == 8
        and "free-threading" not in sys.version  # sysconfig reads a file for that
        and object.__basicsize__ == 16
        and all(_lies_as_expected(array) for array in (np.zeros((2, 3)), np.zeros((3, 4, 2), np.float32)[::2]))
    )


def _lies_as_expected(array: Array) -> bool:
    def word(name: str, kind: Any) -> Any:
        return kind.from_address(id(array) + OBJECT_LAYOUT[name]).value

    dimensions = (ctypes.c_int64 * array.ndim).from_address(word("dimensions", ctypes.c_int64))
    flags = word("flags", ctypes.c_int32)
    return (
        word("type", ctypes.c_int64) == id(type(array))
        and word("data", ctypes.c_int64) == _asked(array)
        and word("rank", ctypes.c_int32) == array.ndim
        and tuple(dimensions) == array.shape
        and word("descriptor", ctypes.c_int64) == id(array.dtype)
        and bool(flags & CONTIGUOUS) == array.flags.c_contiguous
        and bool(flags & WRITEABLE) == array.flags.writeable
    )


def _asked(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _read(array: Array, word: Any = ctypes.c_size_t.from_address, place: int = OBJECT_LAYOUT["data"]) -> int:
    return word(id(array) + place).value  # type: ignore[no-any-return]


def quickest_address() -> Callable[[Array], int]:
    """A function that tells where an array's data start: 0.1 µs instead of 0.9."""
    return _read if as_expected() else _asked
