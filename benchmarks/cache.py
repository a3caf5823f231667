"""Milliseconds from formulas to a first fit and prediction in a new process: `python benchmarks/cache.py [repeats]`.

Each line is a process of its own: without the cache, with an empty one, and (the median of several) with what that
one has left there. "again" is a second fit and prediction of the same model, which compile nothing: what of "all" is no
compilation. The bits of all results must agree.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from environment import fair

import sympile as sm

Case = tuple[Callable[[], Any], dict[Any, Any]]  # makes the model; the data
FIT: dict[str, Any] = {"epochs": 1, "batch_size": 32, "optimizer": sm.adam(0.01), "verbose": False}
STAGES = ("formulas", "fit", "predict", "all", "again")


def line() -> Case:
    x, y, a, b = sp.symbols("x y a b")
    points = np.linspace(-1, 1, 64)
    return (
        lambda: sm.compile((a * x + b - y) ** 2, [a, b], prediction=a * x + b),
        {x: points, y: 3 * points + 1},
    )


def digits() -> Case:
    """64-100-10, tanh, cross-entropy."""
    x, t = sp.MatrixSymbol("x", 64, 1), sp.MatrixSymbol("t", 10, 1)
    first, b = sp.MatrixSymbol("W1", 100, 64), sp.MatrixSymbol("b1", 100, 1)
    second, c = sp.MatrixSymbol("W2", 10, 100), sp.MatrixSymbol("b2", 10, 1)
    z = sm.named("z", second * sm.named("h", sm.tanh(first * x + b)) + c)
    data = {x: np.random.default_rng(0).random((256, 64)), t: np.eye(10)[np.arange(256) % 10]}
    return lambda: sm.compile(sm.cross_entropy(z, t), [first, b, second, c], prediction=sm.softmax(z)), data


CASES: dict[str, Callable[[], Case]] = {"line": line, "digits": digits}


def once(make: Callable[[], Any], data: dict[Any, Any]) -> tuple[list[float], str]:
    """Milliseconds of processor time for each stage, and a digest of the results."""
    np.random.default_rng(0)  # NumPy imports its random numbers at their first use
    times = [time.process_time()]
    model = make()
    times.append(time.process_time())
    result = model.fit(data, **FIT)
    times.append(time.process_time())
    predicted = result.predict(data)
    times.append(time.process_time())
    digest = hashlib.sha256(
        b"".join(np.ascontiguousarray(p).tobytes() for p in [*result.parameters.values(), predicted])
    )
    return [1e3 * (after - before) for before, after in itertools.pairwise(times)], digest.hexdigest()


def measure(name: str) -> None:
    """What one process does; prints JSON."""
    make, data = CASES[name]()
    times, digest = once(make, data)
    model = make()
    model.fit(data, **FIT)
    again = time.process_time()
    model.predict(data, model.fit(data, **FIT).parameters)
    times.append(1e3 * (time.process_time() - again))
    print(json.dumps({"times": times, "digest": digest}))


def process(name: str, folder: str, on: bool) -> dict[str, Any]:
    environment = {**fair(), "SYMPILE_CACHE": str(int(on)), "SYMPILE_CACHE_DIR": folder}
    ran = subprocess.run([sys.executable, __file__, "--one", name], env=environment, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def report(title: str, runs: list[dict[str, Any]]) -> None:
    *stages, again = (statistics.median(run["times"][k] for run in runs) for k in range(4))
    total = [sum(run["times"][:3]) for run in runs]
    spread = f"   {min(total):.1f} … {max(total):.1f}" if len(runs) > 1 else ""
    print(
        f"{title:<28}" + "".join(f"{t:10.1f}" for t in [*stages, statistics.median(total), again]) + spread, flush=True
    )


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2])
        return 0
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'processor time, ms':<28}" + "".join(f"{stage:>10}" for stage in STAGES))
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            off, cold = process(name, folder, False), process(name, folder, True)
            warm = [process(name, folder, True) for _ in range(repeats)]
            for title, runs in (("no cache", [off]), ("empty cache", [cold]), ("kept", warm)):
                report(f"{name}, {title}", runs)
            kept = sum(path.stat().st_size for path in Path(folder).iterdir())
            print(f"{'':<28}{kept / 1e3:10.0f} kB in {len(list(Path(folder).iterdir()))} files")
            if len({run["digest"] for run in (off, cold, *warm)}) > 1:
                print(f"{name}: the results differ", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
