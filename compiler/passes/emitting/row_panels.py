"""Row panels: what a span of rows reads of an operand, close together on the stack and never a power of two apart."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.turns import Block, range_of, turn_of
from sympile.compiler.passes.strides import strides_along
from sympile.compiler.passes.tiles import length_of
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest

LINE = 64  # bytes that a cache moves at once


@dataclass(frozen=True, slots=True)
class Span:
    """Rows that are done at once."""

    start: Integer
    stop: Integer


@dataclass(frozen=True, slots=True)
class RowPanel:
    """An operand that does not vary along the lanes: row after row its turns, or turn after turn its rows.

    It is copied in the order in which it lies, so that whole vectors move.
    """

    nest: Nest
    node: Node
    block: Block
    span: Span
    room: Value

    @property
    def elements(self) -> Elements:
        return self.nest.elements

    def load(self, place: Place) -> Value:
        """The operand at a place, out of the panel."""
        function, row = self.elements.frame.function, self.nest.loops.row
        assert row is not None
        position = function.add(self.elements.positions[row], place.row)
        return self.elements.scalar.load(self._address(self.elements, position))

    def pack(self) -> None:
        """Copies the operand."""
        loops, row = self.nest.loops, self.nest.loops.row
        assert row is not None
        own = self.elements
        along = row if by_turns(self.nest, self.node) else loops.inner[-1]
        copier = Elements(own.frame, own.scalar, own.wide, along, positions=dict(own.positions), known=own.known)
        others = [index for index in (row, *loops.inner) if index is not along]
        self._copy(copier, [*others, along])

    def _copy(self, copier: Elements, indices: list[Node]) -> None:
        index = indices[0]
        if index is copier.vector:
            self._copy_line(copier, index)
            return
        start, stop = self._range(index)
        with copier.frame.function.loop(start, stop) as loop:
            copier.positions[index] = loop.index
            copier.push()
            self._copy(copier, indices[1:])
            copier.pop()
            del copier.positions[index]

    def _range(self, index: Node) -> tuple[Integer, Integer]:
        if index is self.nest.loops.row:
            return self.span.start, self.span.stop
        return range_of(self.nest, index, self.block)

    def _copy_line(self, copier: Elements, index: Node) -> None:
        """Whole vectors, then one that may write beyond the line: into what is written next, or into spare room."""
        function, wide = copier.frame.function, copier.wide
        start, stop = self._range(index)
        whole = function.sub(stop, function.rem(function.sub(stop, start), wide.lanes))
        for first, last, masked in ((start, whole, False), (whole, stop, True)):
            if isinstance(first, int) and first == last:
                continue
            with function.loop(first, last, wide.lanes) as loop:
                copier.positions[index] = loop.index
                copier.push()
                copier.mask = wide.first(function.sub(stop, loop.index)) if masked else None
                value = copier.wide_value(self.node, Place(masked=masked))
                row = self.nest.loops.row
                assert row is not None
                wide.store(value, self._address(copier, copier.positions[row]))
                copier.pop()
                del copier.positions[index]

    def _address(self, elements: Elements, row: Integer) -> Value:
        """Where a row for the current turn lies."""
        function = elements.frame.function
        down, turn = function.sub(row, self.span.start), turn_of(self.nest, self.block, elements)
        slow, fast = (turn, down) if by_turns(self.nest, self.node) else (down, turn)
        apart = distance(self.nest, self.node)
        return function.gep(elements.scalar.element, self.room, function.add(function.mul(slow, apart), fast))


def by_turns(nest: Nest, node: Node) -> bool:
    """Whether rows lie side by side in memory, so that a line of the panel is one turn's rows."""
    row = nest.loops.row
    assert row is not None
    return node.op == "read" and strides_along(node, row) == 1


def distance(nest: Nest, node: Node) -> int:
    """How far apart lines of a panel lie: an odd number of cache lines, so that they do not fall on each other."""
    line = LINE // nest.elements.wide.bytes
    numbers = nest.loops.span if by_turns(nest, node) else _turns(nest)
    lines = -(-numbers // line)
    return (lines + 1 - lines % 2) * line


def size(nest: Nest, node: Node) -> int:
    """How many numbers a panel takes, with what the last vector may write beyond the end."""
    lines = _turns(nest) if by_turns(nest, node) else nest.loops.span
    return lines * distance(nest, node) + nest.elements.wide.lanes


def _turns(nest: Nest) -> int:
    """Turns in a block."""
    return nest.loops.block * prod(length_of(index) for index in nest.loops.inner[1:])
