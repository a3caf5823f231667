"""Derivatives of linear algebra: against closed forms and differences."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from running_linalg import (
    SQUARE,
    Array,
    called,
    compiled,
    differences,
    drawn,
    given,
    loss_at,
    plain,
    positive,
    shape_of,
    weighted,
)

from sympile.compiler.graph.arithmetic import mul
from sympile.compiler.graph.definition import EXAMPLES, define, definitions, input_tensor, read
from sympile.compiler.graph.node import Node, const, index, number
from sympile.compiler.passes.derive import gradient, jacobian

GRADIENTS = [
    *[pytest.param(name, ((4, 4),), id=name) for name in SQUARE],
    *[pytest.param(name, ((EXAMPLES, 3, 3),), id=f"{name} of a batch") for name in SQUARE],
    pytest.param("solve", ((4, 4), (4,)), id="solve"),
    pytest.param("solve", ((4, 4), (4, 2)), id="solve, matrix"),
    pytest.param("solve", ((EXAMPLES, 3, 3), (EXAMPLES, 3)), id="solve, examples"),
    pytest.param("solve", ((EXAMPLES, 3, 3), (EXAMPLES, 3, 2)), id="solve, examples of matrices"),
    pytest.param("solve", ((3, 3), (EXAMPLES, 3)), id="solve, one matrix for all examples"),
    pytest.param("solve", ((3, 3), (EXAMPLES, 3, 2)), id="solve, one matrix for all examples of matrices"),
]


@pytest.mark.parametrize(("routine", "shapes"), GRADIENTS)
def test_gradients(routine: str, shapes: tuple[tuple[Node | int, ...], ...]) -> None:
    operands = [given(name, *shape) for name, shape in zip("Ab", shapes, strict=False)]
    result = called(routine, *operands)
    loss = weighted(result, input_tensor("w", result.shape))
    slopes = gradient(loss, operands, {})
    ready, alone = compiled([slopes[o] for o in operands]), compiled([loss])
    lengths = {EXAMPLES: 2}
    values = {o.name: plain(*shape_of(shape, lengths), seed=8) for o, shape in zip(operands, shapes, strict=True)}
    values["A"] = positive(drawn(*values["A"].shape, seed=8))
    values["w"] = plain(*[2 if n is EXAMPLES else int(number(n)) for n in result.shape], seed=4)
    got, status = ready.run(values, examples=2)
    assert status == 0
    for operand, slope in zip(operands, got, strict=True):
        want = differences(functools.partial(loss_at, alone, values, operand.name), values[operand.name])
        assert np.abs(want).max() > 1e-3
        np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-7 * np.abs(want).max())


def test_second_derivatives_of_log_det() -> None:
    """d² log det A / dA[i, j] dA[k, l] = -inv(A)[l, i] inv(A)[j, k]."""
    matrix = given("A", 3, 3)
    first = gradient(called("logdet", matrix), [matrix], {})[matrix]
    second = jacobian(first, [matrix], {})[matrix]
    point = drawn(3, 3, seed=5)
    (got,), _ = compiled([second]).run({"A": point})
    inverse = np.linalg.inv(point)
    np.testing.assert_allclose(got, -np.einsum("li,jk->ijkl", inverse, inverse), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("routine", [*SQUARE, "solve"])
def test_second_derivatives(routine: str) -> None:
    """The Hessian of a weighted sum of results: differences of its gradient."""
    matrix, known = given("A", 3, 3), given("b", 3)
    result = called(routine, matrix, known) if routine == "solve" else called(routine, matrix)
    first = gradient(weighted(result, input_tensor("w", result.shape)), [matrix], {})[matrix]
    slope, hessian = compiled([first]), compiled([jacobian(first, [matrix], {})[matrix]])
    values = {"A": positive(drawn(3, 3, seed=7)), "b": plain(3), "w": plain(*[3] * len(result.shape), seed=1)}
    values = {t.name: values[t.name] for t in definitions([first]) if t.kind == "input"}
    (got,), _ = hessian.run(values)
    for place in np.ndindex(3, 3):
        up, down = (values | {"A": values["A"] + step * unit(place)} for step in (1e-5, -1e-5))
        want = (slope.run(up)[0][0] - slope.run(down)[0][0]) / 2e-5
        np.testing.assert_allclose(got[(..., *place)], want, rtol=1e-5, atol=1e-6 * np.abs(got).max())


def unit(place: tuple[int, ...]) -> Array:
    result = np.zeros((3, 3))
    result[place] = 1
    return result


@pytest.mark.parametrize("right", [pytest.param((3,), id="vector"), pytest.param((3, 2), id="matrix")])
def test_jacobian_of_a_solution(right: tuple[int, ...]) -> None:
    """d x / d b is the inverse, whatever else b has beside its rows."""
    matrix, known = given("A", 3, 3), given("b", *right)
    slope = jacobian(called("solve", matrix, known), [known], {})[known]
    point = drawn(3, 3, seed=5)
    (got,), _ = compiled([slope]).run({"A": point, "b": np.ones(right)})
    want = np.einsum("ij,kl->ikjl", np.linalg.inv(point), np.eye(math.prod(right[1:]))).reshape(right + right)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_a_symmetric_system_is_solved_once() -> None:
    """y' K⁻¹ y with K = L L' + I: the adjoint's solve is that of the formula itself."""
    factor, known = given("L", 4, 4), given("y", 4)
    i, j, k = (index(const(4)) for _ in range(3))
    gram = define((i, j), (k,), "sum", mul(read(factor, i, k), read(factor, j, k)))
    solution = called("solve", gram, known)
    loss = weighted(solution, known)
    slopes = gradient(loss, [factor, known], {})
    solves = [t for t in definitions([loss, *slopes.values()]) if t.kind == "call"]
    assert solves == [solution]
    values = {"L": drawn(4, 4, seed=6), "y": np.arange(1.0, 5.0)}
    got, _ = compiled(list(slopes.values())).run(values)
    for name, slope in zip("Ly", got, strict=True):
        want = differences(functools.partial(loss_at, compiled([loss]), values, name), values[name])
        np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-8)
