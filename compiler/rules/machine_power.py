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
    facts,
    fast_sum,
    first_true,
    fitted,
    leading_bits,
    parts,
    quotient,
    rounded_multiple,
    split_exponent,
    split_from_one,
    times_power,
    zero_or_beyond,
)

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
    return _power_specials(x, y, _power_core(abs(x), y))


def _power_core(x: Number, y: Number) -> Number:
    log = _log_pair(x)
    product = y * log.high
    low = y.fma(log.high, -product) + y * log.low
    limit = 1.02 * -facts(x).exp_low
    kept = product.below(limit).above(-limit)
    low = kept.equals(product).pick(low, 0.0)
    high_part, low_part = parts(x, "ln2")
    shifted, n = rounded_multiple(kept, parts(x, "1/ln2")[0])
    r = n.fma(-low_part, n.fma(-high_part, kept)) + low
    p = (r * r).fma(r.polynomial(fitted(x, "exp")), r)
    return times_power(p + 1.0, shifted)


def _log_pair(x: Number) -> Pair:
    """log x for x > 0, to about 2**-65 (2**-33): 2 atanh(s) with s = (m - 1) / (m + 1), plus k log 2."""
    k, m = split_exponent(x)
    one = constant(x, 1.0)
    f, d = m - 1.0, m + 1.0
    s = quotient(Pair(f, constant(x, 0.0)), Pair(d, fast_sum(one, m).low))
    square = exact_product(s.high, s.high)
    z = Pair(square.high, (s.high + s.high).fma(s.low, square.low))
    two_thirds = parts(x, "2/3")
    tail = z.high * z.high.polynomial(fitted(x, "pow_log"))
    ratio = fast_sum(constant(x, two_thirds[0]), tail)
    ratio = Pair(ratio.high, ratio.low + two_thirds[1])
    part = _pair_raw(z, ratio)
    cube = _pair_raw(s, part)
    doubled = fast_sum(s.high + s.high, cube.high)
    low = doubled.low + (cube.low + (s.low + s.low))
    return _plus_exponent(k, Pair(doubled.high, low))


def _pair_raw(a: Pair, b: Pair) -> Pair:
    product = exact_product(a.high, b.high)
    return Pair(product.high, a.high.fma(b.low, a.low.fma(b.high, product.low)))


def _plus_exponent(k: Number, log: Pair) -> Pair:
    high, low = parts(k, "ln2_short")
    scaled = k * high                       # exact
    total = scaled + log.high
    rest = (scaled - total) + log.high      # |k log 2| >= |log m|, or k = 0
    return Pair(total, rest + k.fma(low, log.low))


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
