"""Nanoseconds per element of each vector function, ours against glibc's libmvec and NumPy, and how far each is off.

Run:  python benchmarks/vector_math.py [--fast] [name ...]

Arrays of 1024 elements lie in the first-level cache. All take turns; each ratio is the median of the ratios of the
rounds, since only what was measured side by side means anything on a machine that others share. libmvec is called
from a loop of the same code generator. NumPy's time includes its call, spread over the elements. Errors are the largest
in units in the last place, against mpmath on the operands of the measurement. A star marks what libmvec does faster;
--fast measures the rows of math="fast".
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import scipy.special as special

from sympile.compiler.code.jit import compile_text
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import host
from sympile.compiler.code.value import Value
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.rules.functions import FUNCTIONS
from sympile.compiler.rules.machine import VECTOR_MATH, inline

COUNT, ROUNDS, SECONDS = 1024, 21, 0.0006
ELEMENTS = {"double": np.dtype(np.float64), "float": np.dtype(np.float32)}
LETTERS = {"avx512": "e", "avx2": "d", "neon": "n"}        # of a target in the names of vector functions
LIBM = {"power": "pow"}                                      # where the C library has another name

Kernel = Callable[[int], None]          # runs `repeats` times over the arrays
Body = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class Peer:
    """What NumPy or SciPy calls it, and the operands of the measurement."""

    numpy: Callable[..., np.ndarray]
    low: float
    high: float


# fmt: off
PEERS: dict[str, Peer] = {
    "exp":      Peer(np.exp,                          -10, 10),
    "expm1":    Peer(np.expm1,                        -5, 5),
    "log":      Peer(np.log,                          0.01, 100),
    "log1p":    Peer(np.log1p,                        -0.9, 10),
    "log2":     Peer(np.log2,                         0.01, 100),
    "log10":    Peer(np.log10,                        0.01, 100),
    "tanh":     Peer(np.tanh,                         -4, 4),
    "sigmoid":  Peer(special.expit,                   -8, 8),
    "softplus": Peer(lambda x: np.logaddexp(0.0, x),  -8, 8),
    "sin":      Peer(np.sin,                          -10, 10),
    "cos":      Peer(np.cos,                          -10, 10),
    "tan":      Peer(np.tan,                          -10, 10),
    "asin":     Peer(np.arcsin,                       -1, 1),
    "acos":     Peer(np.arccos,                       -1, 1),
    "atan":     Peer(np.arctan,                       -4, 4),
    "atan2":    Peer(np.arctan2,                      -4, 4),
    "sinh":     Peer(np.sinh,                         -5, 5),
    "cosh":     Peer(np.cosh,                         -5, 5),
    "asinh":    Peer(np.arcsinh,                      -5, 5),
    "acosh":    Peer(np.arccosh,                      1, 9),
    "atanh":    Peer(np.arctanh,                      -0.99, 0.99),
    "sqrt":     Peer(np.sqrt,                         0, 9),
    "cbrt":     Peer(np.cbrt,                         -9, 9),
    "power":    Peer(np.power,                        0.1, 9),
    "erf":      Peer(special.erf,                     -3, 3),
    "erfc":     Peer(special.erfc,                    -3, 6),
    "loggamma": Peer(special.gammaln,                 0.1, 20),
    "digamma":  Peer(special.psi,                     0.1, 20),
    "maximum":  Peer(np.maximum,                      -1, 1),
}
# fmt: on

EXACT: dict[str, Callable[..., mpmath.mpf]] = {     # where FUNCTIONS has no row, or another branch
    "maximum": max,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
}


# ------------------------------------------------------------------------------------------------ kernels


def compiled(body: Body, element: str, arrays: list[np.ndarray], imports: dict[str, int] | None = None) -> Kernel:
    """A loop over the arrays; the last one takes the results."""
    target = host()
    lanes = target.lanes(element)
    f = Function(Module(target), "run", [*(("ptr noalias", f"x{at}") for at in range(len(arrays))), ("i64", "repeats")])
    *inputs, output, repeats = f.arguments
    k = Lanes(f, element, lanes, target)
    with f.loop(0, repeats), f.loop(0, COUNT, lanes) as loop:
        operands = [k.load(f.gep(element, pointer, loop.index)) for pointer in inputs]
        k.store(body(k, *operands), f.gep(element, output, loop.index))
    f.ret()
    loaded = compile_text(f.module.text(), ["run"], imports=imports)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays), ctypes.c_int64)(loaded.address("run"))
    addresses = [array.ctypes.data for array in arrays]

    def run(repeats: int, _alive: object = (loaded, arrays)) -> None:
        call(*addresses, repeats)

    return run


def libmvec(name: str, element: str, arrays: list[np.ndarray]) -> Kernel | None:
    """The same loop around glibc's vector function; None where there is no such library or function."""
    target, suffix = host(), "f" if element == "float" else ""
    operands = "v" * (len(arrays) - 1)
    symbol = f"_ZGV{LETTERS[target.name]}N{target.lanes(element)}{operands}_{LIBM.get(name, name)}{suffix}"
    try:
        address = ctypes.cast(getattr(ctypes.CDLL("libmvec.so.1"), symbol), ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None

    def body(k: Lanes, *values: Value) -> Value:
        return k.function.call(k.real, f"@{symbol}", *values)

    return compiled(body, element, arrays, {symbol: address or 0})


def aligned(dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that starts on a cache line."""
    raw = np.empty(COUNT * dtype.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + COUNT * dtype.itemsize].view(dtype)


# ------------------------------------------------------------------------------------------------ measuring


def timed(run: Kernel) -> Callable[[], float]:
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


def interleaved(kernels: dict[str, Kernel]) -> dict[str, list[float]]:
    """Times of all kernels, which take turns."""
    measurements = {name: timed(run) for name, run in kernels.items()}
    times: dict[str, list[float]] = {name: [] for name in kernels}
    for _ in range(ROUNDS):
        for name, once in measurements.items():
            times[name].append(once())
    return times


def ratio(own: list[float], other: list[float]) -> float:
    """The median over rounds."""
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


def ulp(got: np.ndarray, exact: list[mpmath.mpf]) -> float:
    """The largest error in units in the last place."""
    units = np.spacing(np.abs(np.array([float(value) for value in exact])).astype(got.dtype)).astype(float)
    return max(
        float(abs(mpmath.mpf(float(g)) - value)) / unit for g, value, unit in zip(got, exact, units, strict=True)
    )


def exact_values(name: str, operands: list[np.ndarray]) -> list[mpmath.mpf]:
    """The truth at each operand."""
    exact = EXACT.get(name) or FUNCTIONS[name].exact
    with mpmath.workprec(140):
        return [mpmath.re(exact(*(mpmath.mpf(float(x)) for x in point))) for point in zip(*operands, strict=True)]


def measure(name: str, element: str, row: str) -> str:
    """One line of the table."""
    peer, random, dtype = PEERS[name], np.random.default_rng(0), ELEMENTS[element]
    arrays = [aligned(dtype) for _ in range(VECTOR_MATH[name].arity + 1)]
    for array in arrays[:-1]:
        array[:] = random.uniform(peer.low, peer.high, COUNT)
    *inputs, output = arrays
    own = compiled(lambda k, *values: inline(k, row, *values), element, arrays)
    other = libmvec(name, element, arrays)

    def numpy(repeats: int) -> None:
        for _ in range(repeats):
            peer.numpy(*inputs)

    times = interleaved({"ours": own, "NumPy": numpy, **({"libmvec": other} if other else {})})
    exact = exact_values(name, inputs)
    own(1)
    cells = [f"{name:9} {element:6} {statistics.median(times['ours']):7.3f} ns {ulp(output, exact):6.2f} ulp"]
    if other:
        other(1)
        against = ratio(times["ours"], times["libmvec"])
        cells.append(f"libmvec {ulp(output, exact):6.2f} ulp  ours/libmvec {against:5.2f}{'*' if against > 1 else ' '}")
    else:
        cells.append(" " * 39)
    cells.append(f"ours/NumPy {ratio(times['ours'], times['NumPy']):5.2f}")
    return "  ".join(cells)


def main() -> None:
    """Prints the table."""
    names = [word for word in sys.argv[1:] if not word.startswith("--")] or list(PEERS)
    fast = "--fast" in sys.argv[1:]
    print(f"{host().name} ({host().cpu}), ns per element and ratios, medians of {ROUNDS} interleaved rounds")
    for name in names:
        row = f"fast.{name}" if fast and f"fast.{name}" in VECTOR_MATH else name
        for element in ELEMENTS:
            print(measure(name, element, row), flush=True)


if __name__ == "__main__":
    main()
