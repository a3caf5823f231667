"""Matrices of sums that are symmetric: one half is computed, the other one copied (XᵀX, XᵀDX, A Aᵀ, ...)."""

from __future__ import annotations

from itertools import combinations

from sympile.compiler.graph.definition import Definition, define, read
from sympile.compiler.graph.node import Node, extent, hole
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.fusing.group import Group

Pair = frozenset[Node]


def exchangeable(group: Group) -> frozenset[Pair]:
    """Pairs of axes that can be exchanged in a group's one sum and in what is made of it, the last axis among them.

    One half of such a matrix lies in rows as the other one lies in columns, so that a copy needs no search.
    """
    first, finish = group.members[0], group.finish
    last = group.stored[0].axes[-1]
    pairs = [frozenset(pair) for pair in combinations(first.axes, 2) if last in pair and _alike(*pair)]
    found = [pair for pair in pairs if is_symmetric(first, pair)]
    return frozenset(pair for pair in found if finish is None or _stays(finish, first, pair))


def _alike(i: Node, j: Node) -> bool:
    return extent(i) is extent(j)


def is_symmetric(tensor: Definition, pair: Pair) -> bool:
    """Whether the formula is the same with two axes exchanged."""
    return define(_exchanged(tensor.axes, pair), tensor.reduced, tensor.monoid, tensor.formula) is tensor


def _stays(finish: Definition, summed: Definition, pair: Pair) -> bool:
    """Whether what is made of a symmetric sum is symmetric."""
    body = substitute(finish.formula, {read(summed, *finish.axes): hole("sum")})
    return is_symmetric(define(finish.axes, (), None, body), pair)


def _exchanged(axes: tuple[Node, ...], pair: Pair) -> tuple[Node, ...]:
    i, j = pair
    return tuple(j if axis is i else i if axis is j else axis for axis in axes)
