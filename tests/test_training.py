"""`fit` against the same training in plain NumPy; how it ends, what it reports, and what it leaves alone."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp
import training_reference as reference

import sympile as sm
from sympile.compiler.errors import ArgumentError, EmptyData, IndexOutOfRange, MissingValue, StationaryStart
from sympile.compiler.graph.node import make
from sympile.runtime import load as loading
from sympile.runtime.byname import name_of

Array = npt.NDArray[Any]
N, D, H, K = 53, 5, 4, 3
DTYPES = ("float64", "float32")
CLOSE = {"float64": {"rtol": 1e-10, "atol": 1e-12}, "float32": {"rtol": 2e-3, "atol": 2e-4}}


# ------------------------------------------------------------------------------------------------ models and their truth

x_, t_ = sp.MatrixSymbol("x", D, 1), sp.MatrixSymbol("t", K, 1)
W1, b1, W2 = sp.MatrixSymbol("W1", H, D), sp.MatrixSymbol("b1", H, 1), sp.MatrixSymbol("W2", K, H)
lx, ly, la, lb = sp.symbols("x y a b")


def network(dtype: str = "float64", **options: Any) -> sm.Model:
    """½|W2 tanh(W1 x + b1) - t|²: a model with matrices, so that the flat array of parameters has gaps."""
    error = W2 * sm.tanh(W1 * x_ + b1) - t_
    return sm.compile(sm.scalar(error.T * error) / 2, [W1, b1, W2], prediction=error + t_, dtype=dtype, **options)


def line(**options: Any) -> sm.Model:
    return sm.compile((la * lx + lb - ly) ** 2, [la, lb], prediction=la * lx + lb, **options)


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


X, T = _rng().normal(size=(N, D)), _rng().normal(size=(N, K))
START = {"W1": _rng().normal(size=(H, D)), "b1": _rng().normal(size=(H, 1)), "W2": _rng().normal(size=(K, H))}
XS = np.linspace(-1.0, 1.0, N)
YS = 3 * XS - 1 + _rng().normal(size=N) / 10
DATA, LINE, LINE_X = {x_: X, t_: T}, {lx: XS, ly: YS}, {lx: XS}


def network_loss(p: Mapping[str, Array], rows: Array) -> tuple[float, dict[str, Array]]:
    x, t = X[rows], T[rows]
    h = np.tanh(x @ p["W1"].T + p["b1"].T)
    e = h @ p["W2"].T - t
    back = (e @ p["W2"]) * (1 - h * h)
    n = len(rows)
    return float((e * e).sum() / 2 / n), {"W1": back.T @ x / n, "b1": back.sum(0)[:, None] / n, "W2": e.T @ h / n}


def line_loss(p: Mapping[str, Array], rows: Array) -> tuple[float, dict[str, Array]]:
    r = p["a"] * XS[rows] + p["b"] - YS[rows]
    return float((r * r).mean()), {"a": np.asarray((2 * r * XS[rows]).mean()), "b": np.asarray(2 * r.mean())}


def orders(epochs: int, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(N) for _ in range(epochs)])


# ------------------------------------------------------------------------------------------------ every rule

_lr, _mu, _m = sp.symbols("lr mu m")
OWN = sm.optimizer({_m: 0}, {_m: _mu * _m + sm.gradient, sm.parameter: sm.parameter - _lr * _m}, lr=0.02, mu=0.8)

# fmt: off
RULES = [
    #             ours                                             NumPy                                                            clip
    pytest.param(sm.sgd(0.1),                                     reference.sgd(lambda s, e: 0.1),                                  None, id="sgd"),
    pytest.param(sm.sgd(0.05, momentum=0.9),                      reference.sgd(lambda s, e: 0.05, 0.9),                            None, id="momentum"),
    pytest.param(sm.sgd(0.05, momentum=0.9, nesterov=True),       reference.sgd(lambda s, e: 0.05, 0.9, True),                      None, id="nesterov"),
    pytest.param(sm.rmsprop(0.01),                                reference.rmsprop(0.01),                                          None, id="rmsprop"),
    pytest.param(sm.adagrad(0.1),                                 reference.adagrad(0.1),                                           None, id="adagrad"),
    pytest.param(sm.adam(0.01),                                   reference.adam(0.01),                                             None, id="adam"),
    pytest.param(sm.adamw(0.01, weight_decay=0.1),                reference.adam(0.01, decay=0.1),                                  None, id="adamw"),
    pytest.param(sm.sgd(0.1, clip_by_global_norm=0.5),            reference.sgd(lambda s, e: 0.1),                                  0.5,  id="clipped"),
    pytest.param(sm.adam(0.01, clip_by_global_norm=1e-3),         reference.adam(0.01),                                             1e-3, id="clipped adam"),
    pytest.param(OWN,                                             reference.heavy_ball(0.02, 0.8),                                  None, id="the user's own"),
    pytest.param(sm.sgd(0.1 / (1 + sm.step / 10)),                reference.sgd(lambda s, e: 0.1 / (1 + s / 10)),                   None, id="rate by step"),
    pytest.param(sm.sgd(0.1 * sp.Rational(1, 2)**sm.epoch),       reference.sgd(lambda s, e: 0.1 * 0.5**e),                         None, id="rate by epoch"),
    pytest.param(sm.sgd(sp.Piecewise((sm.step / 100, sm.step < 10), (0.1, True))),
                                                                  reference.sgd(lambda s, e: s / 100 if s < 10 else 0.1),           None, id="warm-up"),
]
# fmt: on


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rule", "formula", "clip"), RULES)
def test_every_step_is_that_of_numpy(rule: Any, formula: reference.Update, clip: float | None, dtype: str) -> None:
    """The whole path of all parameters, with given orders and a smaller last batch."""
    epochs, order = 4, orders(4)
    result = _network(dtype).fit(
        DATA, epochs=epochs, batch_size=8, shuffle=order, optimizer=rule, start=START, record=[W1, b1, W2]
    )
    truth = reference.fit(network_loss, START, order, 8, formula, clip)
    assert result.steps == len(truth.path) - 1 == epochs * 7
    for name in ("W1", "b1", "W2"):
        path = np.array([step[name] for step in truth.path])
        np.testing.assert_allclose(result.path[name], path, err_msg=name, **CLOSE[dtype])
        np.testing.assert_array_equal(result.parameters[name], result.path[name][-1])
        assert result.parameters[name].dtype == dtype and result.parameters[name].shape == START[name].shape
    np.testing.assert_allclose(result.history["loss"], truth.history, **CLOSE[dtype])


_MODELS: dict[str, sm.Model] = {}


def _network(dtype: str) -> sm.Model:
    if dtype not in _MODELS:
        _MODELS[dtype] = network(dtype)
    return _MODELS[dtype]


# ------------------------------------------------------------------------------------------------ batches and orders

# fmt: off
BATCHES = [
    #             batch  drop   steps of 3 epochs
    pytest.param(None,  False,  3,    id="full batch"),
    pytest.param(N,     False,  3,    id="as many as there are"),
    pytest.param(1000,  False,  3,    id="more than there are"),
    pytest.param(1,     False,  3*N,  id="one by one"),
    pytest.param(7,     False,  24,   id="smaller last batch"),
    pytest.param(7,     True,   21,   id="last one dropped"),
    pytest.param(52,    True,   3,    id="one example dropped"),
    pytest.param(N,     True,   3,    id="nothing to drop"),
]
# fmt: on


@pytest.mark.parametrize("ordered", [False, True], ids=["in order", "given orders"])
@pytest.mark.parametrize(("batch", "drop", "steps"), BATCHES)
def test_batches(batch: int | None, drop: bool, steps: int, ordered: bool) -> None:
    order = orders(3) if ordered else np.tile(np.arange(N), (3, 1))
    result = line().fit(
        LINE,
        epochs=3,
        batch_size=batch,
        drop_last=drop,
        shuffle=order if ordered else False,
        optimizer=sm.sgd(0.05),
        start={"a": 1, "b": 2},
    )
    truth = reference.fit(
        line_loss,
        {"a": np.array(1.0), "b": np.array(2.0)},
        order,
        min(batch or N, N),
        reference.sgd(lambda s, e: 0.05),
        drop_last=drop,
    )
    assert result.steps == steps and result.epochs == 3
    for name in ("a", "b"):
        np.testing.assert_allclose(result.parameters[name], truth.parameters[name], rtol=1e-12)
    np.testing.assert_allclose(result.history["loss"], truth.history, rtol=1e-12)


def _orders_taken(model: sm.Model, seed: int, epochs: int, count: int) -> Array:
    """Which example each step saw: the rate is 1 and the gradient is a - x, so that a becomes the example's x."""
    result = model.fit(
        {lx: np.arange(1.0, count + 1)},
        epochs=epochs,
        batch_size=1,
        optimizer=sm.sgd(1.0),
        start={la: 0.5},
        seed=seed,
        record=la,
    )
    return np.asarray(result.path[la][1:].reshape(epochs, count).round().astype(int))


