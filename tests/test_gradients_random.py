"""Random scalar formulas: values, gradients and second derivatives agree with mpmath at 50 digits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from drawing import FEW, MANY, TOO_LARGE, assert_near
from hypothesis import assume, currently_in_test_context, given
from hypothesis import strategies as st

import sympile as sm

DIGITS = 50


@dataclass(frozen=True)
class Operation:
    """One way to make a formula of formulas: in SymPy, and in mpmath."""

    arity: int
    write: Callable[..., Any]
    value: Callable[..., Any]


def _tame(a: Any) -> Any:
    """Between -1/2 and 1/2."""
    return a / (1 + a * a)


def _sigmoid(a: Any) -> Any:
    return 1 / (1 + mpmath.exp(-a))


def _gelu(a: Any) -> Any:
    return a * (1 + mpmath.erf(a / mpmath.sqrt(2))) / 2


def _selu(a: Any) -> Any:
    scale, alpha = mpmath.mpf("1.0507009873554804934193349852946"), mpmath.mpf("1.6732632423543772848170429916717")
    return scale * (a if a > 0 else alpha * mpmath.expm1(a))


# fmt: off
OPERATIONS: Mapping[str, Operation] = {
    #                arity  SymPy                                                          mpmath
    "add":       Operation(2, lambda a, b: a + b,                                          lambda a, b: a + b),
    "sub":       Operation(2, lambda a, b: a - b,                                          lambda a, b: a - b),
    "mul":       Operation(2, lambda a, b: a * b,                                          lambda a, b: a * b),
    "div":       Operation(2, lambda a, b: a / (1 + b**2),                                 lambda a, b: a / (1 + b**2)),
    "reciprocal": Operation(1, lambda a: (2 + sp.sin(a))**-1,                              lambda a: 1 / (2 + mpmath.sin(a))),
    "square":    Operation(1, lambda a: a**2,                                              lambda a: a**2),
    "cube":      Operation(1, lambda a: a**3,                                              lambda a: a**3),
    "root":      Operation(1, lambda a: sp.sqrt(1 + a**2),                                 lambda a: mpmath.sqrt(1 + a**2)),
    "root of square": Operation(1, lambda a: sp.sqrt(a**2),                                abs),
    "pow 5/2":   Operation(1, lambda a: (1 + a**2)**sp.Rational(5, 2),                     lambda a: (1 + a**2)**mpmath.mpf(2.5)),
    "pow -1.5":  Operation(1, lambda a: (1 + a**2)**-1.5,                                  lambda a: (1 + a**2)**mpmath.mpf(-1.5)),
    "power":     Operation(2, lambda a, b: (1 + a**2)**sp.tanh(b),                         lambda a, b: (1 + a**2)**mpmath.tanh(b)),
    "base 2":    Operation(1, lambda a: 2**a,                                              lambda a: mpmath.mpf(2)**a),
    "exp":       Operation(1, sp.exp,                                                      mpmath.exp),
    "log":       Operation(1, lambda a: sp.log(sp.Rational(1, 2) + a**2),                  lambda a: mpmath.log(mpmath.mpf(1) / 2 + a**2)),
    "log 1+exp": Operation(1, lambda a: sp.log(1 + sp.exp(a)),                             lambda a: mpmath.log(1 + mpmath.exp(a))),
    "log base":  Operation(1, lambda a: sp.log(1 + a**2, 3),                               lambda a: mpmath.log(1 + a**2, 3)),
    "log1p":     Operation(1, lambda a: sm.log1p(a**2),                                    lambda a: mpmath.log1p(a**2)),
    "expm1":     Operation(1, sm.expm1,                                                    mpmath.expm1),
    "sin":       Operation(1, sp.sin,                                                      mpmath.sin),
    "cos":       Operation(1, sp.cos,                                                      mpmath.cos),
    "tan":       Operation(1, sp.tan,                                                      mpmath.tan),
    "sec":       Operation(1, lambda a: sp.sec(_tame(a)),                                  lambda a: mpmath.sec(_tame(a))),
    "asin":      Operation(1, lambda a: sp.asin(_tame(a)),                                 lambda a: mpmath.asin(_tame(a))),
    "acos":      Operation(1, lambda a: sp.acos(_tame(a)),                                 lambda a: mpmath.acos(_tame(a))),
    "atan":      Operation(1, sp.atan,                                                     mpmath.atan),
    "atan2":     Operation(2, lambda a, b: sp.atan2(a, 1 + b**2),                          lambda a, b: mpmath.atan2(a, 1 + b**2)),
    "sinh":      Operation(1, sp.sinh,                                                     mpmath.sinh),
    "cosh":      Operation(1, sp.cosh,                                                     mpmath.cosh),
    "tanh":      Operation(1, sp.tanh,                                                     mpmath.tanh),
    "asinh":     Operation(1, sp.asinh,                                                    mpmath.asinh),
    "acosh":     Operation(1, lambda a: sp.acosh(2 + a**2),                                lambda a: mpmath.acosh(2 + a**2)),
    "atanh":     Operation(1, lambda a: sp.atanh(_tame(a)),                                lambda a: mpmath.atanh(_tame(a))),
    "erf":       Operation(1, sp.erf,                                                      mpmath.erf),
    "erfc":      Operation(1, sp.erfc,                                                     mpmath.erfc),
    "loggamma":  Operation(1, lambda a: sp.loggamma(2 + a**2),                             lambda a: mpmath.loggamma(2 + a**2)),
    "sigmoid":   Operation(1, sm.sigmoid,                                                  _sigmoid),
    "softplus":  Operation(1, sm.softplus,                                                 lambda a: mpmath.log1p(mpmath.exp(a))),
    "silu":      Operation(1, sm.silu,                                                     lambda a: a * _sigmoid(a)),
    "gelu":      Operation(1, sm.gelu,                                                     _gelu),
    "selu":      Operation(1, sm.selu,                                                     _selu),
    "elu":       Operation(1, sm.elu,                                                      lambda a: a if a > 0 else mpmath.expm1(a)),
    "relu":      Operation(1, sm.relu,                                                     lambda a: max(a, mpmath.mpf(0))),
    "leaky":     Operation(1, lambda a: sm.leaky_relu(a, slope=sp.Rational(1, 8)),         lambda a: a if a > 0 else a / 8),
    "hard_tanh": Operation(1, sm.hard_tanh,                                                lambda a: min(max(a, mpmath.mpf(-1)), mpmath.mpf(1))),
    "abs":       Operation(1, sp.Abs,                                                      abs),
    "sign":      Operation(2, lambda a, b: sp.sign(a) * b,                                 lambda a, b: mpmath.sign(a) * b),
    "heaviside": Operation(2, lambda a, b: sp.Heaviside(a) * b,                            lambda a, b: b * (1 + mpmath.sign(a)) / 2),
    "floor":     Operation(2, lambda a, b: sp.floor(a) + b,                                lambda a, b: mpmath.floor(a) + b),
    "max":       Operation(2, sp.Max,                                                      max),
    "max of 3":  Operation(3, sp.Max,                                                      max),
    "min":       Operation(2, sp.Min,                                                      min),
    "branches":  Operation(3, lambda a, b, c: sp.Piecewise((a, b > c), (b * c, True)),     lambda a, b, c: a if b > c else b * c),
    "3 branches": Operation(3, lambda a, b, c: sp.Piecewise((a, (b > c) & (a < 1)), (b, a <= c), (c, True)),
                            lambda a, b, c: a if b > c and a < 1 else b if a <= c else c),
}
# fmt: on

x, y, z = SYMBOLS = sp.symbols("x y z")
Tree = tuple[Any, ...]


def trees() -> st.SearchStrategy[Tree]:
    leaves = st.one_of(
        st.sampled_from([("symbol", s.name) for s in SYMBOLS]),
        st.sampled_from([("symbol", s.name) for s in SYMBOLS]),
        st.sampled_from([("number", Fraction(n, d)) for n in (-3, -1, 1, 2) for d in (1, 2, 3)]),
    )
    return st.recursive(leaves, _grown, max_leaves=9)


def _grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.sampled_from(sorted(OPERATIONS)).flatmap(
        lambda name: st.tuples(st.just(name), *[inner] * OPERATIONS[name].arity)
    )


def written(tree: Tree) -> Any:
    if tree[0] == "symbol":
        return sp.Symbol(tree[1])
    if tree[0] == "number":
        return sp.Rational(tree[1].numerator, tree[1].denominator)
    return OPERATIONS[tree[0]].write(*[written(part) for part in tree[1:]])


def valued(tree: Tree, at: Mapping[str, Any], seen: list[Any]) -> Any:
    """The tree's value by mpmath; `seen` collects the size of every part."""
    if tree[0] == "symbol":
        return at[tree[1]]
    if tree[0] == "number":
        return mpmath.mpf(tree[1].numerator) / tree[1].denominator
    value = OPERATIONS[tree[0]].value(*[valued(part, at, seen) for part in tree[1:]])
    seen.append(abs(value))
    return value


