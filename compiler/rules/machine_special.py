"""Vector code of erf, erfc, log Γ and its derivative."""

from __future__ import annotations

import math
from collections.abc import Callable

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.number import Mask, Number
from sympile.compiler.code.value import typed
from sympile.compiler.rules.machine_circular import sin
from sympile.compiler.rules.machine_logarithm import log
from sympile.compiler.rules.machine_parts import (
    INF,
    NAN,
    Pair,
    constant,
    exact_product,
    exp_reduced,
    facts,
    fast_sum,
    first_true,
    fitted,
    parts,
    where_some,
)
from sympile.compiler.rules.machine_pieces import held, odd_by_pieces, piece_of

STIRLING_FROM = 8.0


def erf(x: Number) -> Number:
    """By pieces."""
    return odd_by_pieces("erf", x)


def erfc(x: Number) -> Number:
    """exp(-y²) g(y) with y = |x| and g by pieces; 2 less that below 0. Both factors are sums in two parts."""
    y = held("erfc", abs(x))
    square = exact_product(y, y)
    power, p = exp_reduced(-square.high, -square.low)
    piece = piece_of("erfc", y, block=4)
    g = fast_sum(piece.value, piece.d * piece.slope)
    value = g.high.fma(power.high, g.high.fma(power.high.fma(p, power.low), g.low * power.high))
    result = power.times(value)
    return (x < 0.0).pick(2.0 - result, result)


# ----------------------------------------------------------------------------------------------- log gamma


def in_float64(formula: Callable[[Number], Number]) -> Callable[[Number], Number]:
    """A formula that always computes in float64; a float32 operand is widened and the result rounded once more."""

    def code(x: Number) -> Number:
        if x.lanes.bits == 64:
            return formula(x)
        narrow, f = x.lanes, x.lanes.function
        wide = Lanes(f, "double", narrow.lanes, narrow.target)
        result = formula(Number(wide, f.emit(f"fpext {typed(x.value)} to {wide.real}", wide.real)))
        return Number(narrow, f.emit(f"fptrunc {typed(result.value)} to {narrow.real}", narrow.real))

    return code


def loggamma(x: Number) -> Number:
    """log |Γ(x)|: polynomials around its zeros 1 and 2, Stirling's series from 8 on, reflection below 0."""
    y, negative = abs(x), x < 0.0
    positive = _positive_loggamma(y)
    value = where_some(negative, positive, lambda: _reflected_loggamma(y, positive))
    return y.equals(INF).pick(INF, value)


def _reflected_loggamma(y: Number, positive: Number) -> Number:
    """log |Γ(-y)| where positive = log Γ(y)."""
    folded = abs(sin((y - y.floor()) * math.pi)) * y
    reflected = log(math.pi / folded) - positive
    return (y < facts(y).negligible).pick(-log(y), y.floor().equals(y).pick(INF, reflected))


def _positive_loggamma(y: Number) -> Number:
    far, low = y >= STIRLING_FROM, y < 0.5
    moved, product = _shifted_down(y)
    around_one = low.pick(y, y - 1.0)
    one = _times_polynomial(around_one, around_one, fitted(y, "gamma1"))
    around_two = moved - 2.0
    two = _times_polynomial(around_two, around_two, fitted(y, "gamma2"))
    place = low.pick(y + 1.0, y)
    near_one, near_least = place < 1.2, place < 1.75
    middle = near_one.pick(one, near_least.pick(_around_least(place), two))
    needed = far.pick(y, low.pick(y, near_least.pick(1.0, product)))
    logarithm = log(needed)
    near = low.pick(middle - logarithm, middle + logarithm)
    return far.pick(_stirling(y, logarithm), near)


def _around_least(y: Number) -> Number:
    """log Γ next to its smallest value for y > 0."""
    place, place_low = parts(y, "digamma_zero")
    least, least_low = parts(y, "loggamma_least")
    d = (y - place) - place_low
    return (d * d).fma(d.polynomial(fitted(y, "gamma_least")), least_low) + least


