"""Running reductions against NumPy and many digits: far apart, infinite, tied, along each axis of an array."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from running_formulas import (
    LENGTHS,
    SPECIAL,
    above,
    below,
    built,
    c,
    i,
    is_carried,
    j,
    m,
    n,
    total,
    w,
    y,
)

import sympile as sm
from sympile.compiler.passes.fusing.running import SHORT

# fmt: off
ACCUMULATED: dict[str, Any] = {
    "sum":          (sp.Sum(w[j], below(i)),          np.cumsum),
    "product":      (sp.Product(w[j], below(i)),      np.cumprod),
    "largest":      (sm.Maximum(w[j], below(i)),      np.maximum.accumulate),
    "smallest":     (sm.Minimum(w[j], below(i)),      np.minimum.accumulate),
    "log-sum-exp":  (sm.LogSumExp(w[j], below(i)),    np.logaddexp.accumulate),
}
BACKWARDS = {
    "sum":          sp.Sum(w[j], above(i)),
    "product":      sp.Product(w[j], above(i)),
    "largest":      sm.Maximum(w[j], above(i)),
    "smallest":     sm.Minimum(w[j], above(i)),
    "log-sum-exp":  sm.LogSumExp(w[j], above(i)),
}
# fmt: on


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ACCUMULATED)
def test_accumulated_as_numpy_does(name: str, kind: str) -> None:
    formula, accumulate = ACCUMULATED[name]
    up = sm.lambdify([w], sm.comprehension(formula, (i, n)))
    down = sm.lambdify([w], sm.comprehension(BACKWARDS[name], (i, n)))
    rng = np.random.default_rng(1)
    for length in LENGTHS:
        values = SPECIAL[kind](rng, length)
        with np.errstate(all="ignore"):
            expected, backwards = accumulate(values), accumulate(values[::-1])[::-1]
        np.testing.assert_allclose(up(values), expected, rtol=1e-13, atol=1e-11)
        np.testing.assert_allclose(down(values), backwards, rtol=1e-13, atol=1e-11)


def test_along_each_axis_of_an_array() -> None:
    values = np.random.default_rng(0).normal(size=(37, 11))
    A = sp.IndexedBase("A", shape=(n, m))
    down = sm.lambdify([A], sm.comprehension(sp.Sum(A[j, c], below(i)), (i, n), (c, m)))
    along = sm.lambdify([A], sm.comprehension(sp.Sum(A[c, j], (j, 0, i)), (c, n), (i, m)))
    np.testing.assert_allclose(down(values), np.cumsum(values, axis=0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(along(values), np.cumsum(values, axis=1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("length", [2, 3, SHORT, SHORT + 1, 50])
def test_known_lengths(length: int) -> None:
    v = sp.IndexedBase("v", shape=(length,))
    values = np.random.default_rng(0).normal(size=length)
    for binder, accumulate in (
        (sp.Sum, np.cumsum),
        (sm.Maximum, np.maximum.accumulate),
        (sm.LogSumExp, np.logaddexp.accumulate),
    ):
        running = sm.comprehension(binder(v[j], (j, 0, i)), (i, length))
        np.testing.assert_allclose(sm.lambdify([v], running)(values), accumulate(values), rtol=1e-13, atol=1e-13)
        loss = sp.Sum(running[c] ** 2, (c, 0, length - 1))
        found, apart = (
            sm.compile(loss, [v], rewrites=rewrites).backward({v: values})[v] for rewrites in ("stable", "exact")
        )
        np.testing.assert_allclose(found, apart, rtol=1e-12, atol=1e-13)


def test_of_each_example() -> None:
    t = sp.IndexedBase("t", shape=(20,))
    b = sp.Symbol("b")
    loss = sp.Sum((sp.Sum(t[j] * b, (j, 0, i)) - i) ** 2, (i, 0, 19))
    model = sm.compile(loss, [b])
    values = np.random.default_rng(0).normal(size=(50, 20))
    sums = np.cumsum(values, axis=1)
    value, slopes = model.value_and_grad({t: values, b: 0.3})
    np.testing.assert_allclose(value, ((0.3 * sums - np.arange(20)) ** 2).sum(1).mean(), rtol=1e-12)
    np.testing.assert_allclose(slopes[b], (2 * (0.3 * sums - np.arange(20)) * sums).sum(1).mean(), rtol=1e-12)


# ------------------------------------------------------------------------------------------------ far apart


def cox(u: Any, events: Any) -> Any:
    """Minus Cox's partial likelihood, and its slopes, with 60 digits."""
    with mpmath.workdps(60):
        u = [mpmath.mpf(float(v)) for v in u]
        parts = [mpmath.exp(v) for v in u]
        sums = [mpmath.fsum(parts[k:]) for k in range(len(u))]
        value = -mpmath.fsum(d * (v - mpmath.log(s)) for d, v, s in zip(events, u, sums, strict=True))
        slopes = [
            mpmath.fsum(d * parts[k] / s for d, s in zip(events[: k + 1], sums[: k + 1], strict=True)) - events[k]
            for k in range(len(u))
        ]
        return float(value), np.array([float(s) for s in slopes])


