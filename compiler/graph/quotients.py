"""Index expressions divided by a number and cut: floor(a / m), in normal form."""

from __future__ import annotations

from sympile.compiler.graph.affine import affine, extreme
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.node import ZERO, Node, const, make


def quotient(a: Node, divisor: int) -> Node:
    """floor(a / divisor) of an index expression; what the divisor divides stands outside."""
    form = affine(a)
    if form is None or divisor == 1:
        return a if divisor == 1 else make("quotient", a, data=divisor)
    outside, inside = [], []
    for leaf, coefficient in (*form.terms, (None, form.constant)):
        assert isinstance(coefficient, int), a
        whole, rest = divmod(coefficient, divisor)
        outside.append(_multiple(whole, leaf))
        inside.append(_multiple(rest, leaf))
    left = add(*inside)
    return add(*outside) if _is_below(left, divisor) else add(*outside, make("quotient", left, data=divisor))


def remainder(a: Node, divisor: int) -> Node:
    """What the quotient leaves: at least 0 and less than the divisor."""
    return add(a, mul(const(-divisor), quotient(a, divisor)))


def _multiple(count: int, leaf: Node | None) -> Node:
    return const(count) if leaf is None else ZERO if count == 0 else mul(const(count), leaf)


def _is_below(a: Node, bound: int) -> bool:
    """Whether an expression without negative coefficients is always less than a number."""
    most = extreme(a, 1)
    return most is not None and not most[1] and most[0] < bound
