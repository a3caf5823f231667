"""Piecewise in formulas over indices: which index a condition asks for, and conditions on indices joined by and, or, not."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm

Array = npt.NDArray[Any]
i, j = sm.indices("i j")
n = 6
x, y = sp.IndexedBase("x", shape=(n,)), sp.IndexedBase("y", shape=(n,))
X, Y = np.arange(1.0, n + 1), 10.0 ** np.arange(n)


def border(values: Array, inner: Array) -> Array:
    return np.concatenate([values[:1], inner, values[-1:]])


# fmt: off
CHOICES: list[Any] = [
    #            the entry at i, all entries in NumPy
    pytest.param(sp.Piecewise((x[i], i < 2), (0, True)), lambda v: np.where(np.arange(n) < 2, v, 0), id="first entries"),
    pytest.param(sp.Piecewise((x[i]**2, sp.Eq(i, 2)), (x[i], True)), lambda v: np.where(np.arange(n) == 2, v**2, v), id="one entry"),
    pytest.param(sp.Piecewise((x[i - 1], i > 0), (0, True)), lambda v: np.r_[0, v[:-1]], id="shifted"),
    pytest.param(sp.Piecewise((x[i - 1], (i > 0) & (i < n)), (0, True)), lambda v: np.r_[0, v[:-1]], id="and"),
    pytest.param(sp.Piecewise((x[i], sp.Or(i < 1, i > n - 2)), (x[i + 1]*x[i - 1], True)),
                 lambda v: border(v, v[2:]*v[:-2]), id="or: borders kept"),
    pytest.param(sp.Piecewise((x[i], sp.Not(sp.And(i > 0, i < n - 1), evaluate=False)), (x[i + 1]*x[i - 1], True)),
                 lambda v: border(v, v[2:]*v[:-2]), id="not: borders kept"),
    pytest.param(1 + sp.Piecewise((sp.Piecewise((x[i], x[i] > 2), (5, True)), i > 1), (x[i]**2, True)),
                 lambda v: 1 + np.where(np.arange(n) > 1, np.where(v > 2, v, 5), v**2), id="one inside of another"),
]
# fmt: on


@pytest.mark.parametrize("index", [i, j], ids=["the same index", "another index"])
@pytest.mark.parametrize("entry, entries", CHOICES)
def test_a_condition_asks_for_the_index_of_its_own_range(
    entry: Any, entries: Callable[[Array], Array], index: Any
) -> None:
    """`sp.Sum` draws every Piecewise that it finds to its top, where i is another index, or none."""
    h = sm.comprehension(entry, (i, n))
    model = sm.compile(sp.Sum(h[n - 1 - index] ** 2 * y[index], (index, 0, n - 1)), x, constants=[y])
    values = {x: X, y: Y}
    np.testing.assert_allclose(model.forward(values), (entries(X)[::-1] ** 2 * Y).sum(), rtol=1e-14)
    assert model.check(values).error < 1e-6


def test_binders_of_ours_keep_their_choices() -> None:
    inner = sm.LogSumExp(sp.Piecewise((x[i] + x[j], i < 2), (x[i], True)), (i, 0, n - 1))
    model = sm.compile(sp.Sum(inner * y[j], (j, 0, n - 1)), x, constants=[y])
    entries = np.where(np.arange(n)[:, None] < 2, X[:, None] + X, X[:, None])
    np.testing.assert_allclose(model.forward({x: X, y: Y}), np.logaddexp.reduce(entries) @ Y, rtol=1e-14)


def test_a_named_recurrence_with_a_choice_at_each_step() -> None:
    """Heat that flows along a rod whose ends are kept: what was drawn out had two meanings under one name."""
    u: Any = x
    for step in range(3):
        flow = u[i] + y[i] * (u[i + 1] - 2 * u[i] + u[i - 1])
        u = sm.named(f"u{step}", sm.comprehension(sp.Piecewise((u[i], sp.Or(i < 1, i > n - 2)), (flow, True)), (i, n)))
    model = sm.compile(sp.Sum(u[i] ** 2, (i, 0, n - 1)), y, constants=[x])
    rates, now = np.linspace(0.1, 0.2, n), X**2
    for _ in range(3):
        now = border(now, now[1:-1] + rates[1:-1] * (now[2:] - 2 * now[1:-1] + now[:-2]))
    values = {x: X**2, y: rates}
    np.testing.assert_allclose(model.forward(values), (now**2).sum(), rtol=1e-14)
    assert model.check(values).error < 1e-6


def test_choices_are_shown_substituted_and_pickled_as_before() -> None:
    choice = sp.Piecewise((x[i], i < 2), (0, True))
    h = sm.comprehension(choice + 1, (i, n))
    assert str(h) == f"[{choice} + 1 for i < {n}]"
    assert r"\begin{cases} {x}_{i} & i < 2 \\ 0 & \text{otherwise} \end{cases}" in sp.latex(h)
    assert pickle.loads(pickle.dumps(h)) is h
    assert h.subs(x, y) is sm.comprehension(choice.subs(x, y) + 1, (i, n))
    assert h.subs(i, 1) is h


def test_a_recurrence_over_indices_takes_time_that_grows_with_its_steps() -> None:
    """Each state stands under three bindings of an index, and was read anew under each: 3^20 times the first."""
    steps, state = 20, sm.Tensor("x", (n,))
    first = state
    for _ in range(steps):
        inner = sm.comprehension(sm.LogSumExp(y[i] * state[i], (i, 0, n - 1)) + state[j] - state[n - 1 - j], (j, n))
        state = inner / 2
    loss = sm.comprehension(state[i] ** 2, (i, n)).sum()
    model = sm.compile(loss, first, constants=[y])
    weights, now = np.linspace(0.1, 0.2, n), X
    for _ in range(steps):
        now = (np.log(np.exp(weights * now).sum()) + now - now[::-1]) / 2
    values = {first: X, y: weights}
    np.testing.assert_allclose(model.forward(values), (now**2).sum(), rtol=1e-12)
    assert model.check(values).error < 1e-5


# ------------------------------------------------------------------------------------------------ ranges of an index


def below(values: Array, first: int = 0) -> list[Array]:
    """For each place, the values from there on."""
    return [values[at + first :] for at in range(len(values))]


RANGES = [
    #            over the entries from i on, of one row in NumPy
    pytest.param(sm.LogSumExp(x[j] * y[j], (j, i, n - 1)), lambda part: np.logaddexp.reduce(part), id="log-sum-exp"),
    pytest.param(sm.Maximum(x[j] * y[j], (j, i, n - 1)), np.max, id="maximum"),
    pytest.param(sm.Minimum(x[j] * y[j], (j, i, n - 1)), np.min, id="minimum"),
    pytest.param(sp.Product(x[j] * y[j], (j, i, n - 1)), np.prod, id="product"),
    pytest.param(sp.Sum(x[j] * y[j], (j, i, n - 1)), np.sum, id="sum"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("entry, of_part", RANGES)
def test_a_range_that_begins_at_another_index(entry: Any, of_part: Callable[[Array], Any], dtype: str) -> None:
    model = sm.compile(sp.Sum(entry / 100, (i, 0, n - 1)), x, constants=[y], dtype=dtype)
    values = {x: np.array([0.3, -1.2, 0.8, 2.5, -0.4, 1.1]), y: np.array([1.0, 0.5, -2.0, 1.5, 0.7, 0.9])}
    want = sum(of_part(part) for part in below(values[x] * values[y])) / 100
    np.testing.assert_allclose(model.forward(values), want, rtol=1e-13 if dtype == "float64" else 1e-5)
    assert model.check(values).error < (1e-6 if dtype == "float64" else 2e-2)


def test_an_empty_range() -> None:
    """The largest of nothing is less than all; a product of nothing is 1; and no slope is nan."""
    strict = [op(x[j], (j, i + 1, n - 1)) for op in (sm.Maximum, sm.LogSumExp, sp.Product, sm.Minimum)]
    greatest, logs, product, least = [sm.comprehension(entry, (i, n)) for entry in strict]
    f = sm.lambdify(x, [greatest[n - 1], logs[n - 1], product[n - 1], least[n - 1], greatest[0], product[0]])
    assert f(X) == [-np.inf, -np.inf, 1, np.inf, n, 720]
    slope = sm.lambdify(x, sm.grad(sm.comprehension(sm.relu(logs[i]), (i, n)).sum(), x))(X)
    want = np.zeros(n)
    for at in range(n - 1):
        want[at + 1 :] += np.exp(X[at + 1 :] - np.logaddexp.reduce(X[at + 1 :]))
    np.testing.assert_allclose(slope, want, rtol=1e-14)


def test_partial_likelihood_of_survival_times() -> None:
    """Cox's (1972), subjects in the order of their times: at each event, the log-sum-exp over all that are still there."""
    events = np.array([1.0, 0, 1, 1, 0, 1])
    loss = -sp.Sum(y[i] * (x[i] - sm.LogSumExp(x[j], (j, i, n - 1))), (i, 0, n - 1)) / n
    model = sm.compile(loss, x, constants=[y])
    risks = [np.logaddexp.reduce(part) for part in below(X)]
    np.testing.assert_allclose(model.forward({x: X, y: events}), -(events * (X - risks)).sum() / n, rtol=1e-14)
    assert model.check({x: X, y: events}).error < 1e-6
