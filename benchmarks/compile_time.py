"""Seconds from a large SymPy expression to its first gradient: `python benchmarks/compile_time.py [name …]`.

Printed are processor seconds (other work on the machine does not count) of one process each, without the cache on
disk: reading; simplifying; deriving; simplifying the gradient; fusing; choosing loops; emitting; LLVM, the first call,
and all else. The rows of growing size show whether time grows linearly: the last column is microseconds per operation.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import big_formulas
import numpy as np
import sympy as sp
from environment import fair

import sympile as sm

x, y, a, k, u = sp.symbols("x y a k u")
Case = tuple[Any, list[Any], dict[Any, Any]]  # loss, parameters, values


@dataclass(frozen=True)
class Row:
    """One formula, how many operations it has, and how many seconds are aimed at."""

    title: str
    make: Callable[[], Case]
    operations: int
    aim: float | None = None


def line() -> Case:
    return (a * x + k - y) ** 2, [a, k], {x: np.ones(4), y: np.ones(4), a: 1.0, k: 1.0}


def digits() -> Case:
    """Cross-entropy of a network with 64, 100 and 10 units."""
    X, Y = sp.MatrixSymbol("X", 1, 64), sp.MatrixSymbol("Y", 1, 10)
    W, V = sp.MatrixSymbol("W", 64, 100), sp.MatrixSymbol("V", 100, 10)
    b, c = sp.MatrixSymbol("b", 1, 100), sp.MatrixSymbol("c", 1, 10)
    loss = sm.cross_entropy(sm.tanh(X * W + b) * V + c, Y)
    values = {X: np.ones((64, 1, 64)), Y: np.full((64, 1, 10), 0.1)}
    return loss, [W, b, V, c], values | {p: np.full(tuple(map(int, p.shape)), 0.01) for p in (W, b, V, c)}


def network() -> Case:
    made = big_formulas.scalar_network(32, 32)
    values = {symbol: 0.01 for symbol in made.parameters} | {symbol: np.ones(4) for symbol in made.data}
    return made.loss, made.parameters, values


def operations(count: int) -> Case:
    loss, symbols = big_formulas.many_operations(round(count / 3))
    return loss, symbols, dict(zip(symbols, np.linspace(-1, 1, len(symbols)), strict=True))


def graph(count: int) -> Case:
    loss, symbols = big_formulas.random_graph(count)
    return loss, symbols, dict.fromkeys(symbols, 0.0)


def chain() -> Case:
    return big_formulas.deep_chain(x, a, 5000), [x, a], {x: 0.7, a: 0.9}


def euler() -> Case:
    end = big_formulas.euler_decay(k, u, x, 1000)
    with sp.evaluate(False):
        loss = (end - y) ** 2
    return loss, [k, u], {k: 1.0, u: 0.1, x: np.ones(4), y: np.ones(4)}


AIMS = {1_000: None, 2_000: None, 5_000: None, 10_000: 1.0, 20_000: None, 50_000: 5.0}
# fmt: off
ROWS = {
    "line":       Row("a line",                              line,      4,     0.03),
    "digits":     Row("64-100-10 network, cross-entropy",    digits,    8,     0.2),
    "network":    Row("32-32-1 network in 1,056 Symbols",    network,   2_200),
    "chain":      Row("an expression 5,000 levels deep",     chain,     5_000),
    "euler":      Row("1,000 unrolled Euler steps",          euler,     4_000),
    "graph":      Row("2,000 random sums and products",      partial(graph, 2_000), 2_000),
    **{f"{n}": Row(f"{n:,} scalar operations", partial(operations, n), n, aim) for n, aim in AIMS.items()},
}
# fmt: on
STAGES = ("read", "simplify", "derive", "simplify the gradient", "fuse", "schedule", "emit")


def measured(row: Row) -> str:
    """One line of the table."""
    loss, parameters, values = row.make()
    started = time.process_time()
    model = sm.compile(loss, parameters=parameters)
    model.value_and_grad(values)
    total = time.process_time() - started
    times, text = stage_times(model), model.stages["llvm"]
    parts = "".join(f"{seconds:8.3f}" for seconds in (*times, total - sum(times), total))
    verdict = "" if row.aim is None else f"  aim {row.aim:g}: {'reached' if total <= row.aim else 'NOT reached'}"
    return f"{row.title:<34}{parts}{len(text) / 1e6:8.2f}{total / row.operations * 1e6:8.0f}{verdict}"


def stage_times(model: sm.Model) -> list[float]:
    """Seconds of each pass, as the model itself reports them."""
    times = {line[:24].strip(): float(line[24:32]) / 1e3 for line in model.stages["times"].splitlines()}
    return [times[stage] for stage in STAGES]


def main() -> int:
    names = sys.argv[1:] or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"no formula {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    if len(names) == 1:
        print(measured(ROWS[names[0]]), flush=True)
        return 0
    words = ("read", "simp.", "derive", "simp.", "fuse", "loops", "emit", "LLVM", "all")
    heads = "".join(f"{word:>8}" for word in words)
    print(f"{'processor seconds':<34}{heads}{'MB IR':>8}{'us/op':>8}", flush=True)
    empty = fair() | {"SYMPILE_CACHE": "0"}
    return max(subprocess.run([sys.executable, __file__, name], check=False, env=empty).returncode for name in names)


if __name__ == "__main__":
    sys.exit(main())