def test_shuffled_orders() -> None:
    """Every example once per epoch; another order in each epoch and for each seed; the same for the same seed."""
    model = sm.compile((la - lx) ** 2 / 2, [la])
    seen = _orders_taken(model, 0, 40, 30)
    assert (np.sort(seen, axis=1) == np.arange(1, 31)).all()
    assert len({row.tobytes() for row in seen}) == 40
    np.testing.assert_array_equal(_orders_taken(model, 0, 40, 30), seen)
    assert (_orders_taken(model, 1, 40, 30) != seen).mean() > 0.8
    places = np.argsort(seen, axis=1)
    assert abs(places.mean(0) - 14.5).max() < 5.5  # 40 draws of 0 … 29: the standard deviation of a mean is 1.4


def test_all_orders_of_three_are_equally_likely() -> None:
    seen = _orders_taken(sm.compile((la - lx) ** 2 / 2, [la]), 5, 6000, 3)
    _, counts = np.unique(seen, axis=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 25.7  # chi-squared, 5 degrees of freedom, p = 1e-4


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_seed_gives_the_same_bits(dtype: str) -> None:
    def bits(seed: int, **more: Any) -> bytes:
        result = _network(dtype).fit(DATA, epochs=3, batch_size=8, seed=seed, **more)
        return b"".join(a.tobytes() for a in (*result.parameters.values(), result.history["loss"]))

    assert bits(0) == bits(0)
    assert bits(0) != bits(1)
    assert bits(0) == bits(0, callbacks=[lambda report: None]), "watching must not change the numbers"


def test_examples_of_a_design_matrix() -> None:
    """examples=n: the formula states its own mean, and its rows are batches."""
    n = sp.Symbol("n")
    A, y, w = sp.MatrixSymbol("A", n, D), sp.MatrixSymbol("y", n, 1), sp.MatrixSymbol("w", D, 1)
    r = A * w - y
    model = sm.compile(sm.scalar(r.T * r) / n, [w], examples=n)
    targets = X @ np.arange(D)

    def loss(p: Mapping[str, Array], rows: Array) -> tuple[float, dict[str, Array]]:
        r = X[rows] @ p["w"] - targets[rows, None]
        return float((r * r).mean()), {"w": 2 * X[rows].T @ r / len(rows)}

    order = orders(3)
    result = model.fit(
        {A: X, y: targets}, epochs=3, batch_size=10, shuffle=order, optimizer=sm.sgd(0.05), start={w: np.zeros(D)}
    )
    truth = reference.fit(loss, {"w": np.zeros((D, 1))}, order, 10, reference.sgd(lambda s, e: 0.05))
    np.testing.assert_allclose(result.parameters[w], truth.parameters["w"], rtol=1e-11)
    np.testing.assert_allclose(result.history["loss"], truth.history, rtol=1e-11)


def test_the_sum_of_examples() -> None:
    result = line(reduction="sum").fit(
        LINE, epochs=2, batch_size=10, shuffle=False, optimizer=sm.sgd(0.001), start={"a": 1, "b": 2}
    )

    def loss(p: Mapping[str, Array], rows: Array) -> tuple[float, dict[str, Array]]:
        value, gradient = line_loss(p, rows)
        return value, {k: g * len(rows) for k, g in gradient.items()}

    truth = reference.fit(
        loss,
        {"a": np.array(1.0), "b": np.array(2.0)},
        np.tile(np.arange(N), (2, 1)),
        10,
        reference.sgd(lambda s, e: 0.001),
    )
    np.testing.assert_allclose(result.parameters["a"], truth.parameters["a"], rtol=1e-12)
    np.testing.assert_allclose(result.history["loss"], truth.history, rtol=1e-12, err_msg="history is per example")


def test_constants_and_integer_data() -> None:
    """A penalty weight without an example axis; rows of an embedding chosen by class numbers."""
    E, token, strength = sp.IndexedBase("E", shape=(6, 2)), sp.Symbol("token"), sp.Symbol("strength")
    y, d = sp.IndexedBase("y", shape=(2,)), sp.Symbol("d", integer=True)
    model = sm.compile(
        sp.Sum((E[token, d] - y[d]) ** 2, (d, 0, 1)) + strength * sp.Sum(E[token, d] ** 2, (d, 0, 1)),
        [E],
        constants=[strength],
    )
    tokens, ys = np.arange(18) % 6, _rng().normal(size=(18, 2))
    order = np.array([np.random.default_rng(k).permutation(18) for k in range(5)])
    result = model.fit(
        {token: tokens, y: ys, strength: 0.25},
        epochs=5,
        batch_size=4,
        shuffle=order,
        optimizer=sm.sgd(0.1),
        start={E: np.ones((6, 2))},
    )
    e = np.ones((6, 2))
    for row in order:
        for start in range(0, 18, 4):
            rows, g = row[start : start + 4], np.zeros((6, 2))
            np.add.at(g, tokens[rows], 2 * (e[tokens[rows]] - ys[rows]) + 0.5 * e[tokens[rows]])
            e = e - 0.1 * g / len(rows)
    np.testing.assert_allclose(result.parameters[E], e, rtol=1e-12)


def test_without_data() -> None:
    """Rosenbrock: the loss is the objective itself, one step an epoch."""
    model = sm.compile((1 - la) ** 2 + 100 * (lb - la**2) ** 2, [la, lb])
    result = model.fit(epochs=4000, optimizer=sm.adam(0.05), start={la: -1.0, lb: 2.0}, record=[la, lb])
    assert result.steps == 4000 and result.path[la].shape == (4001,)
    assert abs(result.parameters[la] - 1) < 1e-3 and result.history["loss"][0] == pytest.approx(104.0)
    assert (result.path["a"][0], result.path["b"][0]) == (-1.0, 2.0)


# fmt: off
SMALL = [
    #             loss                                  gradient of a, b at (a, b) and the rows of x
    pytest.param((la + lb - lx) ** 2,                  lambda a, b, x: (2 * (a + b - x).mean(), 2 * (a + b - x).mean()),         id="two equal gradients"),
    pytest.param(3 * la + lb**2 * lx,                  lambda a, b, x: (3.0, 2 * b * x.mean()),                                  id="a constant gradient"),
    pytest.param(la + lb + lx,                         lambda a, b, x: (1.0, 1.0),                                               id="nothing but constants"),
    pytest.param(la * lx + lb * lx,                    lambda a, b, x: (x.mean(), x.mean()),                                     id="gradients of data alone"),
    pytest.param(la**2 / 2 + lb * lx,                  lambda a, b, x: (a, x.mean()),                                            id="a gradient that is the parameter"),
    pytest.param((lx - sm.batch_mean(lx)) ** 2 * la**2 + lb * 0.5, lambda a, b, x: (2 * a * x.var(), 0.5),                       id="a mean over the batch"),
]
# fmt: on


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "slopes"), SMALL)
def test_gradients_of_simple_kinds(loss: Any, slopes: Callable[..., Any], dtype: str) -> None:
    """One buffer holds all gradients: each must be in its place, whatever it is made of; the last batch is smaller."""
    result = sm.compile(loss, [la, lb], dtype=dtype).fit(
        LINE_X, epochs=2, batch_size=10, shuffle=False, optimizer=sm.sgd(0.1), start={la: 1, lb: 2}
    )
    a, b = 1.0, 2.0
    for _ in range(2):
        for start in range(0, N, 10):
            down, left = slopes(a, b, XS[start : start + 10])
            a, b = a - 0.1 * down, b - 0.1 * left
    np.testing.assert_allclose([result.parameters[la], result.parameters[lb]], [a, b], **CLOSE[dtype])


