"""Second slopes that random draws found to fail with an error of ours: where they are shown, and where code is written."""

import numpy as np
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add
from sympile.compiler.graph.conditions import select
from sympile.compiler.graph.node import MINUS_ONE, TWO, ZERO, const, hole, make
from sympile.compiler.graph.rebuild import function
from sympile.compiler.show.patterns import with_choices

RNG = np.random.default_rng(8)


def test_by_an_array_of_which_one_number_chooses_an_element() -> None:
    """A scatter to a place that one number tells, the same for every example."""
    E, c, X, Y = sm.Tensor("E", (4,)), sp.Symbol("c", integer=True), sm.Tensor("X", (3,)), sm.Tensor("Y", (3,))
    loss = ((sm.tanh(E[c] + X) - Y) ** 2).sum()
    e, x, y = RNG.normal(size=4), RNG.normal(size=3), RNG.normal(size=3)
    t = np.tanh(e[2] + x)
    want = np.zeros((4, 4))
    want[2, 2] = np.sum(2 * (1 - t**2) ** 2 - 4 * t * (1 - t**2) * (t - y))
    np.testing.assert_allclose(sm.lambdify([E, c, X, Y], sm.hessian(loss, E))(e, 2, x, y), want, rtol=1e-12)


def test_through_an_inverse_whose_adjoint_has_a_name() -> None:
    """A value with a name in index notation stands in no product of matrices."""
    u, v, M, p = sp.MatrixSymbol("u", 4, 1), sp.MatrixSymbol("v", 4, 1), sp.MatrixSymbol("M", 4, 4), sp.Symbol("p")
    form = sm.scalar(u.T * (sp.DiagMatrix(sm.tanh(v)) + 5 * sp.Identity(4) + M).I * v)
    slope = sm.grad((p * form) ** 2, v)
    values = 1.7, RNG.normal(size=(4, 1)), RNG.normal(size=(4, 1)), RNG.normal(size=(4, 4))
    first = sm.lambdify([p, u, v, M], slope)(*values)
    found = sm.lambdify([p, u, v, M], sm.jacobian(slope, p))(*values)
    np.testing.assert_allclose(np.ravel(found), np.ravel(2 * first / 1.7), rtol=1e-12)


def test_the_sign_of_a_sum_of_a_number_and_a_choice() -> None:
    a, b = hole("a"), hole("b")
    chosen = select(function("less", ZERO, a), a, b)
    shown = with_choices(make("mul", MINUS_ONE, add(TWO, chosen)))
    assert shown.op == "add"
    assert const(-2) in shown.args
