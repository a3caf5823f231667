"""A recurrent network, written as 20 steps of tanh(W h + U x + b), and its slopes through all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
import training
from harness import Parameters, Run
from peers import jax, torch
from training import Training

import sympile as sm


@dataclass(frozen=True, slots=True)
class Recurrent:
    """All sizes of one race. Parameters: W (units, units), U (units, inputs), b (units, 1), v (1, units)."""

    length: int = 20
    inputs: int = 4
    units: int = 16
    examples: int = 1024
    batch: int = 32
    epochs: int = 5
    rate: float = 0.02
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-9

    @property
    def TITLE(self) -> str:
        return f"recurrent network: {self.length} steps of {self.units} units, N = {self.examples:,}"

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.examples, self.length, self.inputs))
        target = np.tanh(x[:, -3:].sum(axis=(1, 2)) / 4)
        shapes = (self.units, self.units), (self.units, self.inputs), (self.units, 1), (1, self.units)
        start = tuple(rng.normal(size=shape) / np.sqrt(shape[1] + 1) for shape in shapes)
        orders = training.orders(rng, self.epochs, self.examples)
        return Training((x, target), start, self.epochs, self.rate, batch=self.batch, orders=orders)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(loss(np)(parameters, *data.examples))

    def ours(self, data: Training) -> Run:
        x, target = sp.MatrixSymbol("x", self.length, self.inputs), sp.Symbol("target")
        W, U, b, v = parameters = [
            sp.MatrixSymbol(name, *value.shape) for name, value in zip("WUbv", data.start, strict=True)
        ]
        state = sm.tanh(U * x[0, :].T + b)
        for step in range(1, self.length):
            state = sm.tanh(W * state + U * x[step, :].T + b)
        model = sm.compile((sm.scalar(v * state) - target) ** 2, parameters)
        return training.ours(model, [x, target], parameters, data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            runs |= training.by_jax(scanned, data)
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(loss(torch), data)
        return runs


WORKLOADS = {"recurrent": Recurrent()}


def loss(functions: Any) -> training.Loss:
    """Of NumPy and PyTorch alike."""

    def mean(parameters: Any, x: Any, target: Any) -> Any:
        W, U, b, v = parameters
        state = functions.tanh(x[:, 0] @ U.T + b[:, 0])
        for step in range(1, x.shape[1]):
            state = functions.tanh(state @ W.T + x[:, step] @ U.T + b[:, 0])
        return ((state @ v[0] - target) ** 2).mean()

    return mean


def scanned(parameters: Any, x: Any, target: Any) -> Any:
    """JAX at its best: the steps are one loop."""
    W, U, b, v = parameters

    def step(state: Any, entered: Any) -> tuple[Any, None]:
        return jax.numpy.tanh(state @ W.T + entered @ U.T + b[:, 0]), None

    start = jax.numpy.zeros((x.shape[0], len(W)), x.dtype)
    return ((jax.lax.scan(step, start, x.swapaxes(0, 1))[0] @ v[0] - target) ** 2).mean()


def slopes(parameters: Parameters, x: np.ndarray, target: np.ndarray) -> list[np.ndarray]:
    W, U, b, v = parameters
    states = [np.zeros((len(x), len(W)))]
    for step in range(x.shape[1]):
        states.append(np.tanh(states[-1] @ W.T + x[:, step] @ U.T + b[:, 0]))
    slope = 2 * (states[-1] @ v[0] - target) / len(x)
    found = [np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), slope[None] @ states[-1]]
    back = slope[:, None] * v
    for step in reversed(range(x.shape[1])):
        inner = back * (1 - states[step + 1] ** 2)
        found[0] += inner.T @ states[step]
        found[1] += inner.T @ x[:, step]
        found[2] += inner.sum(axis=0)[:, None]
        back = inner @ W
    return found
