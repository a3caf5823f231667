"""Lines: an operand of which whole vectors along a summed index are read, copied so that they lie side by side."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from sympile.compiler.code.transpose import transposed
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node, target
from sympile.compiler.graph.ranges import stays_inside
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.scheduling.strides import strides_along
from sympile.compiler.passes.scheduling.tiles import length_of
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


@dataclass(frozen=True, slots=True)
class Lines:
    """An operand that does not vary along the rows: for each step of the second axis its turns, one after the other."""

    nest: Nest
    node: Node
    room: Value

    @property
    def elements(self) -> Elements:
        return self.nest.elements

    def load(self, place: Place) -> Value:
        """The operand at a place, out of the copy."""
        return self.elements.wide.load(self._address(place.second))

    def pack(self, masked: bool) -> None:
        """Copies the operand; lanes beyond the end of a line hold anything."""
        second, function = self.nest.loops.second, self.elements.frame.function
        if second not in self.node.free:
            self._pack(self.nest.loops.inner, 0)
            return
        assert second is not None
        done = 0
        if self._lies_turned(second):
            vector = self.nest.loops.inner[-1]
            done = length_of(vector) - length_of(vector) % self.elements.wide.lanes
            with self.nest.bind(second, 0, hoist=False):
                self._turn_over(self.nest.loops.inner, second, done)
        if done < length_of(self.nest.loops.inner[-1]):
            with function.loop(0, length_of(second)) as loop, self.nest.bind(second, loop.index, hoist=False):
                self._pack(self.nest.loops.inner, done)

    def _pack(self, indices: tuple[Node, ...], done: int) -> None:
        if len(indices) == 1:
            self._pack_line(indices[0], done)
            return
        loops = self.elements.frame.function.loop(0, length_of(indices[0]))
        with loops as loop, self.nest.bind(indices[0], loop.index, hoist=False):
            self._pack(indices[1:], done)

    def _pack_line(self, vector: Node, done: int) -> None:
        elements, wide = self.elements, self.elements.wide
        left = length_of(vector) % wide.lanes
        whole = length_of(vector) - left
        if done < whole:
            loops = elements.frame.function.loop(done, whole, wide.lanes)
            with loops as loop, self.nest.bind(vector, loop.index, hoist=False):
                wide.store(elements.wide_value(self.node, Place()), self._address())
        if left:
            with self.nest.bind(vector, whole, hoist=False):
                elements.mask = wide.first(left)
                wide.store(elements.wide_value(self.node, Place(masked=True)), self._address())
                elements.mask = None

    def _lies_turned(self, second: Node) -> bool:
        """Whether neighbours along the second axis lie side by side, and those along the lanes regularly apart."""
        tensor, vector = target(self.node), self.nest.loops.inner[-1]
        if tensor in self.elements.forwarded or tensor.integer or strides_along(self.node, vector) is None:
            return False
        inside = all(stays_inside(at, length) for at, length in zip(self.node.args, tensor.shape, strict=True))
        return inside and strides_along(self.node, second) == 1

    def _turn_over(self, indices: tuple[Node, ...], second: Node, whole: int) -> None:
        """As many turns as there are lanes, of all lines: loaded along the second axis, turned over in registers."""
        function, lanes = self.elements.frame.function, self.elements.wide.lanes
        if len(indices) > 1:
            loops = function.loop(0, length_of(indices[0]))
            with loops as loop, self.nest.bind(indices[0], loop.index, hoist=False):
                self._turn_over(indices[1:], second, whole)
            return
        if not whole:
            return
        loops = function.loop(0, whole, lanes)
        with loops as loop, self.nest.bind(indices[0], loop.index, hoist=False):
            for start in range(0, length_of(second), lanes):
                self._turn_square(start, min(lanes, length_of(second) - start))

    def _turn_square(self, start: int, lines: int) -> None:
        """So many lines from `start` on."""
        function, wide = self.elements.frame.function, self.elements.wide
        place = Place(0, 0, False, start)
        pointer, along, offsets, within = address(self.elements, target(self.node), self.node.args, place)
        assert along is not None and offsets is None and within is None
        mask = None if lines == wide.lanes else wide.first(lines)
        places = [function.gep(wide.element, pointer, function.mul(along, turn)) for turn in range(wide.lanes)]
        turns = [wide.load_strided(place, 1, mask) for place in places]
        for later, line in enumerate(transposed(wide, turns)[:lines]):
            wide.store(line, self._address(start + later))

    def _address(self, later: int = 0) -> Value:
        """Where the vector of the current turn lies, for a step of the second axis that comes later."""
        function, second = self.elements.frame.function, self.nest.loops.second
        line: Integer = 0
        if second in self.node.free:
            assert second is not None
            line = function.add(self.elements.positions[second], later)
        place = line
        for index, length in zip(self.nest.loops.inner, lengths(self.nest), strict=True):
            place = function.add(function.mul(place, length), self.elements.positions[index])
        return function.gep(self.elements.wide.element, self.room, place)


def room_for(nest: Nest, node: Node) -> int:
    """How many numbers the lines take."""
    second = nest.loops.second
    lines = length_of(second) if second is not None and second in node.free else 1
    return lines * prod(lengths(nest))


def lengths(nest: Nest) -> list[int]:
    """Of the summed indices; the last one, which lies along the lanes, in whole vectors."""
    *outer, last = map(length_of, nest.loops.inner)
    return [*outer, -(-last // nest.elements.wide.lanes) * nest.elements.wide.lanes]
