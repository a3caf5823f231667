"""A fit like the one before takes what that one found out; whatever differs is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import ArgumentError, IndexOutOfRange

# fmt: off: the tables below are aligned by hand

a, b, x, y = sp.symbols("a b x y")
N = 300
X = np.random.default_rng(5).normal(size=N)
Y = 2 * X - 1 + 0.1 * np.sin(9 * X)
START = {a: 0.5, b: 0.25}


def line() -> sm.Model:
    return sm.compile((a * x + b - y) ** 2, [a, b])


def bits(result: Any) -> bytes:
    return b"".join(array.tobytes() for array in (*result.parameters.values(), result.history["loss"]))


KINDS: list[Any] = [
    pytest.param({"epochs": 3},                                                             id="few epochs"),
    pytest.param({"epochs": 150, "optimizer": sm.sgd(0.01)},                                id="an R factor, in registers"),
    pytest.param({"epochs": 150, "batch_size": 50},                                         id="batches"),
    pytest.param({"epochs": 3, "batch_size": 50, "shuffle": False},                         id="batches in order"),
    pytest.param({"epochs": 2, "batch_size": 50, "shuffle": np.tile(np.arange(N), (2, 1))}, id="orders of one's own"),
]


@pytest.mark.parametrize("options", KINDS)
def test_arrays_that_change_in_place_are_read_again(options: dict[str, Any]) -> None:
    """The user's objects are the same ones, their numbers are not."""
    at, values, first = X.copy(), Y.copy(), np.array(0.5)
    model = line()

    def once(model: sm.Model) -> bytes:
        return bits(model.fit({x: at, y: values}, start={a: first, b: 0.25}, **options))

    changes: list[Any] = [lambda: at.fill(0.5), lambda: values.fill(-1.0), lambda: first.fill(2.0)]
    seen = [once(model)]
    for change in changes:
        assert once(model) == seen[-1]
        change()
        seen.append(once(model))
        assert seen[-1] == once(line())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(("good", "bad"), [
    pytest.param({"epochs": 1},                   {"epochs": True},                   id="epochs"),
    pytest.param({"epochs": 2},                   {"epochs": 2.0},                    id="epochs with a point"),
    pytest.param({"epochs": 2, "seed": 0},        {"epochs": 2, "seed": False},       id="seed"),
    pytest.param({"epochs": 2, "batch_size": 1},  {"epochs": 2, "batch_size": True},  id="batch size"),
    pytest.param({"epochs": 2, "record": a},      {"epochs": 2, "record": "c"},       id="record"),
    pytest.param({"epochs": 2, "callbacks": ()},  {"epochs": 2, "callbacks": 3},      id="callbacks"),
    pytest.param({"epochs": 2, "stop": None},     {"epochs": 2, "stop": "early"},     id="stop"),
    pytest.param({"epochs": 2, "verbose": False}, {"epochs": 2, "verbose": 2},        id="verbose"),
])
def test_equal_is_not_the_same(good: dict[str, Any], bad: dict[str, Any]) -> None:
    model = line()
    want = bits(model.fit({x: X, y: Y}, start=START, **good))
    for _ in range(2):
        with pytest.raises(ArgumentError, match=list(bad)[-1]):
            model.fit({x: X, y: Y}, start=START, **bad)
        assert bits(model.fit({x: X, y: Y}, start=START, **good)) == want


@pytest.mark.parametrize(("kind", "wrong"), [
    pytest.param(np.int64,  -1,      id="negative"),
    pytest.param(np.int64,  N,       id="too large"),
    pytest.param(np.int16,  -1,      id="negative, of two bytes"),
    pytest.param(np.uint64, 2**63,   id="beyond all signed numbers"),
    pytest.param(np.uint64, 2**64 - 1, id="the largest"),
])
def test_orders_are_looked_at_in_every_fit(kind: Any, wrong: int) -> None:
    model, orders = line(), np.tile(np.arange(N), (2, 1)).astype(kind)
    for _ in range(2):
        orders[1, 7] = 7
        model.fit({x: X, y: Y}, epochs=2, batch_size=50, start=START, shuffle=orders)
        orders[1, 7] = wrong
        with pytest.raises(ArgumentError, match=f"0 … {N - 1}"):
            model.fit({x: X, y: Y}, epochs=2, batch_size=50, start=START, shuffle=orders)


def test_indices_are_looked_at_in_every_fit() -> None:
    """Also against a size that only a parameter tells."""
    n, k = sp.symbols("n k", integer=True)
    table, at = sm.Tensor("table", (n,)), np.array([0, 1, 2, 2])
    model = sm.compile((table[k] - y) ** 2, [table])
    for _ in range(2):
        at[3] = 2
        fitted = model.fit({k: at, y: np.arange(4.0)}, epochs=2, start={table: np.ones(3)})
        assert fitted.parameters[table].shape == (3,)
        at[3] = 3
        with pytest.raises(IndexOutOfRange):
            model.fit({k: at, y: np.arange(4.0)}, epochs=2, start={table: np.ones(3)})
        assert model.fit({k: at, y: np.arange(4.0)}, epochs=2, start={table: np.ones(4)}).parameters[table].shape == (4,)


def test_other_shapes_and_back() -> None:
    model = line()
    fits = [({x: X[:count], y: Y[:count]}, epochs) for count in (N, 20, 7) for epochs in (2, 120)]
    alone = [bits(line().fit(data, epochs=epochs, start=START)) for data, epochs in fits]
    for _ in range(2):
        assert [bits(model.fit(data, epochs=epochs, start=START)) for data, epochs in fits] == alone


@pytest.mark.parametrize("epochs", [3, 120], ids=["the general loop", "in registers"])
def test_parameters_that_are_lost_are_those_of_their_own_fit(epochs: int) -> None:
    """What an earlier fit left to go back to is not taken for it."""
    model, data = sm.compile((a * x - y) ** 2, [a]), {x: np.ones(4), y: np.ones(4)}
    for _ in range(2):
        assert model.fit(data, epochs=epochs, start={a: 0.1}, optimizer=sm.sgd(1e-3)).success
        lost = model.fit(data, epochs=epochs, start={a: np.nan}, optimizer=sm.sgd(1e-3))
        assert np.isnan(lost.parameters[a]) and "those of the start" in lost.stopped
        spoiled = model.fit(data, epochs=epochs, start={a: -3.0}, optimizer=sm.sgd(1e308))  # -3 + 8e308
        assert spoiled.failed and spoiled.parameters[a] == -3.0 and "the last finite ones" in spoiled.stopped


def test_seconds_of_a_fit_that_finishes_no_epoch() -> None:
    result = line().fit({x: X, y: Y}, epochs=3, start={a: np.inf, b: 0.0})
    assert result.failed and result.epochs == 0
    assert result.history["seconds"].shape == result.history["loss"].shape == (0,)
    assert result.history["seconds"].dtype == np.float64