def test_a_size_that_only_parameters_tell() -> None:
    """The width of a hidden layer comes with the first values; nothing else knows it."""
    h = sp.Symbol("h")
    A, B = sp.MatrixSymbol("A", h, D), sp.MatrixSymbol("B", 1, h)
    model = sm.compile((sm.scalar(B * sm.tanh(A * x_)) - ly) ** 2, [A, B])
    result = model.fit({x_: X, ly: YS}, epochs=20, start={A: np.ones((7, D))})
    assert (
        result.parameters[A].shape == (7, D)
        and result.parameters[B].shape == (1, 7)
        and result.loss < result.history["loss"][0]
    )
    with pytest.raises(MissingValue, match="start="):
        model.fit({x_: X, ly: YS}, epochs=1)


def test_class_numbers_beyond_an_axis_that_parameters_tell() -> None:
    """They would read behind the array."""
    n, k = sp.Symbol("n"), sp.Symbol("k")
    E = sp.IndexedBase("E", shape=(n,))
    model = sm.compile((E[k] - ly) ** 2, [E])
    model.fit({k: [1, 3], ly: [1.0, 2.0]}, epochs=1, start={E: np.ones(4)})
    for data, more in (
        ({k: [1, 4], ly: [1.0, 2.0]}, {}),
        ({k: [1], ly: [1.0]}, {"validation_data": {k: [-1], ly: [1.0]}}),
    ):
        with pytest.raises(IndexOutOfRange, match="0 … 3"):
            model.fit(data, epochs=1, start={E: np.ones(4)}, **more)


