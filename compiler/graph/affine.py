"""What is known of index expressions: their affine form, and whether they can be negative."""

from __future__ import annotations

import math
from fractions import Fraction

from sympile.compiler.graph.node import Node, Number, extent, number
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Affine:
    """constant + sum of coefficient * leaf, where a leaf is an index, a size, a quotient, or a read of integer data."""

    constant: Number
    terms: tuple[tuple[Node, Number], ...]


def affine(node: Node) -> Affine | None:
    """The affine form of an index expression, or None where it has none."""
    constant: Number = 0
    terms: dict[Node, Number] = {}
    pending: list[tuple[Node, Number]] = [(node, 1)]
    while pending:
        part, factor = pending.pop()
        if part.op == "const":
            constant += factor * number(part)
        elif part.op == "add":
            pending.extend((term, factor) for term in part.args)
        elif part.op == "mul" and part.args[0].op == "const" and len(part.args) == 2:
            pending.append((part.args[1], factor * number(part.args[0])))
        elif part.op in ("index", "size", "quotient", "read"):
            terms[part] = terms.get(part, 0) + factor
        else:
            return None
    return Affine(constant, tuple((leaf, c) for leaf, c in terms.items() if c != 0))


def _combine(target: dict[Node, Number], form: Affine, factor: Number) -> Number:
    for leaf, c in form.terms:
        target[leaf] = target.get(leaf, 0) + factor * c
    return form.constant * factor


def extreme(node: Node, sign: int) -> tuple[Number, dict[Node, Number]] | None:
    """The largest (sign 1) or smallest (sign -1) value over all indices, affine in the sizes."""
    form = affine(node)
    if form is None:
        return None
    constant: Number = form.constant
    sizes: dict[Node, Number] = {}
    for leaf, c in form.terms:
        if leaf.op == "size":
            sizes[leaf] = sizes.get(leaf, 0) + c
        elif leaf.op == "quotient":
            found = extreme(leaf.args[0], sign if c > 0 else -sign)
            if found is None or found[1]:
                return None
            constant += c * math.floor(Fraction(found[0]) / number(leaf))
        elif leaf.op != "index":
            return None
        elif c * sign > 0:
            length = affine(extent(leaf))
            if length is None or any(part.op != "size" for part, _ in length.terms):
                return None
            constant += _combine(sizes, length, c) - c
    return constant, sizes


def always_at_least_zero(node: Node) -> bool:
    """True only if the expression is known to be >= 0 for every index value and every size >= 1."""
    least = extreme(node, -1)
    if least is None:
        return False
    constant, sizes = least
    return all(c >= 0 for c in sizes.values()) and constant + sum(sizes.values()) >= 0


def never_at_least_zero(node: Node) -> bool:
    """True only if the expression is known to be < 0 for every index value and every size >= 1."""
    most = extreme(node, 1)
    if most is None:
        return False
    constant, sizes = most
    return all(c <= 0 for c in sizes.values()) and constant + sum(sizes.values()) < 0
