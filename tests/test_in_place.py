"""Wide rows of shuffled batches, read where they lie: the steps are those of NumPy, whatever the sizes leave over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm

WIDTH, CLASSES = 784, 4
RATE = 0.003


def network(hidden: int, dtype: str, width: int = WIDTH, scale: Any = None) -> tuple[sm.Model, tuple[Any, ...]]:
    x, t = sp.MatrixSymbol("x", width, 1), sp.MatrixSymbol("t", CLASSES, 1)
    W, V = sp.MatrixSymbol("W", hidden, width), sp.MatrixSymbol("V", CLASSES, hidden)
    inputs = x if scale is None else scale(x)
    return sm.compile(sm.cross_entropy(V * sm.tanh(W * inputs), t), parameters=[W, V], dtype=dtype), (x, t, W, V)


def arrays(examples: int, hidden: int, dtype: str, width: int = WIDTH) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(examples)
    kinds = np.eye(CLASSES)[rng.integers(0, CLASSES, examples)]
    made = (
        rng.normal(size=(examples, width)),
        kinds,
        rng.normal(size=(hidden, width)) / 30,
        rng.normal(size=(4, hidden)),
    )
    return tuple(each.astype(dtype) for each in made)


def steps(
    x: np.ndarray, t: np.ndarray, W: np.ndarray, V: np.ndarray, orders: np.ndarray, batch: int, drop: bool
) -> Any:
    """W and V after gradient steps over all batches."""
    for order in orders:
        for begin in range(0, len(x) - batch + 1 if drop else len(x), batch):
            chosen = order[begin : begin + batch]
            h = np.tanh(x[chosen] @ W.T)
            e = np.exp(h @ V.T)
            dz = (e / e.sum(axis=1, keepdims=True) - t[chosen]) / len(chosen)
            dW = ((dz @ V) * (1 - h * h)).T @ x[chosen]
            W, V = W - RATE * dW, V - RATE * dz.T @ h
    return W, V


def fitted(model: sm.Model, symbols: tuple[Any, ...], data: Any, orders: np.ndarray, batch: int, drop: bool) -> Any:
    x, t, W, V = symbols
    start = {W: data[2], V: data[3]}
    options: dict[str, Any] = {"optimizer": sm.sgd(RATE), "verbose": False, "drop_last": drop}
    result = model.fit(
        {x: data[0], t: data[1]}, start=start, epochs=len(orders), batch_size=batch, shuffle=orders, **options
    )
    return result.parameters[W], result.parameters[V]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("hidden", "examples", "batch", "drop"),
    [(128, 100, 32, False), (100, 77, 33, False), (128, 70, 1, False), (256, 203, 100, True), (128, 40, 40, False)],
)
def test_steps_are_those_of_numpy(hidden: int, examples: int, batch: int, drop: bool, dtype: str) -> None:
    model, symbols = network(hidden, dtype)
    data = arrays(examples, hidden, dtype)
    rng = np.random.default_rng(hidden)
    orders = np.stack([rng.permutation(examples) for _ in range(2)])
    got = fitted(model, symbols, data, orders, batch, drop)
    assert model._steps._ordered is not None and model._steps._ordered.in_place
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for mine, wanted in zip(got, steps(*data, orders, batch, drop), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=tolerance)


def test_draws_of_our_own_give_the_same_bits_twice() -> None:
    model, (x, t, W, V) = network(128, "float64")
    data = arrays(90, 128, "float64")

    def run(shuffle: bool) -> np.ndarray:
        given, start = {x: data[0], t: data[1]}, {W: data[2], V: data[3]}
        result = model.fit(given, start=start, epochs=2, batch_size=20, shuffle=shuffle, seed=3, verbose=False)
        return np.asarray(result.parameters[W])

    np.testing.assert_array_equal(run(True), run(True))
    assert (run(True) != run(False)).any()  # batches in their order are read by the other step


def test_what_is_prepared_from_the_data_is_read_in_place() -> None:
    model, symbols = network(128, "float64", scale=lambda x: x.applyfunc(sp.exp))
    data = arrays(60, 128, "float64")
    data = (data[0] / 10, *data[1:])
    orders = np.random.default_rng(0).permutation(60)[None]
    got = fitted(model, symbols, data, orders, 25, False)
    training = model._steps._ordered
    assert training is not None and training.in_place and training.prepared
    for mine, wanted in zip(got, steps(np.exp(data[0]), *data[1:], orders, 25, False), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("width", "hidden"), [(784, 8), (64, 128)])
def test_rows_that_are_not_packed_are_copied(width: int, hidden: int) -> None:
    model, symbols = network(hidden, "float64", width)
    data = arrays(50, hidden, "float64", width)
    orders = np.random.default_rng(1).permutation(50)[None]
    got = fitted(model, symbols, data, orders, 20, False)
    assert model._steps._ordered is None or not model._steps._ordered.in_place
    for mine, wanted in zip(got, steps(*data, orders, 20, False), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-12)


def test_beside_a_routine_of_linear_algebra() -> None:
    """It has no formula that could read the rows; looking for one in it ended the fit."""
    hidden, few = 128, 3
    W, V = sp.MatrixSymbol("W", hidden, WIDTH), sp.MatrixSymbol("V", few, hidden)
    A, x, t = sp.MatrixSymbol("A", few, few), sp.MatrixSymbol("x", WIDTH, 1), sp.MatrixSymbol("t", few, 1)
    e = sm.named("e", t - A.I * V * sm.tanh(W * x))
    rng = np.random.default_rng(7)
    start = {W: rng.normal(size=(hidden, WIDTH)) / 50, V: rng.normal(size=(few, hidden)) / 10, A: 3 * np.eye(few)}
    data = {x: rng.normal(size=(150, WIDTH)), t: rng.normal(size=(150, few))}
    orders = np.stack([np.random.default_rng(n).permutation(150) for n in range(2)])
    found = []
    for rewrites in ("stable", "exact"):
        model = sm.compile(sm.dot(e, e) / 2, parameters=[W, V, A], rewrites=rewrites)
        fit = model.fit(data, start=start, epochs=2, batch_size=64, shuffle=orders, optimizer=sm.sgd(RATE))
        found.append(fit.parameters)
        assert model._steps._ordered is not None and model._steps._ordered.in_place
    rows = {symbol: np.array(value) for symbol, value in start.items()}
    for order in orders:
        for at in range(0, 150, 64):
            of, want = data[x][order[at : at + 64]], data[t][order[at : at + 64]]
            h, inverse = np.tanh(of @ rows[W].T), np.linalg.inv(rows[A])
            z = h @ rows[V].T @ inverse.T
            dz = (z - want) @ inverse / len(of)
            dW = ((dz @ rows[V]) * (1 - h * h)).T @ of
            dV, dA = dz.T @ h, -dz.T @ z
            rows = {W: rows[W] - RATE * dW, V: rows[V] - RATE * dV, A: rows[A] - RATE * dA}
    for parameters in found:
        for symbol, value in rows.items():
            np.testing.assert_allclose(parameters[symbol], value, rtol=1e-9, atol=1e-12)
