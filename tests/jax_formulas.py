"""Formulas of statistics and analysis for sympile and for JAX: likelihoods, determinants, kinks, norms, products, triangles."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp
from jax_twins import Draw, Twin, one_hot, ones_and_zeros, over, positive, spread_out, zeros_at

import sympile as sm

i, j, k = sm.indices("i j k")


# ============================================================================================= likelihoods


def gaussian_mixture(n: Any = 3, components: Any = 4) -> Twin:
    """The negative log-likelihood of one point of n numbers: weights by softmax, one width for each component."""

    def by_jax(x: Any, a: Any, m: Any, s: Any) -> Any:
        z = a - n * s - ((x - m) ** 2).sum(1) / jnp.exp(2 * s) / 2
        return jax.nn.logsumexp(a) - jax.nn.logsumexp(z)

    def by_index(x: Any, a: Any, m: Any, s: Any) -> Any:
        z = a[j] - n * s[j] - sp.Sum((x[i] - m[j, i]) ** 2, over(i, n)) * sp.exp(-2 * s[j]) / 2
        return sm.LogSumExp(a[k], over(k, components)) - sm.LogSumExp(z, over(j, components))

    def by_tensor(x: Any, a: Any, m: Any, s: Any) -> Any:
        z = a - n * s - ((x - m) ** 2).sum(axis=1) * sm.exp(-2 * s) / 2
        return sm.logsumexp(a) - sm.logsumexp(z)

    shapes = {"x": (n,), "a": (components,), "m": (components, n), "s": (components,)}
    return Twin(shapes, "a m s", by_jax, {"index": by_index, "tensor": by_tensor})


def gaussian_process(points: int = 9, inputs: int = 2) -> Twin:
    """The negative log evidence in length scales, amplitude and noise (Rasmussen and Williams 2006, eq. 5.8), all by their logs."""

    def by_jax(X: Any, y: Any, s: Any, a: Any, e: Any) -> Any:
        Z = X * jnp.exp(-s)
        squares = ((Z[:, None] - Z[None]) ** 2).sum(-1)
        K = jnp.exp(a - squares / 2) + jnp.exp(e) * jnp.eye(points)
        return y @ jnp.linalg.solve(K, y) / 2 + jnp.linalg.slogdet(K)[1] / 2

    def by_matrix(X: Any, y: Any, s: Any, a: Any, e: Any) -> Any:
        Z = X * sp.DiagMatrix(sm.exp(-s))
        lengths = sm.sum(sp.HadamardPower(Z, 2), axis=1)
        squares = sm.add(sm.add(-2 * Z * Z.T, lengths), lengths.T)
        K = sm.named("K", sp.exp(a) * sm.exp(-squares / 2) + sp.exp(e) * sp.Identity(points))
        return sm.scalar(y.T * K.I * y) / 2 + sp.log(sp.Determinant(K)) / 2

    shapes = {"X": (points, inputs), "y": (points,), "s": (inputs,), "a": (), "e": ()}
    return Twin(shapes, "s a e", by_jax, {"matrix": by_matrix}, constants="X y")


def poisson() -> Twin:
    return Twin(
        {"x": (3,), "y": (), "w": (3,)},
        "w",
        lambda x, y, w: jnp.exp(w @ x) - y * (w @ x),
        {
            "matrix": lambda x, y, w: sp.exp(sm.dot(w, x)) - y * sm.dot(w, x),
            "scalar": lambda x, y, w: sp.exp(w @ x) - y * (w @ x),
        },
    )


def divergence() -> Twin:
    """Kullback and Leibler's, of a softmax from a target."""
    return Twin(
        {"t": (4,), "x": (3,), "W": (4, 3)},
        "W",
        lambda t, x, W: (t * (jnp.log(t) - jax.nn.log_softmax(W @ x))).sum(),
        {
            "matrix": lambda t, x, W: sm.kl_divergence(t, sm.softmax(W * x)),
            "tensor": lambda t, x, W: (t * (sm.log(t) - sm.log_softmax(W @ x))).sum(),
        },
        draws={"t": positive},
    )


# ============================================================================================= linear algebra


def determinant(n: int = 4) -> Twin:
    return Twin(
        {"A": (n, n), "B": (n, n)},
        "A B",
        lambda A, B: jnp.log(jnp.linalg.det(A)) + jnp.linalg.slogdet(A @ A.T + B @ B.T)[1],
        {"matrix": lambda A, B: sp.log(sp.Determinant(A)) + sp.log(sp.Determinant(A * A.T + B * B.T))},
        draws={"A": spread_out},
    )


