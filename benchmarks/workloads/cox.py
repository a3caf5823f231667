"""Cox regression: 5 features, 200 or 10,000 patients in the order of their times, full-batch steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
import training
from harness import Parameters, Run
from peers import jax, torch
from training import Training

import sympile as sm

i, j, k = sm.indices("i j k")


@dataclass(frozen=True, slots=True)
class Cox:
    """All sizes of one race. At a patient's event all are at risk whose time is not earlier: all that come after."""

    examples: int
    steps: int
    features: int = 5
    rate: float = 0.5
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-10

    @property
    def TITLE(self) -> str:
        return f"Cox regression: {self.features} features, N = {self.examples:,}, {self.steps:,} full-batch steps"

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.examples, self.features))
        times = rng.exponential(np.exp(-x @ rng.normal(size=self.features)))
        events = (rng.random(self.examples) < 0.7).astype(float)
        return Training((x[np.argsort(times)], events), (np.zeros(self.features),), self.steps, self.rate)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(loss(np, lambda u: np.logaddexp.accumulate(u[::-1])[::-1])(parameters, *data.examples))

    def ours(self, data: Training) -> Run:
        n, d = sp.symbols("n d")
        X, e, w = (sp.IndexedBase(name, shape=s) for name, s in (("X", (n, d)), ("e", (n,)), ("w", (d,))))
        risk = sm.comprehension(sp.Sum(X[i, k] * w[k], (k, 0, d - 1)), (i, n))
        terms = e[i] * (sm.LogSumExp(risk[j], (j, i, n - 1)) - risk[i])
        model = sm.compile(sp.Sum(terms, (i, 0, n - 1)) / n, [w], constants=[X, e])
        return training.ours(model, [X, e], [w], data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            for name, at_risk in ways_of_jax().items():
                for kind, run in training.by_jax(loss(jax.numpy, at_risk), data).items():
                    runs[f"{kind}, {name}"] = run
        if torch is not None:
            at_risk = lambda u: torch.logcumsumexp(u.flip(0), 0).flip(0)  # noqa: E731
            runs["PyTorch eager"] = training.by_torch(loss(torch, at_risk), data)
        return runs


def ways_of_jax() -> dict[str, Callable[[Any], Any]]:
    """log(sum of exp) of all from each place on; shifted by one maximum for all, what is far below it is lost."""

    def shifted(u: Any) -> Any:
        largest = u.max()
        return largest + jax.numpy.log(jax.numpy.cumsum(jax.numpy.exp(u - largest)[::-1])[::-1])

    return {"cumlogsumexp": lambda u: jax.lax.cumlogsumexp(u, reverse=True), "cumsum": shifted}


WORKLOADS = {"cox_200": Cox(200, 2_000), "cox_10000": Cox(10_000, 100)}


def loss(functions: Any, at_risk: Callable[[Any], Any]) -> training.Loss:
    """Of NumPy, JAX and PyTorch alike."""

    def mean(parameters: Any, x: Any, events: Any) -> Any:
        u = x @ parameters[0]
        return (events * (at_risk(u) - u)).mean()

    return mean


def slopes(parameters: Parameters, x: np.ndarray, events: np.ndarray) -> list[np.ndarray]:
    u = x @ parameters[0]
    part = np.exp(u - u.max())
    share = part * np.cumsum(events / np.cumsum(part[::-1])[::-1])
    return [(share - events) @ x / len(u)]
