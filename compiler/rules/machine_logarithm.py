"""Vector code of log and what is made of it."""

from __future__ import annotations

import math

from sympile.compiler.code.number import Mask, Number
from sympile.compiler.rules.machine_parts import (
    INF,
    NAN,
    Pair,
    constant,
    exact_product,
    exact_sum,
    facts,
    first_true,
    log_of_pair,
    log_parts,
    log_specials,
    parts,
    quotient,
    relative_low,
    root,
    scaled_log,
    split_exponent,
)


def log(x: Number) -> Number:
    """k log 2 + log(m)."""
    k, m = split_exponent(x)
    return log_specials(x, scaled_log(k, m - 1.0))


def log1p(x: Number) -> Number:
    """log(u) with u = 1 + x rounded, and the rounding error over u added."""
    return log_specials(x + 1.0, log_of_pair(exact_sum(constant(x, 1.0), x))).with_sign_of(x)


def log2(x: Number) -> Number:
    """k + log(m) / log 2; exact at powers of two."""
    k, m = split_exponent(x)
    return log_specials(x, scaled_log(constant(x, 0.0), m - 1.0).fma(parts(x, "1/ln2")[0], k))


def log10(x: Number) -> Number:
    """k log10(2) + log(m) / log 10."""
    high, low = parts(x, "lg2_short")
    k, m = split_exponent(x)
    tail = _times(log_parts(m - 1.0), parts(x, "1/ln10"))
    return log_specials(x, _added(k * high, Pair(tail.high, k.fma(low, tail.low))))


def _times(sum_: Pair, factor: tuple[float, ...]) -> Pair:
    """A sum times a constant in two parts."""
    high = sum_.high * factor[0]
    rest = sum_.high.fma(factor[0], -high)
    return Pair(high, sum_.low.fma(factor[0], sum_.high.fma(factor[1], rest)))


def _added(whole: Number, tail: Pair) -> Number:
    """whole + tail, where the tail is smaller or the whole is 0 or infinite."""
    high = whole + tail.high
    rest = ((whole - high) + tail.high) + tail.low
    return high + (abs(whole) < INF).pick(rest, 0.0)


def asinh(x: Number) -> Number:
    """log(y + sqrt(y² + 1)) with y = |x|; log(2y) where the 1 no longer counts."""
    y = abs(x)
    huge = y > facts(x).huge
    kept = huge.pick(1.0, y)
    square = exact_product(kept, kept)
    more = exact_sum(square.high, 1.0)
    grown = root(Pair(more.high, more.low + square.low))
    result = _log_of_sum(y, kept, grown, huge)
    return (y < facts(x).negligible).pick(x, result.with_sign_of(x))


def acosh(x: Number) -> Number:
    """log(x + sqrt(x² - 1)), by way of x - 1, which is exact next to 1."""
    huge = x > facts(x).huge
    kept = huge.pick(1.0, x)
    d = exact_sum(kept, -1.0)
    sum_ = exact_sum(kept, 1.0)
    square = exact_product(d.high, sum_.high)
    low = d.high.fma(sum_.low, d.low.fma(sum_.high, square.low))
    result = _log_of_sum(x, kept, root(Pair(square.high, low)), huge)
    return x.compare("ult", 1.0).pick(NAN, result)


def _log_of_sum(x: Number, kept: Number, grown: Pair, huge: Mask) -> Number:
    """log(kept + grown), or log(2x) where x is huge."""
    whole = exact_sum(grown.high, kept)
    low = whole.low + grown.low
    k, m = split_exponent(huge.pick(x, whole.high))
    f = m - 1.0
    result = scaled_log(k + huge.pick(1.0, 0.0), f, huge.pick(0.0, relative_low(k, f, low)))
    return x.equals(INF).pick(INF, x.is_nan().pick(x, result))


def atanh(x: Number) -> Number:
    """log((1 + y) / (1 - y)) / 2 with y = |x|."""
    y = abs(x)
    one = constant(x, 1.0)
    ratio = quotient(exact_sum(one, y), exact_sum(one, -y))
    result = log_of_pair(ratio) * 0.5
    small = y < math.sqrt(facts(x).negligible)
    near = (y * y).fma(y * (1 / 3), y)
    return first_true([(small, near), (y.equals(1.0), INF), (y.compare("ugt", 1.0), NAN)], result).with_sign_of(x)
