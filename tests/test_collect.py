"""Elementwise work over several axes: common factors collected, symmetric matrices symmetric to the bit, rows in tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp
from definition_world import World

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import elementwise, read
from sympile.compiler.graph.node import Node, const, postorder
from sympile.compiler.graph.table import TABLE, entry
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.collect import (
    MOST_NUMBERS,
    PAIR,
    collected,
    symmetric_to_the_bit,
    tables_multiplied,
)
from sympile.compiler.program import BATCH as N

Array = npt.NDArray[Any]
RNG = np.random.default_rng(11)


def counted(body: Node, op: str) -> int:
    return sum(node.op == op for node in postorder([body]))


def test_what_has_the_same_factors_is_added_up_outside() -> None:
    """x_j a_i + x_j b_i + x_j is x_j (a_i + b_i + 1), also under one guard."""
    w = World({N: 3, "n": 4}, symbolic=True)
    e, i, j = w.indices(f"{N} n n")
    x, a, b = (w.input(name, f"{N} n") for name in "xab")
    xj, ai, bi = read(x, e, j), read(a, e, i), read(b, e, i)
    assert collected(add(mul(xj, ai), mul(xj, bi), xj), (e, i, j)) is mul(xj, add(ai, bi, const(1)))
    same = equal(i, j)
    guarded = add(when(mul(xj, ai), same), when(xj, same), bi)
    assert collected(guarded, (e, i, j)) is add(when(mul(xj, add(ai, const(1))), same), bi)
    apart = add(mul(xj, ai), mul(read(x, e, i), bi))
    assert collected(apart, (e, i, j)) is apart


def test_exact_arithmetic_is_left_as_it_is_written() -> None:
    w = World({N: 3}, symbolic=True)
    e, i, j = w.indices(f"{N} 5 5")
    x, a, b = w.input("x", f"{N} 5"), w.input("a", f"{N} 5"), w.input("b", f"{N} 5")
    body = add(mul(read(x, e, j), read(a, e, i)), mul(read(x, e, j), read(b, e, i)))
    tensor = elementwise((e, i, j), body)
    products = [counted(fuse([tensor], exact=exact).groups[0].body(tensor), "mul") for exact in (False, True)]
    assert products == [1, 2]


def test_what_an_exchange_of_the_axes_swaps_stands_together() -> None:
    w = World({N: 3, "n": 4}, symbolic=True)
    e, i, j = w.indices(f"{N} n n")
    u, v = w.input("u", f"{N} n"), w.input("v", f"{N} n")
    ui, uj, vi, vj = read(u, e, i), read(u, e, j), read(v, e, i), read(v, e, j)
    crossed = symmetric_to_the_bit(add(mul(ui, vj), mul(uj, vi), const(1)), (e, i, j))
    assert counted(crossed, PAIR) == 1
    assert symmetric_to_the_bit(add(mul(ui, vj), vi), (e, i, j)) is add(mul(ui, vj), vi)


def test_constant_vectors_along_different_axes_are_one_matrix() -> None:
    """The innermost axis last, whatever the order; not of one axis twice, nor of many numbers."""
    w = World({N: 3}, symbolic=True)
    e, i, j = w.indices(f"{N} 3 4")
    x, here, there = read(w.input("x", f"{N} 4"), e, j), entry([3], [2, 3, 5], [i]), entry([4], [1, 7, 9, 11], [j])
    numbers = [a * b for a in (2, 3, 5) for b in (1, 7, 9, 11)]
    found = tables_multiplied(mul(x, there, here), (e, i, j))
    assert counted(found, TABLE) == 1
    assert entry([3, 4], numbers, [i, j]) in found.args
    assert tables_multiplied(mul(there, here), (e, i, j)) is entry([3, 4], numbers, [i, j])
    twice = mul(x, here, entry([3], [2, 4, 8], [i]))
    assert tables_multiplied(twice, (e, i, j)) is twice
    long = [entry([MOST_NUMBERS], range(MOST_NUMBERS), [axis]) for axis in w.indices(f"{MOST_NUMBERS} {MOST_NUMBERS}")]
    assert tables_multiplied(mul(*long), [axis.args[0] for axis in long]).args == mul(*long).args


# fmt: off
FORMULAS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "products":   lambda x, a, b: sm.dot(x, x) ** 2 / 4 + sm.exp(-sm.dot(x, x) / 10),
    "constants":  lambda x, a, b: sm.sin(sm.dot(a, x)) * 0.7 + sm.sum(sm.cos(x)),
    "crossed":    lambda x, a, b: sm.sin(sm.dot(a, x)) * sm.exp(sm.dot(b, x) / 3),
    "with x":     lambda x, a, b: sm.sin(sm.dot(a, x)) * sm.log(1 + sm.dot(x, x)),
    "all":        lambda x, a, b: sm.sqrt(1 + sm.dot(x, x)) * sm.dot(a, x) + sm.sin(sm.dot(b, x)) ** 2 / 3,
    "quotient":   lambda x, a, b: sm.log(1 + sm.dot(x, x)) / 3 + sm.sum(x),
}
# fmt: on


def by_differences(value: Callable[[Array], Array], x: Array) -> Array:
    """Second central differences of fourth order."""
    n = x.shape[-1]
    h, result = 2e-3, np.zeros((*x.shape, n))
    steps = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    for i in range(n):
        for j in range(n):
            for p, wp in steps.items():
                for q, wq in steps.items():
                    moved = x.copy()
                    moved[:, i] += p * h
                    moved[:, j] += q * h
                    result[:, i, j] += wp * wq * value(moved[..., None]) / h**2
    return result


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_hessians_are_symmetric_to_the_bit(name: str, dtype: str) -> None:
    for n in (2, 5, 8, 11, 19):
        x = sp.MatrixSymbol("x", n, 1)
        a, b = (sp.Matrix(np.round(RNG.normal(size=n), 6)) for _ in range(2))
        formula = FORMULAS[name](x, a, b)
        evaluate = sm.lambdify([x], sm.hessian(formula, x), dtype=dtype)
        for rows in (1, 13):
            found = evaluate(RNG.normal(size=(rows, n, 1)).astype(dtype))
            assert np.array_equal(found, found.transpose(0, 2, 1)), (n, rows)
        if dtype == "float64" and n < 11:
            points = RNG.normal(size=(3, n))
            wanted = by_differences(sm.lambdify([x], formula), points)
            np.testing.assert_allclose(evaluate(points[..., None]), wanted, rtol=1e-6, atol=1e-6)


def test_a_hessian_with_infinities_and_nan() -> None:
    """They stay in their own example, and a nan makes no number."""
    n = 10
    x = sp.MatrixSymbol("x", n, 1)
    formula = FORMULAS["products"](x, None, None)
    points = RNG.normal(size=(9, n, 1))
    clean = sm.lambdify([x], sm.hessian(formula, x))(points)
    points[4, 3] = np.nan
    points[7, 0] = np.inf
    found = sm.lambdify([x], sm.hessian(formula, x))(points)
    others = [0, 1, 2, 3, 5, 6, 8]
    assert np.array_equal(found[others], clean[others])
    assert np.all(np.isnan(np.diagonal(found[4]))) and np.all(np.isnan(found[4, 3]))
    assert not np.any(np.isfinite(np.diagonal(found[7])))
