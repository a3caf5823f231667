"""Dense Hessians of scalar formulas at 10,000 points: sympile against JAX, interleaved; `python benchmarks/hessian.py`.

Both of JAX's ways are timed: vmap, which writes all matrices as sympile does, and fori_loop, which only adds them up.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp

import sympile as sm

POINTS = 10_000
TURNS = 15


def rosenbrock(x: Sequence[Any], m: Any) -> Any:
    """Banded."""
    return sum(100 * (x[k + 1] - x[k] ** 2) ** 2 + (1 - x[k]) ** 2 for k in range(len(x) - 1))


def radial(x: Sequence[Any], m: Any) -> Any:
    """Diagonal plus rank one."""
    return m.log(1 + sum(v**2 for v in x))


def dense(x: Sequence[Any], m: Any) -> Any:
    """Every pair of variables has a term of its own."""
    return sum(m.tanh(x[i] * x[j]) for i in range(len(x)) for j in range(i))


FORMULAS = {"rosenbrock": rosenbrock, "radial": radial, "dense": dense}


def peers(formula: Callable[..., Any], points: Any) -> dict[str, Callable[[], Any]]:
    """JAX, where it is installed."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return {}
    jax.config.update("jax_enable_x64", True)
    one = jax.hessian(lambda x: formula(x, jnp))
    every = jax.jit(jax.vmap(one))
    start = jnp.zeros((points.shape[1],) * 2)
    summed = jax.jit(lambda p: jax.lax.fori_loop(0, len(points), lambda k, total: total + one(p[k]), start))
    return {
        "JAX vmap": lambda: every(points).block_until_ready(),
        "JAX fori_loop": lambda: summed(points).block_until_ready(),
    }


def race(name: str, n: int) -> str:
    """Milliseconds for all points, and seconds until the first result."""
    x = sp.symbols(f"x0:{n}")
    expression = FORMULAS[name](x, sp)
    points = np.random.default_rng(0).normal(size=(POINTS, n))
    columns, out = list(np.ascontiguousarray(points.T)), np.empty((POINTS, n, n))
    started = time.perf_counter()
    hessian = sm.lambdify(x, sm.hessian(expression, list(x)))
    hessian(*columns, out=out)
    ready = time.perf_counter() - started
    runs = {"sympile": lambda: hessian(*columns, out=out), **peers(FORMULAS[name], points)}
    best = dict.fromkeys(runs, np.inf)
    for _ in range(TURNS):
        for label, run in runs.items():
            started = time.perf_counter()
            run()
            best[label] = min(best[label], time.perf_counter() - started)
    times = "   ".join(f"{label} {seconds * 1e3:8.2f} ms" for label, seconds in best.items())
    return f"{name:<11} n = {n:<3} {times}   (first result after {ready:.2f} s)"


if __name__ == "__main__":
    for n in [int(word) for word in sys.argv[1:]] or [10]:
        for name in FORMULAS:
            print(race(name, n), flush=True)
