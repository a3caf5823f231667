"""Every row of compiler/rules/machine.py against mpmath: promises, special values, and a judge that can fail."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special as special

from sympile.compiler.code.jit import Loaded, compile_text
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.lookup import looked_up
from sympile.compiler.code.number import Number
from sympile.compiler.code.target import host
from sympile.compiler.code.value import Value
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.errors import InternalError
from sympile.compiler.rules.lowering import FASTER
from sympile.compiler.rules.machine import VECTOR_MATH, call_or_inline, inline, integer_power

Body = Callable[..., Value]
ELEMENT = {64: "double", 32: "float"}
DTYPE: dict[int, np.dtype[Any]] = {64: np.dtype(np.float64), 32: np.dtype(np.float32)}
HOST = host()
PI, NEAREST = np.pi, 6381956970095103.0 * 2.0**797    # of all float64 numbers the closest to a multiple of π/2 (Kahan)
COUNT = 3000           # operands from each range

# --------------------------------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Kernel:
    """A compiled loop over arrays."""

    loaded: Loaded
    bits: int
    lanes: int
    arity: int

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        count = -(-arrays[0].size // self.lanes) * self.lanes
        padded = [np.resize(array.astype(DTYPE[self.bits]), count) for array in arrays]
        result = np.empty(count, DTYPE[self.bits])
        kinds = [ctypes.c_void_p] * (self.arity + 1)
        call = ctypes.CFUNCTYPE(None, *kinds, ctypes.c_int64)(self.loaded.address("run"))
        call(*(array.ctypes.data for array in (*padded, result)), count)
        return result[: arrays[0].size]


def kernel(body: Body, arity: int, bits: int, lanes: int) -> Kernel:
    """A loop that stores body(operands) for each group of lanes."""
    module = Module(HOST)
    pointers = [("ptr", f"in{at}") for at in range(arity + 1)]
    f = Function(module, "run", [*pointers, ("i64", "n")])
    k = Lanes(f, ELEMENT[bits], lanes, HOST)
    *inputs, output, count = f.arguments
    with f.loop(0, count, lanes) as loop:
        operands = [k.load(f.gep(k.element, pointer, loop.index)) for pointer in inputs]
        k.store(body(k, *operands), f.gep(k.element, output, loop.index))
    f.ret()
    return Kernel(compile_text(module.text(), ["run"]), bits, lanes, arity)


@functools.cache
def row_kernel(name: str, bits: int, lanes: int = 0) -> Kernel:
    """The kernel of a row, with as many lanes as a register has unless told otherwise."""
    lanes = lanes or HOST.lanes(ELEMENT[bits])
    return kernel(functools.partial(by_name, name), VECTOR_MATH[name].arity, bits, lanes)


def by_name(name: str, k: Lanes, *operands: Value) -> Value:
    """The operands in the row's code, called as a function of the module."""
    return call_or_inline(k, name, *operands)


# --------------------------------------------------------------------------------------------------- judging


def ulps(got: np.ndarray, exact: list[mp.mpf], bits: int) -> np.ndarray:
    """How many units in the last place of the exact value each result is away; 0 where both overflow alike."""
    kind = DTYPE[bits]
    high = np.array([float(value) for value in exact])
    pairs = zip(exact, high, strict=True)
    low = np.array([float(value - mp.mpf(near)) if np.isfinite(near) else 0.0 for value, near in pairs])
    with np.errstate(all="ignore"):
        rounded = high.astype(kind)
        unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, np.finfo(kind).max)).astype(kind))
        error = np.abs((got.astype(np.float64) - high) - low) / unit.astype(np.float64)
        alike = (got == rounded) & ~np.isfinite(rounded) | np.isnan(got) & np.isnan(rounded)
        return np.where(alike, 0.0, np.where(np.isnan(error), np.inf, error))


