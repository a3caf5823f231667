"""Recurrences of single numbers, written with a loop in Python: right, and no longer than they need be."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from truth import complex_step

import sympile as sm

Model = Callable[[Any, Sequence[Any], Any, Callable[[str, Any], Any]], Any]  # functions, parameters, data, name of a state

# ------------------------------------------------------------------------------------------------ models


def volatility(f: Any, p: Sequence[Any], y: Any, named: Callable[[str, Any], Any]) -> Any:
    """Generalised autoregressive conditional heteroskedasticity (Bollerslev 1986)."""
    h, loss = f.exp(p[0]), 0
    for t in range(1, len(y)):
        h = named(f"h{t}", f.exp(p[0]) + p[1] ** 2 * y[t - 1] ** 2 + p[2] ** 2 * h)
        loss = loss + f.log(h) + y[t] ** 2 / h
    return loss / len(y)


def level(f: Any, p: Sequence[Any], y: Any, named: Callable[[str, Any], Any]) -> Any:
    """The likelihood of a local level, filtered (Kalman 1960)."""
    q, r = f.exp(p[0]), f.exp(p[1])
    mean, variance, loss = p[2], 1, 0
    for t in range(len(y)):
        variance = named(f"P{t}", variance + q)
        spread = named(f"F{t}", variance + r)
        error = named(f"v{t}", y[t] - mean)
        loss = loss + f.log(spread) + error**2 / spread
        gain = named(f"K{t}", variance / spread)
        mean, variance = named(f"m{t}", mean + gain * error), named(f"U{t}", variance * (1 - gain))
    return loss / len(y)


def trend(f: Any, p: Sequence[Any], y: Any, named: Callable[[str, Any], Any]) -> Any:
    """Exponential smoothing of level and trend (Holt 1957)."""
    height, slope, loss = y[0], p[2], 0
    for t in range(1, len(y)):
        error = named(f"e{t}", y[t] - height - slope)
        loss = loss + error**2
        height, slope = named(f"l{t}", height + slope + p[0] * error), named(f"d{t}", slope + p[0] * p[1] * error)
    return loss / len(y)


def residuals(f: Any, p: Sequence[Any], y: Any, named: Callable[[str, Any], Any]) -> Any:
    """A mean that moves: each residual is told by the one before."""
    error, loss = 0, 0
    for t in range(1, len(y)):
        error = named(f"e{t}", y[t] - p[0] - p[1] * y[t - 1] - p[2] * error)
        loss = loss + error**2
    return loss / len(y)


def population(f: Any, p: Sequence[Any], y: Any, named: Callable[[str, Any], Any]) -> Any:
    """Steps of Lotka and Volterra's equations, and a cosine of each."""
    prey, hunters, loss = 1, 0.5, 0
    for t in range(len(y)):
        change = p[0] * prey - p[1] * prey * hunters, p[1] * prey * hunters - p[2] * hunters
        prey, hunters = named(f"x{t}", prey + 0.03 * change[0]), named(f"w{t}", hunters + 0.03 * change[1])
        loss = loss + (prey - y[t]) ** 2 + f.cos(hunters * prey)
    return loss / len(y)


MODELS: dict[str, Model] = {m.__name__: m for m in (volatility, level, trend, residuals, population)}
SHORT, LONG = 20, 130  # the second has more operations than code is generated for with care


def compiled(name: str, length: int, dtype: str = "float64") -> tuple[Any, list[sp.Symbol], sp.IndexedBase]:
    y, parameters = sp.IndexedBase("y", shape=(length,)), list(sp.symbols("p0 p1 p2"))
    loss = MODELS[name](sp, parameters, [y[t] for t in range(length)], sm.named)
    return sm.compile(loss, parameters, constants=[y], dtype=dtype, allow_unused=parameters), parameters, y


def data(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=length)


def true(name: str, at: Sequence[float], y: np.ndarray) -> tuple[float, list[float]]:
    """Loss and slopes of the same loop over numbers."""

    def value(values: Any) -> Any:
        return MODELS[name](np, list(values["p"]), values["y"], lambda _, state: state)

    values = {"p": np.array(at), "y": y}
    return float(value(values)), list(complex_step(value, values, "p"))


# ------------------------------------------------------------------------------------------------ right


