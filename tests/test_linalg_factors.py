"""Calls that share the factors of one matrix, and right sides that differ by a power of two."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from running_linalg import (
    DTYPES,
    NUMPY,
    SINGULAR,
    SQUARE,
    Array,
    B,
    M,
    N,
    called,
    close,
    compiled,
    differences,
    drawn,
    factored,
    given,
    loss_at,
    plain,
    transposed,
    weighted,
)

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import EXAMPLES, Definition, define, definitions, elementwise, read
from sympile.compiler.graph.node import HALF, Node, const, index, number
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.derive import gradient
from sympile.compiler.rules.linalg import right_sides


def everything(matrix: Definition, right: Definition) -> list[Definition]:
    """Every routine of one matrix, and those of its transpose that are calls of the same factors."""
    turned = transposed(matrix)
    return [
        *[called(name, matrix) for name in SQUARE],
        called("solve", matrix, right),
        called("solve", turned, right),
        called("solve", transposed(turned), right),
        called("det", turned),
        called("inv", turned),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [pytest.param(N, id="any order"), pytest.param(5, id="known order")])
@pytest.mark.parametrize("batch", [(), (EXAMPLES,), (B,)], ids=["one", "examples", "a size"])
@pytest.mark.parametrize("columns", [(), (M,)], ids=["vector", "matrix"])
def test_one_factorisation_for_all(
    batch: tuple[Node, ...], order: Node | int, columns: tuple[Node, ...], dtype: str
) -> None:
    outputs = factored(everything(given("A", *batch, order, order), given("b", *batch, order, *columns)))
    assert [t.routine for t in definitions(outputs) if t.kind == "call"].count("lu") == 1
    ready = compiled(outputs, dtype)
    assert ready.program.code.text.count(f"call void @lapack_{'d' if dtype == 'float64' else 's'}getrf") == 1
    front, back = (3,) * len(batch), (4,) * len(columns)
    matrices, right = drawn(*front, 5, 5).astype(dtype), plain(*front, 5, *back)
    got, status = ready.run({"A": matrices, "b": right}, n=5, m=4, b=3, examples=3)
    assert status == 0
    wide = matrices.astype(float)
    sides = right if columns else right[..., None]
    solutions = [np.linalg.solve(m, sides).reshape(right.shape) for m in (wide, np.swapaxes(wide, -1, -2), wide)]
    inverse = np.swapaxes(np.linalg.inv(wide), -1, -2)
    wanted = [*[NUMPY[name](wide) for name in SQUARE], *solutions, np.linalg.det(wide), inverse]
    for result, want in zip(got, wanted, strict=True):
        close(result, want, dtype, 50)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("matrix", "number"),
    [
        pytest.param(SINGULAR["equal rows"], 1, id="equal rows"),
        pytest.param(SINGULAR["rank 1"], 1, id="rank 1"),
        pytest.param(np.array([[1.0, math.nan], [1.0, 1.0]]), 0, id="nan"),
    ],
)
def test_singular_with_shared_factors(matrix: Array, number: int, dtype: str) -> None:
    n = len(matrix)
    outputs = factored(everything(given("A", N, N), given("b", N)))
    ready = compiled(outputs, dtype)
    got, status = ready.run({"A": matrix, "b": np.ones(n)}, n=n)
    assert bool(status) == bool(number)
    for tensor, result in zip(outputs, got, strict=True):
        want = {"det": 0.0, "logdet": -math.inf, "logabsdet": -math.inf}.get(tensor.routine) if number else None
        want = math.nan if want is None else want
        np.testing.assert_array_equal(result, np.full(result.shape, want), err_msg=tensor.routine)


def test_a_single_call_keeps_its_factors_to_itself() -> None:
    matrix, right = given("A", 3, 3), given("b", 3)
    (alone,) = factored([called("solve", matrix, right)])
    assert alone is called("solve", matrix, right)
    (turned,) = factored([called("solve", transposed(matrix), right)])
    assert (turned.routine, turned.operands) == ("solve_transposed", (matrix, right))
    point, known = drawn(3, 3), plain(3)
    (got,), _ = compiled([turned]).run({"A": point, "b": known})
    close(got, np.linalg.solve(point.T, known), "float64", 3)


def test_shared_factors_below_formulas() -> None:
    """The gradient of y' K⁻¹ y + log |det K|, K = exp(L) not symmetric: calls as operands of formulas."""
    exponents, known = given("L", 4, 4), given("y", 4)
    matrix = elementwise(exponents.axes, function("exp", read(exponents, *exponents.axes)))
    quadratic = weighted(called("solve", matrix, known), known)
    loss = elementwise((), add(read(quadratic), read(called("logabsdet", matrix))))
    slopes = gradient(loss, [exponents], {})
    outputs = factored([loss, *slopes.values()])
    routines = sorted(t.routine for t in definitions(outputs) if t.kind == "call")
    assert routines == ["inv", "logabsdet", "lu", "solve", "solve_transposed"]
    values = {"L": plain(4, 4, seed=3), "y": np.arange(1.0, 5.0)}
    got, _ = compiled(outputs).run(values)
    want = differences(functools.partial(loss_at, compiled([loss]), values, "L"), values["L"])
    np.testing.assert_allclose(got[1], want, rtol=1e-6, atol=1e-7 * np.abs(want).max())


def test_the_axes_of_right_sides() -> None:
    sides = right_sides(called("solve", given("A", N, N), given("b", EXAMPLES, N, M)))
    assert (sides.batch, sides.shared, sides.columns) == (0, EXAMPLES, M)
    sides = right_sides(called("solve", given("A", EXAMPLES, N, N), given("b", EXAMPLES, N)))
    assert (sides.batch, sides.shared, sides.columns) == (1, None, None)


@pytest.mark.parametrize(("scale", "solves"), [(HALF, 1), (const(-4), 1), (const(Fraction(1, 3)), 2)])
@pytest.mark.parametrize("turned", [False, True])
def test_right_sides_that_differ_by_a_power_of_two_are_solved_once(scale: Node, solves: int, turned: bool) -> None:
    """A⁻¹ (b/2) has the bits of half of A⁻¹ b; of a third of b it has not."""
    i = index(const(4))
    matrix, right = given("A", 4, 4), given("b", 4)
    matrix = transposed(matrix) if turned else matrix
    whole = called("solve", matrix, right)
    part = called("solve", matrix, define((i,), (), None, mul(scale, read(right, i))))
    outputs = factored([whole, part])
    found = {t for t in definitions(outputs) if t.kind == "call" and t.routine.startswith("solve")}
    assert len(found) == solves
    A, b = np.random.default_rng(0).normal(size=(4, 4)), np.random.default_rng(1).normal(size=4)
    (got, scaled), _ = compiled([whole, part]).run({"A": A, "b": b})
    np.testing.assert_allclose(got, np.linalg.solve(A.T if turned else A, b), rtol=1e-12)
    np.testing.assert_allclose(scaled, float(number(scale)) * got, rtol=1e-14)
