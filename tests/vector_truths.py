"""What is true of the rows of compiler/rules/machine.py, by mpmath and NumPy, and which operands to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np
import scipy.special as special
from vector_kernels import DTYPE

from sympile.compiler.rules.machine import VECTOR_MATH

PI, NEAREST = np.pi, 6381956970095103.0 * 2.0**797    # of all float64 numbers the closest to a multiple of π/2 (Kahan)
COUNT = 3000           # operands from each range


def log1pexp(x: mp.mpf) -> mp.mpf:
    """log(1 + exp(x)) to full precision."""
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def exact_sigmoid(x: mp.mpf) -> mp.mpf:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + mp.exp(-x))


def numpy_softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x))."""
    return np.logaddexp(0.0, x)


def exact_xlogx(x: mp.mpf) -> mp.mpf:
    """x log x."""
    return times_log(x, x)


def numpy_xlogx(x: np.ndarray) -> np.ndarray:
    """x log x."""
    return special.xlogy(x, x)


def times_log(x: mp.mpf, y: mp.mpf) -> mp.mpf:
    """x log y with 0 log 0 = 0."""
    return mp.mpf(0) if x == 0 else x * mp.log(y)


@dataclass(frozen=True)
class Truth:
    """Where to look, what is true there, and what NumPy says of special values."""

    exact: Callable[..., mp.mpf]
    numpy: Callable[..., np.ndarray]
    ranges: tuple[tuple[float, float], ...]     # uniform in each
    magnitudes: tuple[float, float]             # binary exponents, uniform in the logarithm
    negative: bool = True


def real_cbrt(x: mp.mpf) -> mp.mpf:
    """The real cube root."""
    return mp.sign(x) * mp.cbrt(abs(x))


def exact_elu(x: mp.mpf) -> mp.mpf:
    """x above 0, else exp(x) - 1."""
    return x if x > 0 else mp.expm1(x)


def numpy_elu(x: np.ndarray) -> np.ndarray:
    """The same with NumPy."""
    return np.where(x > 0, x, np.expm1(x))


