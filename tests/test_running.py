"""Sums, maxima, products and log-sum-exps over all j <= i, or j >= i: one pass along i, and the same numbers."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from drawing import MANY
from hypothesis import given, settings
from hypothesis import strategies as st

import sympile as sm
from sympile.compiler.graph.inline import core
from sympile.compiler.passes.fusing.group import domain_of
from sympile.compiler.passes.fusing.running import SHORT
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope

i, j, k, c = sm.indices("i j k c")
n, m = sp.symbols("n m")
a, g = sp.symbols("a g")
w, x, y = (sp.IndexedBase(name, shape=(n,)) for name in "wxy")
W = sp.IndexedBase("W", shape=(n, m))
LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 40)  # around whole registers of 8 and 16


def total(expression: Any) -> Any:
    """The sum over i, where SymPy cannot draw conditions on j out of it."""
    return sp.Sum(sm.comprehension(expression, (i, n))[k], (k, 0, n - 1))


def squares(expression: Any) -> Any:
    return total((y[i] - expression) ** 2)


def below(to: Any) -> Any:
    return (j, 0, to)


def above(start: Any) -> Any:
    return (j, start, n - 1)


# fmt: off
FORMULAS: dict[str, Any] = {  # a loss, its parameters
    "sum":                       (squares(sp.Sum(w[j], below(i))), [w]),
    "sum from here":             (squares(sp.Sum(w[j], above(i))), [w]),
    "sum of those before":       (squares(sp.Sum(w[j], below(i - 1))), [w]),
    "sum of those after":        (squares(sp.Sum(w[j], above(i + 1))), [w]),
    "sum of those well before":  (squares(sp.Sum(w[j], below(i - 3))), [w]),
    "counted from the end":      (squares(sp.Sum(w[j], below(n - 1 - i))), [w]),
    "a drift":                   (squares(a*sp.Sum(x[j], below(i))), [a]),
    "a factor on either side":   (squares(sp.Sum(x[i]*w[j]*x[j]/2, below(i))), [w]),
    "several terms":             (squares(sp.Sum(w[j]*x[j] - w[j]**2, above(i))), [w]),
    "of functions":              (squares(sp.Sum(sp.exp(w[j])*x[j], above(i))), [w]),
    "of a sum":                  (squares(sp.Sum(W[j, c]*x[j], (c, 0, m - 1), below(i))), [W]),
    "two at once":               (squares(sp.Sum(w[j], below(i)) + sp.Sum(w[j]**2, above(i))), [w]),
    "one of the other":          (squares(sp.Sum(sm.comprehension(sp.Sum(w[c], (c, j, n - 1)), (j, n))[j], below(i))), [w]),
    "summed again":              (total(y[i]*sp.Sum(w[j]*x[j], below(i))), [w]),
    "side by side":              (sp.Sum((W[i, c]*y[i] - sp.Sum(W[j, c]*x[j], below(i)))**2, (i, 0, n - 1), (c, 0, m - 1)), [W]),
    "under a condition on data": (squares(sp.Sum(sp.Piecewise((w[j], x[j] > 0), (0, True)), below(i))), [w]),
    "how many":                  (squares(a*sp.Sum(sp.Piecewise((1, x[j] > 0), (0, True)), below(i))), [a]),
    "a guard":                   (squares(sp.Sum(sp.Piecewise((w[j], j >= i + 2), (0, True)), (j, 0, n - 1))), [w]),
    "against the axis":          (squares(sp.Sum(w[i - j]*x[i], below(i))), [w]),
    "largest":                   (squares(sm.Maximum(w[j], below(i))), [w]),
    "largest from here":         (squares(sm.Maximum(w[j]*x[j], above(i))), [w]),
    "largest with a term":       (squares(sm.Maximum(w[j] - x[i], below(i))), [w]),
    "smallest":                  (squares(sm.Minimum(w[j], above(i))), [w]),
    "log-sum-exp":               (squares(sm.LogSumExp(w[j], below(i))), [w]),
    "log-sum-exp from here":     (squares(sm.LogSumExp(w[j] + x[j], above(i))), [w]),
    "log-sum-exp with a term":   (squares(sm.LogSumExp(w[j] - x[i], above(i))), [w]),
    "log of a sum":              (squares(sp.log(sp.Sum(sp.exp(w[j]), above(i)))), [w]),
    "discounted":                (squares(sp.Sum(g**(j - i)*w[j], above(i))), [g, w]),
    "discounted, from 0":        (squares(sp.Sum(g**j*w[i + j], below(n - 1 - i))), [g, w]),
    "discounted, those before":  (squares(sp.Sum(g**(i - j)*w[j], below(i - 1))), [g, w]),
    "discounted by two":         (squares(sp.Sum(g**(2*i - 2*j)*w[j], below(i))), [w]),
    "smoothed":                  (squares(a*sp.Sum((1 - a)**j*w[i - j], below(i))), [a, w]),
    "decay":                     (squares(sp.Sum(sp.exp(-g*(i - j))*w[j], below(i))), [g, w]),
    "product":                   (squares(sp.Product(w[j], below(i))), [w]),
    "product of those after":    (squares(sp.Product(1 + x[j]*w[j], above(i + 1))), [w]),
    "product of those before":   (squares(sp.Product(w[j] + 2, below(i - 1))/3**i), [w]),
    "product of all":            ((sp.Product(1 + w[i]*x[i], (i, 0, n - 1)) - a)**2, [w]),
    "distances":                 (squares(sp.Sum((i - j)*w[j], below(i))/n), [w]),
}
ROUNDED = {"largest with a term"}  # equal once they are rounded: its slopes look at every pair
# fmt: on


def built(loss: Any, parameters: list[Any], **options: Any) -> Any:
    names = {label(symbol) for symbol in loss.free_symbols}
    constants = [symbol for symbol in (a, g, w, x, y, W) if label(symbol) in names and symbol not in parameters]
    return sm.compile(loss, parameters, constants=constants, **options)


def label(symbol: Any) -> str:
    return str(getattr(symbol, "label", symbol))


def numbers(loss: Any, length: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    values = {"a": 0.4, "g": 0.8, "W": rng.normal(size=(length, 5))} | {k: rng.normal(size=length) for k in "wxy"}
    return {name: values[name] for name in sorted({label(symbol) for symbol in loss.free_symbols} & set(values))}


def is_carried(tensors: Any) -> bool:
    """Whether nothing is computed for each pair of places."""
    return all(
        sum(str(index.data[1].data) == "n" for index in domain_of(t)) < 2 for t in tensors if t.kind == "formula"
    )


def agree(found: Any, expected: Any, rtol: float) -> None:
    (value, slopes), (value_, slopes_) = found, expected
    np.testing.assert_allclose(value, value_, rtol=rtol)
    for parameter, slope in slopes.items():
        scale = np.abs(slopes_[parameter][np.isfinite(slopes_[parameter])]).max(initial=0)
        np.testing.assert_allclose(slope, slopes_[parameter], rtol=rtol, atol=rtol * scale)


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


# ------------------------------------------------------------------------------------------------ against NumPy

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
SPECIAL: dict[str, Any] = {
    "spread out":               lambda rng, length: rng.uniform(-800, 800, length),
    "rising":                   lambda rng, length: np.linspace(-800, 800, length),
    "falling":                  lambda rng, length: np.linspace(800, -800, length),
    "nothing at first":         lambda rng, length: np.where(np.arange(length) < length // 2, -np.inf, -800.0),
    "nothing at last":          lambda rng, length: np.where(np.arange(length) < length // 2, 800.0, -np.inf),
    "nothing at all":           lambda rng, length: np.full(length, -np.inf),
    "nothing in between":       lambda rng, length: np.where(rng.random(length) < 0.5, -np.inf, 700 * rng.normal(size=length)),
    "infinite once":            lambda rng, length: np.where(np.arange(length) == length // 3, np.inf, -750.0),
    "nan once":                 lambda rng, length: np.where(np.arange(length) == length // 3, np.nan, rng.normal(size=length)),
    "zeros":                    lambda rng, length: np.zeros(length),
    "zeros of both signs":      lambda rng, length: np.where(rng.random(length) < 0.5, 0.0, -0.0),
    "ties":                     lambda rng, length: rng.integers(-2, 3, length).astype(float),
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


def agree_where_defined(found: Any, expected: Any) -> None:
    """Each on its own, a log-sum-exp of nothing passes nan back to what is its term nowhere; here it may pass 0."""
    (value, slopes), (value_, slopes_) = found, expected
    agree((value, slopes), (value_, {p: np.where(np.isnan(s), slopes[p], s) for p, s in slopes_.items()}), 1e-10)


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


def test_formulas_have_ranges_instead_of_conditions() -> None:
    risk = -total(y[i] * (w[i] - sm.LogSumExp(w[j], above(i))))
    assert (
        str(built(risk, [w]).gradient[w])
        == "dloss/dw[i] = Sum(exp(w[i] - LogSumExp(w[k], (k, j, n - 1)))*y[j], (j, 0, i)) - y[i]"
    )
    level = built(squares(sp.Sum(w[j], below(i))), [w]).gradient[w]
    assert str(level) == "dloss/dw[i] = 2*Sum(-y[j] + Sum(w[k], (k, 0, j)), (j, i, n - 1))"


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
