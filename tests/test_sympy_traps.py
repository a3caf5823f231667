"""What SymPy 1.14 gets wrong, refuses or distorts: every trap comes out right here, or as an error with a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from truth import complex_step

import sympile as sm
from sympile.compiler.errors import (
    DuplicateName,
    FormulaError,
    MissingValue,
    NonScalarLoss,
    ShapeError,
    UnknownFunction,
    UnsupportedNode,
)

n, m, k = sp.symbols("n m k")
x, y, u, v, s, p = sp.symbols("x y u v s p")
i, j, l = sp.symbols("i j l")
A, B = sp.MatrixSymbol("A", n, n), sp.MatrixSymbol("B", n, n)
A3, B3 = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("B", 3, 3)
X, w, yv = sp.MatrixSymbol("X", n, m), sp.MatrixSymbol("w", m, 1), sp.MatrixSymbol("y", n, 1)
a = sp.MatrixSymbol("a", n, 1)
Wi, Xi, Yi = sp.IndexedBase("w"), sp.IndexedBase("X"), sp.IndexedBase("y")

RNG = np.random.default_rng(11)
VALUES: Mapping[str, Any] = {
    "A": RNG.normal(size=(3, 3)) + 3 * np.eye(3), "B": RNG.normal(size=(3, 3)), "X": RNG.normal(size=(3, 2)),
    "w": RNG.normal(size=(2, 1)), "y": RNG.normal(size=(3, 1)), "a": RNG.normal(size=(3, 1)), "x": 0.7, "s": 1.3,
}  # fmt: skip


def trace(matrix: Any) -> Any:
    return np.trace(matrix)


def kernel(p: Mapping[str, Any]) -> Any:
    return p["x"] * p["A"] + p["s"] * np.eye(3)


# ============================================================================================= values of gradients

# fmt: off
RIGHT = [
    #            loss, by what, gradient as text ("" where only its values matter), the loss in NumPy
    pytest.param(((X * w - yv).T * (X * w - yv))[0, 0], w, "2*X.T*(X*w - y)",
                 lambda p: ((p["X"] @ p["w"] - p["y"]) ** 2).sum(), id="1: element of a product, SymPy 0"),
    pytest.param(sp.log(sp.Determinant(A)), A, "inv(A).T", lambda p: np.log(np.linalg.det(p["A"])), id="2: log det, SymPy 0"),
    pytest.param(2 * sp.Determinant(A), A, "2*det(A)*inv(A).T", lambda p: 2 * np.linalg.det(p["A"]), id="2: 2 det, SymPy 0"),
    pytest.param(sp.Determinant(A), A, "det(A)*inv(A).T", lambda p: np.linalg.det(p["A"]), id="2: det, SymPy unevaluated"),
    pytest.param(sp.Trace(A.T * A) + sp.Trace(A * B), A, "2*A + B.T", lambda p: (p["A"] ** 2).sum() + trace(p["A"] @ p["B"]),
                 id="3: sum of traces, SymPy 0"),
    pytest.param(x + sp.Trace(A.T * A), A, "2*A", lambda p: p["x"] + (p["A"] ** 2).sum(), id="3: scalar plus trace, SymPy 0"),
    pytest.param((yv.T * A.I * yv)[0, 0] + sp.log(sp.Determinant(A)), A, "",
                 lambda p: (p["y"].T @ np.linalg.solve(p["A"], p["y"]))[0, 0] + np.log(np.linalg.det(p["A"])), id="4: evidence, SymPy 0"),
    pytest.param(sp.log(sp.Trace(A * A.T)), A, "", lambda p: np.log((p["A"] ** 2).sum()), id="5: log of a trace, SymPy 0"),
    pytest.param(sp.exp((a.T * A * a)[0, 0] / 9), a, "", lambda p: np.exp((p["a"].T @ p["A"] @ p["a"])[0, 0] / 9), id="5: exp of a form, SymPy 0"),
    pytest.param(sp.Trace(A**3), A, "3*A.T*A.T", lambda p: trace(p["A"] @ p["A"] @ p["A"]), id="6: power, SymPy elementwise"),
    pytest.param(sp.Trace(A**-2), A, "", lambda p: trace(np.linalg.inv(p["A"] @ p["A"])), id="6: negative power"),
    pytest.param(A3[0, 1] * A3[0, 1], A3, "", lambda p: p["A"][0, 1] ** 2, id="7: element, SymPy 0"),
    pytest.param(sp.Sum(A[i, j]**2, (i, 0, n - 1), (j, 0, n - 1)), A, "2*A", lambda p: (p["A"] ** 2).sum(), id="7: sum of elements, SymPy 0"),
    pytest.param(sm.sum(sm.where(x > 0, A, B), axis=None), A, "", lambda p: p["A"].sum(), id="7: choice of matrices by sm.where"),
    pytest.param(sp.sqrt(sp.Trace(A.T * A)), A, "", lambda p: np.sqrt((p["A"] ** 2).sum()), id="8: Frobenius norm, SymPy TypeError"),
    pytest.param(sp.Trace(sp.DiagMatrix(a) * A), a, "diagonal(A)", lambda p: trace(np.diag(p["a"][:, 0]) @ p["A"]), id="9: DiagMatrix, SymPy RecursionError"),
    pytest.param(sm.sum(sp.DiagonalOf(A)), A, "I", lambda p: trace(p["A"]), id="9: DiagonalOf, SymPy RecursionError"),
    pytest.param(sp.Trace(A3[:2, :2] * B3[1:, 1:]), A3, "", lambda p: trace(p["A"][:2, :2] @ p["B"][1:, 1:]), id="9: slices, SymPy RecursionError"),
    pytest.param(sp.Trace(sp.KroneckerProduct(A3, B3)), A3, "", lambda p: trace(np.kron(p["A"], p["B"])), id="10: Kronecker product, SymPy AttributeError"),
    pytest.param(sp.OneMatrix(1, n) * (X * w).applyfunc(sp.sin), w, "X.T*cos(X*w)", lambda p: np.sin(p["X"] @ p["w"]).sum(),
                 id="11: 1ᵀ sin(Xw), SymPy a SyntaxError"),
    pytest.param(sp.OneMatrix(1, n) * sp.HadamardProduct(A, B) * sp.OneMatrix(n, 1), A, "B", lambda p: (p["A"] * p["B"]).sum(), id="12: 1ᵀ(A∘B)1"),
    pytest.param(sm.dot(sp.HadamardProduct(a.applyfunc(sp.exp), sp.HadamardPower(sp.OneMatrix(n, n) * a.applyfunc(sp.exp), -1)), yv), a, "",
                 lambda p: (np.exp(p["a"]) / np.exp(p["a"]).sum() * p["y"]).sum(), id="12: softmax by HadamardPower, SymPy ValueError"),
    pytest.param(sm.scalar(yv.T * (x * A + s * sp.Identity(n)).I * yv), s, "",
                 lambda p: (p["y"].T @ np.linalg.solve(kernel(p), p["y"]))[0, 0], id="13: scalar in a kernel, SymPy TypeError"),
    pytest.param(sp.DotProduct(a, a), a, "2*a", lambda p: (p["a"] ** 2).sum(), id="14: DotProduct, SymPy unevaluated"),
    pytest.param(sp.Trace(X.T * X / n), X, "2*X/n", lambda p: (p["X"] ** 2).sum() / 3, id="42: a size in the formula"),
    pytest.param(sp.Trace((s * A.T).T), A, "s*I", lambda p: p["s"] * trace(p["A"]), id="19: a transpose under a trace"),
]
# fmt: on


def name_of(symbol: Any) -> str:
    return str(getattr(symbol, "label", symbol))


def arguments(loss: Any) -> list[Any]:
    found = {name_of(symbol): symbol for symbol in sorted(loss.free_symbols, key=str) if name_of(symbol) in VALUES}
    return list(found.values())


@pytest.mark.parametrize(("loss", "wrt", "text", "value"), RIGHT)
def test_gradient(loss: Any, wrt: Any, text: str, value: Callable[[Mapping[str, Any]], Any]) -> None:
    symbols = arguments(loss)
    values = {name_of(symbol): VALUES[name_of(symbol)] for symbol in symbols}
    gradient = sm.grad(loss, wrt)
    if text:
        assert str(gradient) == text
    expected = complex_step(value, VALUES, name_of(wrt))
    found = sm.lambdify(symbols, gradient)(*values.values())
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    model = sm.compile(loss, parameters=[wrt], constants=[each for each in symbols if each != wrt])
    np.testing.assert_allclose(model.backward(values)[wrt], expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(model.forward(values), value(VALUES), rtol=1e-12)


def test_19_equal_traces_are_one() -> None:
    """Trace(A.T) and Trace(A) are one formula to us."""
    one, other = (sm.value_and_grad(sp.Trace(each), A)[0].definition for each in (A, A.T))
    assert one is other


def test_20_bound_variable_is_not_captured() -> None:
    """SymPy's derivative by w[j] inside the sum over j is a sum; ours has an index of its own."""
    assert str(sm.grad(sp.Sum(Wi[j] ** 2, (j, 0, n - 1)), Wi)) == "d/dw[i] = 2*w[i]"


