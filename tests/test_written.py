"""Steps of small networks with small axes written out: the same gradients, and only where lanes would stay empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.code.target import host
from sympile.compiler.passes.training import written
from sympile.runtime.model import training

Activation = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def _short_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MANY", 1)


def network(sizes: tuple[int, int, int], activation: Activation = sm.tanh, **options: Any) -> tuple[sm.Model, Any]:
    n, h, k = sizes
    x, t = sp.MatrixSymbol("x", n, 1), sp.MatrixSymbol("t", k, 1)
    shapes = {"A": (h, n), "a": (h, 1), "B": (k, h), "b": (k, 1)}
    A, a, B, b = (sp.MatrixSymbol(name, *shape) for name, shape in shapes.items())
    error = B * activation(A * x + a) + b - t
    rng = np.random.default_rng(3)
    start = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    data = {x: rng.normal(size=(53, n, 1)), t: rng.normal(size=(53, k, 1))}
    return sm.compile(sp.Trace(error * error.T), [A, a, B, b], **options), (data, start)


def fitted(model: sm.Model, data: Any, start: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    rule = sm.adam(1e-2)
    result = model.fit(data, start=start, optimizer=rule, epochs=3, seed=5, verbose=False, **options)
    return np.concatenate([result.parameters[p].ravel() for p in model.parameters]), result.history["loss"]


def is_written(model: sm.Model) -> bool:
    """Whether the last fit had a step with one loop over its examples."""
    training = model._steps._last.ready.training
    return training is not None and training in (model._steps._batches_written, model._steps._whole_written)


def are_short(sizes: tuple[int, int, int], dtype: str) -> bool:
    """Whether no axis fills a register of this machine."""
    return max(sizes) < host().lanes({"float64": "double", "float32": "float"}[dtype])


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"batch_size": 20}, {"shuffle": False}], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("sizes", "activation"),
    [
        pytest.param((5, 3, 2), sm.tanh, id="tanh"),
        pytest.param((2, 4, 3), sm.relu, id="relu"),
        pytest.param((7, 3, 1), sm.sigmoid, id="one output"),
        pytest.param((3, 6, 3), sm.softmax, id="softmax within"),
    ],
)
def test_the_same_fit(
    sizes: tuple[int, int, int],
    activation: Activation,
    dtype: str,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, (data, start) = network(sizes, activation, dtype=dtype)
    parameters, losses = fitted(model, data, start, **options)
    assert is_written(model) == are_short(sizes, dtype)
    monkeypatch.setattr(written, "MOST_PARAMETERS", 0)
    plain, _ = network(sizes, activation, dtype=dtype)
    expected, wanted = fitted(plain, data, start, **options)
    assert not is_written(plain)
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(parameters, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(losses, wanted, rtol=tolerance)


def test_one_step_follows_the_slope() -> None:
    """Against central differences of the loss in NumPy."""
    model, (data, start) = network((5, 3, 2))
    (x, t), names = data.values(), list(start)

    def loss(flat: np.ndarray) -> float:
        cut = np.split(flat, np.cumsum([start[name].size for name in names])[:-1])
        A, a, B, b = (part.reshape(start[name].shape) for part, name in zip(cut, names, strict=True))
        return float((((B @ np.tanh(A @ x + a) + b) - t) ** 2).sum() / len(x))

    first = np.concatenate([start[name].ravel() for name in names])
    result = model.fit(data, start=start, optimizer=sm.sgd(1.0), epochs=1, shuffle=False, verbose=False)
    assert is_written(model) == are_short((5, 3, 2), "float64")
    last = np.concatenate([result.parameters[p].ravel() for p in model.parameters])
    slopes = [(loss(first + step) - loss(first - step)) / 2e-5 for step in 1e-5 * np.eye(first.size)]
    np.testing.assert_allclose(first - last, slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("sizes", "options", "arguments"),
    [
        pytest.param((2, 16, 1), {"batch_size": 20}, {}, id="axes that fill a register"),
        pytest.param((5, 3, 2), {"batch_size": 2}, {}, id="too few examples for the lanes"),
        pytest.param((7, 7, 7), {"batch_size": 20}, {}, id="too many parameters"),
        pytest.param((2, 2, 1), {"shuffle": False}, {}, id="few parameters step in registers"),
        pytest.param((5, 3, 2), {"batch_size": 20}, {"rewrites": "exact"}, id="exact"),
    ],
)
def test_others_stay_as_they_are(
    sizes: tuple[int, int, int], options: dict[str, Any], arguments: dict[str, Any]
) -> None:
    model, (data, start) = network(sizes, **arguments)
    fitted(model, data, start, **options)
    assert not is_written(model)


def test_one_layer_stays_as_it_is() -> None:
    x, t, W = sp.MatrixSymbol("x", 4, 1), sp.MatrixSymbol("t", 3, 1), sp.MatrixSymbol("W", 3, 4)
    model = sm.compile(sp.Trace((sm.tanh(W * x) - t) * (sm.tanh(W * x) - t).T), [W])
    rng = np.random.default_rng(1)
    data = {x: rng.normal(size=(40, 4, 1)), t: rng.normal(size=(40, 3, 1))}
    model.fit(data, start={W: np.zeros((3, 4))}, optimizer=sm.sgd(0.1), epochs=1, batch_size=10, verbose=False)
    assert not is_written(model)


def test_short_fits_compile_no_step_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    model, (data, start) = network((5, 3, 2))
    fitted(model, data, start, batch_size=20)
    assert not is_written(model)
