"""Singular matrices and nan in linear algebra: what the results and the status say of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from running_linalg import (
    DTYPES,
    SINGULAR,
    SQUARE,
    Array,
    B,
    M,
    N,
    called,
    close,
    compiled,
    drawn,
    given,
    of_square,
    of_system,
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("matrix", [pytest.param(m, id=name) for name, m in SINGULAR.items()])
def test_a_singular_matrix(matrix: Array, dtype: str) -> None:
    n = len(matrix)
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.inv(matrix)
    for name, want in (("det", 0.0), ("logdet", -math.inf), ("logabsdet", -math.inf)):
        (got,), status = of_square(name, dtype).run({"A": matrix}, n=n)
        assert (got == want, status) == (True, 0), (name, got, status)
    (inverse,), status = of_square("inv", dtype).run({"A": matrix}, n=n)
    assert status == 1 and np.isnan(inverse).all()
    (solution,), status = of_system(dtype, (N, N), (N, M)).run({"A": matrix, "b": np.ones((n, 3))}, n=n, m=3)
    assert status == 1 and np.isnan(solution).all()


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param([[math.nan]], id="only"),
        pytest.param([[math.nan, 0.0], [0.0, 0.0]], id="zeros beside it"),
        pytest.param([[1.0, math.nan], [1.0, 1.0]], id="above"),
        pytest.param([[1.0, 2.0], [math.nan, 1.0]], id="below"),
        pytest.param([[0.0, 0.0, 0.0], [0.0, math.nan, 0.0], [0.0, 0.0, 1.0]], id="in the middle"),
        pytest.param([[1.0, 0.0, 0.0], [0.0, 0.0, math.nan], [0.0, 0.0, 1.0]], id="hidden behind a zero"),
    ],
)
def test_a_nan_shows(matrix: list[list[float]]) -> None:
    """A nan gives nan, and is no singular matrix."""
    n = len(matrix)
    for name in SQUARE:
        (got,), status = of_square(name, "float64").run({"A": np.array(matrix)}, n=n)
        assert np.isnan(got).any() and status == 0, (name, got, status)
    (got,), status = of_system("float64", (N, N), (N,)).run({"A": np.array(matrix), "b": np.ones(n)}, n=n)
    assert np.isnan(got).any() and status == 0


def test_every_small_matrix_with_a_nan() -> None:
    """Wherever the search for a pivot may pass over it."""
    matrices = np.array(list(itertools.product((0.0, 1.0, math.nan), repeat=9))).reshape(-1, 3, 3)
    matrices = matrices[np.isnan(matrices).any((1, 2))]
    for name in SQUARE:
        (got,), status = of_square(name, "float64", N, B).run({"A": matrices}, n=3, b=len(matrices))
        assert status == 0
        assert np.isnan(got).reshape(len(matrices), -1).any(1).all(), name


def test_one_singular_matrix_of_a_batch() -> None:
    """The others come out."""
    matrices = drawn(4, 3, 3)
    matrices[2] = 0
    (got,), status = of_square("inv", "float64", N, B).run({"A": matrices}, n=3, b=4)
    assert status == 1
    np.testing.assert_array_equal(np.isnan(got).all((1, 2)), [False, False, True, False])
    close(got[[0, 1, 3]], np.linalg.inv(matrices[[0, 1, 3]]), "float64", 3)


def test_the_status_numbers_the_call() -> None:
    first, second = given("A", N, N), given("C", N, N)
    ready = compiled([called("inv", first), called("det", first), called("inv", second)])
    regular, singular = np.eye(2), np.zeros((2, 2))
    for values, want in (((regular, regular), None), ((singular, regular), "A"), ((regular, singular), "C")):
        _, status = ready.run(dict(zip("AC", values, strict=True)), n=2)
        assert (ready.program.calls[status - 1] if status else None) == want
