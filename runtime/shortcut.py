"""Calls that repeat one that went well: the same shapes, checked and run by native code (compiler/passes/call.py)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import (
    ARGUMENT_WORDS,
    CALL,
    CALL_WORDS,
    POOL_SYMBOL,
    RESULT_WORDS,
)
from sympile.compiler.records import dataclass
from sympile.runtime.load import Native
from sympile.runtime.native import NativeProgram, address_of
from sympile.runtime.objects import as_expected

Way = Callable[[tuple[Any, ...], Any], Any]  # values and `out` → results, or None: take the general way
Shapes = tuple[tuple[int, ...], ...]
MOST_WAYS = 4  # sets of shapes that are kept for one function
MOST_BYTES = 1 << 20  # of buffers that one of them keeps; above, Python's part of a call is small anyway
SHORT = 5e-6  # seconds; code that takes longer lets other threads of Python run
NUMBERS = (float, int, np.float64)


@dataclass(frozen=True, slots=True)
class Argument:
    """What is demanded of one value."""

    shape: tuple[int, ...]
    slot: int | None  # where the program's table points to it; None: the code does not read it
    dtype: np.dtype[Any]
    low: int = 0
    limit: int | None = None  # integers lie in low … low+limit-1


@dataclass(frozen=True, slots=True)
class Target:
    """One result."""

    shape: tuple[int, ...]
    slot: int
    scalar: bool = False  # a new one is a NumPy scalar, not an array


class Shortcuts:
    """The quick ways of one function, the latest first."""

    __slots__ = ("_seen", "ways")

    def __init__(self) -> None:
        self.ways: tuple[Way, ...] = ()
        self._seen: set[Shapes] = set()

    def due(self, shapes: Shapes | None) -> bool:
        """Whether these shapes come again, so that a quick way pays."""
        if shapes is None or not as_expected():
            return False
        if shapes in self._seen:
            self._seen.discard(shapes)
            return True
        if len(self._seen) >= 4 * MOST_WAYS:
            self._seen.clear()
        self._seen.add(shapes)
        return False

    def add(self, way: Way | None) -> None:
        """Keeps a way, and forgets the oldest of too many."""
        if way is not None:
            self.ways = (way, *self.ways[: MOST_WAYS - 1])


def plain_shapes(values: Iterable[Any], dtypes: Iterable[np.dtype[Any]]) -> Shapes | None:
    """The shapes of values that native code can read as they are; None if one of them must be converted."""
    shapes = []
    for value, dtype in zip(values, dtypes, strict=True):
        kind = type(value)
        if kind is np.ndarray and value.dtype is dtype and value.flags.c_contiguous and value.flags.aligned:
            shapes.append(value.shape)
        elif kind in NUMBERS and dtype.kind == "f":
            shapes.append(())
        else:
            return None
    return tuple(shapes)


def taken_as_they_are(given: Iterable[Any], bound: Iterable[npt.NDArray[Any]]) -> bool:
    """Whether the arrays that the code got are the given ones: no copy, no broadcasting."""
    return all(
        type(value) is not np.ndarray or (address_of(value) == address_of(array) and value.nbytes == array.nbytes)
        for value, array in zip(given, bound, strict=True)
    )


def shortcut(
    caller: Native,
    native: NativeProgram,
    sizes: Mapping[str, int],
    arguments: Sequence[Argument],
    targets: Sequence[Target],
    alone: bool,
) -> Way | None:
    """A builtin function for these shapes, or None where its buffers would take too much memory.

    Args:
        caller: the code of compiler/passes/call.py.
        native: the program, which has run for these sizes.
        sizes: all sizes.
        arguments: one for each value, in their order.
        targets: one for each result, in their order.
        alone: whether the one result is returned itself, not in a list.
    """
    used = native.desk(sizes)
    if used.bytes > MOST_BYTES:
        return None
    desk = native.own_desk(sizes)
    dtype = np.dtype(native.program.dtype)
    shapes = [*(argument.shape for argument in arguments), *(target.shape for target in targets)]
    block = _Block(len(CALL) + sum(map(_room, shapes)))
    records = [block.argument(argument, desk.address) for argument in arguments]
    results = [block.result(target, dtype, desk.address) for target in targets]
    call = {
        "function": desk.native.address,
        "table": desk.address,
        "trouble": address_of(desk.status),
        "release": int(used.seconds > SHORT or POOL_SYMBOL in native.program.code.imports),
        "argument_count": len(arguments),
        "arguments": block.place(word for record in records for word in record),
        "result_count": len(targets),
        "results": block.place(word for record in results for word in record),
        "alone": int(alone),
        **_OBJECTS,
    }
    plan = block.place([call.get(name, 0) for name in CALL_WORDS])
    return builtin(caller, plan, (block.words, desk))


def _room(shape: tuple[int, ...]) -> int:
    """Words enough for one argument or result: its record, its shape, a number, a word that nobody reads."""
    return max(len(ARGUMENT_WORDS), len(RESULT_WORDS)) + len(shape) + 2


class _Block:
    """Memory for one plan; what is placed stays where it is."""

    def __init__(self, count: int) -> None:
        self.words = np.zeros(count, np.int64)
        self._used = 0

    def place(self, values: Iterable[int]) -> int:
        """Writes words and returns their address."""
        listed = list(values)
        start, self._used = self._used, self._used + len(listed)
        self.words[start : self._used] = listed
        return address_of(self.words) + 8 * start

    def _array(self, shape: tuple[int, ...], slot: int | None, dtype: np.dtype[Any], table: int) -> dict[str, int]:
        return {
            "word": self.place([0]) if slot is None else table + 8 * slot,
            "rank": len(shape),
            "shape": self.place(shape),
            "descriptor": id(dtype),
            "bytes": int(np.prod(shape, dtype=np.int64)) * dtype.itemsize,
        }

    def argument(self, argument: Argument, table: int) -> list[int]:
        """The words of an argument."""
        dtype = argument.dtype
        record = self._array(argument.shape, argument.slot, dtype, table)
        if dtype.kind == "f":
            number = self.place([0]) if argument.shape == () else 0
            record |= {"number": number, "narrow": int(dtype.itemsize == 4)}
        else:
            record |= {"count": record["bytes"] // dtype.itemsize, "low": argument.low, "limit": argument.limit or 0}
        return [record.get(name, 0) for name in ARGUMENT_WORDS]

    def result(self, target: Target, dtype: np.dtype[Any], table: int) -> list[int]:
        """The words of a result."""
        record = self._array(target.shape, target.slot, dtype, table)
        record |= {"kind": dtype.num, "scalar": int(target.scalar and target.shape == ())}
        return [record.get(name, 0) for name in RESULT_WORDS]


_OBJECTS = {
    "none": id(None),
    "array_type": id(np.ndarray),
    "float_type": id(float),
    "float64_type": id(np.float64),
    "integer_type": id(int),
    "list_type": id(list),
}


# ------------------------------------------------------------------------------------------------ Python's own side


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


FASTCALL = 0x0080
_NEW_BUILTIN = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)


@cache
def _method(address: int) -> _Method:
    """The description of the builtin; it must live as long as any function that is made of it."""
    return _Method(b"call", address, FASTCALL, None)


def builtin(caller: Native, plan: int, kept: tuple[Any, ...]) -> Way:
    """A builtin function that keeps its plan, and all that this points to, alive."""
    made: Way = _NEW_BUILTIN(ctypes.addressof(_method(caller.address)), (plan, caller, *kept), None)
    return made
