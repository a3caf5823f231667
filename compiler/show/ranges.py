"""Conditions that are the range of a sum's index: Sum over all j of [j >= i] f(j) is Sum(f(j), (j, i, n - 1))."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.graph.affine import always_at_least_zero
from sympile.compiler.graph.arithmetic import add
from sympile.compiler.graph.conditions import both, counted, select
from sympile.compiler.graph.definition import NEUTRAL
from sympile.compiler.graph.node import ONE, ZERO, Node, extent
from sympile.compiler.graph.ranges import largest
from sympile.compiler.graph.running import UP
from sympile.compiler.passes.fusing.triangles import Triangle, triangle_of

Range = tuple[Node, Node | None]  # the first place, and the last one; None for the last of all


def ranges_of(body: Node, monoid: str, reduced: Sequence[Node]) -> tuple[Node, dict[Node, Range]]:
    """The body without conditions that are the range of an index, as it is read again, and those ranges."""
    neutral = NEUTRAL[monoid]
    value, conditions = counted(body, neutral)
    found: dict[Node, Range] = {}
    left = list(conditions)
    for place, k in enumerate(reduced):
        for condition in conditions:
            triangle = triangle_of(condition, k)
            if triangle is not None and k not in found and triangle.i not in reduced[place:] and _is_read_so(triangle):
                found[k] = (ZERO, triangle.last) if triangle.direction == UP else (triangle.last, None)
                left.remove(condition)
    return (select(both(*left), value, neutral), found) if found else (body, found)


def _is_read_so(triangle: Triangle) -> bool:
    """Whether the range is read as an index of the same length."""
    if triangle.direction == UP:
        return largest(add(triangle.last, ONE)) is extent(triangle.k)
    return always_at_least_zero(triangle.last)
