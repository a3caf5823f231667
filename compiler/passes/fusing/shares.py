"""exp(u - logsumexp(u)), as softmax has it, is exp(u - max u) over the sum of those: one exponential instead of two."""

from __future__ import annotations

from fractions import Fraction

from sympile.compiler.graph.arithmetic import mul, power, split
from sympile.compiler.graph.definition import Definition, read
from sympile.compiler.graph.node import Node, extent, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class LogSum:
    """log(sum over k of exp(u)) as it was lowered: `total` is the sum of exp(u - shift)."""

    u: Node  # at the total's own indices
    total: Definition


def as_share(node: Node, sums: dict[Definition, LogSum]) -> Node:
    """The quotient that an exponential is, if it is one; else the node."""
    (argument,) = node.args
    if not any(tensor in sums for tensor in argument.below):
        return node
    terms = linear(argument)
    for term, coefficient in terms.items():
        if term.op == "read" and coefficient == -1 and target(term) in sums:
            found = _share(terms, term, sums[target(term)])
            if found is not None:
                return found
    return node


def _share(terms: dict[Node, Fraction], logarithm: Node, known: LogSum) -> Node | None:
    """The quotient, if the other terms are u at some index."""
    if len(known.total.reduced) != 1:
        return None
    (reduced,) = known.total.reduced
    rest = {term: c for term, c in terms.items() if term is not logarithm}
    for index in sorted(set().union(*[term.free for term in rest]) - logarithm.free, key=lambda i: i.key):
        if extent(index) is extent(reduced):
            names = {**dict(zip(known.total.axes, logarithm.args, strict=True)), reduced: index}
            if linear(substitute(known.u, names)) == rest:
                largest = substitute(known.total.formula, names)
                return mul(largest, power(read(known.total, *logarithm.args), -1))
    return None


def linear(node: Node, scale: Fraction = Fraction(1)) -> dict[Node, Fraction]:
    """The terms of a sum, and of sums in it that numbers multiply, with their coefficients."""
    total: dict[Node, Fraction] = {}
    stack = [(node, scale)]
    while stack:
        item, factor = stack.pop()
        coefficient, rest = split(item)
        factor = factor * Fraction(coefficient)
        if rest.op == "add":
            stack.extend((term, factor) for term in rest.args)
        else:
            total[rest] = total.get(rest, Fraction(0)) + factor
    return {term: c for term, c in total.items() if c}
