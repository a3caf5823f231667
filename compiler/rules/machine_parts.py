"""What several vector functions share: facts of the number formats, reductions, sums in two parts."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from sympile.compiler.code import lookup, quick
from sympile.compiler.code.number import Bits, Mask, Number
from sympile.compiler.records import dataclass
from sympile.compiler.rules.coefficients import COEFFICIENTS, CONSTANTS
from sympile.compiler.rules.tables import AFTER_TABLES, TABLES


@dataclass(frozen=True, slots=True)
class Format:
    """What differs between float64 and float32."""

    fraction: int        # bits of the significand after the point
    bias: int
    magic: float         # 1.5 * 2**fraction: adding it rounds to a whole number, found in the low bits
    tiny: float          # the smallest normal number
    lift: float          # brings denormals into the normal range
    lift_power: int
    exp_low: float       # below, exp is 0
    exp_high: float      # above, exp is inf
    sinh_high: float     # above, sinh is inf
    saturated: float     # tanh(saturated / 2) is 1
    negligible: float    # 1 + x is 1 below; whatever is x + O(x²) is x


# fmt: off
FORMATS: dict[int, Format] = {
    #           fraction bias magic        smallest  lift         exp from ... to  sinh   saturated negligible
    64: Format(52, 1023, 1.5 * 2.0**52, 2.0**-1022, 2.0**54, 54, -746.0, 710.0,  710.5, 44.0,   2.0**-54),
    32: Format(23, 127,  1.5 * 2.0**23, 2.0**-126,  2.0**25, 25, -104.5, 89.0,   89.5,  20.0,   2.0**-25),
}
# fmt: on

INF, NAN = math.inf, math.nan
_FITTED = COEFFICIENTS | AFTER_TABLES


def facts(x: Number) -> Format:
    """The format of a number."""
    return FORMATS[x.lanes.bits]


def fitted(x: Number, name: str) -> tuple[float, ...]:
    """The coefficients of a polynomial in the number's format."""
    return _FITTED[name, x.lanes.bits]


def parts(x: Number, name: str) -> tuple[float, ...]:
    """A constant as an unevaluated sum in the number's format."""
    return CONSTANTS[name, x.lanes.bits]


def constant(like: Number, number: float) -> Number:
    """A constant of the same format."""
    return Number(like.lanes, like.lanes.constant(number))


def bits_of(like: Number, number: float) -> int:
    """The bits of a constant in the number's format."""
    integer, real = ("<Q", "<d") if like.lanes.bits == 64 else ("<I", "<f")
    return int(struct.unpack(integer, struct.pack(real, number))[0])


