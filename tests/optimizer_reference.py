"""An optimizer's rule, executed one assignment after the other in NumPy: the judge of the compiled one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from sympile.runtime.update_rule import GLOBAL_NORM, Assignments, Optimizer

Arrays = dict[str, np.ndarray[Any, Any]]


class ReferenceStepper:
    """Parameters and states of one fit, moved by `step`."""

    def __init__(self, optimizer: Optimizer, parameters: Mapping[str, Any]) -> None:
        self.optimizer = optimizer
        self.parameters: Arrays = {name: np.array(value, dtype=np.float64) for name, value in parameters.items()}
        first = optimizer.first_state()
        self.states: dict[str, Arrays] = {
            name: {state: np.full_like(value, number) for state, number in first.items()}
            for name, value in self.parameters.items()
        }
        self.count = 0

    def step(self, gradients: Mapping[str, Any], epoch: int = 0) -> Arrays:
        """One update of all parameters; returns copies of them."""
        norm = np.sqrt(sum(float(np.sum(np.square(gradient))) for gradient in gradients.values()))
        shared: dict[str, Any] = {"step": float(self.count), "epoch": float(epoch), GLOBAL_NORM.name: norm}
        shared |= dict(self.optimizer.numbers)
        shared |= _assigned(self.optimizer.schedules, shared)
        for name, states in self.states.items():
            values = shared | states | {"gradient": np.asarray(gradients[name]), "parameter": self.parameters[name]}
            values = _assigned((*self.optimizer.clip, *self.optimizer.update), values)
            self.parameters[name] = np.broadcast_to(values["parameter"], self.parameters[name].shape).copy()
            states.update({state: values[state] for state in states})
        self.count += 1
        return {name: value.copy() for name, value in self.parameters.items()}


def _assigned(assignments: Assignments, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values after all assignments, each of which sees those before it."""
    values = dict(values)
    for symbol, expression in assignments:
        names = sorted(symbol.name for symbol in expression.free_symbols)
        function = sp.lambdify([sp.Symbol(name) for name in names], expression, "numpy")
        with np.errstate(divide="ignore", invalid="ignore"):    # np.select computes the branch not taken, too
            values[symbol.name] = function(*(values[name] for name in names))
    return values
