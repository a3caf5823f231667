"""Tables of which a batch chooses a few rows: these alone are moved, to the bits of moving everything, and to NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
import sympile.runtime.rows as rows
from sympile.compiler.passes.training.row_update import leaves_alone
from sympile.compiler.passes.training.update import read_update

USERS, ITEMS, EXAMPLES, OTHERS = 60, 40, 91, 3
RATE = 0.05
k, j, n = sm.indices("k j n")
u, v, y, mu, penalty = sp.symbols("u v y mu penalty")
others = sp.IndexedBase("others", shape=(OTHERS,))
rng = np.random.default_rng(5)
DATA: dict[Any, Any] = {
    u: rng.integers(0, USERS, EXAMPLES),
    v: rng.integers(0, ITEMS, EXAMPLES),
    others: rng.integers(0, ITEMS, (EXAMPLES, OTHERS)),
    y: rng.normal(size=EXAMPLES),
}


def ratings(width: int, dtype: Any = "float64", penalised: bool = False) -> tuple[sm.Model, list[Any], dict[Any, Any]]:
    """Factors and biases, one table chosen by two arrays; its parameters and their first values."""
    P, Q = sp.IndexedBase("P", shape=(USERS, width)), sp.IndexedBase("Q", shape=(ITEMS, width))
    b = sp.IndexedBase("b", shape=(USERS,))
    chosen = sp.Sum(P[u, k] * Q[v, k], (k, 0, width - 1))
    other = sp.Sum(sp.Sum(P[u, k] * Q[others[n], k], (k, 0, width - 1)) ** 2, (n, 0, OTHERS - 1))
    loss = (chosen + b[u] + mu - y) ** 2 + other / 2
    if penalised:
        loss += sp.Sum(P[j, k] ** 2, (j, 0, USERS - 1), (k, 0, width - 1)) / 100
    parameters = [b, P, mu, Q]
    fresh = np.random.default_rng(width)
    start = {s: 0.3 * fresh.normal(size=shape) for s, shape in zip(
        parameters, [(USERS,), (USERS, width), (), (ITEMS, width)], strict=True)}
    return sm.compile(loss, parameters, dtype=dtype), parameters, start


def moved(model: sm.Model) -> tuple[str, ...]:
    """The parameters of which the last fit moved chosen rows alone."""
    found = model._courses._kept[0][2].shape.rows
    return () if found is None else tuple(sorted(found.names))


def fitted(model: sm.Model, start: Any, choose: bool, monkeypatch: pytest.MonkeyPatch, **options: Any) -> sm.Result:
    """A fit in which rows are chosen wherever they can be, or nowhere."""
    monkeypatch.setattr(rows, "OVERHEAD", -10_000 if choose else 10**9)
    model._courses._kept = ()
    plain: dict[str, Any] = {"optimizer": sm.sgd(RATE), "epochs": 3, "batch_size": 4, "verbose": False}
    return model.fit(DATA, start=start, **{**plain, **options})


@pytest.mark.parametrize(("width", "dtype"), [(1, "float64"), (19, "float64"), (3, "float32"), (16, "float32")])
@pytest.mark.parametrize(
    "optimizer",
    [sm.sgd(RATE), sm.sgd(RATE * sp.exp(-sm.step / 50)), sm.sgd(0.99**sm.epoch / 20), sm.adagrad(0.1)],
    ids=["plain", "by the step", "a power", "with a state"],
)
def test_the_bits_of_moving_everything(
    width: int, dtype: Any, optimizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, parameters, start = ratings(width, dtype)
    for batch, shuffle, drop in ((1, True, False), (4, False, False), (7, True, True), (EXAMPLES, True, False)):
        options = {"optimizer": optimizer, "batch_size": batch, "shuffle": shuffle, "drop_last": drop}
        chosen = fitted(model, start, True, monkeypatch, **options)
        assert moved(model) == ("P", "Q", "b")
        everything = fitted(model, start, False, monkeypatch, **options)
        assert moved(model) == ()
        for one in parameters:
            assert np.array_equal(chosen.parameters[one], everything.parameters[one])
        assert np.array_equal(chosen.history["loss"], everything.history["loss"])


def by_numpy(start: list[np.ndarray], orders: np.ndarray, batch: int) -> list[np.ndarray]:
    b, P, mu_, Q = [np.array(each, float) for each in start]
    for order in orders:
        for first in range(0, EXAMPLES, batch):
            e = order[first : first + batch]
            users, items, more = DATA[u][e], DATA[v][e], DATA[others][e]
            slope = 2 * ((P[users] * Q[items]).sum(1) + b[users] + mu_ - DATA[y][e])
            further = np.einsum("ek,enk->en", P[users], Q[more])
            dP, dQ, db = np.zeros_like(P), np.zeros_like(Q), np.zeros_like(b)
            np.add.at(dP, users, slope[:, None] * Q[items] + np.einsum("en,enk->ek", further, Q[more]))
            np.add.at(dQ, items, slope[:, None] * P[users])
            np.add.at(dQ, more, further[:, :, None] * P[users][:, None, :])
            np.add.at(db, users, slope)
            for array, gradient in ((P, dP), (Q, dQ), (b, db), (mu_, slope.sum())):
                array -= RATE * gradient / len(e)
    return [b, P, mu_, Q]


@pytest.mark.parametrize("batch", [1, 6, 32])
def test_steps_are_those_of_numpy(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, parameters, start = ratings(5)
    orders = np.stack([np.random.default_rng(e).permutation(EXAMPLES) for e in range(3)])
    found = fitted(model, start, True, monkeypatch, batch_size=batch, shuffle=orders).parameters
    for one, wanted in zip(parameters, by_numpy([start[p] for p in parameters], orders, batch), strict=True):
        np.testing.assert_allclose(found[one], wanted, rtol=1e-11, atol=1e-13)


def test_gradients_are_whole_after_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fit counts on, gradients that hold zeros already, no call counts on."""
    model, parameters, start = ratings(3)
    before = model.backward({**DATA, **start})
    fitted(model, start, True, monkeypatch, batch_size=EXAMPLES)
    after = model.backward({**DATA, **start})
    few = model.backward({**{s: a[:5] for s, a in DATA.items()}, **start})
    for one in parameters:
        assert np.array_equal(before[one], after[one])
    unmet = np.setdiff1d(np.arange(USERS), DATA[u][:5])
    assert not few[parameters[1]][unmet].any() and not few[parameters[0]][unmet].any()


