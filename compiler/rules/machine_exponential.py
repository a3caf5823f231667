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
    log_of_pair,
    power_of_two,
    quotient,
    reduced_exp,
    times_power,
)


def exp(x: Number) -> Number:
    """2**n (1 + r + ...), the power of two in two factors."""
    fact = facts(x)
    shifted, p = exp_minus_one_reduced(x.below(fact.exp_high).above(fact.exp_low))
    return times_power(p + 1.0, shifted)


def expm1(x: Number) -> Number:
    """2 (2**(n-1) p + (2**(n-1) - 1/2)), which cannot overflow too early."""
    fact = facts(x)
    shifted, p = exp_minus_one_reduced(x.below(fact.exp_high).above(-fact.saturated))
    scale = power_of_two(shifted, -1)
    half = scale.fma(p, scale - 0.5)
    return (half + half).with_sign_of(x)


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
    return log_of_pair(fast_sum(constant(x, 1.0), exp(-abs(x)))) + x.above(0.0)


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
