"""Another opinion: values, gradients, Hessians and trained parameters against JAX, in float64 and float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import pytest
from jax_models import (
    Twin,
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
    normal,
    perceptron,
    pooling,
    recurrent,
    ties,
)

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
}
# fmt: on


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


def expected(twin: Twin, values: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Any]]:
    def objective(trained: Mapping[str, Any], rest: Mapping[str, Any]) -> Any:
        return twin.objective({**rest, **trained})

    trained = {name: values[name] for name in twin.trained.split()}
    rest = {name: values[name] for name in values if name not in trained}
    return jax.jit(jax.value_and_grad(objective))(trained, rest)


def close(found: Any, wanted: Any, rtol: float, label: str) -> None:
    """Relative to the largest entry: an entry that cancels has the error of its terms."""
    scale = max(float(np.max(np.abs(wanted), initial=0)), 1e-3)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * scale, err_msg=label)


@pytest.mark.parametrize(("twin", "notation"), rows(MODELS))
def test_values_and_gradients(twin: Twin, notation: str) -> None:
    values = twin.values(7)
    loss, gradient = twin.compiled(notation).value_and_grad(split(twin, notation, values))
    wanted, slopes = expected(twin, values)
    close(loss, wanted, 1e-12, "the objective")
    for name, slope in joined(twin, notation, gradient).items():
        close(slope, slopes[name], 1e-11, name)