def over_root(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x / sqrt(y) with NumPy."""
    return x / np.sqrt(y)


ANY, UNIT = (-1074.0, 1023.9), (-1074.0, -0.01)
POSITIVE = False
# fmt: off
TRUTHS: dict[str, Truth] = {
    #                 exact                   NumPy            uniform in                  magnitudes    sign
    "exp":      Truth(mp.exp,                 np.exp,          ((-745, 709), (-2, 2)),     (-60, 9.4)),
    "expm1":    Truth(mp.expm1,               np.expm1,        ((-40, 709), (-2, 2)),      (-1074, 9.4)),
    "log":      Truth(mp.log,                 np.log,          ((0.5, 2), (0, 100)),       ANY,          POSITIVE),
    "log1p":    Truth(mp.log1p,               np.log1p,        ((-1, 3), (-1e-3, 1e-3)),   ANY,          POSITIVE),
    "log2":     Truth(lambda x: mp.log(x, 2), np.log2,         ((0.5, 2), (0, 100)),       ANY,          POSITIVE),
    "log10":    Truth(mp.log10,               np.log10,        ((0.5, 2), (0, 100)),       ANY,          POSITIVE),
    "tanh":     Truth(mp.tanh,                np.tanh,         ((-22, 22), (-1, 1)),       ANY),
    "sigmoid":  Truth(exact_sigmoid,          special.expit,   ((-745, 40), (-3, 3)),      (-60, 9.4)),
    "softplus": Truth(log1pexp,               numpy_softplus,  ((-745, 745), (-4, 4)),     (-60, 10)),
    "sin":      Truth(mp.sin,                 np.sin,          ((-10, 10), (-1e5, 1e5)),   ANY),
    "cos":      Truth(mp.cos,                 np.cos,          ((-10, 10), (-1e5, 1e5)),   ANY),
    "tan":      Truth(mp.tan,                 np.tan,          ((-10, 10), (-1e5, 1e5)),   ANY),
    "asin":     Truth(mp.asin,                np.arcsin,       ((-1, 1), (0.49, 0.51)),    UNIT),
    "acos":     Truth(mp.acos,                np.arccos,       ((-1, 1), (0.49, 0.51)),    UNIT),
    "atan":     Truth(mp.atan,                np.arctan,       ((-4, 4), (-1, 1)),         ANY),
    "atan2":    Truth(mp.atan2,               np.arctan2,      ((-4, 4), (-1, 1)),         ANY),
    "sinh":     Truth(mp.sinh,                np.sinh,         ((-711, 711), (-3, 3)),     (-1074, 9.4)),
    "cosh":     Truth(mp.cosh,                np.cosh,         ((-711, 711), (-3, 3)),     (-60, 9.4)),
    "asinh":    Truth(mp.asinh,               np.arcsinh,      ((-10, 10), (-1, 1)),       ANY),
    "acosh":    Truth(mp.acosh,               np.arccosh,      ((1, 10), (1, 1.01)),       (0, 1023.9),   POSITIVE),
    "atanh":    Truth(mp.atanh,               np.arctanh,      ((-1, 1), (-0.2, 0.2)),     UNIT),
    "cbrt":     Truth(real_cbrt,              np.cbrt,         ((-9, 9), (0.3, 3)),        ANY),
    "erf":      Truth(mp.erf,                 special.erf,     ((-6, 6), (-1, 1)),         (-1074, 3)),
    "erfc":     Truth(mp.erfc,                special.erfc,    ((-6, 27), (0, 1)),         (-60, 4.7)),
    "loggamma": Truth(mp.loggamma,            special.gammaln, ((0.1, 12), (0.9, 2.1)),    (-1074, 1013), POSITIVE),
    "digamma":  Truth(mp.digamma,             special.psi,     ((0.1, 12), (1.4, 1.5)),    (-1000, 1013), POSITIVE),
    "trigamma": Truth(lambda x: mp.psi(1, x), lambda x: special.polygamma(1, x), ((0.1, 12), (1, 2)), (-500, 1000), POSITIVE),
    "power":    Truth(lambda x, y: x**y,      np.power,        ((0.1, 10), (-300, 300)),   (-30, 30),     POSITIVE),
    "divide_nearly": Truth(lambda x, y: x / y, np.divide,     ((-9, 9), (0.1, 3)),        ANY),
    "divide_by_root": Truth(lambda x, y: x / mp.sqrt(y), over_root, ((0.1, 9), (1, 4)),   ANY,          POSITIVE),
    "sqrt":     Truth(mp.sqrt,                np.sqrt,         ((0, 10),),                 ANY,          POSITIVE),
    "elu":      Truth(exact_elu,              numpy_elu,       ((-40, 5),),                ANY),
    "xlogx":    Truth(exact_xlogx,            numpy_xlogx,     ((0.5, 2), (0, 100)),       (-1000, 1010), POSITIVE),
    "xlogy":    Truth(times_log,              special.xlogy,   ((0.5, 2), (0, 100)),       (-500, 500),   POSITIVE),
}

AWKWARD: dict[str, tuple[float, ...]] = {     # these and their neighbours: where formulas change over, zeros, poles
    "exp": (709.78, -708.39, -745.13, 0.34657),       "expm1": (709.78, -37.5, 0.34657),
    "log": (1.0, 0.7071, 1.4142),                     "log1p": (-0.29289, 0.41421, 1.8284, -0.9999999, 3e38, 1.7e308),
    "log2": (1.0, 0.7071, 1.4142, 8.0),               "log10": (1.0, 0.7071, 1.4142, 1000.0),
    "tanh": (0.25, 0.32, 1.28, 9.5, 19.1875),                "sigmoid": (-708.39, 36.7),
    "softplus": (-0.88137, 36.7, -708.39),            "sin": (PI, 2 * PI, PI / 2, 1e5, 1e14, 1e15, 1e22, NEAREST),
    "cos": (PI, 2 * PI, PI / 2, 1e5, 1e14, NEAREST),  "tan": (PI, PI / 4, PI / 2, 1e5, 1e14, 1e22, NEAREST),
    "asin": (0.5, 1.0),                               "acos": (0.5, 1.0, -1.0, -0.5),
    "atan": (1 / 6, 0.25, 0.5, 1.0, 2.0, 8.6667),      "atan2": (0.5, 1.0, 2.0),
    "sinh": (1.0, 710.47),                            "cosh": (1.0, 710.47),
    "asinh": (2.0**512, 2.0**64, 2.0**500, 2.0**60, 0.35, 3e38, 1.7e308), "acosh": (1.0, 1.25, 2.0**501, 2.0**61, 3e38, 1.7e308),
    "atanh": (0.2, 0.3333, 0.9999999, 1.0),                  "cbrt": (1.0, 8.0, 27.0),
    "erf": (0.1, 0.5, 1.1, 3.9375, 6.0625),            "erfc": (0.25, 0.5, 2.5, 26.5, 27.2),
    "loggamma": (1.0, 2.0, 3.0, 8.0, 0.5, 1.2, 1.75), "digamma": (1.0, 1.4616321449683622, 2.0, 3.0, 8.0),
    "trigamma": (1.0, 7.0, 8.0),
    "power": (1.0, 0.5, 2.0, 0.984375, 1.03125, 1.46875),                         "xlogx": (1.0,),
    "xlogy": (1.0,),                                  "divide_nearly": (2.0**500, 2.0**60, 2.0**-60),
}
# fmt: on


SIMPLE: dict[str, Callable[..., np.ndarray]] = {    # the same bits as NumPy
    "sqrt": np.sqrt,
    "root_square": np.sqrt,
    "divide": np.divide,
    "floor": np.floor,
    "ceiling": np.ceil,
    "sign": np.sign,
    "abs": np.abs,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "relu": lambda x: np.where(x < 0, x.dtype.type(0), x),
    "leaky_relu": lambda x, s: np.where(x > 0, x, s * x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "heaviside": np.heaviside,
}

DOUBTFUL = ("loggamma", "digamma", "trigamma")    # no promise below 0; SciPy overflows too early at denormals


FAST = {f"fast.{name}": name for name in ("tanh", "sigmoid")}
TRUTHS |= {fast: TRUTHS[name] for fast, name in FAST.items()}
AWKWARD |= {fast: AWKWARD[name] for fast, name in FAST.items()}


def sample(name: str, bits: int, seed: int) -> np.ndarray:
    """Ordinary and awkward operands, rounded to the format."""
    truth, random, limits = TRUTHS[name], np.random.default_rng(seed), np.finfo(DTYPE[bits])
    low = max(truth.magnitudes[0], -149.0 if bits == 32 else -1074.0)
    high = min(truth.magnitudes[1], 127.9 if bits == 32 else 1023.9)
    sizes = np.exp2(random.uniform(low, high, COUNT))
    groups = [random.uniform(start, stop, COUNT) for start, stop in truth.ranges]
    groups.append(sizes * random.choice([-1.0, 1.0], COUNT) if truth.negative else sizes)
    with np.errstate(over="ignore"):
        values = np.concatenate([*groups, neighbours(AWKWARD.get(name, ()), bits)]).astype(DTYPE[bits])
    return values[np.abs(values) <= limits.max]


def neighbours(points: tuple[float, ...], bits: int) -> np.ndarray:
    """The points and three numbers on each side."""
    with np.errstate(over="ignore"):
        around = [np.array(points, DTYPE[bits])]
    for direction in (-np.inf, np.inf):
        step = around[0]
        for _ in range(3):
            step = np.nextafter(step, DTYPE[bits].type(direction))
            around.append(step)
    return np.concatenate(around).astype(np.float64)


def operands_of(name: str, bits: int) -> tuple[np.ndarray, ...]:
    """One array for each operand, all of one length."""
    columns = [sample(name, bits, seed) for seed in range(VECTOR_MATH[name].arity)]
    random = np.random.default_rng(7)
    for column in columns[1:]:
        random.shuffle(column)
    return tuple(columns)


def inside(name: str, operands: tuple[np.ndarray, ...]) -> np.ndarray:
    """Where NumPy gives a number, so that there is a truth to compare with."""
    with np.errstate(all="ignore"):
        reference = TRUTHS[name].numpy(*(operand.astype(np.float64) for operand in operands))
    return ~np.isnan(reference)


def exact_values(name: str, operands: tuple[np.ndarray, ...]) -> list[mp.mpf]:
    """The truth at each operand."""
    with mp.workprec(140):
        return [mp.re(TRUTHS[name].exact(*(mp.mpf(float(x)) for x in point))) for point in zip(*operands, strict=True)]
