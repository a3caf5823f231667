"""Stencils after stencils: each step is stored, for the next reads it at several places; in values, slopes and fits."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import computed, elementwise, input_tensor, read
from sympile.compiler.graph.node import const, index
from sympile.compiler.passes.fusing.keep import in_windows

Array = npt.NDArray[Any]
i, j = sm.indices("i j")
RNG = np.random.default_rng(5)


def rod(n: int, steps: int) -> tuple[Any, Any, Any, Any]:
    """Heat along a rod with a rate at each place; its ends are kept."""
    u0, z, rate = (sp.IndexedBase(name, shape=(n,)) for name in ("u0", "z", "rate"))
    u: Any = u0
    for _ in range(steps):
        flow = u[i] + rate[i] * (u[i + 1] - 2 * u[i] + u[i - 1])
        u = sm.comprehension(sp.Piecewise((u[i], (i < 1) | (i > n - 2)), (flow, True)), (i, n))
    return sm.comprehension((u[i] - z[i]) ** 2, (i, n)).sum(), u0, z, rate


def rod_by_hand(u: Array, z: Array, rate: Array, steps: int) -> tuple[float, Array]:
    """The loss, and its slope by the rates."""
    states = [u]
    for _ in range(steps):
        change = np.zeros_like(u)
        change[1:-1] = rate[1:-1] * (u[2:] - 2 * u[1:-1] + u[:-2])
        u = u + change
        states.append(u)
    back, slope = 2 * (u - z), np.zeros_like(rate)
    for u in reversed(states[:-1]):
        slope[1:-1] += back[1:-1] * (u[2:] - 2 * u[1:-1] + u[:-2])
        inner = np.where(np.isin(np.arange(len(u)), [0, len(u) - 1]), 0, rate * back)
        spread = -2 * inner
        spread[1:] += inner[:-1]
        spread[:-1] += inner[1:]
        back = back + spread
    return float(((states[-1] - z) ** 2).sum()), slope


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("n", "steps"), [(3, 1), (9, 2), (16, 5), (33, 24)])
def test_value_slope_and_fit_of_a_rod(n: int, steps: int, dtype: str) -> None:
    """Inlined, the last state of the longest took a minute, and its fit two."""
    loss, u0, z, rate = rod(n, steps)
    values = {u0: RNG.normal(size=n), z: RNG.normal(size=n), rate: np.full(n, 0.2)}
    started = time.process_time()
    model = sm.compile(loss, rate, constants=[u0, z], dtype=dtype)
    value, gradient = model.value_and_grad(values)
    data = {u0: values[u0], z: values[z]}
    result = model.fit(data, start={rate: values[rate]}, optimizer=sm.sgd(1e-5), epochs=100)
    assert time.process_time() - started < 10
    want, slope = rod_by_hand(values[u0], values[z], values[rate], steps)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(value, want, rtol=tolerance)
    np.testing.assert_allclose(gradient[rate], slope, rtol=tolerance, atol=tolerance * np.abs(slope).max())
    now = values[rate]
    for _ in range(100):
        now = now - 1e-5 * rod_by_hand(values[u0], values[z], now, steps)[1]
    np.testing.assert_allclose(result.parameters[rate], now, rtol=10 * tolerance, atol=10 * tolerance)


def test_a_plate_with_one_rate() -> None:
    """Few parameters: small steps write their formulas out, but not these."""
    n, steps, rate = 12, 6, sp.Symbol("rate")
    u0 = sp.IndexedBase("u0", shape=(n, n))
    u: Any = u0
    for _ in range(steps):
        around = u[i + 1, j] + u[i - 1, j] + u[i, j + 1] + u[i, j - 1] - 4 * u[i, j]
        border = (i < 1) | (i > n - 2) | (j < 1) | (j > n - 2)
        u = sm.comprehension(sp.Piecewise((u[i, j], border), (u[i, j] + rate * around, True)), (i, n), (j, n))
    model = sm.compile(sm.comprehension(u[i, j] ** 2, (i, n), (j, n)).sum(), rate, constants=[u0])
    start = RNG.normal(size=(n, n))

    def by_hand(rate: Any) -> Any:
        u = start.astype(complex)
        for _ in range(steps):
            inner = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
            u = u.copy()
            u[1:-1, 1:-1] += rate * inner
        return (u**2).sum()

    value, gradient = model.value_and_grad({u0: start, rate: 0.1})
    np.testing.assert_allclose(value, by_hand(0.1).real, rtol=1e-13)
    np.testing.assert_allclose(gradient[rate], by_hand(0.1 + 1e-30j).imag / 1e-30, rtol=1e-11)
    result = model.fit({u0: start}, start={rate: 0.1}, optimizer=sm.sgd(1e-5), epochs=120)
    now = 0.1
    for _ in range(120):
        now -= 1e-5 * by_hand(now + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(result.parameters[rate], now, rtol=1e-10)


def test_which_definitions_are_in_windows() -> None:
    n, at = const(8), index(const(6), "at")
    x, y = input_tensor("x", (n,), "data"), input_tensor("y", (n,), "data")
    k = index(n, "k")
    both = elementwise((k,), add(read(x, k), read(y, k)))
    doubled = elementwise((k,), mul(const(2), read(x, k)))
    side_by_side = elementwise((at,), mul(read(both, at), read(both, add(at, const(2)))))
    assert in_windows([side_by_side]) == {both}
    assert in_windows([elementwise((at,), mul(read(doubled, at), read(doubled, add(at, const(2)))))]) == set()  # one read
    fixed = elementwise((at,), mul(read(both, const(0)), read(both, const(2)), read(x, at)))
    assert in_windows([fixed]) == set()
    once = elementwise((at,), mul(read(both, add(at, const(2))), read(x, at)))
    assert in_windows([once]) == set()
    other = index(n, "other")
    pairs = elementwise((k, other), mul(read(both, k), read(both, other)))
    assert in_windows([pairs]) == set() and both in computed([pairs])  # not side by side
