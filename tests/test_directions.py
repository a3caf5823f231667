"""Directions of hvp, jvp and vjp, and what one derives by: symbols of the right shapes, and no other thing."""

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import ArgumentError, FormulaError, ShapeError, UnsupportedNode

x, y = sp.symbols("x y")
n = sp.Symbol("n")
v, u = sp.MatrixSymbol("v", 3, 1), sp.MatrixSymbol("u", 4, 1)
A = sp.MatrixSymbol("A", 3, 3)
K = sp.IndexedBase("K", shape=(3,))
T = sm.Tensor("T", (3,))
i = sm.indices("i")
POINT = np.array([0.3, -1.2, 0.7])
MATRIX = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.2], [-0.3, 0.6, 3.0]])
EXP = np.exp(POINT)
INVERSE = np.linalg.inv(MATRIX)


# A direction that is the symbol itself is constant: hvp(w³, w, w) is 6 w times w, and not the slope of 3 w² times w.
@pytest.mark.parametrize(
    ("symbol", "formula", "at", "want"),
    [
        pytest.param(x, lambda: sm.hvp(x**3, x, x), 2.0, 24.0, id="hvp of a number"),
        pytest.param(x, lambda: sm.vjp(x**3, x, x), 2.0, 24.0, id="vjp of a number"),
        pytest.param(x, lambda: sm.jvp(x**3, x, x), 2.0, 24.0, id="jvp of a number"),
        pytest.param(v, lambda: sm.hvp(sm.sum(sm.exp(v)), v, v), POINT, EXP * POINT, id="hvp of a column"),
        pytest.param(v, lambda: sm.vjp(sm.exp(v), v, v), POINT, EXP * POINT, id="vjp of a column"),
        pytest.param(T, lambda: sm.vjp(sm.exp(T), T, T), POINT, EXP * POINT, id="vjp of a tensor"),
        pytest.param(
            v,
            lambda: sm.hvp(sm.sum(sm.named("h", sm.exp(v)) * 2), v, v),
            POINT,
            2 * EXP * POINT,
            id="through a named value",
        ),
        pytest.param(
            A,
            lambda: sm.vjp(A.I, A, A),
            MATRIX,
            -INVERSE.T @ MATRIX @ INVERSE.T,
            id="through a routine that reads it as it is",
        ),
    ],
)
def test_a_direction_is_constant_where_it_is_what_one_derives_by(symbol, formula, at, want):
    found = sm.lambdify(symbol, formula())(at)
    np.testing.assert_allclose(np.reshape(found, np.shape(want)), want, rtol=1e-13)


def test_directions_may_cross():
    """By x along y, and by y along x: H (y, x)."""
    found = sm.hvp(x**2 * y**3, [x, y], [y, x])
    values = sm.lambdify([x, y], [found[x], found[y]])(2.0, 3.0)
    assert values == [2 * 27 * 3 + 2 * 2 * 3 * 9 * 2, 2 * 2 * 3 * 9 * 3 + 4 * 6 * 3 * 2]


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        pytest.param(lambda: sm.hvp(sm.sum(v), v, u), ShapeError, r"\(3, 1\), but u has shape \(4, 1\)", id="too long"),
        pytest.param(lambda: sm.jvp(sm.exp(v), v, x), ShapeError, r"but x has shape \(\)", id="a number"),
        pytest.param(lambda: sm.vjp(sm.exp(v), v, u), ShapeError, "cotangents have the shapes", id="cotangent too long"),
        pytest.param(lambda: sm.jvp(x**2, x, 2 * y), ArgumentError, r"not 2\*y", id="an expression"),
        pytest.param(lambda: sm.vjp([x, x**2], x, [x, y]), ArgumentError, "1 directions", id="a list of numbers"),
        pytest.param(lambda: sm.grad(x**2, 2 * x), ArgumentError, r"not 2\*x", id="by an expression, which was 0"),
        pytest.param(lambda: sm.grad(x**2, "y"), ArgumentError, "not 'y'", id="by a word, which was 0"),
        pytest.param(lambda: sm.grad(sm.sum(v), v[0, 0]), ArgumentError, r"not v\[0, 0\]", id="by an entry"),
        pytest.param(lambda: sm.grad(sp.Sum(K[i], (i, 0, 2)), K[0]), ArgumentError, r"not K\[0\]", id="by an element"),
        pytest.param(lambda: sm.grad(sm.sum(v), v.T), ArgumentError, "not v.T", id="by a transpose"),
        pytest.param(
            lambda: sm.grad(n * sm.sum(sp.MatrixSymbol("b", n, 1)), n), FormulaError, "n is a size", id="by a size"
        ),
        pytest.param(lambda: sm.hessian(sm.sum(v) * x, [v, x]), ArgumentError, "scalar symbols", id="Hessian by both"),
        pytest.param(lambda: sm.hessian(x, []), ArgumentError, "scalar symbols", id="Hessian by nothing"),
        pytest.param(lambda: sm.jacobian([], x), ArgumentError, "no expression", id="Jacobian of nothing"),
        pytest.param(lambda: sm.grad(None, x), UnsupportedNode, "no formula", id="of nothing"),
        pytest.param(lambda: sm.lambdify(x, None), UnsupportedNode, "no formula", id="a function of nothing"),
        pytest.param(lambda: sm.lambdify(x, [[x, 1]]), UnsupportedNode, "no formula", id="lists in lists"),
    ],
)
def test_what_is_no_direction_or_symbol_is_an_error(ask, error, words):
    with pytest.raises(error, match=words):
        ask()
