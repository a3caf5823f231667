"""Sums under a condition on an index: what they read is looked at under that condition, wherever the sum is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import ShapeError

i, j, k = sm.indices("i j k")
n = sp.Symbol("n")
P, Q = sp.IndexedBase("P", shape=(5, 2)), sp.IndexedBase("Q", shape=(5, 2))
V = sp.IndexedBase("V", shape=(n, 2))
VALUES = np.random.default_rng(3).normal(size=(5, 2))
OTHERS = np.random.default_rng(4).normal(size=(5, 2))
SHIFTED = np.concatenate([VALUES[1:], np.zeros((1, 2))])


def guarded(value: Any, condition: Any) -> Any:
    return sp.Piecewise((value, condition), (0, True))


NEXT = sm.comprehension(guarded(P[j + 1, k], j < 4), (j, 5), (k, 2))
SUMS = sm.comprehension(guarded(sp.Sum(P[j + 1, k], (k, 0, 1)), j < 4), (j, 5))

# fmt: off
VALID = [
    pytest.param(SUMS, lambda: SHIFTED.sum(1), id="a guard around a sum"),
    pytest.param(sm.comprehension(sp.Sum(guarded(P[j + 1, k], j < 4), (k, 0, 1)), (j, 5)), lambda: SHIFTED.sum(1), id="within it"),
    pytest.param(sp.Sum(sp.Sum(NEXT[j, k] * Q[0, k], (k, 0, 1)), (j, 0, 4)), lambda: (SHIFTED @ OTHERS[0]).sum(), id="a sum of sums"),
    pytest.param(sp.Product(1 + SUMS[j], (j, 0, 4)), lambda: (1 + SHIFTED.sum(1)).prod(), id="a product of sums"),
    pytest.param(sm.comprehension(sp.Sum(Q[i, k]*sp.cos(SUMS[i] - SUMS[j]), (j, 0, 4), (k, 0, 1)), (i, 5)),
                 lambda: OTHERS.sum(1) * np.cos(np.subtract.outer(SHIFTED.sum(1), SHIFTED.sum(1))).sum(1), id="read twice, and kept"),
    pytest.param(sm.comprehension(guarded(sm.Maximum(P[4 - j, k] - P[j + 1, k], (k, 0, 1)), (j >= 0) & (j < 4)), (j, 5)),
                 lambda: np.append((VALUES[:0:-1] - VALUES[1:]).max(1), 0), id="a maximum"),
]
INVALID = [
    pytest.param(sm.comprehension(guarded(sp.Sum(P[j + 1, k], (k, 0, 1)), j < 5), (j, 5)), id="a guard that allows too much"),
    pytest.param(sm.comprehension(guarded(sp.Sum(P[j + 1, k], (k, 0, 1)), i < 4), (i, 5), (j, 5)), id="a guard on another index"),
    pytest.param(sm.comprehension(SUMS[j] + sp.Sum(P[j + 1, k], (k, 0, 1)), (j, 5)), id="the same sum without a guard"),
    pytest.param(sm.comprehension(guarded(sp.Sum(P[j + 1, k], (k, 0, 1)), P[j, 0] > 0), (j, 5)), id="a guard on values"),
    pytest.param(sm.comprehension(guarded(sp.Sum(P[i + 1, k], (k, 0, 1)), j < 4), (i, 5), (j, 5)), id="a guard on the other axis"),
]
# fmt: on


@pytest.mark.parametrize(("formula", "want"), VALID)
def test_what_a_condition_excludes_is_not_read(formula: Any, want: Any) -> None:
    found = sm.lambdify([P, Q], formula)(VALUES, OTHERS)
    np.testing.assert_allclose(found, want(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("formula", INVALID)
def test_what_no_condition_excludes_is_an_error(formula: Any) -> None:
    with pytest.raises(ShapeError, match="outside of its axis"):
        sm.lambdify([P, Q], formula)


def test_slopes() -> None:
    slope = sm.lambdify([P], sm.grad(sp.Sum(SUMS[j] ** 2, (j, 0, 4)), P))(VALUES)
    want = np.zeros((5, 2))
    want[1:] = 2 * VALUES[1:].sum(1)[:, None]
    np.testing.assert_allclose(slope, want, rtol=1e-13)


def test_symbolic_sizes() -> None:
    formula = sm.comprehension(guarded(sp.Sum(V[j + 2, k], (k, 0, 1)), j < n - 2), (j, n))
    function = sm.lambdify([V], formula)
    for length in (1, 2, 3, 5):
        want = np.concatenate([VALUES[2:length], np.zeros((min(2, length), 2))]).sum(1)
        np.testing.assert_allclose(function(VALUES[:length]), want, rtol=1e-13)


def test_positions_that_no_index_brings_inside_are_named_by_numbers() -> None:
    with pytest.raises(ShapeError, match="positions from 5 to 9 lie outside of an axis of length 5"):
        sm.lambdify(P, sm.comprehension(P[j + 5, 0], (j, 5)))
    with pytest.raises(ShapeError, match="position 7 lies outside"):
        sm.lambdify(P, sm.comprehension(P[7, k], (k, 2)))