def judge(got: np.ndarray, exact: list[mp.mpf], bits: int, limit: float, operands: tuple[np.ndarray, ...]) -> None:
    """Fails with the worst operand where a result is further away than promised."""
    error = ulps(got, exact, bits)
    worst = int(np.argmax(error))
    assert error[worst] <= limit + 1e-3, (
        f"{error[worst]:.3f} ulp at {[(float(x[worst]), float(x[worst]).hex()) for x in operands]}:"
        f" got {float(got[worst])!r}, exactly {mp.nstr(exact[worst], 20)}; promised {limit}"
    )


# ----------------------------------------------------------------------------------------------------- truth


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
    "tanh": (0.25, 0.32, 1.28, 9.125, 19.0625),                "sigmoid": (-708.39, 36.7),
    "softplus": (-0.88137, 36.7, -708.39),            "sin": (PI, 2 * PI, PI / 2, 1e5, 1e14, 1e15, 1e22, NEAREST),
    "cos": (PI, 2 * PI, PI / 2, 1e5, 1e14, NEAREST),  "tan": (PI, PI / 4, PI / 2, 1e5, 1e14, 1e22, NEAREST),
    "asin": (0.5, 1.0),                               "acos": (0.5, 1.0, -1.0, -0.5),
    "atan": (1 / 6, 0.25, 0.5, 1.0, 2.0, 8.6667),      "atan2": (0.5, 1.0, 2.0),
    "sinh": (1.0, 710.47),                            "cosh": (1.0, 710.47),
    "asinh": (2.0**512, 2.0**64, 2.0**500, 2.0**60, 0.35, 3e38, 1.7e308), "acosh": (1.0, 1.25, 2.0**501, 2.0**61, 3e38, 1.7e308),
    "atanh": (0.2, 0.3333, 0.9999999, 1.0),                  "cbrt": (1.0, 8.0, 27.0),
    "erf": (0.1, 0.5, 1.1, 3.9375, 5.9375),            "erfc": (0.25, 0.5, 2.5, 26.5, 27.2),
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


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", sorted(TRUTHS))
def test_promise(name: str, bits: int) -> None:
    row = VECTOR_MATH[name]
    operands = operands_of(name, bits)
    keep = inside(name, operands)
    if name == "power":      # the operands of the truth must lie in its domain, and the result near the format's range
        with np.errstate(all="ignore"):
            keep &= np.abs(operands[1] * np.log2(operands[0].astype(np.float64))) < 1100
    operands = tuple(operand[keep] for operand in operands)
    got = row_kernel(name, bits)(*operands)
    judge(got, exact_values(name, operands), bits, row.ulp64 if bits == 64 else row.ulp32, operands)


# --------------------------------------------------------------------------------------------- special values

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1e300, -1e300]
SPECIAL += [5e-324, -5e-324, 1e-310, -1e-310, 2.0**53, -(2.0**53), 2.0**53 - 1, 1.5, -1.5, 1e-40]


