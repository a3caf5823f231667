"""From where to where a loop over a reduced index goes by the guards of its body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympile.compiler.code.value import Integer
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.integers import floor_of, place_of
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.records import dataclass

Conditions = Mapping[Node, tuple[Node, ...]]  # of reduced indices


@dataclass(frozen=True, slots=True)
class Bounds:
    """Conditions that bound loops: those that are not in the body any more, and those that differ within a tile."""

    exact: Conditions
    reaching: Conditions

    def holding(self, index: Node) -> bool:
        """Whether a loop is bounded at all."""
        return bool(self.exact.get(index) or self.reaching.get(index))

    def without(self, body: Node, index: Node) -> Node:
        """The body where all conditions on an index hold in the whole tile."""
        dropped = self.reaching[index]
        return when(unguarded(body), *[c for c in conditions_of(body) if c not in dropped])

    def exactly(self, elements: Elements, index: Node, start: Integer, stop: Integer) -> tuple[Integer, Integer]:
        """The part of a range in which what is the same for the whole tile holds."""
        return _cut(elements, index, self.exact.get(index, ()), {}, start, stop)

    def somewhere(
        self, elements: Elements, index: Node, places: Sequence[Place], start: Integer, stop: Integer
    ) -> tuple[Integer, Integer]:
        """The part of a range in which each of the other conditions holds for some of the tile; it may be empty."""
        conditions = self.reaching.get(index, ())
        first, last = _cut(elements, index, conditions, _ahead(elements, places), start, stop)
        return first, last if last is stop and first is start else elements.frame.function.max(first, last)

    def everywhere(
        self, elements: Elements, index: Node, places: Sequence[Place], start: Integer, stop: Integer
    ) -> tuple[Integer, Integer]:
        """The part of a range in which they hold for the whole tile."""
        function = elements.frame.function
        first, last = _cut(elements, index, self.reaching[index], _ahead(elements, places), start, stop, worst=True)
        first = first if first is start else function.min(first, stop)
        return first, last if last is stop else function.max(first, last)


def _ahead(elements: Elements, places: Sequence[Place]) -> dict[Node, int]:
    """How far the last of a tile is ahead of its first one, along each of its indices."""
    last = places[-1]
    steps = {
        elements.row: last.row,
        elements.second: last.second,
        elements.vector: (last.vector + 1) * elements.wide.lanes - 1,
    }
    return {index: step for index, step in steps.items() if index is not None}


def _cut(
    elements: Elements,
    index: Node,
    conditions: Sequence[Node],
    ahead: Mapping[Node, int],
    start: Integer,
    stop: Integer,
    worst: bool = False,
) -> tuple[Integer, Integer]:
    """A range cut by conditions own * index + others >= 0, the others at their most in the tile, or their least."""
    function = elements.frame.function
    for condition in conditions:
        form = affine(condition.args[0])
        assert form is not None
        own = 0
        others: Integer = int(form.constant)
        for leaf, coefficient in form.terms:
            if leaf is index:
                own = int(coefficient)
                continue
            step = ahead.get(leaf, 0) if (coefficient > 0) != worst else 0
            place = function.add(place_of(elements, leaf), step)
            others = function.add(others, function.mul(place, int(coefficient)))
        last = floor_of(function, others, abs(own))
        if own > 0:
            start = function.max(start, function.mul(last, -1))
        else:
            stop = function.min(stop, function.add(last, 1))
    return start, stop
