"""Formulas that go through the rows of a matrix: against NumPy, in one loop, in the memory of the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm

Array = npt.NDArray[Any]


def _rows_of(matrix: Any, count: Any) -> dict[str, Any]:
    """Formulas of a matrix that go through its rows."""
    total = matrix.sum(axis=1).reshape(count, 1)
    centred = matrix - matrix.mean(axis=1).reshape(count, 1)
    return {
        "softmax": sm.softmax(matrix),
        "log-softmax": sm.log_softmax(matrix),
        "centred": centred,
        "normalised": centred / sm.sqrt((centred**2).mean(axis=1).reshape(count, 1) + 1),
        "twice": sm.exp(matrix / total) * total,
        "largest and sum": matrix.max(axis=1) + matrix.sum(axis=1),
    }


def _by_numpy(a: Array) -> dict[str, Array]:
    total, centred = a.sum(axis=1, keepdims=True), a - a.mean(axis=1, keepdims=True)
    exps = np.exp(a - a.max(axis=1, keepdims=True))
    return {
        "softmax": exps / exps.sum(axis=1, keepdims=True),
        "log-softmax": np.log(exps / exps.sum(axis=1, keepdims=True)),
        "centred": centred,
        "normalised": centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1),
        "twice": np.exp(a / total) * total,
        "largest and sum": a.max(axis=1) + a.sum(axis=1),
    }


@pytest.mark.parametrize("sizes", ["numbers", "symbols", "symbolic rows"])
@pytest.mark.parametrize("shape", [(1, 4), (9, 4), (21, 10), (8, 10), (17, 11), (16, 37), (13, 250), (5, 500), (3, 20_000), (9, 9)])
def test_rows_of_a_matrix(shape: tuple[int, int], sizes: str) -> None:
    """Without examples: one loop over the rows, those that are wide one by one; results in the memory that was given."""
    m, k = sp.symbols("m k", integer=True, positive=True)
    declared = {"numbers": shape, "symbols": (m, k), "symbolic rows": (m, shape[1])}[sizes]
    numbers = np.random.default_rng(shape[1]).uniform(0.5, 1.5, shape)
    wanted_results = _by_numpy(numbers)
    for name, formula in _rows_of(sm.Tensor("A", declared), declared[0]).items():
        function = sm.lambdify([sm.Tensor("A", declared)], formula)
        want = wanted_results[name]
        np.testing.assert_allclose(function(numbers), want, rtol=1e-13, atol=1e-14, err_msg=name)
        room = np.full(want.size + 64, 7.0)
        function(numbers, out=room[: want.size].reshape(want.shape))
        np.testing.assert_array_equal(room[: want.size].reshape(want.shape), function(numbers), err_msg=name)
        assert (room[want.size :] == 7.0).all(), name


@pytest.mark.parametrize("name", _rows_of(sm.Tensor("A", (8, 16)), 8))
@pytest.mark.parametrize("k", [5, 16, 2000, sp.Symbol("k")])
def test_rows_of_a_matrix_are_gone_through_once(name: str, k: Any) -> None:
    """And what several sweeps need lies on the stack, or in the memory of the result."""
    m = sp.Symbol("m")
    function = sm.lambdify([sm.Tensor("A", (m, k))], _rows_of(sm.Tensor("A", (m, k)), m)[name])
    program = function._variant((False,)).native.program
    assert not [room for room in program.rooms if len(room.arrays[0].shape) > 1]
    assert not program.rooms or name == "largest and sum"


def test_a_matrix_that_is_read_later_is_no_guest() -> None:
    """Only what nobody reads after the result has been written may lie in its memory."""
    m, k = sp.symbols("m k", integer=True, positive=True)
    matrix = sm.Tensor("A", (m, k))
    powers = sm.named("p", sm.exp(matrix))
    shares = powers / powers.sum(axis=1).reshape(m, 1)
    function = sm.lambdify([matrix], [shares, (powers * shares.sum(axis=0)).sum(axis=1), (powers.T @ shares)])
    numbers = np.random.default_rng(3).normal(size=(13, 6))
    p = np.exp(numbers)
    s = p / p.sum(axis=1, keepdims=True)
    for have, want in zip(function(numbers), [s, (p * s.sum(axis=0)).sum(axis=1), p.T @ s], strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-13)