def _times_polynomial(d: Number, t: Number, coefficients: tuple[float, ...]) -> Number:
    """d p(t), where what the last step of p loses is made good."""
    leading, *others = coefficients
    inner = t.polynomial(others)
    p = t.fma(inner, leading)
    return d.fma(p, d * t.fma(inner, leading - p))


def _shifted_down(y: Number) -> tuple[Number, Number]:
    """y less a whole number, into 2 ... 3 where y is above 3, and the product of the factors passed on the way."""
    product = constant(y, 1.0)
    moved = y
    for _ in range(5):
        above: Mask = moved >= 3.0
        lower = moved - 1.0
        product = above.pick(product * lower, product)
        moved = above.pick(lower, moved)
    return moved, product


def _stirling(y: Number, logarithm: Number) -> Number:
    inverse = 1.0 / y
    series = (inverse * inverse).polynomial(fitted(y, "stirling")) * inverse
    return (y - 0.5).fma(logarithm - 1.0, (parts(y, "log(2pi)/2")[0] - 0.5) + series)


# ------------------------------------------------------------------------------------------------- digamma


def digamma(x: Number) -> Number:
    """The derivative of log Γ: around its zero, by the recurrence up to 8, by its series beyond, reflected below 0."""
    negative = x <= 0.0
    y = negative.pick(1.0 - x, x)
    value = _positive_digamma(y)
    return where_some(negative, value, lambda: _reflected_digamma(x, value))


def _reflected_digamma(x: Number, value: Number) -> Number:
    """ψ(x) for x <= 0 where value = ψ(1 - x)."""
    part = (x - x.floor()) * math.pi
    turned = value - math.pi * (sin(part + math.pi / 2) / sin(part))
    pole = constant(x, INF).with_sign_of(-x)
    return first_true([(x.equals(0.0), pole), (x.floor().equals(x) | x.equals(-INF), NAN)], turned)


def _positive_digamma(y: Number) -> Number:
    far, below_one = y >= STIRLING_FROM, y < 1.0
    start = below_one.pick(y + 1.0, y)
    moved, gathered = start, constant(y, 0.0)
    for _ in range(5):
        above: Mask = moved >= 3.0
        lower = moved - 1.0
        gathered = above.pick(gathered + 1.0 / lower, gathered)
        moved = above.pick(lower, moved)
    high, low = parts(y, "digamma_zero")
    d = (moved - high) - low
    near = _times_polynomial(d, moved - 2.0, fitted(y, "digamma")) + gathered
    near = below_one.pick(near - 1.0 / y, near)
    inverse = 1.0 / y
    w = inverse * inverse
    series = log(y) - (inverse * 0.5 + w * w.polynomial(fitted(y, "psi_far")))
    return far.pick(series, near)


# ------------------------------------------------------------------------------------------------ trigamma


def trigamma(x: Number) -> Number:
    """The derivative of digamma: by the recurrence up to 8, by its series beyond, reflected below 0."""
    negative = x <= 0.0
    value = _positive_trigamma(negative.pick(1.0 - x, x))
    return where_some(negative, value, lambda: _reflected_trigamma(x, value))


def _reflected_trigamma(x: Number, value: Number) -> Number:
    """ψ'(x) for x <= 0 where value = ψ'(1 - x)."""
    turned = math.pi / sin((x - x.floor()) * math.pi)
    return first_true([(x.equals(-INF), NAN), (x.floor().equals(x), INF)], turned * turned - value)


def _positive_trigamma(y: Number) -> Number:
    moved, sum_ = y, Pair(constant(y, 0.0), constant(y, 0.0))
    for _ in range(8):
        below = moved < STIRLING_FROM
        more = fast_sum(sum_.high, below.pick(1.0 / (moved * moved), 0.0))       # the terms grow ever smaller
        sum_ = Pair(more.high, sum_.low + more.low)
        moved = below.pick(moved + 1.0, moved)
    inverse = 1.0 / moved
    w = inverse * inverse
    series = inverse + (inverse * w).fma(w.polynomial(fitted(y, "trigamma_far")), w * 0.5)
    return first_true([(sum_.high.equals(INF), INF)], sum_.high + (sum_.low + series))


loggamma64, digamma64, trigamma64 = in_float64(loggamma), in_float64(digamma), in_float64(trigamma)
