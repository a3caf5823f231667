"""How a fit ends: by its rules, by Ctrl-C, by numbers that are none."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
import sympy as sp
from training_models import LINE, LINE_X, XS, YS, N, la, lb, line, lx, ly, rng

import sympile as sm

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
    assert 0.2 < time.perf_counter() - started < 10.0
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
    data = {big: rng().normal(size=(4000, 400))}
    model.fit(data, epochs=1, batch_size=4000, start={w: np.eye(400)})
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.perf_counter()
    result = model.fit(data, epochs=1000, optimizer=sm.sgd(1e-6), start={w: np.eye(400)})
    assert result.interrupted and time.perf_counter() - started < 15.0


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
