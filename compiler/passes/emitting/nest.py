"""The loops of one group: tiles of rows and vectors, accumulators in registers, masked ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import partial

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, extent
from sympile.compiler.passes.emitting.ahead import ask
from sympile.compiler.passes.emitting.blocks import Blocks
from sympile.compiler.passes.emitting.cell_stores import CellStores
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.extents import Run, run_of
from sympile.compiler.passes.emitting.interior import interior_of
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import FIRST, Place
from sympile.compiler.passes.emitting.running_nest import RunningNest
from sympile.compiler.passes.emitting.shared_sums import SharedSums
from sympile.compiler.passes.emitting.turned_stores import TurnedStores
from sympile.compiler.passes.emitting.watch import Watch, watched_read
from sympile.compiler.passes.fusing.cells import CELLS
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.records import dataclass


def _held(value: Value, place: Place) -> Value:
    """A value that is in a register already."""
    return value


@dataclass(slots=True)
class Nest:
    """Writes one group into a function."""

    elements: Elements
    group: Group
    loops: Loops
    parts: Mapping[Node, Run] = field(default_factory=dict)  # of an index that a chunk covers a part of only
    watch: Watch | None = None

    @property
    def first(self) -> Definition:
        return self.group.members[0]

    def write(self) -> None:
        """The whole nest."""
        if not self.group.domain:
            self._straight_line()
            return
        self.elements.hoist(self.bodies(), frozenset())
        if self.group.way is not None:
            RunningNest(self, *self.group.way).write()
        elif any(t.reduced and not t.axes for t in self.group.members) and len(self.group.domain) == 1:
            SharedSums(self).write()
        elif self.loops.flat:
            self._flat(list(self.loops.outer))
        elif self.first.reduced:
            self.outer(list(self.loops.outer), Blocks(self).write)
        else:
            self._all_elements()

    def _all_elements(self) -> None:
        node = watched_read(self.group, self.elements.frame.layout.watched)
        if node is not None:
            self.watch = Watch(self, node)
            self.watch.begin()
        self.outer(list(self.loops.outer), self._row_tiles)
        if self.watch is not None:
            self.watch.end()

    # ------------------------------------------------------------------------------------------ loops

    def bodies(self) -> list[Node]:
        """The formulas of all results, those of cells one by one."""
        bodies = [self.group.body(tensor) for tensor in self.group.results]
        return [body for one in bodies for body in (one.args if one.op == CELLS else (one,))]

    def bound(self) -> frozenset[Node]:
        return frozenset(self.elements.positions)

    @contextmanager
    def bind(self, index: Node, position: Integer, hoist: bool = True) -> Iterator[None]:
        self.elements.positions[index] = position
        self.elements.push()
        if hoist:
            bound = self.bound() - {self.loops.vector, self.loops.row, self.loops.second}
            self.elements.hoist(self.bodies(), frozenset(i for i in bound if i is not None))
        yield
        self.elements.pop()
        del self.elements.positions[index]

    def length(self, index: Node) -> Integer:
        return self.elements.frame.extent(extent(index))

    def run(self, index: Node) -> Run:
        """From where to where the loop over an index goes."""
        if self.loops.flat:
            return self._whole_run()
        return self.parts.get(index) or run_of(self.length(index))

    def _whole_run(self) -> Run:
        """The same of all indices as one: a chunk has some of the first."""
        first, *others = self.group.domain
        run, times = self.parts.get(first) or run_of(self.length(first)), self.elements.frame.function.mul
        ends = run.first, run.last, run.extent
        for index in others:
            length = self.length(index)
            ends = times(ends[0], length), times(ends[1], length), times(ends[2], length)
        return Run(*ends, grain=1 if run.grain else 0)

    def outer(self, indices: list[Node], then: Callable[[], None]) -> None:
        if not indices:
            then()
            return
        function, run = self.elements.frame.function, self.run(indices[0])
        with function.loop(run.first, run.last) as loop, self.bind(indices[0], loop.index):
            self.outer(indices[1:], then)

    def _flat(self, outer: list[Node]) -> None:
        """One loop: the outer indices stay 0, and the last one goes through everything."""
        if outer:
            with self.bind(outer[0], 0, hoist=False):
                self._flat(outer[1:])
            return
        self.columns(partial(self._elementwise, 1))

    def _row_tiles(self) -> None:
        """Elementwise work on some rows at a time, which share what is the same for all of them."""
        row, rows = self.loops.row, self.loops.rows
        if row is None:
            self.columns(partial(self._elementwise, 1))
            return
        function, run = self.elements.frame.function, self.run(row)
        whole = run.whole(function, rows)
        if whole != run.first:
            with self._strides(run.first, whole, rows) as start:
                self._row_tile(row, start, rows)
        left = run.left(rows)
        if left is None:
            with function.loop(whole, run.last) as loop:
                self._row_tile(row, loop.index, 1)
        elif left:
            with run.at_end(function, whole):
                self._row_tile(row, whole, left)

    def _row_tile(self, row: Node, start: Integer, rows: int) -> None:
        with self.bind(row, start, hoist=False):
            bound = frozenset(i for i in self.bound() if i is not self.loops.vector)
            for number in range(rows):
                self.elements.hoist(self.bodies(), bound, Place(number))
            self.columns(partial(self._elementwise, rows))

    @contextmanager
    def _strides(self, first: Integer, last: Integer, step: int) -> Iterator[Integer]:
        """Where each of some strides begins; no loop for a single one."""
        if isinstance(first, int) and isinstance(last, int) and last - first == step:
            yield first
            return
        with self.elements.frame.function.loop(first, last, step) as loop:
            yield loop.index

    def columns(self, write: Callable[[int, bool], None]) -> None:
        """Full vectors along the vector axis, then the masked end."""
        vector = self.loops.vector
        if vector is None or self.loops.vector_is_reduced:
            write(1, False)
            return
        function, lanes = self.elements.frame.function, self.elements.wide.lanes
        run, step = self.run(vector), lanes * self.loops.vectors
        whole = run.whole(function, step)
        if whole != run.first:
            with self._strides(run.first, whole, step) as start, self.bind(vector, start, hoist=False):
                write(self.loops.vectors, False)
        with self.single_registers():
            self._end(vector, run, whole, run.left(step), write)

    @contextmanager
    def single_registers(self) -> Iterator[None]:
        """What stands inside is written for vectors of one register; it runs rarely, so that functions are called."""
        elements = self.elements
        before = elements.wide, elements.inlines
        elements.wide, elements.inlines = elements.wide.narrowed(self.loops.lanes), False
        yield
        elements.wide, elements.inlines = before

    def _end(
        self, vector: Node, run: Run, whole: Integer, left: int | None, write: Callable[[int, bool], None]
    ) -> None:
        """What comes after the last whole vectors."""
        function, lanes = self.elements.frame.function, self.elements.wide.lanes
        if left is not None:
            with run.at_end(function, whole):
                self._fixed_end(vector, whole, left, write)
            return
        with function.loop(whole, run.last, lanes) as loop, self.bind(vector, loop.index, hoist=False):
            self._masked(function.sub(run.last, loop.index), lambda: write(1, True))

    def _fixed_end(self, vector: Node, start: Integer, left: int, write: Callable[[int, bool], None]) -> None:
        """The end of an axis of known length: whole vectors, the last one masked where it must be."""
        lanes = self.elements.wide.lanes
        if left == 0:
            return
        count = -(-left // lanes)
        over = left % lanes
        with self.bind(vector, start, hoist=False):
            if over == 0:
                write(count, False)
            else:
                self._masked(over, lambda: write(count, True))

    def _masked(self, count: Integer, write: Callable[[], None]) -> None:
        self.elements.mask = self.elements.wide.first(count)
        write()
        self.elements.mask = None

    # ------------------------------------------------------------------------------------------ one tile

    def places(self, rows: int, vectors: int, masked: bool) -> tuple[Place, ...]:
        """Every copy of the body in a tile; only the last vector can be masked."""
        return tuple(
            Place(r, v, masked and v == vectors - 1, s)
            for r in range(rows)
            for s in range(self.loops.seconds)
            for v in range(vectors)
        )

    def _elementwise(self, rows: int, vectors: int, masked: bool) -> None:
        """A tile: in the interior without what guards would ask there."""
        copies = rows * vectors * self.loops.seconds
        inner = None if masked or self.watch is not None else interior_of(self.elements, self.bodies(), copies)
        if inner is None:
            self._tile(rows, vectors, masked)
            return
        along = {self.loops.row: rows, self.loops.vector: vectors * self.elements.wide.lanes}
        spans = {**{i: n for i, n in along.items() if i is not None}, **self._second()}
        with self.elements.frame.function.either(inner.holds(self.elements, spans)) as choice:
            with choice.then():
                self.elements.decided = inner.decided
                self._tile(rows, vectors, masked)
                self.elements.decided = {}
            with choice.otherwise():
                self._tile(rows, vectors, masked)

    def _second(self) -> dict[Node, int]:
        return {} if self.loops.second is None else {self.loops.second: self.loops.seconds}

    def _tile(self, rows: int, vectors: int, masked: bool) -> None:
        self.elements.push()
        for place in self.places(rows, vectors, masked):
            self.write_members(self.group.members, place)
            if self.watch is not None:
                self.watch.look(place)
        self.elements.pop()

    def write_members(self, members: Sequence[Definition], place: Place) -> None:
        """All values first, then all stores: a result may lie where an operand lay."""
        values = {}
        for tensor in (t for t in members if not self._is_listed(t)):
            values[tensor] = self.element(tensor, place)
            self.forward(tensor, place)
        for tensor in filter(self._is_listed, members):
            CellStores(self, tensor, place).write()
        for tensor, value in values.items():
            self.store(tensor, value, place)

    def _is_listed(self, tensor: Definition) -> bool:
        return self.group.body(tensor).op == CELLS

    def element(self, tensor: Definition, place: Place) -> Value:
        return self._in_lanes(self.group.body(tensor), tensor, place)

    def _in_lanes(self, body: Node, tensor: Definition, place: Place) -> Value:
        """The body's value, in lanes if the tensor varies along them."""
        if self.loops.vector is not None and self.loops.vector in tensor.axes:
            return self.elements.wide_value(body, place)
        return self.elements.value(body, place)

    def forward(self, tensor: Definition, place: Place) -> None:
        """Later members read this one from its register."""
        self.elements.forwarded[tensor] = partial(self.element, tensor)

    def finish(self, places: Sequence[Place], sums: Sequence[Value]) -> None:
        """Stores the results, or what is made of them while they are in registers."""
        finish = self.group.finish
        if finish is None:
            self.store_all(self.first, places, sums)
            return
        values = []
        turned = TurnedStores(self, finish).fits(places)
        for place, total in zip(places, sums, strict=True):
            self.elements.push()
            self.elements.forwarded[self.first] = partial(_held, total)
            values.append(self._finished(finish, place))
            if not turned:
                self.store(finish, values[-1], place)
            del self.elements.forwarded[self.first]
            self.elements.pop()
        if turned:
            TurnedStores(self, finish).write(places, values)

    def store_all(self, tensor: Definition, places: Sequence[Place], values: Sequence[Value]) -> None:
        """The values of all places of a tile."""
        turned = TurnedStores(self, tensor)
        if turned.fits(places):
            turned.write(places, values)
            return
        for place, value in zip(places, values, strict=True):
            self.store(tensor, value, place)

    def _finished(self, finish: Definition, place: Place) -> Value:
        return self._in_lanes(self.group.body(finish), finish, place)

    def store(self, tensor: Definition, value: Value, place: Place) -> None:
        elements = self.elements
        if not tensor.axes:
            elements.frame.scalars[tensor] = value
        if tensor in elements.frame.unstored or tensor in self.group.local:
            return
        pointer, along, *_ = address(elements, tensor, tensor.axes, place)
        if self.loops.vector is None or self.loops.vector not in tensor.axes:
            elements.scalar.store(value, pointer)
            return
        assert along is not None
        elements.wide.store_strided(value, pointer, along, elements.mask if place.masked else None)
        if not self.first.reduced:
            ask(elements.frame, elements.wide, tensor, pointer, along)

    def stored_at(self, tensor: Definition, place: Place) -> Value:
        """What `store` has written at a place."""
        elements = self.elements
        pointer, along, *_ = address(elements, tensor, tensor.axes, place)
        if self.loops.vector is None or self.loops.vector not in tensor.axes:
            return elements.scalar.load(pointer)
        assert along is not None
        return elements.wide.load_strided(pointer, along, elements.mask if place.masked else None)

    # ------------------------------------------------------------------------------------------ other forms

    def _straight_line(self) -> None:
        """Scalars: no loop at all."""
        for tensor in self.group.members:
            if self._is_listed(tensor):
                CellStores(self, tensor, FIRST).write()
                continue
            value = self.elements.value(self.group.body(tensor), FIRST)
            self.store(tensor, value, FIRST)
            self.elements.forwarded[tensor] = partial(_held, value)
