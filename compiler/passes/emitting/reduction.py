"""One tile of a reduction: accumulators in registers, the loops over what is reduced, what becomes of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sympile.compiler.code.halving import packed
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import share
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.conditions import conditions_of, unguarded
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.emitting.bounds import Bounds
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.extents import Run
from sympile.compiler.passes.emitting.operations import Growth, all_of, grown, growth
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.turns import Block, range_of
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest

UNROLLED = 40  # steps of a tile, over all its accumulators, up to which a loop is written out
RARE = 8  # the same of a tile for what is left of the rows
UNROLLING = ((4, 4), (8, 2))  # (at most so many accumulators, turns of the innermost loop written together)

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


def accumulated(
    elements: Elements,
    tensor: Definition,
    body: Node,
    place: Place,
    total: Value,
    lanes: Lanes,
    beyond: Value | None,
    register: Lanes | None = None,
) -> Value:
    """The accumulator after one more element; lanes beyond the end, and guarded ones, leave it as it is.

    The total has the lanes of a `register`, where elements fill several: they are added one after the other.
    """
    monoid, masks = str(tensor.monoid), [] if beyond is None else [beyond]
    if monoid == "sum":
        if conditions_of(body):
            masks.insert(0, all_of(elements, lanes, conditions_of(body), place))
        more = _growth(elements, lanes, unguarded(body), place)
    else:
        more = elements.operand(lanes, body, place), None
    narrow = register or lanes
    for at in range(0, lanes.lanes, narrow.lanes):
        cut = partial(_cut, lanes, at, narrow.lanes)
        own = cut(more[0]), None if more[1] is None else cut(more[1])
        fuses = elements.frame.fuses
        after = grown(narrow, total, own, fuses) if monoid == "sum" else COMBINE[monoid](narrow, total, own[0])
        for condition in map(cut, masks):
            after = narrow.select(condition, after, total)
        total = after
    return total


def _cut(lanes: Lanes, at: int, count: int, value: Value) -> Value:
    return value if count == lanes.lanes else share(lanes, value, at, count)


def _growth(elements: Elements, lanes: Lanes, term: Node, place: Place) -> Growth:
    """What a term adds to a sum; a square is added in one instruction, as products are."""
    if term.op != "pow" or term.data != 2:
        return growth(elements, lanes, term, place)
    base = elements.operand(lanes, term.args[0], place)
    return base, base


@dataclass(frozen=True, slots=True)
class Reduction:
    """The results at some places, over a block of the reduced indices."""

    nest: Nest
    places: tuple[Place, ...]
    block: Block
    body: Node
    bounds: Bounds

    @property
    def elements(self) -> Elements:
        return self.nest.elements

    @property
    def lanes(self) -> Lanes:
        loops = self.nest.loops
        wide = loops.vector_is_reduced or loops.vector in self.nest.first.axes
        return self.elements.wide if wide else self.elements.scalar

    @property
    def monoid(self) -> str:
        return str(self.nest.first.monoid)

    def write(self) -> None:
        start = [self.lanes.constant(IDENTITY[self.monoid]) for _ in self.places]
        sums = self._over(self.nest.loops.inner, self.places, start)
        if self.nest.loops.vector_is_reduced:
            sums = self._across(sums)
        if self.block.first is None or self.block.last is None:
            self.nest.finish(self.places, sums)
            return
        self._join(self.block.first, self.block.last, sums)

    def _across(self, sums: Sequence[Value]) -> list[Value]:
        """The reductions of the lanes of each, several together."""
        lanes, found = self.lanes, list[Value]()
        for start in range(0, len(sums), lanes.lanes):
            part = list(sums[start : start + lanes.lanes])
            if len(part) == 1 or lanes.lanes == 1:
                found += [ACROSS[self.monoid](lanes, each) for each in part]
                continue
            count = 1 << (len(part) - 1).bit_length()
            together = packed(lanes, part + part[-1:] * (count - len(part)), COMBINE[self.monoid])
            found += [lanes.narrowed(count).extract(together, lane) for lane in range(len(part))]
        return found

    def _join(self, first: Value, last: Value, sums: Sequence[Value]) -> None:
        """Adds what earlier blocks have left in the result's memory; finishes after the last block."""
        function, tensor = self.elements.frame.function, self.nest.group.stored[0]
        with function.either(first) as choice:
            with choice.then():
                choice.give(*sums)
            with choice.otherwise():
                choice.give(*self._with_earlier(tensor, sums))
        totals = choice.results
        with function.either(last) as ending:
            with ending.then():
                self.elements.push()
                self.nest.finish(self.places, totals)
                self.elements.pop()
            with ending.otherwise():
                self.nest.store_all(tensor, self.places, totals)

    def _with_earlier(self, tensor: Definition, sums: Sequence[Value]) -> list[Value]:
        combine = COMBINE[self.monoid]
        earlier = [self.nest.stored_at(tensor, place) for place in self.places]
        return [combine(self.lanes, before, now) for before, now in zip(earlier, sums, strict=True)]

    # ------------------------------------------------------------------------------------------ loops

    def _over(self, indices: tuple[Node, ...], places: Sequence[Place], sums: list[Value]) -> list[Value]:
        """The loops over some reduced indices; returns the accumulators."""
        if not indices:
            return [self._accumulated(place, total) for place, total in zip(places, sums, strict=True)]
        index, rest = indices[0], indices[1:]
        if index is self.nest.loops.vector:
            return self._over_lanes(places, sums)
        start, stop = self.bounds.exactly(self.elements, index, *range_of(self.nest, index, self.block))
        if isinstance(start, int) and isinstance(stop, int) and self._is_short(indices, stop - start):
            return self._straight(index, start, stop, rest, places, sums)
        if not self.bounds.reaching.get(index):
            return self._turns_of(index, start, stop, rest, places, sums)
        start, stop = self.bounds.somewhere(self.elements, index, places, start, stop)
        if rest:
            return self._turns_of(index, start, stop, rest, places, sums)
        return self._in_parts(index, start, stop, places, sums)

    def _in_parts(
        self, index: Node, start: Integer, stop: Integer, places: Sequence[Place], sums: list[Value]
    ) -> list[Value]:
        """An innermost loop: between the turns in which a guard differs within the tile it holds for all of it."""
        inside = replace(self, body=self.bounds.without(self.body, index))
        first, last = self.bounds.everywhere(self.elements, index, places, start, stop)
        if first is not start:
            sums = self._loop(index, start, first, 1, (), places, sums)
        sums = inside._turns_of(index, first, last, (), places, sums)
        return sums if last is stop else self._loop(index, last, stop, 1, (), places, sums)

    def _turns_of(
        self,
        index: Node,
        start: Integer,
        stop: Integer,
        rest: tuple[Node, ...],
        places: Sequence[Place],
        sums: list[Value],
    ) -> list[Value]:
        """A loop, some turns of an innermost one written together."""
        turns = self._turns(rest)
        function = self.elements.frame.function
        whole = function.sub(stop, function.rem(function.sub(stop, start), turns))
        sums = self._loop(index, start, whole, turns, rest, places, sums)
        if turns == 1:
            return sums
        if isinstance(start, int) and isinstance(whole, int) and isinstance(stop, int):
            return self._straight(index, whole, stop, rest, places, sums)
        return self._loop(index, whole, stop, 1, rest, places, sums)

    def _is_short(self, indices: Sequence[Node], turns: int) -> bool:
        """Whether the loops over some indices, the first with so many turns, are written out."""
        steps = turns * len(self.places)
        for index in indices[1:]:
            length = self.nest.length(index)
            if index is self.nest.loops.vector or not isinstance(length, int) or self.bounds.exact.get(index):
                return False
            steps *= length
        return steps <= (RARE if self._is_rest() else UNROLLED)

    def _is_rest(self) -> bool:
        """Whether the tile is for what is left of the rows, which is rare."""
        return self.places[-1].row + 1 < self.nest.loops.rows

    def _turns(self, rest: Sequence[Node]) -> int:
        if rest or self._is_rest():
            return 1
        return next((turns for most, turns in UNROLLING if len(self.places) <= most), 1)

    def _loop(
        self,
        index: Node,
        start: Integer,
        stop: Integer,
        turns: int,
        rest: tuple[Node, ...],
        places: Sequence[Place],
        sums: list[Value],
    ) -> list[Value]:
        function = self.elements.frame.function
        with function.loop(start, stop, turns, sums) as loop:
            totals = loop.carried
            for turn in range(turns):
                with self.nest.bind(index, function.add(loop.index, turn)):
                    totals = self._over(rest, places, totals)
            loop.next = totals
        return loop.results

    def _straight(
        self, index: Node, start: int, stop: int, rest: tuple[Node, ...], places: Sequence[Place], sums: list[Value]
    ) -> list[Value]:
        for position in range(start, stop):
            with self.nest.bind(index, position):
                sums = self._over(rest, places, sums)
        return sums

    def _over_lanes(self, places: Sequence[Place], sums: list[Value]) -> list[Value]:
        """The reduced vector index: whole vectors, then one masked end."""
        function, vector, lanes = self.elements.frame.function, self.nest.loops.vector, self.lanes
        assert vector is not None
        run = self.nest.run(vector)
        if self.bounds.holding(vector):
            return self._over_some_lanes(vector, run, places, sums)
        whole = run.whole(function, lanes.lanes)
        if whole != run.first:
            sums = self._whole_vectors(vector, run.first, whole, places, sums)
        if isinstance(run.last, int) and isinstance(whole, int):
            return sums if run.last == whole else self._end(vector, whole, run.last - whole, places, sums)
        return self._last_vector(vector, whole, run.last, places, sums)

    def _over_some_lanes(self, vector: Node, run: Run, places: Sequence[Place], sums: list[Value]) -> list[Value]:
        """The same where guards say from where to where: the first vector begins where they do."""
        function = self.elements.frame.function
        start, stop = self.bounds.exactly(self.elements, vector, run.first, run.last)
        start, stop = self.bounds.somewhere(self.elements, vector, places, start, stop)
        whole = function.sub(stop, function.rem(function.sub(stop, start), self.lanes.lanes))
        sums = self._whole_vectors(vector, start, whole, places, sums)
        return self._last_vector(vector, whole, stop, places, sums)

    def _whole_vectors(
        self, vector: Node, start: Integer, stop: Integer, places: Sequence[Place], sums: list[Value]
    ) -> list[Value]:
        loops = self.elements.frame.function.loop(start, stop, self.lanes.lanes, sums)
        with loops as loop, self.nest.bind(vector, loop.index, hoist=False):
            loop.next = self._over((), places, loop.carried)
        return loop.results

    def _last_vector(
        self, vector: Node, start: Integer, stop: Integer, places: Sequence[Place], sums: list[Value]
    ) -> list[Value]:
        """What is left behind the whole vectors, if anything is."""
        function = self.elements.frame.function
        with function.loop(start, stop, self.lanes.lanes, sums) as loop:
            left = function.sub(stop, loop.index)
            loop.next = self._end(vector, loop.index, left, places, loop.carried)
        return loop.results

    def _end(
        self, vector: Node, start: Integer, left: Integer, places: Sequence[Place], sums: list[Value]
    ) -> list[Value]:
        with self.nest.bind(vector, start, hoist=False):
            if self.lanes.lanes == 1:
                return self._over((), places, sums)
            self.elements.mask = self.lanes.first(left)
            masked = [Place(p.row, p.vector, True, p.second) for p in places]
            result = self._over((), masked, sums)
            self.elements.mask = None
        return result

    def _accumulated(self, place: Place, total: Value) -> Value:
        nest = self.nest
        beyond = self.elements.mask if place.masked and nest.loops.vector_is_reduced else None
        return accumulated(self.elements, nest.first, self.body, place, total, self.lanes, beyond)