@pytest.mark.parametrize("kind", ["spread out", "rising", "falling", "zeros", "ties"])
def test_partial_likelihood_against_many_digits(kind: str) -> None:
    loss = -total(y[i] * (w[i] - sm.LogSumExp(w[j], above(i))))
    model = built(loss, [w])
    assert is_carried(model._step.built.fused.stored)
    rng = np.random.default_rng(2)
    for length in LENGTHS:
        u, events = SPECIAL[kind](rng, length), rng.integers(0, 2, length).astype(float)
        value, slopes = model.value_and_grad({w: u, y: events})
        expected, expected_slopes = cox(u, events)
        np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(slopes[w], expected_slopes, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("above_or_below", [above, below], ids=["from here", "up to here"])
@pytest.mark.parametrize("first", [0, 1], ids=["with", "without"])
def test_special_numbers_as_each_on_its_own(kind: str, above_or_below: Any, first: int) -> None:
    """Infinities, nan, and what is over nothing: as the formula says for every place."""
    to = i + first if above_or_below is above else i - first
    loss = total(y[i] * sm.LogSumExp(w[j], above_or_below(to)))
    carried, apart = built(loss, [w]), built(loss, [w], rewrites="exact")
    assert is_carried(carried._step.built.fused.stored)
    rng = np.random.default_rng(3)
    for length in (9, 24):
        values = {"w": SPECIAL[kind](rng, length), "y": rng.integers(0, 3, length) - 1.0}
        (value, slopes), (value_, slopes_) = carried.value_and_grad(values), apart.value_and_grad(values)
        np.testing.assert_allclose(value, value_, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(slopes[w], slopes_[w], rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------------------------ as functions, shown

# fmt: off
FUNCTIONS: dict[str, Any] = {
    "cumsum":        (sm.cumsum,        np.cumsum),
    "cumprod":       (sm.cumprod,       np.cumprod),
    "cummax":        (sm.cummax,        np.maximum.accumulate),
    "cummin":        (sm.cummin,        np.minimum.accumulate),
    "logcumsumexp":  (sm.logcumsumexp,  np.logaddexp.accumulate),
}
# fmt: on


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_accumulate(name: str) -> None:
    ours, numpy = FUNCTIONS[name]
    column, matrix, tensor = sp.MatrixSymbol("x", n, 1), sp.MatrixSymbol("A", n, 7), sm.Tensor("T", (3, n, 2))
    rng = np.random.default_rng(0)
    for symbol, shape, default in ((column, (20, 1), 0), (matrix, (20, 7), 1), (tensor, (3, 20, 2), 2)):
        values = rng.normal(size=shape)
        np.testing.assert_allclose(
            sm.lambdify([symbol], ours(symbol))(values), numpy(values, axis=default), rtol=1e-13, atol=1e-14
        )
        for axis in range(len(shape)):
            down = np.flip(numpy(np.flip(values, axis), axis=axis), axis)
            np.testing.assert_allclose(
                sm.lambdify([symbol], ours(symbol, axis=axis))(values), numpy(values, axis=axis), rtol=1e-13, atol=1e-14
            )
            np.testing.assert_allclose(
                sm.lambdify([symbol], ours(symbol, axis, reverse=True))(values), down, rtol=1e-13, atol=1e-14
            )
    assert ours(sp.Symbol("s")) == sp.Symbol("s")
    assert str(ours(matrix, axis=0, reverse=True)) == f"{name}(A, axis=0, reverse=True)"
    assert str(ours(column)) == f"{name}(x)"
    with pytest.raises(sm.SympileError, match="one axis"):
        ours(matrix, axis=None)


@pytest.mark.parametrize("reverse", [False, True], ids=["from the first", "from the last"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_slopes_of_functions_of_arrays(name: str, reverse: bool) -> None:
    """A sum over an axis makes all terms of a slope alike, so that only their ratio has the other axes."""
    ours, numpy = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    for symbol, shape, axis, summed in (
        (sm.Tensor("T", (n, 4)), (9, 4), 0, 0),
        (sm.Tensor("T", (n, 4)), (9, 4), 0, 1),
        (sm.Tensor("T", (3, n, n)), (3, 5, 5), 1, 2),  # axes of one length are told apart
        (sm.Tensor("T", (n, n, n)), (3, 3, 3), 1, 0),
    ):

        def value(values: Any, axis: int = axis, summed: int = summed) -> Any:
            turned = np.flip(values, axis) if reverse else values
            return np.tanh(np.flip(numpy(turned, axis=axis), axis).sum(summed) / 4).sum()

        loss = sm.tanh(ours(symbol, axis=axis, reverse=reverse).sum(summed) / 4).sum()
        values = rng.normal(size=shape)
        found = sm.lambdify([symbol], sm.grad(loss, symbol))(values)
        np.testing.assert_allclose(found, central_differences(value, values), rtol=1e-6, atol=1e-8)


def central_differences(value: Any, at: Any) -> Any:
    slopes = np.empty_like(at)
    for place in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[place] = 1e-5
        slopes[place] = (value(at + step) - value(at - step)) / 2e-5
    return slopes
