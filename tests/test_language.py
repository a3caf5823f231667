"""The language: shapes, kinds, values of compositions, printing, errors, and how SymPy treats the nodes."""

from __future__ import annotations

import copy
import pickle
import time
from typing import Any

import mpmath
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
from sympile.compiler.language import elementary
from sympile.compiler.language.binders import Comprehension
from sympile.compiler.language.functions import ELEMENTWISE
from sympile.compiler.language.indexing import span
from sympile.compiler.language.matrix import MatrixFunction
from sympile.compiler.language.scalar import ScalarFunction
from sympile.compiler.language.tensor import TensorFunction

n, m, k = sp.symbols("n m k")
s, u = sp.symbols("s u")
i, j = sm.indices("i j")
A, B = sp.MatrixSymbol("A", 4, 4), sp.MatrixSymbol("B", 4, 4)
x, y = sp.MatrixSymbol("x", 4, 1), sp.MatrixSymbol("y", 4, 1)
one = sp.MatrixSymbol("one", 1, 1)
R = sp.MatrixSymbol("R", 2, 3)
V = sp.MatrixSymbol("V", n, 1)
X, Y, b = sm.Tensor("X", (28, 7)), sm.Tensor("Y", (7, 28)), sm.Tensor("b", (7,))
Z = sm.Tensor("Z", (n, m))
C = sm.Tensor("C", (2, 3, 4))


# ------------------------------------------------------------------------------------------------ kinds, shapes


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


# ----------------------------------------------------------------------------------------------------- errors


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


# ---------------------------------------------------------------------------------------------------- printing


@pytest.mark.parametrize(("made", "text", "latex"), [
    pytest.param(sm.tanh(A * x + y), "tanh(A*x + y)", r"\tanh\left(A x + y\right)", id="function"),
    pytest.param(sm.hard_tanh(x), "hard_tanh(x)", r"\operatorname{hard\_tanh}\left(x\right)", id="underscore"),
    pytest.param(sm.abs(x), "abs(x)", r"\left|x\right|", id="absolute value"),
    pytest.param(sm.named("z_1", x).T, "z_1.T", r"\left(z_{1}\right)^{T}", id="name"),
    pytest.param(sm.named("h", x) + y, "y + h", "y + h", id="name in a sum"),
    pytest.param(sm.add(A, -1) * x, "(A - 1)*x", r"\left(A - 1\right) x", id="matrix plus scalar binds loosely"),
    pytest.param(sm.sum(x) * A, "sum(x)*A", r"\operatorname{sum}\left(x\right) A", id="sum times matrix"),
    pytest.param(sm.sum(R, axis=0), "sum(R, axis=0)", None, id="an axis that is not the default"),
    pytest.param(sm.sum(R), "sum(R)", None, id="the default axis"),
    pytest.param(sm.max(R, axis=None), "max(R, axis=None)", r"\max\left(R\right)", id="all axes"),
    pytest.param(sm.norm(x, p=1) ** 2, "norm(x, p=1)**2", r"\left\| x \right\|_{1}^{2}", id="norm"),
    pytest.param(sm.softmax(X, axis=0), "softmax(X, axis=0)", None, id="softmax along the first axis"),
    pytest.param(X[1:, i], "X[1:, i]", None, id="item"),
    pytest.param(X[i, -1], "X[i, 6]", "{X}_{i, 6}", id="element"),
    pytest.param((X + 1) * b - X / 2, "(X + 1)*b - X/2", r"\left(X + 1\right) \circ b - \frac{X}{2}", id="precedence"),
    pytest.param(X - (X - b), "X - (X - b)", None, id="brackets on the right"),
    pytest.param((X @ Y).T[0, 1], "(X @ Y).T[0, 1]", None, id="brackets before a dot"),
    pytest.param(-(X**2), "-X**2", None, id="minus a power"),
    pytest.param(2**X, "2**X", r"2^{\circ X}", id="power of a number"),
    pytest.param(X.reshape(196), "X.reshape(196)", None, id="reshape"),
    pytest.param(C.transpose(1, 0, 2), "C.transpose(1, 0, 2)", None, id="transpose"),
    pytest.param(C.sum(1, keepdims=True), "sum(C, axis=1, keepdims=True)", None, id="keepdims"),
    pytest.param(sm.Maximum(X[i, 0], (i, 0, 27)), "Maximum(X[i, 0], (i, 0, 27))",
                 r"\max_{0 \leq i \leq 27} {X}_{i, 0}", id="binder"),
    pytest.param(sm.comprehension(b[j] ** 2, (j, 7)), "[b[j]**2 for j < 7]", None, id="comprehension"),
    pytest.param(sm.leaky_relu(u), "leaky_relu(u, 0.01)", None, id="scalar function with a slope"),
])  # fmt: skip
def test_printing(made: Any, text: str, latex: str | None) -> None:
    assert str(made) == text
    assert sp.pretty(made)
    assert sp.latex(made) if latex is None else sp.latex(made) == latex


