"""Fits of small models in small batches, whose numbers stay in registers: against NumPy, and the loop for every model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.runtime.model import training

N, EPOCHS = 45, 4
i = sm.indices("i")
b, y, t, c, rate = sp.symbols("b y t c rate")
rng = np.random.default_rng(4)


@pytest.fixture(autouse=True)
def _short_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ALONE", 1)


def linear(width: int) -> tuple[Any, list[Any], dict[Any, Any], dict[Any, Any]]:
    """Loss, parameters, data and first values of a regression."""
    x, w = sp.IndexedBase("x", shape=(width,)), sp.IndexedBase("w", shape=(width,))
    z = sp.Sum(w[i] * x[i], (i, 0, width - 1)) + b
    data = {x: rng.normal(size=(N, width)), y: rng.normal(size=N)}
    return (z - y) ** 2, [w, b], data, {w: 0.1 * rng.normal(size=width), b: 0.2}


def decay() -> tuple[Any, list[Any], dict[Any, Any], dict[Any, Any]]:
    data = {t: rng.random(N), y: rng.normal(size=N)}
    return (b * sp.exp(-rate * t) + c - y) ** 2, [b, rate, c], data, {b: 1.0, rate: 0.5, c: 0.1}


def logistic() -> tuple[Any, list[Any], dict[Any, Any], dict[Any, Any]]:
    _, parameters, data, start = linear(4)
    (x, w) = next(s for s in data if s is not y), parameters[0]
    z = sp.Sum(w[i] * x[i], (i, 0, 3)) + b
    return sm.softplus(z) - y * z, parameters, {**data, y: 1.0 * (data[y] > 0)}, start


def in_registers(model: Any) -> bool:
    """Whether every fit of the model so far had the loop of its own."""
    found = list(model._steps._together.values())
    return bool(found) and all(found)


def fitted(model: Any, data: Any, start: Any, **options: Any) -> Any:
    given: dict[str, Any] = {"epochs": EPOCHS, "optimizer": sm.sgd(0.01), "verbose": False}
    return model.fit(data, start=start, **{**given, **options})


def numbers(result: Any, parameters: list[Any]) -> Any:
    return np.concatenate([np.atleast_1d(result.parameters[p]) for p in parameters])


def by_numpy(data: Any, start: Any, orders: Any, batch: int, drop: bool) -> tuple[Any, list[float]]:
    """A regression's parameters after all steps, and the mean loss of each epoch."""
    x, target = data.values()
    at, losses = np.concatenate([np.atleast_1d(v) for v in start.values()]), []
    for order in orders:
        total = seen = 0.0
        for first in range(0, N - batch + 1 if drop else N, batch):
            e = order[first : first + batch]
            residual = x[e] @ at[:-1] + at[-1] - target[e]
            total, seen = total + residual @ residual, seen + len(e)
            at = at - 0.01 * 2 * np.append(x[e].T @ residual, residual.sum()) / len(e)
        losses.append(total / seen)
    return at, losses


@pytest.mark.parametrize("batch", [2, 3, 8, 13, 16])
@pytest.mark.parametrize("width", [1, 3, 7])
def test_steps_are_those_of_numpy(width: int, batch: int) -> None:
    loss, parameters, data, start = linear(width)
    model = sm.compile(loss, parameters)
    drawn = np.stack([np.random.default_rng(k).permutation(N) for k in range(EPOCHS)])
    for shuffle, drop in ((drawn, False), (drawn, True), (False, False), (False, True)):
        result = fitted(model, data, start, batch_size=batch, shuffle=shuffle, drop_last=drop)
        orders = [np.arange(N)] * EPOCHS if shuffle is False else drawn
        last, losses = by_numpy(data, start, orders, batch, drop)
        np.testing.assert_allclose(numbers(result, parameters), last, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-10)
    assert in_registers(model)


