"""`fit` against the same training in plain NumPy: every rule, all kinds of batches, and what is reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
import training_reference as reference
from training_models import (
    DATA,
    LINE,
    LINE_X,
    START,
    W1,
    W2,
    XS,
    YS,
    Array,
    D,
    N,
    X,
    b1,
    compiled_network,
    la,
    lb,
    line,
    line_loss,
    lx,
    ly,
    network_loss,
    orders,
    rng,
    x_,
)

import sympile as sm
from sympile.compiler.errors import IndexOutOfRange, MissingValue

DTYPES = ("float64", "float32")
CLOSE = {"float64": {"rtol": 1e-10, "atol": 1e-12}, "float32": {"rtol": 2e-3, "atol": 2e-4}}


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
    result = compiled_network(dtype).fit(
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
        result = compiled_network(dtype).fit(DATA, epochs=3, batch_size=8, seed=seed, **more)
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
    tokens, ys = np.arange(18) % 6, rng().normal(size=(18, 2))
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
    model = line()
    model.fit(LINE, epochs=20000, batch_size=16)  # compiles the steps, which are no epoch's time
    started = time.perf_counter()
    result = model.fit(LINE, epochs=20000, batch_size=16)
    passed = time.perf_counter() - started
    assert result.history["seconds"].shape == (20000,) and (result.history["seconds"] > 0).all()
    assert 0.2 * passed < result.history["seconds"].sum() <= passed
