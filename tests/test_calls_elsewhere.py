"""Models and functions in copies, in other processes, in threads, and in forked processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from at_once import at_once
from one_layer import MODEL, VALUES, T, W, X, b, layer, t, u, v, x

import sympile as sm

F = sm.lambdify([u, v], sp.exp(u) * v + sp.sin(v))


# ------------------------------------------------------------------------------------------------ copies

# fmt: off
COPIES = [
    pytest.param(lambda o: pickle.loads(pickle.dumps(o)),  id="pickle"),
    pytest.param(copy.copy,                                id="copy"),
    pytest.param(copy.deepcopy,                            id="deepcopy"),
]
# fmt: on


@pytest.mark.parametrize("again", COPIES)
def test_copies(again: Callable[[Any], Any]) -> None:
    model = again(MODEL)
    assert model.forward(VALUES) == MODEL.forward(VALUES) and str(model.gradient[W]) == str(MODEL.gradient[W])
    result = MODEL.fit({x: X, t: T}, epochs=2, batch_size=4, record=b)
    twin = again(result)
    np.testing.assert_array_equal(twin.parameters[W], result.parameters[W])
    np.testing.assert_array_equal(twin.path[b], result.path[b])
    np.testing.assert_array_equal(twin.predict({x: X}), result.predict({x: X}))
    assert again(F)(1.0, 2.0) == F(1.0, 2.0)
    assert [float(a) for a in again(sm.lambdify([u], [u, 2 * u]))(3.0)] == [3.0, 6.0]
    gradient = again(MODEL.gradient[W])
    assert str(gradient) == str(MODEL.gradient[W])


def test_a_pickle_is_read_in_another_process() -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(_forward, (pickle.dumps(MODEL),)) == MODEL.forward(VALUES)


def _forward(model: bytes) -> float:
    return float(pickle.loads(model).forward(VALUES))


# ------------------------------------------------------------------------------------------------ threads


def test_one_model_called_from_four_threads() -> None:
    """Different sizes and values at once; every result is that of a call alone."""
    sizes = [5, 11, 64, 200]
    inputs = [{**VALUES, x: np.tile(X, (20, 1))[:n] * (k + 1), t: np.tile(T, (20, 1))[:n]} for k, n in enumerate(sizes)]
    alone = [MODEL.value_and_grad(values) for values in inputs]
    scalars = [F(np.arange(float(n)), 2.0) for n in sizes]
    wrong: list[object] = []

    def work(k: int) -> None:
        for _ in range(150):
            loss, gradient = MODEL.value_and_grad(inputs[k])
            if loss != alone[k][0] or gradient[W].tobytes() != alone[k][1][W].tobytes():
                wrong.append((k, loss))
            if F(np.arange(float(sizes[k])), 2.0).tobytes() != scalars[k].tobytes():
                wrong.append((k, "lambdify"))

    at_once(work, 4)
    assert not wrong


# ------------------------------------------------------------------------------------------------ forked processes


def _in_a_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a forked process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def target() -> None:
        try:
            theirs.send(work())
        except BaseException as error:
            theirs.send(repr(error))

    child = context.Process(target=target)
    child.start()
    assert ours.poll(30), "the child hangs"
    answer = ours.recv()
    child.join(10)
    assert child.exitcode == 0
    return answer


def _fitted(model: sm.Model) -> bytes:
    result = model.fit({x: X, t: T}, epochs=30, batch_size=4)
    return b"".join(a.tobytes() for a in result.parameters.values())


def test_compiled_in_the_parent_used_in_a_child() -> None:
    expected = MODEL.forward(VALUES), _fitted(MODEL)
    assert _in_a_child(lambda: (MODEL.forward(VALUES), _fitted(MODEL))) == expected


def test_compiled_in_a_child_then_in_the_parent() -> None:
    scaled = layer(reduction="sum", dtype="float32")
    child = _in_a_child(lambda: (float(scaled.forward(VALUES)), _fitted(scaled)))
    assert (float(scaled.forward(VALUES)), _fitted(scaled)) == child


def test_forked_while_another_thread_compiles() -> None:
    """A lock that the other thread holds must not be waited for in the child."""
    stop = threading.Event()

    def compile_on() -> None:
        k = 0
        while not stop.is_set():
            k += 1
            sm.lambdify([u, v], sp.sin(u * k) + v)(1.0, 2.0)

    thread = threading.Thread(target=compile_on)
    thread.start()
    try:
        for k in range(4):
            answer = _in_a_child(lambda k=k: float(sm.lambdify([u], sp.cos(u) + k)(0.0)))
            assert answer == 1.0 + k
    finally:
        stop.set()
        thread.join()