# ------------------------------------------------------------------------------------------- SymPy's machinery

KEPT = [
    pytest.param(sm.tanh(A * x + y), id="matrix function"),
    pytest.param(sm.cross_entropy(x, y), id="scalar function"),
    pytest.param(sm.named("h", sm.softmax(A * x)).T * x, id="named"),
    pytest.param(sm.tanh(X @ Y)[1:, None].sum(0), id="tensor"),
    pytest.param(sm.Maximum(X[i, j] + u, (i, 0, j), (j, 0, 6)), id="binder"),
    pytest.param(sm.comprehension(sm.sigmoid(b[j] * u), (j, 7))[i] + u, id="comprehension"),
    pytest.param(sm.leaky_relu(u, 0.2) + sm.gelu(s), id="scalar functions"),
    pytest.param(sm.norm(x, p=1.5), id="a fraction as option"),
]


@pytest.mark.parametrize("made", KEPT)
def test_copies_are_equal(made: Any) -> None:
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.copy(made) == made
    assert copy.deepcopy(made) == made
    assert made.func(*made.args) == made


@pytest.mark.parametrize("made", KEPT)
def test_replacing_nothing_changes_nothing(made: Any) -> None:
    stranger = sp.Symbol("stranger")
    assert made.subs(stranger, 1) == made
    assert made.xreplace({stranger: sp.S.One}) == made
    assert not made.has(stranger)
    assert made.doit() == made


@pytest.mark.parametrize(("made", "old", "new", "want"), [
    pytest.param(sm.tanh(A * x), A, B, sm.tanh(B * x), id="matrix symbol"),
    pytest.param(sm.tanh(sm.exp(x) + y), x, y, sm.tanh(sm.exp(y) + y), id="below another node"),
    pytest.param(sm.sum(x) * u, u, 3, sm.sum(x) * 3, id="beside a node"),
    pytest.param(sm.sum(sm.exp(x)), sm.exp(x), y, sm.sum(y), id="a node itself"),
    pytest.param(sm.tanh(A * sm.exp(x)), A * sm.exp(x), y, sm.tanh(y), id="an expression around a node"),
    pytest.param(Z, n, 5, sm.Tensor("Z", (5, m)), id="a size"),
    pytest.param(Z[1:, 0] * 2, n, 5, sm.Tensor("Z", (5, m))[1:, 0] * 2, id="a size below slices"),
    pytest.param(X * u, u, b, X * b, id="a scalar by a tensor"),
    pytest.param(X[i, j], i, 3, X[3, j], id="an index"),
    pytest.param(sm.comprehension(Z[i, 0] * u, (i, n)), u, 2, sm.comprehension(Z[i, 0] * 2, (i, n)), id="free in it"),
    pytest.param(sm.comprehension(Z[i, 0] * u, (i, n)), i, 2, sm.comprehension(Z[i, 0] * u, (i, n)), id="bound in it"),
    pytest.param(sm.Maximum(b[i], (i, 0, n)), n, 6, sm.Maximum(b[i], (i, 0, 6)), id="a range"),
    pytest.param(sm.sum(x), x, sp.Matrix([1, 2, 3, 4]), sm.sum(sp.Matrix([1, 2, 3, 4])), id="an explicit matrix"),
])  # fmt: skip
def test_substitution_rebuilds(made: Any, old: Any, new: Any, want: Any) -> None:
    assert made.subs(old, new) == want
    assert made.xreplace({sp.sympify(old): sp.sympify(new)}) == want