def inverse(n: int = 4) -> Twin:
    """A solution and traces, of one matrix for all examples."""
    return Twin(
        {"x": (n,), "A": (n, n), "B": (n, n)},
        "A B",
        lambda x, A, B: x @ jnp.linalg.solve(A, B @ x) + jnp.trace(jnp.linalg.inv(A) @ B @ A),
        {"matrix": lambda x, A, B: sm.dot(x, A.I * B * x) + sp.Trace(A.I * B * A)},
        draws={"A": spread_out},
    )


def whitening(n: int = 3) -> Twin:
    """A determinant and an inverse of each example's own matrix."""
    return Twin(
        {"x": (n, n), "w": (n,)},
        "w",
        lambda x, w: jnp.linalg.slogdet(x + jnp.diag(w**2))[1] + w @ jnp.linalg.solve(x, w),
        {"matrix": lambda x, w: sp.log(sp.Determinant(x + sp.DiagMatrix(sp.HadamardPower(w, 2)))) + sm.dot(w, x.I * w)},
        draws={"x": spread_out},
    )


# ============================================================================================= losses with kinks


def huber_loss(delta: float = 0.7) -> Twin:
    def by_jax(x: Any, y: Any, W: Any) -> Any:
        e = jnp.abs(W @ x - y)
        return jnp.where(e <= delta, e**2 / 2, delta * (e - delta / 2)).mean()

    def by_index(x: Any, y: Any, W: Any) -> Any:
        e = sp.Sum(W[i, j] * x[j], over(j, 3)) - y[i]
        small = sp.Piecewise((e**2 / 2, sp.Abs(e) <= delta), (delta * (sp.Abs(e) - delta / 2), True))
        return sp.Sum(small, over(i, 2)) / 2

    written = {
        "matrix": lambda x, y, W: sm.huber(W * x, y, delta),
        "tensor": lambda x, y, W: sm.huber(W @ x, y, delta=delta),
        "index": by_index,
    }
    return Twin({"x": (3,), "y": (2,), "W": (2, 3)}, "W", by_jax, written)


def quantile_loss(level: float = 0.9) -> Twin:
    def check(e: Any) -> Any:
        return sp.Piecewise((level * e, e >= 0), ((level - 1) * e, True))

    def by_jax(x: Any, y: Any, w: Any) -> Any:
        e = y - w @ x
        return jnp.where(e >= 0, level * e, (level - 1) * e)

    written = {
        "matrix": lambda x, y, w: check(y - sm.dot(w, x)),
        "index": lambda x, y, w: sp.Sum(check(y - sp.Sum(w[i] * x[i], over(i, 3))), over(j, 1)),
        "tensor": lambda x, y, w: check(y - (w * x).sum()),
        "scalar": lambda x, y, w: check(y - w @ x),
    }
    return Twin({"x": (3,), "y": (), "w": (3,)}, "w", by_jax, written)


def absolute_loss() -> Twin:
    return Twin(
        {"x": (3,), "y": (2,), "W": (2, 3)},
        "W",
        lambda x, y, W: jnp.abs(W @ x - y).mean() + jnp.abs(W).sum() / 10,
        {
            "matrix": lambda x, y, W: sm.mae(W * x, y) + sm.sum(sm.abs(W), axis=None) / 10,
            "tensor": lambda x, y, W: sm.mae(W @ x, y) + sm.abs(W).sum() / 10,
        },
    )


def choices() -> Twin:
    """A choice by a relation of arrays, and by numbers that count as true where they are not 0."""

    def by_jax(x: Any, c: Any, W: Any) -> Any:
        z = W @ x
        return (jnp.where(z > 0.3, z**2, -z) + jnp.where(c != 0, jnp.sin(z), z) + W[0, 0] * z).sum()

    def by_matrix(x: Any, c: Any, W: Any) -> Any:
        z = W * x
        chosen = sm.where(sm.greater(z, 0.3), sp.HadamardPower(z, 2), -z) + sm.where(c, sm.sin(z), z)
        return sm.sum(chosen + W[0, 0] * z)

    def by_tensor(x: Any, c: Any, W: Any) -> Any:
        z = W @ x
        return (sm.where(z > 0.3, z**2, -z) + sm.where(c, sm.sin(z), z) + W[0, 0] * z).sum()

    def by_index(x: Any, c: Any, W: Any) -> Any:
        z = sp.Sum(W[i, j] * x[j], over(j, 3))
        first = sp.Piecewise((z**2, z > 0.3), (-z, True))
        return sp.Sum(first + sp.Piecewise((sp.sin(z), sp.Ne(c[i], 0)), (z, True)) + W[0, 0] * z, over(i, 2))

    written = {"matrix": by_matrix, "tensor": by_tensor, "index": by_index}
    return Twin({"x": (3,), "c": (2,), "W": (2, 3)}, "W", by_jax, written, draws={"c": ones_and_zeros})


