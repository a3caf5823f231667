"""Indices stay inside of their axes: under conditions, as far as these say so; with integer data in them, looked at by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import FormulaError, IndexOutOfRange, ShapeError
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.conditions import both, either, negation
from sympile.compiler.graph.implied import demanded
from sympile.compiler.graph.node import ONE, ZERO, Node, const, index, make, number, size

i, j = sm.indices("i j")
n, m = sp.symbols("n m")
N = 6
w = sp.IndexedBase("w", shape=(N,))
c, d, k = sp.symbols("c d k")
table = sp.IndexedBase("table", shape=(N,))
T = np.arange(10.0, 10 + N)


def entries(choice: Any) -> Any:
    return sm.compile(sp.Sum(sm.comprehension(choice, (i, N))[j], (j, 0, N - 1)), w)


# fmt: off
GOOD = {
    "one side":             sp.Piecewise((w[i - 1], i > 0), (0, True)),
    "both sides":           sp.Piecewise((w[i + 2] + w[i - 2], (i > 1) & (i < N - 2)), (0, True)),
    "the other branch":     sp.Piecewise((0, i < 1), (w[i - 1], True)),
    "either end":           sp.Piecewise((0, (i < 1) | (i > N - 2)), (w[i + 1] - w[i - 1], True)),
    "not at the start":     sp.Piecewise((w[i - 1], sp.Ne(i, 0)), (0, True)),
    "at the end":           sp.Piecewise((0, sp.Eq(i, N - 1)), (w[i + 1], True)),
    "at one place":         sp.Piecewise((w[i - 3], sp.Eq(i, 4)), (0, True)),
    "one of two":           sp.Piecewise((w[i - 2], (i > 4) | sp.Eq(i, 3)), (0, True)),
    "beside data":          sp.Piecewise((w[i - 1], (i > 0) & (w[i] > 2)), (0, True)),
    "chosen by a choice":   sp.Piecewise((2, sp.Piecewise((w[i - 1]*sp.Piecewise((w[i], w[i] > 2), (1, True)), i > 0), (w[i], True)) > 3), (w[i], True)),
    "asked under its own":  sp.Piecewise((w[i], (i > 0) & (w[i - 1] > 2)), (0, True)),
}
BAD = {
    "not far enough":       sp.Piecewise((w[i - 3], i > 0), (0, True)),
    "the wrong side":       sp.Piecewise((w[i + 1], i > 0), (0, True)),
    "the wrong branch":     sp.Piecewise((w[i - 1], i < 1), (0, True)),
    "data say nothing":     sp.Piecewise((w[i - 1], w[i] > 2), (0, True)),
    "one of two":           sp.Piecewise((w[i - 2], (i > 4) | sp.Eq(i, 1)), (0, True)),
    "in the condition":     sp.Piecewise((w[i], w[i - 1] > 2), (0, True)),
}
# fmt: on


@pytest.mark.parametrize("choice", GOOD.values(), ids=GOOD)
def test_conditions_that_keep_an_index_inside(choice: Any) -> None:
    values = np.arange(1.0, N + 1)
    padded = np.r_[np.full(N, 1e9), values, np.full(N, 1e9)]  # what a wrong read would meet
    total = 0.0
    for at in range(N):
        places = {read: sp.Float(padded[int(read.indices[0].subs(i, at)) + N]) for read in choice.atoms(sp.Indexed)}
        total += float(choice.subs(i, at) if not places else choice.xreplace(places).subs(i, at))
    assert entries(choice).forward({w: values}) == total


@pytest.mark.parametrize("choice", BAD.values(), ids=BAD)
def test_conditions_that_do_not(choice: Any) -> None:
    with pytest.raises(ShapeError, match=r"an index of w runs outside of its axis, from .* where 0 to 5 is allowed"):
        entries(choice)


def test_sizes_are_compared_when_arrays_tell_them() -> None:
    a, b = sp.IndexedBase("a", shape=(n,)), sp.IndexedBase("b", shape=(m,))
    choice = sp.Piecewise((a[i], i < m), (0, True))
    model = sm.compile(sp.Sum(sm.comprehension(choice, (i, n))[j], (j, 0, n - 1)) + sp.Sum(b[j], (j, 0, m - 1)), [a, b])
    assert model.forward({a: [1, 2, 3], b: [10, 20]}) == 33
    shifted = sm.comprehension(sp.Piecewise((a[i + 1], i < m), (0, True)), (i, n))
    model = sm.compile(sp.Sum(shifted[j], (j, 0, n - 1)) + sp.Sum(b[j], (j, 0, m - 1)), [a, b])
    assert model.forward({a: [1, 2, 3], b: [10, 20]}) == 35
    with pytest.raises(ShapeError, match="an index of a runs outside of its axis"):
        model.forward({a: [1, 2, 3], b: [10, 20, 30]})


def test_what_is_demanded_is_right_at_every_place() -> None:
    """Random expressions under random conditions: where nothing is demanded, none is negative."""
    rng = np.random.default_rng(0)
    p, q = index(const(4)), index(const(5))

    def line() -> Node:
        a, b, shift = (int(r) for r in rng.integers(-2, 3, 3))
        return add(mul(const(a), p), mul(const(b), q), const(shift))

    def condition(depth: int = 2) -> Node:
        kind = int(rng.integers(5 if depth else 2))
        if kind < 2:
            return make("ge", line()) if kind else make("eq", line(), line())
        if kind == 2:
            return negation(condition(depth - 1))
        return (both if kind == 3 else either)(condition(depth - 1), condition(depth - 1))

    def value(node: Node, at: dict[Node, int]) -> Any:
        if node.op == "not":
            return not value(node.args[0], at)
        if node.op in ("and", "or"):
            return (all if node.op == "and" else any)(value(part, at) for part in node.args)
        if node.op in ("ge", "eq"):
            whole = value(node.args[0] if node.op == "ge" else sub(*node.args), at)
            return whole >= 0 if node.op == "ge" else whole == 0
        form = affine(node)
        assert form is not None
        return form.constant + sum(factor * at[leaf] for leaf, factor in form.terms)

    granted = 0
    for _ in range(3000):
        expression, conditions = line(), [condition() for _ in range(int(rng.integers(3)))]
        if any(part in (ONE, ZERO) for part in conditions) or demanded(expression, conditions) is not ZERO:
            continue
        granted += 1
        for at in ({p: a, q: b} for a in range(4) for b in range(5)):
            if all(value(each, at) for each in conditions):
                assert value(expression, at) >= 0, (expression, conditions, at)
    assert granted > 300
    assert number(demanded(sub(p, const(9)), []) or ONE) < 0 and demanded(make("exp", p), []) is None
    assert demanded(sub(size("n"), p), [make("ge", sub(size("m"), p))]) is sub(size("n"), size("m"))


# ------------------------------------------------------------------------------------------------ integer data

# fmt: off
SHIFTED = [
    #            the formula, good data, its values, bad data, where c must lie
    pytest.param(table[c + 1], [4, -1], [15, 10], [0, 5], "-1 … 4", id="one more"),
    pytest.param(table[c - 1], [6, 1], [15, 10], [1, 0], "1 … 6", id="counted from 1"),
    pytest.param(table[c]*table[c + 2], [3, 0], [195, 120], [4, 1], "0 … 3", id="two places"),
    pytest.param(sp.Sum(table[c + i], (i, 0, 2)), [3, 0], [42, 33], [0, 4], "0 … 3", id="a window"),
    pytest.param(sp.Sum(table[c - i], (i, 0, 2)), [5, 2], [42, 33], [1, 2], "2 … 5", id="a window before it"),
    pytest.param(sp.Sum(sp.KroneckerDelta(i, c + 1)*table[i], (i, 0, N - 1)), [4, 0], [15, 11], [5, 0], "-1 … 4", id="a delta"),
]
# fmt: on


@pytest.mark.parametrize("formula, good, results, bad, where", SHIFTED)
def test_every_index_made_of_integer_data_is_looked_at(
    formula: Any, good: list[int], results: list[float], bad: list[int], where: str
) -> None:
    model = sm.compile(formula, table)
    f = sm.lambdify([table, c], formula)
    for _ in range(4):  # the quick way is taken from the third call on
        assert model.forward({table: T, c: good}) == np.mean(results)
        np.testing.assert_array_equal(f(T, np.array(good)), results)
    for _ in range(4):
        with pytest.raises(IndexOutOfRange, match=f"it must lie in {where}"):
            model.forward({table: T, c: bad})
        with pytest.raises(IndexOutOfRange, match=f"it must lie in {where}"):
            f(T, np.array(bad))
    with pytest.raises(IndexOutOfRange, match=f"it must lie in {where}"):
        model.fit({c: bad}, start={table: T}, epochs=1)
    np.testing.assert_array_equal(f(T, np.array(good)), results)


def test_a_table_too_short_for_any_index() -> None:
    E = sp.IndexedBase("E", shape=(n,))
    f = sm.lambdify([E, c], E[c] + E[c + 2])
    for _ in range(4):
        assert f(T[:3], 0) == 22
        with pytest.raises(IndexOutOfRange):
            f(T[:2], 0)


def test_a_formula_keeps_what_its_indices_demand() -> None:
    f = sm.lambdify([table, c], sm.grad(table[c - 1] ** 2, table))
    np.testing.assert_array_equal(f(T, 6), [0, 0, 0, 0, 0, 30])
    with pytest.raises(IndexOutOfRange, match="1 … 6"):
        f(T, 0)


@pytest.mark.parametrize("place", [2 * c, c + d, c - d, -c, c + n], ids=str)
def test_indices_that_cannot_be_looked_at(place: Any) -> None:
    E, v = sp.IndexedBase("E", shape=(2 * N,)), sp.IndexedBase("v", shape=(n,))
    with pytest.raises(FormulaError, match="cannot be an index"):
        sm.compile(E[place] + sp.Sum(v[j], (j, 0, n - 1)), [E, v])


def test_integer_data_of_an_indexed_base_in_a_tensor() -> None:
    """o[k] has a shape to SymPy, that of its base, and is a number."""
    E, o = sm.Tensor("E", (N, 2)), sp.IndexedBase("o", shape=(3,))
    f = sm.lambdify([E, o], sp.Sum(E[o[i], 1] * (i + 1), (i, 0, 2)))
    values = np.arange(2.0 * N).reshape(N, 2)
    assert f(values, np.array([5, 0, 2])) == 11 + 2 * 1 + 3 * 5
    with pytest.raises(FormulaError, match="an index is one number"):
        E[o, 1]
