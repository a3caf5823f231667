"""Another opinion: values, gradients and trained parameters against JAX, in float64 and float32."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import pytest
import sympy as sp
from jax_formulas import (
    NO_ZERO,
    ONE_ZERO,
    TWO_ZEROS,
    absolute_loss,
    choices,
    determinant,
    divergence,
    gaussian_mixture,
    gaussian_process,
    huber_loss,
    inverse,
    norms,
    pairs,
    poisson,
    product,
    quantile_loss,
    ratio_of_classes,
    triangle,
    whitening,
)
from jax_models import (
    attention,
    batch_normalisation,
    class_numbers,
    convolution,
    embedding,
    exponential_loss,
    image_network,
    layer_normalisation,
    least_squares,
    logistic,
    perceptron,
    pooling,
    recurrent,
)
from jax_twins import UNOPTIMIZED, Twin, close, normal, ties

import sympile as sm

# fmt: off
MODELS: dict[str, Twin] = {
    "least squares":            least_squares(),
    "logistic regression":      logistic(),
    "labels of both signs":     exponential_loss(),
    "perceptron":               perceptron(),
    "class numbers":            class_numbers(),
    "attention":                attention(),
    "recurrent network":        recurrent(),
    "convolution":              convolution(),
    "image network":            image_network(),
    "max pooling":              pooling(normal),
    "max pooling with ties":    pooling(ties),
    "bag of words":             embedding(),
    "layer normalisation":      layer_normalisation(),
    "batch normalisation":      batch_normalisation(),
    "Gaussian mixture":         gaussian_mixture(),
    "Gaussian process":         gaussian_process(),
    "Poisson regression":       poisson(),
    "divergence":               divergence(),
    "ratio of classes":         ratio_of_classes(),
    "log-determinant":          determinant(),
    "inverse":                  inverse(),
    "a matrix per example":     whitening(),
    "Huber":                    huber_loss(),
    "quantile":                 quantile_loss(),
    "choices":                  choices(),
    "absolute":                 absolute_loss(),
    "1-norm":                   norms(1),
    "2-norm":                   norms(2),
    "3-norm":                   norms(3),
    "product":                  product(NO_ZERO),
    "product with a zero":      product(ONE_ZERO),
    "product with two zeros":   product(TWO_ZEROS),
    "triangular sums":          triangle(),
    "pairs":                    pairs(),
}
# fmt: on


BATCHES = (1, 7, 65)


@pytest.fixture(autouse=True)
def _doubles() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def rows(models: Mapping[str, Twin]) -> list[Any]:
    return [pytest.param(twin, notation, id=f"{name}, {notation}") for name, twin in models.items() for notation in twin.written]


def split(twin: Twin, notation: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values by the names of this notation's symbols."""
    if notation != "scalar":
        return dict(values)
    named = {}
    for name, array in values.items():
        for at in np.ndindex(twin.shapes[name]):
            named["_".join((name, *map(str, at)))] = array[(..., *at)]
    return named


def joined(twin: Twin, notation: str, gradient: Any) -> dict[str, np.ndarray]:
    """A gradient as arrays of the declared shapes, without the 1 of columns."""
    found = {}
    for name in twin.trained.split():
        shape = twin.shapes[name]
        if notation == "scalar":
            parts = [gradient["_".join((name, *map(str, at)))] for at in np.ndindex(*shape)]
            found[name] = np.reshape(parts, shape)
        else:
            found[name] = np.reshape(gradient[name], shape)
    return found


@functools.cache
def reference(twin: Twin) -> Any:
    """JAX's objective and gradient, weighted sums over the examples: a batch of fewer is one with zeros, and compiles nothing."""

    def objective(trained: Mapping[str, Any], rest: Mapping[str, Any], weights: Any) -> Any:
        return twin.losses({**rest, **trained}) @ weights

    return jax.jit(jax.value_and_grad(objective), compiler_options=UNOPTIMIZED)


@functools.cache
def expected(twin: Twin, examples: int) -> tuple[Any, dict[str, Any]]:
    """The objective and its gradient by JAX; of the first so many of all examples."""
    values = twin.values(max(BATCHES))
    if twin.whole:
        values = twin.first(values, examples)
    trained = {name: values.pop(name) for name in twin.trained.split()}
    count = len(values[twin.data[0]]) if twin.data else 1
    return reference(twin)(trained, values, (np.arange(count) < examples) / min(examples, count))