RULES = {
    "sgd": sm.sgd(0.02),
    "momentum": sm.sgd(0.01, 0.9),
    "adam": sm.adam(0.01),
    "clipped": sm.sgd(0.02, clip_by_global_norm=0.1),
    "by the step": sm.sgd(0.05 / (1 + sm.step)),
    "by the epoch": sm.sgd(0.02 * 0.5**sm.epoch),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("made", [logistic, decay, lambda: linear(5)], ids=["logistic", "decay", "linear"])
def test_every_rule_moves_as_in_the_loop_for_every_model(made: Any, dtype: Any) -> None:
    """Which `rewrites="exact"` has; orders are drawn alike."""
    loss, parameters, data, start = made()
    one, other = (sm.compile(loss, parameters, dtype=dtype, rewrites=rewrites) for rewrites in ("stable", "exact"))
    tolerance = 1e-10 if dtype == "float64" else 2e-4
    for rule in RULES.values():
        results = [fitted(m, data, start, batch_size=6, optimizer=rule, seed=3) for m in (one, other)]
        mine, theirs = (numbers(result, parameters) for result in results)
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(results[0].history["loss"], results[1].history["loss"], rtol=tolerance)
    assert in_registers(one) and not in_registers(other)


def test_sums_over_examples() -> None:
    """The loss of a batch is a sum; that of an epoch is a mean."""
    loss, parameters, data, start = linear(3)
    models = [sm.compile(loss, parameters, reduction="sum", rewrites=rewrites) for rewrites in ("stable", "exact")]
    mine, theirs = (fitted(m, data, start, batch_size=7, shuffle=False, optimizer=sm.sgd(1e-3)) for m in models)
    np.testing.assert_allclose(numbers(mine, parameters), numbers(theirs, parameters), rtol=1e-11)
    np.testing.assert_allclose(mine.history["loss"], theirs.history["loss"], rtol=1e-11)
    assert in_registers(models[0])


def test_slices_pauses_and_paths_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, parameters, data, start = decay()
    model = sm.compile(loss, parameters)
    options: dict[str, Any] = {"batch_size": 4, "optimizer": sm.adam(0.01), "seed": 1}
    whole = fitted(model, data, start, **options)
    seen: list[float] = []
    paused = fitted(model, data, start, callbacks=lambda report: seen.append(report.loss), record=parameters, **options)
    monkeypatch.setattr("sympile.runtime.job.SLICE", 0.0)
    pieces = fitted(model, data, start, **options)
    for other in (paused, pieces):
        np.testing.assert_array_equal(numbers(other, parameters), numbers(whole, parameters))
    np.testing.assert_array_equal(seen, whole.history["loss"])
    assert len(paused.path[b]) == whole.steps + 1 == EPOCHS * 12 + 1
    assert paused.path[b][-1] == whole.parameters[b]


@pytest.mark.parametrize("rewrites", ["stable", "exact"])
def test_a_loss_that_is_not_finite_ends_the_fit(rewrites: str) -> None:
    """In the same step as in the loop for every model, with the parameters before it."""
    loss, parameters, data, start = linear(3)
    values = {**data, y: np.where(np.arange(N) == 30, np.inf, data[y])}
    result = fitted(sm.compile(loss, parameters, rewrites=rewrites), values, start, batch_size=4, shuffle=False)
    assert result.failed and (result.epochs, result.steps) == (0, 7)
    few = {s: a[:28] for s, a in data.items()}
    before = fitted(sm.compile(loss, parameters), few, start, batch_size=4, shuffle=False, epochs=1)
    np.testing.assert_allclose(numbers(result, parameters), numbers(before, parameters), rtol=1e-12)


def test_what_lies_beyond_a_batch_is_not_read() -> None:
    """Lanes that a batch leaves over hold the last of its rows again: what they are made of does not count."""
    x = sp.IndexedBase("x", shape=(2,))
    loss, parameters = (sp.log(b * x[0]) - x[1] * c) ** 2, [b, c]
    data = {x: np.where(np.arange(2 * N).reshape(N, 2) < 2 * N - 2, np.abs(rng.normal(size=(N, 2))) + 0.1, 0.5)}
    models = [sm.compile(loss, parameters, rewrites=rewrites) for rewrites in ("stable", "exact")]
    mine, theirs = (fitted(m, data, {b: 1.0, c: 0.3}, batch_size=5, seed=2) for m in models)
    np.testing.assert_allclose(numbers(mine, parameters), numbers(theirs, parameters), rtol=1e-10)


def test_class_numbers_and_large_batches_go_through_the_loop_for_every_model() -> None:
    E, k = sp.IndexedBase("E", shape=(3,)), sp.Symbol("k")
    model = sm.compile((E[k] + b - y) ** 2, [E, b])
    data = {k: rng.integers(0, 3, N), y: rng.normal(size=N)}
    result = fitted(model, data, {E: np.zeros(3), b: 0.0}, batch_size=4, seed=2)
    other = fitted(sm.compile((E[k] + b - y) ** 2, [E, b], rewrites="exact"), data, {E: np.zeros(3), b: 0.0},
                   batch_size=4, seed=2)  # fmt: skip
    np.testing.assert_allclose(result.parameters[E], other.parameters[E], rtol=1e-10)
    loss, parameters, data, start = linear(3)
    model = sm.compile(loss, parameters)
    fitted(model, data, start, batch_size=training.MOST_TOGETHER + 1)
    assert not model._steps._together
