"""Panels of rows: what tiles read of an operand that varies along their rows, tile by tile in the order of its use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.turns import Block, range_of, turn_of
from sympile.compiler.passes.scheduling.tiles import length_of
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


@dataclass(frozen=True, slots=True)
class RowPanel:
    """An operand that varies along the rows and not along the vectors: for each tile, for each turn, its rows.

    All columns of tiles read it. It is evaluated with the rows across the lanes. A vector may reach over the end of
    its rows into the next turn's place, which is written later; behind the last turn of a tile there is room for it.
    """

    nest: Nest
    node: Node
    block: Block
    room: Value

    @property
    def elements(self) -> Elements:
        return self.nest.elements

    @property
    def _row(self) -> Node:
        row = self.nest.loops.row
        assert row is not None
        return row

    def pack(self) -> None:
        """Copies the operand for all rows of this part; rows beyond the end hold anything."""
        elements = self.elements
        across = Elements(elements.frame, elements.scalar, elements.wide, self._row, positions=dict(elements.positions))
        self._pack(self.nest.loops.inner, across)

    def _pack(self, indices: tuple[Node, ...], across: Elements) -> None:
        index, function = indices[0], self.elements.frame.function
        start, stop = range_of(self.nest, index, self.block)
        if len(indices) > 1:
            with function.loop(start, stop, followed=False) as loop, _at(across, index, loop.index):
                self._pack(indices[1:], across)
            return
        whole = function.sub(stop, function.rem(function.sub(stop, start), TOGETHER))
        for first, last, turns in ((start, whole, TOGETHER), (whole, stop, 1)):
            if isinstance(first, int) and first == last:
                continue
            with function.loop(first, last, turns, followed=False) as loop:
                self._tiles(across, index, [function.add(loop.index, turn) for turn in range(turns)])

    def _tiles(self, across: Elements, index: Node, turns: Sequence[Integer]) -> None:
        """Some turns of all tiles: those whole vectors of which lie inside of the axis, then the others, masked."""
        function, rows, run = self.elements.frame.function, self.nest.loops.rows, self.nest.run(self._row)
        reach = self._vectors(across) * across.wide.lanes
        inside = function.max(run.first, function.min(run.last, function.add(function.sub(run.extent, reach), 1)))
        whole = function.add(function.sub(inside, run.first), rows - 1)
        whole = function.add(run.first, function.sub(whole, function.rem(whole, rows)))
        for start, stop, masked in ((run.first, inside, False), (whole, run.last, True)):
            if isinstance(start, int) and isinstance(stop, int) and start >= stop:
                continue
            with function.loop(start, stop, rows, followed=False) as loop, _at(across, self._row, loop.index):
                begin = self._begin(loop.index)
                for turn in turns:
                    with _at(across, index, turn):
                        self._copy(across, begin, masked)

    def _vectors(self, across: Elements) -> int:
        return -(-self.nest.loops.rows // across.wide.lanes)

    def _copy(self, across: Elements, begin: Value, masked: bool) -> None:
        """One turn of a tile."""
        function, wide, run = self.elements.frame.function, across.wide, self.nest.run(self._row)
        turn = function.mul(turn_of(self.nest, self.block, across), self.nest.loops.rows)
        for vector in range(self._vectors(across)):
            if masked:
                start = function.add(across.positions[self._row], vector * wide.lanes)
                across.mask = wide.first(function.sub(run.extent, start))
            value = across.wide_value(self.node, Place(0, vector, masked))
            wide.store(value, function.gep(wide.element, begin, function.add(turn, vector * wide.lanes)))
            across.mask = None

    def _begin(self, start: Integer) -> Value:
        """Where the tile lies that begins at a row."""
        function = self.elements.frame.function
        tile = function.div(function.sub(start, self.nest.run(self._row).first), self.nest.loops.rows)
        return function.gep(self.elements.wide.element, self.room, function.mul(tile, tile_room(self.nest)))

    # ------------------------------------------------------------------------------------------ tiles

    def enter(self) -> None:
        """Finds where the current tile's rows begin, before its loops."""
        function, rows = self.elements.frame.function, self.nest.loops.rows
        start = self.elements.positions[self._row]
        within = function.rem(function.sub(start, self.nest.run(self._row).first), rows)
        begin = self._begin(function.sub(start, within))
        self.elements.known[-1]["rows", self.node] = function.gep(self.elements.wide.element, begin, within)

    def load(self, place: Place) -> Value:
        """The operand at a place, out of the panel."""
        function, scalar = self.elements.frame.function, self.elements.scalar
        begin = self.elements.find(("rows", self.node))
        assert begin is not None
        turn = function.mul(turn_of(self.nest, self.block, self.elements), self.nest.loops.rows)
        here = function.gep(scalar.element, begin, turn)
        return scalar.load(function.beyond(scalar.element, here, place.row))


@contextmanager
def _at(elements: Elements, index: Node, position: Integer) -> Iterator[None]:
    elements.positions[index] = position
    elements.push()
    yield
    elements.pop()
    del elements.positions[index]


def tile_room(nest: Nest) -> int:
    """How many numbers of the panel one tile takes, with room for a vector behind it."""
    turns = nest.loops.block * prod(length_of(index) for index in nest.loops.inner[1:])
    return -(-(turns * nest.loops.rows) // SPARE) * SPARE + SPARE


TOGETHER = 8 # turns that are copied tile by tile
SPARE = 16  # numbers behind a tile: as many as a register may hold


def panel_room(nest: Nest) -> int:
    """How many numbers the panel takes for all tiles of a block of rows."""
    return -(-nest.loops.row_block // nest.loops.rows) * tile_room(nest)
