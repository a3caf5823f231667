"""Which index of a group lies across the lanes, which is unrolled, and in which order the loops stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sympile.compiler.code.target import Core
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, extent, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.emitting.joined_axes import joined
from sympile.compiler.passes.fusing.cells import CELLS
from sympile.compiler.passes.fusing.group import Fused, Group, scatter_axis
from sympile.compiler.passes.scheduling.bounds import bounding
from sympile.compiler.passes.scheduling.factors import shared_first
from sympile.compiler.passes.scheduling.halves import exchangeable
from sympile.compiler.passes.scheduling.packing import packing
from sympile.compiler.passes.scheduling.strides import loads_in, own_stride, strides_along
from sympile.compiler.passes.scheduling.tiles import Tile, best_tile, deciding, length_of
from sympile.compiler.records import dataclass
from sympile.compiler.rules.costs import PICOSECONDS, picoseconds
from sympile.compiler.rules.machine import pays_twice

MOST_ROWS = 16  # of elementwise work in one tile
LEAST_PART = 4  # of a register, of a short axis
FEW_VECTORS = 4  # of one register, below which none of two is written
FEW_SUMS = 2  # whose accumulators leave room for two registers of all else
MOST_TWICE = 100  # operations that are written for vectors of two registers
WRITTEN = 200  # operations of all copies of a body in a tile, roughly, at most


@dataclass(frozen=True, slots=True)
class Loops:
    """The nest of one group, from the outside in: outer, vector if it is an axis, row (in steps of `rows`), inner.

    Of a second axis, all or equal parts (`seconds` steps) stand in each tile. A reduced vector index is the innermost
    loop; its lanes are added up at the end.
    """

    outer: tuple[Node, ...]
    row: Node | None
    rows: int
    vector: Node | None
    vectors: int
    inner: tuple[Node, ...]
    lanes: int
    second: Node | None = None
    seconds: int = 1
    packed: tuple[Node, ...] = ()  # factors that are copied side by side, a block of turns of inner[0] at a time
    block: int = 0
    packed_rows: tuple[Node, ...] = ()  # factors of rows that are copied tile by tile, for all columns
    row_block: int = 0  # rows that are copied at a time
    half: bool = False  # of a matrix that is symmetric in row and vector only tiles that reach or pass the diagonal
    flat: bool = False  # outer and vector are one loop, through arrays of one shape from end to end
    registers: int = 1  # that a vector fills, of so many lanes each

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.lanes * self.registers

    @property
    def vector_is_reduced(self) -> bool:
        return self.vector is not None and self.vector in self.inner

    @property
    def steps(self) -> tuple[tuple[Node | None, int], ...]:
        """The indices that differ within a tile, and how many steps of each it has."""
        return (self.row, self.rows), (self.second, self.seconds), (self.vector, self.vectors)


def schedule(fused: Fused, core: Core) -> dict[Definition, Loops]:
    """The loops of every group (by its first member) on such a core, and of those that have joined axes."""
    tiles: dict[object, Tile] = {}
    written = [one.group for group in fused.groups if (one := joined(group)) is not None]
    groups = [group for group in (*fused.groups, *written) if group.members[0].kind == "formula"]
    return {group.members[0]: loops_of(group, core, tiles) for group in groups}


def loops_of(group: Group, core: Core, tiles: dict[object, Tile] | None = None) -> Loops:
    """The loops of one group; tiles that were chosen for others serve those alike."""
    lanes = core.lanes
    if group.rows is not None:
        return Loops((), group.domain[0], lanes, None, 1, group.domain[1:], lanes)
    if not group.domain:
        return Loops((), None, 1, None, 1, (), 1)
    first = next((t for t in group.members if t.reduced), group.members[0])
    if scatter_axis(first) is not None:
        return _scatter_loops(first, lanes)
    if first.reduced and first.axes:
        return _reduction_loops(group, first, core, {} if tiles is None else tiles)
    if group.way is not None:
        return _running_loops(group, group.way[0], lanes)
    bodies = [group.body(tensor) for tensor in group.results]
    if _is_flat(group, bodies):
        *outer, vector = group.domain
        length = math.prod(map(length_of, group.domain))
        registers = _registers(group, vector, length, lanes)
        vectors = _unrolled(group, length, lanes) if registers == 1 else 1
        return Loops(tuple(outer), None, 1, vector, vectors, (), lanes, flat=True, registers=registers)
    vector = min(group.domain, key=lambda i: (_cost(i, group, bodies, lanes), group.domain.index(i)))
    return _plain_loops(group, first, vector, lanes_along(vector, lanes))


def _running_loops(group: Group, axis: Node, lanes: int) -> Loops:
    """What runs along an axis: another one across the lanes, if that is the last in memory."""
    vector = group.domain[-1]
    outer = tuple(i for i in group.domain if i not in (vector, axis))
    own = lanes_along(vector, lanes)
    vectors = 1 if vector is axis else _unrolled(group, length_of(vector), own)
    return Loops(outer, None, 1, vector, vectors, (axis,), own)


def _is_flat(group: Group, bodies: Sequence[Node]) -> bool:
    """Whether each number is made of numbers at its own place in arrays of the same shape, wherever that is."""
    alone = any(body.op == CELLS for body in bodies) or any(t.axes != group.domain for t in group.members)
    if alone or len(group.domain) < 2:
        return False
    shape = tuple(extent(axis) for axis in group.domain)
    whole = {n for n in loads_in(bodies) if n.op == "read" and n.args == group.domain and target(n).shape == shape}
    return not any(node.op == "index" for node in postorder(bodies, whole))


def lanes_along(vector: Node, lanes: int) -> int:
    """As many lanes as an axis fills, a quarter of a register at least: where a part of one holds it, none is masked.

    What is masked is also slow to read again: a load waits for a masked store within a register's width before it.
    """
    length = length_of(vector)
    if extent(vector).op != "const" or length == 1:
        return lanes if length > 1 else 1
    return min(lanes, max(lanes // LEAST_PART, 1 << (length - 1).bit_length()))


def _cost(index: Node, group: Group, bodies: Iterable[Node], lanes: int) -> float:
    """Rough time of one element with this index across the lanes: loads, waste of the last vector, final sum."""
    length = length_of(index)
    waste = math.ceil(length / lanes) * lanes / length
    cost = 0.5
    for node in loads_in(bodies):
        step = strides_along(node, index)
        cost += 0.3 if step == 0 else 1.0 if step == 1 else 0.75 * lanes
    for tensor in group.results:
        if tensor.kind == "formula" and index in tensor.axes and not tensor.reduced and own_stride(tensor, index) != 1:
            cost += 0.75 * lanes
    reduced = index in group.members[0].reduced and bool(group.members[0].axes)
    ending = 8.0 / max(1.0, length / lanes) if reduced else 0.0
    return (cost + ending) * waste


def _plain_loops(group: Group, first: Definition, vector: Node, lanes: int) -> Loops:
    """Elementwise work, and sums to a scalar."""
    reduced = tuple(i for i in first.reduced if i is not vector)
    inner = (*reduced, vector) if vector in first.reduced else reduced
    outer = tuple(i for i in group.domain if i is not vector and i not in first.reduced)
    row, rows = _rows(group, vector, outer)
    length = length_of(vector)
    registers = _registers(group, vector, length, lanes) if row is None else 1
    vectors = _unrolled(group, length, lanes) if row is None and registers == 1 else 1
    outer = tuple(i for i in outer if i is not row)
    inner = _in_memory_order(inner, first, vector)
    return Loops(outer, row, rows, vector, vectors, inner, lanes, registers=registers)


def _registers(group: Group, vector: Node, length: int, lanes: int) -> int:
    """Two where functions such as exp are computed: of two long chains one need not wait for the other."""
    bodies = [group.body(tensor) for tensor in group.results]
    nodes = [node for node in postorder(bodies) if vector in node.free]
    if any(body.op == CELLS for body in bodies):
        return 1  # cells are turned over in squares of a register
    long = any(pays_twice(node) for node in nodes) and length >= FEW_VECTORS * lanes
    short = len(nodes) <= MOST_TWICE and sum(bool(t.reduced) for t in group.members) <= FEW_SUMS
    return 2 if long and short and lanes > 1 else 1


def _rows(group: Group, vector: Node, outer: tuple[Node, ...]) -> tuple[Node | None, int]:
    """An axis whose rows stand in one tile, and how many: where they share more than one read across the lanes."""
    bodies = [group.body(tensor) for tensor in group.results]
    plain = not any(tensor.reduced for tensor in group.members) and not any(body.op == CELLS for body in bodies)
    nodes = [node for node in postorder(bodies) if vector in node.free and node.op not in ("index", "eq")]
    if not outer or not plain or not nodes or vector is not group.domain[-1]:
        return None, 1
    row = outer[-1]
    shared = sum(picoseconds(node) for node in nodes if row not in node.free)
    most = min(MOST_ROWS, WRITTEN // len(nodes))
    if shared <= PICOSECONDS["read"] or most < 2:
        return None, 1
    length = length_of(row)
    return row, length if length <= most and extent(row).op == "const" else most


def _reduction_loops(group: Group, first: Definition, core: Core, tiles: dict[object, Tile]) -> Loops:
    """Sums of which there are several: a tile of them is kept in registers."""
    pairs = exchangeable(group)
    key = (pairs, deciding(first))
    tile = tiles[key] = tiles.get(key) or best_tile(first, core, pairs)
    vector = tile.vector
    lanes = lanes_along(vector, core.lanes)
    reduced = tuple(i for i in first.reduced if i is not vector)
    outer = tuple(a for a in first.axes if a not in (vector, tile.row, tile.second))
    inner = _in_memory_order((*reduced, vector) if vector in first.reduced else reduced, first, vector, outer)
    body = shared_first(group.body(first), first.axes, tile.steps)
    packs = packing(body, first, tile, inner, lanes, core)
    return Loops(
        outer, tile.row, tile.rows, vector, tile.vectors, inner, lanes, tile.second, tile.seconds, packs.packed,
        packs.block, packs.rows, packs.row_block, tile.half,
    )  # fmt: skip


def _in_memory_order(
    inner: tuple[Node, ...], first: Definition, vector: Node, outer: tuple[Node, ...] = ()
) -> tuple[Node, ...]:
    """Reduced indices, the one with the smallest steps in memory innermost; a reduced vector index stays last.

    Loops that guards bound stand outside, since one turns out short where the others need not.
    """
    reads = loads_in([first.formula])
    plain = tuple(index for index in inner if index is not vector)
    bounded = {index for index, conditions in bounding(first.formula, outer, plain).items() if conditions}

    def step(index: Node) -> float:
        steps = [strides_along(node, index) for node in reads if index in node.free]
        return sum(abs(one) if one is not None else 1e6 for one in steps)

    def place(index: Node) -> tuple[bool, bool, float, int]:
        return index is vector, index not in bounded, -step(index), inner.index(index)

    return tuple(sorted(inner, key=place))


def _unrolled(group: Group, length: int, lanes: int) -> int:
    """Small bodies are unrolled, so that one turn's latency hides behind another's."""
    work = sum(1 for _ in postorder([group.body(tensor) for tensor in group.results]))
    copies = 4 if work <= 24 else 2 if work <= 48 else 1
    return max(1, min(copies, length // lanes))


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
