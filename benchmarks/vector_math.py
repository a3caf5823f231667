"""Nanoseconds per element of each vector function, ours against NumPy, on arrays that fit the first-level cache.

Run:  python benchmarks/vector_math.py [name ...]

The two take turns; printed are the medians, with the smallest and the largest in brackets. Only ratios of one run mean
anything on a machine that others share. NumPy's time includes its call, spread over 4096 elements.
"""

from __future__ import annotations

import ctypes
import functools
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.special as special

from sympile.compiler.code.jit import compile_text
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import host
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.rules.machine import VECTOR_MATH, inline

COUNT, ROUNDS, SECONDS = 4096, 15, 0.002
ELEMENTS = {"double": np.float64, "float": np.float32}

# fmt: off
PEERS: dict[str, tuple[Callable[..., np.ndarray], float, float]] = {
    #            NumPy or SciPy                  operands from, to
    "exp":      (np.exp,                          -10, 10),
    "expm1":    (np.expm1,                        -5, 5),
    "log":      (np.log,                          0.01, 100),
    "log1p":    (np.log1p,                        -0.9, 10),
    "log2":     (np.log2,                         0.01, 100),
    "log10":    (np.log10,                        0.01, 100),
    "tanh":     (np.tanh,                         -4, 4),
    "sigmoid":  (special.expit,                   -8, 8),
    "softplus": (lambda x: np.logaddexp(0.0, x),  -8, 8),
    "sin":      (np.sin,                          -10, 10),
    "cos":      (np.cos,                          -10, 10),
    "tan":      (np.tan,                          -10, 10),
    "asin":     (np.arcsin,                       -1, 1),
    "acos":     (np.arccos,                       -1, 1),
    "atan":     (np.arctan,                       -4, 4),
    "atan2":    (np.arctan2,                      -4, 4),
    "sinh":     (np.sinh,                         -5, 5),
    "cosh":     (np.cosh,                         -5, 5),
    "asinh":    (np.arcsinh,                      -5, 5),
    "acosh":    (np.arccosh,                      1, 9),
    "atanh":    (np.arctanh,                      -0.99, 0.99),
    "sqrt":     (np.sqrt,                         0, 9),
    "cbrt":     (np.cbrt,                         -9, 9),
    "power":    (np.power,                        0.1, 9),
    "erf":      (special.erf,                     -3, 3),
    "erfc":     (special.erfc,                    -3, 6),
    "loggamma": (special.gammaln,                 0.1, 20),
    "digamma":  (special.psi,                     0.1, 20),
    "maximum":  (np.maximum,                      -1, 1),
}
# fmt: on


def compiled(name: str, element: str) -> Callable[..., None]:
    """Runs the loop over COUNT elements `repeats` times."""
    target, arity = host(), VECTOR_MATH[name].arity
    lanes = target.lanes(element)
    module = Module(target)
    f = Function(module, "run", [*(("ptr noalias", f"x{at}") for at in range(arity + 1)), ("i64", "repeats")])
    *inputs, output, repeats = f.arguments
    k = Lanes(f, element, lanes, target)
    with f.loop(0, repeats), f.loop(0, COUNT, lanes) as loop:
        operands = [k.load(f.gep(element, pointer, loop.index)) for pointer in inputs]
        k.store(inline(k, name, *operands), f.gep(element, output, loop.index))
    f.ret()
    loaded = compile_text(module.text(), ["run"])
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (arity + 1), ctypes.c_int64)(loaded.address("run"))
    return functools.partial(_call, call, loaded)


def _call(call: Callable[..., None], _alive: object, arrays: tuple[np.ndarray, ...], repeats: int) -> None:
    call(*(array.ctypes.data for array in arrays), repeats)


def nanoseconds(run: Callable[[int], None]) -> Callable[[], float]:
    """A measurement of nanoseconds per element, long enough for the clock."""
    repeats = 1
    while True:
        start = time.perf_counter()
        run(repeats)
        if time.perf_counter() - start > SECONDS:
            break
        repeats *= 2

    def once() -> float:
        start = time.perf_counter()
        run(repeats)
        return (time.perf_counter() - start) / (repeats * COUNT) * 1e9

    return once


def shown(times: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(times):6.3f} [{min(times):6.3f} {max(times):6.3f}]"


def measure(name: str, element: str) -> str:
    """One line of the table."""
    peer, low, high = PEERS[name]
    random = np.random.default_rng(0)
    arity = VECTOR_MATH[name].arity
    inputs = [random.uniform(low, high, COUNT).astype(ELEMENTS[element]) for _ in range(arity)]
    output = np.empty_like(inputs[0])
    own = compiled(name, element)

    def run_peer(repeats: int) -> None:
        for _ in range(repeats):
            peer(*inputs)

    measurements = nanoseconds(lambda repeats: own((*inputs, output), repeats)), nanoseconds(run_peer)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for column, once in zip(times, measurements, strict=True):
            column.append(once())
    ratio = statistics.median(times[0]) / statistics.median(times[1])
    return f"{name:9} {element:6}  ours {shown(times[0])}   NumPy {shown(times[1])}   ratio {ratio:5.2f}"


def main() -> None:
    """Prints the table."""
    print(f"{host().name} ({host().cpu}), ns per element, medians of {ROUNDS} interleaved rounds")
    for name in sys.argv[1:] or PEERS:
        for element in ELEMENTS:
            print(measure(name, element), flush=True)


if __name__ == "__main__":
    main()
