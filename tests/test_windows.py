"""Networks of windows (convolutions, poolings, with strides and borders) against NumPy, window by window, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.conditions import conditions_of, unguarded
from sympile.compiler.graph.definition import Definition, computed, extent_value
from sympile.compiler.graph.node import number
from sympile.compiler.passes.fuse import fuse

Array = np.ndarray[Any, Any]
EXAMPLES = 5
i, j, k, c, p, q = sm.indices("i j k c p q")


@dataclass(frozen=True)
class Layer:
    """A convolution of so many filters with relu, then a pooling of `pool` elements on a side, or none."""

    filters: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    border: int = 0
    kind: str = "max"  # "max", "mean", "pick" (one element of each window) or "" (no pooling)
    pool: int = 2
    step: int = 2  # from window to window


@dataclass(frozen=True)
class Network:
    """Images of so many rows, columns and channels, and what is done with them."""

    height: int
    width: int
    channels: int
    layers: tuple[Layer, ...]
    means: bool = False  # what comes last reads the mean of each channel, not every element


def network(height: int, width: int, channels: int, *layers: Layer, means: bool = False) -> Network:
    return Network(height, width, channels, layers, means)


NETWORKS = {
    "two poolings, rows left over": network(14, 11, 1, Layer(8), Layer(5)),
    "windows of every size": network(13, 15, 3, Layer(6, (5, 2), kind="max", pool=3, step=3)),
    "windows that overlap": network(12, 13, 2, Layer(4, pool=3, step=2)),
    "windows that leave gaps": network(14, 13, 2, Layer(4, pool=2, step=3)),
    "means": network(11, 14, 2, Layer(4, kind="mean"), Layer(3, (2, 2), kind="")),
    "means that overlap": network(11, 14, 1, Layer(3, kind="mean", pool=4, step=2)),
    "strides": network(13, 12, 2, Layer(9, stride=2, kind=""), Layer(4, stride=2, kind="")),
    "strides of three": network(16, 14, 1, Layer(3, (4, 5), stride=3, kind="")),
    "borders": network(8, 7, 2, Layer(3, border=1, kind=""), Layer(4, border=1)),
    "borders and strides": network(9, 8, 1, Layer(3, border=1, stride=2, kind=""), Layer(2, (2, 2), border=1, kind="")),
    "means of channels": network(9, 11, 2, Layer(5, kind=""), Layer(4, kind=""), means=True),
    "means, borders": network(7, 8, 2, Layer(3, border=1, kind=""), Layer(4, border=1, kind=""), means=True),
    "means after strides": network(13, 12, 1, Layer(4, stride=2, kind=""), Layer(3, (2, 2), kind=""), means=True),
    "means after poolings": network(13, 12, 1, Layer(4), Layer(3, (2, 2), kind="mean"), means=True),
    "one element of each window": network(12, 11, 1, Layer(3, kind="pick"), Layer(4, (2, 2), kind="pick")),
    "lines instead of images": network(1, 31, 4, Layer(8, (1, 5), kind="", pool=1), Layer(6, (1, 3), 2, kind="")),
}


# ------------------------------------------------------------------------------------------------ as formulas


def built(net: Network) -> tuple[Any, list[Any], Any]:
    """The loss of one example, its parameters, and the image."""
    image = sm.Tensor("x", (net.channels, net.height, net.width))
    parameters, h, channels, height, width = [], image, net.channels, net.height, net.width
    for at, layer in enumerate(net.layers):
        F = sm.Tensor(f"F{at}", (layer.filters, channels, *layer.kernel))
        b = sm.Tensor(f"b{at}", (layer.filters,))
        parameters += [F, b]
        if layer.border:
            h, height, width = with_border(h, channels, height, width, layer.border)
        rows, columns = (range(0, n - m + 1, layer.stride) for n, m in zip((height, width), layer.kernel, strict=True))
        element = h[c, layer.stride * i + p, layer.stride * j + q]
        window = [(c, 0, channels - 1), (p, 0, layer.kernel[0] - 1), (q, 0, layer.kernel[1] - 1)]
        total = sp.Sum(F[k, c, p, q] * element, *window) + b[k]
        channels, height, width = layer.filters, len(rows), len(columns)
        h = sm.comprehension(sm.relu(total), (k, channels), (i, height), (j, width))
        if layer.kind:
            height, width = (len(range(0, n - layer.pool + 1, layer.step)) for n in (height, width))
            h = sm.comprehension(pooled(h, layer), (k, channels), (i, height), (j, width))
    W = sm.Tensor("W", (channels,) if net.means else (channels, height, width))
    weight = W[k] / (height * width) if net.means else W[k, i, j]
    y = sp.Sum(weight * h[k, i, j], (k, 0, channels - 1), (i, 0, height - 1), (j, 0, width - 1))
    return (y - 1) ** 2, [*parameters, W], image


def with_border(h: Any, channels: int, height: int, width: int, border: int) -> tuple[Any, int, int]:
    """Zeros around the image."""
    there = sp.KroneckerDelta(p + border, i) * sp.KroneckerDelta(q + border, j)
    element = sp.Sum(h[c, p, q] * there, (p, 0, height - 1), (q, 0, width - 1))
    height, width = height + 2 * border, width + 2 * border
    return sm.comprehension(element, (c, channels), (i, height), (j, width)), height, width


def pooled(h: Any, layer: Layer) -> Any:
    element = h[k, layer.step * i + p, layer.step * j + q]
    window = (p, 0, layer.pool - 1), (q, 0, layer.pool - 1)
    if layer.kind == "pick":
        return h[k, layer.step * i, layer.step * j]
    return sm.Maximum(element, *window) if layer.kind == "max" else sp.Sum(element, *window) / layer.pool**2


# ------------------------------------------------------------------------------------------------ window by window


@dataclass
class Step:
    """What a layer saw: its input with borders, the sums before relu, and what follows relu."""

    given: Array
    sums: Array
    features: Array


def windows(shape: tuple[int, ...], size: tuple[int, int], step: int) -> list[tuple[int, int, slice, slice]]:
    """(row, column, rows of the window, columns of the window) of every window of an image (N, c, rows, columns)."""
    starts = [range(0, n - m + 1, step) for n, m in zip(shape[2:], size, strict=True)]
    return [
        (a // step, b // step, slice(a, a + size[0]), slice(b, b + size[1])) for a, b in product(starts[0], starts[1])
    ]


def room(shape: tuple[int, ...], size: tuple[int, int], step: int) -> tuple[int, int]:
    return tuple(len(range(0, n - m + 1, step)) for n, m in zip(shape[2:], size, strict=True))  # type: ignore[return-value]


def forward(h: Array, layer: Layer, F: Array, b: Array) -> tuple[Array, Step]:
    border = ((0, 0), (0, 0), (layer.border,) * 2, (layer.border,) * 2)
    given = np.pad(h, border)
    sums = np.zeros((len(h), layer.filters, *room(given.shape, layer.kernel, layer.stride)))
    for a, d, rows, columns in windows(given.shape, layer.kernel, layer.stride):
        sums[:, :, a, d] = np.einsum("kcpq,ncpq->nk", F, given[:, :, rows, columns]) + b
    features = np.maximum(sums, 0)
    if not layer.kind:
        return features, Step(given, sums, features)
    size = (layer.pool, layer.pool)
    out = np.zeros((len(h), layer.filters, *room(features.shape, size, layer.step)))
    for a, d, rows, columns in windows(features.shape, size, layer.step):
        window = features[:, :, rows, columns]
        found = {"max": window.max((2, 3)), "mean": window.mean((2, 3)), "pick": window[:, :, 0, 0]}
        out[:, :, a, d] = found[layer.kind]
    return out, Step(given, sums, features)


def backward(slope: Array, layer: Layer, step: Step, F: Array) -> tuple[Array, Array, Array]:
    """(slope of the input, of the filters, of the biases)."""
    if layer.kind:
        slope = unpooled(slope, layer, step.features)
    slope = np.where(step.sums > 0, slope, 0)
    dF, dgiven = np.zeros_like(F), np.zeros_like(step.given)
    for a, d, rows, columns in windows(step.given.shape, layer.kernel, layer.stride):
        dF += np.einsum("nk,ncpq->kcpq", slope[:, :, a, d], step.given[:, :, rows, columns])
        dgiven[:, :, rows, columns] += np.einsum("nk,kcpq->ncpq", slope[:, :, a, d], F)
    edge = slice(layer.border, -layer.border or None)
    return dgiven[:, :, edge, edge], dF, slope.sum((0, 2, 3))


def unpooled(slope: Array, layer: Layer, features: Array) -> Array:
    """The slopes of windows, handed to their elements; of a maximum to its winners, who share."""
    found = np.zeros_like(features)
    for a, d, rows, columns in windows(features.shape, (layer.pool, layer.pool), layer.step):
        window, own = features[:, :, rows, columns], slope[:, :, a, d][:, :, None, None]
        wins = (window == window.max((2, 3), keepdims=True)).astype(float)
        picked = np.zeros_like(wins)
        picked[:, :, 0, 0] = 1
        shares = {"max": wins / wins.sum((2, 3), keepdims=True), "mean": np.full_like(wins, layer.pool**-2)}
        found[:, :, rows, columns] += own * {**shares, "pick": picked}[layer.kind]
    return found


def by_hand(net: Network, x: Array, values: list[Array]) -> tuple[float, list[Array]]:
    """The mean loss and its slopes."""
    h, steps = x, []
    for at, layer in enumerate(net.layers):
        h, step = forward(h, layer, *values[2 * at : 2 * at + 2])
        steps.append(step)
    weights = (
        np.ones(h.shape[1:]) * values[-1].reshape(len(values[-1]), -1, 1) / np.size(h[0, 0])
        if net.means
        else values[-1]
    )
    y = np.einsum("kij,nkij->n", weights, h) - 1
    slope = 2 * y[:, None, None, None] * weights / len(x)
    last = np.einsum("n,nkij->kij", 2 * y / len(x), h)
    slopes = [last.mean((1, 2)) if net.means else last]
    for at in reversed(range(len(net.layers))):
        slope, dF, db = backward(slope, net.layers[at], steps[at], values[2 * at])
        slopes = [dF, db, *slopes]
    return float((y**2).mean()), slopes


# ------------------------------------------------------------------------------------------------ tests


def drawn(net: Network, parameters: list[Any], kind: str, dtype: str) -> tuple[Array, list[Array]]:
    """Small whole numbers, with which windows have several winners, or any numbers."""
    rng = np.random.default_rng(3)

    def some(shape: tuple[int, ...], scale: float) -> Array:
        numbers = rng.integers(-1, 2, shape) if kind == "ties" else rng.normal(size=shape) * scale
        return numbers.astype(dtype)

    x = some((EXAMPLES, net.channels, net.height, net.width), 1.0)
    return x, [some(tuple(map(int, each.shape)), 0.5) for each in parameters]


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_and_slopes(name: str) -> None:
    net, dtype = NETWORKS[name], "float64" if len(name) % 2 else "float32"
    loss, parameters, image = built(net)
    model = sm.compile(loss, parameters, dtype=dtype)
    for kind in ("ties", "numbers"):
        x, values = drawn(net, parameters, kind, dtype)
        given = {image: x.reshape(len(x), *map(int, image.shape)), **dict(zip(parameters, values, strict=True))}
        found, slopes = model.value_and_grad(given)
        want, wanted = by_hand(net, x.astype(float), [value.astype(float) for value in values])
        near = 1e-11 if dtype == "float64" else 2e-4
        assert found == pytest.approx(want, rel=near), kind
        for parameter, slope in zip(parameters, wanted, strict=True):
            scale = max(1.0, np.abs(slope).max())
            np.testing.assert_allclose(
                slopes[parameter], slope, rtol=0, atol=near * scale, err_msg=f"{parameter} {kind}"
            )


def stored(net: Network) -> list[Definition]:
    """What is stored in a step, in the order of computing."""
    loss, parameters, _ = built(net)
    model = sm.compile(loss, parameters)
    return list(fuse(list(model._work.outputs.values())).stored)


def sums(net: Network) -> list[Definition]:
    """What is added up in a step."""
    loss, parameters, _ = built(net)
    outputs = fuse(list(sm.compile(loss, parameters)._work.outputs.values())).outputs
    return [tensor for tensor in computed(list(outputs.values())) if tensor.monoid == "sum"]


def stored_images(net: Network) -> list[Definition]:
    """What is stored with an axis of examples and three of images."""
    return [t for t in stored(net) if len(t.axes) == 4 and t.batched]


def test_channels_lie_side_by_side() -> None:
    """With 8 and 16 channels every image between has them innermost, and its rows outermost: no nest reads across."""
    stored = stored_images(network(28, 24, 1, Layer(8), Layer(16)))
    shapes = {tuple(int(number(n)) for n in tensor.shape[1:]) for tensor in stored}
    assert {(26, 22, 8), (13, 11, 8), (11, 9, 16), (5, 4, 16)} == shapes
    wide = stored_images(network(32, 30, 3, Layer(16), Layer(32)))
    assert {int(number(tensor.shape[-1])) for tensor in wide} == {16, 32}
    narrow = stored_images(network(20, 34, 1, Layer(2, kind=""), Layer(3, kind="")))
    assert {int(number(tensor.shape[-1])) for tensor in narrow} == {32, 30}  # two or three channels fill no vector


@pytest.mark.parametrize("kind", ["max", "mean", ""])
def test_no_window_is_copied(kind: str) -> None:
    """Windows are read where their elements lie, and relu is stored by elements, not once for each window it is in."""
    net = network(12, 14, 2, Layer(8, kind=kind), Layer(5, kind=kind))
    assert not [t for t in stored(net) if t.batched and len(t.axes) > 4]


@pytest.mark.parametrize("border", [0, 1])
def test_slopes_of_means_are_masked_once(border: int) -> None:
    """Each element's slope is a mean's, where relu passed it: stored so, and no product asks for signs again."""
    net = network(12, 10, 2, Layer(8, border=border, kind=""), Layer(5, border=border, kind=""), means=True)
    products = [t for t in sums(net) if len(factors_of(split(unguarded(t.formula))[1])) > 1]
    assert len(products) >= 5
    assert not [t for t in products if any(c.op == "less" for c in conditions_of(t.formula))]


@pytest.mark.parametrize("kind", ["max", "mean", ""])
def test_slopes_of_biases_add_up_slopes_of_elements(kind: str) -> None:
    """Over the elements of an image once, not over the windows of what reads it."""
    net = network(24, 22, 2, Layer(8, kind=kind), Layer(6, kind=kind), Layer(5, kind=""))
    biases = [t for t in sums(net) if len(t.axes) == 1 and extent_value(t.shape[0]) in (8, 6)]
    assert len(biases) == 2
    assert all(len(t.reduced) == 3 for t in biases), [str(t.formula) for t in biases]
