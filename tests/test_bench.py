"""Fits of one model after another, in and beside each other: none sees what another left in memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp
from at_once import at_once

import sympile as sm

Array = npt.NDArray[Any]
a, b, x, y = sp.symbols("a b x y")
X = np.random.default_rng(31).normal(size=60)
DATA = {x: X, y: 2 * X + np.sin(X)}
OTHER = {x: X[::-1].copy(), y: np.cos(X)}


def model() -> sm.Model:
    return sm.compile((sm.tanh(a * x) + b - y) ** 2, [a, b])


def seen(result: Any) -> tuple[Any, ...]:
    """The bits of all that a fit returns, but for its time."""
    path = () if result.path is None else tuple(array.tobytes() for array in result.path.values())
    parameters = tuple(array.tobytes() for array in result.parameters.values())
    return parameters, result.history["loss"].tobytes(), result.stopped, result.steps, path


# fmt: off
FITS: list[dict[str, Any]] = [
    dict(data=DATA, epochs=3),
    dict(data=OTHER, epochs=3),
    dict(data=DATA, epochs=5, seed=4),
    dict(data=DATA, epochs=3, start={a: 0.3, b: -1.0}),
    dict(data=DATA, epochs=3, batch_size=7),
    dict(data=OTHER, epochs=4, batch_size=7, seed=9),
    dict(data=DATA, epochs=3, batch_size=7, shuffle=False),
    dict(data=DATA, epochs=3, batch_size=7, drop_last=True),
    dict(data=DATA, epochs=1, batch_size=60, shuffle=np.arange(60)[None, ::-1].copy()),
    dict(data=DATA, epochs=3, optimizer=sm.sgd(0.1)),
    dict(data=DATA, epochs=3, optimizer=sm.sgd(0.2)),
    dict(data=DATA, epochs=3, optimizer=sm.sgd(0.1, momentum=0.9)),
    dict(data=DATA, epochs=3, optimizer=sm.adagrad(0.1, initial_accumulator_value=0.2)),
    dict(data=DATA, epochs=3, record=[a]),
    dict(data=DATA, epochs=200, optimizer=sm.sgd(1e200)),     # ends early, and leaves nan behind
    dict(data={x: X[:30], y: X[30:]}, epochs=3, batch_size=7),
]
# fmt: on


def test_fits_after_one_another_are_as_if_alone() -> None:
    alone = [seen(model().fit(**fit)) for fit in FITS]
    shared = model()
    for _ in range(2):
        for number in [*range(len(FITS)), *reversed(range(len(FITS)))]:
            assert seen(shared.fit(**FITS[number])) == alone[number], FITS[number]


def test_results_stay_as_they_are() -> None:
    shared = model()
    first = shared.fit(DATA, epochs=3, record=[a, b])
    before = seen(first)
    shared.fit(OTHER, epochs=3, record=[a, b])
    assert seen(first) == before


def test_a_fit_inside_a_fit() -> None:
    alone, inner = seen(model().fit(DATA, epochs=4)), seen(model().fit(OTHER, epochs=2))
    shared, found = model(), []

    def within(report: sm.EpochReport) -> None:
        found.append(seen(shared.fit(OTHER, epochs=2)))

    shared.fit(DATA, epochs=1)
    assert seen(shared.fit(DATA, epochs=4, callbacks=[within])) == alone
    assert found == [inner] * 4


def test_a_callback_that_raises_leaves_no_trace() -> None:
    alone, shared = seen(model().fit(DATA, epochs=3)), model()

    def fail(report: sm.EpochReport) -> None:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            shared.fit(OTHER, epochs=3, callbacks=[fail])
        assert seen(shared.fit(DATA, epochs=3)) == alone


def test_fits_in_several_threads() -> None:
    fits = [dict(data=DATA, epochs=40, batch_size=7, seed=k) for k in range(4)]
    alone = [seen(model().fit(**fit)) for fit in fits]  # type: ignore[arg-type]
    shared, wrong = model(), []

    def work(number: int) -> None:
        for _ in range(15):
            if seen(shared.fit(**fits[number])) != alone[number]:  # type: ignore[arg-type]
                wrong.append(number)

    at_once(work, len(fits))
    assert not wrong


def test_the_user_s_data_are_not_held() -> None:
    shared, values = model(), X.copy()
    gone = weakref.ref(values)
    shared.fit({x: values, y: X}, epochs=2)
    del values
    gc.collect()
    assert gone() is None


def test_much_memory_is_not_kept() -> None:
    shared = model()
    many = {x: np.tile(X, 4000), y: np.tile(X, 4000)}
    shared.fit(many, epochs=1, batch_size=1000)
    assert not shared._benches._idle
    shared.fit(DATA, epochs=1)
    assert len(shared._benches._idle) == 1
