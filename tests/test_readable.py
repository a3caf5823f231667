"""Formulas as a textbook has them: signs, ranges, softmax under a mask, deviations from a mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.show.text import text as text_of

u, n = sp.symbols("u n")
i, j = sm.indices("i j")
x, g, xn = sp.MatrixSymbol("x", 4, 1), sp.MatrixSymbol("g", 4, 1), sp.MatrixSymbol("z", n, 1)
A, S = sp.MatrixSymbol("A", 3, 4), sp.MatrixSymbol("S", 3, 3)
X, s = sm.Tensor("X", (3, 4)), sm.Tensor("s", (3, 3))
mu = sp.IndexedBase("mu", shape=(3,))
LOWER = sp.Matrix(3, 3, lambda row, column: int(bool(column <= row)))
SCORES = sm.comprehension(sp.Piecewise((s[i, j], j <= i), (-sp.oo, True)), (i, 3), (j, 3))


def normalized(z: Any) -> Any:
    return sm.add(z, -sm.mean(z)) / sm.sqrt(sm.var(z) + 1)


@pytest.mark.parametrize(("formula", "text"), [
    pytest.param(lambda: sm.grad(sm.var(x), x),                "x/2 - sum(x)/8", id="the slope of a variance"),
    pytest.param(lambda: sm.grad(sm.var(xn), xn),              "2*(z - sum(z)/n)/n", id="over a size"),
    pytest.param(lambda: sm.grad(sm.var(X).sum(), X),          "d/dX[i, j] = X[i, j]/2 - Sum(X[i, k], (k, 0, 3))/8", id="of rows"),
    pytest.param(lambda: sm.grad(sm.sum(sm.asinh(x)), x),      "sqrt(1 + x∘x).^(-1)", id="a root in one pair of parentheses"),
    pytest.param(lambda: sm.grad(sm.sum(sm.acosh(x)), x),      "sqrt(x - 1).^(-1)∘sqrt(1 + x).^(-1)", id="-(1 - x) is x - 1"),
    pytest.param(lambda: text_of(mu[i] - u),                   "mu[i] - u", id="a plus stands first"),
    pytest.param(lambda: sm.compile(sm.sum(sm.square(sm.softmax(sm.where(LOWER, S, -sp.oo))), axis=None), S).loss,
                 "loss = sum(v1∘v1, axis=None)\n  v1 = softmax(where(Matrix([[1, 0, 0], [1, 1, 0], [1, 1, 1]]), S, -oo))", id="softmax under a mask"),
    pytest.param(lambda: sm.compile((sm.named("a", sm.softmax(SCORES))**2).sum(), s).loss, "exp(Piecewise((s[i, j], i >= j), (-oo, True)) - LogSumExp(s[i, k], (k, 0, i)))", id="by indices"),
])  # fmt: skip
def test_texts(formula: Any, text: str) -> None:
    assert text in str(formula())


@pytest.mark.parametrize(("ours", "at"), [
    pytest.param(sm.grad(sm.dot(g, normalized(x)), x), {g: [1.0, -2.0, 0.5, 3.0]}, id="a normalisation"),
    pytest.param(sm.grad(sm.sum(sm.square(normalized(x))), x), {}, id="its squares"),
])  # fmt: skip
def test_slopes_through_means(ours: Any, at: dict[Any, Any]) -> None:
    """Central differences of NumPy's formula: what vanishes in a sum of deviations is left out, nothing else."""
    point = np.array([0.3, -1.2, 2.0, 0.7])
    weights = np.array(at.get(g, [0.0] * 4))

    def value(z: np.ndarray) -> float:
        made = (z - z.mean()) / np.sqrt(z.var() + 1)
        return float(weights @ made if at else made @ made)

    steps = 1e-6 * np.eye(4)
    differences = [(value(point + step) - value(point - step)) / 2e-6 for step in steps]
    given = [*at, x]
    values = [np.array(v)[:, None] for v in [*at.values(), point]]
    np.testing.assert_allclose(sm.lambdify(given, ours)(*values)[:, 0], differences, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("ours", "want"), [
    pytest.param(sm.sum(sm.add(x, -sm.mean(x))), 0, id="deviations from the mean"),
    pytest.param(sm.sum(sm.add(x, -2 * sm.mean(x))), -4.0, id="from twice the mean"),
    pytest.param(sm.sum(sm.add(x, -sm.mean(g))), 0, id="from another mean, as large"),
    pytest.param(sm.sum(sm.add(2 * x, -sm.mean(x))), 4.0, id="of twice the number"),
    pytest.param(sm.sum(sm.multiply(x, sm.add(x, -sm.mean(x)))), 2.0, id="times a number that varies"),
    pytest.param(sm.sum(sm.add(sm.add(x, -sm.mean(x)), u)), 12.0, id="and something else"),
])  # fmt: skip
def test_sums_of_deviations(ours: Any, want: float) -> None:
    values = {x: np.array([[0.0], [1.0], [1.0], [2.0]]), g: np.ones((4, 1)), u: 3.0}
    given = [s for s in values if s in ours.free_symbols]
    assert sm.lambdify(given, ours)(*(values[s] for s in given)) == pytest.approx(want, abs=1e-15)
