"""Sums whose terms data send to a place."""

from __future__ import annotations

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import extent
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.nest import Nest
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.passes.schedule import Loops, scattered_body
from sympile.compiler.records import dataclass


def write_zeros(frame: Frame, scalar: Lanes, tensor: Definition) -> None:
    """All bytes of a number that is 0 are 0."""
    size: Integer = scalar.bytes
    for length in tensor.shape:
        size = frame.function.mul(size, frame.extent(length))
    zero, plain = Value("0", "i8"), Value("false", "i1")
    frame.function.call("void", "@llvm.memset.p0.i64", frame.pointer(tensor), zero, i64(size), plain)


@dataclass(slots=True)
class Scatter:
    """A sum whose terms data send to a place of the result, which has its axes: one addition after the other."""

    elements: Elements
    tensor: Definition
    result: Definition
    loops: Loops

    def write(self) -> None:
        nest = Nest(self.elements, Group((self.tensor,), self.tensor.axes + self.tensor.reduced), self.loops)
        nest.outer(list(self.loops.outer), self._row)

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
        pointer, along, *_ = address(elements, self.result, at, place)
        if self.loops.vector is None:
            total = elements.scalar.add(elements.scalar.load(pointer), elements.value(body, place))
            elements.scalar.store(total, pointer)
            return
        assert along is not None
        old = elements.wide.load_strided(pointer, along, elements.mask)
        elements.wide.store_strided(
            elements.wide.add(old, elements.wide_value(body, place)), pointer, along, elements.mask
        )
