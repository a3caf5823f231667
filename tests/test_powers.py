"""Powers of numbers by the step are carried along in small fits: how accurate they stay, and which are left alone."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.passes.training.powers import EVERY

# fmt: off: the tables below are aligned by hand

a, x, y = sp.symbols("a x y")
c = sp.Symbol("c")
DATA = {x: [1.0, 2.0], y: [2.0, 4.0]}
EPOCHS = 400


def model(dtype: str = "float64") -> sm.Model:
    return sm.compile((a * x - y) ** 2, [a], dtype=dtype)


def seen(value: Any, dtype: str = "float64", **numbers: Any) -> tuple[np.ndarray, int]:
    """What a rule computes in each step, and how many powers were carried."""
    rule = sm.optimizer({}, {sm.parameter: value}, **numbers)
    made = model(dtype)
    path = made.fit(DATA, start={a: 0.0}, epochs=EPOCHS, optimizer=rule, record=a).path
    assert path is not None
    ((resident, _),) = made._steps.loops
    return path[a][1:].astype(float), len(resident.powers)


def units(found: float, want: Any, dtype: str) -> float:
    """How many units in the last place a number is off; 0 of what underflows in a fit."""
    if found == 0 and abs(want) < np.finfo(dtype).smallest_normal:
        return 0.0
    last = max(np.spacing(np.abs(np.dtype(dtype).type(want))), np.finfo(dtype).smallest_subnormal)
    return float(abs(mpmath.mpf(float(found)) - want) / mpmath.mpf(float(last)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("value", "numbers", "want"), [
    pytest.param(c ** (sm.step + 1),      {"c": 0.999},  lambda c, t: c ** (t + 1),       id="as in Adam"),
    pytest.param(c**sm.step,              {"c": 0.9},    lambda c, t: c**t,               id="from one"),
    pytest.param(c**sm.epoch,             {"c": 1.01},   lambda c, t: c**t,               id="growing, by epochs"),
    pytest.param(sp.Rational(3, 4)**sm.step, {},         lambda c, t: mpmath.mpf(3)**t / 4**t, id="of a plain number"),
    pytest.param(c ** (sm.step - 3),      {"c": 0.98},   lambda c, t: c ** (t - 3),       id="from a negative one"),
    pytest.param((1 - c) ** (sm.step + 2), {"c": 0.125}, lambda c, t: (1 - c) ** (t + 2), id="of a formula"),
    pytest.param(c**sm.step,              {"c": -0.99},  lambda c, t: c**t,               id="of a negative number"),
    pytest.param(c**sm.step,              {"c": 0.0},    lambda c, t: mpmath.mpf(t == 0), id="of zero"),
])
def test_powers_stay_accurate(value: Any, numbers: Any, want: Any, dtype: str) -> None:
    """Half a unit for each multiplication, of which there are 63 at most; the power itself within two units."""
    found, carried = seen(value, dtype, **numbers)
    assert carried == 1
    with mpmath.workprec(300):
        base = mpmath.mpf(float(np.dtype(dtype).type(numbers.get("c", 0.0))))
        for step, power in enumerate(found):
            assert units(power, want(base, step), dtype) <= 2.5 + 1.01 * 0.5 * (step % 64), step


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_adam_divides_by_is_never_less_accurate_than_at_first(dtype: str) -> None:
    """1 - c**t loses what c**t is off by as a share of t (1 - c), half a unit of one in the first step."""
    rate = 0.999
    found, carried = seen(1 - c ** (sm.step + 1), dtype, c=rate)
    assert carried == 1
    unit = float(np.finfo(dtype).eps)
    with mpmath.workprec(300):
        base = mpmath.mpf(float(np.dtype(dtype).type(rate)))
        errors = [abs(mpmath.mpf(float(value)) / (1 - base ** (t + 1)) - 1) for t, value in enumerate(found)]
    assert max(errors) <= unit / float(1 - base)


@pytest.mark.parametrize("value", [
    pytest.param(sp.Piecewise((1, sp.Rational(1, 2) ** sm.step > c), (0, True)), id="compared"),
    pytest.param(sp.floor(c**sm.step * 1000),                                     id="rounded"),
    pytest.param(c ** (sm.step / 2),                                              id="by halves"),
    pytest.param(c ** (2 * sm.step),                                              id="by twos"),
    pytest.param(sm.parameter ** (c * sm.step),                                  id="of what changes"),
    pytest.param(sm.step**c,                                                      id="of the step"),
])
def test_others_are_left_alone(value: Any) -> None:
    assert seen(value, c=0.25)[1] == 0


@pytest.mark.parametrize("epochs", [EVERY - 1, EVERY, 3 * EVERY + 5])
def test_a_slice_may_begin_anywhere(epochs: int) -> None:
    """With a callback every step is a slice of its own."""
    data, rule = {x: np.linspace(0, 1, 9), y: np.linspace(1, 4, 9)}, sm.adam(0.01)
    made = sm.compile((sp.exp(a * x) - y) ** 2, [a])
    made.fit(data, start={a: 0.1}, epochs=300, optimizer=rule)
    whole = made.fit(data, start={a: 0.1}, epochs=300, optimizer=rule, record=a)
    reports: list[Any] = []

    def watch(report: Any) -> bool:
        reports.append(float(report.parameters[a]))
        return len(reports) < epochs

    made.fit(data, start={a: 0.1}, epochs=300, optimizer=rule, callbacks=watch)
    assert whole.path is not None
    assert reports == whole.path[a][1 : epochs + 1].tolist()
    assert sum(len(resident.powers) for resident, _ in made._steps.loops) == 2


def test_they_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    made = model()
    made.fit(DATA, start={a: 0.0}, epochs=EPOCHS, optimizer=sm.adam())
    made.explain("steps")
    assert "carried by multiplications" in capsys.readouterr().out
