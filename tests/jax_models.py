"""Models written twice: for sympile in up to four notations, and for JAX; all of one example, with the same named arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import sympile as sm

i, j, k, l, p, q = sm.indices("i j k l p q")
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Formula = Callable[..., Any]


def over(index: Any, length: Any) -> tuple[Any, int, Any]:
    return (index, 0, length - 1)


# ============================================================================================= kinds of values


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.5, 1.5, size=shape)


def one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def ones_and_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 2, shape).astype(float)


def plus_minus(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * ones_and_zeros(rng, shape) - 1


def ties(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Few different values, so that a maximum is often attained twice."""
    return rng.integers(0, 3, shape).astype(float)


def spread_out(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A matrix whose determinant is positive and far from 0."""
    return rng.normal(size=shape) / 4 + 2 * np.eye(shape[-1])


def below(bound: int) -> Draw:
    return lambda rng, shape: rng.integers(0, bound, shape)


def zeros_at(*places: int) -> Draw:
    """Normal numbers, with zeros at these places of the last axis."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        values = rng.normal(size=shape)
        values[..., list(places)] = 0.0
        return values

    return draw


# ============================================================================================= a model


@dataclass(frozen=True, slots=True, eq=False)
class Twin:
    """One model for both; whoever is neither trained nor constant is data."""

    shapes: Mapping[str, tuple[Any, ...]]
    trained: str
    jax: Formula  # of one example; of arrays with all examples where `whole`
    written: Mapping[str, Formula]  # notation → formula
    constants: str = ""
    draws: Mapping[str, Draw] = field(default_factory=dict)
    whole: bool = False

    @property
    def data(self) -> list[str]:
        return [name for name in self.shapes if name not in (*self.trained.split(), *self.constants.split())]

    def compiled(self, notation: str, **options: Any) -> sm.Model:
        symbols = {name: SYMBOLS[notation](name, shape) for name, shape in self.shapes.items()}
        trained, constants = (
            [s for name in names.split() for s in flat(symbols[name])] for names in (self.trained, self.constants)
        )
        return sm.compile(self.written[notation](**symbols), parameters=trained, constants=constants, **options)

    def values(self, examples: int, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        shapes = {name: (examples, *shape) if name in self.data else shape for name, shape in self.shapes.items()}
        return {name: self.draws.get(name, normal)(rng, shape) for name, shape in shapes.items()}

    def first(self, values: Mapping[str, np.ndarray], examples: int) -> dict[str, np.ndarray]:
        return {name: value[:examples] if name in self.data else value for name, value in values.items()}

    def losses(self, values: Mapping[str, Any]) -> Any:
        """Every example's loss, in JAX; of a model without data, one."""
        if self.whole:
            return self.jax(**values)
        if not self.data:
            return jnp.reshape(self.jax(**values), 1)
        given = {name: value for name, value in values.items() if name not in self.data}
        return jax.vmap(lambda one: self.jax(**given, **one))({name: values[name] for name in self.data})


def _scalars(name: str, shape: tuple[int, ...]) -> Any:
    """Separate symbols: an array of them, which formulas index."""
    if not shape:
        return sp.Symbol(name)
    made = np.empty(shape, dtype=object)
    for at in np.ndindex(*shape):
        made[at] = sp.Symbol("_".join((name, *map(str, at))))
    return made


def _matrix(name: str, shape: tuple[Any, ...]) -> Any:
    return sp.MatrixSymbol(name, *(*shape, 1)[:2]) if shape else sp.Symbol(name)


# fmt: off
SYMBOLS: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "matrix": _matrix,
    "index":  lambda name, shape: sp.IndexedBase(name, shape=shape) if shape else sp.Symbol(name),
    "tensor": lambda name, shape: sm.Tensor(name, shape) if shape else sp.Symbol(name),
    "scalar": _scalars,
}
# fmt: on


def flat(symbol: Any) -> list[Any]:
    return list(symbol.ravel()) if isinstance(symbol, np.ndarray) else [symbol]


# ============================================================================================= linear models


def least_squares(n: Any = 4) -> Twin:
    return Twin(
        {"x": (n,), "w": (n,), "b": (), "y": ()},
        "w b",
        lambda x, w, b, y: (w @ x + b - y) ** 2,
        {
            "matrix": lambda x, w, b, y: (sm.dot(w, x) + b - y) ** 2,
            "index": lambda x, w, b, y: (sp.Sum(w[i] * x[i], over(i, n)) + b - y) ** 2,
            "tensor": lambda x, w, b, y: ((w * x).sum() + b - y) ** 2,
            "scalar": lambda x, w, b, y: (w @ x + b - y) ** 2,
        },
    )


def logistic(n: Any = 4) -> Twin:
    return Twin(
        {"x": (n,), "w": (n,), "b": (), "y": ()},
        "w b",
        lambda x, w, b, y: jnp.logaddexp(0, w @ x + b) - y * (w @ x + b),
        {
            "matrix": lambda x, w, b, y: sm.binary_cross_entropy(sm.scalar(w.T * x) + b, y),
            "index": lambda x, w, b, y: (
                sm.softplus(sp.Sum(w[i] * x[i], over(i, n)) + b) - y * (sp.Sum(w[j] * x[j], over(j, n)) + b)
            ),
            "tensor": lambda x, w, b, y: sm.binary_cross_entropy(w @ x + b, y),
            "scalar": lambda x, w, b, y: sp.log(1 + sp.exp(w @ x + b)) - y * (w @ x + b),
        },
        draws={"y": ones_and_zeros},
    )


def exponential_loss() -> Twin:
    """Labels ±1, and a hinge beside it."""
    return Twin(
        {"x": (3,), "w": (3,), "y": ()},
        "w",
        lambda x, w, y: jnp.exp(-y * (w @ x)) + jnp.maximum(0, 1 - y * (w @ x)),
        {
            "matrix": lambda x, w, y: sp.exp(-y * sm.dot(w, x)) + sm.hinge(sm.dot(w, x), y),
            "scalar": lambda x, w, y: sp.exp(-y * (w @ x)) + sp.Max(0, 1 - y * (w @ x)),
        },
        draws={"y": plus_minus},
    )


# ============================================================================================= networks


def perceptron(n: Any = 4, h: Any = 5, o: Any = 3) -> Twin:
    """Two layers and softmax cross-entropy."""

    def layer(index: Any, V: Any, a: Any, x: Any) -> Any:
        return sp.tanh(sp.Sum(V[index, k] * x[k], over(k, n)) + a[index])

    def by_index(x: Any, t: Any, V: Any, a: Any, W: Any, b: Any) -> Any:
        z = sm.comprehension(sp.Sum(W[i, j] * layer(j, V, a, x), over(j, h)) + b[i], (i, o))
        return sp.Sum(t[q], over(q, o)) * sm.LogSumExp(z[l], over(l, o)) - sp.Sum(t[p] * z[p], over(p, o))

    return Twin(
        {"x": (n,), "t": (o,), "V": (h, n), "a": (h,), "W": (o, h), "b": (o,)},
        "V a W b",
        lambda x, t, V, a, W, b: -t @ jax.nn.log_softmax(W @ jnp.tanh(V @ x + a) + b),
        {
            "matrix": lambda x, t, V, a, W, b: sm.cross_entropy(W * sm.tanh(V * x + a) + b, t),
            "index": by_index,
            "tensor": lambda x, t, V, a, W, b: sm.cross_entropy(W @ sm.tanh(V @ x + a) + b, t),
            "scalar": lambda x, t, V, a, W, b: _scalar_cross_entropy(
                W @ np.array([sp.tanh(z) for z in V @ x + a]) + b, t
            ),
        },
        draws={"t": one_hot},
    )


def _scalar_cross_entropy(z: Any, t: Any) -> Any:
    return sp.log(sp.Add(*map(sp.exp, z))) * sum(t) - t @ z


def class_numbers() -> Twin:
    return Twin(
        {"x": (4,), "c": (), "W": (3, 4)},
        "W",
        lambda x, c, W: -jax.nn.log_softmax(W @ x)[c],
        {
            "matrix": lambda x, c, W: sm.cross_entropy(W * x, c),
            "tensor": lambda x, c, W: sm.cross_entropy(W @ x, c),
        },
        draws={"c": below(3)},
    )


def attention(n: int = 5, d: int = 3) -> Twin:
    """One head over n tokens of d numbers."""

    def by_jax(x: Any, y: Any, Q: Any, K: Any, V: Any) -> Any:
        weights = jax.nn.softmax((x @ Q) @ (x @ K).T / np.sqrt(d), axis=-1)
        return ((weights @ (x @ V) - y) ** 2).sum()

    def by_index(x: Any, y: Any, Q: Any, K: Any, V: Any) -> Any:
        def row(weight: Any) -> Any:
            return sm.comprehension(sp.Sum(x[i, j] * weight[j, k], over(j, d)), (i, n), (k, d))

        a, b, c = row(Q), row(K), row(V)
        s = sm.comprehension(sp.Sum(a[i, p] * b[j, p], over(p, d)) / sp.sqrt(d), (i, n), (j, n))
        w = sm.comprehension(sp.exp(s[i, j] - sm.LogSumExp(s[i, q], over(q, n))), (i, n), (j, n))
        return sp.Sum((sp.Sum(w[i, j] * c[j, k], over(j, n)) - y[i, k]) ** 2, over(i, n), over(k, d))

    def by_tensor(x: Any, y: Any, Q: Any, K: Any, V: Any) -> Any:
        e = sm.softmax((x @ Q) @ (x @ K).T / sp.sqrt(d), axis=-1) @ (x @ V) - y
        return (e**2).sum()

    def by_matrix(x: Any, y: Any, Q: Any, K: Any, V: Any) -> Any:
        return sm.sum(sp.HadamardPower(sm.softmax(x * Q * (x * K).T / sp.sqrt(d), axis=1) * (x * V) - y, 2), axis=None)

    return Twin(
        {"x": (n, d), "y": (n, d), "Q": (d, d), "K": (d, d), "V": (d, d)},
        "Q K V",
        by_jax,
        {"index": by_index, "tensor": by_tensor, "matrix": by_matrix},
    )


def recurrent(steps: int = 6, d: int = 3) -> Twin:
    def by_jax(x: Any, y: Any, W: Any, u: Any) -> Any:
        h = jnp.zeros(d)
        for t in range(steps):
            h = jnp.tanh(W @ h + u * x[t])
        return (h.sum() - y) ** 2

    def by_tensor(x: Any, y: Any, W: Any, u: Any) -> Any:
        h = sm.tanh(u * x[0])
        for t in range(1, steps):
            h = sm.tanh(W @ h + u * x[t])
        return (h.sum() - y) ** 2

    def by_matrix(x: Any, y: Any, W: Any, u: Any) -> Any:
        h = sm.tanh(u * x[0, 0])
        for t in range(1, steps):
            h = sm.tanh(W * h + u * x[t, 0])
        return (sm.sum(h) - y) ** 2

    return Twin(
        {"x": (steps,), "y": (), "W": (d, d), "u": (d,)}, "W u", by_jax, {"tensor": by_tensor, "matrix": by_matrix}
    )


# ============================================================================================= convolutions and gathers


def convolution(n: int = 12, width: int = 3, channels: int = 2) -> Twin:
    """One signal, several filters, of stride 1."""
    length = n - width + 1

    def by_index(x: Any, y: Any, f: Any, b: Any) -> Any:
        response = sp.tanh(sp.Sum(f[k, j] * x[i + j], over(j, width)) + b[k])
        return (sp.Sum(response, over(i, length), over(k, channels)) - y) ** 2

    def by_jax(x: Any, y: Any, f: Any, b: Any) -> Any:
        return (sum(jnp.tanh(jnp.correlate(x, f[c], "valid") + b[c]).sum() for c in range(channels)) - y) ** 2

    shapes = {"x": (n,), "y": (), "f": (channels, width), "b": (channels,)}
    return Twin(shapes, "f b", by_jax, {"index": by_index, "tensor": by_index})


def image_network(kind: Draw = normal) -> Twin:
    """A convolution of two channels by three filters, relu, 2×2 max pooling, a dense layer, softmax."""
    size, side = 3, 4

    def by_index(x: Any, c: Any, F: Any, W: Any) -> Any:
        def filtered(f: Any, r: Any, s: Any) -> Any:
            return sp.Sum(F[f, k, p, q] * x[k, r + p, s + q], over(k, 2), over(p, size), over(q, size))

        feature = sm.comprehension(sm.relu(filtered(l, i, j)), (l, 3), (i, side), (j, side))
        pooled = sm.comprehension(
            sm.Maximum(feature[l, 2 * i + p, 2 * j + q], over(p, 2), over(q, 2)), (l, 3), (i, 2), (j, 2)
        )
        z = sm.comprehension(sp.Sum(W[k, l, i, j] * pooled[l, i, j], over(l, 3), over(i, 2), over(j, 2)), (k, 5))
        return sm.LogSumExp(z[i], over(i, 5)) - z[c]

    def by_jax(x: Any, c: Any, F: Any, W: Any) -> Any:
        feature = jax.nn.relu(jax.lax.conv(x[None], F, (1, 1), "VALID")[0])
        pooled = feature.reshape(3, 2, 2, 2, 2).max((2, 4))
        return -jax.nn.log_softmax(jnp.einsum("klij,lij->k", W, pooled))[c]

    shapes = {"x": (2, side + size - 1, side + size - 1), "c": (), "F": (3, 2, size, size), "W": (5, 3, 2, 2)}
    return Twin(shapes, "F W", by_jax, {"index": by_index}, draws={"c": below(5), "x": kind, "F": kind})


def pooling(kind: Draw) -> Twin:
    """The maximum of each window of three, of parameters; at ties every winner has its share."""
    return Twin(
        {"w": (9,), "x": (3,)},
        "w",
        lambda w, x: w.reshape(3, 3).max(1) @ x - w.min() ** 2,
        {
            "index": lambda w, x: (
                sp.Sum(x[i] * sm.Maximum(w[3 * i + j], over(j, 3)), over(i, 3)) - sm.Minimum(w[k], over(k, 9)) ** 2
            ),
            "tensor": lambda w, x: (w.reshape(3, 3).max(axis=1) * x).sum() - w.min() ** 2,
            "matrix": lambda w, x: sum(x[a, 0] * sm.max(w[3 * a : 3 * a + 3, 0]) for a in range(3)) - sm.min(w) ** 2,
        },
        draws={"w": kind},
    )


def embedding(words: int = 7, d: int = 3, length: int = 4) -> Twin:
    """A bag of words: rows are gathered, their gradients scattered, words come twice."""
    return Twin(
        {"c": (length,), "y": (), "E": (words, d), "w": (d,)},
        "E w",
        lambda c, y, E, w: (jnp.tanh(E[c]).sum(0) @ w - y) ** 2,
        {"index": lambda c, y, E, w: (sp.Sum(sp.tanh(E[c[i], j]) * w[j], over(i, length), over(j, d)) - y) ** 2},
        draws={"c": below(words)},
    )


# ============================================================================================= normalisations


def layer_normalisation(n: int = 6) -> Twin:
    def by_jax(x: Any, y: Any, W: Any, g: Any, b: Any) -> Any:
        h = W @ x
        return ((g * (h - h.mean()) / jnp.sqrt(h.var() + 1e-5) + b - y) ** 2).mean()

    def by_index(x: Any, y: Any, W: Any, g: Any, b: Any) -> Any:
        h = sm.comprehension(sp.Sum(W[i, j] * x[j], over(j, n)), (i, n))
        c = sm.comprehension(h[i] - sp.Sum(h[j], over(j, n)) / n, (i, n))
        scale = sp.sqrt(sp.Sum(c[k] ** 2, over(k, n)) / n + 1e-5)
        return sp.Sum((g[i] * c[i] / scale + b[i] - y[i]) ** 2, over(i, n)) / n

    def by_tensor(x: Any, y: Any, W: Any, g: Any, b: Any) -> Any:
        h = W @ x
        c = h - h.mean()
        return sm.mse(g * c / sm.sqrt((c**2).mean() + 1e-5) + b, y)

    def by_matrix(x: Any, y: Any, W: Any, g: Any, b: Any) -> Any:
        h = W * x
        c = sm.add(h, -sm.mean(h))
        return sm.mse(sp.HadamardProduct(g, c) / sp.sqrt(sm.dot(c, c) / n + 1e-5) + b, y)

    shapes = {"x": (n,), "y": (n,), "W": (n, n), "g": (n,), "b": (n,)}
    return Twin(shapes, "W g b", by_jax, {"index": by_index, "tensor": by_tensor, "matrix": by_matrix})


def batch_normalisation(n: int = 4, h: int = 3) -> Twin:
    def by_jax(x: Any, y: Any, W: Any, g: Any) -> Any:
        z = x @ W.T
        c = z - z.mean(0)
        return (jnp.tanh(c / jnp.sqrt((c**2).mean(0) + 0.1)) @ g - y) ** 2

    def by_matrix(x: Any, y: Any, W: Any, g: Any) -> Any:
        z = W * x
        c = z - sm.batch_mean(z)
        scale = sm.sqrt(sm.add(sm.batch_mean(sp.HadamardPower(c, 2)), 0.1))
        return (sm.dot(g, sm.tanh(sp.HadamardProduct(c, sp.HadamardPower(scale, -1)))) - y) ** 2

    def by_tensor(x: Any, y: Any, W: Any, g: Any) -> Any:
        c = W @ x - sm.batch_mean(W @ x)
        return ((sm.tanh(c / sm.sqrt(sm.batch_mean(c**2) + 0.1)) * g).sum() - y) ** 2

    return Twin(
        {"x": (n,), "y": (), "W": (h, n), "g": (h,)},
        "W g",
        by_jax,
        {"matrix": by_matrix, "tensor": by_tensor},
        whole=True,
    )
