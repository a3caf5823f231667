"""A Hessian that is consumed: Newton's steps of logistic regression in all examples, H p = g solved in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from harness import Parameters, Run
from peers import finished, jax, torch

import sympile as sm


@dataclass(frozen=True, slots=True)
class Data:
    """Examples (rows, features), their classes (rows,), and the first weights (features,)."""

    x: np.ndarray
    y: np.ndarray
    start: Parameters


@dataclass(frozen=True, slots=True)
class Newton:
    """All sizes of one race."""

    features: int = 50
    examples: int = 10_000
    steps: int = 5
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-11

    @property
    def TITLE(self) -> str:
        return f"newton: logistic regression, {self.features} features, N = {self.examples:,}, {self.steps} steps"

    def make_data(self) -> Data:
        rng = np.random.default_rng(0)
        x, weights = rng.normal(size=(self.examples, self.features)), rng.normal(size=self.features)
        y = rng.random(self.examples) < 1 / (1 + np.exp(-x @ weights))
        return Data(x, y.astype(float), (np.zeros(self.features),))

    def final_loss(self, data: Data, parameters: Parameters) -> float:
        weights = np.asarray(parameters[0]).ravel()
        z = data.x @ weights
        return float(np.logaddexp(0, z).sum() - data.y @ z + weights @ weights / 2)

    def ours(self, data: Data) -> Run:
        shape = (self.examples, self.features)
        X, y, w = (sp.MatrixSymbol(*each) for each in (("X", *shape), ("y", shape[0], 1), ("w", shape[1], 1)))
        loss = sm.sum(sm.softplus(X * w)) - sm.dot(y, X * w) + sm.dot(w, w) / 2
        slope, curvature = sm.grad(loss, w).expanded(), sm.hessian(loss, w).expanded()
        step = sm.lambdify([X, y, w], w - sp.Inverse(curvature) * slope)
        classes, start = data.y[:, None], data.start[0][:, None]

        def run() -> Parameters:
            weights = start
            for _ in range(self.steps):
                weights = step(data.x, classes, weights)
            return (weights,)

        return run

    def peers(self, data: Data) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": lambda: (self.by_hand(data),)}
        if jax is not None:
            runs |= self.jax_runs(data)
        if torch is not None:
            runs["PyTorch func"] = self.torch_run(data)
        return runs

    def by_hand(self, data: Data) -> np.ndarray:
        weights = data.start[0]
        for _ in range(self.steps):
            s = 1 / (1 + np.exp(-(data.x @ weights)))
            curvature = data.x.T @ (data.x * (s * (1 - s))[:, None]) + np.eye(self.features)
            weights = weights - np.linalg.solve(curvature, data.x.T @ (s - data.y) + weights)
        return weights

    def jax_runs(self, data: Data) -> dict[str, Run]:
        arrays = jax.device_put((data.start[0], data.x, data.y))
        softplus, solve = jax.nn.softplus, jax.numpy.linalg.solve

        def slope(w: Any, x: Any, y: Any) -> Any:
            return jax.grad(formula)(w, x, y, softplus)

        def steps(curvature: Any) -> Any:
            step = lambda w, x, y: w - solve(curvature(w, x, y), slope(w, x, y))  # noqa: E731
            return lambda w, x, y: (jax.lax.fori_loop(0, self.steps, lambda _, w: step(w, x, y), w),)

        ways = {"JAX hessian": jax.hessian(lambda w, x, y: formula(w, x, y, softplus)), "JAX jacrev": jax.jacrev(slope)}
        return {name: finished(jax.jit(steps(way)), *arrays) for name, way in ways.items()}

    def torch_run(self, data: Data) -> Run:
        start, x, y = (torch.from_numpy(each) for each in (data.start[0], data.x, data.y))
        slope = torch.func.grad(lambda w: formula(w, x, y, torch.nn.functional.softplus))
        curvature = torch.func.hessian(lambda w: formula(w, x, y, torch.nn.functional.softplus))

        def run() -> Parameters:
            weights = start
            for _ in range(self.steps):
                weights = weights - torch.linalg.solve(curvature(weights), slope(weights))
            return (weights.numpy(),)

        return run


WORKLOADS = {"newton": Newton()}


def formula(w: Any, x: Any, y: Any, softplus: Any) -> Any:
    """Of JAX and PyTorch alike."""
    z = x @ w
    return softplus(z).sum() - (y * z).sum() + (w * w).sum() / 2
