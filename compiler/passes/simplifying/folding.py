"""Functions of constants: evaluated to many digits, so that code holds the number itself, rounded once to the dtype."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath

from sympile.compiler.graph.node import INFINITY, NAN, NEGATIVE_INFINITY, Node, const, number
from sympile.compiler.rules.functions import CONSTANTS, FUNCTIONS

DIGITS = 200        # bits
LARGEST = 4000      # beyond this exponent, of two, numbers are left to the arithmetic of the code


def folded(node: Node) -> Node:
    """The value of a function whose operands are constants; any other node as it is."""
    if not node.args or (node.op != "pow" and node.op not in FUNCTIONS):
        return node
    if any(arg.op not in ("const", "constant") for arg in node.args):
        return node
    with mpmath.workprec(DIGITS):
        value = _value(node, [_operand(arg) for arg in node.args])
        return node if value is None else _as_node(value, node)


def _operand(node: Node) -> Any:
    if node.op == "constant":
        return CONSTANTS[str(node.data)]()
    exact = Fraction(number(node))
    return mpmath.mpf(exact.numerator) / exact.denominator


def _value(node: Node, operands: list[Any]) -> Any:
    """None where mpmath has no answer: a pole, which the arithmetic of the code knows."""
    try:
        if node.op == "pow":
            exponent = Fraction(node.data)  # type: ignore[call-overload]
            return mpmath.power(operands[0], mpmath.mpf(exponent.numerator) / exponent.denominator)
        return FUNCTIONS[node.op].exact(*operands)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def _as_node(value: Any, node: Node) -> Node:
    if isinstance(value, mpmath.mpc) or mpmath.isnan(value):
        return NAN
    if mpmath.isinf(value):
        return INFINITY if value > 0 else NEGATIVE_INFINITY
    exact = mpmath.mpf(value)
    sign, digits, exponent, _ = exact._mpf_
    if abs(exponent) > LARGEST:
        return node
    return const(Fraction(int(digits) * (-1 if sign else 1)) * Fraction(2) ** int(exponent))
