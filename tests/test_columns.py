"""Columns of narrow arrays along the lanes: any width and length, read only where the rows are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from definition_world import World, f
from test_code_generation import DTYPES, assert_same, compiled, run, wanted

from sympile.compiler.code.target import TARGETS
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import const

LENGTHS = (1, 7, 8, 16, 17, 40, 67)


Build = Callable[[World, int], list[Definition]]


def _elements(w: World, width: int) -> list[Definition]:
    i, x = w.index("n"), w.input("x", f"n {width}")
    columns = [read(x, i, const(k)) for k in range(width)]
    return [elementwise([i], each) for each in [*columns, add(columns[-1], const(1))]]


def _sums(w: World, width: int) -> list[Definition]:
    i, x = w.index("n"), w.input("x", f"n {width}")
    columns = [read(x, i, const(k)) for k in range(width)]
    return [define([], [i], "sum", mul(each, columns[k - 1])) for k, each in enumerate(columns)]


def _two_registers(w: World, width: int) -> list[Definition]:
    i, x = w.index("n"), w.input("x", f"n {width}")
    return [define([], [i], "sum", f("exp", mul(read(x, i, const(0)), read(x, i, const(width - 1)))))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("build", [_elements, _sums, _two_registers])
def test_any_width_and_length(build: Build, width: int, dtype: str) -> None:
    for n in LENGTHS:
        w = World({"n": n}, True, seed=n)
        outputs = build(w, width)
        assert_same(run(compiled(w, outputs, dtype), w), wanted(w, outputs, dtype), dtype, f"of {n}")


@pytest.mark.parametrize(
    ("width", "row", "gathers"),
    [
        pytest.param(3, "avx512", False, id="vectors sorted"),
        pytest.param(7, "avx512", False, id="a square turned over"),
        pytest.param(9, "avx512", True, id="wide rows"),
        pytest.param(3, "avx2", True, id="no sorting by any index"),
    ],
)
def test_what_is_gathered(width: int, row: str, gathers: bool) -> None:
    w = World({"n": 64}, False)
    program = compiled(w, _elements(w, width), "float64", TARGETS[row])
    assert ("masked.gather" in program.code.text) == gathers
