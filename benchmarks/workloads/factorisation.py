"""Matrix factorisation: ratings of items by users, their rows gathered from two tables, in shuffled batches."""

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

k = sp.Idx("k")


@dataclass(frozen=True, slots=True)
class Factorisation:
    """All sizes of one race. Parameters: rows of users and items, one offset for each, and a common one."""

    users: int = 1000
    items: int = 500
    width: int = 16
    examples: int = 8192
    batch: int = 256
    epochs: int = 5
    rate: float = 0.3    # more, and the common offset diverges
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-10

    @property
    def TITLE(self) -> str:
        tables = f"{self.users:,} × {self.items}, {self.width} factors"
        return f"matrix factorisation: {tables}, N = {self.examples:,}, batch {self.batch}, {self.epochs} epochs"

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        rated = rng.integers(0, self.users, self.examples), rng.integers(0, self.items, self.examples)
        shapes = (self.users, self.width), (self.items, self.width), (self.users,), (self.items,), ()
        truth = [rng.normal(size=shape) / 2 for shape in shapes]
        ratings = predicted(truth, *rated) + 0.1 * rng.normal(size=self.examples)
        start = tuple(np.asarray(0.3 * rng.normal(size=shape)) for shape in shapes)
        orders = training.orders(rng, self.epochs, self.examples)
        return Training((*rated, ratings), start, self.epochs, self.rate, batch=self.batch, orders=orders)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(loss(parameters, *data.examples))

    def ours(self, data: Training) -> Run:
        user, item, rating, common = sp.symbols("user item rating common")
        P, Q, p, q = [sp.IndexedBase(name, shape=v.shape) for name, v in zip("PQpq", data.start[:4], strict=True)]
        found = sp.Sum(P[user, k] * Q[item, k], (k, 0, self.width - 1)) + p[user] + q[item] + common
        parameters = [P, Q, p, q, common]
        return training.ours(sm.compile((found - rating) ** 2, parameters), [user, item, rating], parameters, data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            runs |= training.by_jax(loss, data)
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(loss, data)
        return runs


WORKLOADS = {"factorisation": Factorisation()}


def predicted(parameters: Any, user: Any, item: Any) -> Any:
    P, Q, p, q, common = parameters
    return (P[user] * Q[item]).sum(-1) + p[user] + q[item] + common


def loss(parameters: Any, user: Any, item: Any, rating: Any) -> Any:
    """Of NumPy, JAX and PyTorch alike."""
    return ((predicted(parameters, user, item) - rating) ** 2).mean()


def slopes(parameters: Parameters, user: np.ndarray, item: np.ndarray, rating: np.ndarray) -> list[np.ndarray]:
    P, Q, *_ = parameters
    slope = 2 * (predicted(parameters, user, item) - rating) / len(rating)
    found = [np.zeros_like(value) for value in parameters]
    np.add.at(found[0], user, slope[:, None] * Q[item])
    np.add.at(found[1], item, slope[:, None] * P[user])
    np.add.at(found[2], user, slope)
    np.add.at(found[3], item, slope)
    found[4] += slope.sum()
    return found
