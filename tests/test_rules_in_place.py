"""Rules of one's own whose new values lie where old ones are still wanted: every assignment sees what it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from optimizer_reference import ReferenceStepper

import sympile as sm

rate, c, m, q = sp.symbols("rate c m q")
g, p = sm.gradient, sm.parameter
x, y, a = sp.symbols("x y a")
W = sp.MatrixSymbol("W", 5, 5)
DATA = {x: [1.0, -2.0, 0.5], y: [1.0, 0.5, -1.0]}
START = {"a": np.array(0.3), "W": np.linspace(-0.1, 0.2, 25).reshape(5, 5)}
MODELS = {
    "few": sm.compile((a * x - y) ** 2, [a]),
    "many": sm.compile((a * x + sm.sum(W * x, axis=None) - y) ** 2, [a, W]),
}

# fmt: off
RULES = [
    pytest.param({c: 1},             {c: c + 1, p: p - rate * g / c},                id="a counter"),
    pytest.param({c: 1, m: 0},       {p: p - c * rate, m: m + p * g, c: c * 0.9},    id="a step without the gradient"),
    pytest.param({m: 0, q: 0},       {p: p - rate * q, q: m, m: g},                  id="a gradient that comes later"),
    pytest.param({m: 1, q: 2, c: 0}, {c: m, m: q, q: c, p: p - rate * (m - 2*q) * g}, id="two that change places"),
    pytest.param({m: 0},             {m: p, p: p - rate * g + m / 10},               id="the parameter as it was"),
    pytest.param({m: 0},             {p: m - rate, m: g},                            id="only the last gradient"),
    pytest.param({m: 0},             {m: g, p: g * rate},                            id="no parameter"),
]
# fmt: on


@pytest.mark.parametrize("clip", [None, 0.7], ids=["as it is", "clipped"])
@pytest.mark.parametrize("size", list(MODELS))
@pytest.mark.parametrize(("state", "update"), RULES)
def test_assignments_in_order(state: dict[Any, Any], update: dict[Any, Any], size: str, clip: float | None) -> None:
    used = {"rate": 0.1} if any(rate in value.free_symbols for value in update.values()) else {}
    rule, model = sm.optimizer(state, update, clip_by_global_norm=clip, **used), MODELS[size]
    start = {str(name): START[str(name)] for name in model.parameters}
    path = model.fit(DATA, start=start, optimizer=rule, epochs=5, record=model.parameters).path
    stepper = ReferenceStepper(rule, start)
    for step in range(5):
        slopes = model.backward({**DATA, **stepper.parameters})
        want = stepper.step({str(name): slope for name, slope in slopes.items()}, step)
        for name, value in want.items():
            np.testing.assert_allclose(path[name][step + 1], value, rtol=1e-9, err_msg=f"{name} after {step + 1} steps")
