"""Sums under guards of strides, [m divides c r - a i + d]: solved, and still what the guard says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from definition_world import World
from test_code_generation import assert_same, compiled, run, wanted

from sympile.compiler.graph.affine import extreme
from sympile.compiler.graph.arithmetic import add, mul, power, sub
from sympile.compiler.graph.brackets import at_least_zero, divides
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, read
from sympile.compiler.graph.node import ONE, TWO, Node, const, index, postorder
from sympile.compiler.graph.quotients import quotient, remainder
from sympile.compiler.passes.fuse import fuse

SIZES = {"n": 11, "m": 6, "k": 9}


def spread(w: World, divisor: int, window: int, apart: int, offset: int, costly: bool = False) -> Definition:
    """T[k, i] = sum over r of g[k, (i - apart r - offset)/divisor] F[r], where that is a whole number and inside."""
    k, i, r = w.indices(f"k n {window}")
    g, F = w.input("g", "k m"), w.input("F", str(window))
    moved = sub(i, add(mul(const(apart), r), const(offset)))
    at = mul(power(const(divisor), -1), moved)
    inside = (divides(divisor, moved), at_least_zero(at), at_least_zero(sub(sub(w.extent("m"), ONE), at)))
    value = add(ONE, power(read(g, k, at), 2)) if costly else read(g, k, at)
    return define((k, i), (r,), "sum", when(mul(power(value, -1) if costly else value, read(F, r)), *inside))


def guards(tensors: list[Definition]) -> list[Node]:
    """Guards of strides that are left to be evaluated."""
    formulas = [t.formula for t in fuse(tensors).stored]
    return [node for node in postorder(formulas) if node.op == "divides"]


# fmt: off
CASES = {                           # divisor, window, apart, offset
    "one window each":              (2, 2, 1, 0),
    "three in a row":               (3, 3, 1, 1),
    "windows overlap":              (2, 5, 1, 0),
    "windows leave gaps":           (4, 3, 1, 0),
    "windows apart":                (2, 3, 3, 0),
    "against each other":           (3, 4, -1, -1),
    "steps of two by five":         (5, 7, 2, 3),
}
# fmt: on


@pytest.mark.parametrize("symbolic", [False, True], ids=["numbers", "symbols"])
@pytest.mark.parametrize("name", CASES)
def test_the_guard_is_solved(name: str, symbolic: bool) -> None:
    for costly, dtype in product((False, True), ("float64", "float32")):
        w = World(SIZES, symbolic)
        outputs = [spread(w, *CASES[name], costly)]
        assert not guards(outputs)
        assert_same(run(compiled(w, outputs, dtype), w), wanted(w, outputs, dtype), dtype, f"{costly}")


def test_what_cannot_be_solved_is_asked() -> None:
    """Two steps of r move by what the stride divides; an r that is a number, too, would have to be computed."""
    w = World(SIZES, symbolic=False)
    k, i, r = w.indices("k n 4")
    squared = power(add(r, read(w.input("h", "k 11"), k, i)), 2)
    number = define((k, i), (r,), "sum", when(squared, divides(2, sub(i, r))))
    for tensor in (spread(w, 2, 3, 2, 1), spread(w, 4, 3, 2, 0), number):
        assert guards([tensor])
        assert_same(run(compiled(w, [tensor], "float64"), w), wanted(w, [tensor], "float64"), "float64")


def test_what_the_guard_excludes_may_be_nan() -> None:
    """Weights that no position reaches are not multiplied by 0."""
    w = World(SIZES, symbolic=False)
    tensor = spread(w, 2, 2, 1, 0)
    w.values["F"][1] = np.nan
    (found,) = run(compiled(w, [tensor], "float64"), w)
    assert np.isfinite(found[:, 0::2]).all() and np.isnan(found[:, 1::2]).all()
    w.values["F"][1], w.values["g"][:, -1] = 1.0, np.inf
    (found,) = run(compiled(w, [tensor], "float64"), w)
    assert np.isfinite(found[:, :10]).all() and np.isinf(found[:, 10]).all()


def test_costly_work_is_done_once_a_window() -> None:
    """1/(1 + g^2) is stored by window, where two elements and more would compute it."""
    w = World(SIZES, symbolic=False)
    stored = fuse([spread(w, 2, 2, 1, 0, costly=True)]).stored
    assert len(stored) == 2 and not any(node.op == "pow" and node.data == -1 for node in postorder([stored[1].formula]))


def test_quotients_in_normal_form() -> None:
    """floor(a/m) and what is left, at every place, against Python; the range holds every value and is reached."""
    i, j = index(const(7)), index(const(3))
    for m, a, b, c in product((1, 2, 3, 5), (-2, -1, 0, 1, 3), (-1, 0, 2), (-4, 0, 1)):
        expression = add(mul(const(a), i), mul(const(b), j), const(c))
        found, left = quotient(expression, m), remainder(expression, m)
        values = {(p, q): (a * p + b * q + c) for p, q in product(range(7), range(3))}
        assert {at: _value(found, i, j, *at) for at in values} == {at: v // m for at, v in values.items()}
        assert {at: _value(left, i, j, *at) for at in values} == {at: v % m for at, v in values.items()}
        for sign, most in ((1, max), (-1, min)):
            bound = extreme(found, sign)
            assert bound is not None and not bound[1]
            reached = most(v // m for v in values.values())
            assert bound[0] >= reached if sign == 1 else bound[0] <= reached
    assert quotient(add(mul(TWO, i), remainder(j, 2)), 2) is quotient(add(mul(TWO, i), remainder(j, 2)), 2)
    assert quotient(add(mul(const(3), i), j), 3) is i  # what is less than the divisor falls away


def _value(node: Node, i: Node, j: Node, p: int, q: int) -> int:
    values: dict[Node, int] = {i: p, j: q}
    for item in postorder([node]):
        args = [values[arg] for arg in item.args]
        if item.op == "quotient":
            values[item] = args[0] // int(str(item.data))
        elif item.op in ("add", "mul"):
            values[item] = sum(args) if item.op == "add" else int(np.prod(args))
        elif item.op == "const":
            values[item] = int(str(item.data))
    return values[node]
