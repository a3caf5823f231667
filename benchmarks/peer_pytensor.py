"""PyTensor, where it is installed: one compiled function a step, its parameters and Adam's moments shared variables."""

from __future__ import annotations

from typing import Any

import numpy as np
import training
from harness import Parameters, Run
from peers import installed
from training import Training

pytensor: Any = installed("pytensor")


def network(data: Training) -> Run:
    """Adam on the cross-entropy of a relu network whose parameters are W, b, W, b, …"""
    tensor: Any = installed("pytensor.tensor")
    x, t = tensor.matrix("x", dtype=data.dtype.name), tensor.matrix("t", dtype=data.dtype.name)
    shared = [pytensor.shared(value.copy(), borrow=True) for value in data.start]
    moments = [pytensor.shared(np.zeros_like(value)) for value in data.start * 2]
    powers = [pytensor.shared(np.ones(())) for _ in range(2)]
    h = x
    for number, (W, b) in enumerate(zip(shared[::2], shared[1::2], strict=True)):
        h = tensor.dot(tensor.maximum(h, 0) if number else h, W.T) + b
    loss = (tensor.logsumexp(h, axis=1) - (t * h).sum(axis=1)).mean()
    updates = adam(loss, shared, moments, powers, data)
    step = pytensor.function([x, t], [], updates=updates)

    def run() -> Parameters:
        for variable, value in zip(shared, data.start, strict=True):
            variable.set_value(value)
        for variable in moments:
            variable.set_value(np.zeros_like(variable.get_value(borrow=True)))
        for variable in powers:
            variable.set_value(np.ones(()))
        for batch in training.batches(data):
            step(*batch)
        return tuple(variable.get_value() for variable in shared)

    return run


def adam(loss: Any, shared: list[Any], moments: list[Any], powers: list[Any], data: Training) -> list[tuple[Any, Any]]:
    """Each shared variable and what it becomes."""
    tensor: Any = installed("pytensor.tensor")
    number = data.dtype.type
    count = len(shared)
    grown = [power * decay for power, decay in zip(powers, (training.B1, training.B2), strict=True)]
    updates = list(zip(powers, grown, strict=True))
    scale, shrink = (each.astype(data.dtype.name) for each in (data.rate / (1 - grown[0]), 1 / (1 - grown[1])))
    slopes = pytensor.grad(loss, shared)
    for value, slope, m, v in zip(shared, slopes, moments[:count], moments[count:], strict=True):
        new_m = m + number(1 - training.B1) * (slope - m)
        new_v = v + number(1 - training.B2) * (slope * slope - v)
        change = scale * new_m / (tensor.sqrt(new_v * shrink) + number(training.EPSILON))
        updates += [(m, new_m), (v, new_v), (value, value - change)]
    return updates
