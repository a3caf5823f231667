"""Slopes through arrays of another shape: merged and split axes beside others, which solve positions for fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.node import ONE, const, index
from sympile.compiler.graph.reduce import solve_for

Array = np.ndarray[Any, Any]

# given, and what it becomes: (shapes by which it is reshaped one after another)
SHAPES = {
    "the last two of three": [(4, 2, 3), (4, 6)],
    "the first two of three": [(2, 3, 4), (6, 4)],
    "in the middle": [(2, 3, 4, 5), (2, 12, 5)],
    "all": [(2, 3, 4), (24,)],
    "apart": [(4, 6), (4, 2, 3)],
    "apart, the first": [(6, 4), (2, 3, 4)],
    "together and apart": [(2, 6, 5), (12, 5), (3, 4, 5)],
    "two pairs": [(2, 3, 4, 5), (6, 20)],
    "with one of size 1": [(4, 1, 3), (4, 3)],
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", ["a parameter", "a product"])
def test_slopes(name: str, kind: str) -> None:
    """Of the sum of (A ∘ Y)³, Y a parameter in another shape, or made of one."""
    first, *others = SHAPES[name]
    V, A = sm.Tensor("V", first), sm.Tensor("A", others[-1])
    Y = V if kind == "a parameter" else V * sm.tanh(V)
    for shape in others:
        Y = Y.reshape(*shape)
    rng = np.random.default_rng(1)
    v, a = rng.normal(size=first), rng.normal(size=others[-1])
    found, slopes = sm.compile(((A * Y) ** 3).sum(), [V], constants=[A]).value_and_grad({V: v, A: a})
    y, by_v = (v, np.ones(first)) if kind == "a parameter" else (v * np.tanh(v), np.tanh(v) + v * (1 - np.tanh(v) ** 2))
    assert found == pytest.approx(((a * y.reshape(others[-1])) ** 3).sum(), rel=1e-12)
    want = (3 * a**3 * y.reshape(others[-1]) ** 2).reshape(first) * by_v
    np.testing.assert_allclose(slopes[V], want, rtol=0, atol=1e-12 * np.abs(want).max())


def test_heads_of_attention_side_by_side() -> None:
    """What heads found is put together as (words, heads times width): their slopes were those of other entries."""
    words, heads, width = 4, 2, 3
    i, j, l, m, k = sm.indices("i j l m k")
    X, A, V = sm.Tensor("X", (words, 6)), sm.Tensor("A", (heads, words, words)), sm.Tensor("V", (heads, 6, width))
    O = sm.Tensor("O", (6, 6))
    values = sp.Sum(X[m, k] * V[l, k, j], (k, 0, 5))
    found = sm.comprehension(sp.Sum(A[l, i, m] * values, (m, 0, words - 1)), (i, words), (l, heads), (j, width))
    model = sm.compile(((found.reshape(words, 6) @ O) ** 2).sum(), [V, O], constants=[X, A])
    rng = np.random.default_rng(2)
    x, a, v, o = (rng.normal(size=tuple(map(int, each.shape))) for each in (X, A, V, O))
    slopes = model.backward({X: x, A: a, V: v, O: o})
    side_by_side = np.einsum("lim,mk,lkj->ilj", a, x, v).reshape(words, 6)
    out = 2 * side_by_side @ o
    want = np.einsum("lim,mk,ilj->lkj", a, x, (out @ o.T).reshape(words, heads, width))
    np.testing.assert_allclose(slopes[V], want, rtol=0, atol=1e-12 * np.abs(want).max())
    np.testing.assert_allclose(slopes[O], side_by_side.T @ out, rtol=0, atol=1e-11 * np.abs(out).max() * 10)


def test_a_position_of_fractions_is_one_only_where_it_is_whole() -> None:
    """a + l/2 + j/6 - b/6 = 0 solved for a: only where 6 divides b - 3l - j, whatever stands before a itself."""
    n = const(12)
    a, b, l, j = (index(n, name) for name in "ablj")
    sixth = const(Fraction(1, 6))
    difference = add(a, mul(const(Fraction(1, 2)), l), mul(sixth, j), mul(const(-1), sixth, b))
    solved = solve_for(difference, a)
    assert solved is not None
    value, guard = solved
    assert guard is not ONE and guard.op == "divides" and guard.data == 6
    form = affine(value)
    assert form is not None and dict(form.terms) == {b: Fraction(1, 6), l: Fraction(-1, 2), j: Fraction(-1, 6)}
