"""A dense Hessian in 10 variables, of a scalar formula in vectors: 10,000 evaluations in one native call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from by_c import c_function
from harness import Parameters, Run
from peer_casadi import casadi, mapped
from peers import finished, jax, torch

import sympile as sm


@dataclass(frozen=True, slots=True)
class Data:
    """Points (rows, n) and the formula's constants (n,)."""

    x: np.ndarray
    c: np.ndarray


@dataclass(frozen=True, slots=True)
class Hessian:
    """All sizes of one race."""

    size: int = 10
    rows: int = 10_000
    GOAL: float = 0.15
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-11

    @property
    def TITLE(self) -> str:
        return f"hessian: dense, n = {self.size}, {self.rows:,} evaluations"

    def make_data(self) -> Data:
        rng = np.random.default_rng(0)
        return Data(rng.normal(size=(self.rows, self.size)), rng.normal(size=self.size))

    def final_loss(self, data: Data, parameters: Parameters) -> float:
        """No loss, but a sum in which every element counts with a weight of its own."""
        (found,) = parameters
        return float(np.cos(np.arange(found.size)) @ found.ravel())

    def ours(self, data: Data) -> Run:
        x = sp.MatrixSymbol("x", self.size, 1)
        square, dot = sm.dot(x, x), sm.dot(sp.Matrix(data.c), x)
        f = square**2 / 4 + sm.exp(-square / 10) + sm.sin(dot) + sm.sum(sm.cos(x))
        evaluate = sm.lambdify([x], sm.hessian(f, x))
        points, out = data.x[:, :, None], np.empty((self.rows, self.size, self.size))

        def run() -> Parameters:
            evaluate(points, out=out)
            return (out,)

        return run

    def peers(self, data: Data) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": lambda: (by_hand(data),)}
        by_c = c_function("hessian") if self.size == 10 else None
        if by_c is not None:
            runs["C by hand"] = in_c(by_c, data)
        if casadi is not None:
            p = casadi.SX.sym("x", self.size)
            f = formula(p, casadi.SX(data.c), casadi)
            runs["CasADi, gcc"] = mapped([p], [casadi.hessian(f, p)[0]], data.x)
        if jax is not None:
            runs |= jax_runs(data)
        if torch is not None:
            runs["PyTorch func"] = torch_run(data)
        return runs


WORKLOADS = {"hessian": Hessian()}


def formula(x: Any, c: Any, functions: Any) -> Any:
    """Of CasADi, JAX and PyTorch alike."""
    square, dot = (x * x), (c * x)
    total = functions.sum1 if functions is casadi else functions.sum
    square, dot = total(square), total(dot)
    return square**2 / 4 + functions.exp(-square / 10) + functions.sin(dot) + total(functions.cos(x))


def by_hand(data: Data) -> np.ndarray:
    x, c = data.x, data.c
    square = (x * x).sum(axis=1)
    e = np.exp(-square / 10)
    found = (2 + e / 25)[:, None, None] * x[:, :, None] * x[:, None, :]
    found -= np.sin(x @ c)[:, None, None] * np.outer(c, c)
    diagonal = np.arange(x.shape[1])
    found[:, diagonal, diagonal] += (square - e / 5)[:, None] - np.cos(x)
    return found


def in_c(function: Any, data: Data) -> Run:
    out = np.empty((*data.x.shape, data.x.shape[1]))

    def run() -> Parameters:
        function(out, data.x, data.c, len(data.x))
        return (out,)

    return run


def jax_runs(data: Data) -> dict[str, Run]:
    x, c = jax.device_put((data.x, data.c))
    one = jax.hessian(lambda x: formula(x, c, jax.numpy))

    def by_fori(x: Any) -> Any:
        n = x.shape[1]
        put = lambda row, out: out.at[row].set(one(x[row]))  # noqa: E731
        return (jax.lax.fori_loop(0, len(x), put, jax.numpy.zeros((len(x), n, n), x.dtype)),)

    by_vmap, by_map = lambda x: (jax.vmap(one)(x),), lambda x: (jax.lax.map(one, x),)
    ways = {"JAX vmap": by_vmap, "JAX map": by_map, "JAX fori_loop": by_fori}
    return {name: finished(jax.jit(way), x) for name, way in ways.items()}


def torch_run(data: Data) -> Run:
    x, c = torch.from_numpy(data.x), torch.from_numpy(data.c)
    all_rows = torch.func.vmap(torch.func.hessian(lambda x: formula(x, c, torch)))
    return lambda: (all_rows(x).numpy(),)
