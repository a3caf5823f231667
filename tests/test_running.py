"""Sums, maxima, products and log-sum-exps over all j <= i, or j >= i: one pass along i, and the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from drawing import MANY
from hypothesis import given, settings
from hypothesis import strategies as st
from running_formulas import (
    FORMULAS,
    LENGTHS,
    ROUNDED,
    W,
    a,
    agree,
    agree_where_defined,
    below,
    built,
    g,
    i,
    is_carried,
    j,
    label,
    n,
    numbers,
    squares,
    total,
    w,
    x,
    y,
)

import sympile as sm
from sympile.compiler.graph.inline import core
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FORMULAS)
def test_the_same_as_each_on_its_own(name: str, dtype: str) -> None:
    loss, parameters = FORMULAS[name]
    model, apart = built(loss, parameters, dtype=dtype), built(loss, parameters, rewrites="exact")
    assert is_carried(model._step.built.fused.stored) or name in ROUNDED
    for length in LENGTHS[3:] if "well before" in name else LENGTHS[1:]:
        values = numbers(loss, length)
        agree(model.value_and_grad(values), apart.value_and_grad(values), 1e-12 if dtype == "float64" else 2e-4)


@pytest.mark.parametrize("name", FORMULAS)
def test_slopes_by_central_differences(name: str) -> None:
    loss, parameters = FORMULAS[name]
    model = built(loss, parameters)
    for parameter, deviation in model.check(numbers(loss, 19)).items():
        assert deviation.error < 1e-6, (parameter, deviation)


def test_slopes_of_products_with_zeros() -> None:
    """Nothing is divided: of two zeros each makes the other one's slope 0."""
    model = built(total(y[i] * sp.Product(w[j], below(i))), [w])
    assert is_carried(model._step.built.fused.stored)
    rng = np.random.default_rng(5)
    for zeros in ([], [3], [0], [4, 11], [18, 19]):
        values = {"w": rng.normal(size=20), "y": rng.normal(size=20)}
        values["w"][zeros] = 0.0
        beside = [np.delete(np.arange(20), at) for at in range(20)]
        others = [
            [np.prod(values["w"][rest[rest <= to]]) * (at <= to) for to in range(20)] for at, rest in enumerate(beside)
        ]
        np.testing.assert_allclose(model.backward(values)[w], np.array(others) @ values["y"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["largest", "smallest"])
def test_slopes_of_extremes_are_shared_at_ties(name: str) -> None:
    loss, parameters = FORMULAS[name]
    model, apart = built(loss, parameters), built(loss, parameters, rewrites="exact")
    rng = np.random.default_rng(4)
    for length in LENGTHS[1:]:
        values = {"w": rng.integers(-1, 2, length).astype(float), "y": rng.normal(size=length)}
        agree(model.value_and_grad(values), apart.value_and_grad(values), 1e-12)


# ------------------------------------------------------------------------------------------------ any formula


@st.composite
def losses(draw: Any) -> Any:
    """Random sums over pairs of places under a condition on both."""
    shift = draw(st.integers(-2, 2))
    limits = draw(st.sampled_from([(j, 0, i), (j, i, n - 1), (j, 0, n - 1 - i), (j, 0, n - 1)]))
    guard = draw(st.sampled_from([True, j >= i + shift, j <= i + shift, j <= n - 1 - i + shift]))
    term = sp.Integer(draw(st.sampled_from([1, -1, 2])))
    for _ in range(draw(st.integers(1, 3))):
        term *= draw(
            st.sampled_from(
                [w[j], w[i], x[i], x[j], w[j] - x[j], sp.exp(w[j]), a, a ** (i + j), 1 + x[i] ** 2, i - j, x[i] - w[j]]
            )
        )
    binder, nothing = draw(
        st.sampled_from([(sp.Sum, 0), (sp.Sum, 0), (sm.Maximum, -sp.oo), (sm.Minimum, sp.oo), (sm.LogSumExp, -sp.oo)])
    )
    inner = binder(sm.where(guard, term, nothing) if guard is not True else term, limits)
    if binder is not sp.Sum:
        inner = sp.atan(inner)
    return total(draw(st.sampled_from([1, y[i], x[i]])) * draw(st.sampled_from([inner, inner**2, sp.sin(inner)])))


@settings(MANY, max_examples=60)
@given(losses(), st.sampled_from([3, 8, 13, 18]), st.integers(0, 5))
def test_any_sum_under_a_condition_on_two_places(loss: Any, length: int, seed: int) -> None:
    if not loss.has(w.label):
        return
    carried, apart = built(loss, [w]), built(loss, [w], rewrites="exact")
    values = {name: 0.5 * value for name, value in numbers(loss, length, seed).items()}
    agree_where_defined(carried.value_and_grad(values), apart.value_and_grad(values))


# fmt: off
GUARDS: dict[str, Any] = {
    "<= i":         lambda shift: j <= i + shift,
    ">= i":         lambda shift: j >= i + shift,
    "<= n - 1 - i": lambda shift: j <= n - 1 - i + shift,
    ">= n - 1 - i": lambda shift: j >= n - 1 - i + shift,
}
REDUCED: dict[str, Any] = {
    "log-sum-exp": lambda guard: sp.atan(sm.LogSumExp(sm.where(guard, w[j] + x[j], -sp.oo), (j, 0, n - 1))),
    "largest":     lambda guard: sp.atan(sm.Maximum(sm.where(guard, w[j], -sp.oo), (j, 0, n - 1))),
    "product":     lambda guard: sp.atan(sp.Product(sm.where(guard, 2 + w[j], 1), (j, 0, n - 1))),
    "sum":         lambda guard: sp.Sum(sm.where(guard, w[j]*(i - j), 0), (j, 0, n - 1)),
}
# fmt: on


@pytest.mark.parametrize("shift", [-2, -1, 1, 3])
@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("kind", REDUCED)
def test_places_beyond_either_end(kind: str, guard: str, shift: int) -> None:
    """Where i is near an end, the last j would lie beyond it: all places count, or none."""
    loss = total(y[i] * REDUCED[kind](GUARDS[guard](shift)))
    carried, apart = built(loss, [w]), built(loss, [w], rewrites="exact")
    for length in (2, 3, 13):
        values = numbers(loss, length)
        agree_where_defined(carried.value_and_grad(values), apart.value_and_grad(values))


# ------------------------------------------------------------------------------------------------ shown


def test_formulas_have_ranges_instead_of_conditions() -> None:
    risk = -total(y[i] * (w[i] - sm.LogSumExp(w[j], (j, i, n - 1))))
    assert (
        str(built(risk, [w]).gradient[w])
        == "dloss/dw[i] = Sum(exp(w[i] - LogSumExp(w[k], (k, j, n - 1)))*y[j], (j, 0, i)) - y[i]"
    )
    level = built(squares(sp.Sum(w[j], below(i))), [w]).gradient[w]
    assert str(level) == "dloss/dw[i] = 2*Sum(Sum(w[k], (k, 0, j)) - y[j], (j, i, n - 1))"


# Sums within sums under conditions on positions: the same numbers, another core.
OTHERWISE = {
    "product",
    "product of those after",
    "product of those before",
    "one of the other",
    "discounted",
    "discounted, those before",
}
# An inner sum stands apart from the range around it, and its positions would run outside: an error says so.
REFUSED = {"against the axis", "discounted, from 0", "smoothed"}


@pytest.mark.parametrize("name", [name for name in FORMULAS if name not in REFUSED])
def test_what_is_shown_is_read_as_it_was(name: str) -> None:
    loss, parameters = FORMULAS[name]
    model = built(loss, parameters)
    for parameter in parameters:
        one = model.gradient[parameter]
        if name in OTHERWISE:
            values = numbers(loss, 12)
            symbols = [symbol for symbol in (a, g, w, x, y, W) if label(symbol) in values]
            found = sm.lambdify(symbols, one.expanded())(*[values[label(symbol)] for symbol in symbols])
            np.testing.assert_allclose(found, model.backward(values)[parameter], rtol=1e-11, atol=1e-12)
            continue
        again = Scope(parameters=one.scope.parameters, constants=one.scope.constants, batched=one.scope.batched)
        assert core([read_all({"gradient": one.expanded()}, again)["gradient"].tensor]) == core([one.definition]), str(
            one
        )
