"""Reciprocals and quotients without a division: near the truth in every class of bits, special values included."""

from __future__ import annotations

from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from vector_kernels import DTYPE, ELEMENT, HOST, kernel, ulps

import sympile as sm
from sympile.compiler import small_steps
from sympile.compiler.code.quick import over_root, quotient, quotient_by_fixed, reciprocal
from sympile.compiler.rules import machine_simple
from sympile.runtime.model import course
from sympile.runtime.optimizers import adagrad, adam, rmsprop

FRACTION = {64: 52, 32: 23}
UNSIGNED = {64: np.uint64, 32: np.uint32}

pytestmark = pytest.mark.skipif(not HOST.exponents, reason="the processor has no guesses of reciprocals")


def reciprocals(operands: np.ndarray, bits: int, registers: int = 1) -> np.ndarray:
    lanes = registers * HOST.lanes(ELEMENT[bits])

    return kernel(reciprocal, 1, bits, lanes)(operands)


def every_exponent(bits: int) -> np.ndarray:
    """Above 0: fractions at both ends, at every power of two within denormals, and some between."""
    rng, fraction, kind = np.random.default_rng(7), FRACTION[bits], UNSIGNED[bits]
    exponents = np.arange(1 << (bits - 1 - fraction), dtype=kind) << kind(fraction)
    ends = np.array([0, 1, 2, (1 << fraction) - 1, 1 << (fraction - 1)], kind)
    normal = (exponents[:, None] | np.concatenate([ends, rng.integers(0, 1 << fraction, 4, dtype=kind)])).ravel()
    small = np.concatenate([(1 << k) + rng.integers(0, 1 << k, 4, dtype=kind) for k in range(fraction)])
    edge = (1 << (fraction - 2)) + np.arange(-4, 9)  # 2**-1024, up to which reciprocals overflow
    return np.concatenate([normal, small.astype(kind), edge.astype(kind)]).view(DTYPE[bits])


@pytest.mark.parametrize("bits", [64, 32])
def test_every_class_of_bits(bits: int) -> None:
    operands = every_exponent(bits)
    got = reciprocals(operands, bits)
    np.testing.assert_array_equal(-got, reciprocals(-operands, bits))
    np.testing.assert_array_equal(got, reciprocals(operands, bits, registers=2))
    with np.errstate(all="ignore"):
        near = DTYPE[bits].type(1) / operands  # correctly rounded
    special = ~np.isfinite(near) | (near == 0)
    np.testing.assert_array_equal(got[special], near[special])
    assert not np.signbit(got[~np.isnan(got)]).any()
    assert_close(got[~special], operands[~special], bits)


@pytest.mark.parametrize("bits", [64, 32])
def test_random_operands(bits: int) -> None:
    operands = np.random.default_rng(11).uniform(1, 2, 20_000).astype(DTYPE[bits])
    assert_close(reciprocals(operands, bits), operands, bits)


def assert_close(got: np.ndarray, operands: np.ndarray, bits: int) -> None:
    """Within 0.63 ulp, and denormal results, which have been rounded before, within one."""
    with mp.workprec(200):
        error = ulps(got, [1 / mp.mpf(float(each)) for each in operands], bits)
    normal = got >= np.finfo(DTYPE[bits]).tiny * 2
    assert error[normal].max() < 0.63
    assert error.max() <= 1


def test_zeros_have_the_sign_of_the_operand() -> None:
    got = reciprocals(np.array([np.inf, -np.inf, 0.0, -0.0, np.nan]), 64)
    np.testing.assert_array_equal(got, [0.0, -0.0, np.inf, -np.inf, np.nan])
    assert np.signbit(got[:4]).tolist() == [False, True, False, True]


# ------------------------------------------------------------------------------------------------- quotients


def quotients(above: np.ndarray, below: np.ndarray, bits: int, registers: int = 1) -> np.ndarray:
    return kernel(quotient, 2, bits, registers * HOST.lanes(ELEMENT[bits]))(above, below)


