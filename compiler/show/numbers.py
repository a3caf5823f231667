"""Numbers, sizes and names of constants as SymPy has them."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from functools import cache
from typing import Any

import sympy as sp

from sympile.compiler import language
from sympile.compiler.graph.definition import EXAMPLES
from sympile.compiler.graph.node import Node, Number, postorder

_LARGEST_DENOMINATOR = 2**10  # a power of two above it came from a float
_LARGEST_INTEGER = 2**53  # as does an integer above it
_SMALLEST_FLOAT, _LARGEST_FLOAT = math.ulp(0.0), sys.float_info.max


@cache
def count() -> Any:
    """The number of examples, where a formula cannot avoid it."""
    return language.batch_sum(1)


def shown_number(value: Number) -> Any:
    """An exact number as an Integer or a Rational; one that came from a float as a Float."""
    fraction = Fraction(value)
    denominator = fraction.denominator
    power_of_two = denominator & (denominator - 1) == 0
    floats = _SMALLEST_FLOAT <= abs(fraction) <= _LARGEST_FLOAT
    if floats and (
        (power_of_two and denominator > _LARGEST_DENOMINATOR) or abs(fraction.numerator) >= _LARGEST_INTEGER
    ):
        return sp.Float(float(fraction))
    return sp.Rational(fraction.numerator, denominator)


def shown_size(node: Node, examples: str | None = None) -> Any:
    """An extent, or an affine expression in sizes, as SymPy has it."""
    done: dict[Node, Any] = {}
    for item in postorder([node]):
        done[item] = _one_size(item, [done[a] for a in item.args], examples)
    return done[node]


def _one_size(node: Node, args: list[Any], examples: str | None) -> Any:
    if node.op == "const":
        return shown_number(node.data)  # type: ignore[arg-type]
    if node is EXAMPLES:
        return sp.Symbol(examples) if examples else count()
    if node.op == "size":
        return sp.Symbol(str(node.data))
    if node.op == "pow":
        return args[0] ** shown_number(node.data)  # type: ignore[arg-type]
    return sp.Add(*args) if node.op == "add" else sp.Mul(*args)
