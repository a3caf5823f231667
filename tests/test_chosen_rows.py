"""Rows read through the order of a batch: the same fits as from batches in order, and only what may be read so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.runtime import pool
from sympile.runtime.model.training import Ready

EXAMPLES = 53
Data = dict[Any, np.ndarray]


def logistic(width: int) -> tuple[Any, list[Any], Data]:
    """Narrow rows, a label and a weight for each."""
    x, w = sp.MatrixSymbol("x", width, 1), sp.MatrixSymbol("w", width, 1)
    y, s, b = sp.symbols("y s b")
    rng = np.random.default_rng(width)
    data = {
        x: rng.normal(size=(EXAMPLES, width)),
        y: rng.integers(0, 2, EXAMPLES).astype(float),
        s: rng.random(EXAMPLES),
    }
    return s * sm.binary_cross_entropy(sm.dot(w, x) + b, y), [w, b], data


def softmax(width: int) -> tuple[Any, list[Any], Data]:
    x, t = sp.MatrixSymbol("x", width, 1), sp.MatrixSymbol("t", 3, 1)
    W, b = sp.MatrixSymbol("W", 3, width), sp.MatrixSymbol("b", 3, 1)
    rng = np.random.default_rng(width)
    data = {x: rng.normal(size=(EXAMPLES, width)), t: np.eye(3)[rng.integers(0, 3, EXAMPLES)]}
    return sm.cross_entropy(W * x + b, t), [W, b], data


def two_arrays(width: int) -> tuple[Any, list[Any], Data]:
    """Rows of two arrays side by side, of which one is read in two ways."""
    u, v, w = (sp.MatrixSymbol(name, width, 1) for name in "uvw")
    c, y = sp.symbols("c y")
    rng = np.random.default_rng(width)
    data = {u: rng.normal(size=(EXAMPLES, width)), v: rng.normal(size=(EXAMPLES, width)), y: rng.normal(size=EXAMPLES)}
    return (sm.tanh(sm.dot(u, w) + c * sm.dot(v, u)) - y) ** 2, [w, c], data


def curve(width: int) -> tuple[Any, list[Any], Data]:
    """Single numbers of an example, which loops have in their lanes."""
    a, b, c, u, y = sp.symbols("a b c u y")
    rng = np.random.default_rng(width)
    data = {u: rng.random(EXAMPLES), y: rng.normal(size=EXAMPLES)}
    return (a * sp.exp(-b * u) + c - y) ** 2, [a, b, c], data


def class_numbers(width: int) -> tuple[Any, list[Any], Data]:
    """A number beside the row that says which row of a parameter is meant."""
    x, E = sp.MatrixSymbol("x", width, 1), sm.Tensor("E", (5, width))
    k = sm.indices("k")
    a, y = sp.Symbol("a", integer=True), sp.Symbol("y")
    rng = np.random.default_rng(width)
    data = {x: rng.normal(size=(EXAMPLES, width)), a: rng.integers(0, 5, EXAMPLES), y: rng.normal(size=EXAMPLES)}
    return (sp.Sum(E[a, k] * x[k, 0], (k, 0, width - 1)) - y) ** 2, [E], data


MODELS: dict[str, Callable[[int], tuple[Any, list[Any], Data]]] = {
    "weighted": logistic, "softmax": softmax, "two arrays": two_arrays, "curve": curve,
}  # fmt: skip


def fitted(model: sm.Model, data: Data, **options: Any) -> tuple[np.ndarray, float]:
    start = {p: np.full(p.shape, 0.1) if hasattr(p, "shape") else 0.1 for p in model.parameters}
    result = model.fit(data, start=start, optimizer=sm.sgd(0.2), epochs=1, verbose=False, **options)
    return np.concatenate([result.parameters[p].ravel() for p in model.parameters]), float(result.history["loss"][0])


def ready(model: sm.Model) -> Ready:
    assert model._steps._last is not None
    return model._steps._last.ready


@pytest.mark.parametrize("batch", [1, 2, 7, 8, 9, 16, 25, 32, EXAMPLES - 1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "width"), [("weighted", 2), ("weighted", 3), ("weighted", 10), ("softmax", 5),
                                             ("softmax", 7), ("two arrays", 4), ("two arrays", 9), ("weighted", 11),
                                             ("weighted", 33), ("two arrays", 20), ("curve", 1)])  # fmt: skip
def test_the_same_bits_as_in_order(name: str, width: int, dtype: str, batch: int) -> None:
    """Rows that come several times, or not at all, are as good as others."""
    loss, parameters, data = MODELS[name](width)
    order = np.random.default_rng(batch).integers(0, EXAMPLES, EXAMPLES)
    model = sm.compile(loss, parameters, dtype=dtype)
    chosen = fitted(model, data, batch_size=batch, shuffle=order[None])
    assert ready(model).native.program.chosen, "this test is about rows that are chosen"
    direct = fitted(model, {key: values[order] for key, values in data.items()}, batch_size=batch, shuffle=False)
    assert not ready(model).native.program.chosen
    np.testing.assert_array_equal(chosen[0], direct[0])
    assert chosen[1] == direct[1] and np.isfinite(chosen[0]).all() and (chosen[0] != np.float32(0.1)).any()


@pytest.mark.parametrize("batch", [1, 8, 11, 32])
def test_against_numpy(batch: int) -> None:
    loss, parameters, data = logistic(6)
    x, y, s = data.values()
    model = sm.compile(loss, parameters, reduction="sum")
    order = np.random.default_rng(1).permutation(EXAMPLES)
    w, b = np.full(6, 0.1), 0.1
    for first in range(0, EXAMPLES, batch):
        rows = order[first : first + batch]
        slope = s[rows] * (1 / (1 + np.exp(-(x[rows] @ w + b))) - y[rows])
        w, b = w - 0.2 * slope @ x[rows], b - 0.2 * slope.sum()
    found, _ = fitted(model, data, batch_size=batch, shuffle=order[None])
    np.testing.assert_allclose(found, [*w, b], rtol=1e-12)


def test_several_epochs_drawn_here() -> None:
    """Orders that the loop draws itself, dropped last batches, validation: as if the loop's orders had been given."""
    loss, parameters, data = logistic(4)
    model = sm.compile(loss, parameters)
    seen = [
        model.fit(data, epochs=6, batch_size=8, seed=3, optimizer=sm.adam(0.05), verbose=False, **options)
        for options in ({}, {"validation_split": 0.25}, {"drop_last": True}, {})
    ]
    for one in seen:
        assert (np.diff(one.history["loss"]) < 0).any() and np.isfinite(one.history["loss"]).all()
    np.testing.assert_array_equal(seen[0].history["loss"], seen[-1].history["loss"])


