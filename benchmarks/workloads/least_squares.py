"""Linear least squares, 20 features, 10,000 examples: 1,000 full-batch steps."""

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
class LeastSquares:
    """All sizes of one race."""

    features: int = 20
    examples: int = 10_000
    steps: int = 1_000
    rate: float = 1e-3
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-11

    @property
    def TITLE(self) -> str:
        return f"least squares: {self.features} features, N = {self.examples:,}, {self.steps:,} full-batch steps"

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.examples, self.features))
        y = x @ rng.normal(size=self.features) + 0.1 * rng.normal(size=self.examples)
        return Training((x, y), (np.zeros(self.features), np.zeros(1)), self.steps, self.rate)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(loss(parameters, *data.examples))

    def ours(self, data: Training) -> Run:
        x, w = sp.MatrixSymbol("x", self.features, 1), sp.MatrixSymbol("w", self.features, 1)
        y, b = sp.Symbol("y"), sp.MatrixSymbol("b", 1, 1)
        model = sm.compile((sm.dot(w, x) + b[0, 0] - y) ** 2, [w, b])
        return training.ours(model, [x, y], [w, b], data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            runs |= training.by_jax(loss, data)
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(loss, data)
        return runs


WORKLOADS = {"least_squares": LeastSquares()}


def loss(parameters: Any, x: Any, y: Any) -> Any:
    """Of NumPy, JAX and PyTorch alike."""
    return ((x @ parameters[0] + parameters[1] - y) ** 2).mean()


def slopes(parameters: Parameters, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    e = (x @ parameters[0] + parameters[1] - y) * (2.0 / len(y))
    return [e @ x, e.sum(keepdims=True)]
