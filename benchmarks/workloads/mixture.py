"""A mixture of 5 Gaussians in two dimensions, 10,000 points: 100 full-batch steps on the negative log-likelihood."""

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

i, k, l = sm.indices("i k l")


@dataclass(frozen=True, slots=True)
class Mixture:
    """All sizes of one race. Parameters: logits of the shares (K,), means (K, D), logarithms of the widths (K, D)."""

    parts: int = 5
    dimensions: int = 2
    examples: int = 10_000
    steps: int = 100
    rate: float = 0.05
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-10

    @property
    def TITLE(self) -> str:
        kind = f"{self.parts} Gaussians in {self.dimensions} dimensions"
        return f"mixture: {kind}, N = {self.examples:,}, {self.steps} full-batch steps"

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        K, D = self.parts, self.dimensions
        centers = 3.0 * rng.normal(size=(K, D))
        x = centers[rng.integers(0, K, self.examples)] + rng.normal(size=(self.examples, D))
        return Training((x,), (np.zeros(K), centers + rng.normal(size=(K, D)), np.zeros((K, D))), self.steps, self.rate)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(loss(np, np.logaddexp.reduce)(parameters, *data.examples))

    def ours(self, data: Training) -> Run:
        K, D = self.parts, self.dimensions
        x = sp.IndexedBase("x", shape=(D,))
        a, m, s = parameters = [sp.IndexedBase(name, shape=v.shape) for name, v in zip("ams", data.start, strict=True)]
        distance = sp.Sum(((x[i] - m[k, i]) * sp.exp(-s[k, i])) ** 2 / 2 + s[k, i], (i, 0, D - 1))
        likelihood = sm.LogSumExp(a[k] - distance, (k, 0, K - 1)) - sm.LogSumExp(a[l], (l, 0, K - 1))
        return training.ours(sm.compile(-likelihood, parameters), [x], parameters, data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            runs |= training.by_jax(loss(jax.numpy, jax.nn.logsumexp), data)
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(loss(torch, lambda v, axis: torch.logsumexp(v, dim=axis)), data)
        return runs


WORKLOADS = {"mixture": Mixture()}


def loss(functions: Any, logsumexp: Any) -> training.Loss:
    """Of NumPy, JAX and PyTorch alike."""

    def mean(parameters: Any, x: Any) -> Any:
        a, m, s = parameters
        z = (x[:, None, :] - m) * functions.exp(-s)
        return (logsumexp(a, axis=0) - logsumexp(a - (z * z / 2 + s).sum(-1), axis=1)).mean()

    return mean


def slopes(parameters: Parameters, x: np.ndarray) -> list[np.ndarray]:
    a, m, s = parameters
    z = (x[:, None, :] - m) * np.exp(-s)
    log = a - (0.5 * z * z + s).sum(-1)
    part = np.exp(log - log.max(axis=1, keepdims=True))
    part /= part.sum(axis=1, keepdims=True)
    share = np.exp(a - a.max())
    weighted = part[:, :, None] * z
    da = share / share.sum() - part.mean(axis=0)
    return [da, -weighted.mean(axis=0) * np.exp(-s), part.mean(axis=0)[:, None] - (weighted * z).mean(axis=0)]
