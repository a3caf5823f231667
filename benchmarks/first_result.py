"""Processor time from a small model's formula to its first gradient, in new processes, imports left out.

That is also the one which SymPy puts off until the first sum of two symbols: some 20 ms in every process that has one.

A workload of run.py: `python benchmarks/run.py first_result`. The model is workloads/curve.py's: a cubic over a cubic
with 7 parameters, at 37 points.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from harness import OURS, Contender, Parameters, table
from peers import installed

import sympile as sm

TITLE = "first result: from the formula of a small model to its first gradient, processor time of new processes"
GOAL = 0.030
X, START = np.linspace(-1, 1, 37), (1.0, 1.0, 0.4, 0.04, 0.7, 0.3, 0.03)
Y = np.exp(X)
First = Callable[[], Any]    # from the formula to the gradient's 7 numbers


def curve(x: Any, p: Any) -> Any:
    return (p[0] + x * (p[1] + x * (p[2] + x * p[3]))) / (1 + x * (p[4] + x * (p[5] + x * p[6])))


def by_sympile() -> First:
    def first() -> Any:
        x, y, *p = sp.symbols("x y p0:7")
        model = sm.compile((curve(x, p) - y) ** 2, p)
        gradient = model.backward({x: X, y: Y} | dict(zip(p, START, strict=True)))
        return [gradient[each] for each in p]

    return first


def by_sympy() -> First:
    def first() -> Any:
        x, y, *p = sp.symbols("x y p0:7")
        loss = (curve(x, p) - y) ** 2
        gradient = sp.lambdify([x, y, *p], [loss.diff(each) for each in p], "numpy")
        return [np.mean(each) for each in gradient(X, Y, *START)]

    return first


def by_jax() -> First:
    jax: Any = installed("jax")
    jax.config.update("jax_enable_x64", True)
    x, y, p = jax.device_put((X, Y, np.array(START)))    # starts the backend
    return lambda: jax.jit(jax.grad(lambda p: ((curve(x, p) - y) ** 2).mean()))(p)


def by_torch() -> First:
    torch: Any = installed("torch")
    x, y = torch.from_numpy(X), torch.from_numpy(Y)

    def first() -> Any:
        p = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in START]
        return [each.item() for each in torch.autograd.grad(((curve(x, p) - y) ** 2).mean(), p)]

    return first


def by_casadi() -> First:
    casadi: Any = installed("casadi")

    def first() -> Any:
        x, y, p = casadi.SX.sym("x", len(X)), casadi.SX.sym("y", len(X)), casadi.SX.sym("p", 7)
        loss = casadi.sum1((curve(x, [p[i] for i in range(7)]) - y) ** 2) / len(X)
        return casadi.Function("gradient", [x, y, p], [casadi.gradient(loss, p)])(X, Y, np.array(START)).full().ravel()

    return first


def by_pytensor() -> First:
    pytensor: Any = installed("pytensor")
    tensor: Any = installed("pytensor.tensor")

    def first() -> Any:
        x, y, p = (tensor.vector(name, dtype="float64") for name in "xyp")
        loss = ((curve(x, [p[i] for i in range(7)]) - y) ** 2).mean()
        return pytensor.function([x, y, p], pytensor.grad(loss, p))(X, Y, np.array(START))

    return first


# fmt: off
WAYS: dict[str, tuple[str, Callable[[], First]]] = {    # name -> the package it needs, and how
    OURS:                  ("sympile",  by_sympile),
    f"{OURS}, kept":       ("sympile",  by_sympile),    # an earlier process has left its code on disk
    "SymPy lambdify":      ("sympy",    by_sympy),
    "JAX jit":             ("jax",      by_jax),
    "PyTorch eager":       ("torch",    by_torch),      # compiles nothing, and pays at each later call
    "CasADi":              ("casadi",   by_casadi),     # interprets; no gcc
    "PyTensor":            ("pytensor", by_pytensor),
}
# fmt: on


def contenders(rounds: int, patience: float) -> list[Contender]:
    """One new process each, in turn, round after round."""
    names = [name for name, (package, _) in WAYS.items() if importlib.util.find_spec(package)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as kept:
        process(f"{OURS}, kept", kept)
        for number in range(rounds):
            for name in names:
                if number < 2 or max(seconds for seconds, _ in found[name]) <= patience:
                    found[name].append(process(name, kept))
    return [Contender(name, tuple(seconds for seconds, _ in each), each[0][1]) for name, each in found.items()]


def process(name: str, kept: str) -> tuple[float, float]:
    """Seconds, and a sum of the gradient in which every element counts differently."""
    environment = os.environ | {"SYMPILE_CACHE": str(int(name.endswith("kept"))), "SYMPILE_CACHE_DIR": kept}
    ran = subprocess.run([sys.executable, __file__, name], env=environment, stdout=subprocess.PIPE, check=True)
    seconds, checked = json.loads(ran.stdout)
    return seconds, checked


def one(name: str) -> None:
    first = WAYS[name][1]()
    sp.Symbol("a") + sp.Symbol("b")    # SymPy puts an import of its own off until the first sum
    started = time.process_time()
    gradient: Parameters = tuple(np.asarray(each) for each in first())
    seconds = time.process_time() - started
    print(json.dumps([seconds, float(np.dot(np.arange(1, 8), np.ravel(gradient)))]))


def verdict(found: list[Contender]) -> list[str]:
    ours = next(each for each in found if each.name == OURS)
    word = "reached" if ours.median <= GOAL else "not reached"
    return [table(found), f"  {OURS} {1e3 * ours.median:.3g} ms; the goal of {1e3 * GOAL:g} ms is {word}"]


if __name__ == "__main__":
    one(sys.argv[1])
