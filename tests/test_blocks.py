"""Block matrices in formulas: values and slopes against NumPy, and as they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm

A, B, C, D = (sp.MatrixSymbol(name, *shape) for name, shape in zip("ABCD", ((2, 2), (2, 3), (1, 2), (1, 3)), strict=True))
x, y, b = sp.MatrixSymbol("x", 2, 1), sp.MatrixSymbol("y", 3, 1), sp.MatrixSymbol("b", 4, 1)
W, S, R = sp.MatrixSymbol("W", 4, 5), sp.MatrixSymbol("S", 2, 2), sp.MatrixSymbol("R", 3, 3)
n = sp.Symbol("n")
p, q = sp.MatrixSymbol("p", n, 1), sp.MatrixSymbol("q", n, 1)
M, z = sp.BlockMatrix([[A, B], [C, D]]), sp.BlockMatrix([[x], [y]])

RNG = np.random.default_rng(0)
V: dict[Any, Any] = {s: RNG.normal(size=tuple(map(int, s.shape))) for s in (A, B, C, D, x, y, W, b)}
V |= {S: np.array([[2.0, 0.5], [0.25, 1.0]]), R: np.diag([1.0, 2.0, 3.0]) + 0.1, p: np.ones((3, 1)), q: np.zeros((3, 1))}
BLOCKS, COLUMN = np.block([[V[A], V[B]], [V[C], V[D]]]), np.vstack([V[x], V[y]])
OFF = 2 * BLOCKS @ COLUMN
DIAGONAL = np.block([[V[S], np.zeros((2, 3))], [np.zeros((3, 2)), V[R]]])


@pytest.mark.parametrize(("ours", "want"), [
    pytest.param(M,                                         BLOCKS, id="as it is"),
    pytest.param(M.T,                                       BLOCKS.T, id="transposed"),
    pytest.param(z.T,                                       COLUMN.T, id="a row"),
    pytest.param(M * z,                                     BLOCKS @ COLUMN, id="blocks times blocks"),
    pytest.param(W * z,                                     V[W] @ COLUMN, id="a matrix times blocks"),
    pytest.param(2 * M.T * M,                               2 * BLOCKS.T @ BLOCKS, id="a number, blocks of one cut"),
    pytest.param(z.T * W.T * b,                             COLUMN.T @ V[W].T @ V[b], id="three factors"),
    pytest.param(sm.tanh(M),                                np.tanh(BLOCKS), id="a function"),
    pytest.param(M + M,                                     2 * BLOCKS, id="a sum"),
    pytest.param(sm.dot(z, z) + sm.sum(z),                  np.sum(COLUMN**2) + COLUMN.sum(), id="to a scalar"),
    pytest.param(sp.Trace(M * M.T),                         np.trace(BLOCKS @ BLOCKS.T), id="a trace"),
    pytest.param(M[1, 3] + z[4, 0],                         BLOCKS[1, 3] + COLUMN[4, 0], id="entries"),
    pytest.param(sm.det(sp.BlockDiagMatrix(S, R)),          np.linalg.det(DIAGONAL), id="determinant of a block diagonal"),
    pytest.param(sp.Inverse(sp.BlockDiagMatrix(S, R)) * z,  np.linalg.solve(DIAGONAL, COLUMN), id="a system"),
    pytest.param(sp.BlockMatrix([[p], [q]]),                np.repeat([1.0, 0.0], 3)[:, None], id="of a size"),
    pytest.param(sp.BlockMatrix([[p, q]]),                  np.tile([1.0, 0.0], (3, 1)), id="two columns"),
])  # fmt: skip
def test_values(ours: Any, want: Any) -> None:
    given = [s for s in V if s in ours.free_symbols]
    np.testing.assert_allclose(sm.lambdify(given, ours)(*(V[s] for s in given)), want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("symbol", "text", "want"), [
    pytest.param(A, "2*(A*x + B*y)*x.T",                                OFF[:2] @ V[x].T, id="A"),
    pytest.param(D, "2*(C*x + D*y)*y.T",                                OFF[2:] @ V[y].T, id="D"),
    pytest.param(y, "2*(B.T*(A*x + B*y) + (C*x + D*y)*D.T)",            (BLOCKS.T @ OFF)[2:], id="y"),
])  # fmt: skip
def test_slopes(symbol: Any, text: str, want: Any) -> None:
    slope = sm.grad(sm.sum(sm.square(M * z)), symbol)
    given = [A, B, C, D, x, y]
    assert str(slope) == text
    np.testing.assert_allclose(sm.lambdify(given, slope)(*(V[s] for s in given)), want, rtol=1e-13)


def test_a_layer_of_two_inputs_learns() -> None:
    """W*[x; y], as recurrent cells have it: the parameter's slope against central differences."""
    model = sm.compile(sm.sum(sm.square(sm.tanh(W * z + b))), [W, b], prediction=W * z)
    values = {x: RNG.normal(size=(6, 2)), y: RNG.normal(size=(6, 3)), W: V[W], b: V[b]}
    assert model.check(values).error < 1e-7
    assert "W[:, :2]*x + W[:, 2:]*y + b" in str(model.gradient[b])
    together = np.hstack([values[x], values[y]])
    np.testing.assert_allclose(model.predict({x: values[x], y: values[y]}, {W: V[W], b: V[b]}), together @ V[W].T)
