"""The range of index expressions over all indices, as expressions in sizes."""

from __future__ import annotations

from sympile.compiler.graph.affine import always_at_least_zero, extreme
from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.node import ONE, Node, const, extent


def largest(node: Node) -> Node | None:
    """The largest value; None where the expression is not affine."""
    return _bound(node, 1)


def smallest(node: Node) -> Node | None:
    """The smallest value; None where the expression is not affine."""
    return _bound(node, -1)


def _bound(node: Node, sign: int) -> Node | None:
    found = extreme(node, sign)
    if found is None:
        return None
    constant, sizes = found
    return add(const(constant), *[mul(const(c), leaf) for leaf, c in sizes.items()])


def stays_inside(at: Node, length: Node) -> bool:
    """True only if 0 <= at < length is known for every index value and every size >= 1."""
    if at.op == "index" and extent(at) is length:
        return True
    return always_at_least_zero(at) and always_at_least_zero(sub(sub(length, ONE), at))