def test_a_parameter_that_the_loss_does_not_use() -> None:
    """It stays as it was given, and the prediction uses it."""
    model = sm.compile((la * lx - ly) ** 2, [la, lb], prediction=la * lx + lb, allow_unused=[lb])
    result = model.fit(LINE, epochs=3, start={lb: 5.0}, record=[la, lb])
    assert result.parameters[lb] == 5.0 and (result.path[lb] == 5.0).all() and result.path[la].shape == (4,)
    np.testing.assert_allclose(result.predict({lx: [0.0]}), [5.0])


def test_symbols_of_metrics_alone() -> None:
    """Data and constants that only a metric needs come with the data; those of the prediction alone may."""
    z, c = sp.symbols("z c")
    model = sm.compile((la * lx - ly) ** 2, [la], metrics={"other": c * z * la}, prediction=la * z, constants=[c])
    result = model.fit({**LINE, z: XS + 1, c: 3.0}, epochs=2, validation_split=0.5, batch_size=10)
    assert result.history["validation_other"][-1] == pytest.approx(
        3 * (XS[N - round(N / 2) :] + 1).mean() * result.parameters[la]
    )
    with pytest.raises(MissingValue, match="'z'"):
        model.fit({**LINE, c: 3.0}, epochs=2)
    only_predicted = sm.compile((la * lx - ly) ** 2, [la], prediction=la * z)
    assert only_predicted.fit({**LINE, z: XS}, epochs=1).epochs == only_predicted.fit(LINE, epochs=1).epochs == 1


# ------------------------------------------------------------------------------------------------ history, validation, metrics


