"""A block of rows: what is made of each row's entries, of each row as a whole, and of all rows so far.

Work on entries has the index across the row in its lanes, one row after the other; work on rows as a whole has the rows
of the block in its lanes. What is reduced across the rows of a block is packed into one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from functools import partial

from sympile.compiler.code.halving import packed
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.definition import EXAMPLE, Definition
from sympile.compiler.graph.node import Node, extent
from sympile.compiler.passes.emitting.ahead import ask, ask_for_rows
from sympile.compiler.passes.emitting.elements import CONDITIONS, Elements
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.memory import address, example_at
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.reduction import COMBINE, IDENTITY, accumulated
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.passes.fusing.rowwise import common_index, kind_of, stages_of
from sympile.compiler.records import dataclass

WRITTEN_OUT = 2  # vectors across a row, up to which there is no loop over them
Turn = Callable[[Place, Sequence[Value]], list[Value]]


def held(value: Value, place: Place) -> Value:
    """A value that is in a register already."""
    return value


@dataclass(frozen=True, slots=True)
class Running:
    """A total that grows from block to block: its lanes, and where it lies."""

    lanes: Lanes
    slot: Value


@dataclass(slots=True)
class RowBlock:
    """Writes what happens to one block of rows."""

    frame: Frame
    group: Group
    scalar: Lanes
    down: Lanes  # the rows of the block
    wide: Lanes  # entries across a row
    totals: dict[Definition, Running] = field(default_factory=dict)
    whole: Elements = field(init=False)  # rows as a whole
    across: dict[Node, Elements] = field(init=False)  # entries, by the index across
    stages: dict[Definition, int] = field(init=False)

    def __post_init__(self) -> None:
        indices = dict.fromkeys(i for i in map(common_index, self.group.members) if i is not None)
        self.whole = Elements(self.frame, self.scalar, self.down, vector=self.row)
        self.across = {i: Elements(self.frame, self.scalar, self.wide, vector=i, row=self.row) for i in indices}
        self.stages = stages_of(self.group.members)

    @property
    def row(self) -> Node:
        return self.group.domain[0]

    @property
    def rows(self) -> int:
        return self.down.lanes

    def hoist(self) -> None:
        """Writes what no row changes."""
        for elements, members in self._contexts():
            elements.hoist([self.group.body(tensor) for tensor in members], frozenset())

    def _contexts(self) -> list[tuple[Elements, list[Definition]]]:
        own = {index: [t for t in self.group.members if common_index(t) is index] for index in (None, *self.across)}
        return [(self.whole if index is None else self.across[index], members) for index, members in own.items()]

    def write(self, start: Integer) -> None:
        """The block that begins at a row."""
        contexts = self._contexts()
        before = self._shift(start)
        for elements, _ in contexts:
            elements.positions[self.row] = start
            elements.push()
            if self.frame.order is not None and self.row is EXAMPLE:
                for row in range(1 if elements is self.whole else self.rows):
                    example_at(elements, Place(row))
        if self.rows > 1:
            ask_for_rows(self.frame, self.scalar, self.group, self.frame.function.add(start, self.rows), self.rows)
        for stage in range(max(self.stages.values()) + 1):
            for elements, members in contexts:
                now = [tensor for tensor in members if self.stages[tensor] == stage]
                if elements is self.whole:
                    for tensor in now:
                        self._write_whole(tensor)
                elif now:
                    self._sweep(elements, now)
        for elements, _ in contexts:
            elements.forwarded.clear()
            elements.pop()
        self.frame.pointers.update(before)

    def _shift(self, start: Integer) -> dict[Definition, Value]:
        """Arrays that hold one block of rows begin where row 0 would lie; returns where they do."""
        assert self.group.rows is not None
        passing = [tensor for tensor in self.group.members if tensor in self.group.rows.passing]
        before = {tensor: self.frame.pointer(tensor) for tensor in passing}
        for tensor, pointer in before.items():
            offset = self.frame.function.mul(start, self.frame.strides(tensor)[0])
            self.frame.pointers[tensor] = self.frame.function.gep(
                self.scalar.element, pointer, self.frame.function.sub(0, offset)
            )
        return before

    # ------------------------------------------------------------------------------------------ rows as a whole

    def _write_whole(self, tensor: Definition) -> None:
        body = self.group.body(tensor)
        if kind_of(tensor) == "scalar":
            self._row_value(tensor, self.whole.wide_value(body, Place()))
            return
        running = self.totals[tensor]
        before = running.lanes.load(running.slot)
        after = accumulated(self.whole, tensor, body, Place(), before, running.lanes, None)
        running.lanes.store(after, running.slot)

    def _row_value(self, tensor: Definition, value: Value) -> None:
        """One number a row: stored where somebody else reads it, and handed on."""
        assert self.group.rows is not None
        if tensor not in self.group.rows.local:
            pointer, along, *_ = address(self.whole, tensor, (self.row,), Place())
            assert along is not None
            self.whole.wide.store_strided(value, pointer, along)
        self.whole.forwarded[tensor] = partial(held, value)
        lanes = [self.down.extract(value, row) for row in range(self.rows)]
        for elements in self.across.values():
            elements.forwarded[tensor] = partial(_of_row, lanes)

    # ------------------------------------------------------------------------------------------ entries of rows

    def _sweep(self, elements: Elements, members: Sequence[Definition]) -> None:
        """Goes across the rows of the block once."""
        self._spread(elements, [self.group.body(tensor) for tensor in members])
        reduced = [tensor for tensor in members if kind_of(tensor) == "across"]
        start = [self.wide.constant(IDENTITY[str(t.monoid)]) for t in reduced for _ in range(self.rows)]
        ends = swept(elements, start, partial(self._turn, elements, members, reduced))
        for tensor in members:
            if kind_of(tensor) == "element" and tensor in self._stored():
                del elements.forwarded[tensor]  # from now on it is read from memory
        for k, tensor in enumerate(reduced):
            parts = ends[k * self.rows : (k + 1) * self.rows]
            self._row_value(tensor, packed(self.wide, parts, COMBINE[str(tensor.monoid)]))

    def _stored(self) -> tuple[Definition, ...]:
        """What lies in memory, be it for one block of rows."""
        assert self.group.rows is not None
        return (*self.group.stored, *self.group.rows.passing)

    def _spread(self, elements: Elements, bodies: Iterable[Node]) -> None:
        """What entries need of their row as a whole is computed for all rows at once."""
        stack, seen = list(bodies), set[Node]()
        while stack:
            node = stack.pop()
            if node in seen or node.op in CONDITIONS or node.op == "read" or self.row not in node.free:
                continue
            seen.add(node)
            if elements.vector in node.free:
                stack.extend(node.args)
            elif node.args:
                value = self.whole.wide_value(node, Place())
                for row in range(self.rows):
                    elements.known[-1][elements.key_of(node, Place(row))] = self.down.extract(value, row)

    def _turn(
        self,
        elements: Elements,
        members: Sequence[Definition],
        reduced: Sequence[Definition],
        at: Place,
        carried: Sequence[Value],
    ) -> list[Value]:
        """One vector of entries of every row."""
        sums = list(carried)
        growing = [t for t in members if kind_of(t) in ("column", "total")]
        parts = {t: self.wide.constant(IDENTITY[str(t.monoid)]) for t in growing}
        beyond = elements.mask if at.masked else None
        for row in range(self.rows):
            place = Place(row, at.vector, at.masked)
            for tensor in members:
                body = self.group.body(tensor)
                if tensor in parts:
                    parts[tensor] = accumulated(elements, tensor, body, place, parts[tensor], self.wide, beyond)
                elif tensor in reduced:
                    k = reduced.index(tensor) * self.rows + row
                    sums[k] = accumulated(elements, tensor, body, place, sums[k], self.wide, beyond)
                else:
                    self._entry(elements, tensor, body, place)
        for tensor, part in parts.items():
            self._grow(elements, tensor, part, at)
        return sums

    def _entry(self, elements: Elements, tensor: Definition, body: Node, place: Place) -> None:
        elements.forwarded[tensor] = partial(elements.wide_value, body)
        if tensor in self._stored():
            pointer, along, *_ = address(elements, tensor, (self.row, _vector(elements)), place)
            assert along is not None
            mask = elements.mask if place.masked else None
            elements.wide.store_strided(elements.wide_value(body, place), pointer, along, mask)
            if tensor in self.group.stored:
                ask(elements.frame, elements.wide, tensor, pointer, along)

    def _grow(self, elements: Elements, tensor: Definition, part: Value, place: Place) -> None:
        """Adds what a block has come to, to a total or to a sum over rows in memory."""
        combine = COMBINE[str(tensor.monoid)]
        if tensor in self.totals:
            slot = self.totals[tensor].slot
            self.wide.store(combine(self.wide, self.wide.load(slot), part), slot)
            return
        assert self.group.rows is not None
        stored = self.group.rows.finishes.get(tensor, tensor)
        pointer, *_ = address(elements, stored, (_vector(elements),), place)
        mask = elements.mask if place.masked else None
        before = elements.wide.load_strided(pointer, 1, mask)
        elements.wide.store_strided(combine(self.wide, before, part), pointer, 1, mask)


def _of_row(lanes: Sequence[Value], place: Place) -> Value:
    return lanes[place.row]


def _vector(elements: Elements) -> Node:
    assert elements.vector is not None
    return elements.vector


# ------------------------------------------------------------------------------------------------ across a row


def swept(elements: Elements, carried: Sequence[Value], turn: Turn) -> list[Value]:
    """Along the vector index: whole vectors, written out where they are few, then a masked end."""
    function, lanes = elements.frame.function, elements.wide.lanes
    length = elements.frame.extent(extent(_vector(elements)))
    whole = function.sub(length, function.rem(length, lanes))
    values = list(carried)
    if isinstance(whole, int) and whole <= WRITTEN_OUT * lanes:
        for start in range(0, whole, lanes):
            values = _at(elements, start, values, turn)
    else:
        with function.loop(0, whole, lanes, values) as loop:
            loop.next = _at(elements, loop.index, loop.carried, turn)
        values = loop.results
    if isinstance(length, int) and isinstance(whole, int):
        return values if length == whole else _at(elements, whole, values, turn, length - whole)
    with function.loop(whole, length, lanes, values) as rest:
        rest.next = _at(elements, rest.index, rest.carried, turn, function.sub(length, rest.index))
    return rest.results


def _at(
    elements: Elements, start: Integer, carried: Sequence[Value], turn: Turn, left: Integer | None = None
) -> list[Value]:
    elements.positions[_vector(elements)] = start
    elements.push()
    elements.mask = None if left is None else elements.wide.first(left)
    values = turn(Place(0, 0, left is not None), carried)
    elements.mask = None
    elements.pop()
    del elements.positions[_vector(elements)]
    return values
