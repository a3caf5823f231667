"""Rows that integer data choose, one for each lane of a panel: where they begin is found once, before packing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node, target
from sympile.compiler.passes.emitting.ahead import ask_for
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest

AHEAD = 4  # lines: so far ahead a row is asked for, which nobody has read yet


def is_chosen(node: Node, index: Node) -> bool:
    """Whether integer data say which row of an operand is read at a step of an index, which nothing else depends on."""
    first, *others = node.args
    return first.op == "read" and all(index not in at.free for at in others)


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """The rows of an operand's panel, from a turn of a reduced index on, along which their numbers lie side by side."""

    nest: Nest
    node: Node
    index: Node
    start: Integer
    room: Value
    vectors: int

    def find(self, masked: bool) -> None:
        """Keeps where they begin; lanes beyond the end repeat the last row."""
        elements, axis = self.nest.elements, self.nest.loops.vector
        assert axis is not None
        function, first = elements.frame.function, elements.positions[axis]
        with function.loop(0, self.vectors * elements.wide.lanes) as loop:
            at = function.add(first, loop.index)
            if masked:
                at = function.min(at, function.sub(self.nest.length(axis), 1))
            with elements.elsewhere({axis: at, self.index: self.start}):
                begin, *_ = address(elements, target(self.node), self.node.args, Place())
            function.store(begin, function.gep("ptr", self.room, loop.index))

    def lines(self, first: Integer) -> list[Value]:
        """The next numbers of each row of a vector, for the current turn."""
        elements, function, wide = self.nest.elements, self.nest.elements.frame.function, self.nest.elements.wide
        step, line = function.sub(elements.positions[self.index], self.start), wide.target.core(wide.element).line
        lines = []
        for lane in range(wide.lanes):
            begin = function.load("ptr", function.gep("ptr", self.room, function.add(first, lane)))
            here = function.gep(wide.element, begin, step)
            there = function.gep(wide.element, here, AHEAD * line, inside=False)
            ask_for(function, there)
            lines.append(wide.load(here))
        return lines
