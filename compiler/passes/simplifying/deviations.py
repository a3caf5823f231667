"""Deviations from a mean add up to nothing: sum_k (x[k] - m) is 0 where m is the mean of x."""

from __future__ import annotations

from collections.abc import Container, Sequence

from sympile.compiler.graph.arithmetic import add, factors_of, mul, split, terms_of
from sympile.compiler.graph.conditions import conditions_of
from sympile.compiler.graph.definition import Definition, elementwise
from sympile.compiler.graph.node import ZERO, Node, const, extent, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.graph.reduce import total


def without_deviations(tensor: Definition, names: Container[Definition]) -> Definition | None:
    """The same sum without the terms that add up to nothing; None where there are none.

    Args:
        tensor: any definition.
        names: what has a name stays a value of its own, unless all of it adds up to nothing.
    """
    if tensor.monoid != "sum" or conditions_of(tensor.formula):
        return None
    if _add_up_to_nothing(terms_of(_opened(tensor.formula)), tensor.reduced):
        return elementwise(tensor.axes, ZERO)
    terms = terms_of(_opened(tensor.formula, names))
    left = [term for term in terms if not _vanishes(term, tensor.reduced)]
    return None if len(left) == len(terms) else elementwise(tensor.axes, total(tensor.reduced, add(*left)))


def _vanishes(term: Node, reduced: Sequence[Node]) -> bool:
    """Whether a term is deviations times what all of them share."""
    moving = [factor for factor in factors_of(term) if not factor.free.isdisjoint(reduced)]
    return len(moving) == 1 and _add_up_to_nothing(terms_of(_opened(moving[0])), reduced)


def _add_up_to_nothing(terms: Sequence[Node], reduced: Sequence[Node]) -> bool:
    shared = [_opened(term) for term in terms if term.free.isdisjoint(reduced)]
    moving = [term for term in terms if not term.free.isdisjoint(reduced)]
    if not moving or not any(map(_reads_sum, shared)):
        return False
    return add(mul(*map(extent, reduced), add(*shared)), total(reduced, add(*moving))) is ZERO


def _opened(node: Node, but: Container[Definition] = ()) -> Node:
    """What a multiple of an elementwise tensor computes: a mean is the quotient of a sum."""
    coefficient, rest = split(node)
    while rest.op == "read" and target(rest).kind == "formula" and not target(rest).reduced and target(rest) not in but:
        factor, rest = split(substitute(target(rest).formula, dict(zip(target(rest).axes, rest.args, strict=True))))
        coefficient *= factor
    return mul(const(coefficient), rest)


def _reads_sum(term: Node) -> bool:
    return any(f.op == "read" and target(f).monoid == "sum" for f in factors_of(term))