# ----------------------------------------------------------------------------------------- sums in two parts


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An unevaluated sum; `low` is at most an ulp of `high`."""

    high: Number
    low: Number

    def total(self) -> Number:
        """The sum, rounded once."""
        return self.high + self.low


def fast_sum(a: Number, b: Number) -> Pair:
    """a + b exactly, where |a| >= |b| (Dekker 1971)."""
    high = a + b
    return Pair(high, (a - high) + b)


def exact_product(a: Number, b: Number) -> Pair:
    """a * b exactly."""
    high = a * b
    return Pair(high, a.fma(b, -high))


def quotient(above: Pair, below: Pair) -> Pair:
    """A quotient of two sums, to about twice the precision."""
    inverse = 1.0 / below.high
    high = above.high * inverse
    rest = (-high).fma(below.high, above.high) + above.low
    return Pair(high, (-high).fma(below.low, rest) * inverse)


# ----------------------------------------------------------------------------------------------- exponential


def rounded_multiple(x: Number, factor: float) -> tuple[Number, Number]:
    """magic + n and n, where n is the whole number next to x*factor."""
    magic = facts(x).magic
    shifted = x.fma(factor, magic)
    return shifted, shifted - magic


def power_of_two(shifted: Number, extra: int = 0) -> Number:
    """2**(n + extra) from magic + n; n + extra must lie in the normal range."""
    fact = facts(shifted)
    return ((shifted.bits() << fact.fraction) + ((fact.bias + extra) << fact.fraction)).number()


STEPS = {64: 8, 32: 16}     # of a power of two: as many numbers as one register of 512 bits holds


@dataclass(frozen=True, slots=True, eq=False)
class Power:
    """2**n for multiples n of 1/STEPS: (high + low) 2**floor(n), by a table of the powers from 1 to 2."""

    n: Number
    steps: Bits          # n STEPS in the low bits
    high: Number
    low: Number

    def times(self, value: Number) -> Number:
        """value * 2**floor(n), rounded once; n stays within twice the range of exponents."""
        k, fact = value.lanes, facts(value)
        if quick.has_one(k):
            return Number(k, quick.scaled(k, value.value, self.n.value))
        whole = self.steps >> (STEPS[k.bits].bit_length() - 1)
        half = (whole >> 1) << fact.fraction
        rest = (whole << fact.fraction) - half
        bias = fact.bias << fact.fraction
        return value * (half + bias).number() * (rest + bias).number()      # overflow and denormals with one rounding


def exp_reduced(x: Number, low: Number | None = None) -> tuple[Power, Number]:
    """The power of two next to exp(x + low), and exp(r) - 1 of what is left, |r| at most half a step."""
    above, below = parts(x, "ln2")
    magic = facts(x).magic / STEPS[x.lanes.bits]
    shifted = x.fma(parts(x, "1/ln2")[0], magic)
    n = shifted - magic
    r = n.fma(-below, n.fma(-above, x))
    r, steps = r if low is None else r + low, shifted.bits()
    power = Power(n, steps, *entries(steps, "power_of_two", "power_of_two_low"))
    return power, (r * r).fma(r.polynomial(fitted(x, "exp_step")), r)


def exp_minus_one_reduced(x: Number) -> tuple[Number, Number]:
    """magic + n and exp(r) - 1, where the last bit of the reduction does not matter."""
    high, low = parts(x, "ln2")
    shifted, n = rounded_multiple(x, parts(x, "1/ln2")[0])
    r = n.fma(-low, n.fma(-high, x))
    return shifted, (r * r).fma(r.polynomial(fitted(x, "exp")), r)


# ------------------------------------------------------------------------------------------- tables, logarithm


def entry(index: Bits, name: str) -> Number:
    """The entry of a table in the number's format; only the low bits of the index count."""
    k = index.lanes
    return Number(k, lookup.looked_up(k, name, TABLES[name, k.bits], index.value))


def entries(index: Bits, *names: str) -> list[Number]:
    """The entries of several tables at one place."""
    k = index.lanes
    found = lookup.columns_looked_up(k, "/".join(names), [TABLES[name, k.bits] for name in names], index.value)
    return [Number(k, value) for value in found]


def leading_bits(m: Number) -> Bits:
    """The four bits of the significand behind the point, with the exponent above them."""
    return m.bits() >> (facts(m).fraction - 4)


def split_from_one(x: Number) -> tuple[Number, Number]:
    """k and m with |x| = 2**k m, 1 <= m < 2; denormals too. Neither means anything at 0, inf and nan."""
    k = x.lanes
    if quick.has_one(k):
        return Number(k, quick.exponent(k, x.value)), Number(k, quick.significand_from_one(k, x.value))
    return _split_bits(abs(x), 1.0)


def split_around_one(x: Number, least: float) -> tuple[Number, Number]:
    """k and m with x = 2**k m, least <= m < 2 least, where 1/2 < least < 1; denormals too, for finite x > 0."""
    k, m = split_from_one(x)
    far = m >= 2 * least
    return far.pick(k + 1.0, k), far.pick(m * 0.5, m)


def split_exponent(x: Number) -> tuple[Number, Number]:
    """k and m with x = 2**k m, 3/4 <= m < 3/2; denormals too, for x > 0."""
    k = x.lanes
    if not quick.has_one(k):
        return _split_bits(x, 0.75)
    m = quick.significand(k, x.value)
    return Number(k, quick.exponent(k, x.value)) - Number(k, quick.exponent(k, m)), Number(k, m)


