"""Running reductions: from place to place along an axis, with what has been carried in registers.

Where the axis itself lies across the lanes, the lanes of a register are reduced by doubling steps (Hillis and Steele
1986): after the step of width w, each lane holds what comes from the 2w lanes up to its own. What earlier registers
have left joins them last, so that registers need not wait for each other longer than for one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, typed
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ONE, Node
from sympile.compiler.graph.running import BEFORE, LEAVING, UP, Running, running_of
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.reduction import COMBINE, IDENTITY
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


def _held(value: Value, place: Place) -> Value:
    """A value that is in a register already."""
    return value


def _width(run: Running) -> int:
    """How many numbers are carried: a ratio for what leaves a place is the second one."""
    return 2 if run.when & LEAVING else 1


@dataclass(frozen=True, slots=True)
class RunningNest:
    """Writes a nest with members that run along an axis, and elementwise ones that read them at the same place."""

    nest: Nest
    axis: Node
    direction: int
    _known: dict[object, tuple[Value, list[Value]]] = field(default_factory=dict)  # reduced in this turn

    def write(self) -> None:
        loops = self.nest.loops
        along = loops.vector is self.axis
        self.nest.outer(list(loops.outer), self._along if along else partial(self.nest.columns, self._beside))

    @property
    def _runs(self) -> list[Running]:
        return [run for tensor in self.nest.group.members if (run := running_of(self.nest.group.body(tensor)))]

    def _parts(self) -> list[Node]:
        """What is computed at a place beside what is carried to it."""
        carried = [part for run in self._runs for part in (run.x, run.ratio)]
        return carried + [body for body in self.nest.bodies() if running_of(body) is None]

    def _nothing(self, lanes: Lanes) -> list[Value]:
        """What is carried to the first place."""
        return [lanes.constant(number) for run in self._runs for number in (IDENTITY[run.monoid], 0.0)[: _width(run)]]

    # ------------------------------------------------------------------------------- another axis in the lanes

    def _beside(self, vectors: int, masked: bool) -> None:
        """Place by place, the lanes apart from each other."""
        nest, function = self.nest, self.nest.elements.frame.function
        lanes, places = nest.elements.wide, nest.places(1, vectors, masked)
        start = [value for _ in places for value in self._nothing(lanes)]
        last = function.sub(nest.length(self.axis), 1)
        with function.loop(0, nest.length(self.axis), 1, start) as loop:
            position = loop.index if self.direction == UP else function.sub(last, loop.index)
            with nest.bind(self.axis, position, hoist=False):
                nest.elements.hoist(self._parts(), nest.bound() - {nest.loops.vector})
                carried, each = list(loop.carried), len(start) // len(places)
                for number, place in enumerate(places):
                    own = slice(number * each, (number + 1) * each)
                    carried[own] = self._written(place, carried[own], partial(self._step, lanes))
                loop.next = carried

    def _step(self, lanes: Lanes, run: Running, carried: Sequence[Value], place: Place) -> tuple[Value, list[Value]]:
        x, ratio = self._x_and_ratio(run, place)
        leaving = [ratio] if run.when & LEAVING and ratio is not None else []
        after = self._joined(lanes, run, carried[0], x, carried[1] if leaving else ratio)
        return carried[0] if run.when & BEFORE else after, [after, *leaving]

    # ------------------------------------------------------------------------------- the axis in the lanes

    def _along(self) -> None:
        """A register of places at a time; what is left of a register comes last, or first where it runs down."""
        nest, function = self.nest, self.nest.elements.frame.function
        lanes, scalar = nest.elements.wide, nest.elements.scalar
        length = nest.length(self.axis)
        whole = function.sub(length, function.rem(length, lanes.lanes))
        carried = self._nothing(scalar)
        for part in (self._whole, self._rest) if self.direction == UP else (self._rest, self._whole):
            carried = part(whole, length, carried)

    def _whole(self, whole: Integer, length: Integer, carried: list[Value]) -> list[Value]:
        function, width = self.nest.elements.frame.function, self.nest.elements.wide.lanes
        if whole == 0:
            return carried
        with function.loop(0, whole, width, carried) as loop:
            begin = function.sub(whole, width)
            position = loop.index if self.direction == UP else function.sub(begin, loop.index)
            with self.nest.bind(self.axis, position, hoist=False):
                loop.next = self._written(Place(), loop.carried, self._block)
        return loop.results

    def _rest(self, whole: Integer, length: Integer, carried: list[Value]) -> list[Value]:
        """At most one register, masked."""
        elements, function = self.nest.elements, self.nest.elements.frame.function
        if whole == length:
            return carried
        rest = function.loop(whole, length, elements.wide.lanes, carried)
        with rest as loop, self.nest.bind(self.axis, loop.index, hoist=False):
            elements.mask = elements.wide.first(function.sub(length, loop.index))
            loop.next = self._written(Place(masked=True), loop.carried, self._block)
            elements.mask = None
        return loop.results

    def _block(self, run: Running, carried: Sequence[Value], place: Place) -> tuple[Value, list[Value]]:
        """(the results in the lanes, what is carried on); without x itself the results are those of one lane before."""
        key = run.x, run.ratio, run.monoid, run.when & LEAVING
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._reduced(run, carried, place)
        result, on = known
        if run.when & BEFORE:
            result = self._shifted(result, self.nest.elements.wide.splat(carried[0]), 1)
        return result, on

    def _reduced(self, run: Running, carried: Sequence[Value], place: Place) -> tuple[Value, list[Value]]:
        lanes, scalar = self.nest.elements.wide, self.nest.elements.scalar
        x, ratio = self._x_and_ratio(run, place)
        neutral, one = lanes.constant(IDENTITY[run.monoid]), lanes.constant(1.0)
        mask = self.nest.elements.mask
        if mask is not None:
            x = lanes.select(mask, x, neutral)
            ratio = None if ratio is None else lanes.select(mask, ratio, one)
        end = lanes.lanes - 1 if self.direction == UP else 0
        leaving = []
        if run.when & LEAVING and ratio is not None:
            leaving = [lanes.extract(ratio, end)]
            ratio = self._shifted(ratio, lanes.splat(carried[1]), 1)
        width = 1
        while width < lanes.lanes:
            x = self._joined(lanes, run, self._shifted(x, neutral, width), x, ratio)
            ratio = None if ratio is None else lanes.mul(self._shifted(ratio, one, width), ratio)
            width *= 2
        last = None if ratio is None else lanes.extract(ratio, end)
        after = self._joined(scalar, run, carried[0], lanes.extract(x, end), last)
        return self._joined(lanes, run, lanes.splat(carried[0]), x, ratio), [after, *leaving]

    def _shifted(self, value: Value, fill: Value, width: int) -> Value:
        """The lanes before, those of the fill where there are none."""
        count = self.nest.elements.wide.lanes
        step = -width if self.direction == UP else width
        places = [lane + step if 0 <= lane + step < count else count for lane in range(count)]
        words = ", ".join(f"i32 {at}" for at in places)
        text = f"shufflevector {typed(value)}, {typed(fill)}, <{count} x i32> <{words}>"
        return self.nest.elements.frame.function.emit(text, value.type)

    # ------------------------------------------------------------------------------- one place

    def _x_and_ratio(self, run: Running, place: Place) -> tuple[Value, Value | None]:
        elements = self.nest.elements
        ratio = None if run.ratio is ONE else elements.wide_value(run.ratio, place)
        return elements.wide_value(run.x, place), ratio

    def _joined(self, lanes: Lanes, run: Running, before: Value, x: Value, ratio: Value | None) -> Value:
        """What came before, and x."""
        if ratio is None:
            return COMBINE[run.monoid](lanes, before, x)
        if self.nest.elements.frame.fuses:
            return lanes.fma(before, ratio, x)
        return lanes.add(lanes.mul(before, ratio), x)

    def _written(
        self,
        place: Place,
        carried: Sequence[Value],
        step: Callable[[Running, Sequence[Value], Place], tuple[Value, list[Value]]],
    ) -> list[Value]:
        """All members at a place: values first, then stores; what is carried on."""
        elements = self.nest.elements
        elements.push()
        self._known.clear()
        values: dict[Definition, Value] = {}
        left, after = list(carried), list[Value]()
        for tensor in self.nest.group.members:
            run = running_of(self.nest.group.body(tensor))
            if run is None:
                values[tensor] = self.nest.element(tensor, place)
            else:
                own, left = left[: _width(run)], left[_width(run) :]
                values[tensor], on = step(run, own, place)
                after += on
            elements.forwarded[tensor] = partial(_held, values[tensor])
        for tensor, value in values.items():
            self.nest.store(tensor, value, place)
            del elements.forwarded[tensor]
        elements.pop()
        return after
