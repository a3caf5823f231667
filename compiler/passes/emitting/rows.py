"""One loop over blocks of rows for definitions of several kinds; passes/fusing/rowwise.py says which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import store_first
from sympile.compiler.code.value import Integer, Value, i64
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import extent
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.extents import Run
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.narrow_block import NarrowBlock, registers_of
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.reduction import ACROSS, COMBINE, IDENTITY
from sympile.compiler.passes.emitting.row_block import RowBlock, Running, held, swept
from sympile.compiler.passes.fusing.group import BLOCK, Group, Rows
from sympile.compiler.passes.fusing.rowwise import are_narrow, common_index, kind_of
from sympile.compiler.records import dataclass

ARRAYS = 4  # that rows are read from or written to, roughly, at most: so much room they have in a cache
GROWING = ("column", "total")  # kinds of which each block of rows goes through a partial result in memory


@dataclass(frozen=True, slots=True)
class RowNest:
    """Writes a row group into a function."""

    frame: Frame
    group: Group
    scalar: Lanes
    lanes: int
    run: Run  # the rows

    @property
    def rows(self) -> Rows:
        assert self.group.rows is not None
        return self.group.rows

    def write(self) -> None:
        """Whole blocks of rows, then the rows that are left, then what is complete after the last."""
        function = self.frame.function
        if self.lanes > 1 and are_narrow(self.group.members):
            self._write_narrow()
            return
        count, together = self._rows_at_once()
        blocks = [self._block(count), *([self._block(1)] if count > 1 else [])]
        for tensor in self._members("column"):
            self._fill(tensor)
        for tensor in (t for t in self.group.members if t in self.rows.passing):
            room = function.alloca(self.scalar.element, count * extent_value(tensor.shape[1]))
            self.frame.pointers[tensor] = room
        for block in blocks:
            block.hoist()
        whole = self.run.whole(function, count)
        if together is not None:
            whole = function.pick(together, i64(whole), i64(self.run.first))
        for block, start, stop in zip(blocks, (self.run.first, whole), (whole, self.run.last), strict=False):
            with function.loop(start, stop, block.rows) as loop:
                block.write(loop.index)
        self._end([block.totals for block in blocks])

    def _rows_at_once(self) -> tuple[int, Value | None]:
        """How many rows a near cache holds, and what must hold where sizes are symbolic: others go one by one."""
        core, width = self.scalar.target.core(self.scalar.element), self._width()
        growing = any(kind_of(t) in GROWING and common_index(t) is not None for t in self.group.members)
        room = core.second if growing else core.first
        most = min(BLOCK, self.lanes)
        if not isinstance(width, int):
            return most, self.frame.function.compare("sle", width, room // (most * ARRAYS))
        return next((n for n in (most, most // 2) if n and n * width * ARRAYS <= room), 1), None

    def _width(self) -> Integer:
        """The entries of the widest row."""
        width: Integer = 0
        for index in self.group.domain[1:]:
            width = self.frame.function.max(width, self.frame.extent(extent(index)))
        return width

    def _write_narrow(self) -> None:
        """Rows of few entries: whole blocks, then some of one register, the last of which is not full."""
        register = self._wide(self.lanes)
        down = self._wide(self.lanes * registers_of(self.group))
        block = NarrowBlock(self.frame, self.group, down, register, self.scalar, self.run.last)
        block.hoist()
        rest = block.last()
        whole = self.run.whole(self.frame.function, block.rows)
        block.go(self.run.first, whole)
        rest.go(whole, self.run.last, whole=False)
        for tensor in self._members("total"):
            self._deliver(tensor, rest.total(tensor))
        for tensor in self._members("column"):
            self._store_column(tensor, rest.column(tensor))

    def _store_column(self, tensor: Definition, parts: Sequence[tuple[int, int, Value]]) -> None:
        """Sums over rows, or what is made of them, from registers to memory."""
        finish = self.rows.finishes.get(tensor, tensor)
        elements = self._columns(finish)
        if finish is not tensor:
            elements.hoist([self.group.body(finish)], frozenset())
        for start, count, value in parts:
            full = count == self.lanes
            elements.positions[finish.axes[0]] = start
            elements.push()
            elements.mask = None if full else elements.wide.first(count)
            elements.forwarded[tensor] = partial(held, value)
            if finish is not tensor:
                value = elements.wide_value(self.group.body(finish), Place(masked=not full))
            elements.pop()
            pointer = self.frame.function.gep(self.scalar.element, self.frame.pointer(finish), start)
            store_first(elements.wide, value, pointer, count)

    def _end(self, totals: Sequence[Mapping[Definition, Running]]) -> None:
        """What is complete after the last row."""
        for tensor in self._members("total"):
            self._complete(tensor, [parts[tensor] for parts in totals])
        for tensor, finish in self.rows.finishes.items():
            self._finish(tensor, finish)

    def _members(self, kind: str) -> list[Definition]:
        return [tensor for tensor in self.group.members if kind_of(tensor) == kind]

    def _wide(self, lanes: int) -> Lanes:
        return Lanes(self.frame.function, self.scalar.element, lanes, self.scalar.target)

    def _block(self, rows: int) -> RowBlock:
        """A block with its running totals, which are empty."""
        block = RowBlock(self.frame, self.group, self.scalar, self._wide(rows), self._wide(self.lanes))
        for tensor in self._members("total"):
            block.totals[tensor] = self._running(tensor, block.down if common_index(tensor) is None else block.wide)
        return block

    def _running(self, tensor: Definition, lanes: Lanes) -> Running:
        """An empty total."""
        slot = self.frame.function.alloca(lanes.real)
        lanes.store(lanes.constant(IDENTITY[str(tensor.monoid)]), slot)
        return Running(lanes, slot)

    def _columns(self, tensor: Definition) -> Elements:
        return Elements(self.frame, self.scalar, self._wide(self.lanes), vector=tensor.axes[0])

    def _fill(self, tensor: Definition) -> None:
        """A sum over rows begins, in the memory of what is made of it."""
        elements = self._columns(self.rows.finishes.get(tensor, tensor))
        start = elements.wide.constant(IDENTITY[str(tensor.monoid)])
        swept(elements, (), lambda place, carried: self._put(elements, tensor, start, place))

    def _put(self, elements: Elements, tensor: Definition, value: Value, place: Place) -> list[Value]:
        stored = self.rows.finishes.get(tensor, tensor)
        pointer, *_ = address(elements, stored, stored.axes, place)
        elements.wide.store_strided(value, pointer, 1, elements.mask if place.masked else None)
        return []

    def _finish(self, tensor: Definition, finish: Definition) -> None:
        """Elementwise work on a sum over rows, in place."""
        elements = self._columns(finish)

        def turn(place: Place, carried: Sequence[Value]) -> list[Value]:
            pointer, *_ = address(elements, finish, finish.axes, place)
            total = elements.wide.load_strided(pointer, 1, elements.mask if place.masked else None)
            elements.push()
            elements.forwarded[tensor] = partial(held, total)
            self._put(elements, tensor, elements.wide_value(self.group.body(finish), place), place)
            elements.pop()
            return []

        elements.hoist([self.group.body(finish)], frozenset())
        swept(elements, (), turn)

    def _complete(self, tensor: Definition, parts: Sequence[Running]) -> None:
        """The total over all rows: the lanes of each block, then the blocks."""
        monoid = str(tensor.monoid)
        sums = [ACROSS[monoid](part.lanes, part.lanes.load(part.slot)) for part in parts]
        total = sums[0]
        for other in sums[1:]:
            total = COMBINE[monoid](self.scalar, total, other)
        self._deliver(tensor, total)

    def _deliver(self, tensor: Definition, total: Value) -> None:
        """A number made of all rows, to those who read it in a register or in memory."""
        self.frame.scalars[tensor] = total
        if tensor not in self.frame.unstored:
            self.scalar.store(total, self.frame.pointer(tensor))
