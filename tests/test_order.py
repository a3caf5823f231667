"""Sums of a small step are added in the order in which their terms are ready: how long a step waits for the one before."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.passes.training import steps

a, b, c, x, y = sp.symbols("a b c x y")
XS = np.linspace(-1.0, 2.0, 50)
DATA = {x: XS, y: 2 * XS - XS**2}
ASSIGNED = re.compile(r"  (%\w+) = (.*)")
VALUE = re.compile(r"%v\w+")
CYCLES = {"fmul": 4, "fadd": 2, "fsub": 2, "call double @llvm.fma.f64": 4}  # of the machine of the goals; else none
TURNS = 50


def chain(text: str) -> float:
    """Cycles a step, read from the code: those between the numbers that a turn of its loop begins and ends with."""
    (loop,) = [block for block in re.split(r"\n(?=b\d+:)", text) if "load atomic" in block]
    rest = text[text.index(loop) :]
    carried = re.findall(r"(%v\d+) = phi double \[%v\d+, %entry\], \[(%v\d+), ", loop)
    lines = [found.groups() for found in map(ASSIGNED.match, rest.splitlines()) if found]
    ready: dict[str, float] = {}
    for _ in range(TURNS):
        for name, body in lines:
            if " phi " not in f" {body}":
                cost = next((cycles for words, cycles in CYCLES.items() if body.startswith(words)), 0)
                ready[name] = max((ready.get(value, 0.0) for value in VALUE.findall(body)), default=0.0) + cost
        ready |= {now: ready[after] for now, after in carried}
    return max(ready[now] for now, _ in carried) / TURNS


def code(loss: Any, parameters: list[Any], target: Any) -> str:
    """Of the loop of a fit by gradient descent, the target called so."""
    model = sm.compile(loss.xreplace({y: target}), parameters)
    start = dict.fromkeys(parameters, 0.0)
    model.fit({x: DATA[x], target: DATA[y]}, start=start, epochs=200, optimizer=sm.sgd(0.01))
    ((_, built),) = model._steps.loops
    return str(built.stages.program.code.text)


@pytest.mark.parametrize(
    ("loss", "parameters", "cycles"),
    [
        pytest.param((a * x + b - y) ** 2, [a, b], 16, id="line"),
        pytest.param((a * x**2 + b * x + c - y) ** 2, [a, b, c], 20, id="parabola"),
    ],
)
def test_a_step_waits_as_little_as_it_can(
    loss: Any, parameters: list[Any], cycles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Residual, slope and update of the last row; terms in the order of their names wait for longer, as most are called."""
    targets = sp.symbols("y t u v w")
    assert max(chain(code(loss, parameters, target)) for target in targets) <= cycles + 0.5
    monkeypatch.setattr(steps, "orders", lambda *_, **__: {})
    assert max(chain(code(loss, parameters, target)) for target in targets) >= cycles + 3.5
