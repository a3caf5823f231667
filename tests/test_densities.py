"""Densities of sympy.stats in a loss: their logarithms and slopes against mpmath, where numbers are large, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from sympy import stats

import sympile as sm
from sympile.compiler.passes.reading.logarithms import split

m, x = sp.symbols("m x")
a, b, y = sp.symbols("a b y", positive=True)
free = sp.Symbol("y")  # not declared positive


def loggamma(z: Any) -> Any:
    return mpmath.loggamma(z)


def log_beta(p: Any, q: Any) -> Any:
    return loggamma(p) + loggamma(q) - loggamma(p + q)


def log_binomial(n: Any, k: Any) -> Any:
    return loggamma(n + 1) - loggamma(k + 1) - loggamma(n - k + 1)


Log = Callable[..., Any]

# fmt: off
DENSITIES: Mapping[str, tuple[Any, Any, Log, list[tuple[float, float]]]] = {
    # name: density, of which symbol; its logarithm at (that symbol, a, b); points (symbol, a)
    "normal":       (stats.Normal("X", a, b), y,    lambda v, p, q: -(v - p)**2 / (2 * q**2) - mpmath.log(q) - mpmath.log(2 * mpmath.pi) / 2, [(0.3, 1.5), (1e3, 2.0)]),
    "gamma":        (stats.Gamma("X", a, b), y,     lambda v, p, q: (p - 1) * mpmath.log(v) - v / q - p * mpmath.log(q) - loggamma(p), [(0.3, 1.5), (900.0, 400.0)]),
    "inverse gamma": (stats.GammaInverse("X", a, b), y, lambda v, p, q: p * mpmath.log(q) - loggamma(p) - (p + 1) * mpmath.log(v) - q / v, [(0.3, 1.5), (900.0, 400.0)]),
    "beta":         (stats.Beta("X", a, b), y,      lambda v, p, q: (p - 1) * mpmath.log(v) + (q - 1) * mpmath.log(1 - v) - log_beta(p, q), [(0.3, 1.5), (1e-3, 400.0)]),
    "Poisson":      (stats.Poisson("X", a), free,   lambda v, p, q: v * mpmath.log(p) - p - loggamma(v + 1), [(3.0, 1.5), (0.0, 0.1), (400.0, 900.0)]),
    "Student":      (stats.StudentT("X", a), free,  lambda v, p, q: -(p + 1) / 2 * mpmath.log(1 + v**2 / p) - mpmath.log(p) / 2 - log_beta(mpmath.mpf(1) / 2, p / 2), [(-0.3, 1.5), (1e100, 3.0)]),
    "log-normal":   (stats.LogNormal("X", a, b), y, lambda v, p, q: -(mpmath.log(v) - p)**2 / (2 * q**2) - mpmath.log(v * q) - mpmath.log(2 * mpmath.pi) / 2, [(0.3, 1.5)]),
    "Weibull":      (stats.Weibull("X", a, b), y,   lambda v, p, q: mpmath.log(q / p) + (q - 1) * mpmath.log(v / p) - (v / p)**q, [(0.3, 1.5), (1e-200, 3.0)]),
    "Laplace":      (stats.Laplace("X", a, b), free, lambda v, p, q: -abs(v - p) / q - mpmath.log(2 * q), [(-0.3, 1.5), (-1e4, 1.0)]),
    "geometric":    (stats.Geometric("X", a), free, lambda v, p, q: (v - 1) * mpmath.log(1 - p) + mpmath.log(p), [(3.0, 0.3), (1.0, 0.3), (5000.0, 0.3)]),
    "negative binomial": (stats.NegativeBinomial("X", b, a), free, lambda v, p, q: log_binomial(v + q - 1, v) + q * mpmath.log(p) + v * mpmath.log(1 - p), [(3.0, 0.3), (5000.0, 0.3)]),
    "binomial":     (stats.Binomial("X", 1000, a), free, lambda v, p, q: log_binomial(mpmath.mpf(1000), v) + v * mpmath.log(p) + (1000 - v) * mpmath.log(1 - p), [(3.0, 0.3), (1000.0, 0.9), (500.0, 1e-5)]),
    "Bernoulli":    (stats.Bernoulli("X", a), free, lambda v, p, q: mpmath.log(p if v == 1 else 1 - p), [(0.0, 0.3), (1.0, 0.3)]),
    "chi squared":  (stats.ChiSquared("X", a), free, lambda v, p, q: (p / 2 - 1) * mpmath.log(v) - v / 2 - p / 2 * mpmath.log(2) - loggamma(p / 2), [(0.3, 1.5), (900.0, 800.0)]),
}
# fmt: on
B = 2.25


@pytest.mark.parametrize("name", DENSITIES)
def test_logarithms_and_slopes(name: str) -> None:
    law, symbol, exact, points = DENSITIES[name]
    log = sp.log(stats.density(law)(symbol))
    given = [symbol, a, b]
    parameters = [s for s in (a, b) if s in log.free_symbols]
    compiled = sm.lambdify(given, [log, *(sm.grad(log, s) for s in parameters)])
    with mpmath.workdps(40):
        for point in points:
            numbers = [mpmath.mpf(v) for v in (*point, B)]
            got = [float(v) for v in compiled(*point, B)]
            want = [exact(*numbers)]
            want += [mpmath.diff(exact, tuple(numbers), (0, int(s == a), int(s == b))) for s in parameters]
            sizes = [max(abs(w), 1) for w in want]
            wrong = [abs(g - w) / size for g, w, size in zip(got, want, sizes, strict=True)]
            assert max(wrong) < 1e-12, (point, got, want)


def test_outside_of_its_support_a_density_is_0() -> None:
    values = sm.lambdify([free, m, a], sp.log(stats.density(stats.Uniform("X", m, a))(free)))
    np.testing.assert_allclose(values([-1.0, 0.5, 3.0], 0.0, 2.0), [-np.inf, -np.log(2), -np.inf])
    several = sm.lambdify([free, a], sp.log(stats.density(stats.Binomial("X", 5, a))(free)))
    assert list(np.isfinite(several([-1.0, 0.0, 2.5, 5.0, 6.0], 0.5))) == [False, True, False, True, False]


# fmt: off
@pytest.mark.parametrize(("ours", "exact", "points"), [
    pytest.param(sp.gamma(x),          mpmath.gamma,                        [0.1, 1.0, 4.5, 20.0], id="gamma"),
    pytest.param(sp.factorial(x),      mpmath.factorial,                    [0.0, 0.5, 5.0, 19.0], id="factorial"),
    pytest.param(sp.beta(x, 3),        lambda v: mpmath.beta(v, 3),         [0.1, 1.0, 4.5, 20.0], id="beta"),
    pytest.param(sp.binomial(10, x),   lambda v: mpmath.binomial(10, v),    [0.0, 1.0, 4.5, 10.0], id="binomial"),
])  # fmt: skip
def test_of_positive_arguments(ours: Any, exact: Any, points: list[float]) -> None:
    values, slopes = sm.lambdify(x, [ours, sm.grad(ours, x)])(np.array(points))
    np.testing.assert_allclose(values, [float(exact(mpmath.mpf(p))) for p in points], rtol=1e-13)
    np.testing.assert_allclose(slopes, [float(mpmath.diff(exact, mpmath.mpf(p))) for p in points], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("ours", [sp.gamma(x), sp.factorial(x - 1), sp.beta(x, 3), sp.binomial(10, x)])
def test_elsewhere_nan(ours: Any) -> None:
    assert np.isnan(sm.lambdify(x, ours)(-1.5))


@pytest.mark.parametrize(("base", "exponent", "want"), [
    pytest.param(-2.0, 2.0, np.log(4), id="a negative base, an even exponent"),
    pytest.param(-2.0, 3.0, np.nan, id="an odd one"),
    pytest.param(0.0, 2.0, -np.inf, id="of 0"),
    pytest.param(0.0, 0.0, 0.0, id="0**0 is 1"),
    pytest.param(1e-300, 1e5, 1e5 * np.log(1e-300), id="no underflow"),
])  # fmt: skip
def test_logarithm_of_a_power(base: float, exponent: float, want: float) -> None:
    for scaled, more in ((m**x, 0.0), (a * m**x, np.log(3))):
        got = sm.lambdify([m, x, a], sp.log(scaled))(base, exponent, 3.0)
        np.testing.assert_allclose(got, want + more, rtol=1e-14)


@pytest.mark.parametrize(("argument", "want"), [
    pytest.param(a**x * m, x * sp.log(a) + sp.log(m), id="a power of a positive number"),
    pytest.param(m**x * a, sp.log(a) + sp.log(m**x), id="a positive number apart from a power"),
    pytest.param(m**x, None, id="who knows the sign of m"),
    pytest.param(m**x * (m + 1)**x, None, id="nor of two"),
    pytest.param(a * b, None, id="nothing overflows soon"),
    pytest.param(a**2 * m, None, id="nor does a square"),
    pytest.param(2**x * m, None, id="a number's power is the graph's"),
    pytest.param(1 / sp.gamma(a), -sp.loggamma(a), id="one over gamma"),
    pytest.param(sp.Piecewise((a, x > 0), (b, True)), None, id="a choice without 0"),
])  # fmt: skip
def test_what_comes_apart(argument: Any, want: Any) -> None:
    assert split(sp.log(argument, evaluate=False)) == want