@pytest.mark.parametrize(
    ("build", "width", "chosen"),
    [
        pytest.param(logistic, 10, {"x", "y", "s"}, id="everything of an example"),
        pytest.param(logistic, 11, {"x", "y", "s"}, id="rows that lie along the lanes"),
        pytest.param(logistic, 129, {"y", "s"}, id="no long rows"),
        pytest.param(curve, 1, {"u", "y"}, id="single numbers"),
        pytest.param(softmax, 6, {"t"}, id="not what a product with a matrix reads"),
        pytest.param(class_numbers, 4, {"y"}, id="no integers, nor what is multiplied by rows that they choose"),
    ],
)
def test_which_data_are_read_so(
    build: Callable[[int], tuple[Any, list[Any], Data]], width: int, chosen: set[str]
) -> None:
    loss, parameters, data = build(width)
    model = sm.compile(loss, parameters)
    fitted(model, data, batch_size=16)
    names = {getattr(key, "name", str(key)) for key in data}
    assert names & {*ready(model).native.program.chosen} == chosen  # besides those that are prepared
    copied = [line.split()[1] for line in model.stages["memory"].splitlines() if line.startswith("batch ")]
    assert set(copied) == names - chosen


def test_threads_give_the_same_bits() -> None:
    """Where one batch is so large that threads share it: chunks begin anywhere in its order."""
    loss, parameters, data = logistic(5)
    many = {key: np.concatenate([values] * 200) for key, values in data.items()}
    order = np.random.default_rng(2).permutation(200 * EXAMPLES)[None]
    found = []
    for count in (1, 3):
        pool.stop()
        pool.start(count)
        model = sm.compile(loss, parameters)
        found.append(fitted(model, many, batch_size=8000, shuffle=order)[0])
        assert ready(model).native.program.chosen
        assert ready(model).native.program.heavy_for({"#examples": 8000})
        in_order = {key: values[order[0]] for key, values in many.items()}
        found.append(fitted(model, in_order, batch_size=8000, shuffle=False)[0])
    pool.stop()
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize(("width", "asked"), [(20, True), (10, False)])
def test_the_rows_of_the_next_block_are_asked_for(width: int, asked: bool) -> None:
    """Where they lie along the lanes: turned over, more of them are under way at once."""
    loss, parameters, data = logistic(width)
    model = sm.compile(loss, parameters)
    fitted(model, data, batch_size=16)
    training = ready(model).training
    assert training is not None
    assert bool(re.search(r"@llvm\.prefetch\.p0\(ptr %\w+, i32 0", training.step.stages.program.code.text)) == asked


def test_beside_rows_of_a_table() -> None:
    """A row group over a table's own rows looked for the example that its row was."""
    table, word = sm.Tensor("P", (33, 31, 31)), sm.Tensor("Y", (31,))
    x, E, c = sm.Tensor("x", (31,)), sm.Tensor("E", (5,)), sp.Symbol("c", integer=True)
    model = sm.compile(((sm.logsumexp(table, axis=0) @ (E[c] + x) - word) ** 2).sum(), [table, E])
    rng = np.random.default_rng(0)
    data = {c: rng.integers(0, 5, 17), x: rng.normal(size=(17, 31)), word: rng.normal(size=(17, 31))}
    start = {table: rng.normal(size=table.shape), E: rng.normal(size=5)}
    order = np.random.default_rng(1).permutation(17)
    found = model.fit(data, start=start, epochs=1, optimizer=sm.sgd(1e-6), shuffle=order[None], verbose=False)
    sums = np.log(np.exp(start[table]).sum(axis=0))
    errors = (start[E][data[c]][:, None] + data[x]) @ sums.T - data[word]
    assert found.history["loss"][0] == pytest.approx((errors**2).sum(axis=1).mean(), rel=1e-12)
    slope = np.bincount(data[c], 2 * (errors @ sums).sum(axis=1), minlength=5) / 17
    np.testing.assert_allclose(found.parameters[E], start[E] - 1e-6 * slope, rtol=1e-12)
