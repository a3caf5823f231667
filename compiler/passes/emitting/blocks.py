"""A reduction block by block: of the reduced indices, of the rows, of the columns; operands packed for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.code.writer import Function
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.node import Node, extent, number
from sympile.compiler.passes.emitting.bounds import Bounds
from sympile.compiler.passes.emitting.extents import Run
from sympile.compiler.passes.emitting.lines import Lines, room_for
from sympile.compiler.passes.emitting.panels import Panel
from sympile.compiler.passes.emitting.reduction import Reduction
from sympile.compiler.passes.emitting.row_panels import RowPanel, panel_room
from sympile.compiler.passes.emitting.turns import Block
from sympile.compiler.passes.scheduling.bounds import bounding, reaching
from sympile.compiler.passes.scheduling.factors import shared_first
from sympile.compiler.passes.scheduling.tiles import length_of
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


@dataclass(frozen=True, slots=True)
class Blocks:
    """Writes a reduction of which there are several results.

    From the outside in: blocks of turns; columns of vectors, packed; tiles of rows.
    """

    nest: Nest

    def write(self) -> None:
        if not self.nest.loops.packed_rows:
            self._turns(self._columns)
            return
        with self._blocks_of_rows():
            self._turns(self._packed_rows)

    def _turns(self, write: Callable[[Block], None]) -> None:
        """Block by block of turns."""
        loops, function = self.nest.loops, self.nest.elements.frame.function
        if not loops.block:
            write(Block())
            return
        length = self.nest.length(loops.inner[0])
        if isinstance(length, int) and length <= loops.block:
            write(Block(0, length))
            return
        with function.loop(0, length, loops.block) as loop, self._scope():
            stop = function.min(function.add(loop.index, loops.block), length)
            first, last = function.compare("eq", loop.index, 0), function.compare("eq", stop, length)
            write(Block(loop.index, stop, first, last))

    @contextmanager
    def _blocks_of_rows(self) -> Iterator[None]:
        """As many rows at a time as a panel of them holds."""
        nest, loops, function = self.nest, self.nest.loops, self.nest.elements.frame.function
        assert loops.row is not None
        run, parts = nest.run(loops.row), nest.parts
        if isinstance(run.extent, int) and run.extent <= loops.row_block:
            yield
            return
        with function.loop(run.first, run.last, loops.row_block) as loop, self._scope():
            last = function.min(function.add(loop.index, loops.row_block), run.last)
            nest.parts = {**parts, loops.row: Run(loop.index, last, run.extent, loops.rows)}
            yield
            nest.parts = parts

    def _packed_rows(self, block: Block) -> None:
        """Packs the rows of a block for all columns."""
        nest, packed = self.nest, self.nest.elements.packed
        element, room = nest.elements.wide.element, panel_room(nest)
        function = nest.elements.frame.function
        panels = [RowPanel(nest, node, block, function.alloca(element, room)) for node in nest.loops.packed_rows]
        for panel in panels:
            panel.pack()
        packed.update((panel.node, panel.load) for panel in panels)
        self._columns(block, panels)
        for panel in panels:
            del packed[panel.node]

    def _scope(self) -> _Scope:
        return _Scope(self.nest)

    def _room(self, node: Node) -> Value:
        """Space on the stack for a copy of what a column of tiles reads of an operand."""
        loops, wide = self.nest.loops, self.nest.elements.wide
        if loops.vector_is_reduced:
            return self.nest.elements.frame.function.alloca(wide.element, room_for(self.nest, node))
        numbers = loops.vectors * wide.lanes
        for index in loops.inner[1:]:
            numbers *= int(number(extent(index)))
        return self.nest.elements.frame.function.alloca(wide.element, loops.block * numbers)

    def _rows(self, write: Callable[[int], None]) -> None:
        """Full tiles of rows, then what is left: at once if its number is known, else in ever smaller tiles."""
        row, rows = self.nest.loops.row, self.nest.loops.rows
        if row is None:
            write(1)
            return
        run = self._half(self.nest.run(row)) if self.nest.loops.half else self.nest.run(row)
        if isinstance(run.extent, int):
            self._known_rows(run, run.extent, write)
            return
        start = run.first
        for count in [rows, *[n for n in (4, 1) if n < rows]]:
            start = self._tiles(start, run.last, count, write)

    def _half(self, run: Run) -> Run:
        """Rows from the tile on that reaches the diagonal within this column of tiles."""
        function, loops = self.nest.elements.frame.function, self.nest.loops
        assert loops.vector is not None
        column = self.nest.elements.positions[loops.vector]
        first = function.max(run.first, function.sub(column, function.rem(column, loops.rows)))
        return Run(first, run.last, run.extent, run.grain)

    def _tiles(self, start: Integer, stop: Integer, count: int, write: Callable[[int], None]) -> Integer:
        """As many whole tiles as fit; returns where they end."""
        function, row = self.nest.elements.frame.function, self.nest.loops.row
        assert row is not None
        whole = function.sub(stop, function.rem(function.sub(stop, start), count))
        if whole != start:
            with function.loop(start, whole, count) as loop, self.nest.bind(row, loop.index, hoist=False):
                write(count)
        return whole

    def _known_rows(self, run: Run, length: int, write: Callable[[int], None]) -> None:
        """Parts but for the last are whole tiles; the last one may leave some rows, as many as the length says."""
        function, row, rows = self.nest.elements.frame.function, self.nest.loops.row, self.nest.loops.rows
        assert row is not None
        whole = length - length % rows
        stop = function.min(run.last, whole)
        if whole:
            with function.loop(run.first, stop, rows) as loop, self.nest.bind(row, loop.index, hoist=False):
                write(rows)
        if length > whole:
            at_end = function.compare("eq", run.last, length)
            if at_end.text == "true":
                with self.nest.bind(row, whole, hoist=False):
                    write(length - whole)
                return
            with function.when(at_end), self._scope(), self.nest.bind(row, whole, hoist=False):
                write(length - whole)

    # ------------------------------------------------------------------------------------------ columns

    def _columns(self, block: Block, rows: Sequence[RowPanel] = ()) -> None:
        nest, loops = self.nest, self.nest.loops
        rooms = [self._room(node) for node in loops.packed]

        def column(vectors: int, masked: bool) -> None:
            with self._if_reached():
                tiles(vectors, masked)

        def tiles(vectors: int, masked: bool) -> None:
            panels: list[Panel | Lines] = [
                Lines(nest, node, room) if loops.vector_is_reduced else Panel(nest, node, vectors, block, room)
                for node, room in zip(loops.packed, rooms, strict=True)
            ]
            packed = self.nest.elements.packed
            for panel in panels:
                panel.pack(masked)
            packed.update((panel.node, panel.load) for panel in panels)
            self._tiles_of(vectors, masked, block, rows)
            for panel in panels:
                del packed[panel.node]

        self.nest.columns(column)

    @contextmanager
    def _if_reached(self) -> Iterator[None]:
        """Of half a matrix, some rows reach the first columns only."""
        nest, loops = self.nest, self.nest.loops
        if not loops.half or not loops.packed_rows or loops.row is None or loops.vector is None:
            yield
            return
        function, column = nest.elements.frame.function, nest.elements.positions[loops.vector]
        reached = function.compare("slt", column, nest.run(loops.row).last)
        if reached.text == "true":
            yield
            return
        with function.when(reached), self._scope():
            yield

    def _tiles_of(self, vectors: int, masked: bool, block: Block, panels: Sequence[RowPanel]) -> None:
        loops, full = self.nest.loops, self.nest.group.body(self.nest.first)
        bounds = self._bounds(full)
        dropped = {condition for conditions in bounds.exact.values() for condition in conditions}
        body = when(unguarded(full), *[c for c in conditions_of(full) if c not in dropped])
        body = shared_first(body, self.nest.first.axes, loops.steps)

        def tile(rows: int) -> None:
            with self._scope():
                for panel in panels:
                    panel.enter()
                Reduction(self.nest, self.nest.places(rows, vectors, masked), block, body, bounds).write()

        if loops.second is None:
            self._rows(tile)
            return
        function, length = self.nest.elements.frame.function, length_of(loops.second)
        with each(function, length, loops.seconds) as start, self.nest.bind(loops.second, start, hoist=False):
            self._rows(tile)

    def _bounds(self, body: Node) -> Bounds:
        """What guards say of the loops: where one does not hold, a sum has nothing to add."""
        loops = self.nest.loops
        if self.nest.first.monoid != "sum":
            return Bounds({}, {})
        tile = frozenset(index for index, _ in loops.steps if index is not None and index not in loops.inner)
        inner = tuple(i for i in loops.inner if not loops.packed or i is not loops.vector)  # lines begin at their start
        return Bounds(bounding(body, loops.outer, inner), reaching(body, loops.outer, inner, tile))


@contextmanager
def each(function: Function, length: int, step: int) -> Iterator[Integer]:
    """A loop in steps, unless there is only one."""
    if length == step:
        yield 0
        return
    with function.loop(0, length, step) as loop:
        yield loop.index


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is written inside is forgotten afterwards."""

    nest: Nest

    def __enter__(self) -> None:
        self.nest.elements.push()

    def __exit__(self, *_: object) -> None:
        self.nest.elements.pop()