def test_21_least_squares_in_indices() -> None:
    loss = sp.Sum((Yi[i] - sp.Sum(Xi[i, j] * Wi[j], (j, 0, m - 1))) ** 2, (i, 0, n - 1))
    gradient = sm.grad(loss, Wi)
    assert "KroneckerDelta" not in str(gradient) and "Piecewise" not in str(gradient)
    X, w, y = (VALUES[name] for name in "Xwy")
    found = sm.lambdify([Xi, Wi, Yi], gradient)(X, w[:, 0], y[:, 0])
    np.testing.assert_allclose(found, (2 * X.T @ (X @ w - y))[:, 0], rtol=1e-12)


def test_20_one_name_bound_twice() -> None:
    """The innermost binder of an index wins."""
    loss = sp.Sum(Wi[j] * sp.Sum(Wi[j] ** 2, (j, 0, n - 1)), (j, 0, n - 1))
    at = np.array([0.5, -1.0, 2.0])
    expected = (at**2).sum() + 2 * at * at.sum()
    np.testing.assert_allclose(sm.lambdify([Wi], sm.grad(loss, Wi))(at), expected, rtol=1e-14)


def test_24_sum_is_native() -> None:
    found = sm.lambdify([Xi, Wi], sp.Sum(Xi[i, j] * Wi[j], (j, 0, m - 1), (i, 0, n - 1)))(
        VALUES["X"], VALUES["w"][:, 0]
    )
    np.testing.assert_allclose(found, (VALUES["X"] @ VALUES["w"]).sum(), rtol=1e-13)


