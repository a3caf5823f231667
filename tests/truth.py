"""Truth for gradients that owes nothing to sympile: the complex step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

STEP = 1e-30


def complex_step(value: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any], name: str) -> np.ndarray:
    """The derivative by an imaginary step: no cancellation, exact to rounding (Squire and Trapp 1998, SIAM Review 40).

    Args:
        value: an analytic function of arrays by name, which passes complex numbers on.
        values: where.
        name: which array to differentiate by.

    Returns:
        An array of that array's shape.
    """
    result = np.zeros(np.shape(values[name]))
    for at in np.ndindex(result.shape):
        moved = {key: np.array(array, dtype=complex) for key, array in values.items()}
        moved[name][at] += STEP * 1j
        result[at] = complex(value(moved)).imag / STEP
    return result


def complex_step_of(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """The same of a function of one array."""
    return complex_step(lambda values: function(values["at"]), {"at": at}, "at")
