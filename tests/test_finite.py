"""One nan or inf in a gradient is seen wherever it is, whatever the length."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from sympile.compiler.code.jit import compile_text
from sympile.compiler.passes.training.finite import CHUNK, SUMS, finite
from sympile.compiler.pipeline import this_machine

ELEMENT = {"float64": "double", "float32": "float"}


@pytest.mark.parametrize("dtype", ELEMENT)
def test_one_number_is_seen(dtype: str) -> None:
    text = finite(ELEMENT[dtype], this_machine()).replace("define internal", "define")
    loaded = compile_text(text, ["finite"])
    ask = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int64)(loaded.address("finite"))
    for chunks in range(1, 2 * SUMS + 2):
        numbers = np.full(chunks * CHUNK, np.finfo(dtype).max, dtype)
        numbers[::2] *= -1
        assert ask(numbers.ctypes.data, len(numbers))
        for at in range(len(numbers)):
            for strange in (np.nan, np.inf, -np.inf):
                kept, numbers[at] = numbers[at], strange
                assert not ask(numbers.ctypes.data, len(numbers)), f"{strange} at {at} of {len(numbers)}"
                numbers[at] = kept