def test_28_many_terms() -> None:
    """A sum of 3,000 terms is no matter once SymPy has it."""
    symbols = sp.symbols("q:3000")
    values = np.linspace(-1, 1, 3000)
    model = sm.compile(sp.Add(*[sp.sin(each) for each in symbols]), parameters=symbols)
    gradient = model.backward(dict(zip(symbols, values, strict=True)))
    np.testing.assert_allclose([gradient[each] for each in symbols[::500]], np.cos(values[::500]), rtol=1e-14)


# ============================================================================================= conventions at 0

# fmt: off
AT_ZERO = [
    pytest.param(sp.Max(0, x),                                             0.0, id="30: Max(0, x), SymPy one half"),
    pytest.param(sp.Max(x, 0),                                             0.0, id="30: Max(x, 0)"),
    pytest.param(sp.Min(x, 0),                                             0.5, id="Min at a tie: one half each"),
    pytest.param(sp.Max(x, 2 * x),                                         1.5, id="Max at a tie: one half each"),
    pytest.param(sp.Abs(x),                                                0.0, id="32: Abs, SymPy Derivative(re(x))"),
    pytest.param(sp.sign(x),                                               0.0, id="30: sign, SymPy DiracDelta"),
    pytest.param(sp.sqrt(x**2),                                            0.0, id="32: sqrt of a square"),
    pytest.param(sp.Piecewise((sp.sqrt(x), x > 0), (0, True)),             0.0, id="an untaken branch adds no nan"),
    pytest.param(sp.Piecewise((sp.log(x), x > 0), (x, True)),              1.0, id="the branch taken"),
    pytest.param(sp.Heaviside(x),                                          0.0, id="Heaviside"),
    pytest.param(sp.floor(x) * x,                                          0.0, id="31: floor, SymPy Derivative(floor)"),
    pytest.param(sp.ceiling(x) + x,                                        1.0, id="31: ceiling"),
    pytest.param(sp.Mod(x + 1, 3),                                         1.0, id="31: Mod"),
    pytest.param(sp.sinc(x),                                               0.0, id="33: sinc, SymPy nan"),
    pytest.param(x**2,                                                     0.0, id="33: a power, SymPy 2*x**2/x"),
    pytest.param(sp.Abs(sp.exp(x)),                                        1.0, id="32: SymPy's exp(re(x))"),
    pytest.param(sm.relu(x),                                               0.0, id="relu"),
    pytest.param(sm.leaky_relu(x),                                         0.01, id="leaky_relu: from the left"),
    pytest.param(sm.hard_tanh(x - 1),                                      0.0, id="hard_tanh at -1: from the left"),
    pytest.param(sm.elu(x),                                                1.0, id="elu"),
]
# fmt: on