def true_slope(tree: Tree, at: Mapping[str, Any], name: str) -> Any:
    """d tree / d name at 50 digits; None at a kink, where the two sides disagree."""
    step = mpmath.mpf(10) ** -15
    left, here, right = (valued(tree, {**at, name: at[name] + k * step}, []) for k in (-1, 0, 1))
    if abs((right - here) - (here - left)) > mpmath.mpf(10) ** -24:
        return None
    return (right - left) / (2 * step)


coordinates = st.integers(-64, 64).map(lambda n: n / 29.0)  # off the kinks of small rationals
points = st.fixed_dictionaries({s.name: coordinates for s in SYMBOLS})


def worth_judging(condition: bool) -> None:
    """Lets hypothesis draw another formula where this one is no judge; a formula of our own must be one."""
    if currently_in_test_context():
        assume(condition)
    else:
        assert condition


def judged(tree: Tree, point: Mapping[str, float]) -> dict[str, Any]:
    """Values and slopes of a tree that is worth judging here; hypothesis draws another one otherwise."""
    with mpmath.workdps(DIGITS):
        at = {name: mpmath.mpf(value) for name, value in point.items()}
        sizes: list[Any] = []
        value = valued(tree, at, sizes)
        worth_judging(all(mpmath.isfinite(s) and s < TOO_LARGE for s in sizes))
        slopes = {name: true_slope(tree, at, name) for name in point}
        worth_judging(all(slope is not None and abs(slope) < TOO_LARGE for slope in slopes.values()))
    return {"value": value, **slopes}


