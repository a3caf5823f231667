"""Formulas as they are shown: the way back from every one of them to its definition, and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from reference import evaluate
from shown_models import MODELS
from sympy.printing.latex import latex as sympy_latex

import sympile as sm
from sympile.compiler.graph.arithmetic import power
from sympile.compiler.graph.definition import EXAMPLES, Definition, definitions
from sympile.compiler.graph.inline import core
from sympile.compiler.graph.node import ONE, extent
from sympile.compiler.passes.derive import gradient
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.show.formula import Formula, formula
from sympile.compiler.show.per_example import per_example

MS = sp.MatrixSymbol
a, b, x, y = sp.symbols("a b x y")
i, j = sp.symbols("i j")
A, S, B = MS("A", 3, 4), MS("S", 4, 4), MS("B", 4, 4)
v, w, u = MS("x", 4, 1), MS("w", 4, 1), MS("y", 3, 1)


def formulas(loss: Any, parameters: list[str], kind: str, batched: bool) -> list[tuple[Formula, Definition, Scope]]:
    scope = Scope(parameters=dict.fromkeys(parameters), batched=batched)
    output = read_all({"loss": loss}, scope)["loss"].tensor
    names, adjoint_of = dict(scope.names), {}
    scale = power(EXAMPLES, -1) if batched else ONE
    found = gradient(output, [scope.symbols[q].tensor for q in parameters], names, scale, adjoint_of)
    result = []
    for parameter in parameters:
        symbol = scope.symbols[parameter]
        whole = found[symbol.tensor]
        share = per_example(whole) if batched else whole
        one = formula(share, f"dloss/d{parameter}", scope, names, symbol.declared, kind, adjoint_of=adjoint_of)
        result.append((one, whole, scope))
    return result


def read_back(expression: Any, scope: Scope) -> Definition:
    again = Scope(parameters=scope.parameters, batched=scope.batched)
    return read_all({"gradient": expression}, again)["gradient"].tensor


def filled(one: Formula) -> Any:
    """The formula with every name replaced by what it stands for."""
    expression = one.expr
    for name, value in reversed(one.where.items()):
        symbols = [g for g in expression.free_symbols if getattr(g, "name", None) == name]
        expression = expression.xreplace(dict.fromkeys(symbols, value))
    return expression


def test_way_back_of_a_hessian() -> None:
    wrt = [a, b, x]
    one = sm.hessian(sp.sin(a * x) * sp.exp(b), wrt)
    scope = Scope(parameters={str(each): each for each in wrt}, batched=False)
    assert core([read_back(one.expanded(), scope)]) == core([one.definition]), str(one)


@pytest.mark.parametrize(("loss", "parameters", "kind", "batched"), MODELS)
def test_way_back(loss: Any, parameters: list[str], kind: str, batched: bool) -> None:
    """What is shown is what runs: read again, the formula is the same core; with names, and without."""
    for one, _, scope in formulas(loss, parameters, kind, batched):
        want = core([one.definition])
        assert core([read_back(one.expanded(), scope)]) == want, str(one)
        assert core([read_back(filled(one), scope)]) == want, str(one)


LENGTHS = {"n": 7, "q": 3}
ROWS = 5


def values_for(tensors: list[Definition]) -> Mapping[str, Any]:
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {}
    for tensor in tensors:
        if tensor.kind == "input":
            lengths = [
                ROWS if extent(x_) is EXAMPLES else LENGTHS.get(extent(x_).data, extent(x_).data) for x_ in tensor.axes
            ]
            values[tensor.name] = rng.integers(0, 3, lengths) if tensor.integer else rng.uniform(0.2, 1.5, lengths)
    return values


@pytest.mark.parametrize(("loss", "parameters", "kind", "batched"), MODELS)
def test_mean_of_the_shares_is_the_gradient(loss: Any, parameters: list[str], kind: str, batched: bool) -> None:
    sizes = {**LENGTHS, str(EXAMPLES.data): ROWS}
    for one, whole, _ in formulas(loss, parameters, kind, batched):
        values = values_for(definitions([whole, one.definition]))
        want, share = evaluate([whole, one.definition], values, sizes)
        got = share.mean(0) if one.definition.batched else share
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("loss", "parameters", "kind", "batched"), MODELS)
def test_latex_has_every_line(loss: Any, parameters: list[str], kind: str, batched: bool) -> None:
    for one, _, _ in formulas(loss, parameters, kind, batched):
        written = one._repr_latex_()
        assert written.startswith("$") and written.count("{") == written.count("}")
        assert written.count("&=") == (1 + len(one.where) if one.where else 0)


def test_the_way_back_can_fail() -> None:
    """The comparison itself: a wrong sign is another core."""
    ((one, _, scope),) = formulas((a * x - y) ** 2, ["a"], "scalar", True)
    assert core([read_back(-one.expanded(), scope)]) != core([one.definition])


def test_sympy_works_on_formulas() -> None:
    one = sm.grad(sm.dot(A * v - u, A * v - u), v).expr
    assert one.subs(u, sp.ZeroMatrix(3, 1)).doit() == 2 * A.T * A * v
    assert {A, v, u} <= one.atoms(sp.MatrixSymbol)
    assert "A^{T}" in sympy_latex(one)


# ------------------------------------------------------------------------------------------------ the core


@pytest.mark.parametrize(("left", "right", "same"), [
    pytest.param(v.T*(S*(B*v)), ((v.T*S)*B)*v, True, id="contracted in another order"),
    pytest.param(sm.dot(S*v, B*v), v.T*S.T*B*v, True, id="dot product and chain"),
    pytest.param(sp.Trace(S*B), sp.Trace(B*S), True, id="a trace turns round"),
    pytest.param(sp.Sum(S[i, j]*v[j, 0]*w[i, 0], (i, 0, 3), (j, 0, 3)), sm.scalar(w.T*S*v), True, id="indices"),
    pytest.param(v.T*S*B*v, v.T*B*S*v, False, id="matrices do not commute"),
    pytest.param(v.T*S*v, -v.T*S*v, False, id="the sign counts"),
])  # fmt: skip
def test_core_of_products(left: Any, right: Any, same: bool) -> None:
    scope = Scope(batched=False)
    tensors = [read_all({"value": side}, scope)["value"].tensor for side in (left, right)]
    assert (core(tensors[:1]) == core(tensors[1:])) is same
