"""A group split into chunks: a function for one chunk, and a function that hands the chunks to the pool of threads.

A chunk is a range of one index. It writes elements that no other chunk writes, or partial sums of its own, which are
added up in the order of the chunks: the bits depend on the shape, not on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.code.writer import Function
from sympile.compiler.graph.definition import EXAMPLE, Definition, extent_value
from sympile.compiler.graph.node import Node, extent
from sympile.compiler.passes.emitting.extents import Run
from sympile.compiler.passes.emitting.hand_out import handed_out
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.reduction import COMBINE
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.passes.scheduling.abreast import ROWS, Abreast, words_of_row
from sympile.compiler.passes.scheduling.regions import Split, sums_over, words_of
from sympile.compiler.records import dataclass

PART_PARAMETERS = [("ptr noalias", "table"), ("ptr", "partials"), ("i64", "first"), ("i64", "last"), ("i64", "number")]
LINE = 8  # words of 8 bytes in a cache line


@dataclass(frozen=True, slots=True)
class Partial:
    """Where the sums of one monoid lie in a chunk's partial results."""

    monoid: str
    start: int
    words: int


def width_of(group: Group, split: Split) -> int:
    """Numbers from one chunk's partial results to the next one's, which begin another cache line."""
    words = words_of(group, split.index)
    assert words is not None
    return -(-words // (2 * LINE)) * 2 * LINE


def partials_of(group: Group, split: Split) -> Iterator[Partial]:
    """Neighbours of one monoid together."""
    start = 0
    for monoid, tensors in groupby(sums_over(group, split.index), key=lambda t: str(t.monoid)):
        words = sum(map(_words, tensors))
        yield Partial(monoid, start, words)
        start += words


def finish_of(group: Group, tensor: Definition) -> Definition | None:
    """What is made of a sum before it is stored."""
    if group.rows is not None:
        return group.rows.finishes.get(tensor)
    return group.finish


def unfinished(group: Group) -> Group:
    """The group with its sums as they are."""
    return replace(group, finish=None, rows=None if group.rows is None else replace(group.rows, finishes={}))


def _words(tensor: Definition) -> int:
    words = 1
    for length in tensor.shape:
        words *= extent_value(length)
    return words


def places(group: Group, split: Split) -> dict[Definition, int]:
    """Where each sum starts in a chunk's partial results."""
    found, start = dict[Definition, int](), 0
    for tensor in sums_over(group, split.index):
        found[tensor] = start
        start += _words(tensor)
    return found


@dataclass(slots=True)
class Region:
    """Writes the function of a split group: how many chunks, who runs them, and what becomes of their sums."""

    frame: Frame
    group: Group
    split: Split
    scalar: Lanes
    part: str
    beside: tuple[Split, ...] = ()  # of groups that the same chunks do, too

    @property
    def function(self) -> Function:
        return self.frame.function

    def write(self, finish: Callable[[Frame, Definition], None]) -> None:
        """All of it; `finish` writes what is made of array sums afterwards."""
        partials = self._partials()
        length = self.frame.extent(extent(self.split.index))
        count = handed_out(
            self.function, self.split, self.part, self.frame.table, partials, length, self._cost_of_step()
        )
        if self.split.summed:
            self._add_up(partials, count)
            self._deliver(partials, finish)

    def _cost_of_step(self) -> Integer:
        """Picoseconds of one step of the index."""
        total: Integer = 0
        for split in (self.split, *self.beside):
            cost: Integer = split.cost
            for index in split.others:
                cost = self.function.mul(cost, self.frame.extent(extent(index)))
            total = self.function.add(total, cost)
        return total

    # ------------------------------------------------------------------------------------------ partial sums

    def _partials(self) -> Value:
        if not self.split.summed:
            return Value("null", "ptr")
        return self.function.alloca(self.scalar.element, width_of(self.group, self.split) * self.split.most)

    def _add_up(self, partials: Value, count: Integer) -> None:
        """The sums of later chunks are added to those of the first, in order."""
        function, width = self.function, width_of(self.group, self.split)
        with function.loop(1, count) as chunk:
            row = function.gep(self.scalar.element, partials, function.mul(chunk.index, width))
            for partial in partials_of(self.group, self.split):
                with function.loop(partial.start, partial.start + partial.words) as word:
                    at = function.gep(self.scalar.element, partials, word.index)
                    more = self.scalar.load(function.gep(self.scalar.element, row, word.index))
                    self.scalar.store(COMBINE[partial.monoid](self.scalar, self.scalar.load(at), more), at)

    def _deliver(self, partials: Value, finish: Callable[[Frame, Definition], None]) -> None:
        """Sums to their places, or to what is made of them."""
        function, element = self.function, self.scalar.element
        for tensor, start in places(self.group, self.split).items():
            source = function.gep(element, partials, start)
            last = finish_of(self.group, tensor)
            if last is not None:
                self.frame.pointers[tensor] = source
                finish(self.frame, last)
                continue
            with function.loop(0, _words(tensor)) as word:
                value = self.scalar.load(function.gep(element, source, word.index))
                self.scalar.store(value, function.gep(element, self.frame.pointer(tensor), word.index))


def enter_part(frame: Frame, group: Group, split: Split, element: str) -> dict[Node, Run]:
    """Inside a chunk's function: sums go to the chunk's partial results; returns which part of the index is its own."""
    function = frame.function
    _, partials, first, last, number = function.arguments
    if split.summed:
        row = function.gep(element, partials, function.mul(number, width_of(group, split)))
        for tensor, start in places(group, split).items():
            frame.pointers[tensor] = function.gep(element, row, start)
    return {split.index: Run(first, last, frame.extent(extent(split.index)), split.grain)}


def blocks_of_turns(frame: Frame, turns: Abreast, element: str) -> Iterator[dict[Node, Run]]:
    """Inside a chunk's function, a loop: the examples of each block, of which what is near lies on the stack."""
    function = frame.function
    _, _, first, last, _ = function.arguments
    rooms = {tensor: function.alloca(element, ROWS * words_of_row(tensor)) for tensor in turns.near}
    frame.near = frozenset(rooms)
    with function.loop(first, last, ROWS) as loop:
        for tensor, room in rooms.items():
            before = function.sub(0, function.mul(loop.index, words_of_row(tensor)))
            frame.pointers[tensor] = function.gep(element, room, before, inside=False)
        stop = function.min(function.add(loop.index, ROWS), last)
        yield {EXAMPLE: Run(loop.index, stop, frame.extent(extent(EXAMPLE)), ROWS)}
