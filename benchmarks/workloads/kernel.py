"""A sum of 50 Gaussian kernels in 3 dimensions, fitted to 2,000 points: 100 full-batch steps on all of its numbers."""

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

i, k = sm.indices("i k")


@dataclass(frozen=True, slots=True)
class Kernel:
    """All sizes of one race. Parameters: weights (K,), centers (K, D), the logarithm of the width (1,)."""

    kernels: int = 50
    dimensions: int = 3
    examples: int = 2_000
    steps: int = 100
    rate: float = 0.02
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-10

    @property
    def TITLE(self) -> str:
        return (
            f"kernel sum: {self.kernels} Gaussians in {self.dimensions} dimensions, N = {self.examples:,}, "
            f"{self.steps} full-batch steps"
        )

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        x = rng.uniform(-1, 1, size=(self.examples, self.dimensions))
        start = (0.1 * rng.normal(size=self.kernels), x[: self.kernels].copy(), np.array([np.log(2.0)]))
        return Training((x, np.sin(3 * x).sum(axis=1)), start, self.steps, self.rate)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(loss(np)(parameters, *data.examples))

    def ours(self, data: Training) -> Run:
        K, D = self.kernels, self.dimensions
        x, y = sp.IndexedBase("x", shape=(D,)), sp.Symbol("y")
        w, c, g = parameters = [sp.IndexedBase(name, shape=v.shape) for name, v in zip("wcg", data.start, strict=True)]
        distance = sp.Sum((x[i] - c[k, i]) ** 2, (i, 0, D - 1))
        value = sp.Sum(w[k] * sp.exp(-sp.exp(g[0]) * distance), (k, 0, K - 1))
        return training.ours(sm.compile((value - y) ** 2, parameters), [x, y], parameters, data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            runs |= training.by_jax(loss(jax.numpy), data)
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(loss(torch), data)
        return runs


WORKLOADS = {"kernel": Kernel()}


def loss(functions: Any) -> training.Loss:
    """Of NumPy, JAX and PyTorch alike."""

    def mean(parameters: Any, x: Any, y: Any) -> Any:
        w, c, g = parameters
        distance = ((x[:, None, :] - c) ** 2).sum(-1)
        return ((functions.exp(-functions.exp(g) * distance) @ w - y) ** 2).mean()

    return mean


def slopes(parameters: Parameters, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    w, c, g = parameters
    away = x[:, None, :] - c
    distance, sharpness = (away * away).sum(-1), np.exp(g)
    value = np.exp(-sharpness * distance)
    e = (value @ w - y) * (2.0 / len(y))
    share = e[:, None] * value
    pull = share * w
    dc = 2.0 * sharpness * (pull[:, :, None] * away).sum(axis=0)
    return [share.sum(axis=0), dc, -sharpness * np.sum(pull * distance)]
