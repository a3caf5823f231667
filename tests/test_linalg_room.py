"""What calls of linear algebra need beside their operands: room, threads of their own, addresses of routines."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from at_once import at_once
from running_linalg import M, N, called, drawn, given, of_square

from sympile.compiler.errors import EnvironmentProblem
from sympile.compiler.graph.node import ZERO, number
from sympile.compiler.passes.emitting import calls
from sympile.runtime.libraries import import_addresses


@pytest.mark.parametrize(
    ("matrix", "right", "known"),
    [
        pytest.param((3, 3), (3,), True, id="a small system"),
        pytest.param((3, 3), (3, M), False, id="any number of columns"),
        pytest.param((N, N), (N,), False, id="any order"),
        pytest.param((500, 500), (500,), False, id="too large for the stack"),
    ],
)
def test_small_calls_need_no_scratch(matrix: Any, right: Any, known: bool) -> None:
    words = calls.scratch_words(called("solve", given("A", *matrix), given("b", *right)))
    assert (words is ZERO) == known
    if words.op == "const" and not known:
        assert number(words) >= 500 * 501


def test_threads_do_not_disturb_each_other() -> None:
    ready, matrix = of_square("inv", "float64", 20), drawn(20, 20)
    want = ready.run({"A": matrix})[0][0].tobytes()
    wrong: list[int] = []

    def work(_: int) -> None:
        for turn in range(200):
            if ready.run({"A": matrix})[0][0].tobytes() != want:
                wrong.append(turn)

    at_once(work, 4)
    assert not wrong


def test_addresses_of_routines() -> None:
    addresses = import_addresses(calls.IMPORTS)
    assert set(addresses) == set(calls.IMPORTS)
    assert len(set(addresses.values())) == len(addresses)
    dgetrf = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 6)(addresses["lapack_dgetrf"])
    matrix, order, pivots, info = np.full((1, 1), 7.0), *(np.full(1, k, np.int32) for k in (1, 0, 9))
    dgetrf(*[a.ctypes.data for a in (order, order, matrix, order, pivots, info)])
    assert (pivots[0], info[0], matrix[0, 0]) == (1, 0, 7.0)


def test_a_missing_routine_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="no LAPACK routine dnothing"):
        import_addresses(["lapack_dnothing"])
