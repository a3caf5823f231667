"""What several vector functions share: facts of the number formats, reductions, sums in two parts."""

from __future__ import annotations

import math
import struct

from sympile.compiler.code import quick
from sympile.compiler.code.number import Mask, Number
from sympile.compiler.records import dataclass
from sympile.compiler.rules.coefficients import COEFFICIENTS, CONSTANTS


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
    huge: float          # 1 + x² is x² above


# fmt: off
FORMATS: dict[int, Format] = {
    #           fraction bias magic        smallest  lift         exp from ... to  sinh   saturated negligible huge
    64: Format(52, 1023, 1.5 * 2.0**52, 2.0**-1022, 2.0**54, 54, -746.0, 710.0,  710.5, 44.0,   2.0**-54,  2.0**29),
    32: Format(23, 127,  1.5 * 2.0**23, 2.0**-126,  2.0**25, 25, -104.5, 89.0,   89.5,  20.0,   2.0**-25,  2.0**14),
}
# fmt: on

INF, NAN = math.inf, math.nan


def facts(x: Number) -> Format:
    """The format of a number."""
    return FORMATS[x.lanes.bits]


def fitted(x: Number, name: str) -> tuple[float, ...]:
    """The coefficients of a polynomial in the number's format."""
    return COEFFICIENTS[name, x.lanes.bits]


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


def exact_sum(a: Number, b: Number | float) -> Pair:
    """a + b exactly, whichever is larger (Knuth 1969)."""
    high = a + b
    moved = high - a
    other = b if isinstance(b, Number) else constant(a, b)
    return Pair(high, (a - (high - moved)) + (other - moved))


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


def root(square: Pair) -> Pair:
    """The square root of a sum, to about twice the precision; 0 where it is 0."""
    high = square.high.sqrt()
    rest = (-high).fma(high, square.high) + square.low
    return Pair(high, (square.high > 0.0).pick(rest / (high + high), 0.0))


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


def two_powers(shifted: Number, extra: int = 0) -> tuple[Number, Number]:
    """Two factors whose product is 2**(n + extra): overflow and denormal results come out with one rounding."""
    fact = facts(shifted)
    whole = shifted.bits() + extra
    half = (whole >> 1) << fact.fraction
    rest = (whole << fact.fraction) - half
    bias = fact.bias << fact.fraction
    return (half + bias).number(), (rest + bias).number()


def times_power(value: Number, shifted: Number, extra: int = 0) -> Number:
    """value * 2**(n + extra) from magic + n, rounded once; n stays within twice the range of exponents."""
    k = value.lanes
    if quick.has_one(k):
        return Number(k, quick.scaled(k, value.value, (shifted - (facts(value).magic - extra)).value))   # exact
    first, second = two_powers(shifted, extra)
    return value * first * second


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """exp(x) = 2**n (1 + r + tail), |r| <= log(2)/2, with what the reduction left in `low`."""

    shifted: Number        # magic + n
    r: Number
    tail: Number           # exp(r) - 1 - r
    low: Number

    def minus_one(self) -> Number:
        """exp(r) - 1."""
        return self.r + self.tail


def reduced_exp(x: Number) -> Reduced:
    """Takes out the multiple of log 2 (Cody and Waite 1980) and evaluates the rest."""
    high, low = parts(x, "ln2")
    shifted, n = rounded_multiple(x, parts(x, "1/ln2")[0])
    exact = n.fma(-high, x)
    r = n.fma(-low, exact)
    return Reduced(shifted, r, (r * r) * r.polynomial(fitted(x, "exp")), n.fma(-low, exact - r))


def exp_minus_one_reduced(x: Number) -> tuple[Number, Number]:
    """magic + n and exp(r) - 1, where the last bit of the reduction does not matter."""
    high, low = parts(x, "ln2")
    shifted, n = rounded_multiple(x, parts(x, "1/ln2")[0])
    r = n.fma(-low, n.fma(-high, x))
    return shifted, (r * r).fma(r.polynomial(fitted(x, "exp")), r)


