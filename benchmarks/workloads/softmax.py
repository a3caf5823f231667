"""Softmax regression, 20 features, 5 classes, 10,000 examples: 10 epochs of shuffled batches of 128."""

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
class Softmax:
    """All sizes of one race."""

    features: int = 20
    classes: int = 5
    examples: int = 10_000
    batch: int = 128
    epochs: int = 10
    rate: float = 0.1
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-11

    @property
    def TITLE(self) -> str:
        return (
            f"softmax regression: {self.features} features, {self.classes} classes, N = {self.examples:,}, "
            f"batch {self.batch} shuffled, {self.epochs} epochs"
        )

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.examples, self.features))
        noise = rng.gumbel(size=(self.examples, self.classes))
        t = np.eye(self.classes)[np.argmax(x @ rng.normal(size=(self.features, self.classes)) + noise, axis=1)]
        start = (np.zeros((self.classes, self.features)), np.zeros(self.classes))
        order = training.orders(rng, self.epochs, self.examples)
        return Training((x, t), start, self.epochs, self.rate, "sgd", self.batch, order)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(loss(parameters, *data.examples, lambda z: np.logaddexp.reduce(z, axis=1)))

    def ours(self, data: Training) -> Run:
        x, t = sp.MatrixSymbol("x", self.features, 1), sp.MatrixSymbol("t", self.classes, 1)
        W, b = sp.MatrixSymbol("W", self.classes, self.features), sp.MatrixSymbol("b", self.classes, 1)
        return training.ours(sm.compile(sm.cross_entropy(W * x + b, t), [W, b]), [x, t], [W, b], data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            runs |= training.by_jax(lambda *given: loss(*given, lambda z: jax.nn.logsumexp(z, axis=1)), data)
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(torch_loss, data)
        return runs


WORKLOADS = {"softmax": Softmax()}


def loss(parameters: Any, x: Any, t: Any, logsumexp: Any) -> Any:
    """Of NumPy and JAX alike."""
    z = x @ parameters[0].T + parameters[1]
    return (logsumexp(z) - (t * z).sum(-1)).mean()


def torch_loss(parameters: Any, x: Any, t: Any) -> Any:
    functions = torch.nn.functional
    return functions.cross_entropy(functions.linear(x, *parameters), t)


def slopes(parameters: Parameters, x: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
    z = x @ parameters[0].T + parameters[1]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    dz = (e / e.sum(axis=1, keepdims=True) - t) / len(x)
    return [dz.T @ x, dz.sum(axis=0)]
