"""Traces of scalar formulas, and graphs drawn."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.definition import definitions
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.show.dot import dot
from sympile.compiler.show.trace import trace

MS = sp.MatrixSymbol
x, y = sp.symbols("x y")
w = MS("w", 4, 1)
h = sm.named("h", sm.tanh(MS("A", 3, 4) * MS("x", 4, 1) + MS("b", 3, 1)))
e = sm.named("e", MS("y", 3, 1) - h)

LECTURE = """\
v1  = x
v2  = y
v3  = z
v4  = v1**2
v5  = v2*v4
v6  = sin(v5)
v7  = exp(v3)
v8  = v6 + v7
dv8 = 1
dv7 = dv8
dv6 = dv8
dv5 = dv6*cos(v5)
dv4 = dv5*v2
dv3 = dv7*v7
dv2 = dv5*v4
dv1 = 2*dv4*v1"""


def test_trace_of_the_lecture() -> None:
    z = sp.Symbol("z")
    found = trace(sp.sin(x**2 * y) + sp.exp(z))
    assert str(found) == LECTURE
    assert found._repr_latex_().count("&=") == 16


@pytest.mark.parametrize("expr", [
    pytest.param((x - y)**2/(x + y), id="a value with two users"),
    pytest.param(x*y + x, id="an input with two users"),
    pytest.param(sp.exp(x)*sp.exp(x), id="one step used twice"),
    pytest.param(3*x - 2, id="constants are no steps"),
    pytest.param(x, id="no step at all"),
])  # fmt: skip
def test_trace_values(expr: Any) -> None:
    """The adjoints of the inputs are the derivatives."""
    found = trace(expr)
    known: dict[Any, Any] = {x: 0.7, y: 1.9}
    for step in (*found.forward, *found.adjoints):
        known[sp.Symbol(step.name)] = step.formula.subs(known)
    inputs = [step for step in found.forward if step.formula in (x, y)]
    for step in inputs:
        want = sp.diff(expr, step.formula).subs({x: 0.7, y: 1.9})
        assert float(known[sp.Symbol(f"d{step.name}")]) == pytest.approx(float(want), rel=1e-12)


def test_trace_refuses_arrays() -> None:
    with pytest.raises(sm.SympileError, match="scalar"):
        trace(sm.dot(w, w))


def test_dot_draws_every_tensor() -> None:
    scope = Scope(parameters={"A": None})
    output = read_all({"loss": sm.dot(e, e) / 2}, scope)["loss"].tensor
    drawn = dot([output], scope.names)
    every = definitions([output])
    assert drawn.startswith("digraph") and drawn.count("label=") == len(every)
    assert drawn.count("peripheries=2") == 1 and 'label="h[' in drawn
