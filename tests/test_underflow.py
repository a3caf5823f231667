"""What underflows in a fit is 0, on processors that lose time with such numbers; calls and rewrites="exact" keep it."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.program import POOL
from sympile.compiler.training import underflow_bits
from sympile.runtime import pool, pool_memory

x, a = sp.symbols("x a")
TINY = {"float64": 1e-310, "float32": 1e-40}  # below the smallest normal numbers
flushes = pytest.mark.skipif(not underflow_bits(), reason="the processor computes with such numbers at full speed")


def slope_after_a_fit(dtype: str, rewrites: str, options: dict[str, object]) -> float:
    """How far one step of length 1 goes whose slope is tiny; a starts at 0, so that the step is not rounded away."""
    tiny = float(np.dtype(dtype).type(TINY[dtype]))
    model = sm.compile(x * x * a, a, dtype=dtype, rewrites=rewrites, reduction="sum")
    root = np.sqrt(np.array([tiny, tiny], dtype))
    result = model.fit({x: root}, start={a: 0.0}, epochs=1, optimizer=sm.sgd(1.0), shuffle=False, **options)
    return -float(result.parameters[a])


WAYS = [
    pytest.param({}, id="all at once"),
    pytest.param({"batch_size": 1}, id="in batches"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", WAYS)
def test_exact_fits_keep_what_underflows(dtype: str, options: dict[str, object]) -> None:
    assert slope_after_a_fit(dtype, "exact", options) == pytest.approx(2 * TINY[dtype], rel=1e-2)


@flushes
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", WAYS)
def test_what_underflows_in_a_fit_is_zero(dtype: str, options: dict[str, object]) -> None:
    assert slope_after_a_fit(dtype, "stable", options) == 0


@flushes
def test_small_steps_and_calls_after_them() -> None:
    """A loop of small steps leaves the mode as it was: NumPy and calls compute with tiny numbers afterwards."""
    model = sm.compile((a * x) ** 2, a, reduction="sum")
    fit = model.fit({x: np.array([1e-155, 1e-155])}, start={a: 1.0}, epochs=200, optimizer=sm.sgd(1.0))
    assert fit.parameters[a] == 1
    assert fit.history["loss"][-1] == 0
    assert np.float64(1e-155) * np.float64(1e-155) > 0
    assert sm.lambdify(x, x * x)(1e-155) > 0
    assert model.forward({x: [1e-155, 1e-155], a: 1.0}) > 0


@flushes
def test_threads_have_the_mode_of_their_caller() -> None:
    """Sums of many tiny terms, in chunks: workers do what the caller does, in a fit and out of it."""
    z, w, k = sp.IndexedBase("z", shape=(64,)), sp.IndexedBase("w", shape=(64,)), sp.Idx("k")
    model = sm.compile(sp.Sum(sp.exp(w[k] * z[k] - 720), (k, 0, 63)), w, reduction="sum")
    values = {z: np.ones((40_000, 64)), w: np.zeros(64)}
    pool.stop()
    pool.start(3)
    for _ in range(3):
        before = regions_so_far()
        fit = model.fit({z: values[z]}, start={w: values[w]}, epochs=2, optimizer=sm.sgd(1.0))
        assert regions_so_far() > before
        assert (fit.parameters[w] == 0).all()
        assert (model.backward(values)[w] > 0).all()
    pool.stop()


def regions_so_far() -> int:
    return int(pool_memory.WORDS[POOL["tag"] // 8]) >> 32
