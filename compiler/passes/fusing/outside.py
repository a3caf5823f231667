"""What the terms of a long sum of numbers have in common is multiplied once: c x + c y + … = c (x + y + …).

The normal form spreads it out: the slope of an unrolled recurrence has its parameter's own slope in each term.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce

from sympile.compiler.graph.node import MINUS_ONE, ONE, Node, const, make, number, postorder

LONG = 16  # terms
ROUNDS = 4  # factors, or groups of them, of one sum


def with_factors_outside(bodies: Sequence[Node]) -> list[Node]:
    """The bodies with the common factors of long sums before them; for the code generator only."""
    changed: dict[Node, Node] = {}
    for node in postorder(bodies):
        args = tuple([changed.get(arg, arg) for arg in node.args])
        now = node if args == node.args else make(node.op, *args, data=node.data)
        if now.op == "add" and len(now.args) >= LONG:
            now = _factored(now)
        if now is not node:
            changed[node] = now
    return [changed.get(body, body) for body in bodies]


def _factored(node: Node) -> Node:
    """A sum of products of what many of its terms have in common."""
    left, made = list(node.args), list[Node]()
    for _ in range(ROUNDS):
        counts = Counter(factor for term in left for factor in _factors(term))
        factor, count = max(counts.items(), key=lambda item: (item[1], item[0].key), default=(ONE, 0))
        if count < LONG:
            break
        own = [term for term in left if factor in _factors(term)]
        common = reduce(lambda a, b: {f: None for f in a if f in b}, map(_factors, own))
        left = [term for term in left if factor not in _factors(term)]
        made.append(_product([*common, make("add", *[_without(term, common) for term in own])]))
    parts = [*left, *made]
    return parts[0] if len(parts) == 1 else make("add", *parts)


def _factors(term: Node) -> dict[Node, None]:
    """The factors of a term, without its sign."""
    found = dict.fromkeys(term.args if term.op == "mul" else (term,))
    return {_size(f): None for f in found if f is not ONE and f is not MINUS_ONE}


def _size(factor: Node) -> Node:
    return const(-number(factor)) if factor.op == "const" and number(factor) < 0 else factor


def _without(term: Node, common: dict[Node, None]) -> Node:
    """What is left of a term, with its sign."""
    factors = list(term.args) if term.op == "mul" else [term]
    negative = factors[0].op == "const" and number(factors[0]) < 0
    left = [_size(f) for f in factors]
    for factor in common:
        left.remove(factor)
    left = [f for f in left if f is not ONE]
    return _product([MINUS_ONE, *left] if negative else left)


def _product(factors: Sequence[Node]) -> Node:
    """A number stands in front."""
    ordered = sorted(factors, key=lambda f: f.op != "const")
    return ONE if not ordered else ordered[0] if len(ordered) == 1 else make("mul", *ordered)
