"""Formulas in arithmetic, in functions and under SymPy's methods: what one writes next after a derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import FormulaError, FormulaTooLarge, UnsupportedNode

a, b, y = sp.symbols("a b y")
A, x, w = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("x", 3, 1), sp.MatrixSymbol("w", 3, 1)
X = sm.Tensor("X", (3, 3))
i = sm.indices("i")
K = sp.IndexedBase("K", shape=(3,))
number = sm.grad(a**2 * b, a)  # 2*a*b
vector = sm.grad(sm.dot(x, A * x), x)  # (A + A.T)*x
tensor = sm.grad((sm.sin(X)).sum(), X)  # cos(X)
indexed = sm.grad(sp.Sum(sp.sin(K[i]), (i, 0, 2)), K)  # cos(K)

AT = {a: 1.5, b: -0.5, A: np.arange(9.0).reshape(3, 3), x: np.array([[1.0], [-2.0], [0.5]])}
AT |= {X: np.linspace(-1, 1, 9).reshape(3, 3), K: np.array([0.1, 0.2, 0.3])}
N, V = -1.5, (AT[A] + AT[A].T) @ AT[x]


@pytest.mark.parametrize(("ours", "want"), [
    pytest.param(-number,                        -N, id="minus"),
    pytest.param(+number,                        N, id="plus"),
    pytest.param(abs(number),                    abs(N), id="abs"),
    pytest.param(2 * number + number * 3,        5 * N, id="numbers on both sides"),
    pytest.param(np.float64(2) * number,         2 * N, id="a number of NumPy"),
    pytest.param(number / number + 1 / number,   1 + 1 / N, id="quotients"),
    pytest.param(number**2 - 2**number,          N**2 - 2**N, id="powers"),
    pytest.param(a * number - number,            1.5 * N - N, id="a symbol"),
    pytest.param(sp.exp(number),                 np.exp(N), id="SymPy's function"),
    pytest.param(sp.Max(number, 0) + sum([number, number]), 2 * N, id="Max, sum"),
    pytest.param(number.subs(a, 2),              -2.0, id="subs"),
    pytest.param(sp.Piecewise((1, number > 0), (2, True)), 2.0, id="a relation"),
    pytest.param(sp.Matrix([number, 2 * number]), np.array([[N], [2 * N]]), id="entries of a matrix"),
    pytest.param(2 * vector - x,                 2 * V - AT[x], id="a matrix"),
    pytest.param(x - vector / 2,                 AT[x] - V / 2, id="a matrix on the left"),
    pytest.param(np.float64(2) * vector,         2 * V, id="a number of NumPy, times a matrix"),
    pytest.param(A * vector + A @ vector,        2 * AT[A] @ V, id="products"),
    pytest.param(sm.scalar(vector.T * vector) * vector[0, 0], (V.T @ V)[0, 0] * V[0, 0], id="transpose, entry"),
    pytest.param(sm.tanh(vector) + vector,       np.tanh(V) + V, id="our function"),
    pytest.param(sm.norm(vector) + sm.dot(vector, x), np.linalg.norm(V) + (V.T @ AT[x])[0, 0], id="norm, dot"),
    pytest.param(sm.add(vector, 1),              V + 1, id="a scalar beside a matrix"),
    pytest.param(tensor * X + 1,                 np.cos(AT[X]) * AT[X] + 1, id="a tensor"),
    pytest.param(1 - 2 * indexed,                1 - 2 * np.cos(AT[K]), id="an indexed array"),
])  # fmt: skip
def test_arithmetic(ours: Any, want: Any) -> None:
    given = [s for s in AT if s in ours.free_symbols or s in getattr(ours, "atoms", set)(sp.IndexedBase)]
    np.testing.assert_allclose(sm.lambdify(given, ours)(*(AT[s] for s in given)), want, rtol=1e-14)


def test_a_gradient_stands_in_a_loss() -> None:
    """A gradient penalty; its own gradient against central differences."""
    error = (sm.dot(w, x) - y) ** 2
    steep = sm.grad(error, x)
    model = sm.compile(error + sm.dot(steep, steep) / 10, parameters=w)
    rng = np.random.default_rng(0)
    points, targets, at = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=3)
    values = {x: points, y: targets, w: at}
    off = points @ at - targets
    assert model.forward(values) == pytest.approx(np.mean(off**2 + 0.4 * off**2 * (at @ at)), rel=1e-14)
    assert model.check(values).error < 1e-7


def test_what_a_formula_depends_on() -> None:
    assert (number.free_symbols, vector.free_symbols, tensor.free_symbols) == ({a, b}, {A, x}, {X})
    assert sp.latex(number) == "2 a b"


@pytest.mark.parametrize(("ask", "error", "words"), [
    pytest.param(lambda: vector + 1, FormulaError, "sympile.add(formula, 1)", id="a scalar"),
    pytest.param(lambda: a - vector, FormulaError, "sympile.add(formula, a)", id="a scalar on the left"),
    pytest.param(lambda: np.ones(3) * vector, UnsupportedNode, "a MatrixSymbol or a Tensor for it", id="an array"),
    pytest.param(lambda: number.diff(a), AttributeError, "sympile.grad(formula, symbol)", id="diff"),
    pytest.param(lambda: number.doit(), AttributeError, "formula.expanded().doit", id="SymPy's methods"),
    pytest.param(lambda: number.nothing, AttributeError, "'Formula' object has no attribute 'nothing'", id="no method"),
    pytest.param(lambda: number(1.0), TypeError, "sympile.lambdify", id="a call"),
])  # fmt: skip
def test_refused(ask: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        ask()
    assert words in str(caught.value)


def test_what_cannot_be_read_is_not_written_out() -> None:
    large = sm.grad(sp.Add(*[sp.sin(k * a) for k in range(1, 3000)]), a)
    with pytest.raises(FormulaTooLarge):
        large + 1
    assert large.free_symbols == {a}
