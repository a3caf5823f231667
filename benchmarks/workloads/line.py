"""A straight line through 100 points: 10,000 full-batch steps of gradient descent, where overhead is everything."""

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

TITLE = "line: y = a x + b, N = 100, 10,000 full-batch steps"
GOAL = 0.45
GOAL_PEER = "CasADi"
RTOL = 1e-12
STEPS = 10_000
LEARNING_RATE = 3e-4    # so small that the end still shows every step: a converged fit would hide a wrong one


@dataclass(frozen=True, slots=True)
class Data:
    """Points (N,) and the first values of a and b."""

    x: np.ndarray
    y: np.ndarray
    start: Parameters


def make_data() -> Data:
    rng = np.random.default_rng(0)
    x = np.linspace(-1.0, 2.0, 100)
    return Data(x, 3.0 * x - 1.0 + 0.1 * rng.normal(size=x.size), (np.array(0.0), np.array(0.0)))


def final_loss(data: Data, parameters: Parameters) -> float:
    return float(np.mean((line(data.x, parameters) - data.y) ** 2))


def line(x: Any, p: Any) -> Any:
    """Of NumPy, JAX, PyTorch, CasADi and SymPy alike."""
    return p[0] * x + p[1]


def ours(data: Data) -> Run:
    x, y, a, b = sp.symbols("x y a b")
    model = sm.compile((a * x + b - y) ** 2, parameters=[a, b], prediction=a * x + b)

    def run() -> Parameters:
        start = {a: data.start[0], b: data.start[1]}
        result = model.fit(
            {x: data.x, y: data.y},
            start=start,
            optimizer=sm.sgd(LEARNING_RATE),
            epochs=STEPS,
            shuffle=False,
            verbose=False,
        )
        return result.parameters[a], result.parameters[b]

    return run


def peers(data: Data) -> dict[str, Run]:
    runs: dict[str, Run] = {"NumPy by hand": lambda: by_hand(data)}
    by_c = c_function("line")
    if by_c is not None:
        runs["C by hand"] = in_c(by_c, data)
    if casadi is not None:
        start = np.stack(data.start)
        runs["CasADi, gcc"] = descent(line, data.x, data.y, start, steps=STEPS, rate=LEARNING_RATE)
    if jax is not None:
        runs |= jax_runs(data)
    if torch is not None:
        runs["PyTorch eager"] = torch_run(data)
    return runs


def by_hand(data: Data) -> Parameters:
    x, y, scale = data.x, data.y, 2.0 / data.x.size
    a, b = (float(value) for value in data.start)
    for _ in range(STEPS):
        residual = a * x + b - y
        a, b = a - LEARNING_RATE * scale * float(residual @ x), b - LEARNING_RATE * scale * float(residual.sum())
    return np.array(a), np.array(b)


def in_c(function: Any, data: Data) -> Run:
    def run() -> Parameters:
        p = np.array(data.start)
        function(p, data.x, data.y, data.x.size, STEPS, LEARNING_RATE)
        return tuple(p)

    return run


def jax_runs(data: Data) -> dict[str, Run]:
    x, y, start = jax.device_put((data.x, data.y, np.stack(data.start)))    # as one vector: 10 % faster than as two
    gradient = jax.grad(lambda p, x, y: ((line(x, p) - y) ** 2).mean())

    def step(p: Array, batch: Array) -> Array:
        return p - LEARNING_RATE * gradient(p, *batch)

    ways = full_batches(step, STEPS)
    return {name: finished(way, start, (x, y)) for name, way in ways.items()}


def torch_run(data: Data) -> Run:
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    def run() -> Parameters:
        parameters = tensors(data.start)
        for _ in range(STEPS):
            gradient_step(((line(x, parameters) - y) ** 2).mean(), parameters, LEARNING_RATE)
        return arrays(parameters)

    return run
