"""Models for sympile in up to four notations and for JAX; all of one example, with the same named arguments."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from jax_twins import Draw, Twin, below, normal, one_hot, ones_and_zeros, over, plus_minus

import sympile as sm

i, j, k, l, p, q = sm.indices("i j k l p q")


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
