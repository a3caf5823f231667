"""Vector code of sin, cos, tan and their inverses."""

from __future__ import annotations

import math

from sympile.compiler.code.number import Number
from sympile.compiler.rules.machine_parts import (
    Pair,
    constant,
    facts,
    first_true,
    fitted,
    parts,
    rounded_multiple,
)
from sympile.compiler.rules.machine_pieces import columns_at, held
from sympile.compiler.rules.machine_turns import Turned, far_turns

FAST_UP_TO = {64: 1e14, 32: 1e5}   # beyond, three parts of π no longer suffice


def sin(x: Number) -> Number:
    """(-1)**n sin(r) with x = nπ + r."""
    shifted, n = rounded_multiple(x, 1 / math.pi)
    turned = _with_far(x, Turned(_without_multiples(x, n, "pi"), constant(x, 0.0), shifted.bits()), "pi", 0.0)
    return x.equals(0.0).pick(x, _signed_sine(turned))


def cos(x: Number) -> Number:
    """(-1)**n sin(r) with |x| = (n - 1/2)π + r."""
    y, magic = abs(x), facts(x).magic
    shifted = y.fma(1 / math.pi, 0.5) + magic
    n = (shifted - magic) - 0.5
    turned = _with_far(y, Turned(_without_multiples(y, n, "pi"), constant(x, 0.0), shifted.bits()), "pi", -0.5)
    return (y < facts(x).negligible).pick(1.0, _signed_sine(turned))


def tan(x: Number) -> Number:
    """r + r³a(r²)/b(r²), or the negative inverse for odd n, with x = nπ/2 + r; one division."""
    turned = _reduced_quarter(x)
    r, low = turned.r, turned.low
    z = r * r
    rise = (r * z) * z.polynomial(fitted(x, "tan_above"), block=0)
    below = z.polynomial(fitted(x, "tan_below"), block=0)
    even = (turned.count & 1).compare("eq", 0)
    ratio = even.pick(rise, below) / even.pick(below, (-r).fma(below, -(rise + low)))
    return x.equals(0.0).pick(x, even.pick(r, 0.0) + (ratio + even.pick(low, 0.0)))


def _reduced_quarter(x: Number) -> Turned:
    """x = nπ/2 + r + low."""
    first, second, third = parts(x, "pi/2")
    shifted, n = rounded_multiple(x, 2 / math.pi)
    exact = n.fma(-first, x)
    moved = n * second
    r = exact - moved
    low = n.fma(-third, ((exact - r) - moved) - n.fma(second, -moved))
    return _with_far(x, Turned(r, low, shifted.bits()), "pi/2", 0.0)


def _without_multiples(x: Number, n: Number, name: str) -> Number:
    """x - nπ; the first step is exact."""
    for part in parts(x, name):
        x = n.fma(-part, x)
    return x


def _with_far(x: Number, near: Turned, name: str, offset: float) -> Turned:
    """The same, with arguments beyond the fast range reduced one by one."""
    k = x.lanes
    far = ~(abs(x) < FAST_UP_TO[k.bits])
    with k.function.either(k.somewhere(far.value), unlikely=True) as choice:
        with choice.then():
            slow = far_turns(x, far, near, name, offset)
            choice.give(slow.r.value, slow.low.value, slow.count.value)
        with choice.otherwise():
            choice.give(near.r.value, near.low.value, near.count.value)
    r, low, count = choice.results
    return Turned(Number(k, r), Number(k, low), type(near.count)(k, count))


def _signed_sine(turned: Turned) -> Number:
    r, (leading, *others) = turned.r, fitted(turned.r, "sin")
    z = r * r
    relative = z.fma(leading, (z * z) * z.polynomial(others))      # the large term enters with one rounding
    value = r.fma(relative, r)
    return (value.bits() ^ (turned.count << (r.lanes.bits - 1))).number()


# ------------------------------------------------------------------------------------------------- inverses


def asin(x: Number) -> Number:
    """x + x³p(x²) up to 1/2; beyond, π/2 - 2 asin(sqrt((1 - |x|) / 2))."""
    y = abs(x)
    near, s, tail = _asin_parts(y)
    high, low = parts(x, "pi/2")[:2]
    far = high - ((s + s) - (low - (tail + tail)))
    return (y <= 0.5).pick(near.total(), far).with_sign_of(x)


def acos(x: Number) -> Number:
    """π/2 - asin(x) up to 1/2; beyond, 2 asin(sqrt((1 - |x|) / 2)), or π less that for x < 0."""
    y, negative = abs(x), x < 0.0
    near, s, tail = _asin_parts(y)
    high, low = parts(x, "pi/2")[:2]
    middle = high - (near.high - (low - near.low)).with_sign_of(x)
    angle = (s + s) + (tail + tail)
    back = parts(x, "pi")[0] - (angle - parts(x, "pi")[1])
    return (y <= 0.5).pick(middle, negative.pick(back, angle))


def _asin_parts(y: Number) -> tuple[Pair, Number, Number]:
    """asin(y) in two parts for y <= 1/2; s = sqrt((1 - y) / 2) and asin(s) - s for larger y."""
    w = y.fma(-0.5, 0.5)                                # exact for y >= 1/2
    z = (y <= 0.5).pick(y * y, w)
    p = z.polynomial(fitted(y, "asin")) * z
    s = w.sqrt()
    return Pair(y, y * p), s, s * p


def atan(x: Number) -> Number:
    """By pieces."""
    return _angle(abs(x)).with_sign_of(x)


def atan2(y: Number, x: Number) -> Number:
    """The angle of the point (x, y), with the signs of zeros and infinities of C99 (F.9.1.4)."""
    a, b = abs(y), abs(x)
    result = _angle(first_true([((a + b).equals(0.0), 0.0), (a.equals(b), 1.0)], a / b))
    high, low = parts(x, "pi")[:2]
    return x.is_negative().pick(high - (result - low), result).with_sign_of(y)


STEEPEST = 2.0**60      # beyond, the angle is π/2


def _angle(slope: Number) -> Number:
    """atan(c) + atan(t) with t = (slope - c) / (1 + c slope), c by a table; slope >= 0, infinity too."""
    centre, value = columns_at("atan", held("atan", slope))
    y = slope.below(STEEPEST)
    t = (y - centre) / y.fma(centre, 1.0)
    z = t * t
    return value + (t * z).fma(z.polynomial(fitted(t, "atan"), block=0), t)
