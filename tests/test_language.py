"""The language: which kind and shape each composition has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

from sympile.compiler import language as sm
from sympile.compiler.language import elementary
from sympile.compiler.language.binders import Comprehension
from sympile.compiler.language.functions import ELEMENTWISE
from sympile.compiler.language.indexing import span
from sympile.compiler.language.matrix import MatrixFunction
from sympile.compiler.language.scalar import ScalarFunction
from sympile.compiler.language.tensor import TensorFunction

n, m = sp.symbols("n m")
s, u = sp.symbols("s u")
i, j = sm.indices("i j")
A, x, y = sp.MatrixSymbol("A", 4, 4), sp.MatrixSymbol("x", 4, 1), sp.MatrixSymbol("y", 4, 1)
one = sp.MatrixSymbol("one", 1, 1)
R = sp.MatrixSymbol("R", 2, 3)
V = sp.MatrixSymbol("V", n, 1)
X, Y, b = sm.Tensor("X", (28, 7)), sm.Tensor("Y", (7, 28)), sm.Tensor("b", (7,))
Z = sm.Tensor("Z", (n, m))
C = sm.Tensor("C", (2, 3, 4))


@pytest.mark.parametrize(("made", "kind", "shape"), [
    pytest.param(sm.tanh(A * x + y),                MatrixFunction, (4, 1),     id="elementwise of a sum"),
    pytest.param(sm.exp(one),                       MatrixFunction, (1, 1),     id="a 1x1 matrix stays one"),
    pytest.param(sm.maximum(R, 0),                  MatrixFunction, (2, 3),     id="a number broadcasts"),
    pytest.param(sm.maximum(one, u),                sp.Max,         (),         id="1x1 beside a scalar is a scalar"),
    pytest.param(sm.maximum(R, one),                MatrixFunction, (2, 3),     id="1x1 beside a matrix is a scalar"),
    pytest.param(sm.where(u > 0, R, -R),            MatrixFunction, (2, 3),     id="a scalar condition"),
    pytest.param(sm.where(sm.greater(R, 0), R, 0),  MatrixFunction, (2, 3),     id="a matrix condition"),
    pytest.param(sm.where(u, 1, 2),                 sp.Piecewise,   (),         id="a number as condition"),
    pytest.param(sm.tanh(u),                        sp.tanh,        (),         id="SymPy's own of scalars"),
    pytest.param(sm.sigmoid(u),                     elementary.sigmoid, (),     id="ours where SymPy has none"),
    pytest.param(sm.greater(u, 0),                  sp.Gt,          (),         id="relation of scalars"),
    pytest.param(sm.softmax(x),                     MatrixFunction, (4, 1),     id="softmax of a column"),
    pytest.param(sm.add(R, u),                      MatrixFunction, (2, 3),     id="matrix plus scalar"),
    pytest.param(sm.add(R, sp.MatrixSymbol("r", 1, 3)), MatrixFunction, (2, 3), id="matrix plus row"),
    pytest.param(sm.add(u, R),                      MatrixFunction, (2, 3),     id="scalar plus matrix"),
    pytest.param(sm.sum(x),                         ScalarFunction, (),         id="sum of a column"),
    pytest.param(sm.sum(x.T),                       ScalarFunction, (),         id="sum of a row"),
    pytest.param(sm.sum(V),                         ScalarFunction, (),         id="sum of a symbolic column"),
    pytest.param(sm.sum(R),                         MatrixFunction, (2, 1),     id="sum along the last axis"),
    pytest.param(sm.sum(R, axis=0),                 MatrixFunction, (1, 3),     id="sum along the first axis"),
    pytest.param(sm.sum(R, axis=-1),                MatrixFunction, (2, 1),     id="a negative axis"),
    pytest.param(sm.sum(R, axis=None),              ScalarFunction, (),         id="sum of everything"),
    pytest.param(sm.sum(x, axis=1),                 MatrixFunction, (4, 1),     id="the short axis if one says so"),
    pytest.param(sm.sum(u),                         sp.Symbol,      (),         id="sum of a scalar is itself"),
    pytest.param(sm.norm(u),                        sp.Abs,         (),         id="norm of a scalar"),
    pytest.param(sm.dot(x, y.T),                    ScalarFunction, (),         id="dot of column and row"),
    pytest.param(sm.dot(u, s),                      sp.Mul,         (),         id="dot of scalars"),
    pytest.param(sm.scalar(x.T * y),                ScalarFunction, (),         id="scalar of a product"),
    pytest.param(sm.scalar(u),                      sp.Symbol,      (),         id="scalar of a scalar"),
    pytest.param(sm.named("h", x),                  MatrixFunction, (4, 1),     id="a named matrix"),
    pytest.param(sm.named("h", u * 2),              ScalarFunction, (),         id="a named scalar"),
    pytest.param(sm.named("h", X),                  TensorFunction, (28, 7),    id="a named tensor"),
    pytest.param(sm.batch_mean(x),                  MatrixFunction, (4, 1),     id="batch mean keeps the shape"),
    pytest.param(sm.batch_sum(u),                   ScalarFunction, (),         id="batch sum of a scalar"),
    pytest.param(np.float64(2) * sm.exp(R),         sp.MatMul,      (2, 3),     id="a NumPy number"),
    pytest.param(X + b,                             TensorFunction, (28, 7),    id="broadcasting from the right"),
    pytest.param(u * X - 1,                         TensorFunction, (28, 7),    id="scalars broadcast"),
    pytest.param(X + sp.MatrixSymbol("W", 28, 7),   TensorFunction, (28, 7),    id="tensor plus matrix"),
    pytest.param(sp.MatrixSymbol("W", 28, 7) + X,   TensorFunction, (28, 7),    id="matrix plus tensor"),
    pytest.param(X @ Y,                             TensorFunction, (28, 28),   id="matrix product"),
    pytest.param(X @ b,                             TensorFunction, (28,),      id="matrix times vector"),
    pytest.param(b @ b,                             ScalarFunction, (),         id="vector times vector"),
    pytest.param(C @ sm.Tensor("D", (4, 5)),        TensorFunction, (2, 3, 5),  id="leading axes broadcast"),
    pytest.param(X @ sp.MatrixSymbol("W", 7, 3),    TensorFunction, (28, 3),    id="tensor times matrix"),
    pytest.param(sm.matmul(A, sm.Tensor("D", (4,))), TensorFunction, (4,),      id="matmul of matrix and tensor"),
    pytest.param(X.T,                               TensorFunction, (7, 28),    id="transpose"),
    pytest.param(C.transpose(1, 0, 2),              TensorFunction, (3, 2, 4),  id="axes in another order"),
    pytest.param(C.reshape(6, -1),                  TensorFunction, (6, 4),     id="reshape with -1"),
    pytest.param(Z.reshape(-1),                     TensorFunction, (n * m,),   id="reshape of symbolic sizes"),
    pytest.param(X.sum(),                           ScalarFunction, (),         id="methods reduce all axes"),
    pytest.param(X.mean(0),                         TensorFunction, (7,),       id="mean along an axis"),
    pytest.param(C.max(axis=(0, 2)),                TensorFunction, (3,),       id="two axes"),
    pytest.param(C.min(axis=1, keepdims=True),      TensorFunction, (2, 1, 4),  id="keepdims"),
    pytest.param(sm.sum(X),                         TensorFunction, (28,),      id="functions reduce the last axis"),
    pytest.param(sm.softmax(Z),                     TensorFunction, (n, m),     id="softmax of symbolic sizes"),
    pytest.param(X[1, j],                           ScalarFunction, (),         id="an element"),
    pytest.param(X[1],                              TensorFunction, (7,),       id="a row"),
    pytest.param(X[i],                              TensorFunction, (7,),       id="a row by a symbolic index"),
    pytest.param(X[1:9:3, ::-1],                    TensorFunction, (3, 7),     id="slices"),
    pytest.param(C[..., None, 0],                   TensorFunction, (2, 3, 1),  id="dots and a new axis"),
    pytest.param(Z[1:, :-1],                        TensorFunction, (n - 1, m - 1), id="slices of symbolic sizes"),
    pytest.param(sm.comprehension(Z[i, j] * 2, (j, m), (i, n)), Comprehension, (m, n), id="a comprehension"),
    pytest.param(sm.comprehension(X[i, j], (i, 28), (j, 7))[0, j], ScalarFunction, (), id="an element of it"),
    pytest.param(sm.Maximum(X[i, 0], (i, 0, 27)),   sm.Maximum,     (),         id="a binder"),
    pytest.param(sum([X, X]),                       TensorFunction, (28, 7),    id="Python's sum of tensors"),
    pytest.param(sum([sm.exp(x), sm.exp(y)]),       sp.MatAdd,      (4, 1),     id="Python's sum of matrices"),
    pytest.param(sm.Tensor("t", ()),                sp.Symbol,      (),         id="a tensor without axes"),
    pytest.param(sp.tanh(X.sum()),                  sp.tanh,        (),         id="a full reduction is a scalar"),
    pytest.param(X > 0,                             TensorFunction, (28, 7),    id="comparing a tensor"),
])  # fmt: skip
def test_kind_and_shape(made: Any, kind: type, shape: tuple[Any, ...]) -> None:
    assert isinstance(made, kind)
    assert tuple(getattr(made, "shape", ())) == shape


@pytest.mark.parametrize("name", sm.NAMES)
def test_every_exported_name_exists_and_is_documented(name: str) -> None:
    assert getattr(sm, name).__doc__


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_elementwise_function_takes_all_three_kinds(name: str) -> None:
    rest = tuple(range(1, ELEMENTWISE[name].arity))
    for value, kind in ((u, sp.Basic), (x, MatrixFunction), (X, TensorFunction)):
        made = getattr(sm, name)(value, *rest)
        assert isinstance(made, kind)
        assert value in made.free_symbols
    assert getattr(sm, name)(x, *rest).operation == name


def test_a_slice_starts_and_steps() -> None:
    assert span(sp.Integer(10), ("slice", None, None, -2)) == (9, -2, 5)
    assert span(n, ("slice", None, None, -1)) == (n - 1, -1, n)
    assert span(n, ("slice", 2, -1, None)) == (2, 1, n - 3)


def test_scalars_of_arrays_are_commutative_numbers() -> None:
    t = sm.sum(x)
    assert t * A == A * t
    assert t - t == 0
    assert sp.sqrt(t**2) == sp.Abs(t)
    assert (sp.Sum(X[i, 0] ** 2, (i, 0, 27)) + sm.Maximum(b[j], (j, 0, 6))).is_commutative


def test_tensors_are_never_numbers_to_sympy() -> None:
    assert (X - X).operation == "sub"
    assert (X / X).shape == (28, 7)
    assert (X**0).operation == "pow"
    assert (0 * X).operation == "mul"
