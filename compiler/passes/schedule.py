"""Which index of a group lies across the lanes, which is unrolled, and in which order the loops stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.group import Fused, Group, scatter_axis
from sympile.compiler.passes.tiles import Tile, best_tile, known, length_of, operands_of


@dataclass(frozen=True, slots=True)
class Loops:
    """The nest of one group, from the outside in: outer, vector if it is an axis, row (in steps of `rows`), inner.

    A second axis of rows stands whole in each tile. A reduced vector index is the innermost loop; its lanes are added
    up at the end.
    """

    outer: tuple[Node, ...]
    row: Node | None
    rows: int
    vector: Node | None
    vectors: int
    inner: tuple[Node, ...]
    lanes: int
    second: Node | None = None
    packed: tuple[Node, ...] = ()  # factors that are copied side by side, a block of turns of inner[0] at a time
    block: int = 0

    @property
    def seconds(self) -> int:
        return 1 if self.second is None else length_of(self.second)

    @property
    def vector_is_reduced(self) -> bool:
        return self.vector is not None and self.vector in self.inner


def schedule(fused: Fused, lanes: int, registers: int) -> dict[Definition, Loops]:
    """The loops of every group (by its first member) for a machine with so many lanes and vector registers."""
    return {g.members[0]: loops_of(g, lanes, registers) for g in fused.groups if g.members[0].kind == "formula"}


def loops_of(group: Group, lanes: int, registers: int) -> Loops:
    """The loops of one group."""
    if group.rows is not None:
        return Loops((), group.domain[0], lanes, None, 1, group.domain[1:], lanes)
    if not group.domain:
        return Loops((), None, 1, None, 1, (), 1)
    first = next((t for t in group.members if t.reduced), group.members[0])
    if scatter_axis(first) is not None:
        return _scatter_loops(first, lanes)
    bodies = [tensor.formula for tensor in group.results]
    vector = min(group.domain, key=lambda i: (_cost(i, group, bodies, lanes), group.domain.index(i)))
    if length_of(vector) < 2:
        lanes = 1
    return _tiled(group, first, vector, lanes, registers)


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


PANEL = 24576  # numbers in a panel at most
LONGEST_ROWS = 6144  # numbers of an operand that the first-level cache holds while it is read in rows
OFTEN, STRIDED_OFTEN = 6, 1  # tiles that read a panel for which it is worth copying; where its lanes lie apart


def packing(
    body: Node, tensor: Definition, tile: Tile, vector: Node, inner: tuple[Node, ...], lanes: int
) -> tuple[tuple[Node, ...], int]:
    """Which factors of a sum are packed, and how many turns of the outermost reduced index make a block."""
    fixed = 1
    for index in inner[1:]:
        fixed *= length_of(index) if known(index) else PANEL
    block = PANEL // (tile.vectors * lanes * fixed)
    if tensor.monoid != "sum" or vector in inner or tile.row is None or block < 1 or lanes == 1:
        return (), 0
    tiles = -(-length_of(tile.row) // tile.rows)
    turns = math.prod(length_of(index) for index in inner)
    chosen = tuple(node for node in operands_of(body) if _is_packed(node, tile, vector, inner, tiles, turns))
    if not chosen:
        return (), 0
    if known(inner[0]):
        blocks = -(-length_of(inner[0]) // block)
        block = -(-length_of(inner[0]) // blocks)
    return chosen, block


def _is_packed(node: Node, tile: Tile, vector: Node, inner: tuple[Node, ...], tiles: int, turns: int) -> bool:
    """Whether a factor that all rows of tiles read lies so that a copy of it is read faster."""
    if vector not in node.free or tile.row in node.free or tile.second in node.free or node.free.isdisjoint(inner):
        return False
    if node.op != "read" or strides_along(node, vector) != 1:
        return tiles > STRIDED_OFTEN
    spread = turns * max(1, min((strides_along(node, i) or 1) for i in inner if i in node.free))
    return tiles >= OFTEN and spread > LONGEST_ROWS


def _cost(index: Node, group: Group, bodies: Iterable[Node], lanes: int) -> float:
    """Rough time of one element with this index across the lanes: loads, waste of the last vector, final sum."""
    length = length_of(index)
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
        step *= length_of(axis)
    return 0


def _tiled(group: Group, first: Definition, vector: Node, lanes: int, registers: int) -> Loops:
    reduced = tuple(i for i in first.reduced if i is not vector)
    axes = tuple(i for i in first.axes if i is not vector)
    inner = (*reduced, vector) if vector in first.reduced else reduced
    if not first.reduced:
        return Loops(axes, None, 1, vector, _unrolled(group, vector, lanes), (), lanes)
    inner = _in_memory_order(inner, first, vector)
    if not first.axes:
        return Loops((), None, 1, vector, _unrolled(group, vector, lanes), inner, lanes)
    tile = best_tile(first, vector, lanes, registers)
    outer = tuple(a for a in axes if a is not tile.row and a is not tile.second)
    packed, block = packing(group.body(first), first, tile, vector, inner, lanes)
    return Loops(outer, tile.row, tile.rows, vector, tile.vectors, inner, lanes, tile.second, packed, block)


def _in_memory_order(inner: tuple[Node, ...], first: Definition, vector: Node) -> tuple[Node, ...]:
    """Reduced indices, the one with the smallest steps in memory innermost; a reduced vector index stays last."""
    reads = [node for node in postorder([first.formula]) if node.op == "read"]

    def step(index: Node) -> float:
        steps = [strides_along(node, index) for node in reads if index in node.free]
        return sum(abs(one) if one is not None else 1e6 for one in steps)

    return tuple(sorted(inner, key=lambda index: (index is vector, -step(index), inner.index(index))))


def _unrolled(group: Group, vector: Node, lanes: int) -> int:
    """Small bodies are unrolled, so that one turn's latency hides behind another's."""
    work = sum(1 for _ in postorder([tensor.formula for tensor in group.results]))
    copies = 4 if work <= 24 else 2 if work <= 48 else 1
    return max(1, min(copies, length_of(vector) // lanes))


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
