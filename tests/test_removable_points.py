"""Slopes next to points where a formula as it is written says 0/0, or takes like numbers from each other."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import sympile as sm

x = sp.Symbol("x")
SINC = sm.lambdify(x, [sp.sinc(x), sm.grad(sp.sinc(x), x), sm.hessian(sp.sinc(x), x)])


# cos(x)/x - sin(x)/x² was -128 at 1.3e-18, and the second slope at 0 that of the number 1.
@pytest.mark.parametrize(
    "at", [0.0, -0.0, 5e-324, 1e-200, 1.3e-18, 1e-9, 1e-3, 0.5, 0.9999, -0.9999, 1.0, 1.0001, -3.0, 50.0]
)
def test_sinc_and_its_slopes(at: float) -> None:
    with mp.workdps(50):
        # of the integral of cos(x t) over t from 0 to 1
        truth = (
            [
                mp.quad(f, [0, 1])
                for f in (lambda t: mp.cos(at * t), lambda t: -t * mp.sin(at * t), lambda t: -t * t * mp.cos(at * t))
            ]
            if abs(at) < 4
            else [mp.sinc(at), mp.diff(mp.sinc, at), mp.diff(mp.sinc, at, 2)]
        )
    np.testing.assert_allclose(SINC(at), [float(value) for value in truth], rtol=2e-15, atol=3e-16)


# Written as max(a, b) + log1p(exp(-|a - b|)) before it was derived, it had 0 as its second slope where a = b.
y = sp.Symbol("y")
TIES = {
    "log of two exponentials": (sp.log(sp.exp(x) + sp.exp(y)), 1.0),
    "with factors": (sp.log(3 * sp.exp(x) + 3 * sp.exp(y)), 1.0),
    "log cosh": (2 * sp.log(sp.cosh((x - y) / 2)), 2.0),
    "log cosh by exponentials": (2 * sp.log(sp.exp((x - y) / 2) + sp.exp((y - x) / 2)), 2.0),
}


@pytest.mark.parametrize("at", [0.0, 1.0, -50.0, 800.0])
@pytest.mark.parametrize(("formula", "factor"), TIES.values(), ids=TIES.keys())
def test_second_slopes_where_two_exponentials_are_alike(formula: sp.Expr, factor: float, at: float) -> None:
    hessian = sm.lambdify([x, y], sm.hessian(formula, [x, y]))
    for gap in (0.0, 1e-9, -0.5, 3.0):
        slope = 1 / (2 + 2 * np.cosh(gap))  # sigmoid(gap)*sigmoid(-gap)
        want = factor * slope * np.array([[1.0, -1.0], [-1.0, 1.0]])
        np.testing.assert_allclose(hessian(at, at + gap), want, rtol=1e-6 if abs(gap) > 1e-6 else 1e-14)


def test_slopes_of_log_cosh_are_shown_as_tanh() -> None:
    assert str(sm.grad(sp.log(sp.cosh(x)), x)) == "tanh(x)"
    assert str(sm.grad(sp.log(sp.exp(x) + sp.exp(y)), y)) == "sigmoid(y - x)"
