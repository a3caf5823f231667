"""A gradient that is not finite: seen by the update wherever it is, and the parameters are those before it, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.training import build_update
from sympile.runtime.bench import COUNT
from sympile.runtime.native import NativeProgram, address_of, aligned

p = sm.parameter
ROUND = sm.optimizer({}, {p: p - sp.Rational(1, 8) * sp.sign(sm.gradient)})  # finite, whatever the gradient is
BLIND = sm.optimizer({}, {p: p - sp.Rational(1, 8)})  # does not look at the gradient


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", [sm.sgd(0.1), sm.adam(), ROUND], ids=["sgd", "adam", "sign"])
def test_one_number_is_seen_wherever_it_is(rule: Any, dtype: str) -> None:
    """Whole vectors, several of them, masked ends; and nothing is seen where all is finite, however large."""
    program = build_update(rule, dtype).program
    assert program.watches
    native = NativeProgram(program)
    for count in (1, 7, 16, 33, 64, 70):
        desk = native.own_desk({COUNT: count})
        arrays = {a.name: aligned((count,) if a.shape else (), dtype) for a in (*program.inputs, *program.outputs)}
        for array in (*program.inputs, *program.outputs):
            desk.table[array.slot] = address_of(arrays[array.name])
        for at in range(-1, count):
            for strange in (np.nan, np.inf, -np.inf):
                gradient = arrays["gradient"]
                gradient[:] = np.finfo(dtype).max * (-1.0) ** np.arange(count)
                gradient[at] = strange if at >= 0 else gradient[at]
                desk.status[0] = 0
                native.native.call(desk.address)
                assert desk.status[0] == (at >= 0), f"{strange} at {at} of {count}"


def test_a_rule_that_looks_at_no_gradient() -> None:
    """There the loop looks."""
    assert not build_update(BLIND, "float64").program.watches


def spoiled_fit(count: int, at: int, step: int, rule: Any, dtype: str, epochs: int = 3) -> sm.Result:
    """The sum of sqrt(x (1 + w²)) has a gradient of 0/0 where x = 0, and its value is finite."""
    x, w = sp.MatrixSymbol("x", count, 1), sp.MatrixSymbol("w", count, 1)
    i = sp.Symbol("i", integer=True)
    model = sm.compile(sp.Sum(sp.sqrt(x[i, 0] * (1 + w[i, 0] ** 2)), (i, 0, count - 1)), [w], dtype=dtype)
    rng = np.random.default_rng(0)
    examples = rng.uniform(1, 2, (12, count)).astype(dtype)
    examples[2 * step, at] = 0
    start = {w: rng.uniform(1, 2, count).astype(dtype)}
    return model.fit({x: examples}, epochs=epochs, batch_size=2, shuffle=False, start=start, optimizer=rule, record=[w])


RULES = {
    "sgd": sm.sgd(0.01, momentum=0.9),
    "adam": sm.adam(),
    "sign": ROUND,
    "clipped": sm.sgd(0.1, clip_by_global_norm=1.0),
    "blind": BLIND,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("count", "at"), [(3, 1), (50, 0), (50, 49), (1000, 517)])
@pytest.mark.parametrize("step", [0, 1, 5])
def test_the_update_is_taken_back(step: int, count: int, at: int, rule: str, dtype: str) -> None:
    result = spoiled_fit(count, at, step, RULES[rule], dtype)
    assert result.steps == step and not result.success and "gradient" in result.message
    (path,), (found,) = result.path.values(), result.parameters.values()
    assert np.isfinite(found).all() and found.tobytes() == path[step].tobytes()


def test_what_threads_share() -> None:
    """So many parameters that the update is split into chunks."""
    result = spoiled_fit(400_001, 399_000, 2, sm.adam(), "float32", 1)
    (path,), (found,) = result.path.values(), result.parameters.values()
    assert result.steps == 2 and found.tobytes() == path[2].tobytes()