def test_validation_data_and_metrics() -> None:
    """The loss of an epoch is that before each update; metrics and validation are those after the epoch."""
    model = line(metrics={"size": sp.Abs(la * lx + lb - ly)})
    other = {lx: XS[:9] + 0.5, ly: YS[:9]}
    result = model.fit(
        LINE,
        epochs=4,
        batch_size=10,
        shuffle=False,
        optimizer=sm.sgd(0.1),
        start={la: 0, lb: 1},
        validation_data=other,
        record=[la, lb],
    )
    assert set(result.history) == {"loss", "seconds", "size", "validation_loss", "validation_size"}
    assert all(len(v) == 4 for v in result.history.values()) and (result.history["seconds"] > 0).all()
    for epoch in range(4):
        a, b = result.path[la][6 * (epoch + 1)], result.path[lb][6 * (epoch + 1)]
        assert result.history["size"][epoch] == pytest.approx(np.abs(a * XS + b - YS).mean(), rel=1e-12)
        assert result.history["validation_loss"][epoch] == pytest.approx(
            ((a * other[lx] + b - other[ly]) ** 2).mean(), rel=1e-12
        )
    final = model.evaluate(other, result.parameters)
    assert final == {
        "loss": pytest.approx(result.history["validation_loss"][-1]),
        "size": pytest.approx(result.history["validation_size"][-1]),
    }


def test_validation_split_takes_the_end() -> None:
    kept = N - round(N * 0.2)
    split = line().fit(LINE, epochs=3, batch_size=8, optimizer=sm.sgd(0.1), start={la: 0, lb: 1}, validation_split=0.2)
    given = line().fit({lx: XS[:kept], ly: YS[:kept]}, epochs=3, batch_size=8, optimizer=sm.sgd(0.1), start={la: 0, lb: 1},
                       validation_data={lx: XS[kept:], ly: YS[kept:]})  # fmt: skip
    np.testing.assert_array_equal(split.parameters[la], given.parameters[la])
    np.testing.assert_array_equal(split.history["validation_loss"], given.history["validation_loss"])


def test_seconds_add_up_to_the_time_it_took() -> None:
    started = time.perf_counter()
    result = line().fit(LINE, epochs=20000, batch_size=16)
    passed = time.perf_counter() - started
    assert result.history["seconds"].shape == (20000,) and (result.history["seconds"] > 0).all()
    assert 0.2 * passed < result.history["seconds"].sum() <= passed


# ------------------------------------------------------------------------------------------------ stopping


def test_no_improvement_ends_it() -> None:
    """At the optimum of a quadratic nothing improves."""
    result = line().fit(LINE, epochs=5000, optimizer=sm.sgd(0.3), stop=sm.no_improvement(patience=5))
    assert result.epochs < 5000 and result.epochs == len(result.history["loss"]) == result.steps
    best = int(np.argmin(result.history["loss"]))
    assert result.epochs == best + 1 + 5 and "improve" in result.stopped


def test_a_small_gradient_ends_it() -> None:
    result = line().fit(
        LINE, epochs=5000, optimizer=sm.sgd(0.3), stop=[sm.small_gradient(1e-6), sm.no_improvement(patience=4000)]
    )
    norm = np.linalg.norm([line().backward({**LINE, **result.parameters})[p] for p in (la, lb)])
    assert result.epochs < 500 and norm < 1e-6 and "gradient" in result.stopped


def test_a_callback_sees_each_epoch_and_may_end_it() -> None:
    reports: list[Any] = []

    def look(report: Any) -> bool:
        reports.append(report)
        return report.epoch < 4

    result = line().fit(LINE, epochs=10, batch_size=10, callbacks=look, record=[la, lb])
    assert [r.epoch for r in reports] == [0, 1, 2, 3, 4] and result.epochs == 5 and "callback" in result.stopped
    assert [r.steps for r in reports] == [6, 12, 18, 24, 30]
    for r in reports:
        assert r.parameters[la] == result.path[la][r.steps], "each report keeps its own copy"
        assert r.loss == result.history["loss"][r.epoch]


def test_an_error_in_a_callback_is_the_users() -> None:
    def broken(report: Any) -> None:
        raise ZeroDivisionError

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        line().fit(LINE, epochs=3, callbacks=[broken])
    assert signal.getsignal(signal.SIGINT) is before


# ------------------------------------------------------------------------------------------------ Ctrl-C


def _long(model: sm.Model, **options: Any) -> Any:
    """A fit that takes far longer than any test may."""
    return model.fit(LINE, epochs=10**6, batch_size=1, optimizer=sm.sgd(0.01), start={la: 0, lb: 0}, **options)


def test_ctrl_c_gives_the_result_so_far() -> None:
    model = line()
    model.fit(LINE, epochs=1)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.perf_counter()
    result = _long(model)
    assert 0.2 < time.perf_counter() - started < 2.0
    assert result.interrupted and not result.success and "interrupted" in result.message
    assert result.steps >= N * result.epochs > 0 and len(result.history["loss"]) == result.epochs
    assert abs(result.parameters[la] - 3) < 0.3 and np.isfinite(result.history["loss"]).all()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)  # afterwards it is an exception again


def test_ctrl_c_in_a_callback() -> None:
    def press(report: Any) -> None:
        if report.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    result = line().fit(LINE, epochs=50, callbacks=[press])
    assert result.interrupted and result.epochs == 3


