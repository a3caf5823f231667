"""A scalar formula of 80 terms in 20 variables: value and gradient at a million rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from harness import Parameters, Run
from peer_casadi import casadi, mapped
from peers import arrays, finished, installed, jax, torch

import sympile as sm

heyoka: Any = installed("heyoka")

FUNCTIONS = ("sin", "cos", "exp", "tanh")


@dataclass(frozen=True, slots=True)
class Expression:
    """All sizes of one race."""

    terms: int = 80
    variables: int = 20
    rows: int = 1_000_000
    GOAL: float = 1.0
    GOAL_PEER: str = "heyoka"
    RTOL: float = 1e-10

    @property
    def TITLE(self) -> str:
        return f"expression: {self.terms} terms in {self.variables} variables, {self.rows:,} rows, value and gradient"

    def make_data(self) -> np.ndarray:
        """The variables' values (variables, rows)."""
        return np.random.default_rng(1).uniform(-1.0, 1.0, size=(self.variables, self.rows))

    def final_loss(self, data: np.ndarray, parameters: Parameters) -> float:
        """No loss, but a sum in which value, slopes and rows count with weights of their own."""
        rows = np.cos(np.arange(self.rows))
        return float(sum(number * (np.asarray(each).reshape(-1) @ rows) for number, each in enumerate(parameters, 1)))

    def formula(self, x: Sequence[Any], functions: Any) -> Any:
        """The same terms for every tool; three of four are products, every fourth calls a function."""
        rng = np.random.default_rng(0)
        total: Any = 0.0
        for number in range(self.terms):
            i, j, k = (int(each) for each in rng.choice(self.variables, 3, replace=False))
            weight = float(rng.normal())
            if number % 4:
                total = total + weight * x[i] * x[j] ** (number % 3 + 1) * x[k]
            else:
                called = getattr(functions, FUNCTIONS[number // 4 % len(FUNCTIONS)])
                total = total + weight * called(x[i] * x[j] + x[k])
        return total

    def ours(self, data: np.ndarray) -> Run:
        symbols, value, _ = self.symbolic()
        found = sm.value_and_grad(value, symbols)
        evaluate = sm.lambdify(symbols, [found[0], *(found[1][each] for each in symbols)])
        out = list(np.empty((self.variables + 1, self.rows)))
        columns = list(data)

        def run() -> Parameters:
            evaluate(*columns, out=out)
            return tuple(out)

        return run

    def symbolic(self) -> tuple[list[sp.Symbol], sp.Expr, list[sp.Expr]]:
        """The symbols, the formula, and SymPy's own derivatives."""
        symbols = list(sp.symbols(f"x0:{self.variables}"))
        value = self.formula(symbols, sp)
        return symbols, value, [value.diff(each) for each in symbols]

    def peers(self, data: np.ndarray) -> dict[str, Run]:
        symbols, value, slopes = self.symbolic()
        plain = sp.lambdify(symbols, [value, *slopes], "numpy", cse=True)
        runs: dict[str, Run] = {"SymPy lambdify": lambda: tuple(plain(*data))}
        if heyoka is not None:
            runs["heyoka"] = self.heyoka_run(data)
        if casadi is not None:
            p = casadi.SX.sym("x", self.variables)
            f = self.formula([p[i] for i in range(self.variables)], casadi)
            run = mapped([p], [f, casadi.gradient(f, p)], np.ascontiguousarray(data.T))
            runs["CasADi, gcc"] = lambda: tuple(run()[0].T)
        if jax is not None:
            runs |= self.jax_runs(data)
        if torch is not None:
            runs["PyTorch eager"] = self.torch_run(data)
        return runs

    def heyoka_run(self, data: np.ndarray) -> Run:
        variables = heyoka.make_vars(*(f"x{i}" for i in range(self.variables)))
        f = self.formula(variables, heyoka)
        function = heyoka.cfunc([f, *heyoka.diff_tensors([f], variables).gradient], variables)
        out = np.empty((self.variables + 1, self.rows))

        def run() -> Parameters:
            function(data, outputs=out)
            return tuple(out)

        return run

    def jax_runs(self, data: np.ndarray) -> dict[str, Run]:
        columns = jax.device_put(tuple(data))
        one: Callable[..., Any] = jax.value_and_grad(lambda x: self.formula(x, jax.numpy))

        def summed(x: Any) -> Any:
            value, back = jax.vjp(lambda x: self.formula(x, jax.numpy), x)
            return (value, *back(jax.numpy.ones_like(value))[0])

        ways = {"JAX vmap": lambda x: (lambda v, g: (v, *g))(*jax.vmap(one)(x)), "JAX columns": summed}
        return {name: finished(jax.jit(way), columns) for name, way in ways.items()}

    def torch_run(self, data: np.ndarray) -> Run:
        columns = [torch.from_numpy(column).requires_grad_() for column in data]

        def run() -> Parameters:
            value = self.formula(columns, torch)
            return arrays((value, *torch.autograd.grad(value.sum(), columns)))

        return run


WORKLOADS = {"expression": Expression()}
