"""A rational curve with 7 parameters through 37 points (Thurber's data): 10,000 full-batch steps.

Source: R. Thurber, NIST, semiconductor electron mobility; NIST Statistical Reference Datasets, nonlinear regression.
Mobility is in units of 1,000 here, so that all parameters are of one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from by_c import c_function
from harness import Parameters, Run
from peer_casadi import casadi, descent
from peers import Array, arrays, finished, full_batches, gradient_step, jax, tensors, torch

import sympile as sm

TITLE = "curve: rational, 7 parameters, N = 37, 10,000 full-batch steps"
GOAL = 0.35
GOAL_PEER = "CasADi"
RTOL = 1e-9
STEPS = 10_000
LEARNING_RATE = 0.003    # from 0.02 on, the first steps cross a pole
START = (1.0, 1.0, 0.4, 0.04, 0.7, 0.3, 0.03)    # NIST's first start

# fmt: off
LOG_DENSITY = (
    -3.067, -2.981, -2.921, -2.912, -2.840, -2.797, -2.702, -2.699, -2.633, -2.481, -2.363, -2.322, -1.501, -1.460,
    -1.274, -1.212, -1.100, -1.046, -0.915, -0.714, -0.566, -0.545, -0.400, -0.309, -0.109, -0.103,  0.010,  0.119,
     0.377,  0.790,  0.963,  1.006,  1.115,  1.572,  1.841,  2.047,  2.200,
)
MOBILITY = (
      80.574,   84.248,   87.264,   87.195,   89.076,   89.608,   89.868,   90.101,   92.405,   95.854,  100.696,
     101.060,  401.672,  390.724,  567.534,  635.316,  733.054,  759.087,  894.206,  990.785, 1090.109, 1080.914,
    1122.643, 1178.351, 1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509, 1425.208, 1421.384, 1442.962,
    1464.350, 1468.705, 1447.894, 1457.628,
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Data:
    """Points (37,) and the first values of the 7 parameters."""

    x: np.ndarray
    y: np.ndarray
    start: Parameters


def make_data() -> Data:
    return Data(np.array(LOG_DENSITY), np.array(MOBILITY) / 1000, tuple(np.array(value) for value in START))


def final_loss(data: Data, parameters: Parameters) -> float:
    return float(np.mean((curve(data.x, parameters) - data.y) ** 2))


def curve(x: Any, p: Any) -> Any:
    """Cubic over cubic; of NumPy, JAX, PyTorch, CasADi and SymPy alike."""
    return (p[0] + x * (p[1] + x * (p[2] + x * p[3]))) / (1 + x * (p[4] + x * (p[5] + x * p[6])))


def ours(data: Data) -> Run:
    x, y = sp.symbols("x y")
    p = sp.symbols("p0:7")
    model = sm.compile((curve(x, p) - y) ** 2, parameters=p, prediction=curve(x, p))

    def run() -> Parameters:
        start = dict(zip(p, data.start, strict=True))
        result = model.fit(
            {x: data.x, y: data.y},
            start=start,
            optimizer=sm.sgd(LEARNING_RATE),
            epochs=STEPS,
            shuffle=False,
            verbose=False,
        )
        return tuple(result.parameters[each] for each in p)

    return run


def peers(data: Data) -> dict[str, Run]:
    runs: dict[str, Run] = {"NumPy by hand": lambda: by_hand(data)}
    by_c = c_function("curve")
    if by_c is not None:
        runs["C by hand"] = in_c(by_c, data)
    if casadi is not None:
        start = np.stack(data.start)
        runs["CasADi, gcc"] = descent(curve, data.x, data.y, start, steps=STEPS, rate=LEARNING_RATE)
    if jax is not None:
        runs |= jax_runs(data)
    if torch is not None:
        runs["PyTorch eager"] = torch_run(data)
    return runs


def by_hand(data: Data) -> Parameters:
    y, count = data.y, data.x.size
    powers = np.stack([data.x**k for k in range(4)])
    p = np.array(data.start)
    slope = np.empty(7)
    for _ in range(STEPS):
        above, below = p[:4] @ powers, 1.0 + p[4:] @ powers[1:]
        value = above / below
        weight = (2.0 / count) * (value - y) / below
        slope[:4] = powers @ weight
        slope[4:] = powers[1:] @ (-weight * value)
        p -= LEARNING_RATE * slope
    return tuple(p)


def in_c(function: Any, data: Data) -> Run:
    def run() -> Parameters:
        p = np.array(data.start)
        function(p, data.x, data.y, data.x.size, STEPS, LEARNING_RATE)
        return tuple(p)

    return run


def jax_runs(data: Data) -> dict[str, Run]:
    x, y, start = jax.device_put((data.x, data.y, np.stack(data.start)))
    gradient = jax.grad(lambda p, x, y: ((curve(x, p) - y) ** 2).mean())

    def step(p: Array, batch: Array) -> Array:
        return p - LEARNING_RATE * gradient(p, *batch)

    ways = full_batches(step, STEPS)
    return {name: finished(way, start, (x, y)) for name, way in ways.items()}


def torch_run(data: Data) -> Run:
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    def run() -> Parameters:
        parameters = tensors(data.start)
        for _ in range(STEPS):
            gradient_step(((curve(x, parameters) - y) ** 2).mean(), parameters, LEARNING_RATE)
        return arrays(parameters)

    return run
