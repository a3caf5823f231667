"""Watching an operand while it is read: whether all its numbers are finite, without a pass of its own."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sympile.compiler.code.value import Value, literal
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, reads, target
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


def watched_read(group: Group, watched: Definition | None) -> Node | None:
    """Where elementwise work reads all of the watched tensor, each number once."""
    if watched is None or group.rows is not None or group.finish is not None:
        return None
    if any(tensor.kind != "formula" or tensor.reduced or tensor.axes != group.domain for tensor in group.members):
        return None
    found = (node for tensor in group.members for node in reads(group.body(tensor)) if target(node) is watched)
    return next((node for node in found if node.args == group.domain), None)


@dataclass(slots=True)
class Watch:
    """Sums of 0 * x, which are 0 or nan; a copy of the body has its own, so that the next one need not wait."""

    nest: Nest
    node: Node
    sums: dict[Place, Value] = field(default_factory=dict)  # where they lie on the stack, by unmasked place

    def begin(self) -> None:
        """Before all loops."""
        for place in self.nest.places(self.nest.loops.rows, self.nest.loops.vectors, False):
            self.sums[place] = self.nest.elements.frame.function.alloca(self.nest.elements.wide.real)
            self.nest.elements.wide.store(self.nest.elements.wide.constant(0.0), self.sums[place])

    def look(self, place: Place) -> None:
        """At one place; lanes beyond the end are 0."""
        wide, room = self.nest.elements.wide, self.sums[Place(place.row, place.vector, False, place.second)]
        value = self.nest.elements.wide_value(self.node, place)
        wide.store(wide.fma(value, 0.0, wide.load(room)), room)

    def end(self) -> None:
        """After all loops: the program's status is 1 where something was not finite, else as it was."""
        elements = self.nest.elements
        function, wide = elements.frame.function, elements.wide
        first, *others = [wide.load(room) for room in self.sums.values()]
        for other in others:
            first = wide.add(first, other)
        total = wide.reduce_add(first)
        with function.when(elements.scalar.compare("uno", total, total), unlikely=True):
            function.store(literal(1, "i32"), elements.frame.extra("status"), 4)