def operands_of_quotients(bits: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of both signs and every size, denormal ones too, whose quotients are numbers."""
    rng, kind = np.random.default_rng(5), DTYPE[bits]
    info = np.finfo(kind)
    low, high = info.minexp - FRACTION[bits], info.maxexp
    sizes = rng.uniform(low, high, (4 * count, 2))
    left = sizes[:, 0] - sizes[:, 1]
    sizes = sizes[(left > low) & (left < high - 1)][:count]
    above, below = (np.exp2(sizes) * rng.choice([-1.0, 1.0], sizes.shape)).astype(kind).T
    return above, below


@pytest.mark.parametrize("bits", [64, 32])
def test_quotients(bits: int) -> None:
    above, below = operands_of_quotients(bits, 20_000)
    got = quotients(above, below, bits)
    np.testing.assert_array_equal(got, quotients(above, below, bits, registers=2))
    with mp.workprec(200):
        truth = [mp.mpf(float(a)) / mp.mpf(float(b)) for a, b in zip(above, below, strict=True)]
        error = ulps(got, truth, bits)
    exact = np.abs(above) > np.finfo(DTYPE[bits]).tiny * 2.0 ** (FRACTION[bits] + 2)  # so is what the product leaves
    whole = np.abs(got) > np.finfo(DTYPE[bits]).tiny * 2
    assert error[exact & whole].max() < 0.501
    assert error.max() <= 2
    np.testing.assert_array_equal(np.signbit(got), np.signbit(above) ^ np.signbit(below))


@pytest.mark.parametrize("bits", [64, 32])
def test_quotients_of_unusual_operands(bits: int) -> None:
    """At the ends of what can be guessed, and beyond: right, or within 2 ulp of what is right."""
    kind, lanes = DTYPE[bits], HOST.lanes(ELEMENT[bits])
    info = np.finfo(kind)
    few = np.arange(1, 4, dtype=UNSIGNED[bits]).view(kind)  # the smallest of all
    ends = [info.max, info.max / 2, info.tiny, info.tiny / 2, info.tiny / 4, np.nextafter(info.tiny / 4, kind.type(1))]
    ends = [*ends, info.max / 4, np.nextafter(info.max / 4, kind.type(np.inf))]
    points = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, *few, *ends, *np.negative(ends), 1.0, -3.0], kind)
    above, below = (axis.ravel() for axis in np.meshgrid(points, points))
    with np.errstate(all="ignore"):
        want = above / below
    for beside in (False, True):  # alone in its register, or beside a lane that must be divided
        lines = [np.repeat(each, lanes).reshape(-1, lanes) for each in (above, below)]
        lines[1][:, 1] = 0 if beside else lines[1][:, 1]
        got = quotients(*(np.ascontiguousarray(each).ravel() for each in lines), bits).reshape(-1, lanes)[:, 0]
        special = ~np.isfinite(want) | (want == 0)
        np.testing.assert_array_equal(got[special], want[special])
        np.testing.assert_array_equal(np.signbit(got[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))
        near = np.abs(got[~special].view(f"i{bits // 8}") - want[~special].view(f"i{bits // 8}"))
        assert near.max() <= (0 if beside else 2)


@pytest.mark.parametrize("bits", [64, 32])
def test_zeros_above_keep_their_sign(bits: int) -> None:
    below = np.array([2.0, -2.0] * 8)
    for zero in (0.0, -0.0):
        got = quotients(np.full(16, zero), below, bits)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(zero / below))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_divisors_whose_reciprocal_underflows_in_a_fit(dtype: str) -> None:
    """What underflows in a fit is 0; the quotient of two large numbers is not."""
    w, s = sp.MatrixSymbol("w", 40, 1), sp.Symbol("s")
    large = 2.0**127 if dtype == "float32" else 2.0**1023
    rule = sm.optimizer({s: large}, {sm.parameter: sm.parameter - sm.gradient / s, s: s / 2})
    model = sm.compile(sm.sum(w) * (large / 2), [w], dtype=dtype)
    result = model.fit(epochs=1, optimizer=rule, start={w: np.zeros(40)})
    np.testing.assert_array_equal(np.asarray(result.parameters[w]), -0.5)


# ------------------------------------------------------------------------------------------------- over a root


def over_roots(above: np.ndarray, below: np.ndarray, bits: int, registers: int = 1) -> np.ndarray:
    return kernel(over_root, 2, bits, registers * HOST.lanes(ELEMENT[bits]))(above, below)


def away_from_roots(above: np.ndarray, below: np.ndarray, bits: int) -> np.ndarray:
    """Units in the last place from above / sqrt(below)."""
    with mp.workprec(200):
        truth = [mp.mpf(float(a)) / mp.sqrt(mp.mpf(float(b))) for a, b in zip(above, below, strict=True)]
        return ulps(over_roots(above, below, bits), truth, bits)


@pytest.mark.parametrize("bits", [64, 32])
def test_over_roots_of_every_exponent(bits: int) -> None:
    """No worse than a root and a quotient that are both correctly rounded: 1.5 ulp."""
    below = every_exponent(bits)
    below = below[np.isfinite(below) & (below > 0)]
    above = np.random.default_rng(3).uniform(1, 2, below.size).astype(DTYPE[bits])
    assert away_from_roots(above, below, bits).max() < 1.5
    np.testing.assert_array_equal(over_roots(-above, below, bits), -over_roots(above, below, bits))
    np.testing.assert_array_equal(over_roots(above, below, bits, registers=2), over_roots(above, below, bits))


@pytest.mark.parametrize("bits", [64, 32])
def test_over_roots_of_random_operands(bits: int) -> None:
    rng, kind = np.random.default_rng(13), DTYPE[bits]
    below = rng.uniform(1, 4, 20_000).astype(kind)
    assert away_from_roots(rng.uniform(1, 2, 20_000).astype(kind), below, bits).max() < 1.5
    tiny = (np.finfo(kind).tiny * np.exp2(rng.uniform(-FRACTION[bits], 1, 2_000))).astype(kind)
    assert away_from_roots(tiny, below[: tiny.size], bits).max() < 2


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("bits", [64, 32])
def test_over_roots_of_unusual_operands(bits: int, beside: bool) -> None:
    """Alone in its register, or beside a lane that must be divided."""
    kind, lanes = DTYPE[bits], HOST.lanes(ELEMENT[bits])
    info = np.finfo(kind)
    points = np.array([0.0, np.inf, np.nan, info.smallest_subnormal, info.tiny, info.max, info.max / 4, 1.0, 3.0], kind)
    points = np.concatenate([points, -points])
    above, below = (axis.ravel() for axis in np.meshgrid(points, points))
    with np.errstate(all="ignore"):
        want = above / np.sqrt(below)
    lines = [np.repeat(each, lanes).reshape(-1, lanes) for each in (above, below)]
    lines[1][:, 1] = 0 if beside else lines[1][:, 1]
    got = over_roots(*(np.ascontiguousarray(each).ravel() for each in lines), bits).reshape(-1, lanes)[:, 0]
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(want)]), np.signbit(want[~np.isnan(want)]))
    np.testing.assert_allclose(got, want, rtol=0 if beside else 3 * info.eps, atol=2 * info.smallest_subnormal)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", [adam(0.05), rmsprop(0.05), adagrad(0.05)], ids=["adam", "rmsprop", "adagrad"])
def test_a_fit_with_near_quotients_goes_the_same_way(rule: sm.Optimizer, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some parameters have no slope: their moments are 0, as is what is under the root."""
    w = sp.MatrixSymbol("w", 37, 1)
    ends = []
    for cycles in (0, 16):
        quick = staticmethod(lambda k, cycles=cycles: bool(cycles) and k.lanes * k.bits >= 128)
        monkeypatch.setattr(machine_simple, "has_one", quick)
        monkeypatch.setattr(small_steps, "this_machine", lambda cycles=cycles: replace(HOST, division=cycles))
        course._update_of.cache_clear()
        model = sm.compile(sm.dot(w, w) - 3 * w[0, 0] + sp.cos(w[5, 0]), [w], dtype=dtype)
        start = np.r_[np.linspace(-2, 2, 20), np.zeros(17)]
        result = model.fit(epochs=60, optimizer=rule, start={w: start})
        ends.append(np.asarray(result.parameters[w]).ravel())
    course._update_of.cache_clear()
    assert np.isfinite(ends[1]).all()
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-10 if dtype == "float64" else 1e-4, atol=1e-6)


