"""Panels: the part of an operand that a column of tiles needs, side by side on the stack in the order of its use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node, extent, number
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.reduction import Block

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


def in_blocks(nest: Nest, vectors: int, masked: bool, write: Callable[[Block], None]) -> None:
    """Packs what the schedule says, block after block of the outermost reduced index, and writes the rows of each."""
    loops = nest.loops
    if not loops.packed:
        write(Block())
        return
    length = nest.length(loops.inner[0])
    if isinstance(length, int) and length <= loops.block:
        _packed_block(nest, vectors, masked, Block(0, length), write)
        return
    function = nest.elements.frame.function
    with function.loop(0, length, loops.block) as loop:
        stop = function.min(function.add(loop.index, loops.block), length)
        first, last = function.compare("eq", loop.index, 0), function.compare("eq", stop, length)
        nest.elements.push()
        _packed_block(nest, vectors, masked, Block(loop.index, stop, first, last), write)
        nest.elements.pop()


def _packed_block(nest: Nest, vectors: int, masked: bool, block: Block, write: Callable[[Block], None]) -> None:
    panels = [Panel(nest, node, vectors, block, _room(nest)) for node in nest.loops.packed]
    for panel in panels:
        panel.pack(masked)
    for panel in panels:
        nest.elements.packed[panel.node] = panel.load
    write(block)
    for panel in panels:
        del nest.elements.packed[panel.node]


def _room(nest: Nest) -> Value:
    loops, wide = nest.loops, nest.elements.wide
    count = loops.block * loops.vectors * wide.lanes
    for index in loops.inner[1:]:
        count *= int(number(extent(index)))
    return nest.elements.frame.function.alloca(wide.element, count)


@dataclass(frozen=True, slots=True)
class Panel:
    """One operand, packed: for each turn of the reduced indices its vectors."""

    nest: Nest
    node: Node
    vectors: int
    block: Block
    room: Value

    def pack(self, masked: bool) -> None:
        self._pack(self.nest.loops.inner, masked)

    def _pack(self, indices: tuple[Node, ...], masked: bool) -> None:
        elements = self.nest.elements
        if not indices:
            elements.push()
            for vector in range(self.vectors):
                place = Place(0, vector, masked and vector == self.vectors - 1)
                value = elements.wide_value(self.node, place)
                elements.wide.store(value, self._address(place))
            elements.pop()
            return
        index = indices[0]
        whole = index is self.nest.loops.inner[0] and self.block.stop is not None
        start, stop = (self.block.start, self.block.stop) if whole else (0, self.nest.length(index))
        assert stop is not None
        with elements.frame.function.loop(start, stop) as loop, self.nest.bind(index, loop.index, hoist=False):
            self._pack(indices[1:], masked)

    def load(self, place: Place) -> Value:
        """The operand at a place, out of the panel."""
        return self.nest.elements.wide.load(self._address(place))

    def _address(self, place: Place) -> Value:
        """Where the vector for the current reduced indices lies."""
        function, elements = self.nest.elements.frame.function, self.nest.elements
        turn: Integer = 0
        for index in self.nest.loops.inner:
            position = elements.positions[index]
            if index is self.nest.loops.inner[0]:
                position = function.sub(position, self.block.start)
            turn = function.add(function.mul(turn, self.nest.length(index)), position)
        offset = function.mul(turn, self.vectors * elements.wide.lanes)
        return function.gep(elements.wide.element, self.room, function.add(offset, place.vector * elements.wide.lanes))
