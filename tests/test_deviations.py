"""Deviations from a mean add up to nothing, whoever computes them: batch and layer normalisation as in the books."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sympy as sp

import sympile as sm

RNG = np.random.default_rng(5)
x, g = sm.Tensor("x", (5,)), sm.Tensor("g", (5,))
X = sm.Tensor("X", (7, 3))
vector, weights = sp.MatrixSymbol("x", 5, 1), sp.MatrixSymbol("g", 5, 1)
n, k = sp.symbols("n k", integer=True, positive=True)
Y = sm.Tensor("Y", (n, k))


def layer_norm() -> tuple[object, object]:
    mu = sm.named("mu", x.mean())
    v = sm.named("v", ((x - mu) ** 2).mean())
    return (g * sm.named("xh", (x - mu) / sm.sqrt(v + 0.1))).sum(), x


def test_layer_norm_as_in_the_books() -> None:
    assert str(sm.grad(*layer_norm())).splitlines() == [
        "d/dx[i] = 2*dv*(x[i] - mu)/5 - Sum(g[j], (j, 0, 4))/(5*sqrt(v + 0.1)) + g[i]/sqrt(v + 0.1)",
        "  mu = Sum(x[i], (i, 0, 4))/5",
        "  v  = Sum((mu - x[i])**2, (i, 0, 4))/5",
        "  dv = Sum((mu - x[i])*g[i], (i, 0, 4))/(2*(v + 0.1)**(3/2))",
    ]


@pytest.mark.parametrize(
    ("loss", "at", "text"),
    [
        pytest.param(
            ((Y - Y.mean(0)) ** 2).sum() / n,
            Y,
            "d/dY[i, j] = 2*(Y[i, j] - Sum(Y[l, j], (l, 0, n - 1))/n)/n",
            id="sizes are symbols",
        ),
        pytest.param(
            ((X - sm.named("m", X.mean(0))) ** 2).sum() / 2,
            X,
            "d/dX[i, j] = X[i, j] - m[j]\n  m[i] = Sum(X[j, i], (j, 0, 6))/7",
            id="a named mean",
        ),
        pytest.param(
            sm.dot(vector - sm.mean(vector) * sp.ones(5, 1), vector - sm.mean(vector) * sp.ones(5, 1)) / 2,
            vector,
            "x - sum(x)/5",
            id="matrices",
        ),
    ],
)
def test_a_variance_has_its_deviations_as_slope(loss: object, at: object, text: str) -> None:
    assert str(sm.grad(loss, at)) == text


def normalised(z: np.ndarray, axis: int) -> np.ndarray:
    return (z - z.mean(axis, keepdims=True)) / np.sqrt(z.var(axis, keepdims=True) + 0.1)


def batch_norm() -> tuple[object, object]:
    centred = X - X.mean(0)
    return (sm.Tensor("g", (7, 3)) * centred / sm.sqrt((centred**2).mean(0) + 0.1)).sum(), X


def shared_scale() -> tuple[object, object]:
    """The deviations are multiplied by what all of them share, and stand beside other terms."""
    centred = x - x.mean()
    return (centred * sm.exp(g.sum() / 9) + x * g).sum() ** 2 / 2 + (centred**3).sum(), x


def weighted_mean() -> tuple[object, object]:
    """Not from their own mean: these do not add up to nothing."""
    return ((x - (g * x).sum()) ** 2).sum() + ((x - x.sum() / 4) ** 2).sum(), x


CASES: dict[str, tuple[Callable[[], tuple[object, object]], Callable[[np.ndarray, np.ndarray], float]]] = {
    "layer norm": (layer_norm, lambda z, w: float((w * normalised(z, 0)).sum())),
    "batch norm": (batch_norm, lambda z, w: float((w * normalised(z, 0)).sum())),
    "shared scale": (
        shared_scale,
        lambda z, w: float(((z - z.mean()) * np.exp(w.sum() / 9) + z * w).sum() ** 2 / 2 + ((z - z.mean()) ** 3).sum()),
    ),
    "another mean": (
        weighted_mean,
        lambda z, w: float(((z - (w * z).sum()) ** 2).sum() + ((z - z.sum() / 4) ** 2).sum()),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rewrites", ["exact", "stable", "finite"])
def test_slopes_agree_with_differences(name: str, rewrites: str) -> None:
    make, value = CASES[name]
    loss, at = make()
    model = sm.compile(loss, parameters=[at, sm.Tensor("g", at.shape)], rewrites=rewrites)  # type: ignore[attr-defined]
    z, w = RNG.normal(size=at.shape), RNG.normal(size=at.shape)  # type: ignore[attr-defined]
    found, h = model.value_and_grad({at: z, "g": w})[1][at], 1e-5
    for place in np.ndindex(*z.shape):
        up, down = z.copy(), z.copy()
        up[place] += h
        down[place] -= h
        assert found[place] == pytest.approx((value(up, w) - value(down, w)) / (2 * h), rel=1e-6, abs=1e-8)


def test_the_report_says_so() -> None:
    model = sm.compile(((X - X.mean(0)) ** 2).sum(), parameters=[X])
    assert "deviations" in model.stages["rewrites"]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param(sp.Determinant(sp.MatrixSymbol("A", 3, 3) + 2 * sp.eye(3)), "det(2*I + A)", id="eye"),
        pytest.param(sm.dot(vector + 3 * sp.ones(5, 1), vector), "(3 + x).T*x", id="ones"),
    ],
)
def test_regular_matrices_of_numbers_are_read_as_such(written: sp.Expr, text: str) -> None:
    symbol = next(iter(written.atoms(sp.MatrixSymbol)))
    model = sm.compile(written, parameters=[symbol])
    assert text in str(model.loss)