@pytest.mark.parametrize(("formula", "slope"), AT_ZERO)
def test_slope_at_zero(formula: Any, slope: float) -> None:
    found = sm.lambdify([x], sm.grad(formula, x))(0.0)
    assert found == slope
    assert sm.compile(formula, parameters=x).backward({x: 0.0})[x] == slope


def test_30_second_derivative_of_a_kink_is_zero() -> None:
    second = sm.grad(sm.grad(sp.Max(0, v), v), v)
    np.testing.assert_array_equal(sm.lambdify([v], second)(np.array([-1.0, 0.0, 1.0])), 0.0)


@pytest.mark.parametrize(
    ("formula", "at", "slope"),
    [
        pytest.param(1 / (1 + sp.exp(-v)), -1000.0, 0.0, id="logistic at -1000"),
        pytest.param(1 / (1 + sp.exp(-v)), 1000.0, 0.0, id="logistic at 1000"),
        pytest.param(sp.log(1 + sp.exp(v)), 1000.0, 1.0, id="log(1 + exp) at 1000"),
        pytest.param(sp.log(1 + sp.exp(v)), -1000.0, 0.0, id="log(1 + exp) at -1000"),
    ],
)
def test_33_steady_where_sympy_is_not(formula: Any, at: float, slope: float) -> None:
    assert sm.lambdify([v], sm.grad(formula, v))(at) == slope


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(1.0 * v, v, id="1.0*v is v"),
        pytest.param(v**0.5, sp.sqrt(v), id="v**0.5 is sqrt(v)"),
        pytest.param(2 * (v + u), 2 * v + 2 * u, id="2(v + u)"),
        pytest.param(sp.exp(v) ** 2 / sp.exp(v), sp.exp(v), id="exp"),
    ],
)
def test_34_one_meaning_is_one_object(one: Any, other: Any) -> None:
    assert sm.value_and_grad(one, v)[0].definition is sm.value_and_grad(other, v)[0].definition


def test_zero_norm_has_slope_zero() -> None:
    column = sp.MatrixSymbol("z", 3, 1)
    np.testing.assert_array_equal(
        sm.lambdify([column], sm.grad(sm.norm(column), column))(np.zeros((3, 1))), np.zeros((3, 1))
    )


def test_maximum_is_shared_at_ties() -> None:
    column = sp.MatrixSymbol("z", 4, 1)
    found = sm.lambdify([column], sm.grad(sm.max(column), column))(np.array([1.0, 3.0, 3.0, 0.0]))
    np.testing.assert_array_equal(found[:, 0], [0, 0.5, 0.5, 0])


# ============================================================================================= errors with a name

real_x = sp.Symbol("x", real=True)
Q, whole = sp.IndexedBase("Q", shape=(2, 3)), sp.IndexedBase("X", shape=(3,))
narrow = sp.MatrixSymbol("w", k, 1)

