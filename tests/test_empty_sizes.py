"""Arrays without an element: what can be said of nothing, and errors where something of it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import ArrayShapeError

n, m = sp.symbols("n m")
i, j = sm.indices("i j")
x = sm.Tensor("x", (n,))
S, w, A, b = sp.MatrixSymbol("S", n, m), sp.MatrixSymbol("w", m, 1), sp.MatrixSymbol("A", n, n), sp.MatrixSymbol("b", n, 1)
Z = sp.MatrixSymbol("Z", 0, 3)
NONE = np.zeros(0)


@pytest.mark.parametrize(("args", "formula", "values", "want"), [
    pytest.param([x], sm.sum(x), [NONE], 0.0, id="sum"),
    pytest.param([x], sm.prod(x), [NONE], 1.0, id="product"),
    pytest.param([x], sm.max(x), [NONE], -np.inf, id="largest"),
    pytest.param([S, w], S * w, [np.zeros((2, 0)), np.zeros((0, 1))], [[0.0], [0.0]], id="product of matrices"),
    pytest.param([S], sm.softmax(S), [np.zeros((2, 0))], np.zeros((2, 0)), id="softmax"),
    pytest.param([x], sm.comprehension(x[i] - x[0], (i, n)), [NONE], NONE, id="a fixed element that nobody needs"),
    pytest.param([x], sm.comprehension(x[n - 1 - i], (i, n)), [NONE], NONE, id="turned over"),
    pytest.param([Z], sm.sum(Z, axis=None), [np.zeros((0, 3))], 0.0, id="sum of a number of rows that is 0"),
    pytest.param([Z], Z.T * Z, [np.zeros((0, 3))], np.zeros((3, 3)), id="product over rows whose number is 0"),
])  # fmt: skip
def test_of_nothing(args: list[Any], formula: Any, values: list[Any], want: Any) -> None:
    np.testing.assert_array_equal(sm.lambdify(args, formula)(*values), want)


@pytest.mark.parametrize(
    ("formula", "length", "words"),
    [
        pytest.param(x[0], 0, r"an index of x runs outside of its axis \(n = 0\)", id="the first"),
        pytest.param(x[n - 1], 0, r"an index of x runs outside of its axis \(n = 0\)", id="the last"),
        pytest.param(sm.max(x) - x[0], 0, r"outside of its axis \(n = 0\)", id="the first, beside all"),
        pytest.param(sm.comprehension(x[i + 1] - x[i], (i, n - 1)), 0, r"n - 1 elements \(n = 0\)", id="differences"),
        pytest.param(sm.comprehension(x[i + 2], (i, n - 2)), 1, r"n - 2 elements \(n = 1\)", id="two ahead"),
    ],
)
def test_what_is_not_there_is_an_error(formula: Any, length: int, words: str) -> None:
    """The memory in front of or behind an array was read, or NumPy complained of negative lengths."""
    function = sm.lambdify([x], formula)
    function(np.ones(length + 1))
    with pytest.raises(ArrayShapeError, match=words):
        function(np.ones(length))


def test_linear_algebra_of_order_0_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    found = sm.lambdify([A, b], [A.I, sp.Determinant(A), A.I * b])(np.zeros((0, 0)), np.zeros((0, 1)))
    assert [np.shape(value) for value in found] == [(0, 0), (), (0, 1)]
    assert found[1] == 1
    assert capfd.readouterr() == ("", "")
