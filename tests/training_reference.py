"""`fit` written again in plain NumPy: batches in given orders, a gradient by hand, an optimizer's formulas as in its paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Update = Callable[
    [Array, Array, Arrays, int, int], Array
]  # parameter, gradient, states, step, epoch → the new parameter


# ------------------------------------------------------------------------------------------------ rules


def sgd(rate: Callable[[int, int], float], momentum: float = 0.0, nesterov: bool = False) -> Update:
    def update(p: Array, g: Array, s: Arrays, step: int, epoch: int) -> Array:
        if not momentum:
            return p - rate(step, epoch) * g
        s["m"] = s.get("m", 0.0) * momentum + g
        return p - rate(step, epoch) * (g + momentum * s["m"] if nesterov else s["m"])

    return update


def rmsprop(rate: float, decay: float = 0.9, eps: float = 1e-8) -> Update:
    def update(p: Array, g: Array, s: Arrays, step: int, epoch: int) -> Array:
        s["v"] = decay * s.get("v", 0.0) + (1 - decay) * g * g
        return p - rate * g / np.sqrt(s["v"] + eps)

    return update


def adagrad(rate: float, first: float = 0.1, eps: float = 1e-7) -> Update:
    def update(p: Array, g: Array, s: Arrays, step: int, epoch: int) -> Array:
        s["s"] = s.get("s", first) + g * g
        return p - rate * g / np.sqrt(s["s"] + eps)

    return update


def adam(rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0) -> Update:
    def update(p: Array, g: Array, s: Arrays, step: int, epoch: int) -> Array:
        s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g * g
        mean, square = s["m"] / (1 - b1 ** (step + 1)), s["v"] / (1 - b2 ** (step + 1))
        return p - rate * (mean / (np.sqrt(square) + eps) + decay * p)

    return update


def heavy_ball(rate: float, momentum: float) -> Update:
    def update(p: Array, g: Array, s: Arrays, step: int, epoch: int) -> Array:
        s["m"] = momentum * s.get("m", 0.0) + g
        return p - rate * s["m"]

    return update


# ------------------------------------------------------------------------------------------------ the loop


@dataclass(slots=True)
class Run:
    """What a fit leaves behind."""

    parameters: Arrays
    history: list[float] = field(default_factory=list)
    path: list[Arrays] = field(default_factory=list)


def batches(order: Array, size: int, drop_last: bool) -> Iterator[Array]:
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        if len(rows) == size or not drop_last:
            yield rows


def fit(loss: Callable[[Arrays, Array], tuple[float, Arrays]], start: Arrays, orders: Array, batch: int, update: Update, clip: float | None = None,
        drop_last: bool = False) -> Run:  # fmt: skip
    """`loss(parameters, rows)` is the mean over those rows and its gradient."""
    parameters = {k: np.array(v, np.float64) for k, v in start.items()}
    states: dict[str, Arrays] = {k: {} for k in parameters}
    run, step = Run(parameters, path=[{k: v.copy() for k, v in parameters.items()}]), 0
    for epoch, order in enumerate(orders):
        summed, seen = 0.0, 0
        for rows in batches(order, batch, drop_last):
            value, gradient = loss(parameters, rows)
            summed, seen = summed + value * len(rows), seen + len(rows)
            norm = np.sqrt(sum(float((g * g).sum()) for g in gradient.values()))
            if clip is not None and norm >= clip:
                gradient = {k: g / norm * clip for k, g in gradient.items()}
            for name, p in parameters.items():
                parameters[name] = update(p, np.asarray(gradient[name]), states[name], step, epoch)
            run.path.append({k: np.array(v) for k, v in parameters.items()})
            step += 1
        run.history.append(summed / seen)
    return run
