"""Sums whose terms data send to a place."""

from __future__ import annotations

from sympile.compiler.code.value import Integer
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import extent
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.nest import Nest
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.group import Group
from sympile.compiler.passes.schedule import Loops, scattered_body
from sympile.compiler.records import dataclass


@dataclass(slots=True)
class Scatter:
    """A sum whose terms data send to a place: zeros first, then one addition after the other."""

    elements: Elements
    tensor: Definition
    loops: Loops

    def write(self) -> None:
        self._zero()
        nest = Nest(self.elements, Group((self.tensor,), self.tensor.axes + self.tensor.reduced), self.loops)
        nest.outer(list(self.loops.outer), self._row)

    def _zero(self) -> None:
        function = self.elements.frame.function
        count: Integer = 1
        for length in self.tensor.shape:
            count = function.mul(count, self.elements.frame.extent(length))
        pointer = self.elements.frame.pointer(self.tensor)
        with function.loop(0, count) as loop:
            self.elements.scalar.store(
                self.elements.scalar.constant(0.0), function.gep(self.elements.scalar.element, pointer, loop.index)
            )

    def _row(self) -> None:
        vector = self.loops.vector
        if vector is None:
            self._add(Place())
            return
        function, lanes = self.elements.frame.function, self.elements.wide
        length = self.elements.frame.extent(extent(vector))
        with function.loop(0, length, lanes.lanes) as loop:
            self.elements.positions[vector] = loop.index
            self.elements.push()
            self.elements.mask = lanes.first(function.sub(length, loop.index))
            self._add(Place(0, 0, True))
            self.elements.mask = None
            self.elements.pop()
            del self.elements.positions[vector]

    def _add(self, place: Place) -> None:
        axis, where, body = scattered_body(self.tensor)
        at = tuple(where if a is axis else a for a in self.tensor.axes)
        elements = self.elements
        pointer, along, _ = address(elements, self.tensor, at, place)
        if self.loops.vector is None:
            total = elements.scalar.add(elements.scalar.load(pointer), elements.value(body, place))
            elements.scalar.store(total, pointer)
            return
        assert along is not None
        old = elements.wide.load_strided(pointer, along, elements.mask)
        elements.wide.store_strided(
            elements.wide.add(old, elements.wide_value(body, place)), pointer, along, elements.mask
        )
