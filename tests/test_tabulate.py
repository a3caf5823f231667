"""Constant vectors and matrices in formulas: as tables, beside guards, nan and inf; sums written out over positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp
from definition_world import World, f

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import computed, elementwise, read
from sympile.compiler.graph.node import const, postorder
from sympile.compiler.graph.table import TABLE
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.tabulate import FEWEST, FEWEST_SUMMED, tabulate
from sympile.compiler.program import BATCH as N

Array = npt.NDArray[Any]
RNG = np.random.default_rng(3)


def formula(n: int, c: Array, matrix: Array) -> tuple[Any, Any]:
    """With a constant vector in a product and in an elementwise place, and a constant matrix."""
    x = sp.MatrixSymbol("x", n, 1)
    dot, form = sm.dot(sp.Matrix(c), x), sm.dot(x, sp.Matrix(matrix) * x)
    return x, sm.sin(dot) + form / 2 + sm.sum(sm.cos(x)) + sm.exp(-sm.dot(x, x) / n)


def hessian_by_hand(c: Array, matrix: Array, x: Array) -> Array:
    n = len(c)
    e = np.exp(-np.sum(x**2, axis=-1) / n)[..., None, None]
    outer, eye = x[..., :, None] * x[..., None, :], np.eye(n)
    result = (matrix + matrix.T) / 2 - np.sin(x @ c)[..., None, None] * np.outer(c, c) - eye * np.cos(x)[..., None, :]
    return np.asarray(result + e * (4 * outer / n**2 - 2 * eye / n))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 10, 17])
def test_a_hessian_with_constant_vectors_and_matrices(n: int, dtype: str) -> None:
    c, matrix = RNG.normal(size=n), RNG.normal(size=(n, n))
    x, y = formula(n, c, matrix)
    evaluate = sm.lambdify([x], sm.hessian(y, x), dtype=dtype)
    for rows in (None, 0, 1, 8, 13):
        points = RNG.normal(size=(n,) if rows is None else (rows, n)).astype(dtype)
        found = evaluate(points[..., None]).reshape((*points.shape[:-1], n, n))
        tolerance = 1e-12 if dtype == "float64" else 3e-5
        np.testing.assert_allclose(found, hessian_by_hand(c, matrix, points), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [4, 9])
def test_no_selections_are_left_and_functions_are_computed_once_a_row(n: int) -> None:
    """Instead of a selection for each number there is a read of their products; sin(c·x) stands in no loop over entries."""
    w = World({N: 5}, symbolic=True)
    e, i, j = w.index(N), w.index(str(n)), w.index(str(n))
    x = w.input("x", f"{N} {n}")
    dot = add(*[mul(const(3 * r + 1), read(x, e, const(r))) for r in range(n)])
    rows, columns = (add(*[when(const(3 * r + 1), equal(at, const(r))) for r in range(n)]) for at in (i, j))
    groups = fuse([elementwise((e, i, j), mul(f("sin", dot), rows, columns))]).groups
    entries = [group for group in groups if len(group.domain) == 3]
    nodes = list(postorder([g.body(t) for g in entries for t in g.results]))
    assert len(entries) == 1
    assert not any(node.op in ("eq", "when", "sin") for node in nodes)
    assert sum(node.op == TABLE for node in nodes) == 1


def test_a_product_with_constants_is_a_sum_in_a_loop() -> None:
    for n, loops in ((FEWEST_SUMMED - 1, 0), (FEWEST_SUMMED, 1)):
        w = World({N: 5}, symbolic=True)
        e, x = w.index(N), w.input("x", f"{N} {n}")
        total = elementwise((e,), f("exp", add(const(1), *[mul(const(r + 2), read(x, e, const(r))) for r in range(n)])))
        new = tabulate([total])[total]
        assert sum(t.monoid == "sum" for t in computed([new])) == loops


def test_positions_that_do_not_cover_the_axis_stay_as_they_are() -> None:
    """Another factor may be nan where a guard has left it out."""
    w = World({N: 5}, symbolic=True)
    n = FEWEST + 2
    e, i, x = w.index(N), w.index(str(n)), w.input("x", f"{N} {n}")
    lists = add(*[when(mul(const(r + 2), read(x, e, i)), equal(i, const(r))) for r in range(n - 1)])
    tensor = elementwise((e, i), lists)
    assert tabulate([tensor])[tensor] is tensor


def test_what_a_constant_vector_leaves_out_is_zero_beside_infinity() -> None:
    """The gradient of exp(c·x) where c has zeros and the exponential overflows."""
    n = 9
    c = [1, 0, 3, 4, 5, 0, 7, 8, 9]
    x = sp.MatrixSymbol("x", n, 1)
    points = np.full((3, n, 1), 100.0)
    points[1, 0] = np.nan
    points[2] = 0.0
    found = sm.lambdify([x], sm.grad(sm.exp(sm.dot(sp.Matrix(c), x)), x))(points)[..., 0]
    assert np.array_equal(found[:, [1, 5]], np.zeros((3, 2)))
    assert np.all(np.isinf(found[0, [0, 2]])) and np.all(np.isnan(found[1, [0, 2]]))
    assert np.array_equal(found[2], c)


def test_sums_over_entries_of_a_vector() -> None:
    """Written out by Python's sum: with and without numbers, of functions, over all entries and over some."""
    n = 11
    x = sp.MatrixSymbol("x", n, 1)
    c = [sp.Rational(k - 4, 3) for k in range(n)]
    values = np.asarray([float(v) for v in c])
    points = RNG.normal(size=(21, n, 1))
    p = points[..., 0]
    formulas = {
        "all alike": (sum(x[k, 0] for k in range(n)), p.sum(axis=1)),
        "with numbers": (sum(c[k] * x[k, 0] for k in range(n)) ** 2, (p @ values) ** 2),
        "of functions": (sum(c[k] * sp.sin(x[k, 0]) for k in range(n)), np.sin(p) @ values),
        "not the last": (sum(c[k] * x[k, 0] for k in range(n - 1)), p[:, :-1] @ values[:-1]),
        "neighbours": (sum(x[k, 0] * x[k + 1, 0] for k in range(n - 1)), (p[:, 1:] * p[:, :-1]).sum(axis=1)),
        "twice": (sum(x[k, 0] ** 2 + c[k] * x[k, 0] for k in range(n)), (p**2).sum(axis=1) + p @ values),
    }
    for name, (expression, wanted) in formulas.items():
        np.testing.assert_allclose(sm.lambdify([x], expression)(points), wanted, rtol=1e-12, atol=1e-12, err_msg=name)


def test_a_number_beyond_the_largest_float_is_infinite() -> None:
    n = 5
    x = sp.MatrixSymbol("x", n, 1)
    slopes = sm.grad(sm.dot(sp.Matrix([1e300, 1, 2, 3, sp.Rational(1, 3)]), x), x)
    found = sm.lambdify([x], slopes, dtype="float32")(np.zeros((n, 1)))[:, 0]
    assert np.array_equal(found, np.asarray([np.inf, 1, 2, 3, 1 / 3], np.float32))
