"""Fits one after the other and at once: nothing compiled again, nothing changed, nothing left behind; and wrong arguments."""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from at_once import at_once
from training_models import (
    DATA,
    LINE,
    LINE_X,
    W1,
    XS,
    YS,
    D,
    N,
    T,
    X,
    compiled_network,
    la,
    lb,
    line,
    lx,
    ly,
    network,
    x_,
)

import sympile as sm
from sympile.compiler.errors import ArgumentError, EmptyData, MissingValue, StationaryStart
from sympile.compiler.graph.node import make
from sympile.runtime import load as loading
from sympile.runtime.byname import name_of

# ------------------------------------------------------------------------------------------------ again


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every text that is turned into machine code from now on; the way of quick calls, one for a process, is there."""
    quick = sm.lambdify([sp.Symbol("once")], sp.Symbol("once") + 1)
    for _ in range(4):
        quick(1.0)
    made: list[Any] = []
    original = loading.emit_object
    monkeypatch.setattr(loading, "emit_object", lambda *args, **more: made.append(args) or original(*args, **more))
    return made


def test_a_second_fit_compiles_nothing(compilations: list[Any]) -> None:
    """Nor with other rows, another batch, another rate, other data, another seed; in order is one step, shuffled another."""
    w, v = sp.MatrixSymbol("w_again", D, 1), sp.MatrixSymbol("v_again", D, 1)
    model = sm.compile((sm.dot(w, v) - sp.Symbol("q")) ** 2, [w], prediction=sm.dot(w, v))

    def once(count: int, **more: Any) -> None:
        result = model.fit({v: X[:count], "q": T[:count, 0]}, epochs=2, **{"optimizer": sm.adam(0.01), **more})
        result.predict({v: X[: count // 2]})
        model.evaluate({v: X[:count], "q": T[:count, 0]}, result.parameters)

    once(N, batch_size=8)
    assert compilations
    once(N, batch_size=8, shuffle=False)
    compilations.clear()
    once(N, batch_size=8)
    once(31, batch_size=4, seed=5, shuffle=False)
    once(N, batch_size=None, optimizer=sm.adam(0.5))
    assert not compilations


def test_save_and_load(tmp_path: Path) -> None:
    result = compiled_network("float64").fit(DATA, epochs=2, batch_size=8)
    loaded = sm.load_parameters(result.save(tmp_path / "fit.npz"))
    assert [name_of(k) for k in loaded] == ["W1", "b1", "W2"]
    np.testing.assert_array_equal(compiled_network("float64").predict({x_: X}, loaded), result.predict({x_: X}))
    again = compiled_network("float64").fit(DATA, epochs=1, start=loaded, shuffle=False, batch_size=8, record=W1)
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
    pytest.param({"shuffle": [[0, 1], [2]]},                         ArgumentError, "shuffle",     id="orders of unequal lengths"),
    pytest.param({"validation_split": "a"},                          ArgumentError, "validation",  id="a part in words"),
    pytest.param({"validation_split": True},                         ArgumentError, "validation",  id="a part that is True"),
    pytest.param({"validation_data": [XS, YS]},                      ArgumentError, "as list",     id="validation without names"),
    pytest.param({"record": 3},                                      ArgumentError, "record",      id="record of a number"),
]
# fmt: on


@pytest.mark.parametrize(("options", "error", "word"), WRONG)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        line().fit(LINE, **{"epochs": 2, **options})


def test_none_is_nothing() -> None:
    result = line().fit(LINE, epochs=2, record=None, callbacks=None, stop=None, start=None, validation_data=None)
    assert result.path is None and result.epochs == 2


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
        found[k] = jobs[k]()

    at_once(work, len(jobs))
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