def _split_bits(x: Number, least: float) -> tuple[Number, Number]:
    fact = facts(x)
    denormal = x < fact.tiny
    lifted = denormal.pick(x * fact.lift, x)
    start = bits_of(x, least)
    moved = lifted.bits() + (bits_of(x, 1.0) - start)
    whole = 2.0**fact.fraction                      # its low bits hold an integer: no conversion instruction needed
    bias = denormal.pick(whole + fact.bias + fact.lift_power, whole + fact.bias)
    k = ((moved >> fact.fraction) | bits_of(x, whole)).number() - bias
    return k, ((moved & ((1 << fact.fraction) - 1)) + start).number()


@dataclass(frozen=True, slots=True, eq=False)
class ReducedLog:
    """log(x) = k log 2 - log(inverse) + log(1 + r + lost), where `piece` tells the table's entry."""

    k: Number
    piece: Bits
    r: Number
    lost: Number | None = None

    def total(self) -> Number:
        """The natural logarithm."""
        high, low = parts(self.r, "ln2_short")
        whole = self.k.fma(high, entry(self.piece, "log_high"))
        rest = self.k.fma(low, entry(self.piece, "log_low"))
        rest = rest if self.lost is None else rest + self.lost
        return whole + (self.r + (self.r * self.r).fma(self.r.polynomial(fitted(self.r, "log")), rest))


def reduced_log(x: Number) -> ReducedLog:
    """By a table of inverses (Tang 1990)."""
    k, m = split_exponent(x)
    piece = leading_bits(m)
    return ReducedLog(k, piece, m.fma(entry(piece, "log_inverse"), -1.0))             # r is exact


def reduced_log_of(x: Pair, halved: bool = False) -> ReducedLog:
    """The same of a sum whose high is not denormal, or of twice that sum, where all the digits of small r count too."""
    k, m = split_exponent(x.high)
    piece = leading_bits(m)
    inverse = entry(piece, "log_inverse")
    scale = (m.bits() - x.high.bits() + bits_of(m, 1.0)).number()                     # 2**-k; far above, low is nothing
    low = (x.high < 2.0 ** (facts(m).bias - 1)).pick(x.low * scale, 0.0)
    whole = m.fma(inverse, -1.0)
    r = low.fma(inverse, whole)
    lost = low.fma(inverse, whole - r) if halved or m.lanes.bits == 32 else None      # else a quarter of an ulp
    return ReducedLog(k + 1.0 if halved else k, piece, r, lost)


def log_specials(x: Number, result: Number) -> Number:
    """What the logarithm of x is where x is not a finite number above 0; k is ±inf or m nan there, where one instruction finds them."""
    if quick.has_one(x.lanes):
        return result
    result = x.equals(INF).pick(INF, result)
    result = x.compare("ult", 0.0).pick(NAN, result)
    return x.equals(0.0).pick(-INF, result)


# ----------------------------------------------------------------------------------------------------- other


def zero_or_beyond(x: Number) -> Mask:
    """Where x is a zero, infinite or nan."""
    k = x.lanes
    if quick.has_one(k):
        return Mask(k, quick.zero_or_beyond(k, x.value))
    y = abs(x)
    return y.equals(0.0) | y.compare("uge", INF)


def where_some(mask: Mask, usual: Number, seldom: Callable[[], Number]) -> Number:
    """`usual`, or `seldom` in the lanes of the mask; that is not computed where no lane needs it."""
    k = usual.lanes
    with k.function.either(k.somewhere(mask.value), unlikely=True) as choice:
        with choice.then():
            choice.give(mask.pick(seldom(), usual).value)
        with choice.otherwise():
            choice.give(usual.value)
    return Number(k, choice.results[0])


def first_true(choices: list[tuple[Mask, Number | float]], otherwise: Number) -> Number:
    """The value that stands with the first mask that holds."""
    for mask, value in reversed(choices):
        otherwise = mask.pick(value, otherwise)
    return otherwise


