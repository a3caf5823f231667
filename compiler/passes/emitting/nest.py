"""The loops of one group: tiles of rows and vectors, accumulators in registers, masked ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.conditions import conditions_of, unguarded
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, extent, postorder
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.operations import accumulate, all_of
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.group import Group
from sympile.compiler.passes.schedule import Loops

REGISTER_SUMS = 24  # more accumulators than this live in memory

WRITTEN_TWICE = 600  # operations; longer bodies have one loop, masked throughout

IDENTITY: Mapping[str, float] = {"sum": 0.0, "prod": 1.0, "max": float("-inf"), "min": float("inf")}
COMBINE: Mapping[str, Callable[[Lanes, Value, Value], Value]] = {
    "sum": Lanes.add,
    "prod": Lanes.mul,
    "max": Lanes.maximum,
    "min": Lanes.minimum,
}
ACROSS: Mapping[str, Callable[[Lanes, Value], Value]] = {
    "sum": Lanes.reduce_add,
    "prod": Lanes.reduce_mul,
    "max": Lanes.reduce_max,
    "min": Lanes.reduce_min,
}


def _held(value: Value, place: Place) -> Value:
    """A value that is in a register already."""
    return value


@dataclass(slots=True)
class Nest:
    """Writes one group into a function."""

    elements: Elements
    group: Group
    loops: Loops

    @property
    def first(self) -> Definition:
        return self.group.members[0]

    def write(self) -> None:
        """The whole nest."""
        if not self.group.domain:
            self._straight_line()
            return
        self.elements.hoist(self._bodies(), frozenset())
        if any(t.reduced and not t.axes for t in self.group.members) and len(self.group.domain) == 1:
            self._shared_sums()
        else:
            self.outer(list(self.loops.outer), self._rows)

    # ------------------------------------------------------------------------------------------ loops

    def _bodies(self) -> list[Node]:
        return [self.group.body(tensor) for tensor in self.group.results]

    def _bound(self) -> frozenset[Node]:
        return frozenset(self.elements.positions)

    @contextmanager
    def _bind(self, index: Node, position: Integer, hoist: bool = True) -> Iterator[None]:
        self.elements.positions[index] = position
        self.elements.push()
        if hoist:
            bound = self._bound() - {self.loops.vector, self.loops.row}
            self.elements.hoist(self._bodies(), frozenset(i for i in bound if i is not None))
        yield
        self.elements.pop()
        del self.elements.positions[index]

    def _length(self, index: Node) -> Integer:
        return self.elements.frame.extent(extent(index))

    def outer(self, indices: list[Node], then: Callable[[], None]) -> None:
        if not indices:
            then()
            return
        function = self.elements.frame.function
        with function.loop(0, self._length(indices[0])) as loop, self._bind(indices[0], loop.index):
            self.outer(indices[1:], then)

    def _rows(self) -> None:
        """Full tiles of rows, then the rows that are left."""
        row, rows = self.loops.row, self.loops.rows
        if row is None:
            self._vectors(1)
            return
        function = self.elements.frame.function
        length = self._length(row)
        whole = function.sub(length, function.rem(length, rows))
        if whole != 0:
            with function.loop(0, whole, rows) as loop, self._bind(row, loop.index, hoist=False):
                self._vectors(rows)
        if isinstance(length, int) and isinstance(whole, int):
            if length > whole:
                with self._bind(row, whole, hoist=False):
                    self._vectors(length - whole)
        elif rows > 1:
            with function.loop(whole, length) as loop, self._bind(row, loop.index, hoist=False):
                self._vectors(1)

    def _vectors(self, rows: int) -> None:
        """Full vectors along the vector axis, then the masked end."""
        vector = self.loops.vector
        if vector is None or self.loops.vector_is_reduced:
            self._tile_at(rows, 1, masked=False)
            return
        function, lanes = self.elements.frame.function, self.elements.wide.lanes
        length = self._length(vector)
        step = lanes * self.loops.vectors
        whole = function.sub(length, function.rem(length, step))
        if whole != 0:
            with function.loop(0, whole, step) as loop, self._bind(vector, loop.index, hoist=False):
                self._tile_at(rows, self.loops.vectors, masked=False)
        if isinstance(length, int) and isinstance(whole, int):
            self._fixed_end(vector, rows, whole, length - whole)
            return
        with function.loop(whole, length, lanes) as loop, self._bind(vector, loop.index, hoist=False):
            self._masked(function.sub(length, loop.index), lambda: self._tile_at(rows, 1, masked=True))

    def _fixed_end(self, vector: Node, rows: int, start: int, left: int) -> None:
        """The end of an axis of known length: whole vectors, the last one masked where it must be."""
        lanes = self.elements.wide.lanes
        if left == 0:
            return
        count = -(-left // lanes)
        over = left % lanes
        with self._bind(vector, start, hoist=False):
            if over == 0:
                self._tile_at(rows, count, masked=False)
            else:
                self._masked(over, lambda: self._tile_at(rows, count, masked=True))

    def _masked(self, count: Integer, write: Callable[[], None]) -> None:
        self.elements.mask = self.elements.wide.first(count)
        write()
        self.elements.mask = None

    def _tile_at(self, rows: int, vectors: int, masked: bool) -> None:
        self._tile(Place(), rows, vectors, masked)

    # ------------------------------------------------------------------------------------------ one tile

    def _places(self, rows: int, vectors: int, masked: bool) -> list[Place]:
        """Every copy of the body in a tile; only the last vector can be masked."""
        return [Place(r, v, masked and v == vectors - 1) for r in range(rows) for v in range(vectors)]

    def _tile(self, origin: Place, rows: int, vectors: int, masked: bool) -> None:
        places = self._places(rows, vectors, masked)
        self.elements.push()
        if not self.first.reduced:
            for place in places:
                self._write_members(self.group.members, place)
        else:
            self._reduced_tile(places)
        self.elements.pop()

    def _write_members(self, members: Sequence[Definition], place: Place) -> None:
        """All values first, then all stores: a result may lie where an operand lay."""
        values = []
        for tensor in members:
            values.append(self._element(tensor, place))
            self._forward(tensor, place)
        for tensor, value in zip(members, values, strict=True):
            self._store(tensor, value, place)

    def _element(self, tensor: Definition, place: Place) -> Value:
        return self._in_lanes(self.group.body(tensor), tensor, place)

    def _in_lanes(self, body: Node, tensor: Definition, place: Place) -> Value:
        """The body's value, in lanes if the tensor varies along them."""
        if self.loops.vector is not None and self.loops.vector in tensor.axes:
            return self.elements.wide_value(body, place)
        return self.elements.value(body, place)

    def _forward(self, tensor: Definition, place: Place) -> None:
        """Later members read this one from its register."""
        self.elements.forwarded[tensor] = partial(self._element, tensor)

    def _reduced_tile(self, places: Sequence[Place]) -> None:
        tensor = self.first
        wide = self.loops.vector_is_reduced or (self.loops.vector in tensor.axes)
        lanes = self.elements.wide if wide else self.elements.scalar
        start = [lanes.constant(IDENTITY[str(tensor.monoid)]) for _ in places]
        sums = self._inner(list(self.loops.inner), places, start, lanes)
        if self.loops.vector_is_reduced:
            sums = [ACROSS[str(tensor.monoid)](lanes, s) for s in sums]
        self._finish(places, sums)

    def _inner(self, indices: list[Node], places: Sequence[Place], sums: list[Value], lanes: Lanes) -> list[Value]:
        """The loops over the reduced indices; returns the accumulators."""
        if not indices:
            return [self._accumulated(place, total, lanes) for place, total in zip(places, sums, strict=True)]
        if indices[0] is self.loops.vector:
            return self._inner_vector(places, sums, lanes)
        function = self.elements.frame.function
        with function.loop(0, self._length(indices[0]), 1, sums) as loop, self._bind(indices[0], loop.index):
            loop.next = self._inner(indices[1:], places, loop.carried, lanes)
        return loop.results

    def _inner_vector(self, places: Sequence[Place], sums: list[Value], lanes: Lanes) -> list[Value]:
        """The reduced vector index: whole vectors, then one masked end."""
        function, vector = self.elements.frame.function, self.loops.vector
        assert vector is not None
        length = self._length(vector)
        whole = function.sub(length, function.rem(length, lanes.lanes))
        if whole != 0:
            with function.loop(0, whole, lanes.lanes, sums) as loop, self._bind(vector, loop.index, hoist=False):
                loop.next = self._inner([], places, loop.carried, lanes)
            sums = loop.results
        if isinstance(length, int) and isinstance(whole, int):
            if length == whole:
                return sums
            return self._end_of_sum(vector, whole, length - whole, places, sums, lanes)
        with function.loop(whole, length, lanes.lanes, sums) as loop:
            loop.next = self._end_of_sum(
                vector, loop.index, function.sub(length, loop.index), places, loop.carried, lanes
            )
        return loop.results

    def _end_of_sum(
        self, vector: Node, start: Integer, left: Integer, places: Sequence[Place], sums: list[Value], lanes: Lanes
    ) -> list[Value]:
        if lanes.lanes == 1:
            with self._bind(vector, start, hoist=False):
                return self._inner([], places, sums, lanes)
        masked = [Place(p.row, p.vector, True) for p in places]
        with self._bind(vector, start, hoist=False):
            self.elements.mask = lanes.first(left)
            result = self._inner([], masked, sums, lanes)
            self.elements.mask = None
        return result

    def _accumulated(self, place: Place, total: Value, lanes: Lanes, tensor: Definition | None = None) -> Value:
        """The accumulator after one more element; lanes beyond the end, and guarded ones, leave it as it is."""
        tensor = tensor or self.first
        body = self.group.body(tensor)
        monoid = str(tensor.monoid)
        beyond = self.elements.mask if place.masked and self.loops.vector_is_reduced else None
        if monoid == "sum":
            mask = all_of(self.elements, lanes, conditions_of(body), place) if conditions_of(body) else None
            after = accumulate(self.elements, lanes, total, unguarded(body), place)
        else:
            mask = None
            operand = (
                self.elements.wide_value(body, place)
                if lanes is self.elements.wide
                else self.elements.value(body, place)
            )
            after = COMBINE[monoid](lanes, total, operand)
        for condition in (mask, beyond):
            if condition is not None:
                after = lanes.select(condition, after, total)
        return after

    def _finish(self, places: Sequence[Place], sums: Sequence[Value]) -> None:
        """Stores the results, or what is made of them while they are in registers."""
        finish = self.group.finish
        for place, total in zip(places, sums, strict=True):
            if finish is None:
                self._store(self.first, total, place)
                continue
            self.elements.push()
            self.elements.forwarded[self.first] = partial(_held, total)
            self._store(finish, self._finished(finish, place), place)
            del self.elements.forwarded[self.first]
            self.elements.pop()

    def _finished(self, finish: Definition, place: Place) -> Value:
        return self._in_lanes(self.group.body(finish), finish, place)

    def _store(self, tensor: Definition, value: Value, place: Place) -> None:
        elements = self.elements
        if not tensor.axes:
            elements.frame.scalars[tensor] = value
        pointer, along, _ = address(elements, tensor, tensor.axes, place)
        if self.loops.vector is None or self.loops.vector not in tensor.axes:
            elements.scalar.store(value, pointer)
            return
        assert along is not None
        elements.wide.store_strided(value, pointer, along, elements.mask if place.masked else None)

    # ------------------------------------------------------------------------------------------ other forms

    def _straight_line(self) -> None:
        """Scalars: no loop at all."""
        for tensor in self.group.members:
            value = self.elements.value(self.group.body(tensor), Place())
            self._store(tensor, value, Place())
            self.elements.forwarded[tensor] = partial(_held, value)

    def _shared_sums(self) -> None:
        """One loop over one index for many scalars and arrays: what they share is computed once."""
        function, lanes, vector = self.elements.frame.function, self.elements.wide, self.loops.vector
        assert vector is not None
        sums = [t for t in self.group.members if t.reduced]
        others = [t for t in self.group.members if not t.reduced]
        copies = self.loops.vectors if len(sums) * self.loops.vectors <= REGISTER_SUMS else 1
        start = [lanes.constant(IDENTITY[str(t.monoid)]) for t in sums for _ in range(copies)]
        memory = len(start) > REGISTER_SUMS
        slots = [function.alloca(lanes.real) for _ in start] if memory else []
        for slot, value in zip(slots, start, strict=False):
            lanes.store(value, slot)
        length = self._length(vector)
        step = lanes.lanes * copies
        whole = function.sub(length, function.rem(length, step)) if self._is_small() else 0
        carried = [] if memory else start
        if whole != 0:
            with function.loop(0, whole, step, carried) as loop, self._bind(vector, loop.index, hoist=False):
                loop.next = self._sums_turn(sums, others, copies, loop.carried, slots, masked=False)
            carried = loop.results
        masked = lanes.lanes > 1
        with function.loop(whole, length, lanes.lanes, carried) as rest, self._bind(vector, rest.index, hoist=False):
            self.elements.mask = lanes.first(function.sub(length, rest.index)) if masked else None
            rest.next = self._sums_turn(sums, others, 1, rest.carried, slots, masked, stride=copies)
            self.elements.mask = None
        self._sums_end(sums, copies, rest.results, slots)

    def _is_small(self) -> bool:
        """Whether the body is short enough to be written twice: for whole vectors, and for the masked end."""
        return sum(1 for _ in postorder(self._bodies())) <= WRITTEN_TWICE

    def _sums_turn(
        self,
        sums: Sequence[Definition],
        others: Sequence[Definition],
        copies: int,
        carried: Sequence[Value],
        slots: Sequence[Value],
        masked: bool,
        stride: int = 0,
    ) -> list[Value]:
        """One turn of the shared loop: `copies` vectors, each with accumulators of its own."""
        lanes = self.elements.wide
        stride = stride or copies
        result = list(carried)
        for copy in range(copies):
            place = Place(0, copy, masked)
            self._write_members(others, place)
            for k, tensor in enumerate(sums):
                at = k * stride + copy
                if slots:
                    lanes.store(self._accumulated(place, lanes.load(slots[at]), lanes, tensor), slots[at])
                else:
                    result[at] = self._accumulated(place, result[at], lanes, tensor)
        return result

    def _sums_end(
        self, sums: Sequence[Definition], copies: int, results: Sequence[Value], slots: Sequence[Value]
    ) -> None:
        lanes = self.elements.wide
        for k, tensor in enumerate(sums):
            parts = [lanes.load(slots[at]) if slots else results[at] for at in range(k * copies, (k + 1) * copies)]
            while len(parts) > 1:
                parts = [
                    COMBINE[str(tensor.monoid)](lanes, *parts[i : i + 2]) if i + 1 < len(parts) else parts[i]
                    for i in range(0, len(parts), 2)
                ]
            self._store(tensor, ACROSS[str(tensor.monoid)](lanes, parts[0]), Place())
