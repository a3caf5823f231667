"""Vectors of two registers where functions such as exp are computed: in any length, and only where they are worth it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from definition_world import World, f
from test_code_generation import DTYPES, assert_same, compiled, run, wanted

from sympile.compiler.code.target import TARGETS, host
from sympile.compiler.graph.arithmetic import add, mul, power, sub
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import const
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.runtime.native import NativeProgram

Build = Callable[[World], list[Definition]]
ELEMENT = {"float64": "double", "float32": "float"}


def _wave(w: World) -> list[Definition]:
    """One axis, two results."""
    i = w.index("n")
    x, y = w.input("x", "n"), w.input("y", "n")
    product = mul(f("sin", read(x, i)), f("exp", read(y, i)))
    return [elementwise([i], product), elementwise([i], when(add(product, read(y, i)), f("less", read(x, i), const(0))))]


def _rows(w: World) -> list[Definition]:
    """The longer axis across the lanes, and one factor the same for a whole row."""
    i, j = w.index("m"), w.index("n")
    return [elementwise([i, j], mul(f("tanh", read(w.input("x", "m n"), i, j)), f("exp", read(w.input("y", "m"), i))))]


def _apart(w: World) -> list[Definition]:
    """An operand whose elements lie apart."""
    i = w.index("n")
    return [elementwise([i], f("exp", mul(const(-1), power(read(w.input("x", "n 3"), i, const(1)), 2))))]


def _sums(w: World) -> list[Definition]:
    """A sum and a largest element in one loop."""
    i = w.index("n")
    x, y = w.input("x", "n"), w.input("y", "n")
    value = f("exp", sub(read(x, i), read(y, i)))
    return [define([], [i], "sum", value), define([], [i], "max", mul(value, read(y, i)))]


TABLE: dict[str, Build] = {"one axis": _wave, "rows": _rows, "lanes apart": _apart, "sums": _sums}
LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 71, 200)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TABLE)
def test_any_length(name: str, dtype: str) -> None:
    """One program for all lengths, and one each for some."""
    native = NativeProgram(compiled(w := World({"n": 2, "m": 3}, True), TABLE[name](w), dtype))
    for n in LENGTHS:
        w = World({"n": n, "m": 3}, True, seed=n)
        outputs = TABLE[name](w)
        expected = wanted(w, outputs, dtype)
        assert_same(run(native.program, w, native), expected, dtype, f"of {n}")
        if n in (17, 33, 64, 71, 200):
            w = World({"n": n, "m": 3}, False, seed=n)
            outputs = TABLE[name](w)
            assert_same(run(compiled(w, outputs, dtype), w), wanted(w, outputs, dtype), dtype, f"of just {n}")


@pytest.mark.parametrize("name", TABLE)
def test_nan_and_infinity(name: str) -> None:
    for n in (19, 70):
        w = World({"n": n, "m": 3}, True, seed=n, special=True)
        outputs = TABLE[name](w)
        with np.errstate(all="ignore"):
            assert_same(run(compiled(w, outputs, "float64"), w), wanted(w, outputs, "float64"), "float64")


def test_an_element_has_the_same_bits_wherever_it_stands() -> None:
    """In the first register, in the second, and among the last ones."""
    w = World({"n": 75, "m": 3}, True)
    outputs = _wave(w)
    for name in ("x", "y"):
        w.values[name][:] = w.values[name][0]
    for result in run(compiled(w, outputs, "float64"), w):
        assert len({number.tobytes() for number in result}) == 1


def _cheap(w: World) -> list[Definition]:
    i = w.index("n")
    return [elementwise([i], add(mul(read(w.input("x", "n"), i), const(2)), power(read(w.input("y", "n"), i), -1)))]


def _many_sums(w: World) -> list[Definition]:
    i = w.index("n")
    x = w.input("x", "n")
    return [define([], [i], "sum", mul(f("exp", read(x, i)), power(read(x, i), k))) for k in range(1, 5)]


@pytest.mark.parametrize(
    ("build", "n", "registers"),
    [
        pytest.param(_wave, 1000, 2, id="long chains"),
        pytest.param(_wave, 31, 1, id="few vectors"),
        pytest.param(_sums, 1000, 2, id="two accumulators"),
        pytest.param(_many_sums, 1000, 1, id="the accumulators need the registers"),
        pytest.param(_cheap, 1000, 1, id="a division is no long chain"),
    ],
)
def test_where_it_is_done(build: Build, n: int, registers: int) -> None:
    w = World({"n": n, "m": 3}, False)
    fused = fuse(build(w))
    loops: list[Loops] = list(schedule(fused, TARGETS["avx512"].core("double")).values())
    assert [each.registers for each in loops] == [registers] * len(loops)


def test_the_code_says_so() -> None:
    w = World({"n": 1000, "m": 3}, False)
    text = compiled(w, _apart(w), "float64").code.text
    assert f"<{2 * host().lanes(ELEMENT['float64'])} x double>" in text
