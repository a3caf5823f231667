"""Register tiles of a reduction: the index across the lanes, the axes that give rows, how many, and how many vectors.

All candidates are compared by a model of a core's cycles: two multiply-adds and two loads in each.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from math import prod

from sympile.compiler.code.target import Core
from sympile.compiler.graph.conditions import conditions_of, unguarded
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import Node, extent, postorder, target
from sympile.compiler.passes.fusing.group import costly
from sympile.compiler.passes.scheduling.halves import Pair
from sympile.compiler.passes.scheduling.places import crowd, ways
from sympile.compiler.passes.scheduling.strides import loads_in, own_stride, strides_along
from sympile.compiler.records import dataclass

ROWS = 26  # of one axis in a tile
SECONDS = 9  # of a second axis
VECTORS = 4
LATENCY, CHAINS = 4.6, 12  # cycles of a turn at least, if fewer sums than that are under way
WRITTEN = 160  # operations of all copies of a body in a tile, at most
COSTLY = 30  # operations that a transcendental function counts for
EDGE = 10.0  # cycles around a tile's innermost loop
SYMBOLIC_ROWS = (16, 12, 8, 6, 4, 2, 1)
STEPS = 64  # turns of a loop whose length is not known
COPIED, TURNED, GATHERED = 1.5, 4.5, 1.5  # cycles for a vector side by side; turned over; for one lane that lies apart
WIDE = 1.6  # loads that one of a whole vector takes which may lie across two cache lines
MASKED = 1.5  # multiply-adds that a condition takes which differs within a tile
NEAR, FAR, FARTHER = 1.0, 1.0, 2.5  # cycles for a line of the second-level cache; of the third; from beyond it
STREAMS, EVICTED = 4, 2.0  # lines of a place that all else goes through; loads for a number whose line is driven out
SHARE = 4  # operands that the third-level cache has room for, beside what other cores keep there
ACROSS, TOGETHER = 8.0, 1.2  # cycles to add up the lanes of a sum; of each of several
MIRRORED, BESIDE = 0.6, 2.0  # cycles to copy a number of a symmetric matrix; the same near the diagonal, one by one


@dataclass(frozen=True, slots=True)
class Tile:
    """`rows` steps of one axis times `seconds` of a second one times `vectors` vectors.

    Of half a matrix there are only the tiles that reach the diagonal, where row and vector are equal, or lie below.
    """

    vector: Node
    vectors: int = 1
    row: Node | None = None
    rows: int = 1
    second: Node | None = None
    seconds: int = 1
    half: bool = False

    @property
    def steps(self) -> tuple[tuple[Node | None, int], ...]:
        """The indices that differ within a tile, and how many steps of each it has."""
        return (self.row, self.rows), (self.second, self.seconds), (self.vector, self.vectors)

    @property
    def own(self) -> frozenset[Node]:
        """The indices that differ within a tile."""
        return frozenset(i for i, _ in self.steps if i is not None)


def length_of(index: Node) -> int:
    """An index's extent as a number for decisions of cost; nothing costs as much as one."""
    return max(1, extent_value(extent(index), STEPS))


def known(index: Node) -> bool:
    return extent(index).op == "const"


def best_tile(tensor: Definition, core: Core, exchangeable: Container[Pair] = ()) -> Tile:
    """The tile with the least estimated time; of a matrix that is symmetric in some axes it may be one half."""
    loads = loads_in([unguarded(tensor.formula), *conditions_of(tensor.formula)])
    models = [_model(tensor, vector, loads, core, exchangeable) for vector in (*tensor.axes, *tensor.reduced)]
    tiles = [(model.cycles(tile), order, tile) for model in models for order, tile in enumerate(model.tiles())]
    return min(tiles, key=lambda found: found[:2])[2]


