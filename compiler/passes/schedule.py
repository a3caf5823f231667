"""Which index of a group lies across the lanes, which is unrolled, and in which order the loops stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import Node, extent, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.group import Fused, Group, scatter_axis


@dataclass(frozen=True, slots=True)
class Loops:
    """The nest of one group, from the outside in: outer, row (in steps of `rows`), vector if it is an axis, inner.

    A reduced vector index is the innermost loop; its lanes are added up at the end.
    """

    outer: tuple[Node, ...]
    row: Node | None
    rows: int
    vector: Node | None
    vectors: int
    inner: tuple[Node, ...]
    lanes: int

    @property
    def vector_is_reduced(self) -> bool:
        return self.vector is not None and self.vector in self.inner


def schedule(fused: Fused, lanes: int, registers: int) -> dict[Definition, Loops]:
    """The loops of every group (by its first member) for a machine with so many lanes and vector registers."""
    return {g.members[0]: loops_of(g, lanes, registers) for g in fused.groups if g.members[0].kind == "formula"}


def loops_of(group: Group, lanes: int, registers: int) -> Loops:
    """The loops of one group."""
    if not group.domain:
        return Loops((), None, 1, None, 1, (), 1)
    first = next((t for t in group.members if t.reduced), group.members[0])
    if scatter_axis(first) is not None:
        return _scatter_loops(first, lanes)
    bodies = [tensor.formula for tensor in group.results]
    vector = min(group.domain, key=lambda i: (_cost(i, group, bodies, lanes), group.domain.index(i)))
    if _length(vector) < 2:
        lanes = 1
    return _tiled(group, first, vector, lanes, registers)


def _length(index: Node) -> int:
    return extent_value(extent(index), 64)


def strides_along(node: Node, index: Node) -> int | None:
    """How far a read moves in memory for one step of an index; None where data decide, or it is a fraction."""
    step, scale = 0, 1
    for at, length in reversed(list(zip(node.args, target(node).shape, strict=True))):
        if index in at.free:
            form = affine(at)
            if form is None or any(leaf is not index and index in leaf.free for leaf, _ in form.terms):
                return None
            own = next(c for leaf, c in form.terms if leaf is index)
            if not isinstance(own, int):
                return None
            step += own * scale
        scale *= extent_value(length, 64)
    return step


def _cost(index: Node, group: Group, bodies: Iterable[Node], lanes: int) -> float:
    """Rough time of one element with this index across the lanes: loads, waste of the last vector, final sum."""
    length = _length(index)
    waste = math.ceil(length / lanes) * lanes / length
    cost = 0.5
    for node in (n for n in postorder(bodies) if n.op == "read"):
        step = strides_along(node, index)
        cost += 0.3 if step == 0 else 1.0 if step == 1 else 0.75 * lanes
    for tensor in group.results:
        if tensor.kind == "formula" and index in tensor.axes and not tensor.reduced and _own_step(tensor, index) != 1:
            cost += 0.75 * lanes
    reduced = index in group.members[0].reduced and bool(group.members[0].axes)
    ending = 8.0 / max(1.0, length / lanes) if reduced else 0.0
    return (cost + ending) * waste


def _own_step(tensor: Definition, index: Node) -> int:
    step = 1
    for axis in reversed(tensor.axes):
        if axis is index:
            return step
        step *= _length(axis)
    return 0


def _tiled(group: Group, first: Definition, vector: Node, lanes: int, registers: int) -> Loops:
    reduced = tuple(i for i in first.reduced if i is not vector)
    axes = tuple(i for i in first.axes if i is not vector)
    inner = (*reduced, vector) if vector in first.reduced else reduced
    if not first.reduced:
        return Loops(axes, None, 1, vector, _unrolled(group, vector, lanes), (), lanes)
    if not first.axes:
        return Loops((), None, 1, vector, _unrolled(group, vector, lanes), inner, lanes)
    row, rows = _row(axes, lanes)
    budget = max(1, (registers - 4) // rows)
    vectors = max(1, min(4 if vector not in first.reduced else 2, budget, math.ceil(_length(vector) / lanes)))
    return Loops(tuple(a for a in axes if a is not row), row, rows, vector, vectors, inner, lanes)


def _row(axes: tuple[Node, ...], lanes: int) -> tuple[Node | None, int]:
    """The longest other axis gives the rows of a register tile."""
    if not axes:
        return None, 1
    row = max(axes, key=_length)
    length = _length(row)
    if extent(row).op != "const":
        return row, 4
    return row, min((6, 5, 4, 3, 2, 1), key=lambda n: (n > length, length % n if n > 3 else 6 - n, -n))


def _unrolled(group: Group, vector: Node, lanes: int) -> int:
    """Small bodies are unrolled, so that one turn's latency hides behind another's."""
    work = sum(1 for _ in postorder([tensor.formula for tensor in group.results]))
    copies = 4 if work <= 24 else 2 if work <= 48 else 1
    return max(1, min(copies, _length(vector) // lanes))


def _scatter_loops(tensor: Definition, lanes: int) -> Loops:
    """Adds into rows that data choose: the last other axis across the lanes, everything else in order."""
    found = scatter_axis(tensor)
    assert found is not None
    axes = tuple(a for a in tensor.axes if a is not found[0])
    vector = axes[-1] if axes and axes[-1] is tensor.axes[-1] else None
    outer = (*tensor.reduced, *[a for a in axes if a is not vector])
    return Loops(outer, None, 1, vector, 1, (), lanes if vector is not None else 1)


def scattered_body(tensor: Definition) -> tuple[Node, Node, Node]:
    """(axis, place, body) of a scatter, the axis replaced by the place in the body."""
    found = scatter_axis(tensor)
    assert found is not None
    axis, place = found
    body = tensor.formula
    kept = [c for c in conditions_of(body) if not (c.op == "eq" and set(c.args) == {axis, place})]
    return axis, place, substitute(when(unguarded(body), *kept), {axis: place})
