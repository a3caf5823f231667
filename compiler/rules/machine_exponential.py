"""Vector code of exp and what is made of it."""

from __future__ import annotations

from sympile.compiler.code.number import Number
from sympile.compiler.rules.machine_parts import (
    Pair,
    constant,
    exp_minus_one_reduced,
    exp_pair,
    facts,
    fast_sum,
    fitted,
    power_of_two,
    quotient,
    reduced_exp,
    scaled_log,
    split_exponent,
    two_powers,
)


def exp(x: Number) -> Number:
    """2**n (1 + r + ...), the power of two in two factors."""
    fact = facts(x)
    shifted, p = exp_minus_one_reduced(x.below(fact.exp_high).above(fact.exp_low))
    first, second = two_powers(shifted)
    return (p + 1.0) * first * second


def expm1(x: Number) -> Number:
    """2 (2**(n-1) p + (2**(n-1) - 1/2)), which cannot overflow too early; the rounding of p is made good."""
    fact = facts(x)
    reduced = reduced_exp(x.below(fact.exp_high).above(-fact.saturated))
    p = reduced.minus_one()
    p_low = (reduced.r - p) + reduced.tail
    scale = power_of_two(reduced.shifted, -1)
    less = scale - 0.5
    high = scale.fma(p, less)
    half = high + scale.fma(p_low, scale.fma(p, less - high))
    return (abs(x) < fact.negligible).pick(x, half + half)


def tanh(x: Number) -> Number:
    """e / (e + 2) with e = exp(2|x|) - 1; three roundings are made good."""
    y = abs(x)
    reduced = reduced_exp((y + y).below(facts(x).saturated))
    p = reduced.minus_one()
    p_low = (reduced.r - p) + reduced.tail
    scale = power_of_two(reduced.shifted)
    less = scale - 1.0
    e = scale.fma(p, less)
    e_low = scale.fma(p_low, scale.fma(p, less - e))
    below = e + 2.0
    return quotient(Pair(e, e_low), Pair(below, (e - (below - 2.0)) + e_low)).total().with_sign_of(x)


def sigmoid(x: Number) -> Number:
    """1 / (1 + exp(-x)), by way of exp(-|x|), which cannot overflow."""
    e = exp(-abs(x))
    one = constant(x, 1.0)
    zero = constant(x, 0.0)
    above = (x < 0.0).pick(e, one)
    return quotient(Pair(above, zero), fast_sum(one, e)).total()


def softplus(x: Number) -> Number:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    e = exp_pair((-abs(x)).above(facts(x).exp_low))
    whole = fast_sum(constant(x, 1.0), e.high)
    k, m = split_exponent(whole.high)
    rest = scaled_log(k, m - 1.0, (whole.low + e.low) / whole.high)
    return rest + x.above(0.0)


def sinh(x: Number) -> Number:
    """(exp(x) - exp(-x)) / 2; a polynomial below 1."""
    y = abs(x)
    z = y * y
    near = (y * z).fma(z.polynomial(fitted(x, "sinh")), y)
    half = _half_exp(y)
    far = half.high + (half.low - 0.25 / half.high)
    return (y < 1.0).pick(near, far).with_sign_of(x)


def cosh(x: Number) -> Number:
    """(exp(x) + exp(-x)) / 2."""
    half = _half_exp(abs(x))
    return half.high + (half.low + 0.25 / half.high)


def _half_exp(y: Number) -> Pair:
    """exp(y) / 2 for y >= 0; it overflows where that does, with low = 0."""
    half = exp_pair(y.below(facts(y).exp_high + 2.0), extra=-1)
    finite = half.high < float("inf")
    return Pair(half.high, (finite | half.high.is_nan()).pick(half.low, 0.0))
