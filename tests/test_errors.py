"""Every mistake a user can make has an error with a class and a message that names the symbol and the way out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler import errors
from sympile.compiler.errors import (
    ArgumentError,
    ArrayShapeError,
    DtypeError,
    DuplicateName,
    EmptyData,
    FormulaError,
    IndexOutOfRange,
    LengthMismatch,
    MissingValue,
    NonScalarLoss,
    NotDifferentiable,
    ShapeError,
    StationaryStart,
    UnboundIndex,
    UnknownFunction,
    UnknownKey,
    UnsupportedNode,
    UnusedParameter,
)

a, b, c, n, m, w, x, y = sp.symbols("a b c n m w x y")
i, j = sm.indices("i j")
q, E = sp.IndexedBase("q", shape=(3,)), sp.IndexedBase("E", shape=(5, 2))
P, Q = sp.MatrixSymbol("P", n, 3), sp.MatrixSymbol("Q", m, 2)
W, v, u = sp.MatrixSymbol("W", 3, 2), sp.MatrixSymbol("v", 3, 1), sp.MatrixSymbol("u", 3, 1)
S, T = sm.Tensor("S", (3,)), sm.Tensor("T", (4,))

Ask = Callable[[], Any]


def message_of(ask: Ask, error: Any) -> str:
    with pytest.raises(error) as caught:
        ask()
    assert isinstance(caught.value, errors.SympileError)
    assert caught.value.__cause__ is None
    return str(caught.value)


# ============================================================================================= the formula

# fmt: off
FORMULAS = [
    #            what is asked, error, words that the message must hold
    pytest.param(lambda: sm.compile(w**2 / 2 + (sp.besselj(0, w * x) - y)**2, parameters=w),
                 UnknownFunction, ["besselj", "compiler/rules/functions.py", "write it with known functions"], id="unknown function"),
    pytest.param(lambda: sm.compile(w * sp.Integral(sp.sin(x * y), (y, 0, 1)), parameters=w),
                 UnsupportedNode, ["Integral"], id="unsupported node"),
    pytest.param(lambda: sm.compile(sp.I * w, parameters=w), UnsupportedNode, ["ImaginaryUnit"], id="complex number"),
    pytest.param(lambda: sm.compile(None, parameters=w), UnsupportedNode, ["None"], id="no formula"),
    pytest.param(lambda: sm.compile(sm.sum(P * Q, axis=None), parameters=P),
                 ShapeError, ["P", "(n, 3)", "Q", "(m, 2)"], id="shapes in a product"),
    pytest.param(lambda: sm.compile((S * T).sum(), parameters=S), ShapeError, ["S", "(3,)", "T", "(4,)"], id="shapes in an elementwise product"),
    pytest.param(lambda: sm.compile(sm.sum(v) + sm.sum(sp.MatrixSymbol("v", 4, 1)), parameters=v),
                 DuplicateName, ["v", "(3, 1)", "(4, 1)"], id="two symbols of one name, by shape"),
    pytest.param(lambda: sm.compile(x * sp.Symbol("x", positive=True) * w, parameters=w),
                 DuplicateName, ["'x'", "positive=True", "rename"], id="two symbols of one name, by assumption"),
    pytest.param(lambda: sm.compile(a * x, parameters=a, constants=a), DuplicateName, ["'a'"], id="parameter and constant"),
    pytest.param(lambda: sm.compile(sm.named("a", sp.sin(x)) * a, parameters=a), DuplicateName, ["a", "another name"], id="symbol and intermediate"),
    pytest.param(lambda: sm.compile(q[i]**2, parameters=q), UnboundIndex, ["index i", "Sum"], id="index that nothing binds"),
    pytest.param(lambda: sm.compile(sp.Sum(q[j], (j, 0, 2)) * j, parameters=q), UnboundIndex, ["index j"], id="index outside of its sum"),
    pytest.param(lambda: sm.compile(sp.Sum(q[j] * i, (j, 0, 2)), parameters=q), UnboundIndex, ["index i"], id="index as a number"),
    pytest.param(lambda: sm.compile(sp.Sum(q[j + 1], (j, 0, 2)), parameters=q), ShapeError, ["q", "1 to 3", "0 to 2"], id="index beyond its axis"),
    pytest.param(lambda: sm.compile(q[3], parameters=q), ShapeError, ["position 3", "length 3"], id="element beyond its axis"),
    pytest.param(lambda: sm.compile(a * x, parameters=[a, b]), UnusedParameter, ["b", "allow_unused"], id="unused parameter"),
    pytest.param(lambda: sm.compile(W.T * v, parameters=W), NonScalarLoss, ["(2, 1)", "sum"], id="vector as a loss"),
    pytest.param(lambda: sm.compile(sm.tanh(S), parameters=S), NonScalarLoss, ["(3,)"], id="tensor as a loss"),
    pytest.param(lambda: sm.compile(sm.sum(W), parameters=W), NonScalarLoss,
                 ["(3, 1)", "write sympile.sum(W, axis=None), of all entries", "along each row"], id="a sum over one axis as a loss"),
    pytest.param(lambda: sm.compile(sm.norm(W, p=1, axis=0), parameters=W), NonScalarLoss,
                 ["(1, 2)", "write sympile.norm(W, p=1, axis=None), of all entries"], id="a norm over one axis as a loss"),
    pytest.param(lambda: sm.grad(sm.mean(W), W), NonScalarLoss,
                 ["(3, 1)", "write sympile.mean(W, axis=None), of all entries"], id="gradient of a mean over one axis"),
    pytest.param(lambda: sm.grad(W.T * v, W), NonScalarLoss, ["(2, 1)", "jacobian"], id="gradient of a vector"),
    pytest.param(lambda: sm.hessian(sm.grad(sp.digamma(x), x), x), NotDifferentiable, ["trigamma"], id="no derivative row"),
    pytest.param(lambda: sm.compile(a * x, parameters=2 * a), ArgumentError, ["2*a"], id="parameter that is no symbol"),
    pytest.param(lambda: sm.compile(a * x, parameters="a"), ArgumentError, ["'a'"], id="parameter by its name"),
    pytest.param(lambda: sm.compile(a * x, parameters=None), ArgumentError, ["parameters", "None"], id="no parameters"),
    pytest.param(lambda: sm.compile(a * x, parameters=a, dtype="float16"), ArgumentError, ["'float64'", "'float16'"], id="dtype"),
    pytest.param(lambda: sm.compile(a * x, parameters=a, rewrites="fast"), ArgumentError, ["'stable'", "'fast'"], id="rewrites"),
    pytest.param(lambda: sm.compile(a * x, parameters=a, reduction="max"), ArgumentError, ["'mean'", "'max'"], id="reduction"),
    pytest.param(lambda: sm.compile(a * x, parameters=a, examples=5), ArgumentError, ["examples", "5"], id="examples that is no Symbol"),
    pytest.param(lambda: sm.lambdify([x], x + y), MissingValue, ["'y'", "'x'"], id="lambdify without an argument"),
    pytest.param(lambda: sm.jvp(a * b, [a, b], [x]), ArgumentError, ["2 directions"], id="too few directions"),
]
# fmt: on


@pytest.mark.parametrize(("ask", "error", "words"), FORMULAS)
def test_formula(ask: Ask, error: Any, words: list[str]) -> None:
    message = message_of(ask, error)
    assert [word for word in words if word not in message] == [], message
    assert issubclass(error, (FormulaError, errors.UsageError))


@pytest.mark.parametrize(
    ("ask", "error", "spot"),
    [
        pytest.param(lambda: sm.compile(w**2 / 2 + (sp.besselj(0, w * x) - y) ** 2, parameters=w), UnknownFunction, "besselj(0, w*x)", id="function"),
        pytest.param(lambda: sm.compile(w * sp.Integral(sp.sin(x * y), (y, 0, 1)), parameters=w), UnsupportedNode, "Integral(sin(x*y), (y, 0, 1))", id="node"),
        pytest.param(lambda: sm.compile(sp.sin(w) * sp.Sum(q[j] * i, (j, 0, 2)), parameters=w), UnboundIndex, "i", id="index, and no letter of sin"),
        pytest.param(lambda: sm.compile(sm.sum(P * Q, axis=None), parameters=P), ShapeError, "P*Q", id="product"),
    ],
)  # fmt: skip
def test_caret_line_points_at_the_spot(ask: Ask, error: Any, spot: str) -> None:
    lines = message_of(ask, error).splitlines()
    carets = next(k for k, line in enumerate(lines) if line.strip() and set(line.strip()) == {"^"})
    at = lines[carets].index("^")
    assert lines[carets - 1][at : at + lines[carets].count("^")] == spot
    assert lines[carets].count("^") == len(spot)
    before = lines[carets - 1][at - 1]
    assert not before.isalnum()


# ============================================================================================= values

LINE = sm.compile((a * x + b - y) ** 2, parameters=[a, b], prediction=a * x + b)
VECTORS = sm.compile(sm.sum(u) * sm.dot(u, v), parameters=u)
CLASSES = sm.compile(sm.cross_entropy(W.T * v, c), parameters=W)
GATHER = sm.compile(sp.Sum(E[c, j] ** 2, (j, 0, 1)), parameters=E)
good = {x: [1.0, 2.0], y: [1.0, 2.0], a: 1.0, b: 0.5}


def line(**changes: Any) -> dict[Any, Any]:
    """Good values but for some; None takes one away."""
    named = {symbol.name: value for symbol, value in good.items()} | changes
    return {name: value for name, value in named.items() if value is not None}


def classes(numbers: Any) -> dict[Any, Any]:
    return {W: np.ones((3, 2)), v: np.ones((2, 3)), c: numbers}


# fmt: off
VALUES = [
    #            what is asked, error, words that the message must hold
    pytest.param(lambda: LINE.forward(line(b=None)), MissingValue, ["'b'", "parameter", "shape ()"], id="missing parameter"),
    pytest.param(lambda: LINE.backward(line(x=None)), MissingValue, ["'x'", "data", "(N,)"], id="missing data"),
    pytest.param(lambda: LINE.forward(line(bb=3)), UnknownKey, ["'bb'", "did you mean 'b'?"], id="unknown key"),
    pytest.param(lambda: LINE.fit({x: [1.0], "yy": [1.0]}, epochs=1), UnknownKey, ["'yy'", "did you mean 'y'?"], id="unknown key of a fit"),
    pytest.param(lambda: LINE.forward({**good, "x": [1.0, 2.0]}), DuplicateName, ["'x'", "twice"], id="symbol and name"),
    pytest.param(lambda: LINE.forward([1, 2]), ArgumentError, ["dict", "list"], id="no dict"),
    pytest.param(lambda: LINE.forward(line(x=1.0)), ArrayShapeError, ["x", "(N,)", "constants"], id="number where data belong"),
    pytest.param(lambda: VECTORS.forward({v: np.ones(3), u: np.ones(3)}), ArrayShapeError, ["v", "(3,)", "(N, 3)", "v[np.newaxis]"],
                 id="data without an example axis"),
    pytest.param(lambda: VECTORS.forward({v: np.ones((5, 4)), u: np.ones(3)}), ArrayShapeError, ["v", "(5, 4)", "(3, 1)"], id="data of another shape"),
    pytest.param(lambda: VECTORS.forward({v: np.ones((5, 3)), u: np.ones(4)}), ArrayShapeError, ["u", "(4,)", "(3, 1)"], id="parameter of another shape"),
    pytest.param(lambda: LINE.forward(line(x=[1.0])), LengthMismatch, ["x", "(1,)", "y", "(2,)"], id="data of different lengths"),
    pytest.param(lambda: LINE.forward(line(x=[], y=[])), EmptyData, ["(0,)"], id="empty data"),
    pytest.param(lambda: LINE.fit({x: [], y: []}, epochs=1), EmptyData, [], id="fit to empty data"),
    pytest.param(lambda: LINE.forward(line(x=np.ones(2) * 1j)), DtypeError, ["x", "complex", "x.real"], id="complex array"),
    pytest.param(lambda: LINE.forward(line(a=1j)), DtypeError, ["a", "complex"], id="complex number"),
    pytest.param(lambda: LINE.forward(line(x=np.array([1, None], dtype=object))), DtypeError, ["x", "objects"], id="object array"),
    pytest.param(lambda: LINE.forward(line(x=["a", "b"])), DtypeError, ["x", "strings"], id="strings"),
    pytest.param(lambda: CLASSES.forward(classes([0, 2])), IndexOutOfRange, ["c", "2 at [1]", "0 … 1"], id="class number too large"),
    pytest.param(lambda: CLASSES.forward(classes([-1, 0])), IndexOutOfRange, ["c", "-1 at [0]"], id="negative class number"),
    pytest.param(lambda: CLASSES.forward(classes([0, 0.5])), DtypeError, ["c", "0.5 at [1]"], id="fraction of a class"),
    pytest.param(lambda: CLASSES.fit({v: np.ones((2, 3)), c: [0, 7]}, epochs=1), IndexOutOfRange, ["c", "7"], id="class number in a fit"),
    pytest.param(lambda: GATHER.backward({E: np.ones((5, 2)), c: [4, 5]}), IndexOutOfRange, ["c", "5 at [1]", "0 … 4"], id="gather out of range"),
    pytest.param(lambda: LINE.predict({y: [1.0]}, {a: 1, b: 1}), MissingValue, ["'x'"], id="prediction without data"),
    pytest.param(lambda: sm.compile(a * x, parameters=a).predict({x: [1.0]}, {a: 1}), ArgumentError, ["prediction="], id="no prediction"),
    pytest.param(lambda: sm.compile(n * a**2 * sm.sum(sp.OneMatrix(n, 1)), parameters=a).forward({a: 1.0}),
                 MissingValue, ["'n'", "sizes="], id="size that no array tells"),
    pytest.param(lambda: LINE.fit({x: [1.0], y: [1.0]}, epochs=0), ArgumentError, ["epochs", "0"], id="no epochs"),
    pytest.param(lambda: LINE.fit({x: [1.0], y: [1.0]}, epochs=1, batch_size=0), ArgumentError, ["batch_size", "0"], id="empty batches"),
    pytest.param(lambda: LINE.backward(good)["slope"], UnknownKey, ["'slope'", "'a'", "'b'"], id="unknown result"),
    pytest.param(lambda: LINE.gradient["slope"], UnknownKey, ["'slope'"], id="unknown gradient"),
    pytest.param(lambda: LINE.explain("nonsense"), ArgumentError, ["'nonsense'", "'gradient'"], id="unknown stage"),
    pytest.param(lambda: sm.lambdify([x, y], x + y)(1.0), ArgumentError, ["2 arguments", "x, y", "1"], id="too few arguments"),
    pytest.param(lambda: sm.lambdify([x, y], x + y)(np.ones(2), np.ones(3)), ArrayShapeError, ["x: (2,)", "y: (3,)"], id="arrays that do not broadcast"),
    pytest.param(lambda: sm.lambdify([W], W.T)(np.ones((2, 2))), ArrayShapeError, ["W", "(2, 2)", "(3, 2)"], id="matrix of another shape"),
]
# fmt: on


@pytest.mark.parametrize(("ask", "error", "words"), VALUES)
def test_values(ask: Ask, error: Any, words: list[str]) -> None:
    message = message_of(ask, error)
    assert [word for word in words if word not in message] == [], message


def test_allowed_unused_parameter_has_gradient_zero() -> None:
    model = sm.compile(a * x, parameters=[a, b, W], allow_unused=[b, W])
    gradient = model.backward({a: 1.0, b: 2.0, x: [1.0, 3.0]})
    assert gradient[a] == 2.0 and gradient[b] == 0.0
    np.testing.assert_array_equal(gradient[W], np.zeros((3, 2)))


def test_none_is_no_constant() -> None:
    model = sm.compile(a * x, parameters=a, constants=None, allow_unused=None)
    assert str(model) == str(sm.compile(a * x, parameters=a))


def test_stationary_start() -> None:
    """A loss that is flat where the first values are drawn."""
    model = sm.compile(sp.Max(0, a * x - 1e6) + sp.Max(0, -a * x - 1e6), parameters=a)
    message = message_of(lambda: model.fit({x: [1.0, 2.0]}, epochs=1, verbose=False), StationaryStart)
    assert "start={a: ...}" in message


def test_one_class_is_also_what_python_expects() -> None:
    """except ValueError, KeyError, IndexError and TypeError work as people write them."""
    assert issubclass(errors.ValuesError, ValueError) and issubclass(FormulaError, ValueError)
    assert issubclass(DtypeError, TypeError) and issubclass(IndexOutOfRange, IndexError)
    with pytest.raises(KeyError):
        LINE.gradient["slope"]


# ============================================================================================= the user's arrays


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"y": np.array([1.0, np.nan])}, id="nan"),
        pytest.param({"y": np.array([1.0])}, id="length"),
        pytest.param({"y": np.ones(2) * 1j}, id="complex"),
        pytest.param({"y": np.array([1, "a"], dtype=object)}, id="objects"),
        pytest.param({"extra": np.ones(2)}, id="unknown key"),
        pytest.param({}, id="nothing wrong"),
    ],
)
@pytest.mark.parametrize("call", ["forward", "backward", "predict", "fit"])
def test_arrays_are_left_alone(call: str, broken: dict[str, Any]) -> None:
    data = {"x": np.array([1.0, 2.0]), "y": np.array([0.5, 1.0]), **broken}
    parameters = {"a": np.array(0.25), "b": np.array(-1.0)}
    before = {name: (array, array.copy()) for name, array in {**data, **parameters}.items()}
    asks: dict[str, Ask] = {
        "forward": lambda: LINE.forward({**data, **parameters}),
        "backward": lambda: LINE.backward({**data, **parameters}),
        "predict": lambda: LINE.predict(data, parameters),
        "fit": lambda: LINE.fit(data, start=parameters, epochs=3, batch_size=1, optimizer=sm.sgd(0.1), verbose=False),
    }
    with contextlib.suppress(errors.ValuesError):
        asks[call]()
    for name, (array, copy) in before.items():
        assert array.dtype == copy.dtype and array.shape == copy.shape, name
        np.testing.assert_array_equal(array, copy, err_msg=name)


def test_read_only_and_strided_arrays_are_read() -> None:
    strided = np.arange(8.0)[::2]
    strided.flags.writeable = False
    values = {"x": strided, "y": strided[::-1], "a": 2.0, "b": 1.0}
    expected = ((2 * strided + 1 - strided[::-1]) ** 2).mean()
    np.testing.assert_allclose(LINE.forward(values), expected, rtol=1e-15)
