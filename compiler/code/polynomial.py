"""Polynomials on lanes: by Horner's scheme, or in blocks with shorter chains."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes, Real
from sympile.compiler.code.value import Value


def horner(k: Lanes, x: Value, coefficients: Sequence[Real]) -> Value:
    """c0 + c1*x + c2*x^2 + ..., one fma after the other."""
    value = k.lift(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = k.fma(value, x, coefficient)
    return value


def estrin(k: Lanes, x: Value, coefficients: Sequence[Real], block: int = 2) -> Value:
    """The same in blocks (a power of two) joined by powers of x: less for a processor to wait on."""
    if len(coefficients) <= block:
        return horner(k, x, coefficients)
    power = x
    for _ in range(block.bit_length() - 1):
        power = k.mul(power, power)
    blocks = [horner(k, x, coefficients[at : at + block]) for at in range(0, len(coefficients), block)]
    value = blocks[-1]
    for lower in reversed(blocks[:-1]):
        value = k.fma(value, power, lower)
    return value
