"""Slopes of largest and smallest of computed values: where the extreme is must be found to the bit; by complex steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from truth import complex_step

import sympile as sm

ROWS, COLUMNS = 17, 11
i, j, k = sm.indices("i j k")
X = sp.IndexedBase("X", shape=(ROWS, COLUMNS))
w, u = sp.IndexedBase("w", shape=(COLUMNS,)), sp.IndexedBase("u", shape=(ROWS,))
a = sp.Symbol("a")

# fmt: off
VALUES: dict[str, Callable[..., Any]] = {  # with the functions of SymPy, or of NumPy
    "a read":                 lambda f, X, w, u, a: X,
    "a sum of two":           lambda f, X, w, u, a: X + w,
    "a product of several":   lambda f, X, w, u, a: a*X*w*u,
    "a multiply-add":         lambda f, X, w, u, a: X*w + a*u*X - w,
    "a function":             lambda f, X, w, u, a: f.exp(a*X)*w + u,
    "quotients":              lambda f, X, w, u, a: X*w/(1 + u*u)/(1 + a*a) + X/(1 + u*u),
    "a square":               lambda f, X, w, u, a: (X - w)**2*a/3 + u*X,
    "parts that are shared":  lambda f, X, w, u, a: f.log(1 + f.exp(X*w)) + u/(1 + f.exp(-X*w)),
    "sine and cosine":        lambda f, X, w, u, a: f.sin(X)*f.cos(X)*w*u + f.sin(X)*a,
}
# fmt: on


def numbers(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"X": (ROWS, COLUMNS), "w": (COLUMNS,), "u": (ROWS,), "a": ()}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def evaluated(kind: str, values: Any) -> Any:
    return VALUES[kind](np, values["X"], values["w"], values["u"][:, None], values["a"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("binder", [sm.Maximum, sm.Minimum])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("beside", [0, 1], ids=["alone", "beside a sum"])
def test_extremes_of_computed_values(beside: int, kind: str, axis: int, binder: Any, dtype: str) -> None:
    """Beside a sum of the same values, and alone: they are computed several times in several ways."""
    body = VALUES[kind](sp, X[i, j], w[j], u[i], a)
    over, kept = [((i, ROWS), (j, COLUMNS)), ((j, COLUMNS), (i, ROWS))][axis]
    extremes = sm.comprehension(binder(body, (over[0], 0, over[1] - 1)), kept)
    loss = sp.Sum(sp.sin(extremes[k]), (k, 0, kept[1] - 1)) + beside * sp.Sum(
        sp.tanh(body), (i, 0, ROWS - 1), (j, 0, COLUMNS - 1)
    )
    model = sm.compile(loss, [X, w, u, a], allow_unused=[w, u, a], dtype=dtype)
    for seed in range(2):
        values = numbers(seed)
        there = (np.argmax if binder is sm.Maximum else np.argmin)(evaluated(kind, values), axis)

        def value(moved: Any, there: Any = there) -> Any:
            found = evaluated(kind, moved)
            chosen = np.take_along_axis(found, np.expand_dims(there, axis), axis)
            return np.sin(chosen).sum() + beside * np.tanh(found).sum()

        slopes = model.backward(values)
        for name in values:
            want = complex_step(value, values, name)
            scale = 1 + np.abs(want).max()
            np.testing.assert_allclose(slopes[name], want, rtol=0, atol=scale * (1e-12 if dtype == "float64" else 1e-3))


def test_largest_of_some_shares_of_a_softmax() -> None:
    """The shares are quotients where an index is plain, and else exponentials of differences."""
    p = sm.Tensor("p", (5,))
    gradient = sm.lambdify([p], sm.grad(sm.softmax(p)[2:].max(), p))
    for seed in range(10):
        at = np.random.default_rng(seed).normal(size=5)
        shares = np.exp(at) / np.exp(at).sum()
        largest = 2 + shares[2:].argmax()
        np.testing.assert_allclose(gradient(at), shares[largest] * ((np.arange(5) == largest) - shares), rtol=1e-12)


def test_largest_of_three_that_is_stored() -> None:
    n, steps = 4, 3
    A, B, C, x = sm.Tensor("A", (n, n)), sm.Tensor("B", (n, n)), sm.Tensor("C", (n, n)), sm.Tensor("x", (n,))

    def after(h: Any, values: Any, largest: Any, tanh: Any) -> Any:
        P, Q, R = values
        for step in range(steps):
            h = tanh(largest(step, P @ h * h + h, Q @ h - h * h * 2, R @ h * h / (1 + h * h)))
        return (h**2).sum()

    def written(step: int, *parts: Any) -> Any:
        return sm.named(f"h{step}", sm.comprehension(sp.Max(*[part[i] for part in parts]), (i, n)))

    model = sm.compile(after(x, (A, B, C), written, sm.tanh), [A, B, C], constants=[x])
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size=(n, n)) for name in "ABC"} | {"x": rng.normal(size=n)}
    slopes = model.backward(values)
    for name in "ABC":
        found = complex_step(
            lambda moved: after(moved["x"], [moved[q] for q in "ABC"], _largest, np.tanh), values, name
        )
        np.testing.assert_allclose(slopes[name], found, rtol=1e-11, atol=1e-12)


def _largest(step: int, *parts: Any) -> Any:
    """By the real parts."""
    every = np.stack([np.asarray(part) for part in parts])
    return np.take_along_axis(every, every.real.argmax(0)[None], 0)[0]


@pytest.mark.parametrize("names", ["abcd", "dcba", "bdac", "cadb", "wxyz", "zyxw", "xzwy", "ywzx"])
def test_extremes_of_a_difference_with_a_product(names: str) -> None:
    """Names decide which sign stands before a difference; one before a product hid that the product is rounded."""
    i, j, k = sm.indices("i j k")
    c, x, t, p = (sp.IndexedBase(n, shape=s) for n, s in zip(names, ((4, 3), (4, 3), (3, 3), (4, 3)), strict=True))
    product = sm.comprehension(sp.Sum(t[j, k] * p[i, j], (j, 0, 2)), (i, 4), (k, 3))
    least = sm.Minimum(c[i, k] * x[i, k] - product[i, k], (i, 0, 3))
    model = sm.compile(sp.Sum(least, (k, 0, 2)) ** 2, p, constants=[c, t])
    rng = np.random.default_rng(0)
    C, X, T, P = (rng.normal(size=s) for s in ((4, 3), (17, 4, 3), (3, 3), (4, 3)))
    terms = C * X - P @ T
    numbers, outer = terms.min(axis=1), 2 * terms.min(axis=1).sum(axis=1)
    chosen = (terms == numbers[:, None]) * outer[:, None, None]
    exact = -(chosen.mean(axis=0) @ T.T)
    found = model.backward({c: C, x: X, t: T, p: P})[p]
    np.testing.assert_allclose(found, exact, rtol=1e-11)
