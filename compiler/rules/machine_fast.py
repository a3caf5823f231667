"""Vector code of math="fast": what costs least within 4 units in the last place."""

from __future__ import annotations

from sympile.compiler.code.number import Number
from sympile.compiler.rules.machine_exponential import exp
from sympile.compiler.rules.machine_parts import (
    exp_minus_one_reduced,
    facts,
    fitted,
    power_of_two,
    times_power,
)
from sympile.compiler.rules.machine_special import ERFC_IS_ZERO


def tanh(x: Number) -> Number:
    """e / (e + 2) with e = exp(2|x|) - 1."""
    y = abs(x)
    shifted, p = exp_minus_one_reduced((y + y).below(facts(x).saturated))
    scale = power_of_two(shifted)
    e = scale.fma(p, scale - 1.0)
    return (e / (e + 2.0)).with_sign_of(x)


def sigmoid(x: Number) -> Number:
    """1 / (1 + exp(-x)), by way of exp(-|x|), which cannot overflow."""
    e = exp(-abs(x))
    return (x < 0.0).pick(e, 1.0) / (e + 1.0)


def erfc(x: Number) -> Number:
    """1 - erf(x) up to 1/2; beyond, exp(-x²) p(t) / (1 + 2|x|), t = (|x| - 4)/(|x| + 4), and 2 less that below 0."""
    y = abs(x)
    z = y * y
    near = 1.0 - x.fma(z.polynomial(fitted(x, "erf_near")), x)
    kept = y.below(ERFC_IS_ZERO[x.lanes.bits])
    ratio = ((kept - 4.0) / (kept + 4.0)).polynomial(fitted(x, "erfc")) / kept.fma(2.0, 1.0)
    square = kept * kept
    shifted, p = exp_minus_one_reduced((-square).above(facts(x).exp_low))
    e = p + 1.0
    tail = times_power(ratio * e.fma(-kept.fma(kept, -square), e), shifted)
    return (y <= 0.5).pick(near, (x < 0.0).pick(2.0 - tail, tail))

