"""Panels: what tiles read of an operand, side by side on the stack in the order of its use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sympile.compiler.code.transpose import transposed
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node, target
from sympile.compiler.passes.emitting.ahead import ask_for
from sympile.compiler.passes.emitting.chosen_rows import ChosenRows, is_chosen
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.turns import Block, range_of, turn_of
from sympile.compiler.passes.scheduling.packing import turns_from_afar
from sympile.compiler.passes.scheduling.strides import loads_in, strides_along
from sympile.compiler.passes.scheduling.tiles import length_of
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


@dataclass(frozen=True, slots=True)
class Panel:
    """An operand that does not vary along the rows: for each turn of the reduced indices its vectors."""

    nest: Nest
    node: Node
    vectors: int
    block: Block
    room: Value

    @property
    def elements(self) -> Elements:
        return self.nest.elements

    def pack(self, masked: bool) -> None:
        """Copies the operand; lanes beyond the end hold anything."""
        self._pack(self.nest.loops.inner, masked)

    def load(self, place: Place) -> Value:
        """The operand at a place, out of the panel."""
        return self.elements.wide.load(self._address(place.vector))

    def _address(self, vector: int, later: int = 0, further: Integer = 0) -> Value:
        """Where a vector for the current turn lies, or for one that comes later; numbers are added last."""
        function, wide = self.elements.frame.function, self.elements.wide
        offset = function.mul(turn_of(self.nest, self.block, self.elements), self.vectors * wide.lanes)
        turn = function.gep(wide.element, function.gep(wide.element, self.room, offset), further)
        return function.beyond(wide.element, turn, (vector + later * self.vectors) * wide.lanes)

    def _pack(self, indices: tuple[Node, ...], masked: bool) -> None:
        index, function = indices[0], self.elements.frame.function
        start, stop = range_of(self.nest, index, self.block)
        if len(indices) == 1 and self._lies_turned(index):
            lanes = self.elements.wide.lanes
            whole = function.sub(stop, function.rem(function.sub(stop, start), lanes))
            rows = self._rows(index, start)
            if rows is not None:
                rows.find(masked)
            loops = function.loop(start, whole, lanes, followed=False)
            with loops as loop, self.nest.bind(index, loop.index, hoist=False):
                self._turn_over(masked, rows)
            start = whole
        if isinstance(start, int) and start == stop:
            return
        if len(indices) > 1:
            with function.loop(start, stop, followed=False) as loop, self.nest.bind(index, loop.index, hoist=False):
                self._pack(indices[1:], masked)
            return
        turns, (far, reads) = function.sub(stop, start), self._from_afar() if not masked else (0, [])
        if not reads or isinstance(turns, int):
            self._copies(index, start, stop, masked, reads if length_of(index) > far else [])
            return
        with function.either(function.compare("sgt", turns, far)) as choice:
            with choice.then():
                self._copies(index, start, stop, masked, reads)
            with choice.otherwise():
                self._copies(index, start, stop, masked)

    def _from_afar(self) -> tuple[int, list[Node]]:
        """From how many turns on the lines of the next column of tiles are asked for, and of which reads."""
        wide, loops = self.elements.wide, self.nest.loops
        panel, core = (self.vectors * wide.lanes, loops.inner, loops.block), wide.target.core(wide.element)
        found = {
            node: turns
            for node in loads_in([self.node])
            if node.op == "read" and (turns := turns_from_afar(node, self._axis, *panel, core)) is not None
        }
        return max(found.values(), default=0), list(found)

    def _copies(self, index: Node, start: Integer, stop: Integer, masked: bool, ahead: Sequence[Node] = ()) -> None:
        wide = self.elements.wide
        loops = self.elements.frame.function.loop(start, stop, followed=False)
        with loops as loop, self.nest.bind(index, loop.index, hoist=False):
            for vector in range(self.vectors):
                place = Place(0, vector, masked and vector == self.vectors - 1)
                for read in ahead:
                    self._ask_for_next(read, place)
                wide.store(self.elements.wide_value(self.node, place), self._address(vector))

    def _ask_for_next(self, read: Node, place: Place) -> None:
        """The next column of tiles reads the rows of this one, a bit further: its lines come while tiles run."""
        function, wide = self.elements.frame.function, self.elements.wide
        pointer, *_ = address(self.elements, target(read), read.args, place)
        further = (self.vectors + 1) * wide.lanes - 1
        ask_for(function, function.gep(wide.element, pointer, further, inside=False), near=2)

    def _lies_turned(self, index: Node) -> bool:
        """Whether neighbours along a reduced index lie side by side, and those along the lanes regularly apart."""
        if self.node.op != "read" or strides_along(self.node, index) != 1:
            return False
        apart = strides_along(self.node, self._axis) is not None or is_chosen(self.node, self._axis)
        return apart and target(self.node) not in self.elements.forwarded

    def _turn_over(self, masked: bool, rows: ChosenRows | None) -> None:
        """As many turns as there are lanes, of all vectors: loaded along the turns, turned over in registers."""
        elements, wide, whole = self.elements, self.elements.wide, self.vectors - masked
        base = elements.positions[self._axis]
        if whole:
            with elements.frame.function.loop(0, whole * wide.lanes, wide.lanes, followed=False) as loop:
                elements.positions[self._axis] = elements.frame.function.add(base, loop.index)
                elements.push()
                lines = self._lines(0, False) if rows is None else rows.lines(loop.index)
                self._store_turned(lines, 0, loop.index)
                elements.pop()
            elements.positions[self._axis] = base
        if masked:
            lines = self._lines(whole, True) if rows is None else rows.lines(whole * wide.lanes)
            self._store_turned(lines, whole, 0)

    def _store_turned(self, lines: list[Value], vector: int, further: Integer) -> None:
        wide = self.elements.wide
        for later, value in enumerate(transposed(wide, lines)):
            wide.store(value, self._address(vector, later, further))

    def _lines(self, vector: int, masked: bool) -> list[Value]:
        """For each lane its next numbers along the reduced index; lanes beyond the end repeat the last one."""
        function, wide = self.elements.frame.function, self.elements.wide
        place = Place(0, vector, masked)
        pointer, along, offsets, within = address(self.elements, target(self.node), self.node.args, place)
        assert along is not None and offsets is None and within is None
        lines = []
        for lane in range(wide.lanes):
            step: Integer = lane
            if masked:
                step = function.min(lane, function.sub(self._left(vector), 1))
            lines.append(wide.load(function.gep(wide.element, pointer, function.mul(along, step))))
        return lines

    def _rows(self, index: Node, start: Integer) -> ChosenRows | None:
        """Where data say which row each lane reads."""
        if strides_along(self.node, self._axis) is not None:
            return None
        room = self.elements.frame.function.alloca("ptr", self.vectors * self.elements.wide.lanes)
        return ChosenRows(self.nest, self.node, index, start, room, self.vectors)

    @property
    def _axis(self) -> Node:
        axis = self.nest.loops.vector
        assert axis is not None
        return axis

    def _left(self, vector: int) -> Integer:
        """How many lanes of a vector lie inside."""
        function = self.elements.frame.function
        start = function.add(self.elements.positions[self._axis], vector * self.elements.wide.lanes)
        return function.sub(self.nest.length(self._axis), start)