# fmt: off
REFUSED = [
    #            what is asked, error, a word of the message
    pytest.param(lambda: sm.grad(sp.Trace(A**k), A),                           UnsupportedNode, "power k",              id="6: symbolic power"),
    pytest.param(lambda: sm.grad(sp.Trace(A**sp.Rational(1, 2)), A),           UnsupportedNode, "power 1/2",            id="6: matrix square root"),
    pytest.param(lambda: sm.sum(sp.Piecewise((A, x > 0), (B, True))),          UnsupportedNode, "where(condition",      id="7: choice of matrices"),
    pytest.param(lambda: sm.grad(sm.sum(X * narrow), narrow),                  ShapeError, "(n, m) times (k, 1)",       id="15: product that SymPy lets through"),
    pytest.param(lambda: sm.grad(sp.Trace(A + sp.MatrixSymbol("C", m, m)), A), (ShapeError, sp.ShapeError, ValueError), "", id="15: sum that SymPy lets through"),
    pytest.param(lambda: sm.grad(sp.exp(A), A),                                UnsupportedNode, "sympile.exp",          id="17: exp of a matrix"),
    pytest.param(lambda: sm.grad(x * sp.sin(A), x),                            UnsupportedNode, "for each entry",       id="17: sin of a matrix"),
    pytest.param(lambda: sm.sum(np.float64(2) * A3),                           UnsupportedNode, "array of objects",     id="18: NumPy scalar times a matrix"),
    pytest.param(lambda: sm.compile(np.ones((3, 3)) @ A3, parameters=A3),      UnsupportedNode, "",                     id="18: array times a matrix"),
    pytest.param(lambda: sm.grad(Q[5, 7] ** 2, Q),                             ShapeError, "position 5",                id="23: element outside"),
    pytest.param(lambda: sm.grad(Q[1] ** 2, Q),                                (ShapeError, sp.tensor.indexed.IndexException), "", id="23: too few indices"),
    pytest.param(lambda: sm.grad(sp.zeta(v), v),                               UnknownFunction, "zeta",                 id="31: zeta"),
    pytest.param(lambda: sm.grad(sp.besselj(p, v), p),                         UnknownFunction, "besselj",              id="31: besselj in its order"),
    pytest.param(lambda: sm.grad(sp.uppergamma(p, v), p),                      UnknownFunction, "uppergamma",           id="31: uppergamma"),
    pytest.param(lambda: sm.grad(sp.Function("f")(v), v),                      UnknownFunction, "f",                    id="31: an undefined function"),
    pytest.param(lambda: sm.grad(sp.DiracDelta(v), v),                         UnknownFunction, "DiracDelta",           id="30: DiracDelta"),
    pytest.param(lambda: sm.grad(sp.Derivative(sp.Function("f")(v), v), v),    UnsupportedNode, "Derivative",           id="31: an unevaluated derivative"),
    pytest.param(lambda: sm.grad(sp.Integral(sp.sin(v * u), (u, 0, 1)), v),    UnsupportedNode, "Integral",             id="an integral"),
    pytest.param(lambda: sm.grad(sp.I * v, v),                                 UnsupportedNode, "ImaginaryUnit",        id="a complex number"),
    pytest.param(lambda: sm.grad(real_x**2, x),                                DuplicateName, "real=True",              id="32: two symbols x, SymPy 0"),
    pytest.param(lambda: sm.grad(real_x**2 + x, x),                            DuplicateName, "real=True",              id="32: two symbols x in one formula"),
    pytest.param(lambda: sm.compile(real_x**2 + y, parameters=[x]),            DuplicateName, "real=True",              id="32: another symbol x as parameter"),
    pytest.param(lambda: sm.grad(v > 0, v),                                    NonScalarLoss, "true or false",          id="a relation"),
    pytest.param(lambda: sm.compile(sp.Eq(v, u), parameters=v),                NonScalarLoss, "true or false",          id="a relation as loss"),
    pytest.param(lambda: sm.lambdify([x], x + y),                              MissingValue, "'y'",                     id="35: missing argument, SymPy returns y + 1.0"),
    pytest.param(lambda: sm.grad(sp.Trace(sp.Abs(A3)), A3),                    UnsupportedNode, "sympile.abs",          id="40: Abs of a matrix"),
    pytest.param(lambda: sm.grad(sp.tanh(whole), whole),                       FormulaError, "X",                       id="41: function of a whole base"),
    pytest.param(lambda: sm.grad(whole * x, whole),                            FormulaError, "without indices",         id="41: product of a whole base"),
]
# fmt: on


@pytest.mark.parametrize(("ask", "error", "word"), REFUSED)
def test_refused(ask: Callable[[], Any], error: Any, word: str) -> None:
    with pytest.raises(error) as caught:
        ask()
    assert word in str(caught.value)


def test_29_deep_formulas() -> None:
    """As deep as SymPy can build it, far beyond what its own diff and lambdify can walk; test_big_formulas goes further."""
    deep = x
    for _ in range(120):
        deep = sp.sin(deep) + 1
    gradient = sm.compile(deep, parameters=x).backward({x: 0.3})[x]
    value, slope = 0.3, 1.0
    for _ in range(120):
        value, slope = np.sin(value) + 1, np.cos(value) * slope
    np.testing.assert_allclose(gradient, slope, rtol=1e-9)


def test_35_lambdify_knows_matrices() -> None:
    """Trace, Determinant, HadamardPower and applyfunc, which SymPy's NumPy printer refuses."""
    expressions = [sp.Trace(A3), sp.Determinant(A3), sp.HadamardPower(A3, 2), A3.applyfunc(sp.sin), A3.I]
    at = VALUES["A"]
    expected = [np.trace(at), np.linalg.det(at), at**2, np.sin(at), np.linalg.inv(at)]
    for found, exact in zip(sm.lambdify([A3], expressions)(at), expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-13, atol=1e-14)
