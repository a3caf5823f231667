"""Functions of constants stand in the code as numbers, correctly rounded; formulas show them as they were written."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import power
from sympile.compiler.graph.node import INFINITY, NAN, NEGATIVE_INFINITY, Node, const, hole, make
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.simplifying.folding import folded

x = sp.Symbol("x")
PI = make("constant", data="pi")


@pytest.mark.parametrize(
    ("constant", "exact"),
    [
        pytest.param(sp.exp(2), lambda: mpmath.exp(2), id="exp"),
        pytest.param(sp.sqrt(2), lambda: mpmath.sqrt(2), id="sqrt"),
        pytest.param(sp.sin(3), lambda: mpmath.sin(3), id="sin"),
        pytest.param(sp.log(sp.pi), lambda: mpmath.log(mpmath.pi), id="log of pi"),
        pytest.param(sp.cbrt(5), lambda: mpmath.cbrt(5), id="cube root"),
        pytest.param(sp.sin(10**10), lambda: mpmath.sin(10**10), id="far"),
        pytest.param(sp.tanh(sp.Rational(1, 3)), lambda: mpmath.tanh(mpmath.mpf(1) / 3), id="a third is not rounded first"),
        pytest.param(sp.exp(sp.sin(1)), lambda: mpmath.exp(mpmath.sin(1)), id="nested"),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_function_of_constants_is_rounded_once(constant: sp.Expr, exact: object, dtype: str) -> None:
    with mpmath.workprec(200):
        want = np.dtype(dtype).type(float(exact()))  # type: ignore[operator]
    assert sm.lambdify([x], x * constant, dtype=dtype)(np.ones(1, dtype))[0] == want


@pytest.mark.parametrize(
    ("node", "want"),
    [
        pytest.param(function("log", const(-1)), NAN, id="no real number"),
        pytest.param(function("exp", NEGATIVE_INFINITY), const(0), id="exp(-inf)"),
        pytest.param(function("log", const(0)), NEGATIVE_INFINITY, id="log(0)"),
        pytest.param(function("exp", INFINITY), INFINITY, id="exp(inf)"),
        pytest.param(function("exp", const(10**6)), None, id="too large a number is left to the code"),
        pytest.param(function("digamma", const(0)), None, id="a pole is left to the code"),
        pytest.param(function("exp", hole("a")), None, id="not constant"),
        pytest.param(power(PI, 2), None, id="fits", marks=[]),
    ],
)
def test_edges(node: Node, want: Node | None) -> None:
    result = folded(node)
    if node.op == "pow":
        assert result.op == "const"
    else:
        assert result is (node if want is None else want)


def test_what_is_shown_is_what_was_written() -> None:
    a = sp.Symbol("a")
    assert str(sm.compile(sp.exp(2) * a * x, [a]).gradient[a].expr) == "x*exp(2)"
