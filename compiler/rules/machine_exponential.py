"""Vector code of exp and what is made of it."""

from __future__ import annotations

from sympile.compiler.code.number import Number
from sympile.compiler.rules.machine_parts import (
    Pair,
    constant,
    exp_minus_one_reduced,
    exp_reduced,
    facts,
    fast_sum,
    fitted,
    parts,
    power_of_two,
    quotient,
    reduced_log_of,
    rounded_multiple,
)
from sympile.compiler.rules.machine_pieces import odd_by_pieces


def exp(x: Number) -> Number:
    """2**n (1 + r + ...), by a table of powers of two."""
    fact = facts(x)
    power, p = exp_reduced(x.below(fact.exp_high).above(fact.exp_low))
    return power.times(power.high + power.high.fma(p, power.low))


def expm1(x: Number) -> Number:
    """2 (2**(n-1) p + (2**(n-1) - 1/2)), which cannot overflow too early."""
    fact = facts(x)
    shifted, p = exp_minus_one_reduced(x.below(fact.exp_high).above(-fact.saturated))
    scale = power_of_two(shifted, -1)
    half = scale.fma(p, scale - 0.5)
    return (half + half).with_sign_of(x)


def tanh(x: Number) -> Number:
    """By pieces."""
    return odd_by_pieces("tanh", x)


def sigmoid(x: Number) -> Number:
    """1 / (1 + exp(-x)), by way of exp(-|x|), which cannot overflow."""
    return sigmoid_with(x, exp(-abs(x)))


def sigmoid_with(x: Number, e: Number) -> Number:
    """The same, where e = exp(-|x|) is known."""
    one = constant(x, 1.0)
    zero = constant(x, 0.0)
    above = (x < 0.0).pick(e, one)
    return quotient(Pair(above, zero), fast_sum(one, e)).total()


def softplus(x: Number) -> Number:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    return softplus_with(x, exp(-abs(x)))


def softplus_with(x: Number, e: Number) -> Number:
    """The same, where e = exp(-|x|) is known."""
    return reduced_log_of(fast_sum(constant(x, 1.0), e)).total() + x.above(0.0)


def sinh(x: Number) -> Number:
    """(exp(y) - exp(-y)) / 2 with y = |x| = n log 2 + r, in terms of r."""
    less, more, r, z, rise = _hyperbolic(abs(x))
    tail = r * (z * z.polynomial(fitted(x, "sinh")))
    half = more.fma(r, less) + less.fma(rise, more * tail)         # less = 0 near 0: sinh(r) alone
    return (half + half).with_sign_of(x)


def cosh(x: Number) -> Number:
    """(exp(y) + exp(-y)) / 2, likewise."""
    less, more, r, z, rise = _hyperbolic(abs(x))
    first = less * r
    odd = (first * z).fma(z.polynomial(fitted(x, "sinh"), 0), first)
    half = more + more.fma(rise, odd)
    return half + half


def _hyperbolic(y: Number) -> tuple[Number, Number, Number, Number, Number]:
    """A - B and A + B, where A = 2**(n-2) and B = 2**(-n-2); r, r², cosh(r) - 1."""
    fact, (high, low) = facts(y), parts(y, "ln2")
    kept = y.below(fact.sinh_high)
    shifted, n = rounded_multiple(kept, parts(y, "1/ln2")[0])
    r = n.fma(-low, n.fma(-high, kept))
    z = r * r
    grown = power_of_two(shifted, -2)
    shrunk = ((2 * (fact.bias - 2) << fact.fraction) - grown.bits()).number().above(0.0)    # far too small: -inf or less
    return grown - shrunk, grown + shrunk, r, z, z * z.polynomial(fitted(y, "cosh"), 0)
