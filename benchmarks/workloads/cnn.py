"""Two convolutions 3x3 with relu and 2x2 max pooling, and a dense layer, on 28x28 images: 31 steps of 64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
import training
from harness import Parameters, Run
from peers import compiled, jax, torch
from training import Training

import sympile as sm

NAMES = ("F1", "b1", "F2", "b2", "W", "b")
i, j, k, c, p, q = sm.indices("i j k c p q")


@dataclass(frozen=True, slots=True)
class Images:
    """All sizes of one race."""

    dtype: str = "float64"
    side: int = 28
    filters: tuple[int, int] = (8, 16)
    classes: int = 10
    batch: int = 64
    steps: int = 31
    rate: float = 0.05
    GOAL: float = 0.4
    GOAL_PEER: str = "JAX"

    @property
    def TITLE(self) -> str:
        first, second = self.filters
        layers = f"3x3x{first}, pool, 3x3x{second}, pool, dense"
        return f"CNN {layers}; {self.side}x{self.side}, batch {self.batch}, {self.steps} steps, {self.dtype}"

    @property
    def RTOL(self) -> float:
        return 1e-9 if self.dtype == "float64" else 1e-3  # PyTorch sums slopes in float32 one by one

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """After the first convolution and pooling, and after the second."""
        first = self.side - 2
        return first, first // 2, first // 2 - 2, (first // 2 - 2) // 2

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        n, (one, two), end = self.batch * self.steps, self.filters, self.sides[-1]
        x = rng.random((n, self.side, self.side))
        t = np.eye(self.classes)[rng.integers(0, self.classes, n)]
        shapes = ((one, 1, 3, 3), (two, one, 3, 3), (self.classes, two, end, end))
        start: list[np.ndarray] = []
        for shape in shapes:
            start += [rng.normal(size=shape) * np.sqrt(2.0 / np.prod(shape[1:])), np.zeros(shape[0])]
        x, t, *start = (each.astype(self.dtype) for each in (x, t, *start))
        return Training((x, t), tuple(start), 1, self.rate, "sgd", self.batch, training.orders(rng, 1, n))

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        x, t = data.examples
        z = forward(parameters, x).z
        return float(np.mean(np.logaddexp.reduce(z, axis=1) - (t * z).sum(axis=1), dtype=float))

    def ours(self, data: Training) -> Run:
        x, t = sm.Tensor("x", (self.side, self.side)), sm.Tensor("t", (self.classes,))
        F1, b1, F2, b2, W, b = parameters = [
            sm.Tensor(name, value.shape) for name, value in zip(NAMES, data.start, strict=True)
        ]
        (one, two), (a, pooled_a, e, end) = self.filters, self.sides
        first = sp.Sum(F1[k, 0, p, q] * x[i + p, j + q], (p, 0, 2), (q, 0, 2)) + b1[k]
        h = pooled(sm.comprehension(sm.relu(first), (k, one), (i, a), (j, a)), one, pooled_a)
        second = sp.Sum(F2[k, c, p, q] * h[c, i + p, j + q], (c, 0, one - 1), (p, 0, 2), (q, 0, 2)) + b2[k]
        h = pooled(sm.comprehension(sm.relu(second), (k, two), (i, e), (j, e)), two, end)
        z = sp.Sum(W[k, c, i, j] * h[c, i, j], (c, 0, two - 1), (i, 0, end - 1), (j, 0, end - 1)) + b[k]
        loss = sm.cross_entropy(sm.comprehension(z, (k, self.classes)), t)
        return training.ours(sm.compile(loss, parameters, dtype=self.dtype), [x, t], parameters, data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            for way, loss in (("im2col", jax_loss), ("conv", jax_conv_loss)):
                runs |= {f"{name}, {way}": run for name, run in training.by_jax(loss, data).items()}
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(torch_loss, data)
            runs |= {name: training.by_torch(loss, data) for name, loss in compiled(torch_loss).items()}
        return runs


WORKLOADS = {"cnn": Images(), "cnn_float32": Images("float32")}


def pooled(h: Any, filters: int, side: int) -> Any:
    """The maximum of each 2x2 window."""
    window = sm.Maximum(h[k, 2 * i + p, 2 * j + q], (p, 0, 1), (q, 0, 1))
    return sm.comprehension(window, (k, filters), (i, side), (j, side))


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution and pooling: windows (N, i, j, c p q), relu's results (N, i, j, k), maxima (N, i, j, k)."""

    windows: np.ndarray
    features: np.ndarray
    maxima: np.ndarray


@dataclass(frozen=True, slots=True)
class Forward:
    """What the backward sweep needs again."""

    layers: tuple[Layer, Layer]
    z: np.ndarray


