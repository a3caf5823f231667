"""Vector code of powers: by a constant integer, in general, and the cube root."""

from __future__ import annotations

from sympile.compiler.code.number import Number
from sympile.compiler.rules.machine_parts import (
    INF,
    NAN,
    Pair,
    constant,
    entry,
    exact_product,
    exp_reduced,
    facts,
    fast_sum,
    first_true,
    fitted,
    leading_bits,
    parts,
    split_around_one,
    split_from_one,
    where_some,
    zero_or_beyond,
)

POWER_LEAST = 0.734375            # of a significand; tools/fit_tables.py splits the range from here on
PLAIN_POWERS = (-2, -1, 0, 1, 2, 3, 4)   # so few roundings that two units in the last place are kept anyway


def integer_power(x: Number, exponent: int) -> Number:
    """x**exponent by repeated squaring; beyond a few factors what each rounding loses is carried along."""
    if exponent == 0:
        return constant(x, 1.0)
    base = x if exponent > 0 else 1.0 / x
    if exponent in PLAIN_POWERS:
        return _plain_power(base, abs(exponent))
    zero = constant(x, 0.0)
    low = zero if exponent > 0 else (-base).fma(x, 1.0) * base
    result = _pair_power(Pair(base, low), abs(exponent))
    total = result.total()
    return total.is_nan().pick(_plain_power(base, abs(exponent)), total)   # inf - inf in the small part


def _plain_power(x: Number, exponent: int) -> Number:
    result, square = None, x
    while True:
        if exponent & 1:
            result = square if result is None else result * square
        exponent >>= 1
        if not exponent:
            return x if result is None else result
        square = square * square


def _pair_power(x: Pair, exponent: int) -> Pair:
    result, square = None, x
    while True:
        if exponent & 1:
            result = square if result is None else _pair_product(result, square)
        exponent >>= 1
        if not exponent:
            return x if result is None else result
        square = _pair_product(square, square)


def _pair_product(a: Pair, b: Pair) -> Pair:
    product = exact_product(a.high, b.high)
    cross = a.high.fma(b.low, a.low * b.high)
    return fast_sum(product.high, product.low + cross)


# --------------------------------------------------------------------------------------------------- general


def power(x: Number, y: Number) -> Number:
    """|x|**y = exp(y log|x|) with the logarithm in two parts; then the sign and all special cases of C99 (F.9.4.4)."""
    result = _power_core(abs(x), y)
    special = ~((x > 0.0) & (x < INF) & (abs(y) < INF))
    return where_some(special, result, lambda: _power_specials(x, y, result))


def _power_core(x: Number, y: Number) -> Number:
    log = _log_pair(x)
    product = y * log.high
    low = y.fma(log.high, -product) + y * log.low
    limit = 1.02 * -facts(x).exp_low
    kept = product.below(limit).above(-limit)
    low = kept.equals(product).pick(low, 0.0)
    scale, p = exp_reduced(kept, low)
    return scale.times(scale.high + scale.high.fma(p, scale.low))


def _log_pair(x: Number) -> Pair:
    """log x for finite x > 0, to about 2**-64 (2**-33): k log 2 - log(c) + log(1 + r) with 1 + r = c m, c by a table."""
    fraction = facts(x).fraction
    k, m = split_around_one(x, POWER_LEAST)
    piece = (m.bits() + (1 << (fraction - 5))) >> (fraction - 4)                # the nearest sixteenth: 1 is amid a piece
    r = m.fma(entry(piece, "power_inverse"), -1.0)                              # exact
    high, low = parts(x, "ln2_short")
    first = fast_sum(k.fma(high, entry(piece, "power_high")), r)                # nothing of the left side is lost
    square = exact_product(r, r)
    second = square.high.fma(-0.5, first.high)
    lost = square.high.fma(-0.5, first.high - second)
    cube = (r * square.high) * r.polynomial(fitted(x, "power"))
    rest = square.low.fma(-0.5, k.fma(low, entry(piece, "power_low")))
    return fast_sum(second, (first.low + lost) + (rest + cube))


def _power_specials(x: Number, y: Number, result: Number) -> Number:
    magnitude, zero, one = abs(x), constant(x, 0.0), constant(x, 1.0)
    whole = y.floor().equals(y)
    half = y * 0.5
    odd = whole & half.floor().compare("one", half)
    down = y < 0.0
    outer = (magnitude > 1.0) ^ down
    at_edge = magnitude.equals(1.0).pick(one, outer.pick(INF, zero))
    result = first_true(
        [
            (abs(y).equals(INF), at_edge),
            (magnitude.equals(INF), down.pick(zero, INF)),
            (magnitude.equals(0.0), down.pick(INF, zero)),
        ],
        result,
    )
    result = (x.is_negative() & odd).pick(-result, result)
    undefined = (x < 0.0) & ~whole & magnitude.compare("one", INF)
    return first_true(
        [(y.equals(0.0) | x.equals(1.0), one), (x.compare("uno", y), NAN), (undefined, NAN)], result
    )


# ------------------------------------------------------------------------------------------------- cube root


def cbrt(x: Number) -> Number:
    """2**(k/3) cbrt(m), with cbrt(m) = root cbrt(1 + r) from a table; roots of m and of 2**(k mod 3) multiply exactly."""
    fact = facts(x)
    k, m = split_from_one(x)
    piece = leading_bits(m)
    quarters = k.fma(1 / 3, fact.magic / 4).bits()        # k/3 rounded to quarters: the two lowest bits tell k mod 3
    r = m.fma(entry(piece, "cbrt_inverse"), -1.0)
    rise = r * r.polynomial(fitted(x, "cbrt"))
    root = entry(piece, "cbrt_root")
    high, low = root * entry(quarters, "cbrt_scale"), root * entry(quarters, "cbrt_scale_low")
    if x.lanes.bits == 64:
        low = low.fma(rise, low)
    result = (high + high.fma(rise, low)).bits() + ((quarters >> 2) << fact.fraction)
    return zero_or_beyond(x).pick(x, result.number().with_sign_of(x))
