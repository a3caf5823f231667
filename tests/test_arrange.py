"""The order of axes of what is stored between: as who writes and who reads it want it."""

from __future__ import annotations

import pytest
from definition_world import World, f
from test_code_generation import DTYPES, assert_same, compiled, run, wanted

from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import extent
from sympile.compiler.passes.fuse import fuse

SIZES = {"n": 90, "m": 70}


def shares(w: World, down: bool) -> Definition:
    """Each exponential over the sum of those in its column, or in its row."""
    i, j = w.index("n"), w.index("m")
    x = w.input("x", "n m")
    value = f("exp", add(read(x, i, j), f("sin", read(x, i, j))))
    total = define([j], [i], "sum", value) if down else define([i], [j], "sum", value)
    return elementwise([i, j], mul(value, power(read(total, j if down else i), -1)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symbolic", [False, True], ids=["numbers", "symbols"])
@pytest.mark.parametrize("down", [False, True], ids=["rows", "columns"])
def test_matrices_between_lie_as_operand_and_result_do(down: bool, symbolic: bool, dtype: str) -> None:
    """The exponentials, which two nests need, are stored; a sum down the columns alone would have them turned over."""
    w = World(SIZES, symbolic)
    output = shares(w, down)
    between = [t for t in fuse([output]).stored if len(t.axes) == 2 and t.name != output.name]
    rows = w.extent("n")
    assert between and all(extent(tensor.axes[0]) is rows for tensor in between)
    assert_same(run(compiled(w, [output], dtype), w), wanted(w, [output], dtype), dtype)
