"""Seconds from a large SymPy expression to its first gradient: `python benchmarks/compile_time.py [name …]`.

Printed are processor seconds (other work on the machine does not count) of one process each: reading, deriving and
simplifying; fusing and emitting; LLVM and the first call.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import big_formulas
import numpy as np
import sympy as sp

import sympile as sm

x, y, a, k, u = sp.symbols("x y a k u")
Case = tuple[Any, list[Any], dict[Any, Any]]  # loss, parameters, values


@dataclass(frozen=True)
class Row:
    """One formula, and how many seconds are aimed at."""

    title: str
    make: Callable[[], Case]
    aim: float | None


def line() -> Case:
    return (a * x + k - y) ** 2, [a, k], {x: np.ones(4), y: np.ones(4), a: 1.0, k: 1.0}


def network() -> Case:
    made = big_formulas.scalar_network(32, 32)
    values = {symbol: 0.01 for symbol in made.parameters} | {symbol: np.ones(4) for symbol in made.data}
    return made.loss, made.parameters, values


def operations() -> Case:
    loss, symbols = big_formulas.ten_thousand_operations()
    return loss, symbols, dict(zip(symbols, np.linspace(-1, 1, len(symbols)), strict=True))


def chain() -> Case:
    return big_formulas.deep_chain(x, a, 5000), [x, a], {x: 0.7, a: 0.9}


def euler() -> Case:
    end = big_formulas.euler_decay(k, u, x, 1000)
    with sp.evaluate(False):
        loss = (end - y) ** 2
    return loss, [k, u], {k: 1.0, u: 0.1, x: np.ones(4), y: np.ones(4)}


# fmt: off
ROWS = {
    "line":       Row("a line",                                          line,       None),
    "network":    Row("a 32-32-1 network in 1,056 Symbols",              network,    5.0),
    "operations": Row("10,000 scalar operations and their gradient",     operations, 2.0),
    "chain":      Row("an expression 5,000 levels deep",                 chain,      None),
    "euler":      Row("1,000 unrolled Euler steps",                      euler,      None),
}
# fmt: on


def measured(row: Row) -> str:
    """One line of the table."""
    loss, parameters, values = row.make()
    times = [time.process_time()]
    model = sm.compile(loss, parameters=parameters)
    times.append(time.process_time())
    text = model.stages["llvm"]
    times.append(time.process_time())
    model.value_and_grad(values)
    times.append(time.process_time())
    parts = "".join(f"{after - before:10.2f}" for before, after in itertools.pairwise(times))
    total = times[-1] - times[0]
    verdict = "" if row.aim is None else f"  aim {row.aim:g}: {'reached' if total < row.aim else 'NOT reached'}"
    return f"{row.title:<46}{parts}{total:10.2f}{len(text) / 1e6:9.2f}{verdict}"


def main() -> int:
    names = sys.argv[1:] or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"no formula {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    if len(names) == 1:
        print(measured(ROWS[names[0]]), flush=True)
        return 0
    print(f"{'processor seconds':<46}{'derive':>10}{'emit':>10}{'LLVM':>10}{'all':>10}{'MB IR':>9}", flush=True)
    return max(subprocess.run([sys.executable, __file__, name], check=False).returncode for name in names)


if __name__ == "__main__":
    sys.exit(main())
