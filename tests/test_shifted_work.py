"""Stencils: costly work that places side by side share is stored once, and guards are asked at the borders only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from truth import complex_step_of

import sympile as sm

i, j, k = sm.indices("i j k")
n, m = sp.symbols("n m")
Numbers = Any


def chain(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The sum over neighbours of f(u[i], u[i + 1])."""
    return lambda u, length: sp.Sum(f(u[i], u[i + 1]), (i, 0, length - 2))


def along(f: Callable[[Numbers, Numbers], Numbers]) -> Callable[[Numbers], Numbers]:
    return lambda u: np.sum(f(u[:-1], u[1:]))


ROWS = {  # formula of neighbours, the same of NumPy; whether the slopes share costly work
    "exponentials": (lambda a, b: sp.exp(a - b), lambda a, b: np.exp(a - b), True),
    "rooted": (lambda a, b: sp.sqrt(1 + (b - a) ** 2), lambda a, b: np.sqrt(1 + (b - a) ** 2), True),
    "angles": (lambda a, b: sp.cos(b - a), lambda a, b: np.cos(b - a), True),
    "nested": (lambda a, b: sp.exp(-sp.sqrt(1 + (a - b) ** 4)), lambda a, b: np.exp(-np.sqrt(1 + (a - b) ** 4)), True),
    "squares": (lambda a, b: (b - a - 1) ** 2, lambda a, b: (b - a - 1) ** 2, False),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("symbolic", [False, True])
def test_chains_of_any_length(name: str, symbolic: bool) -> None:
    formula, reference, _ = ROWS[name]
    for length in (2, 3, 7, 8, 9, 16, 17, 31, 33, 50, 100):
        u = sp.IndexedBase("u", shape=(n if symbolic else length,))
        loss = chain(formula)(u, n if symbolic else length)
        values = np.random.default_rng(length).normal(size=length)
        model = compiled(loss, u, symbolic)
        got = model.backward({u: values})[u]
        np.testing.assert_allclose(got, complex_step_of(along(reference), values), rtol=1e-13, atol=1e-14, err_msg=f"{length}")


_models: dict[Any, sm.Model] = {}


def compiled(loss: Any, u: Any, symbolic: bool) -> sm.Model:
    key = (loss, symbolic)
    if key not in _models:
        _models[key] = sm.compile(loss, u)
    return _models[key]


@pytest.mark.parametrize("name", ROWS)
def test_what_is_shared_is_stored(name: str) -> None:
    formula, _, shared = ROWS[name]
    u = sp.IndexedBase("u", shape=(100,))
    model = sm.compile(chain(formula)(u, 100), u)
    stored = [line for line in model.stages["loops"].splitlines() if "  99  " in line]
    assert bool(stored) is shared, model.stages["loops"]


@pytest.mark.parametrize("width", [2, 3])
def test_ropes_take_each_root_once(width: int) -> None:
    """The squared lengths are stored, and each is read at its own place and at the next one, under a guard."""
    for length in (2, 3, 8, 17, 60):
        X = sp.IndexedBase("X", shape=(length, width))
        squares = sp.Sum((X[i + 1, k] - X[i, k]) ** 2, (k, 0, width - 1))
        model = sm.compile(sp.Sum((sp.sqrt(squares) - 1) ** 2, (i, 0, length - 2)) + sp.Sum(X[i, 1], (i, 0, length - 1)), X)
        values = np.random.default_rng(length).normal(size=(length, width))
        wanted = complex_step_of(_rope, values)
        np.testing.assert_allclose(model.backward({X: values})[X], wanted, rtol=1e-12, atol=1e-13)
        if length > 2:
            (slope,) = [line for line in model.stages["loops"].splitlines() if "dobjective/dX[i, j]" in line]
            assert "sqrt" not in slope and "/" not in slope.split("dX[i, j]")[1], slope


def _rope(X: Numbers) -> Numbers:
    lengths = np.sqrt(((X[1:] - X[:-1]) ** 2).sum(axis=1))
    return ((lengths - 1) ** 2).sum() + X[:, 1].sum()


SHAPES = [(2, 2), (3, 9), (9, 3), (8, 8), (17, 16), (20, 33), (40, 40)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_surfaces(shape: tuple[int, int], dtype: str) -> None:
    """The slope of a surface's area: roots of windows in two directions, guards on rows and lanes, a border term."""
    u = sp.IndexedBase("u", shape=shape)
    steps = (u[i + 1, j] - u[i, j]) ** 2 + (u[i, j + 1] - u[i, j]) ** 2
    area = sp.Sum(sp.sqrt(1 + steps), (i, 0, shape[0] - 2), (j, 0, shape[1] - 2)) + u[0, shape[1] - 1] ** 2

    def reference(u: Numbers) -> Numbers:
        a, b = u[1:, :-1] - u[:-1, :-1], u[:-1, 1:] - u[:-1, :-1]
        return np.sum(np.sqrt(1 + a * a + b * b)) + u[0, -1] ** 2

    values = np.random.default_rng(1).normal(size=shape).astype(dtype)
    got = sm.compile(area, u, dtype=dtype).backward({u: values})[u]
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(got, complex_step_of(reference, values.astype(float)), rtol=tolerance, atol=tolerance)


def test_windows_of_each_example() -> None:
    """The stored work has the examples' axis, and only its own index is shifted."""
    x, w, t = sp.IndexedBase("x", shape=(12,)), sp.IndexedBase("w", shape=(12,)), sp.Symbol("t")
    loss = (sp.Sum(sp.exp(w[i + 1] * x[i + 1] - w[i] * x[i]), (i, 0, 10)) - t) ** 2
    rng = np.random.default_rng(2)
    values = {x: rng.normal(size=(23, 12)), t: rng.normal(size=23), w: rng.normal(size=12) / 2}

    def reference(w: Numbers) -> Numbers:
        u = values[x] * w
        return np.mean((np.exp(u[:, 1:] - u[:, :-1]).sum(1) - values[t]) ** 2)

    got = sm.compile(loss, w).backward(values)[w]
    np.testing.assert_allclose(got, complex_step_of(reference, values[w]), rtol=1e-12)


def test_rings_and_choices_at_borders() -> None:
    """[i = 0] and its like are false inside, and choices take the other side there."""
    u, c = sp.IndexedBase("u", shape=(n,)), sp.IndexedBase("c", shape=(n,))
    border = sp.Or(sp.Eq(i, 0), sp.Eq(i, n - 1))
    inner = u[i] + c[i] * (u[i + 1] - 2 * u[i] + u[i - 1])
    after = sm.comprehension(sp.Piecewise((u[i], border), (inner, True)), (i, n))
    loss = sp.Sum(after[i] ** 2, (i, 0, n - 1)) + (u[0] - u[n - 1]) ** 2
    model = sm.compile(loss, [u, c])
    for length in (2, 5, 8, 15, 16, 24, 40, 65):
        rng = np.random.default_rng(length)
        a, b = rng.normal(size=length), rng.normal(size=length)

        def reference(u: Numbers, c: Numbers) -> Numbers:
            found = u.copy() + 0 * c
            found[1:-1] += (c * (np.roll(u, -1) - 2 * u + np.roll(u, 1)))[1:-1]
            return np.sum(found**2) + (u[0] - u[-1]) ** 2

        got = model.backward({u: a, c: b})
        np.testing.assert_allclose(got[u], complex_step_of(lambda v, b=b: reference(v, b), a), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(got[c], complex_step_of(lambda v, a=a: reference(a + 0 * v, v), b), rtol=1e-12, atol=1e-13)