def same_special(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The same where it must be: nan, infinities, zeros with their signs; close elsewhere."""
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= 8 * np.spacing(np.abs(want))
    exact = (got == want) & (np.signbit(got) == np.signbit(want))
    return np.where(np.isnan(want), np.isnan(got), np.where(np.isinf(want) | (want == 0), exact, near))


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", sorted(TRUTHS))
def test_special_values(name: str, bits: int) -> None:
    kind = DTYPE[bits]
    with np.errstate(all="ignore"):
        points = np.unique(np.array(SPECIAL).astype(kind).view(f"u{bits // 8}")).view(kind)
        if VECTOR_MATH[name].arity == 2:
            grid = np.meshgrid(points, points)
            operands = (grid[0].ravel(), grid[1].ravel())
        else:
            operands = (points,)
        want = TRUTHS[name].numpy(*(operand.astype(np.float64) for operand in operands)).astype(kind)
    if name in DOUBTFUL:
        keep = (operands[0] == 0) | (operands[0] > np.finfo(np.float64).tiny) | np.isnan(operands[0])
        operands, want = (operands[0][keep],), want[keep]
    got = row_kernel(name, bits)(*operands)
    good = same_special(got, want)
    assert good.all(), [
        (*(float(x[at]) for x in operands), float(got[at]), float(want[at])) for at in np.flatnonzero(~good)[:9]
    ]


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", sorted(SIMPLE))
def test_simple_operations_give_numpys_bits(name: str, bits: int) -> None:
    random = np.random.default_rng(3)
    with np.errstate(all="ignore"):
        points = np.array([*SPECIAL, *random.normal(size=40) * 3]).astype(DTYPE[bits])
    grid = np.meshgrid(points, points)
    operands = tuple(axis.ravel() for axis in grid[: VECTOR_MATH[name].arity])
    with np.errstate(all="ignore"):
        want = SIMPLE[name](*operands).astype(DTYPE[bits])
    got = row_kernel(name, bits)(*operands)
    np.testing.assert_array_equal(got, want)


# ------------------------------------------------------------------------------------------- integer powers


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("exponent", [-64, -7, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 12, 31, 100])
def test_integer_power(exponent: int, bits: int) -> None:
    random = np.random.default_rng(exponent + 100)
    reach = (1000 if bits == 64 else 120) / max(1, abs(exponent))
    x = (np.exp2(random.uniform(-reach, reach, 400)) * random.choice([-1.0, 1.0], 400)).astype(DTYPE[bits])
    run = kernel(lambda k, value: integer_power(k, value, exponent), 1, bits, HOST.lanes(ELEMENT[bits]))
    judge(run(x), [mp.mpf(float(value)) ** exponent for value in x], bits, 2.0, (x,))
    points = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], DTYPE[bits])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run(points), points ** DTYPE[bits].type(exponent))


# ------------------------------------------------------------------------------------------------ the judge


JUDGED_BY_BITS = {"sigmoid_with", "softplus_with"}          # test_together.py: the same as sigmoid and softplus


def test_every_row_is_judged() -> None:
    assert set(VECTOR_MATH) == set(TRUTHS) | set(SIMPLE) | JUDGED_BY_BITS


def test_promises_keep_to_the_tiers() -> None:
    for name, row in VECTOR_MATH.items():
        limits = (4.0, 4.5) if name in FAST else (2.0, 2.2)
        assert (row.ulp64 <= limits[0] and row.ulp32 <= limits[1]) or name in ("loggamma", "digamma"), name
    assert set(FASTER) == set(FAST.values())


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda got: got * got.dtype.type(1 + 4 * np.finfo(got.dtype).eps), id="4 ulp off"),
        pytest.param(lambda got: np.where(np.arange(got.size) == 5, np.nan, got), id="one nan"),
        pytest.param(lambda got: np.where(np.arange(got.size) == 5, np.inf, got), id="one inf"),
    ],
)
def test_the_judge_can_fail(spoil: Callable[[np.ndarray], np.ndarray], bits: int) -> None:
    x = np.linspace(-3, 3, 50).astype(DTYPE[bits])
    exact = exact_values("exp", (x,))
    got = row_kernel("exp", bits)(x)
    judge(got, exact, bits, 1.5, (x,))
    with pytest.raises(AssertionError, match="ulp at"):
        judge(spoil(got), exact, bits, 1.5, (x,))


def test_a_bad_row_is_caught() -> None:
    """exp by a Taylor polynomial, as one might write it in haste."""

    def hasty(k: Lanes, value: Value) -> Value:
        return Number(k, value).polynomial([1.0, 1.0, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720]).value

    x = np.linspace(-0.3, 0.3, 64)
    with pytest.raises(AssertionError, match="promised"):
        judge(kernel(hasty, 1, 64, 8)(x), exact_values("exp", (x,)), 64, 1.5, (x,))


# -------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("name", ["exp", "atan", "sin", "tan", "power", "loggamma", "log", "log1p", "log10", "asinh", "cbrt", "tanh", "erf"])
def test_any_number_of_lanes_gives_the_same_bits(name: str, lanes: int, bits: int) -> None:
    x = np.linspace(0.3, 1e16, 64) if name in ("sin", "tan") else np.linspace(0.3, 20, 64)
    operands = (x, x[::-1].copy())[: VECTOR_MATH[name].arity]
    np.testing.assert_array_equal(row_kernel(name, bits, lanes)(*operands), row_kernel(name, bits)(*operands))


def test_logarithms_of_powers_are_exact() -> None:
    tens, twos = np.arange(23), np.arange(-1074, 1024)
    np.testing.assert_array_equal(row_kernel("log10", 64)(np.array([float(f"1e{n}") for n in tens])), tens)
    np.testing.assert_array_equal(row_kernel("log2", 64)(np.ldexp(1.0, twos)), twos)
    np.testing.assert_array_equal(row_kernel("log10", 32)(np.array([float(f"1e{n}") for n in range(11)])), np.arange(11))
    np.testing.assert_array_equal(row_kernel("log2", 32)(np.ldexp(1.0, twos[925:1202])), twos[925:1202])


@pytest.mark.parametrize(("bits", "least", "most"), [(64, -1074, 1023), (32, -149, 127)])
def test_powers_of_two_are_exact(bits: int, least: int, most: int) -> None:
    n = np.arange(least, most + 1)
    np.testing.assert_array_equal(row_kernel("power", bits)(np.full(n.size, 2.0), n.astype(float)), np.ldexp(1.0, n))
    np.testing.assert_array_equal(row_kernel("exp", bits)(np.array([0.0, -0.0])), [1.0, 1.0])


@pytest.mark.parametrize("bits", [64, 32])
def test_the_angle_of_a_point_keeps_the_digits_of_its_quotient(bits: int) -> None:
    """Just above a power of two the quotient's rounding counts twice in its angle, and nothing else may be added there."""
    random = np.random.default_rng(1)
    slopes = np.ldexp(random.uniform(1, 1.02, COUNT), random.integers(-4, 1, COUNT))
    x = random.uniform(1, 2, COUNT).astype(DTYPE[bits])
    operands = (slopes.astype(DTYPE[bits]) * x, x)
    judge(row_kernel("atan2", bits)(*operands), exact_values("atan2", operands), bits, 1.5, operands)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("count", [4, 8, 16, 32])
@pytest.mark.parametrize("bits", [64, 32])
def test_tables_are_looked_up_by_the_low_bits(bits: int, count: int, lanes: int) -> None:
    numbers = [float(np.sqrt(at + 2)) for at in range(count)]

    def body(k: Lanes, value: Value) -> Value:
        return looked_up(k, "roots", numbers, k.to_bits(value))

    places = np.arange(64) * 5 - 32
    got = kernel(body, 1, bits, lanes)(places.astype(f"i{bits // 8}").view(DTYPE[bits]))
    np.testing.assert_array_equal(got, np.array(numbers, DTYPE[bits])[places % count])


def test_a_function_is_written_once() -> None:
    module = Module(HOST)
    f = Function(module, "run", [("<8 x double>", "x")], result="<8 x double>")
    k = Lanes(f, "double", 8, HOST)
    value = call_or_inline(k, "sin", call_or_inline(k, "sin", f.arguments[0]))
    f.ret(call_or_inline(k, "abs", value))
    assert list(module.functions) == ["run", "sympile.sin.v8f64", "sympile.turns"]


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        pytest.param("besselj", 1, "has no row", id="unknown"),
        pytest.param("power", 1, "takes 2 operands, not 1", id="arity"),
    ],
)
def test_mistakes_are_named(name: str, count: int, message: str) -> None:
    f = Function(Module(HOST), "run", [("double", "x")])
    with pytest.raises(InternalError, match=message):
        inline(Lanes(f, "double", 1, HOST), name, *f.arguments * count)