@pytest.mark.parametrize(("length", "dtype"), [(SHORT, "float64"), (SHORT, "float32"), (LONG, "float64")])
@pytest.mark.parametrize("name", MODELS)
def test_against_a_loop_over_numbers(name: str, length: int, dtype: str) -> None:
    model, parameters, y = compiled(name, length, dtype)
    at, values = [0.3, 0.6, 0.4], data(length)
    loss, slopes = model.value_and_grad({**dict(zip(parameters, at, strict=True)), y: values})
    wanted, along = true(name, at, values)
    near = 1e-12 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(loss, wanted, rtol=near)
    scale = max(map(abs, along))
    np.testing.assert_allclose([slopes[p] for p in parameters], along, rtol=near, atol=near * scale)


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 40), st.lists(st.sampled_from([-2, -1, -0.5, 1, 2]), min_size=3, max_size=3), st.integers(0, 9))
def test_sums_of_any_length_and_signs(length: int, signs: list[float], seed: int) -> None:
    """Sums of like terms, some of them negative, others products, whether they are one chain or several."""
    symbols = sp.symbols(f"x:{length}")
    terms = [signs[k % 3] * s * symbols[k - 1] if k % 2 else signs[k % 3] * s for k, s in enumerate(symbols)]
    values = np.round(8 * data(length, seed)) / 8  # sums of these are exact in any order
    wanted = sum(float(t.subs(dict(zip(symbols, values, strict=True)))) for t in terms)
    f = sm.lambdify(symbols, sp.Add(*terms))
    assert f(*values) == wanted


FACTORS = ["a", "b", "c", "a*b", "1/4", "-a", "-b*c", "-1/2*a*c", "1", "a**2"]


@settings(max_examples=12, deadline=None)
@given(st.integers(15, 60), st.lists(st.sampled_from(FACTORS), min_size=1, max_size=5), st.integers(0, 9))
def test_common_factors_of_sums(length: int, factors: list[str], seed: int) -> None:
    """What some or all terms have in common, with either sign, is multiplied once."""
    symbols, others = sp.symbols(f"x:{length}"), sp.symbols("a b c")
    terms = [sp.sympify(factors[k % len(factors)]) * s for k, s in enumerate(symbols)]
    values = np.round(8 * data(length + 3, seed)) / 8  # sums and products of these are exact in any order
    at = dict(zip((*symbols, *others), map(sp.Rational, map(float, values)), strict=True))
    f = sm.lambdify((*symbols, *others), sp.Add(*terms))
    assert f(*values) == float(sum(term.subs(at) for term in terms))


# ------------------------------------------------------------------------------------------------ short


def test_common_factors_of_long_sums_are_multiplied_once() -> None:
    """Of three slopes with a term for each step: by what the loss is divided, and the slope of what a parameter stands in."""
    text = text_of("trend", LONG)
    assert len(re.findall(r"fmul|@llvm\.fma", text)) < 10 * LONG  # 12 if each term has them


def text_of(name: str, length: int) -> str:
    return str(compiled(name, length)[0].stages["llvm"])


@pytest.mark.parametrize("name", ["trend", "residuals"])
def test_numbers_that_nobody_else_reads_are_not_stored(name: str) -> None:
    """Of some 250 states, errors and slopes only the loss and its slopes are."""
    assert len(re.findall(r"^  store double", text_of(name, LONG), re.MULTILINE)) <= 8


def test_where_code_is_generated_quickly_what_is_taken_away_is_subtracted() -> None:
    """Turning a sign takes that generator three instructions."""
    text = text_of("trend", LONG)
    assert text.count("fma") < text.count("fmul") / 10, "not the quick generator"
    assert text.count("fneg") < LONG / 10 < text.count("fsub")


def test_long_sums_are_several_chains() -> None:
    """Fewer additions wait for each other than there are terms."""
    a, y = sp.Symbol("a"), sp.IndexedBase("y", shape=(64,))
    loss = sp.Add(*[(y[k] - a) ** 2 for k in range(64)])
    text = str(sm.compile(loss, [a], constants=[y]).stages["llvm"])
    waits: dict[str, int] = {}
    for made, what in re.findall(r"(%v\d+) = (f(?:add|sub|mul|neg) double .*|call double @llvm.fma.*)", text):
        waits[made] = 1 + max((waits.get(used, 0) for used in re.findall(r"%v\d+", what)), default=0)
    assert len(waits) >= 64
    assert max(waits.values()) < 40
