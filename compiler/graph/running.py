"""A running reduction along an axis, as one elementwise formula. Only what is about to become code has any.

    T[..., k, ...] = x(first) ∘ ... ∘ x(k)            the first place is 0, or the last place if it runs down

With a ratio, all that has been carried to a place is multiplied there: T[k] = T[k before]*ratio(k) + x(k).
"""

from __future__ import annotations

from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ONE, Node, make
from sympile.compiler.records import dataclass

RUNNING = "running"  # args: the axis, x, the ratio; data: the monoid, the direction, and when
UP, DOWN = 1, -1
HERE = 0
BEFORE = 1  # the result leaves x(k) out: it is that of the place before, and at the first place that of nothing
LEAVING = 2  # the ratio at a place is for what leaves it: T[k] = T[k before]*ratio(k before) + x(k)


@dataclass(frozen=True, slots=True)
class Running:
    """A running reduction, taken apart."""

    axis: Node
    x: Node
    ratio: Node
    monoid: str
    direction: int
    when: int


def running(monoid: str, direction: int, axis: Node, x: Node, ratio: Node = ONE, when: int = HERE) -> Node:
    """The reduction of x over all places up to (or, if it runs down, from) that of the axis."""
    return make(RUNNING, axis, x, ratio, data=(monoid, direction, when))


def running_of(body: Node) -> Running | None:
    """What a formula runs over, if it does."""
    if body.op != RUNNING:
        return None
    (axis, x, ratio), (monoid, direction, when) = body.args, body.data  # type: ignore[misc]
    return Running(axis, x, ratio, monoid, direction, when)  # type: ignore[has-type]


def runs(tensor: Definition) -> bool:
    """Whether a definition is a running reduction."""
    return tensor.kind == "formula" and tensor.formula.op == RUNNING
