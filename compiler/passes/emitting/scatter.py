"""Sums whose terms data send to a place."""

from __future__ import annotations

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64
from sympile.compiler.graph.definition import EXAMPLE, Definition
from sympile.compiler.graph.node import ZERO, extent, target
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.nest import Nest
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.fusing.group import Group, scatter_axis
from sympile.compiler.passes.schedule import Loops, scattered_body
from sympile.compiler.records import dataclass


def chosen_by_data(group: Group) -> tuple[Definition, tuple[Definition, ...]] | None:
    """The result of scatters that begin with zeros, if rows of it are chosen by data; and these data."""
    if group.finish is not None and group.body(group.finish) is not ZERO:
        return None
    found = [(tensor, scatter_axis(tensor)) for tensor in group.members]
    places = [pair[1] for tensor, pair in found if pair is not None and pair[0] is tensor.axes[0]]
    data = [target(place) for place in places if place.op == "read" and place.args[:1] == (EXAMPLE,)]
    if len(data) < len(group.members) or not all(t.kind == "input" and t.integer and t.batched for t in data):
        return None
    return group.finish or group.members[0], tuple(dict.fromkeys(data))


def write_zeros(frame: Frame, scalar: Lanes, tensor: Definition) -> None:
    """All bytes of a number that is 0 are 0; where somebody has seen to it that they are, nothing is written."""
    spared = frame.layout.spared.get(tensor)
    if spared is None:
        _write_zeros(frame, scalar, tensor)
        return
    with frame.function.when(frame.function.compare("eq", frame.word(spared), 0)):
        _write_zeros(frame, scalar, tensor)


def _write_zeros(frame: Frame, scalar: Lanes, tensor: Definition) -> None:
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
