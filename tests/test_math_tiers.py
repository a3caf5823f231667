"""math="fast" of compile and lambdify: other code, within its promise; "accurate" is the default."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import ArgumentError
from sympile.compiler.rules.machine import VECTOR_MATH

x, a = sp.symbols("x a")
POINTS = np.linspace(0.05, 3, 1001)


@pytest.mark.parametrize(
    ("formula", "row"),
    [
        pytest.param(sp.tanh(x), "tanh", id="tanh"),
        pytest.param(1 / (1 + sp.exp(-x)), "sigmoid", id="sigmoid, as one writes it"),
    ],
)
def test_fast_code_is_other_code_and_keeps_its_promise(formula: sp.Expr, row: str) -> None:
    exact = sm.lambdify([x], formula)(POINTS)
    fast = sm.lambdify([x], formula, math="fast")(POINTS)
    assert (fast != exact).any()
    promised = VECTOR_MATH[f"fast.{row}"].ulp64 + VECTOR_MATH[row].ulp64
    assert (np.abs(fast - exact) / np.spacing(np.abs(exact))).max() <= promised


@pytest.mark.parametrize("function", [sp.tan, sp.erfc, sp.sin, sp.log])
def test_a_function_without_a_fast_row_keeps_its_code(function: sp.Function) -> None:
    exact, fast = (sm.lambdify([x], function(x), math=tier)(POINTS) for tier in ("accurate", "fast"))
    np.testing.assert_array_equal(fast, exact)


def test_a_model_takes_the_tier_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    loss = (sp.tanh(a * x) - 1) ** 2
    values = {x: POINTS, a: 0.5}
    models = [sm.compile(loss, [a], math=tier) for tier in ("accurate", "fast")]
    slopes = [model.backward(values)[a] for model in models]
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-14)
    for model, faster in ((models[0], False), (models[1], True), (copy.copy(models[1]), True)):
        model.explain("llvm")
        assert ("fast.tanh" in capsys.readouterr().out) == faster
    assert str(models[1].gradient[a]) == str(models[0].gradient[a])


def test_a_function_takes_the_tier_with_it() -> None:
    fast = sm.lambdify([x], sp.tanh(x), math="fast")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fast))(POINTS), fast(POINTS))


def test_another_tier_is_named() -> None:
    with pytest.raises(ArgumentError, match=r"accurate.*fast"):
        sm.lambdify([x], sp.tanh(x), math="quick")
    with pytest.raises(ArgumentError, match=r"accurate.*fast"):
        sm.compile((a * x) ** 2, [a], math="quick")