# ============================================================================================= norms, products, triangles


def norms(p: float) -> Twin:
    return Twin(
        {"x": (3,), "W": (4, 3)},
        "W",
        lambda x, W: jnp.linalg.norm(W @ x, p) + (jnp.abs(W) ** p).sum(1) @ jnp.arange(1.0, 5.0),
        {
            "matrix": lambda x, W: sm.norm(W * x, p) + sum((r + 1) * sm.norm(W[r, :], p) ** p for r in range(4)),
            "tensor": lambda x, W: sm.norm(W @ x, p) + (sm.norm(W, p) ** p * (sm.comprehension(i + 1, (i, 4)))).sum(),
        },
    )


def product(kind: Draw) -> Twin:
    """A product of six differences, of which none, one or two are exactly zero."""
    return Twin(
        {"x": (6,), "w": (6,)},
        "w",
        lambda x, w: jnp.prod(w * (2 + x)) + 2 * jnp.prod(w),
        {
            "index": lambda x, w: sp.Product(w[i] * (2 + x[i]), over(i, 6)) + 2 * sp.Product(w[j], over(j, 6)),
            "tensor": lambda x, w: (w * (2 + x)).prod() + 2 * sm.prod(w),
            "matrix": lambda x, w: sm.prod(sp.HadamardProduct(w, sm.add(x, 2))) + 2 * sm.prod(w),
            "scalar": lambda x, w: sp.Mul(*(w * (2 + x))) + 2 * sp.Mul(*w),
        },
        draws={"w": kind},
    )


def triangle(n: Any = 7) -> Twin:
    """Sums whose length is an outer index: a cumulative sum."""
    return Twin(
        {"x": (n,), "w": (n,)},
        "w",
        lambda x, w: x @ jnp.tanh(jnp.cumsum(w * x)),
        {"index": lambda x, w: sp.Sum(x[i] * sp.tanh(sp.Sum(w[j] * x[j], (j, 0, i))), over(i, n))},
    )


def pairs(n: int = 6) -> Twin:
    """All pairs i < j, and a tail sum from an outer index on."""

    def by_jax(x: Any, w: Any) -> Any:
        forces = jnp.triu(jnp.exp(-((w[:, None] - w[None]) ** 2)), 1).sum()
        return forces + x @ jnp.sin(jnp.cumsum(w[::-1])[::-1])

    def by_index(x: Any, w: Any) -> Any:
        forces = sp.Sum(sp.exp(-((w[i] - w[j]) ** 2)), (j, i + 1, n - 1), over(i, n))
        return forces + sp.Sum(x[i] * sp.sin(sp.Sum(w[j], (j, i, n - 1))), over(i, n))

    return Twin({"x": (n,), "w": (n,)}, "w", by_jax, {"index": by_index})


def ratio_of_classes() -> Twin:
    """Probabilities as they stand in books, without the log taken in time; two rows of logits."""
    return Twin(
        {"x": (3,), "t": (4,), "W": (4, 3)},
        "W",
        lambda x, t, W: -jnp.log(t @ jax.nn.softmax(W @ x)) + jax.nn.sigmoid(W @ x).sum() ** 2,
        {
            "matrix": lambda x, t, W: -sp.log(sm.dot(t, sm.softmax(W * x))) + sm.sum(sm.sigmoid(W * x)) ** 2,
            "tensor": lambda x, t, W: -sp.log((t * sm.softmax(W @ x)).sum()) + sm.sigmoid(W @ x).sum() ** 2,
            "scalar": _ratio,
        },
        draws={"t": one_hot},
    )


def _ratio(x: Any, t: Any, W: Any) -> Any:
    powers = np.array([sp.exp(z) for z in W @ x])
    return -sp.log(t @ powers / sum(powers)) + sp.Add(*(1 / (1 + 1 / e) for e in powers)) ** 2


NO_ZERO, ONE_ZERO, TWO_ZEROS = zeros_at(), zeros_at(2), zeros_at(1, 4)