def test_substitution_captures_no_index() -> None:
    made = sm.Maximum(b[i] * u, (i, 0, 6)).subs(u, i)
    assert i in made.free_symbols
    (bound,) = made.variables
    assert made.function == b[bound] * i
    assert bound != i


def test_substitution_that_breaks_shapes_is_an_error() -> None:
    with pytest.raises(ShapeError):
        sm.maximum(sp.MatrixSymbol("p", n, 1), sp.MatrixSymbol("q", n, 1)).subs(sp.MatrixSymbol("q", n, 1), x)


@pytest.mark.parametrize(("made", "free"), [
    pytest.param(sm.tanh(A * x), {A, x}, id="matrices"),
    pytest.param(X[i, j] * u, {X, i, j, u}, id="an element"),
    pytest.param(sm.Maximum(X[i, j], (i, 0, n)), {X, j, n}, id="a binder binds"),
    pytest.param(sm.Maximum(X[i, j], (i, 0, j), (j, 0, 6)), {X}, id="a later limit binds what an earlier range uses"),
    pytest.param(sm.comprehension(X[i, j], (j, 7)), {X, i}, id="a comprehension binds"),
    pytest.param(sm.LogSumExp(sp.Indexed("K", i), (i, 0, 3)), {sp.Symbol("K")}, id="an element of a base"),
])
def test_free_symbols(made: Any, free: set[Any]) -> None:
    assert {getattr(symbol, "label", symbol) for symbol in made.free_symbols} == free


def test_atoms_and_interning() -> None:
    made = sm.tanh(A * x + y)
    assert made is sm.tanh(A * x + y)
    assert made != sm.tanh(A * y + x)
    assert made.atoms(sp.MatrixSymbol) == {A, x, y}
    assert sm.norm(x, p=1) is not sm.norm(x, p=2)


# ------------------------------------------------------------------------------------------ depth and sharing


def rnn(steps: int) -> Any:
    h: Any = x
    for _ in range(steps):
        h = sm.tanh(A * h + x)
    return h


def gru(steps: int) -> Any:
    h: Any = x
    for t in range(steps):
        z, c = sm.sigmoid(B * h + x), sm.tanh(A * h + x)
        h = sm.named(f"h{t}", sp.HadamardProduct(z, c) + h)
    return h


@pytest.mark.parametrize("network", [rnn, gru])
def test_two_thousand_steps(network: Any) -> None:
    start = time.process_time()
    h = network(2000)
    assert time.process_time() - start < 30  # a second or two; copies of copies would take for ever
    assert h.atoms(sp.MatrixSymbol) == h.free_symbols
    assert h.has(x)
    assert y in h.subs(x, y).free_symbols
    assert y in h.xreplace({x: y}).free_symbols
    assert pickle.loads(pickle.dumps(h)) is h
    assert copy.deepcopy(h) is h


def test_messages_about_deep_formulas_are_short() -> None:
    with pytest.raises(ShapeError) as caught:
        sm.maximum(gru(50), sm.exp(R))
    assert len(str(caught.value)) < 500


# --------------------------------------------------------------------------------------------- values of scalars


