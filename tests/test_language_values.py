"""Scalar functions and losses of the language: values and slopes against mpmath, and how losses are written."""

from __future__ import annotations

from typing import Any

import mpmath
import pytest
import sympy as sp

from sympile.compiler import language as sm

s, u = sp.symbols("s u")
x, y = sp.MatrixSymbol("x", 4, 1), sp.MatrixSymbol("y", 4, 1)
one = sp.MatrixSymbol("one", 1, 1)
R = sp.MatrixSymbol("R", 2, 3)
X, b = sm.Tensor("X", (28, 7)), sm.Tensor("b", (7,))


@pytest.mark.parametrize(("name", "truth"), [
    ("sigmoid", lambda v: 1 / (1 + mpmath.exp(-v))),
    ("relu", lambda v: max(v, mpmath.mpf(0))),
    ("elu", lambda v: v if v > 0 else mpmath.expm1(v)),
    ("selu", lambda v: mpmath.mpf("1.05070098735548049341933498529460") * (
        v if v > 0 else mpmath.mpf("1.67326324235437728481704299167170") * mpmath.expm1(v))),
    ("gelu", lambda v: v * mpmath.ncdf(v)),
    ("silu", lambda v: v / (1 + mpmath.exp(-v))),
    ("softplus", lambda v: mpmath.log1p(mpmath.exp(v))),
    ("hard_tanh", lambda v: max(mpmath.mpf(-1), min(mpmath.mpf(1), v))),
    ("log1p", mpmath.log1p),
    ("expm1", mpmath.expm1),
])  # fmt: skip
@pytest.mark.parametrize("at", ["-0.75", "0.5", "2.25"])
def test_values_and_slopes_of_scalar_functions(name: str, truth: Any, at: str) -> None:
    made = getattr(sm, name)(u)
    point = sp.Rational(at)
    with mpmath.workdps(30):
        assert mpmath.almosteq(mpmath.mpf(str(made.subs(u, point).evalf(30))), truth(mpmath.mpf(at)), 1e-25)
        slope = sp.N(made.diff(u).subs(u, point), 30)
        assert mpmath.almosteq(mpmath.mpf(str(slope)), mpmath.diff(truth, mpmath.mpf(at)), 1e-10)


def test_scalar_functions_do_not_evaluate_themselves() -> None:
    assert str(sm.sigmoid(0)) == "sigmoid(0)"
    assert sm.sigmoid(0).evalf() == 0.5


@pytest.mark.parametrize(("loss", "want"), [
    pytest.param(sm.mse(u, s), lambda p, t: (p - t) ** 2, id="mse"),
    pytest.param(sm.mae(u, s), lambda p, t: abs(p - t), id="mae"),
    pytest.param(sm.huber(u, s, delta=0.5), lambda p, t: (p - t) ** 2 / 2 if abs(p - t) <= 0.5
                 else 0.5 * (abs(p - t) - 0.25), id="huber"),
    pytest.param(sm.binary_cross_entropy(u, s), lambda p, t: -t * mpmath.log(1 / (1 + mpmath.exp(-p)))
                 - (1 - t) * mpmath.log(1 - 1 / (1 + mpmath.exp(-p))), id="binary cross-entropy"),
    pytest.param(sm.hinge(u, s), lambda p, t: max(0, 1 - p * t), id="hinge"),
    pytest.param(sm.kl_divergence(u, s), lambda p, t: p * mpmath.log(p / t), id="one term of the divergence"),
])  # fmt: skip
@pytest.mark.parametrize(("prediction", "target"), [(0.25, 0.5), (1.75, 0.125), (0.5, 2.0)])
def test_losses_of_scalars(loss: Any, want: Any, prediction: float, target: float) -> None:
    value = loss.subs({u: sp.Float(prediction), s: sp.Float(target)}).evalf()
    assert float(value) == pytest.approx(float(want(prediction, target)), rel=1e-12)


@pytest.mark.parametrize(("loss", "text"), [
    pytest.param(sm.cross_entropy(x, y), "sum(y)*logsumexp(x) - sum(HadamardProduct(y, x))", id="probabilities"),
    pytest.param(sm.cross_entropy(x, s), "logsumexp(x) - pick(x, s)", id="a class number"),
    pytest.param(sm.cross_entropy(x, one), "logsumexp(x) - pick(x, scalar(one))", id="a 1x1 class number"),
    pytest.param(sm.cross_entropy(X, sm.Tensor("c", (28,))), "mean(logsumexp(X) - pick(X, c))", id="a class per row"),
    pytest.param(sm.cross_entropy(R, sp.MatrixSymbol("c", 2, 1)), "mean(logsumexp(R) - pick(R, c))", id="of a matrix"),
    pytest.param(sm.mse(one, s), "(-s + scalar(one))**2", id="1x1 against a scalar"),
    pytest.param(sm.mse(x, y), "mean(HadamardPower(x - y, 2))", id="mean over components"),
    pytest.param(sm.binary_cross_entropy(b, b), "mean(softplus(b) - b*b)", id="tensors"),
    pytest.param(sm.hinge(x, y), "mean(relu(-(HadamardProduct(x, y)) + 1))", id="hinge of vectors"),
])
def test_losses_read_well(loss: Any, text: str) -> None:
    assert str(loss).replace("-HadamardProduct(x, y)", "-(HadamardProduct(x, y))") == text
    assert not hasattr(loss, "shape")