def check_scalar(tree: Tree, point: Mapping[str, float]) -> None:
    truth = judged(tree, point)
    loss = written(tree)
    model = sm.compile(loss, parameters=SYMBOLS, allow_unused=SYMBOLS)
    value, gradient = model.value_and_grad(point)
    assert_near(value, truth["value"], f"value of {loss} at {point}")
    formulas = sm.grad(loss, list(SYMBOLS))
    compiled = sm.lambdify(SYMBOLS, [formulas[s] for s in SYMBOLS])(*[point[s.name] for s in SYMBOLS])
    for s, shown in zip(SYMBOLS, compiled, strict=True):
        assert_near(gradient[s], truth[s.name], f"d/d{s} of {loss} at {point}: backward")
        assert_near(shown, truth[s.name], f"d/d{s} of {loss} at {point}: formula {formulas[s]}")


@FEW
@given(trees(), points)
def test_scalar_gradients(tree: Tree, point: dict[str, float]) -> None:
    check_scalar(tree, point)


@pytest.mark.deep
@MANY
@given(trees(), points)
def test_many_scalar_gradients(tree: Tree, point: dict[str, float]) -> None:
    check_scalar(tree, point)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_operation(name: str) -> None:
    """Every row on its own and inside another formula, whatever hypothesis happens to draw."""
    row = OPERATIONS[name]
    tree = ("mul", ("symbol", "x"), (name, *[("symbol", s.name) for s in SYMBOLS[: row.arity]]))
    for point in ({"x": 0.41, "y": -1.3, "z": 0.77}, {"x": -1.7, "y": 0.6, "z": -0.23}):
        check_scalar(tree, point)


# --------------------------------------------------------------------------------------------- second derivatives

# fmt: off
SMOOTH = ["add", "mul", "div", "square", "cube", "root", "exp", "log", "log 1+exp", "sin", "cos", "tanh", "atan", "atan2", "power",
          "erf", "sigmoid", "gelu", "silu", "asinh", "branches", "relu", "max", "abs", "acos", "base 2"]
# fmt: on


def smooth_trees() -> st.SearchStrategy[Tree]:
    leaves = st.sampled_from([("symbol", s.name) for s in SYMBOLS])
    return st.recursive(
        leaves, lambda inner: st.sampled_from(SMOOTH).flatmap(lambda n: st.tuples(st.just(n), *[inner] * OPERATIONS[n].arity)), max_leaves=6
    )  # fmt: skip


def true_hessian(tree: Tree, point: Mapping[str, float]) -> np.ndarray:
    with mpmath.workdps(DIGITS):
        at = {name: mpmath.mpf(value) for name, value in point.items()}
        step = mpmath.mpf(10) ** -12
        entries = []
        for a, b in itertools.product([s.name for s in SYMBOLS], repeat=2):
            corners = []
            for k, m in itertools.product((1, -1), repeat=2):
                moved = dict(at)
                moved[a] += k * step
                moved[b] += m * step
                corners.append(k * m * valued(tree, moved, []))
            entries.append(float(sum(corners) / (4 * step * step)))
    return np.array(entries).reshape(3, 3)


@FEW
@given(smooth_trees(), points, points)
def test_second_derivatives_agree(tree: Tree, point: dict[str, float], direction: dict[str, float]) -> None:
    truth = judged(tree, point)
    loss = written(tree)
    at, t = [point[s.name] for s in SYMBOLS], np.array([direction[s.name] for s in SYMBOLS])
    wrt, directions = list(SYMBOLS), sp.symbols("u v w")
    expected = true_hessian(tree, point)
    assume(np.abs(expected).max() < TOO_LARGE)
    hessian = sm.lambdify(wrt, sm.hessian(loss, wrt))(*at)
    assert_near(hessian, expected, f"hessian of {loss} at {point}", 1e-7)
    slope = sm.lambdify([*wrt, *directions], sm.jvp(loss, wrt, directions))(*at, *t)
    assert_near(slope, sum(float(truth[n]) * direction[n] for n in point), f"jvp of {loss} at {point}")
    products = sm.hvp(loss, wrt, directions)
    found = sm.lambdify([*wrt, *directions], [products[s] for s in wrt])(*at, *t)
    assert_near(found, expected @ t, f"hvp of {loss} at {point}", 1e-7)
    pulled = sm.vjp(loss, wrt, sp.Symbol("c"))
    found = sm.lambdify([*wrt, sp.Symbol("c")], [pulled[s] for s in wrt])(*at, -1.5)
    assert_near(found, [-1.5 * float(truth[s.name]) for s in SYMBOLS], f"vjp of {loss} at {point}")
