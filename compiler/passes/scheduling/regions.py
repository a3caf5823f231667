"""Which groups are split among threads, along which index, and into how many chunks: by the shape alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

from sympile.compiler.graph.definition import Definition, extent_value, read
from sympile.compiler.graph.node import Node, extent, postorder
from sympile.compiler.passes.fusing.group import Group, scatter_axis
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.passes.scheduling.row_panels import grain_of
from sympile.compiler.passes.scheduling.strides import strides_along
from sympile.compiler.records import dataclass
from sympile.compiler.rules.costs import LANES, PICOSECONDS, picoseconds

WORTH = 40_000_000  # picoseconds of work from which a group is split
CHUNK = 10_000_000  # of one chunk, at least
MOST = 64  # chunks of one group, at most
ENOUGH = 16  # possible chunks of an axis that make looking for a longer one needless
FEW = 4  # the same of an axis of columns whose panels are packed: chunks of rows would pack them again each
PANEL_ROWS = 64  # rows that a panel is packed for, at least
ROOM = 8192  # numbers in the partial results of all chunks
LONG = 1 << 20  # what an unknown extent counts as


@dataclass(frozen=True, slots=True)
class Split:
    """How a group is cut: along an index, in steps of `grain`; its work is `cost` picoseconds times the extents."""

    index: Node
    grain: int
    cost: int
    others: tuple[Node, ...]  # every other index of the group
    most: int = MOST
    summed: bool = False  # the index is summed over: each chunk leaves a partial result
    together: bool = False  # all is one chunk where no other thread is there: each one would pack the same again

    @property
    def indices(self) -> tuple[Node, ...]:
        return (self.index, *self.others)


def split_of(group: Group, loops: Loops) -> Split | None:
    """How a group is cut, or None where it is never worth it, or cannot be done."""
    if not group.domain or any(scatter_axis(t) is not None for t in group.members):
        return None
    cost = max(1, _cost_of_point(group, loops) * LANES // loops.lanes)
    if math.prod((_length(i) for i in group.domain), start=cost) < WORTH:
        return None
    choice = _choice(group, loops)
    if choice is None:
        return None
    index, grain, most = choice
    others = tuple(i for i in group.domain if i is not index)
    together = bool(loops.packed_rows) and index is loops.row
    return Split(index, grain, cost, others, most, bool(sums_over(group, index)), together)


def sums_over(group: Group, index: Node) -> tuple[Definition, ...]:
    """The members that are sums over an index, or maxima, ..."""
    return tuple(t for t in group.members if index in t.reduced)


def _sums(group: Group) -> bool:
    """Whether scalars are summed in one shared loop."""
    return group.rows is None and any(t.reduced and not t.axes for t in group.members)


def _length(index: Node) -> int:
    return extent_value(extent(index), LONG)


def _cost_of_point(group: Group, loops: Loops) -> int:
    """Picoseconds for one point of the domain; what is the same for all points costs nothing."""
    bodies = [group.body(t) for t in group.members]
    cost = sum(picoseconds(n) for n in postorder(bodies) if n.free and n.op != "read")
    reads = [n for n in postorder(bodies) if n.op == "read" and n.free]
    if any(t.reduced and t.axes for t in group.members):
        return cost + PICOSECONDS["reread"] * len(reads)
    written = [read(t, *t.axes) for t in group.members if not t.reduced]
    return cost + sum(map(partial(_cost_of_access, loops), reads)) + sum(map(partial(_cost_of_access, loops), written))


def _cost_of_access(loops: Loops, node: Node) -> int:
    """A read or a write of one number, among its neighbours or alone."""
    together = loops.vector is None or strides_along(node, loops.vector) in (0, 1)
    return PICOSECONDS["read" if together else "apart"]


def _choice(group: Group, loops: Loops) -> tuple[Node, int, int] | None:
    """(index, grain, chunks at most): the outermost axis with enough chunks, or the best one, or a summed index."""
    if group.rows is not None:
        return _rows(group, loops)
    axes = list(_axes(loops, group))
    best = max(axes, key=lambda axis: (min(axis[2], ENOUGH), -axes.index(axis)), default=None)
    if best is not None and best[2] >= ENOUGH:
        return best[0], best[1], MOST
    summed = _summed(group, loops)
    if summed is not None and (best is None or summed[2] > best[2]):
        return summed
    return (best[0], best[1], MOST) if best is not None and best[2] >= 2 else None


def _rows(group: Group, loops: Loops) -> tuple[Node, int, int] | None:
    """Rows that are gone through once for results of several kinds."""
    words = words_of(group, group.domain[0])
    most = MOST if not words else min(MOST, ROOM // words)
    return (group.domain[0], 8 * loops.rows, most) if words is not None and most >= 2 else None


def _axes(loops: Loops, group: Group) -> Iterable[tuple[Node, int, int]]:
    """(axis, grain, possible chunks) of every axis that the results have, from the outermost loop on."""
    if _sums(group):
        return
    for index in loops.outer[:1] if loops.flat else loops.outer:
        yield index, 1, _length(index)
    if loops.flat:
        return
    if loops.packed_rows and loops.row is not None:
        rows = grain_of(_length(loops.row), loops.rows, loops.row_block)
        yield loops.row, rows, -(-_length(loops.row) // rows)
        return
    if loops.vector is not None and not loops.vector_is_reduced:
        grain = loops.width * loops.vectors
        columns = _length(loops.vector) // grain
        whole = loops.packed and columns >= FEW
        yield loops.vector, grain, ENOUGH if whole else columns
    if loops.row is not None:
        rows = loops.rows * (-(-PANEL_ROWS // loops.rows) if loops.block else 1)
        yield loops.row, rows, _length(loops.row) // rows


def _summed(group: Group, loops: Loops) -> tuple[Node, int, int] | None:
    """The outermost summed index, if partial results of at least two chunks have room."""
    index = loops.inner[0] if loops.inner else loops.vector if _sums(group) else None
    words = None if index is None else words_of(group, index)
    if index is None or not words or loops.block:
        return None
    grain = loops.width * loops.vectors if index is loops.vector else 8
    most = min(MOST, ROOM // words, _length(index) // grain)
    return (index, grain, most) if most >= 2 else None


def words_of(group: Group, index: Node) -> int | None:
    """How many numbers the sums over an index are; None if that depends on sizes."""
    total = 0
    for tensor in sums_over(group, index):
        if any(length.op != "const" for length in tensor.shape):
            return None
        total += math.prod(extent_value(length) for length in tensor.shape)
    return total
