"""Rows turned over in registers: any width, rows anywhere in memory, nothing read but the rows."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numpy as np
import pytest
from edge import at_the_edge
from test_code_generation import DTYPES

from sympile.compiler.code.jit import compile_text, emit_assembly
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import TARGETS, Target, host
from sympile.compiler.code.transpose import columns_of
from sympile.compiler.code.value import Value
from sympile.compiler.code.writer import Function, Module

ELEMENT = {"float64": "double", "float32": "float"}


def turned(target: Target, element: str, lanes: int, width: int) -> str:
    """A function that writes the columns of rows, whose addresses it is given."""
    f = Function(Module(target), "turn", [("ptr", "rows"), ("ptr", "out")])
    rows, out = f.arguments
    k = Lanes(f, element, lanes, target)
    pointers: list[Value] = [f.load("ptr", f.gep("i64", rows, row), 8) for row in range(lanes)]
    for at, column in enumerate(columns_of(k, pointers, width)):
        k.store(column, f.gep(element, out, at * lanes))
    f.ret()
    return f.module.text()


def runnable() -> list[str]:
    """Rows of the table whose registers this machine has."""
    order = ["avx512", "avx2"]
    return order[order.index(host().name) :] if host().name in order else [host().name]


@pytest.mark.parametrize("width", range(1, 13))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", runnable())
def test_any_width_and_place(name: str, dtype: str, width: int) -> None:
    target = TARGETS[name]
    lanes = target.lanes(ELEMENT[dtype])
    loaded = compile_text(turned(target, ELEMENT[dtype], lanes, width), ["turn"])
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(loaded.address("turn"))
    keep: list[Any] = []
    x = at_the_edge(np.arange(3 * lanes * width, dtype=dtype).reshape(3 * lanes, width), keep)
    for chosen in (np.arange(lanes), np.random.default_rng(width).integers(0, 3 * lanes, lanes), np.full(lanes, -1)):
        pointers = x.ctypes.data + (chosen % len(x)) * x.strides[0]
        out = np.full((width + 1, lanes), -1, dtype)
        call(pointers.astype(np.int64).ctypes.data, out.ctypes.data)
        np.testing.assert_array_equal(out[:width], x[chosen].T)
        assert (out[width:] == -1).all()


@pytest.mark.parametrize(("dtype", "width"), [("float64", 8), ("float64", 10), ("float32", 8), ("float32", 10)])
def test_loads_put_rows_together(dtype: str, width: int) -> None:
    """What would exchange halves is done by instructions that take an operand from memory."""
    element, target = ELEMENT[dtype], TARGETS["avx512"]
    text = emit_assembly(turned(target, element, target.lanes(element), width), target)
    assert len(re.findall(r"vinsertf\w+\s+\$\d, (?:-?\d+)?\(%r", text)) >= width
    assert not re.search(r"vmovup[sd]\s+(?:-?\d+)?\(%r\w+\), %zmm", text)
