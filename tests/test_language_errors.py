"""What the language refuses, and what it says should be written instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

from sympile.compiler import language as sm
from sympile.compiler.errors import (
    ArgumentError,
    FormulaError,
    IndexOutOfRange,
    NotDifferentiable,
    ShapeError,
    UnsupportedNode,
)

n, m, k = sp.symbols("n m k")
s, u = sp.symbols("s u")
i = sm.indices("i")
A, B = sp.MatrixSymbol("A", 4, 4), sp.MatrixSymbol("B", 4, 4)
x = sp.MatrixSymbol("x", 4, 1)
one = sp.MatrixSymbol("one", 1, 1)
R = sp.MatrixSymbol("R", 2, 3)
X, Y, b = sm.Tensor("X", (28, 7)), sm.Tensor("Y", (7, 28)), sm.Tensor("b", (7,))
Z = sm.Tensor("Z", (n, m))
C = sm.Tensor("C", (2, 3, 4))


@pytest.mark.parametrize(("write", "error", "says"), [
    pytest.param(lambda: sm.tanh(sp.Matrix([1]).__array__()), UnsupportedNode, "array of objects", id="object array"),
    pytest.param(lambda: sm.tanh([1, 2]),       UnsupportedNode, "sympy.Matrix",       id="a list"),
    pytest.param(lambda: sm.tanh("x"),          UnsupportedNode, "no formula",         id="a string"),
    pytest.param(lambda: sm.tanh(sp.exp(A)),    UnsupportedNode, "exp(A)",             id="SymPy's exp of a matrix"),
    pytest.param(lambda: sm.sum(sp.Abs(A)),     UnsupportedNode, "sympile.abs",        id="SymPy's Abs of a matrix"),
    pytest.param(lambda: sm.exp(sp.tanh(X)),    UnsupportedNode, "tanh(X)",            id="SymPy's tanh of a tensor"),
    pytest.param(lambda: sm.exp(sp.Add(X, X, evaluate=False)), UnsupportedNode, "+",   id="SymPy's Add of tensors"),
    pytest.param(lambda: sm.exp(sp.IndexedBase("K", shape=(3,)) * 2), UnsupportedNode, "IndexedBase", id="a bare base"),
    pytest.param(lambda: sm.exp(sp.Piecewise((A, u > 0), (B, True))), UnsupportedNode, "where", id="Piecewise"),
    pytest.param(lambda: sm.exp(u > 0),         UnsupportedNode, "where",              id="a relation as a number"),
    pytest.param(lambda: sm.exp(sp.Symbol("q", commutative=False)), UnsupportedNode, "commutative", id="no number"),
    pytest.param(lambda: sm.exp(sp.Array([1, 2])), UnsupportedNode, "Tensor",          id="SymPy's array"),
    pytest.param(lambda: sm.exp(object()),      UnsupportedNode, "object",             id="anything else"),
    pytest.param(lambda: sm.exp(A) + 1,         FormulaError, "sympile.add",           id="matrix plus 1"),
    pytest.param(lambda: 1 - sm.exp(A),         FormulaError, "1 - exp(A)",            id="1 minus matrix"),
    pytest.param(lambda: u + sm.exp(one),       FormulaError, "sympile.scalar",        id="1x1 matrix plus scalar"),
    pytest.param(lambda: np.ones((4, 4)) @ sm.exp(A), UnsupportedNode, "MatrixSymbol", id="array @ matrix"),
    pytest.param(lambda: sm.exp(A) + np.ones((4, 4)), UnsupportedNode, "MatrixSymbol", id="matrix + array"),
    pytest.param(lambda: np.ones((28, 7)) * X,  UnsupportedNode, "Tensor",             id="array * tensor"),
    pytest.param(lambda: 1 / sm.exp(A),         FormulaError, "HadamardPower",         id="1 over a matrix"),
    pytest.param(lambda: sm.exp(R) ** 2,        FormulaError, "HadamardPower",         id="power of a rectangle"),
    pytest.param(lambda: sm.exp(A) > 0,         FormulaError, "sympile.greater",       id="comparing a matrix"),
    pytest.param(lambda: abs(sm.exp(A)),        FormulaError, "sympile.abs",           id="abs of a matrix"),
    pytest.param(lambda: X >= 0,                FormulaError, "ties",                  id="greater or equal"),
    pytest.param(lambda: A * sm.Tensor("D", (4, 4)), FormulaError, "matmul",           id="matrix times tensor, or @?"),
    pytest.param(lambda: A @ sm.Tensor("D", (4, 4)), FormulaError, "matmul",           id="matrix @ tensor, or times?"),
    pytest.param(lambda: sm.maximum(A, x),      ShapeError, "x, (4, 1)",               id="a column does not stretch"),
    pytest.param(lambda: sm.maximum(x, x.T),    ShapeError, "x.T, (1, 4)",             id="column and row"),
    pytest.param(lambda: sm.add(x, x.T),        ShapeError, "x.T, (1, 4)",             id="no outer sum"),
    pytest.param(lambda: X + Y,                 ShapeError, "Y, (7, 28)",              id="tensors that do not fit"),
    pytest.param(lambda: Z + sm.Tensor("q", (k,)), ShapeError, "q, (k,)",              id="unequal symbolic sizes"),
    pytest.param(lambda: sm.Tensor("v", (4,)) + x, ShapeError, "reshape",              id="column and rank 1"),
    pytest.param(lambda: X @ X,                 ShapeError, "X, (28, 7)",              id="@ that does not fit"),
    pytest.param(lambda: X @ 2,                 ShapeError, "*",                       id="@ with a scalar"),
    pytest.param(lambda: C.reshape(5, -1),      ShapeError, "(2, 3, 4)",               id="-1 that does not divide"),
    pytest.param(lambda: C.reshape(5, 5),       ShapeError, "24 entries",              id="reshape of another size"),
    pytest.param(lambda: C.transpose(0, 0, 1),  ShapeError, "each axis once",          id="an axis twice"),
    pytest.param(lambda: sm.sum(R, axis=2),     ShapeError, "axis 2 of (2, 3)",        id="no such axis"),
    pytest.param(lambda: sm.sum(C, axis=(0, -3)), ArgumentError, "twice",              id="one axis under two numbers"),
    pytest.param(lambda: sm.sum(C, axis=0.5),   ArgumentError, "integer",              id="a fraction of an axis"),
    pytest.param(lambda: sm.norm(x, p=-1),      ArgumentError, "positive",             id="a negative norm"),
    pytest.param(lambda: sm.dot(A, B),          ShapeError, "A, (4, 4)",               id="dot of matrices"),
    pytest.param(lambda: sm.dot(x, b),          ShapeError, "b, (7,)",                 id="dot of unequal lengths"),
    pytest.param(lambda: sm.scalar(A),          ShapeError, "A, (4, 4)",               id="scalar of a matrix"),
    pytest.param(lambda: X[28, 0],              IndexOutOfRange, "28",                 id="index too large"),
    pytest.param(lambda: X[0, 0, 0],            IndexOutOfRange, "2 axes",             id="too many indices"),
    pytest.param(lambda: X[0.5],                FormulaError, "integer",               id="a fraction as index"),
    pytest.param(lambda: X[sp.Rational(1, 2)],  FormulaError, "integer",               id="SymPy's fraction as index"),
    pytest.param(lambda: X[True],               FormulaError, "integer",               id="a truth value as index"),
    pytest.param(lambda: X[b],                  FormulaError, "comprehension",         id="a tensor as index"),
    pytest.param(lambda: Z[:3],                 ShapeError, "not known",               id="a slice of unknown size"),
    pytest.param(lambda: list(Z),               ShapeError, "Z, (n, m)",               id="iterating without a size"),
    pytest.param(lambda: sm.Tensor("T", (2.5,)), ArgumentError, "2.5",                 id="a fraction as size"),
    pytest.param(lambda: sm.Tensor("T", (-1,)), ArgumentError, "-1",                   id="a negative size"),
    pytest.param(lambda: sm.Tensor("", (1,)),   ArgumentError, "name",                 id="no name"),
    pytest.param(lambda: sm.named(x, "h"),      ArgumentError, "named('h', expr)",     id="named the wrong way round"),
    pytest.param(lambda: sm.Maximum(X[i, 0]),   ArgumentError, "over which index",     id="a binder without index"),
    pytest.param(lambda: sm.Maximum(X[i, 0], (i, 28)), ArgumentError, "first, last",   id="a binder with a size"),
    pytest.param(lambda: sm.Maximum(X, (i, 0, 1)), FormulaError, "no scalar",          id="a binder of a tensor"),
    pytest.param(lambda: sm.comprehension(X[i, i], (i, 0, 6)), ArgumentError, "(index, size)", id="a range as axis"),
    pytest.param(lambda: sm.comprehension(X[i, i], (i, 7), (i, 7)), ArgumentError, "twice", id="an index bound twice"),
    pytest.param(lambda: sm.mse(x, x.T),        ShapeError, "mse",                     id="mse of column and row"),
    pytest.param(lambda: sm.mse(x, u),          ShapeError, "u, a scalar",             id="mse of vector and scalar"),
    pytest.param(lambda: sm.cross_entropy(u, s), ShapeError, "binary_cross_entropy",   id="one logit"),
    pytest.param(lambda: sm.cross_entropy(x, R), ShapeError, "R, (2, 3)",              id="a target that fits nothing"),
    pytest.param(lambda: sm.huber(u, s, delta=0), ArgumentError, "delta",              id="delta 0"),
    pytest.param(lambda: sm.exp(A).diff(A),     NotDifferentiable, "sympile.grad",     id="SymPy's diff of a matrix"),
    pytest.param(lambda: sm.sum(x).diff(x),     NotDifferentiable, "sympile.grad",     id="SymPy's diff of a scalar"),
    pytest.param(lambda: (A * sm.exp(A)).diff(A), NotDifferentiable, "sympile.grad",   id="SymPy's diff of a product"),
    pytest.param(lambda: X[0, 0].diff(X),       NotDifferentiable, "sympile.grad",     id="SymPy's diff of an element"),
    pytest.param(lambda: sm.exp(u * A).diff(u), NotDifferentiable, "sympile.grad",     id="SymPy's diff by a scalar"),
])  # fmt: skip
def test_errors_say_what_to_write(write: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        write()
    assert says in str(caught.value)


def test_diff_by_something_else_is_zero() -> None:
    assert (sm.sum(x) + u).diff(u) == 1
    assert sm.exp(A).diff(u) == sp.ZeroMatrix(4, 4)