def test_ctrl_c_when_each_step_takes_long() -> None:
    """A look at the clock comes soon, however slow one step is."""
    big, w = sp.MatrixSymbol("z", 400, 1), sp.MatrixSymbol("w", 400, 400)
    r = sm.tanh(w * big)
    model = sm.compile(sm.scalar(r.T * r), [w])
    data = {big: _rng().normal(size=(4000, 400))}
    model.fit(data, epochs=1, batch_size=4000, start={w: np.eye(400)})
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.perf_counter()
    result = model.fit(data, epochs=1000, optimizer=sm.sgd(1e-6), start={w: np.eye(400)})
    assert result.interrupted and time.perf_counter() - started < 4.0


# ------------------------------------------------------------------------------------------------ nan and inf


def _diverging(batch: int | None, rate: float, start: float, **options: Any) -> Any:
    model = sm.compile((la * lx) ** 4 / 4, [la])
    return model.fit(
        {lx: np.ones(8)},
        epochs=200,
        batch_size=batch,
        optimizer=sm.sgd(rate),
        start={la: start},
        record=[la],
        **options,
    )


def _diverging_path(rate: float, start: float) -> list[float]:
    """a ← a - rate a³ until that is no number; the loss a⁴/4 of the last one is inf already."""
    path = [start]
    with np.errstate(all="ignore"):
        while np.isfinite(np.float64(path[-1]) ** 4):
            path.append(float(np.float64(path[-1]) - rate * np.float64(path[-1]) ** 3))
    return path


@pytest.mark.parametrize("batch", [None, 3], ids=["full batch", "batches"])
def test_a_loss_that_becomes_inf_stops(batch: int | None) -> None:
    path = _diverging_path(1.0, 3.0)
    result = _diverging(batch, 1.0, 3.0)
    assert result.steps == len(path) - 1, "the step whose loss is inf makes no update"
    assert "loss" in result.message and "inf" in result.message and f"step {result.steps}" in result.message
    assert not result.success and not result.interrupted
    np.testing.assert_allclose(result.path[la][: len(path)], path, rtol=1e-12)
    np.testing.assert_allclose(result.parameters[la], [p for p in path if np.isfinite(p)][-1], rtol=1e-12)
    assert len(result.history["loss"]) == result.epochs == result.steps // (1 if batch is None else 3)
    assert np.isfinite(result.history["loss"]).all()


# fmt: off
BLOWN = [
    pytest.param(None, True,  id="full batch"),
    pytest.param(3,    False, id="batches in order"),
    pytest.param(3,    True,  id="shuffled batches"),
]
# fmt: on


@pytest.mark.parametrize("watched", [False, True], ids=["alone", "watched"])
@pytest.mark.parametrize(("batch", "shuffle"), BLOWN)
@pytest.mark.parametrize("steps", [3, 64, 65, 300, 1500])
def test_the_last_finite_parameters_are_kept(steps: int, batch: int | None, shuffle: bool, watched: bool) -> None:
    """A rate that is inf after some steps makes the parameters inf at once: those before that update are the last finite ones."""
    model = sm.compile((la * lx - ly) ** 2 + sp.Float(1e100) * lb**2, [la, lb])
    data = {lx: XS[:8], ly: YS[:8]}
    options = {"batch_size": batch, "shuffle": shuffle, "start": {la: 0.0, lb: 1e-90}, "record": [la, lb], "seed": 4}
    rate = sp.Piecewise((sp.Float(0.0), sm.step < steps - 1), (sp.Float(1e308), True))
    result = model.fit(
        data, epochs=2000, optimizer=sm.sgd(rate), callbacks=[lambda r: None] if watched else [], **options
    )
    assert result.steps == steps and not result.success
    assert not np.isfinite(result.path[lb][steps]) and np.isfinite(result.path[lb][steps - 1])
    for p in (la, lb):
        assert result.parameters[p].tobytes() == result.path[p][steps - 1].tobytes()


def test_a_gradient_that_is_not_finite_stops() -> None:
    """The root of a distance is 0 at the goal, and its slope there is inf."""
    result = sm.compile(sp.sqrt(sp.Abs(la - lx)) + lb**2, [la, lb]).fit(
        LINE_X | {lx: [0.5]}, epochs=5, start={la: 0.5, lb: 1.0}, optimizer=sm.sgd(0.1)
    )
    assert result.steps == 0 and "gradient" in result.message and "step 0" in result.message and not result.success
    assert (result.parameters[la], result.parameters[lb]) == (0.5, 1.0)


def test_a_singular_matrix_stops() -> None:
    """The only parameter moves to a point where the matrix of the loss has no inverse."""
    M, v = sp.MatrixSymbol("M", 2, 2), sp.MatrixSymbol("v", 2, 1)
    model = sm.compile(sm.scalar(v.T * (M + la * sp.Identity(2)).I * v) * lx + la, [la], constants=[M, lx])
    result = model.fit(
        {M: np.zeros((2, 2)), lx: 0.0, v: np.ones((3, 2))}, epochs=5, start={la: 2.0}, optimizer=sm.sgd(1.0), record=la
    )
    assert result.steps == 2 and "singular" in result.message and "step 2" in result.message and not result.success
    np.testing.assert_array_equal(result.path[la], [2.0, 1.0, 0.0])


def test_a_start_that_is_nan() -> None:
    result = line().fit(LINE, epochs=3, start={la: np.nan, lb: 0.0})
    assert result.steps == 0 and not result.success and "step 0" in result.message and "start" in result.message