def deciding(tensor: Definition) -> object:
    """All that decides a tile: the formula, but of the tensors read only their shapes, and which are the same."""
    tensors: dict[Definition, int] = {}
    places: dict[Node, int] = {}
    parts: list[object] = []
    for node in postorder([tensor.formula]):
        places[node] = len(places)
        if "read" not in node.ops:
            parts.append(node)
            continue
        data: object = node.data
        if node.op == "read":
            data = tensors.setdefault(target(node), len(tensors)), target(node).shape
        parts.append((node.op, data, tuple([places[arg] for arg in node.args])))
    return tensor.axes, tensor.reduced, tensor.monoid, tuple(parts)


def _weight(body: Node) -> int:
    """How much code a body is."""
    return sum(COSTLY if costly(n) else 1 for n in postorder([body]) if n.op not in ("index", "const", "size"))


def _model(
    tensor: Definition, vector: Node, loads: Sequence[Node], core: Core, exchangeable: Container[Pair]
) -> Model:
    axes = tuple(axis for axis in tensor.axes if axis is not vector)
    apart = {
        node: any(strides_along(node, index) == 1 for index in tensor.reduced)
        for node in loads
        if strides_along(node, vector) not in (0, 1)
    }
    weights = {condition: _weight(condition) for condition in conditions_of(tensor.formula)}
    twins = frozenset(axis for axis in axes if frozenset((axis, vector)) in exchangeable)
    weight = 1 + _weight(unguarded(tensor.formula))
    return Model(tensor, vector, tuple(loads), core, axes, weight, weights, apart, twins)