def test_whoever_looks_at_the_gradient_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, start = ratings(3)
    seen: list[float] = []
    fitted(model, start, True, monkeypatch, callbacks=lambda report: seen.append(report.gradient_norm))
    assert moved(model) == () and len(seen) == 3 and min(seen) > 0


@pytest.mark.parametrize("large", [1e3, 1e200], ids=["a loss", "a gradient"])
def test_fits_that_run_away_end_alike(large: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last finite parameters are found by running the loop again, which must find gradients of zeros."""
    model, parameters, start = ratings(3)
    ends = [
        fitted(model, start, choose, monkeypatch, optimizer=sm.sgd(large), epochs=40, shuffle=False)
        for choose in (True, False)
    ]
    assert ends[0].failed and ends[0].stopped == ends[1].stopped and ends[0].steps == ends[1].steps
    for one in parameters:
        assert np.isfinite(ends[0].parameters[one]).all()
        assert np.array_equal(ends[0].parameters[one], ends[1].parameters[one])


def test_a_second_fit_and_a_path_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, parameters, start = ratings(4)
    first = fitted(model, start, True, monkeypatch, record=parameters)
    again = fitted(model, start, True, monkeypatch, record=parameters)
    everything = fitted(model, start, False, monkeypatch, record=parameters)
    assert first.path is not None and again.path is not None and everything.path is not None
    for one in parameters:
        assert np.array_equal(first.path[one], again.path[one])
        assert np.array_equal(first.path[one], everything.path[one])


def test_rows_that_others_move_too_are_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, parameters, start = ratings(3, penalised=True)
    found = fitted(model, start, True, monkeypatch)
    assert moved(model) == ("Q", "b")
    everything = fitted(model, start, False, monkeypatch)
    for one in parameters:
        assert np.array_equal(found.parameters[one], everything.parameters[one])


def test_columns_are_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    E = sp.IndexedBase("E", shape=(4, USERS))
    model = sm.compile((sp.Sum(E[k, u], (k, 0, 3)) - y) ** 2, E)
    start = {E: rng.normal(size=(4, USERS))}
    model.fit({u: DATA[u], y: DATA[y]}, start=start, optimizer=sm.sgd(RATE), epochs=1, batch_size=1, verbose=False)
    assert moved(model) == ()


def test_few_rows_of_many_are_chosen_and_many_of_few_are_not() -> None:
    model, _, start = ratings(8)
    options: dict[str, Any] = {"start": start, "optimizer": sm.sgd(RATE), "epochs": 1, "verbose": False}
    model.fit(DATA, batch_size=2, **options)
    assert moved(model) == ("P",)
    model.fit(DATA, batch_size=50, **options)
    assert moved(model) == ()


@pytest.mark.parametrize(
    ("optimizer", "alone"),
    [
        (sm.sgd(0.1), True),
        (sm.sgd(0.1 * sp.exp(-sm.step)), True),
        (sm.adagrad(0.1), True),
        (sm.sgd(0.1, momentum=0.9), False),
        (sm.sgd(0.1, clip_by_global_norm=1.0), False),
        (sm.adam(), False),
        (sm.adamw(), False),
        (sm.rmsprop(0.1), False),
        (sm.optimizer({}, {sm.parameter: sm.parameter * 0.99 - sm.gradient}), False),
        (sm.optimizer({}, {sm.parameter: sm.parameter - sp.sign(sm.gradient) / 10}), True),
        (sm.optimizer({}, {sm.parameter: sm.parameter - sp.cos(sm.gradient) / 10}), False),
    ],
)
def test_rules_that_leave_alone_what_has_no_gradient(optimizer: Any, alone: bool) -> None:
    assert leaves_alone(read_update(optimizer)) is alone
