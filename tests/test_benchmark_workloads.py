"""Every workload of benchmarks/ at a small size: sympile, NumPy and C by hand end at the same loss, far from the start."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
workloads: Any = importlib.import_module("workloads")
SMALL_NETWORK = {"layers": (7, 6, 5, 3), "examples": 50}
HANDS = ("NumPy by hand", "C by hand", "SymPy lambdify")

# fmt: off
SIZES: dict[str, dict[str, Any]] = {             # of those that are classes; the others are small enough
    "expression":            dict(rows=50),
    "mlp_adam_64":           dict(batch=8, **SMALL_NETWORK),
    "mlp_adam_512":          dict(batch=20, **SMALL_NETWORK),
    "mlp_adam_64_float32":   dict(batch=8, **SMALL_NETWORK),
    "mlp_adam_512_float32":  dict(batch=20, **SMALL_NETWORK),
    "cnn":                   dict(side=14, filters=(2, 3), batch=3, steps=2),
    "cnn_float32":           dict(side=14, filters=(2, 3), batch=3, steps=2),
    "hessian":               dict(rows=20),
    "newton":                dict(features=4, examples=60),
    "jacobian":              dict(rows=20),
    "least_squares":         dict(features=4, examples=30, steps=20),
    "softmax":               dict(examples=50, batch=8, epochs=2),
    "mixture":               dict(examples=40, steps=4),
    "kernel":                dict(examples=30, kernels=4, steps=5),
    "cox_200":               dict(examples=30, steps=5),
    "cox_10000":             dict(examples=40, steps=4),
    "factorisation":         dict(users=6, items=5, width=3, examples=40, batch=16, epochs=2, rate=0.2),
    "recurrent":             dict(length=4, inputs=2, units=3, examples=20, batch=8, epochs=2),
    "gated":                 dict(length=4, inputs=2, units=3, examples=20, batch=8, epochs=2),
    "gated_lstm":            dict(length=4, inputs=2, units=3, examples=20, batch=8, epochs=2),
    "gated_float32":         dict(length=4, inputs=2, units=3, examples=20, batch=8, epochs=2),
}
# fmt: on


def small(name: str) -> Any:
    workload = workloads.workload(name)
    return dataclasses.replace(workload, **SIZES[name]) if name in SIZES else workload


@pytest.mark.parametrize("name", workloads.NAMES)
def test_same_work(name: str) -> None:
    workload = small(name)
    data = workload.make_data()
    runs = {hand: run for hand, run in workload.peers(data).items() if hand in HANDS}
    assert runs
    ends = {hand: workload.final_loss(data, run()) for hand, run in runs.items()}
    ends["sympile"] = workload.final_loss(data, workload.ours(data)())
    rtol = 1e-5 if name.endswith("float32") else workload.RTOL
    first = next(iter(ends.values()))
    assert ends == pytest.approx(dict.fromkeys(ends, first), rel=rtol)
    if hasattr(data, "start"):
        assert abs(workload.final_loss(data, data.start) / first - 1) > 100 * rtol, "nothing was learnt"


def test_the_loss_judges_single_elements() -> None:
    """Where no loss is computed, a slope with the wrong sign or in the wrong place is still seen."""
    for name in ("hessian", "jacobian", "expression"):
        workload = small(name)
        data = workload.make_data()
        right = workload.ours(data)()
        wrong = [np.array(each) for each in right]
        wrong[-1].flat[[3, 4]] = wrong[-1].flat[[4, 3]]
        assert workload.final_loss(data, right) != pytest.approx(workload.final_loss(data, wrong), rel=workload.RTOL)


def test_loops_in_c_leave_denormal_numbers_alone() -> None:
    """Linked with -ffast-math they would be flushed to zero in the whole process, ours included."""
    importlib.import_module("by_c").c_function("line")
    assert np.float64(5e-324) * np.float64(1.0) > 0