@dataclass(frozen=True, slots=True)
class Model:
    """Estimated cycles of the tiles that have one index across the lanes."""

    tensor: Definition
    vector: Node
    loads: tuple[Node, ...]  # reads in one turn of the innermost loop
    core: Core
    axes: tuple[Node, ...]  # of the result, without the vector
    weight: int  # how much code the body is without its conditions
    conditions: dict[Node, int]  # and how much each of these is, where it differs within a tile
    apart: dict[Node, bool]  # reads whose lanes do not lie side by side → whether those of a reduced index do
    twins: frozenset[Node]  # axes that can be exchanged with the vector

    # ------------------------------------------------------------------------------------------ candidates

    def tiles(self) -> Iterator[Tile]:
        """Every tile whose sums, shared operands and one more fit the registers."""
        axes = self.axes
        vectors = range(1, min(VECTORS, self._columns) + 1) if self.vector in self.tensor.axes else (1,)
        for row in axes or (None,):
            seconds = [(None, 1), *[(a, n) for a in axes if a is not row and (n := self._part(a)) > 1]]
            for count, (second, steps) in itertools.product(vectors, seconds):
                most = self._most_rows(row, second, count * steps, count)
                for rows in _counts(row, most):
                    yield Tile(self.vector, count, row, rows, second, steps)
                for rows in self._halves(row, most, count):
                    yield Tile(self.vector, count, row, rows, second, steps, True)

    def _halves(self, row: Node | None, most: int, vectors: int) -> Iterable[int]:
        """Of half a matrix also so many rows that tiles begin at the diagonal."""
        if row is None or row not in self.twins:
            return ()
        step = vectors * self.core.lanes
        return dict.fromkeys((*_counts(row, most), *[n for n in range(4, min(most, ROWS) + 1) if step % n == 0]))

    def _part(self, axis: Node) -> int:
        """How much of a second axis stands in a tile: all of it, or, of sums along the lanes, an equal part."""
        length = length_of(axis)
        if not known(axis) or length <= SECONDS or self.vector in self.tensor.axes:
            return length if known(axis) and length <= SECONDS else 1
        return max(count for count in range(1, SECONDS + 1) if length % count == 0)

    def _most_rows(self, row: Node | None, second: Node | None, one: int, vectors: int) -> int:
        """As many as leave a register for each operand that rows share and one more; none if that is not one row."""
        shared = any(self.vector in node.free and row not in node.free for node in self.loads)
        spare = 2 if self.core.registers > 16 else 3
        copies = max(1, WRITTEN // self._written(Tile(self.vector, 1, row, 1, second)))
        fit = min(self.core.registers - spare - vectors * shared, copies) // one
        return max(fit, int(one == 1))

    def _written(self, tile: Tile) -> int:
        """How much code a copy of the body is: what holds for a whole tile bounds a loop, or is asked once."""
        return self.weight + sum(w for c, w in self.conditions.items() if not tile.own.isdisjoint(c.free))

    @property
    def _columns(self) -> int:
        return -(-length_of(self.vector) // self.core.lanes)

    # ------------------------------------------------------------------------------------------ time

    def cycles(self, tile: Tile) -> float:
        """Estimated cycles of the whole nest."""
        inner = len(self.axes) - 1 - self.axes.index(tile.row) if tile.row is not None else 0
        parts = 1 if tile.second is None else length_of(tile.second) // tile.seconds
        once = self._tiles_time(tile) * parts + self._packing_time(tile) + self._mirror_time(tile) * parts
        return once * self._repeats(tile) * (1 + 0.04 * inner)

    def _repeats(self, tile: Tile) -> int:
        return prod(length_of(axis) for axis in self.axes if axis not in (tile.row, tile.second))

    @property
    def _turns(self) -> int:
        turns = prod(length_of(index) for index in self.tensor.reduced if index is not self.vector)
        return turns * (1 if self.vector in self.tensor.axes else self._columns)

    def _tiles_time(self, tile: Tile) -> float:
        columns, total = [(1, 1)], 0.0
        if self.vector in self.tensor.axes:
            columns = _parts(self._columns, tile.vectors)
        rows = [(1, 1)] if tile.row is None else _parts(length_of(tile.row), tile.rows)
        for (down, height), (number, (across, width)) in itertools.product(rows, enumerate(columns)):
            once = self._turns * self._turn(tile, height, width) + EDGE + self._ending(tile, height, width)
            first = columns[0][0] if number else 0
            total += once * (self._lower(tile, down, first, across) if tile.half else down * across)
        return total

    def _lower(self, tile: Tile, down: int, first: int, across: int) -> int:
        """How many tiles of some columns reach the diagonal or lie below it."""
        step = tile.vectors * self.core.lanes
        return sum(max(0, down - column * step // tile.rows) for column in range(first, first + across))

    def _mirror_time(self, tile: Tile) -> float:
        """What it takes to copy one half of a symmetric matrix to the other one."""
        if not tile.half:
            return 0.0
        length = length_of(self.vector)
        return length * (length * MIRRORED + self.core.lanes * BESIDE) / 2 * tile.seconds

    def _turn(self, tile: Tile, rows: int, vectors: int) -> float:
        """Cycles of one turn of the innermost loop."""
        sums = rows * tile.seconds * vectors
        read = sum(self._copies(node, rows, tile, vectors) * self._slots(node, tile) for node in self.loads)
        masked = sum(not tile.own.isdisjoint(condition.free) for condition in self.conditions)
        read += self._missed(tile, rows)
        busy = max(sums * (1 + masked * MASKED) / 2, read / 2, LATENCY if sums < CHAINS else 0.0)
        return busy + self._fetched(tile, rows) + 0.15

    def _missed(self, tile: Tile, rows: int) -> float:
        """Lines of a turn that the first-level cache takes in while it is read: of what all columns of tiles read."""
        far = [node for node in self.loads if self._is_row(node, tile) and self._swept(node, tile) > self.core.first]
        return sum(self._copies(node, rows, tile, 1) * self._share(node, tile, rows) for node in far)

    def _share(self, node: Node, tile: Tile, rows: int) -> float:
        """How many lines are taken in for a number: more where rows meet in few places, and drive each other out."""
        step = 0 if tile.row is None else strides_along(node, tile.row) or 0
        met = crowd(rows, step, self.core) if abs(step) >= self.core.line else 1
        return EVICTED if met > ways(self.core.first, self.core) - STREAMS else 1 / self.core.line

    def _is_row(self, node: Node, tile: Tile) -> bool:
        return tile.row in node.free and self.vector not in node.free

    def _swept(self, node: Node, tile: Tile) -> int:
        """How many numbers of an operand of rows are gone through between two uses of one of them."""
        return prod(length_of(index) for index in node.free if index in (*self.tensor.reduced, *tile.own))

    def _fetched(self, tile: Tile, rows: int) -> float:
        """Cycles of a turn for what comes from caches further away, for each column of tiles or each tile."""
        turns, total = prod(map(length_of, self.tensor.reduced)), 0.0
        for node in self.loads:
            if self.vector not in self.tensor.axes and self.vector in node.free:
                is_row = tile.row in node.free
                swept = turns * (length_of(tile.row) if is_row and tile.row is not None else tile.rows + tile.seconds)
                total += self._line(swept, NEAR) * self._copies(node, rows, tile, 1) * self.core.lanes / self.core.line
            elif self._is_row(node, tile):
                total += self._line(self._swept(node, tile), 0.0) * self._copies(node, rows, tile, 1) / self.core.line
        return total

    def _line(self, swept: int, near: float) -> float:
        """Cycles for a line of so many numbers that are gone through between two uses of it."""
        levels = ((self.core.first, 0.0), (self.core.second, near), (self.core.third // SHARE, FAR))
        return next((cycles for level, cycles in levels if swept <= level), FARTHER)

    def _copies(self, node: Node, rows: int, tile: Tile, vectors: int) -> int:
        """How many different values of a node a tile has."""
        down = (rows if tile.row in node.free else 1) * (tile.seconds if tile.second in node.free else 1)
        return down * (vectors if self.vector in node.free else 1)

    def _slots(self, node: Node, tile: Tile) -> float:
        """How many loads a value takes."""
        if node in self.apart and not self._is_packable(node, tile):
            return 2 * GATHERED * self.core.lanes
        return WIDE if self.vector in node.free else 1.0

    def _is_packable(self, node: Node, tile: Tile) -> bool:
        if self.vector not in self.tensor.axes and not all(map(known, self.tensor.reduced)):
            return False
        if self.vector in self.tensor.axes and tile.second in node.free:
            return False
        return tile.row is not None and tile.row not in node.free

    def _ending(self, tile: Tile, rows: int, vectors: int) -> float:
        sums = rows * tile.seconds * vectors
        if self.vector not in self.tensor.axes:
            return max(ACROSS, sums * TOGETHER)
        return sums * (1.0 if own_stride(self.tensor, self.vector) == 1 else GATHERED * self.core.lanes)

    def _packing_time(self, tile: Tile) -> float:
        """What it takes to copy operands whose lanes lie apart."""
        total = 0.0
        for node, is_turned in self.apart.items():
            if not self._is_packable(node, tile):
                continue
            if self.vector in self.tensor.axes:
                total += self._turns * self._columns * (TURNED if is_turned else GATHERED * self.core.lanes)
            else:
                is_turned = tile.second is not None and strides_along(node, tile.second) == 1
                lines = length_of(tile.second) if tile.second is not None and tile.second in node.free else 1
                total += self._turns * lines * (TURNED if is_turned else GATHERED * self.core.lanes)
        return total


def _counts(row: Node | None, most: int) -> Iterable[int]:
    """How many rows to try: as many as fit, so many that tiles are alike, and the largest divisor."""
    if row is None or most < 1:
        return range(1, min(most, 1) + 1)
    if not known(row):
        return [count for count in SYMBOLIC_ROWS if count <= most]
    length = length_of(row)
    most = min(most, length, ROWS)
    alike = -(-length // -(-length // most))
    divisor = max(count for count in range(1, most + 1) if length % count == 0)
    return dict.fromkeys((most, alike, divisor))


def _parts(length: int, step: int) -> list[tuple[int, int]]:
    """(how many, of which length): whole steps, and what is left."""
    whole, left = divmod(length, step)
    return [part for part in ((whole, step), (1, left)) if all(part)]
