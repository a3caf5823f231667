"""Vector code of what needs an instruction or two."""

from __future__ import annotations

from sympile.compiler.code.number import Number
from sympile.compiler.code.quick import has_one, over_root, quotient
from sympile.compiler.rules.machine_exponential import expm1
from sympile.compiler.rules.machine_logarithm import log
from sympile.compiler.rules.machine_parts import constant


def square_root(x: Number) -> Number:
    """The hardware's."""
    return x.sqrt()


def absolute(x: Number) -> Number:
    """Clears the sign bit."""
    return abs(x)


def floor(x: Number) -> Number:
    """The hardware's."""
    return x.floor()


def ceiling(x: Number) -> Number:
    """The hardware's."""
    return x.ceil()


def sign(x: Number) -> Number:
    """-1, 0, 1; nan stays."""
    result = (x > 0.0).pick(1.0, (x < 0.0).pick(-1.0, 0.0))
    return x.is_nan().pick(x, result)


def divide(x: Number, y: Number) -> Number:
    """The hardware's, correctly rounded."""
    return x / y


def divide_nearly(x: Number, y: Number) -> Number:
    """The hardware's, unless its divisions follow each other slowly: then within 0.501 ulp, but near denormals."""
    k = x.lanes
    return Number(k, quotient(k, x.value, y.value)) if k.target.division and has_one(k) else x / y


def divide_by_root(x: Number, y: Number) -> Number:
    """x / sqrt(y) by the hardware's, unless its divisions follow each other slowly."""
    k = x.lanes
    return Number(k, over_root(k, x.value, y.value)) if k.target.division and has_one(k) else x / y.sqrt()


def maximum(x: Number, y: Number) -> Number:
    """The larger; nan on either side wins."""
    return Number(x.lanes, x.lanes.maximum(x.value, y.value))


def minimum(x: Number, y: Number) -> Number:
    """The smaller; nan on either side wins."""
    return Number(x.lanes, x.lanes.minimum(x.value, y.value))


def relu(x: Number) -> Number:
    """max(x, 0); nan stays."""
    return x.above(0.0)


def leaky_relu(x: Number, slope: Number) -> Number:
    """x above 0, else slope*x."""
    return (x > 0.0).pick(x, slope * x)


def elu(x: Number) -> Number:
    """x above 0, else exp(x) - 1."""
    return (x > 0.0).pick(x, expm1(x))


def hard_tanh(x: Number) -> Number:
    """x held between -1 and 1; nan stays."""
    return x.below(1.0).above(-1.0)


def heaviside(x: Number, at_zero: Number) -> Number:
    """0 below 0, 1 above, the second argument at 0; nan stays."""
    result = (x > 0.0).pick(1.0, (x < 0.0).pick(0.0, at_zero))
    return x.is_nan().pick(x, result)


def xlogy(x: Number, y: Number) -> Number:
    """x log(y), and 0 where x is 0, unless y is nan."""
    zero = x.equals(0.0) & ~y.is_nan()
    return zero.pick(constant(x, 0.0), x * log(y))


def xlogx(x: Number) -> Number:
    """x log(x), and 0 at 0."""
    return xlogy(x, x)
