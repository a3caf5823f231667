"""One and two threads on the network 784-128-64-10 in batches of 512, alone and beside a busy process.

    python benchmarks/threads.py

Rounds are interleaved; what is printed are ratios of processes' wall times within a round, their median and range. All
runs must end with the same bits.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import numpy as np
import sympy as sp

import sympile as sm
from sympile.runtime import pool

EXAMPLES, BATCH, EPOCHS, ROUNDS = 4096, 512, 2, 7
LAYERS = (784, 128, 64, 10)


def network(dtype: str) -> Callable[[], bytes]:
    rng = np.random.default_rng(0)
    x, t = sp.MatrixSymbol("x", LAYERS[0], 1), sp.MatrixSymbol("t", LAYERS[-1], 1)
    parameters, start, h = [], {}, x
    for number, (inputs, outputs) in enumerate(pairwise(LAYERS), 1):
        W, b = sp.MatrixSymbol(f"W{number}", outputs, inputs), sp.MatrixSymbol(f"b{number}", outputs, 1)
        h = W * (h if number == 1 else sm.relu(h)) + b
        parameters += [W, b]
        start |= {W: rng.normal(size=W.shape) / np.sqrt(inputs), b: np.zeros(b.shape)}
    model = sm.compile(sm.cross_entropy(h, t), parameters=parameters, dtype=dtype)
    classes = rng.integers(0, LAYERS[-1], EXAMPLES)
    data = {x: rng.normal(size=(EXAMPLES, LAYERS[0])).astype(dtype), t: np.eye(LAYERS[-1], dtype=dtype)[classes]}

    def run() -> bytes:
        result = model.fit(data, epochs=EPOCHS, batch_size=BATCH, start=start, seed=0, verbose=False)
        return b"".join(np.asarray(values).tobytes() for values in result.parameters.values())

    return run


def race(run: Callable[[], bytes]) -> list[float]:
    """Time with one thread / time with two, for each round."""
    expected, ratios = run(), []
    for _ in range(ROUNDS):
        seconds = []
        for threads in (1, 2):
            pool.stop()
            pool.start(threads)
            began = time.perf_counter()
            assert run() == expected, f"other bits with {threads} threads"
            seconds.append(time.perf_counter() - began)
        ratios.append(seconds[0] / seconds[1])
    return ratios


def busy() -> None:
    while True:
        pass


def show(name: str, ratios: list[float]) -> None:
    print(f"{name:40} {median(ratios):5.2f}  ({min(ratios):.2f} … {max(ratios):.2f})", flush=True)


def main() -> None:
    print("speed of two threads, in speeds of one: median (range)")
    for dtype in ("float64", "float32"):
        run = network(dtype)
        show(f"{dtype}, nothing else running", race(run))
        other = multiprocessing.get_context("spawn").Process(target=busy, daemon=True)
        other.start()
        show(f"{dtype}, one other busy process", race(run))
        other.terminate()
        other.join()


if __name__ == "__main__":
    main()