@pytest.mark.parametrize(("name", "truth"), [
    ("sigmoid", lambda v: 1 / (1 + mpmath.exp(-v))),
    ("relu", lambda v: max(v, mpmath.mpf(0))),
    ("elu", lambda v: v if v > 0 else mpmath.expm1(v)),
    ("selu", lambda v: mpmath.mpf("1.05070098735548049341933498529460") * (
        v if v > 0 else mpmath.mpf("1.67326324235437728481704299167170") * mpmath.expm1(v))),
    ("gelu", lambda v: v * mpmath.ncdf(v)),
    ("silu", lambda v: v / (1 + mpmath.exp(-v))),
    ("softplus", lambda v: mpmath.log1p(mpmath.exp(v))),
    ("hard_tanh", lambda v: max(mpmath.mpf(-1), min(mpmath.mpf(1), v))),
    ("log1p", mpmath.log1p),
    ("expm1", mpmath.expm1),
])  # fmt: skip
@pytest.mark.parametrize("at", ["-0.75", "0.5", "2.25"])
def test_values_and_slopes_of_scalar_functions(name: str, truth: Any, at: str) -> None:
    made = getattr(sm, name)(u)
    point = sp.Rational(at)
    with mpmath.workdps(30):
        assert mpmath.almosteq(mpmath.mpf(str(made.subs(u, point).evalf(30))), truth(mpmath.mpf(at)), 1e-25)
        slope = sp.N(made.diff(u).subs(u, point), 30)
        assert mpmath.almosteq(mpmath.mpf(str(slope)), mpmath.diff(truth, mpmath.mpf(at)), 1e-10)


def test_scalar_functions_do_not_evaluate_themselves() -> None:
    assert str(sm.sigmoid(0)) == "sigmoid(0)"
    assert sm.sigmoid(0).evalf() == 0.5


@pytest.mark.parametrize(("loss", "want"), [
    pytest.param(sm.mse(u, s), lambda p, t: (p - t) ** 2, id="mse"),
    pytest.param(sm.mae(u, s), lambda p, t: abs(p - t), id="mae"),
    pytest.param(sm.huber(u, s, delta=0.5), lambda p, t: (p - t) ** 2 / 2 if abs(p - t) <= 0.5
                 else 0.5 * (abs(p - t) - 0.25), id="huber"),
    pytest.param(sm.binary_cross_entropy(u, s), lambda p, t: -t * mpmath.log(1 / (1 + mpmath.exp(-p)))
                 - (1 - t) * mpmath.log(1 - 1 / (1 + mpmath.exp(-p))), id="binary cross-entropy"),
    pytest.param(sm.hinge(u, s), lambda p, t: max(0, 1 - p * t), id="hinge"),
    pytest.param(sm.kl_divergence(u, s), lambda p, t: p * mpmath.log(p / t), id="one term of the divergence"),
])  # fmt: skip
@pytest.mark.parametrize(("prediction", "target"), [(0.25, 0.5), (1.75, 0.125), (0.5, 2.0)])
def test_losses_of_scalars(loss: Any, want: Any, prediction: float, target: float) -> None:
    value = loss.subs({u: sp.Float(prediction), s: sp.Float(target)}).evalf()
    assert float(value) == pytest.approx(float(want(prediction, target)), rel=1e-12)


@pytest.mark.parametrize(("loss", "text"), [
    pytest.param(sm.cross_entropy(x, y), "sum(y)*logsumexp(x) - sum(HadamardProduct(y, x))", id="probabilities"),
    pytest.param(sm.cross_entropy(x, s), "logsumexp(x) - pick(x, s)", id="a class number"),
    pytest.param(sm.cross_entropy(x, one), "logsumexp(x) - pick(x, scalar(one))", id="a 1x1 class number"),
    pytest.param(sm.cross_entropy(X, sm.Tensor("c", (28,))), "mean(logsumexp(X) - pick(X, c))", id="a class per row"),
    pytest.param(sm.cross_entropy(R, sp.MatrixSymbol("c", 2, 1)), "mean(logsumexp(R) - pick(R, c))", id="of a matrix"),
    pytest.param(sm.mse(one, s), "(-s + scalar(one))**2", id="1x1 against a scalar"),
    pytest.param(sm.mse(x, y), "mean(HadamardPower(x - y, 2))", id="mean over components"),
    pytest.param(sm.binary_cross_entropy(b, b), "mean(softplus(b) - b*b)", id="tensors"),
    pytest.param(sm.hinge(x, y), "mean(relu(-(HadamardProduct(x, y)) + 1))", id="hinge of vectors"),
])
def test_losses_read_well(loss: Any, text: str) -> None:
    assert str(loss).replace("-HadamardProduct(x, y)", "-(HadamardProduct(x, y))") == text
    assert not hasattr(loss, "shape")