# ---------------------------------------------------------------------------------------------------- in fits

x, y, *p = sp.symbols("x y p:7")
RATIONAL = (p[0] + x * (p[1] + x * (p[2] + x * p[3]))) / (1 + x * (p[4] + x * (p[5] + x * p[6])))
START = (1.0, 1.0, 0.4, 0.04, 0.7, 0.3, 0.03)


def fitted(prediction: sp.Expr, count: int, dtype: str) -> tuple[sm.Model, np.ndarray]:
    used = sorted(prediction.free_symbols - {x}, key=str)
    model = sm.compile((prediction - y) ** 2, parameters=used, dtype=dtype)
    at = np.linspace(-1.0, 2.0, count)
    values = np.cos(at)
    start = dict(zip(used, START, strict=False))
    options = {"optimizer": sm.sgd(1e-2), "epochs": 150, "shuffle": False, "verbose": False}
    result = model.fit({x: at, y: values}, start=start, **options)
    return model, np.array([result.parameters[each] for each in used])


def code(model: sm.Model) -> str:
    ((_, built),) = model._steps.loops
    return built.stages.program.code.text


def with_division(monkeypatch: pytest.MonkeyPatch, cycles: int) -> None:
    monkeypatch.setattr(small_steps, "this_machine", lambda: replace(HOST, division=cycles))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [3, 8, 37, 64])