def exp_parts(x: Number) -> tuple[Pair, Number]:
    """exp(x) as a sum in two parts times 2**n, and magic + n; x not far beyond where exp is 0 or inf."""
    reduced = reduced_exp(x)
    whole = fast_sum(constant(x, 1.0), reduced.r)
    tail = whole.low + (reduced.tail + reduced.low)
    return fast_sum(whole.high, tail), reduced.shifted


def exp_pair(x: Number, extra: int = 0) -> Pair:
    """2**extra exp(x) in two parts."""
    pair, shifted = exp_parts(x)
    return Pair(times_power(pair.high, shifted, extra), times_power(pair.low, shifted, extra))


# ------------------------------------------------------------------------------------------------- logarithm


def split_exponent(x: Number) -> tuple[Number, Number]:
    """k and m with x = 2**k m, 3/4 <= m < 3/2; denormals too, for x > 0."""
    k = x.lanes
    if not quick.has_one(k):
        return _split_bits(x)
    m = quick.significand(k, x.value)
    return Number(k, quick.exponent(k, x.value)) - Number(k, quick.exponent(k, m)), Number(k, m)


def _split_bits(x: Number) -> tuple[Number, Number]:
    fact = facts(x)
    denormal = x < fact.tiny
    lifted = denormal.pick(x * fact.lift, x)
    start = bits_of(x, 0.75)
    moved = lifted.bits() + (bits_of(x, 1.0) - start)
    whole = 2.0**fact.fraction                      # its low bits hold an integer: no conversion instruction needed
    bias = denormal.pick(whole + fact.bias + fact.lift_power, whole + fact.bias)
    k = ((moved >> fact.fraction) | bits_of(x, whole)).number() - bias
    return k, ((moved & ((1 << fact.fraction) - 1)) + start).number()


def log_parts(f: Number) -> Pair:
    """log(1 + f) as f - f²/2 (high) and the rest (low), for 1 + f within 3/4 ... 3/2."""
    half = (f * 0.5) * f
    rest = _log_rest(f, half)
    high = f - half
    return Pair(high, ((f - high) - half) + rest)


def _log_rest(f: Number, half: Number) -> Number:
    """log(1 + f) - f + f²/2, where half = f²/2."""
    if f.lanes.bits == 32:
        return (f * f * f) * f.polynomial(fitted(f, "log"))
    s = f / (f + 2.0)
    z = s * s
    return s * (half + z.polynomial(fitted(f, "log")) * z)


def scaled_log(k: Number, f: Number, correction: Number | None = None) -> Number:
    """k log 2 + log(1 + f) + correction."""
    high, low = parts(k, "ln2_short")
    tail = k * low if correction is None else k.fma(low, correction)
    half = (f * 0.5) * f
    if f.lanes.bits == 32:
        rest = (f * f * f).fma(f.polynomial(fitted(f, "log")), tail)
        return k.fma(high, f + (rest - half))
    s = f / (f + 2.0)
    z = s * s
    rest = s.fma(half + z.polynomial(fitted(f, "log")) * z, tail)
    return k.fma(high, f - (half - rest))


def log_of_pair(x: Pair) -> Number:
    """log(high + low) for a sum whose high is 0 or above; accurate next to 1 too, since low counts in full."""
    k, m = split_exponent(x.high)
    f = m - 1.0
    return scaled_log(k, f, (abs(k) < INF).pick(relative_low(k, f, x.low), 0.0))


def relative_low(k: Number, f: Number, low: Number) -> Number:
    """low / (2**k (1 + f)) for a low that is so small that few bits of 1/(1 + f) do, but all where f is small."""
    kept = times_power(low, facts(k).magic - k)
    return f.fma(kept * -0.8, kept)


def log_specials(x: Number, result: Number) -> Number:
    """What the logarithm of x is where x is not a finite number above 0; k is ±inf or m nan there, where one instruction finds them."""
    if quick.has_one(x.lanes):
        return result
    result = x.equals(INF).pick(INF, result)
    result = x.compare("ult", 0.0).pick(NAN, result)
    return x.equals(0.0).pick(-INF, result)


# ----------------------------------------------------------------------------------------------------- other


def first_true(choices: list[tuple[Mask, Number | float]], otherwise: Number) -> Number:
    """The value that stands with the first mask that holds."""
    for mask, value in reversed(choices):
        otherwise = mask.pick(value, otherwise)
    return otherwise


