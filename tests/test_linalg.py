"""Routines of linear algebra in generated code: their values, against NumPy and closed forms."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from running_linalg import (
    DTYPES,
    EPS,
    NUMPY,
    SQUARE,
    B,
    M,
    N,
    close,
    compiled,
    drawn,
    given,
    of_square,
    of_system,
    of_unit_determinant,
    plain,
    shape_of,
)

from sympile.compiler.errors import InternalError
from sympile.compiler.graph.definition import EXAMPLES, call
from sympile.compiler.graph.node import Node, const
from sympile.compiler.passes.emitting import calls, room
from sympile.compiler.rules.linalg import ADJOINTS, ROUTINES, SHARED, SOLVES

# ------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("routine", SQUARE)
def test_of_a_square_matrix(routine: str, dtype: str) -> None:
    """One program for every order: the size is known at run time only, and the room is scratch memory."""
    for order in (*range(1, 41), 65, 130):
        matrix = of_unit_determinant(order, dtype)
        (got,), status = of_square(routine, dtype).run({"A": matrix}, n=order)
        assert status == 0
        close(got, NUMPY[routine](matrix), dtype, order)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 2, 3, 7, 32, 60, 70])
@pytest.mark.parametrize("routine", SQUARE)
def test_of_a_known_order(routine: str, order: int, dtype: str) -> None:
    """The room lies on the stack where it is small."""
    matrix = of_unit_determinant(order, dtype)
    (got,), status = of_square(routine, dtype, order).run({"A": matrix})
    assert status == 0
    close(got, NUMPY[routine](matrix), dtype, order)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [(EXAMPLES,), (B,), (EXAMPLES, B)], ids=["examples", "a size", "both"])
@pytest.mark.parametrize("routine", SQUARE)
def test_of_a_batch(routine: str, batch: tuple[Node, ...], dtype: str) -> None:
    lengths = {"examples": 5, "b": 3}
    shape = tuple(5 if axis is EXAMPLES else 3 for axis in batch)
    for order in (1, 4, 9):
        matrices = drawn(*shape, order, order).astype(dtype).astype(float)
        (got,), status = of_square(routine, dtype, N, *batch).run({"A": matrices}, n=order, **lengths)
        assert status == 0
        close(got, NUMPY[routine](matrices), dtype, 10 * order)


SYSTEMS = [
    #            matrix              right side           NumPy
    pytest.param((N, N),             (N,),                "ij,j->i",       id="vector"),
    pytest.param((N, N),             (N, M),              "ij,jk->ik",     id="matrix"),
    pytest.param((B, N, N),          (B, N),              "bij,bj->bi",    id="batch of vectors"),
    pytest.param((EXAMPLES, N, N),   (EXAMPLES, N, M),    "eij,ejk->eik",  id="examples of matrices"),
    pytest.param((N, N),             (EXAMPLES, N),       "ij,ej->ei",     id="one matrix, a vector per example"),
    pytest.param((N, N),             (EXAMPLES, N, M),    "ij,ejk->eik",   id="one matrix, a matrix per example"),
    pytest.param((EXAMPLES, EXAMPLES), (EXAMPLES,),       "ij,j->i",       id="one row per example"),
    pytest.param((EXAMPLES, EXAMPLES), (EXAMPLES, M),     "ij,jk->ik",     id="one row per example, columns"),
    pytest.param((3, 3),             (3,),                "ij,j->i",       id="known order"),
    pytest.param((3, 3),             (3, 4),              "ij,jk->ik",     id="all known"),
    pytest.param((3, 3),             (3, M),              "ij,jk->ik",     id="known order, columns not"),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("matrix", "right", "formula"), SYSTEMS)
def test_solve(matrix: tuple[Node | int, ...], right: tuple[Node | int, ...], formula: str, dtype: str) -> None:
    for n, m, b, examples in ((1, 1, 1, 1), (2, 5, 3, 4), (17, 3, 2, 6), (40, 50, 2, 40)):
        lengths = {N: n, M: m, B: b, EXAMPLES: examples}
        left, known = drawn(*shape_of(matrix, lengths)), plain(*shape_of(right, lengths), seed=2)
        (got,), status = of_system(dtype, matrix, right).run({"A": left, "b": known}, n=n, m=m, b=b, examples=examples)
        assert status == 0
        close(got, np.einsum(formula, np.linalg.inv(left), known), dtype, 10 * got.shape[-1] * left.shape[-1])


# ------------------------------------------------------------------------------------------------ far from 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("diagonal", "det", "log"),
    [
        pytest.param([1e30, 1e30, 1e-30, 1e-30], 1.0, 0.0, id="the product overflows on the way"),
        pytest.param([1e-30, 1e-30, 1e30, -1e30], -1.0, math.nan, id="the product vanishes on the way"),
        pytest.param([1e30] * 40, math.inf, 1200 * math.log(10), id="huge"),
        pytest.param([1e-30] * 40, 0.0, -1200 * math.log(10), id="tiny"),
        pytest.param([-1e30] * 41, -math.inf, math.nan, id="huge and negative"),
        pytest.param([2.0, 0.5], 1.0, 0.0, id="exactly 1"),
        pytest.param([math.inf, 1.0], math.inf, math.inf, id="inf"),
        pytest.param([-0.0, 1.0], 0.0, -math.inf, id="negative zero"),
    ],
)
def test_of_a_diagonal(diagonal: list[float], det: float, log: float, dtype: str) -> None:
    matrix = np.diag(diagonal)
    order = len(diagonal)
    results = {name: of_square(name, dtype).run({"A": matrix}, n=order)[0][0] for name in SQUARE if name != "inv"}
    np.testing.assert_allclose(results["det"], det, rtol=order * EPS[dtype])
    np.testing.assert_allclose(results["logdet"], log, rtol=order * EPS[dtype], atol=order * EPS[dtype])
    if not math.isnan(log):
        np.testing.assert_array_equal(results["logabsdet"], results["logdet"])


@pytest.mark.parametrize("diagonal", [[5e-324, 1e300, 1e23], [1e300, 5e-324, 1e23], [1e23, 1e300, 5e-324]])
def test_the_smallest_numbers_count(diagonal: list[float]) -> None:
    """A denormal pivot loses no digit, whatever stands before it."""
    matrix = np.diag(diagonal)
    (det,), _ = of_square("det", "float64").run({"A": matrix}, n=3)
    assert det == pytest.approx(float(mpmath.mpf(5e-324) * mpmath.mpf(1e300) * mpmath.mpf(1e23)), rel=1e-15)


@pytest.mark.parametrize("value", [1 + 2**-40, 1 - 2**-40, 1.0, 0.75, 1.4, 1e-5])
def test_log_of_a_determinant_near_1(value: float) -> None:
    """Nothing cancels: the error is of the last digit of the logarithm itself."""
    (got,), _ = of_square("logdet", "float64").run({"A": np.array([[value]])}, n=1)
    want = float(mpmath.log(mpmath.mpf(value)))
    assert abs(got - want) <= 2 * np.spacing(abs(want))


# ------------------------------------------------------------------------------------------------ tables


def test_every_routine_has_all_its_rows() -> None:
    assert set(ROUTINES) == set(ADJOINTS) == set(NUMPY)
    assert set(ROUTINES) | SHARED == set(calls._WRITERS) == set(room.NEEDS)
    assert set(calls.TRANS) == SOLVES


def test_an_unknown_routine_is_an_error() -> None:
    with pytest.raises(InternalError, match="eigen"):
        compiled([call("eigen", [given("A", 2, 2)], [const(2), const(2)])])
