"""One file a workload, or several sizes of one: the data, the peers, ours. `NAMES` is the order in which they run."""

from __future__ import annotations

import importlib
from typing import Any

# fmt: off
WHERE = {                                    # name -> the module that is the workload, or holds it in its WORKLOADS
    "line":                  "line",
    "curve":                 "curve",
    "logistic":              "logistic",
    "expression":            "expression",
    "mlp_digits":            "mlp_digits",
    "mlp_adam_64":           "mlp_adam",
    "mlp_adam_512":          "mlp_adam",
    "mlp_adam_64_float32":   "mlp_adam",
    "mlp_adam_512_float32":  "mlp_adam",
    "cnn":                   "cnn",
    "cnn_float32":           "cnn",
    "hessian":               "hessian",
    "newton":                "newton",
    "jacobian":              "jacobian",
    "least_squares":         "least_squares",
    "softmax":               "softmax",
    "mixture":               "mixture",
    "kernel":                "kernel",
    "cox_200":               "cox",
    "cox_10000":             "cox",
    "factorisation":         "factorisation",
    "recurrent":             "recurrent",
    "gated":                 "gated",
    "gated_lstm":            "gated",
    "gated_float32":         "gated",
}
# fmt: on
NAMES = tuple(WHERE)


def workload(name: str) -> Any:
    """The `harness.Workload` of this name."""
    module = importlib.import_module(f"workloads.{WHERE[name]}")
    return vars(module).get("WORKLOADS", {name: module})[name]