def forward(parameters: Parameters, x: np.ndarray) -> Forward:
    F1, b1, F2, b2, W, b = parameters
    first = layer(x[..., None], F1, b1)
    second = layer(first.maxima, F2, b2)
    flat = second.maxima.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return Forward((first, second), flat @ W.reshape(len(W), -1).T + b)


def layer(x: np.ndarray, F: np.ndarray, b: np.ndarray) -> Layer:
    """One layer of x (N, i, j, c), as one product of matrices."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    windows = windows.reshape(*windows.shape[:3], -1)
    features = np.maximum(windows @ F.reshape(len(F), -1).T + b, 0)
    return Layer(windows, features, quarters(features).max(axis=(2, 4)))


def quarters(features: np.ndarray) -> np.ndarray:
    """(N, i, 2, j, 2, k); a last odd row or column is in no window."""
    n, height, width, count = features.shape
    height, width = height // 2, width // 2
    return features[:, : 2 * height, : 2 * width].reshape(n, height, 2, width, 2, count)


def slopes(parameters: Parameters, x: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
    """One backward sweep by hand."""
    F1, _, F2, _, W, _ = parameters
    found = forward(parameters, x)
    first, second = found.layers
    e = np.exp(found.z - found.z.max(axis=1, keepdims=True))
    dz = (e / e.sum(axis=1, keepdims=True) - t) / x.dtype.type(len(x))
    dW = np.einsum("nk,nijc->kcij", dz, second.maxima, optimize=True)
    dh = np.einsum("nk,kcij->nijc", dz, W, optimize=True)
    dv = unpooled(second, dh)
    dF2, db2 = filter_slopes(second, dv, F2)
    dw = (dv @ F2.reshape(len(F2), -1)).reshape(*dv.shape[:3], *F2.shape[1:])
    dh = np.zeros_like(first.maxima)
    for a in range(3):
        for b in range(3):
            dh[:, a : a + dv.shape[1], b : b + dv.shape[2]] += dw[..., a, b]
    return [*filter_slopes(first, unpooled(first, dh), F1), dF2, db2, dW, dz.sum(axis=0)]


def unpooled(layer: Layer, dh: np.ndarray) -> np.ndarray:
    """The slope of the maxima, handed to whom they came from, and through relu; winners share."""
    wins = quarters(layer.features) == layer.maxima[:, :, None, :, None]
    shares = wins * (dh / wins.sum(axis=(2, 4)))[:, :, None, :, None]
    found = np.zeros_like(layer.features)
    quarters_of = shares.reshape(len(shares), 2 * dh.shape[1], 2 * dh.shape[2], -1)
    found[:, : quarters_of.shape[1], : quarters_of.shape[2]] = quarters_of
    return found * (layer.features > 0)


def filter_slopes(layer: Layer, dv: np.ndarray, F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = dv.reshape(-1, dv.shape[-1])
    return (flat.T @ layer.windows.reshape(len(flat), -1)).reshape(F.shape), flat.sum(axis=0)


def jax_loss(parameters: Any, x: Any, t: Any) -> Any:
    """Each convolution as nine shifted views side by side and one product of matrices."""

    def convolved(x: Any, F: Any, b: Any) -> Any:
        side = x.shape[1] - 2
        views = [x[:, a : a + side, b : b + side] for a in range(3) for b in range(3)]
        return jax.numpy.concatenate(views, axis=-1) @ F.transpose(2, 3, 1, 0).reshape(-1, len(F)) + b

    return jax_head(parameters, convolved, x, t)


def jax_conv_loss(parameters: Any, x: Any, t: Any) -> Any:
    def convolved(x: Any, F: Any, b: Any) -> Any:
        return jax.lax.conv_general_dilated(x, F, (1, 1), "VALID", dimension_numbers=("NHWC", "OIHW", "NHWC")) + b

    return jax_head(parameters, convolved, x, t)


def jax_head(parameters: Any, convolved: Any, x: Any, t: Any) -> Any:
    F1, b1, F2, b2, W, b = parameters
    x = x[..., None]
    for F, bias in ((F1, b1), (F2, b2)):
        x = jax.nn.relu(convolved(x, F, bias))
        n, height, width, count = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        x = x.reshape(n, height // 2, 2, width // 2, 2, count).max(axis=(2, 4))
    z = jax.numpy.einsum("nijc,kcij->nk", x, W) + b
    return (jax.nn.logsumexp(z, axis=1) - (t * z).sum(axis=1)).mean()


def torch_loss(parameters: Any, x: Any, t: Any) -> Any:
    F1, b1, F2, b2, W, b = parameters
    functions = torch.nn.functional
    x = functions.max_pool2d(functions.conv2d(x[:, None], F1, b1).relu(), 2)
    x = functions.max_pool2d(functions.conv2d(x, F2, b2).relu(), 2)
    return functions.cross_entropy(functions.linear(x.flatten(1), W.flatten(1), b), t)