def test_a_fit_without_divisions_goes_the_same_way(count: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_division(monkeypatch, 0)
    by_division, plain = fitted(RATIONAL, count, dtype)
    with_division(monkeypatch, 16)
    refined, close = fitted(RATIONAL, count, dtype)
    assert "rcp14" not in code(by_division)
    assert "rcp14" in code(refined)
    np.testing.assert_allclose(close, plain, rtol=1e-12 if dtype == "float64" else 1e-4)


def test_divisions_that_hide_behind_other_work_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    with_division(monkeypatch, 16)
    model, _ = fitted(p[0] * sp.exp(-p[1] * x) / (1 + p[2] * x**2), 37, "float64")
    assert "rcp14" not in code(model)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("divisor", [1, 3, 49, 512, 1000, 60_001])
def test_quotients_by_a_size_are_those_of_the_processor(divisor: int, bits: int) -> None:
    positive = every_exponent(bits)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], DTYPE[bits])
    above = np.concatenate([positive, -positive, special])
    below = np.full_like(above, divisor)
    inverse = DTYPE[bits].type(1) / below
    got = kernel(quotient_by_fixed, 3, bits, HOST.lanes(ELEMENT[bits]))(above, below, inverse)
    with np.errstate(all="ignore"):
        wanted = above / below
    usual = ~(np.abs(wanted) < np.finfo(DTYPE[bits]).tiny * 2.0 ** FRACTION[bits])  # else what is left may be rounded
    np.testing.assert_array_equal(got[usual], wanted[usual])
    np.testing.assert_array_equal(np.signbit(got[usual]), np.signbit(wanted[usual]))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=np.finfo(DTYPE[bits]).tiny)
