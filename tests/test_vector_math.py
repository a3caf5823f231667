"""Every row of compiler/rules/machine.py against mpmath: promises, special values, and a judge that can fail."""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
from vector_kernels import DTYPE, ELEMENT, HOST, judge, kernel, row_kernel
from vector_truths import COUNT, DOUBTFUL, FAST, SIMPLE, TRUTHS, exact_values, inside, operands_of

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.number import Number
from sympile.compiler.code.value import Value
from sympile.compiler.rules.lowering import FASTER
from sympile.compiler.rules.machine import VECTOR_MATH, integer_power


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


# What a network saturates at, and its slope 1 - tanh² there, is not to miss 1 by its last place.
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", ["tanh", "fast.tanh", "erf"])
def test_odd_functions_end_at_one(name: str, bits: int) -> None:
    x = np.array([19.2, 20.0, 40.0, 1e4, 1e30, np.inf], DTYPE[bits])
    np.testing.assert_array_equal(row_kernel(name, bits)(np.concatenate([x, -x])), [1.0] * 6 + [-1.0] * 6)
