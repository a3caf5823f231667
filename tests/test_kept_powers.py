"""Powers of the step that an update keeps in memory: as accurate as the power itself, the same bits wherever a fit begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler import training
from sympile.compiler.training import build_update
from sympile.runtime.model import course
from sympile.runtime.native import NativeProgram

x, y, a, b = sp.symbols("x y a b")
AT = np.linspace(-1.0, 1.0, 40)
VALUES = np.exp(AT)


def model(dtype: str = "float64") -> sm.Model:
    return sm.compile((a * x + b - y) ** 2, parameters=[a, b], dtype=dtype)


def fitted(of: sm.Model, rule: Any, epochs: int = 30, **options: Any) -> np.ndarray:
    given = {"batch_size": 4, "seed": 1, "verbose": False} | options
    result = of.fit({x: AT, y: VALUES}, start={a: 0.3, b: -0.2}, optimizer=rule, epochs=epochs, **given)
    return np.array([result.parameters[a], result.parameters[b]])


RULES = {
    "adam": lambda: sm.adam(1e-2),
    "adam, beta 1/2": lambda: sm.adam(1e-2, 0.5),
    "decay by epochs": lambda: sm.sgd(0.05 * 0.97**sm.epoch),
    "decay by steps": lambda: sm.sgd(0.05 * sp.Float(0.999) ** (sm.step + 3)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES)
def test_as_with_the_power_itself(rule: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fitted(model(dtype), RULES[rule]())
    monkeypatch.setattr(training, "with_powers_kept", lambda outputs, counters: ({}, []))
    course._update_of.cache_clear()
    plain = fitted(model(dtype), RULES[rule]())
    course._update_of.cache_clear()
    np.testing.assert_allclose(kept, plain, rtol=1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_slices_and_fits_again_give_the_same_bits(rule: str) -> None:
    own = model()
    whole = fitted(own, RULES[rule]())
    sliced = fitted(own, RULES[rule](), callbacks=lambda report: None)
    shorter = fitted(own, RULES[rule](), epochs=7)
    again = fitted(own, RULES[rule]())
    assert whole.tobytes() == sliced.tobytes() == again.tobytes() == fitted(model(), RULES[rule]()).tobytes()
    assert shorter.tobytes() == fitted(model(), RULES[rule](), epochs=7).tobytes()


def test_any_order_of_exponents() -> None:
    """What the update multiplies by depends on base and step alone."""
    built = build_update(sm.sgd(sp.Float(0.75) ** (sm.step + 1)), "float64")
    native = NativeProgram(built.program)
    cell = np.full(3, np.nan)
    for step in [0, 1, 2, 5, 4, 63, 64, 65, 62, 63, 64, 200, 201, 201, 0, 1]:
        assert _power(native, cell, step) == pytest.approx(0.75 ** (step + 1), rel=64 * 2.0**-53)
        assert _power(native, np.full(3, np.nan), step) == _power(native, cell, step)


def _power(native: NativeProgram, cell: np.ndarray, step: int) -> float:
    """By how much a step along a slope of -1 moves a number from 0."""
    values = {
        "gradient": np.array([-1.0]),
        "parameter": np.zeros(1),
        "step": np.array(float(step)),
        "epoch": np.zeros(()),
    }
    given = {array.name: values.get(array.name, cell) for array in native.program.inputs}
    (moved,) = native.run(given, {"#parameters": 1}).values()
    return float(moved[0])
