"""Iverson brackets on index expressions: [a == b], [a >= 0], [m divides a], decided where they can be."""

from __future__ import annotations

from sympile.compiler.graph.affine import affine, always_at_least_zero, never_at_least_zero
from sympile.compiler.graph.arithmetic import add, mul, neg, sub
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.node import ONE, ZERO, Node, by_key, const, make, postorder

BRACKETS = frozenset({"eq", "ge", "divides"})


def equal(a: Node, b: Node) -> Node:
    """[a == b] on index expressions; ONE or ZERO where that is known."""
    difference = sub(a, b)
    if difference is ZERO:
        return ONE
    if difference.op == "const" or never_at_least_zero(difference) or never_at_least_zero(neg(difference)):
        return ZERO
    return make("eq", *sorted((a, b), key=by_key))


def at_least_zero(a: Node) -> Node:
    """[a >= 0] on an index expression; ONE or ZERO where that is known."""
    if always_at_least_zero(a):
        return ONE
    if never_at_least_zero(a):
        return ZERO
    return make("ge", a)


def divides(divisor: int, a: Node) -> Node:
    """[divisor divides a] on an index expression; what the divisor divides anyway is left out."""
    if divisor == 1:
        return ONE
    form = affine(a)
    if form is None or any(not isinstance(c, int) for c in (form.constant, *[c for _, c in form.terms])):
        return make("divides", a, data=divisor)
    kept = [(leaf, c) for leaf, c in form.terms if c % divisor]
    if not kept:
        return ZERO if form.constant % divisor else ONE
    if len(kept) < len(form.terms) or not 0 <= form.constant < divisor:
        a = add(const(form.constant % divisor), *[mul(const(c), leaf) for leaf, c in kept])
    return make("divides", a, data=divisor)


def inside(a: Node, bound: Node) -> Node:
    """[0 <= a < bound]; data indices are in range by the entry check's promise."""
    return ONE if reads_data(a) else when(ONE, at_least_zero(a), at_least_zero(sub(sub(bound, ONE), a)))


def reads_data(a: Node) -> bool:
    """Whether integer data stand in an index expression."""
    return any(node.op == "read" for node in postorder([a]))