@pytest.mark.parametrize(("twin", "notation"), rows(MODELS))
def test_values_and_gradients(twin: Twin, notation: str) -> None:
    model, values = twin.compiled(notation), twin.values(max(BATCHES))
    for examples in BATCHES:
        given = twin.first(values, examples)
        loss, gradient = model.value_and_grad(split(twin, notation, given))
        wanted, slopes = expected(twin, examples)
        close(loss, wanted, 1e-12, f"the objective of {examples} examples")
        for name, slope in joined(twin, notation, gradient).items():
            close(slope, slopes[name], 1e-10, f"{name}, {examples} examples")


@pytest.mark.parametrize("name", ["perceptron", "attention", "convolution", "Gaussian mixture", "layer normalisation", "triangular sums"])
def test_float32(name: str) -> None:
    twin = MODELS[name]
    notation = next(iter(twin.written))
    values = {key: value.astype(np.float32) for key, value in twin.values(max(BATCHES)).items()}
    loss, gradient = twin.compiled(notation, dtype="float32").value_and_grad(split(twin, notation, values))
    wanted, slopes = expected(twin, max(BATCHES))
    close(loss, wanted, 1e-4, "the objective")
    for key, slope in joined(twin, notation, gradient).items():
        assert slope.dtype == np.float32
        close(slope, slopes[key], 1e-4, key)


n, m, h, o = sp.symbols("n m h o")


@pytest.mark.parametrize(
    ("symbolic", "model", "sizes"),
    [
        pytest.param(least_squares(n), least_squares, [(1,), (4,), (33,)], id="least squares"),
        pytest.param(perceptron(n, h, o), perceptron, [(4, 5, 3), (17, 2, 9)], id="perceptron"),
        pytest.param(gaussian_mixture(n, m), gaussian_mixture, [(3, 4), (1, 11)], id="Gaussian mixture"),
        pytest.param(triangle(n), triangle, [(1,), (7,), (20,)], id="triangular sums"),
    ],
)
def test_symbolic_sizes(symbolic: Twin, model: Any, sizes: list[tuple[int, ...]]) -> None:
    """One compiled model for all sizes, in every notation that it has."""
    compiled = {notation: symbolic.compiled(notation) for notation in symbolic.written if notation != "scalar"}
    for numbers in sizes:
        twin = model(*numbers)
        values = twin.values(max(BATCHES))
        wanted, slopes = expected(twin, max(BATCHES))
        for notation, one in compiled.items():
            loss, gradient = one.value_and_grad(values)
            close(loss, wanted, 1e-12, f"the objective, {notation}, {numbers}")
            for name, slope in joined(twin, notation, gradient).items():
                close(slope, slopes[name], 1e-10, f"{name}, {notation}, {numbers}")


# ============================================================================================= training


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_training_step_for_step(nesterov: bool, dtype: str, rtol: float) -> None:
    """Twenty steps of a perceptron, in orders that are given; the last batch of each epoch is smaller."""
    twin, rate, momentum, count, size = MODELS["perceptron"], 0.3, 0.9, 36, 8
    given = twin.first(twin.values(max(BATCHES)), count)
    start = {name: given.pop(name) for name in twin.trained.split()}
    orders = np.stack([np.random.default_rng(epoch).permutation(count) for epoch in range(4)])
    model = twin.compiled("matrix", dtype=dtype)
    trained = list(model.parameters)
    result = model.fit(
        given, epochs=4, start=start, optimizer=sm.sgd(rate, momentum=momentum, nesterov=nesterov), batch_size=size, shuffle=orders, record=trained
    )
    speed = {name: np.zeros_like(value) for name, value in start.items()}
    parameters, losses = dict(start), []
    batches = [order[first : first + size] for order in orders for first in range(0, count, size)]
    assert len(batches) == result.steps == 20
    for step, batch in enumerate(batches):
        loss, slopes = reference(twin)(parameters, given, np.isin(np.arange(count), batch) / len(batch))
        losses.append(float(loss) * len(batch))
        for name, slope in slopes.items():
            speed[name] = momentum * speed[name] + slope
            parameters[name] = parameters[name] - rate * (slope + momentum * speed[name] if nesterov else speed[name])
            found = result.path[name][step + 1]
            close(found.reshape(twin.shapes[name]), parameters[name], rtol, f"{name} after step {step}")
    np.testing.assert_allclose(result.history["loss"], np.sum(np.reshape(losses, (4, 5)), axis=1) / count, rtol=rtol)
