"""Names that users of other libraries look for: those that there are, by value and slope; for the others, what to write."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import ArgumentError, ShapeError
from sympile.compiler.language.elsewhere import INSTEAD

u, s = sp.symbols("u s")
x, r = sp.MatrixSymbol("x", 4, 1), sp.MatrixSymbol("r", 1, 3)
A, S = sp.MatrixSymbol("A", 2, 3), sp.MatrixSymbol("S", 3, 3)
X, T, v = sm.Tensor("X", (2, 3)), sm.Tensor("T", (2, 3, 3)), sm.Tensor("v", (3,))
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(2, 3))
SQUARE = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
SQUARES = RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
ROW = RNG.uniform(1, 2, size=(1, 3))

# ------------------------------------------------------------------------------------- functions of one number


def relu6(z: Any) -> Any:
    return min(max(z, mpmath.mpf(0)), mpmath.mpf(6))


def softplus(z: Any) -> Any:
    return mpmath.log1p(mpmath.exp(z)) if z < 50 else z + mpmath.log1p(mpmath.exp(-z))


# fmt: off
FUNCTIONS: dict[str, tuple[Any, Any]] = {  # name: ours, exact
    "log2":         (sm.log2,         lambda z: mpmath.log(z) / mpmath.log(2)),
    "log10":        (sm.log10,        lambda z: mpmath.log(z) / mpmath.log(10)),
    "asinh":        (sm.asinh,        mpmath.asinh),
    "acosh":        (sm.acosh,        mpmath.acosh),
    "atanh":        (sm.atanh,        mpmath.atanh),
    "floor":        (sm.floor,        mpmath.floor),
    "ceiling":      (sm.ceiling,      mpmath.ceil),
    "log_cosh":     (sm.log_cosh,     lambda z: abs(z) + mpmath.log1p(mpmath.expm1(-2 * abs(z)) / 2)),
    "log_sigmoid":  (sm.log_sigmoid,  lambda z: -softplus(-z)),
    "mish":         (sm.mish,         lambda z: z * mpmath.tanh(softplus(z))),
    "softsign":     (sm.softsign,     lambda z: z / (1 + abs(z))),
    "relu6":        (sm.relu6,        relu6),
    "hard_sigmoid": (sm.hard_sigmoid, lambda z: relu6(z + 3) / 6),
    "hard_silu":    (sm.hard_silu,    lambda z: z * relu6(z + 3) / 6),
    "square":       (sm.square,       lambda z: z**2),
    "power":        (lambda z: sm.power(z, 3), lambda z: z**3),
    "clip":         (lambda z: sm.clip(z, -1, 2.5), lambda z: min(max(z, mpmath.mpf(-1)), mpmath.mpf(2.5))),
    "elu":          (lambda z: sm.elu(z, 0.5), lambda z: z if z > 0 else mpmath.expm1(z) / 2),
    "gelu":         (lambda z: sm.gelu(z, approximate=True),
                     lambda z: z * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3))) / 2),
    "atan2":        (lambda z: sm.atan2(z, 2), lambda z: mpmath.atan2(z, 2)),
}
PLACES = {"log2": (0.01, 0.7, 3.0, 1e9), "log10": (0.01, 0.7, 3.0, 1e9), "acosh": (1.1, 2.0, 1e9), "atanh": (-0.9, 1e-9, 0.3)}
EVERYWHERE = (-800.5, -30.25, -2.9, -0.75, -1e-9, 1e-9, 0.3, 0.99, 1.01, 2.4, 7.5, 40.25, 1e4 + 0.5)
CANCELS = {"gelu": 1e-9, "mish": 1e-9}  # where a slope crosses 0, and large numbers are taken from each other
# fmt: on


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_slopes(name: str) -> None:
    """Each number to its own relative accuracy; where the true value underflows, it is as small."""
    ours, exact = FUNCTIONS[name]
    points = np.array(PLACES.get(name, EVERYWHERE))
    values, slopes = sm.lambdify(u, [ours(u), sm.grad(ours(u), u)])(points)
    with mpmath.workdps(420):
        for point, value, slope in zip(points, values, slopes, strict=True):
            at = mpmath.mpf(float(point))
            want, rise = exact(at), mpmath.diff(exact, at, h=mpmath.mpf("1e-100"))
            assert abs(value - want) <= 1e-14 * abs(want) + 1e-307, (point, value, want)
            assert abs(slope - rise) <= CANCELS.get(name, 1e-13) * abs(rise) + 1e-307, (point, slope, rise)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_matrices_and_tensors(name: str) -> None:
    """The same numbers, entry by entry."""
    ours, _ = FUNCTIONS[name]
    points = np.array(PLACES.get(name, (-2.9, -0.75, 0.3, 2.4)))[:4]
    want = sm.lambdify(u, ours(u))(points)
    column, vector = sp.MatrixSymbol("c", len(points), 1), sm.Tensor("t", (len(points),))
    np.testing.assert_array_equal(sm.lambdify(column, ours(column))(points[:, None])[:, 0], want)
    np.testing.assert_array_equal(sm.lambdify(vector, ours(vector))(points), want)


@pytest.mark.parametrize(("ours", "at", "want"), [
    pytest.param(sm.log_cosh, 1e5, 1e5 - math.log(2), id="log_cosh does not overflow"),
    pytest.param(lambda z: sp.log(sp.cosh(z)), 1e5, 1e5 - math.log(2), id="nor does log(cosh(x)), as written"),
    pytest.param(lambda z: sp.log(sp.cosh(z)), 1e-9, 5e-19, id="which keeps its digits near 0"),
    pytest.param(lambda z: sp.log(3 * sp.cosh(z)), 1e5, 1e5 + math.log(1.5), id="nor with a factor"),
    pytest.param(sm.log_sigmoid, -1e5, -1e5, id="log_sigmoid does not underflow"),
    pytest.param(sm.softsign, math.inf, math.nan, id="inf/inf is nan, as written"),
])  # fmt: skip
def test_at_the_ends(ours: Any, at: float, want: float) -> None:
    assert float(sm.lambdify(u, ours(u))(at)) == pytest.approx(want, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(("ours", "at", "want"), [
    pytest.param(sm.relu6, 0.0, 0.0, id="relu6'(0) = 0"),
    pytest.param(sm.relu6, 6.0, 0.5, id="relu6'(6): a tie"),
    pytest.param(lambda z: sm.clip(z, 0, 1), 1.0, 0.5, id="clip at a bound: a tie"),
    pytest.param(sm.softsign, 0.0, 1.0, id="softsign has no kink"),
    pytest.param(lambda z: sm.elu(z, 0.5), 0.0, 0.5, id="elu with alpha: from the left"),
])  # fmt: skip
def test_kinks(ours: Any, at: float, want: float) -> None:
    assert float(sm.lambdify(u, sm.grad(ours(u), u))(at)) == want


# -------------------------------------------------------------------------------------- of whole arrays: NumPy

# fmt: off
OF_ARRAYS = [
    #            symbols and values,        ours,                                      NumPy
    pytest.param({A: NUMBERS, r: ROW},      sm.multiply(A, r),                         NUMBERS * ROW, id="a row is repeated"),
    pytest.param({A: NUMBERS, r: ROW},      sm.divide(A, r),                           NUMBERS / ROW, id="a quotient by a row"),
    pytest.param({A: NUMBERS},              sm.divide(1, A),                           1 / NUMBERS, id="one over each"),
    pytest.param({A: NUMBERS},              sm.divide(A, A),                           NUMBERS / NUMBERS, id="each by each"),
    pytest.param({A: NUMBERS},              sm.power(2, A),                            2**NUMBERS, id="a number to each"),
    pytest.param({A: NUMBERS, X: NUMBERS},  sm.multiply(A, X),                         NUMBERS**2, id="a matrix beside a tensor"),
    pytest.param({X: NUMBERS},              sm.var(X, axis=0),                         NUMBERS.var(0), id="variance of columns"),
    pytest.param({X: NUMBERS},              sm.var(X, axis=None, ddof=1),              NUMBERS.var(ddof=1), id="unbiased"),
    pytest.param({A: NUMBERS},              sm.var(A),                                 NUMBERS.var(1, keepdims=True), id="variance of rows"),
    pytest.param({A: NUMBERS},              sm.std(A, axis=0),                         NUMBERS.std(0, keepdims=True), id="deviation of columns"),
    pytest.param({T: SQUARES},              sm.std(T, axis=(1, 2)),                    SQUARES.std((1, 2)), id="over two axes"),
    pytest.param({S: SQUARE},               sm.det(S),                                 np.linalg.det(SQUARE), id="determinant"),
    pytest.param({T: SQUARES},              sm.det(T),                                 np.linalg.det(SQUARES), id="of two matrices"),
    pytest.param({T: SQUARES},              sm.inv(T),                                 np.linalg.inv(SQUARES), id="inverses"),
    pytest.param({T: SQUARES},              sm.logdet(T),                              np.linalg.slogdet(SQUARES)[1], id="logarithms"),
    pytest.param({T: SQUARES},              sm.grad(sm.logdet(T).sum(), T),            np.linalg.inv(SQUARES).transpose(0, 2, 1), id="their slope"),
    pytest.param({S: SQUARE, v: ROW[0]},    sm.solve(S, v),                            np.linalg.solve(SQUARE, ROW[0]), id="a system"),
    pytest.param({S: SQUARE, v: ROW[0]},    sm.grad(sm.solve(S, v).sum(), v),          np.linalg.inv(SQUARE).sum(0), id="its slope"),
]
# fmt: on


@pytest.mark.parametrize(("values", "ours", "want"), OF_ARRAYS)
def test_against_numpy(values: dict[Any, Any], ours: Any, want: Any) -> None:
    np.testing.assert_allclose(sm.lambdify(list(values), ours)(*values.values()), want, rtol=1e-12)


def test_deviation_of_equal_numbers_has_slope_0() -> None:
    np.testing.assert_array_equal(sm.lambdify(x, sm.grad(sm.std(x), x))(np.ones((4, 1))), 0)


@pytest.mark.parametrize(("ask", "error"), [
    pytest.param(lambda: sm.det(A), ShapeError, id="not square"),
    pytest.param(lambda: sm.inv(v), ShapeError, id="a vector"),
    pytest.param(lambda: sm.solve(S, r), ShapeError, id="a row"),
    pytest.param(lambda: sm.multiply(A, S), ShapeError, id="two shapes"),
    pytest.param(lambda: sm.var(x, ddof=4), ArgumentError, id="nothing to divide by"),
])  # fmt: skip
def test_refused(ask: Any, error: Any) -> None:
    with pytest.raises(error):
        ask()


# ------------------------------------------------------------------------------------- how they are written

# fmt: off
@pytest.mark.parametrize(("expression", "text"), [
    pytest.param(sm.var(x),                        "mean(HadamardPower(x - mean(x), 2))", id="variance"),
    pytest.param(sm.var(X, axis=0),                "mean((X - mean(X, axis=0, keepdims=True))**2, axis=0)", id="of a tensor"),
    pytest.param(sm.grad(sm.logdet(sm.Tensor("K", (3, 3))), sm.Tensor("K", (3, 3))), "d/dK[i, j] = inv(K)[j, i]", id="inverse of a tensor"),
    pytest.param(sm.grad(sm.solve(sm.Tensor("K", (3, 3)), v).sum(), v), "d/dv[i] = (inv(K.T) @ [1 for j < 3])[i]", id="a transposed system"),
    pytest.param(sm.grad(sm.log_cosh(u), u),       "tanh(u)", id="log cosh"),
    pytest.param(sm.grad(sm.log_sigmoid(u), u),    "sigmoid(-u)", id="log sigmoid"),
])
def test_written(expression: Any, text: str) -> None:
    assert str(expression) == text
# fmt: on


# ------------------------------------------------------------------------------------- names that there are not


def sandbox() -> dict[str, Any]:
    i, j, k = sm.indices("i j k")
    y, p = (sp.MatrixSymbol(name, 3, 1) for name in "yp")
    return {"sm": sm, "sp": sp, "x": sp.MatrixSymbol("x", 3, 1), "y": y, "p": p, "A": S, "s": s, "c": sp.Symbol("c"),
            "i": i, "j": j, "k": k}  # fmt: skip


@pytest.mark.parametrize("name", INSTEAD)
def test_what_a_message_says_can_be_written(name: str) -> None:
    """It runs; and where it is a formula, it compiles and has a derivative."""
    with pytest.raises(AttributeError, match="write ") as caught:
        getattr(sm, name)
    code = str(caught.value).split("; write ", 1)[1]
    assert code == INSTEAD[name]
    made = eval(code, sandbox())
    given = sorted(getattr(made, "free_symbols", set()) - {sp.Symbol("c")}, key=str)
    if isinstance(made, sp.Expr) and sp.Symbol("c") not in made.free_symbols and given:
        sm.grad(sm.sum(made, axis=None), given[0])


@pytest.mark.parametrize(("name", "words"), [
    pytest.param("LogSigmoid", "did you mean log_sigmoid?", id="a class of PyTorch"),
    pytest.param("CrossEntropyLoss", "did you mean cross_entropy?", id="a loss of PyTorch"),
    pytest.param("Adam", "did you mean adam?", id="a class of Keras"),
    pytest.param("Hardswish", "write sm.hard_silu(x)", id="an alias in capitals"),
    pytest.param("compil", "did you mean compile?", id="a letter is missing"),
    pytest.param("MatrixSymbol", "write sympy.MatrixSymbol", id="SymPy's own"),
    pytest.param("linspace", "docs/api.md", id="nothing like it"),
])  # fmt: skip
def test_messages(name: str, words: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(sm, name)
    assert words in str(caught.value)


def test_machines_ask_quietly() -> None:
    with pytest.raises(AttributeError, match="has no attribute '_repr_html_'"):
        sm._repr_html_  # noqa: B018
    assert not hasattr(sm, "__wrapped__")


def test_no_alias_hides_a_name() -> None:
    assert set(INSTEAD).isdisjoint(sm.__all__)
