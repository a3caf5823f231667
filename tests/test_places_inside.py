"""What data gather at c[e] + 1 is stored like any operand, where some formula reads it under no condition: calls check that."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import define, input_tensor, read
from sympile.compiler.graph.node import ONE, ZERO, Node, const, index, make, size
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.fusing.inside import may_leave_range, unguarded_places

N, M = size("N"), size("M")
I, J = index(N), index(N)
W = input_tensor("W", (M,))
C = input_tensor("c", (N,), "data", integer=True)


def gathered(i: Node, shift: int = 1) -> Node:
    return read(W, add(read(C, i), const(shift)))


@pytest.mark.parametrize(
    ("body", "known"),
    [
        pytest.param(function("exp", gathered(I)), True, id="read by all"),
        pytest.param(gathered(I, 2), False, id="another place"),
        pytest.param(when(gathered(I), make("less", ZERO, read(C, I))), False, id="under a condition"),
        pytest.param(select(make("less", ZERO, read(C, I)), gathered(I), ONE), False, id="one of two"),
        pytest.param(add(ONE, when(ONE, make("less", ZERO, gathered(I)))), False, id="within a condition"),
        pytest.param(read(W, read(C, I)), False, id="the data as they are"),
    ],
)
def test_places_that_are_read_by_all(body: Node, known: bool) -> None:
    places = unguarded_places([define((I,), (), None, body)])
    assert may_leave_range(gathered(J), places) is not known


t, x, w = sp.IndexedBase("t", shape=(6,)), sp.symbols("x"), sp.symbols("w")
c = sp.Symbol("c", integer=True)
ORDINAL = -sp.log(sm.sigmoid(t[c + 1] - w * x) - sm.sigmoid(t[c] - w * x))


def test_slopes_that_are_scattered_to_the_next_place() -> None:
    rng = np.random.default_rng(0)
    model = sm.compile(ORDINAL, [w, t])
    values = {x: rng.normal(size=37), c: rng.integers(0, 5, 37), w: 0.3, t: np.array([-9.0, -1.0, -0.3, 0.4, 1.0, 9.0])}
    assert model.check(values).error < 1e-6
    scattered = [line for line in model.stages["loops"].splitlines() if "== c[e]" in line]
    assert len(scattered) == 2
    assert not any("sigmoid" in line for line in scattered)  # computed in lanes before, not one by one
    with pytest.raises(sm.SympileError, match="c"):
        model.forward({**values, c: np.full(37, 5)})