def test_nan_in_the_data_stops_where_it_is_seen() -> None:
    ys = YS.copy()
    ys[25] = np.nan
    result = line().fit(
        {lx: XS, ly: ys}, epochs=3, batch_size=10, shuffle=False, start={la: 0, lb: 0}, optimizer=sm.sgd(0.1), record=la
    )
    assert result.steps == 2 and "nan" in result.message and "step 2 (epoch 1)" in result.message
    assert np.isfinite(result.parameters[la]) and result.parameters[la] == result.path[la][2]


# ------------------------------------------------------------------------------------------------ again


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every text that is turned into machine code from now on."""
    made: list[Any] = []
    original = loading.compile_text
    monkeypatch.setattr(loading, "compile_text", lambda *args, **more: made.append(args) or original(*args, **more))
    return made


def test_a_second_fit_compiles_nothing(compilations: list[Any]) -> None:
    """Nor with other rows, another batch, another rate, other data, another seed."""
    w, v = sp.MatrixSymbol("w_again", D, 1), sp.MatrixSymbol("v_again", D, 1)
    model = sm.compile((sm.dot(w, v) - sp.Symbol("q")) ** 2, [w], prediction=sm.dot(w, v))

    def once(count: int, **more: Any) -> None:
        result = model.fit({v: X[:count], "q": T[:count, 0]}, epochs=2, **{"optimizer": sm.adam(0.01), **more})
        result.predict({v: X[: count // 2]})
        model.evaluate({v: X[:count], "q": T[:count, 0]}, result.parameters)

    once(N, batch_size=8)
    assert compilations
    compilations.clear()
    once(N, batch_size=8)
    once(31, batch_size=4, seed=5, shuffle=False)
    once(N, batch_size=None, optimizer=sm.adam(0.5))
    assert not compilations


def test_save_and_load(tmp_path: Path) -> None:
    result = _network("float64").fit(DATA, epochs=2, batch_size=8)
    loaded = sm.load_parameters(result.save(tmp_path / "fit.npz"))
    assert [name_of(k) for k in loaded] == ["W1", "b1", "W2"]
    np.testing.assert_array_equal(_network("float64").predict({x_: X}, loaded), result.predict({x_: X}))
    again = _network("float64").fit(DATA, epochs=1, start=loaded, shuffle=False, batch_size=8, record=W1)
    np.testing.assert_array_equal(again.path[W1][0], result.parameters[W1])


def test_the_users_arrays_stay_as_they_are() -> None:
    given = {lx: XS.copy(), ly: YS.copy()}
    start = {la: np.array(0.5), lb: np.array(0.25)}
    result = line().fit(given, epochs=3, batch_size=8, start=start, validation_split=0.2)
    np.testing.assert_array_equal(given[lx], XS)
    np.testing.assert_array_equal(given[ly], YS)
    assert (start[la], start[lb]) == (0.5, 0.25) and not np.shares_memory(result.parameters[la], start[la])


def test_parameters_of_two_fits_are_two_arrays() -> None:
    first = line().fit(LINE, epochs=3)
    kept = first.parameters[la].copy()
    line().fit(LINE, epochs=50)
    assert first.parameters[la] == kept


# ------------------------------------------------------------------------------------------------ what is wrong

# fmt: off
WRONG = [
    pytest.param({"epochs": 0},                                      ArgumentError, "epochs",      id="no epoch"),
    pytest.param({"epochs": 2.5},                                    ArgumentError, "epochs",      id="half an epoch"),
    pytest.param({"batch_size": 0},                                  ArgumentError, "batch_size",  id="empty batch"),
    pytest.param({"batch_size": -3},                                 ArgumentError, "batch_size",  id="negative batch"),
    pytest.param({"batch_size": 100, "drop_last": True},             EmptyData,     "drop_last",   id="everything dropped"),
    pytest.param({"optimizer": "adam"},                              ArgumentError, "optimizer",   id="optimizer by name"),
    pytest.param({"shuffle": np.arange(N)},                          ArgumentError, "shuffle",     id="orders of another shape"),
    pytest.param({"shuffle": np.zeros((2, N))},                      ArgumentError, "shuffle",     id="orders of floats"),
    pytest.param({"shuffle": np.full((2, N), N)},                    ArgumentError, "0 … 52",      id="orders out of range"),
    pytest.param({"validation_split": 1.0},                          ArgumentError, "validation",  id="all for validation"),
    pytest.param({"validation_split": 0.999},                        EmptyData,     "validation",  id="nothing to train on"),
    pytest.param({"validation_split": 0.2, "validation_data": LINE}, ArgumentError, "not both",    id="validation twice"),
    pytest.param({"seed": -1},                                       ArgumentError, "seed",        id="negative seed"),
    pytest.param({"seed": 1.5, "start": {"a": 1, "b": 1}},           ArgumentError, "seed",        id="seed with a fraction"),
    pytest.param({"stop": "early"},                                  ArgumentError, "stop",        id="a rule by name"),
    pytest.param({"record": ["nobody"]},                             ArgumentError, "nobody",      id="record of what there is not"),
    pytest.param({"record": [lx]},                                   ArgumentError, "x",           id="record of data"),
    pytest.param({"validation_data": {lx: XS}},                      MissingValue,  "y",           id="validation without targets"),
    pytest.param({"callbacks": [3]},                                 ArgumentError, "callback",    id="a callback that is none"),
]
# fmt: on


@pytest.mark.parametrize(("options", "error", "word"), WRONG)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        line().fit(LINE, **{"epochs": 2, **options})


def test_a_stationary_start_is_an_error() -> None:
    flat = sm.compile(sm.relu(la * lx - 100), [la])
    with pytest.raises(StationaryStart, match="start="):
        flat.fit(LINE_X, epochs=1)
    flat.fit(LINE_X, epochs=1, start={la: 0.0})  # the user chose it


def test_a_start_that_moves_with_later_examples_only() -> None:
    """The first batch alone has no slope."""
    xs = XS.copy()
    xs[:8] = 0.0
    result = sm.compile(sm.relu(la * lx + 1), [la]).fit({lx: xs}, epochs=1, batch_size=8, shuffle=False)
    assert result.steps == 7


# ------------------------------------------------------------------------------------------------ what is seen


def test_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    line().fit(LINE, epochs=7, batch_size=10, verbose=True)
    assert "epoch 7/7" in screen.getvalue() and "loss" in screen.getvalue() and "100%" in screen.getvalue()
    screen.truncate(0)
    line().fit(LINE, epochs=7, batch_size=10, verbose=False)
    assert screen.getvalue().strip("\x00") == ""


# ------------------------------------------------------------------------------------------------ threads and memory


def _bits(result: Any) -> bytes:
    return b"".join(a.tobytes() for a in (*result.parameters.values(), result.history["loss"]))


def _in_threads(jobs: list[Callable[[], Any]]) -> list[Any]:
    found: list[Any] = [None] * len(jobs)

    def work(k: int) -> None:
        try:
            found[k] = jobs[k]()
        except BaseException as error:  # shown by the comparison
            found[k] = error

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_two_threads_train_two_models() -> None:
    one, two = network(), line()
    jobs: list[Callable[[], Any]] = [
        lambda: _bits(one.fit(DATA, epochs=200, batch_size=8)),
        lambda: _bits(two.fit(LINE, epochs=2000, batch_size=8)),
    ]
    alone = [job() for job in jobs]
    assert _in_threads(jobs) == alone


def test_four_threads_train_one_model() -> None:
    model = network()
    jobs: list[Callable[[], Any]] = [
        (lambda seed: lambda: _bits(model.fit(DATA, epochs=60, batch_size=8, seed=seed)))(k) for k in range(4)
    ]
    together = _in_threads(jobs)
    assert together == [job() for job in jobs]


def test_models_are_compiled_in_threads_at_once() -> None:
    """Nodes are shared by all models of a process: two threads may not make two of one."""

    def job(k: int) -> Callable[[], Any]:
        def work() -> Any:
            out = []
            for j in range(6):
                a, b, x, y = sp.symbols(f"a{j} b{j} x y")
                model = sm.compile((sp.tanh(a * x + b) * sp.exp(-a) - y + j) ** 2, [a, b])
                out.append(float(model.forward({x: XS, y: YS, a: 0.5, b: 0.25})))
            return out

        return work

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        found = _in_threads([job(k) for k in range(4)])
    finally:
        sys.setswitchinterval(interval)
    assert found == [found[0]] * 4 and isinstance(found[0], list)


def test_threads_that_make_the_same_node_get_the_same_object() -> None:
    made: list[list[Any]] = [[] for _ in range(4)]
    barrier = threading.Barrier(4)

    def job(k: int) -> Callable[[], Any]:
        def work() -> None:
            barrier.wait()
            made[k].extend(make("hole", data=f"of threads {j}") for j in range(3000))

        return work

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        _in_threads([job(k) for k in range(4)])
    finally:
        sys.setswitchinterval(interval)
    assert all(len({id(nodes[j]) for nodes in made}) == 1 for j in range(3000))


def test_other_threads_run_during_a_fit() -> None:
    """The native loop holds no lock: a counter in Python goes on."""
    model, stop = line(), threading.Event()
    counted = [0]

    def count() -> None:
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    model.fit(LINE, epochs=1)
    before, started = counted[0], time.perf_counter()
    model.fit(LINE, epochs=60000, batch_size=2, optimizer=sm.sgd(0.01))
    passed = time.perf_counter() - started
    advanced = counted[0] - before
    stop.set()
    thread.join()
    assert advanced > 100 * passed, f"{advanced} turns in {passed:.2f} s"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to tell how much memory is used")
def test_many_fits_need_no_more_memory() -> None:
    def used() -> float:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    model = line()
    data = {lx: np.zeros(20000), ly: np.ones(20000)}

    def some(count: int) -> None:
        for k in range(count):
            model.fit(data, epochs=1, batch_size=5000, seed=k, record=la, optimizer=sm.adam(0.001 * (k + 1)))

    some(20)
    before = used()
    some(200)
    assert used() - before < 6.0, "megabytes; the data of one fit are 0.3"
