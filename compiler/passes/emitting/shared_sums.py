"""One loop over one index for many scalars: sums, maxima and elementwise work that share what they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING

from sympile.compiler.code.halving import packed
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import shares
from sympile.compiler.code.value import Value
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import postorder
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.emitting.reduction import ACROSS, COMBINE, IDENTITY, accumulated
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest

REGISTER_SUMS = 24  # more accumulators than this live in memory
ENOUGH = 8  # accumulators that need not wait for each other: more only take registers

WRITTEN_TWICE = 600  # operations; longer bodies have one loop, masked throughout


@dataclass(frozen=True, slots=True)
class SharedSums:
    """Writes the loop of a nest whose members run over one index."""

    nest: Nest

    def write(self) -> None:
        function, lanes, vector = self.nest.elements.frame.function, self.nest.elements.wide, self.nest.loops.vector
        assert vector is not None
        sums = [t for t in self.nest.group.members if t.reduced]
        others = [t for t in self.nest.group.members if not t.reduced]
        copies = max(1, min(self.nest.loops.vectors, ENOUGH // max(1, len(sums))))
        start = [lanes.constant(IDENTITY[str(t.monoid)]) for t in sums for _ in range(copies)]
        memory = len(start) > REGISTER_SUMS
        slots = [function.alloca(lanes.real) for _ in start] if memory else []
        for slot, value in zip(slots, start, strict=False):
            lanes.store(value, slot)
        run, step = self.nest.run(vector), lanes.lanes * copies
        whole = run.whole(function, step) if self._is_small() else run.first
        carried = [] if memory else start
        if whole != run.first:
            loops = function.loop(run.first, whole, step, carried)
            with loops as loop, self.nest.bind(vector, loop.index, hoist=False):
                loop.next = self._sums_turn(sums, others, copies, loop.carried, slots, masked=False)
            carried = list(loop.results)
        with self.nest.single_registers():
            carried = self._narrowed(lanes, sums, copies, carried, slots)
            lanes = self.nest.elements.wide
            masked = lanes.lanes > 1
            stride = copies if memory else 1
            with (
                function.loop(whole, run.last, lanes.lanes, carried[::copies]) as rest,  # the first copies grow
                self.nest.bind(vector, rest.index, hoist=False),
            ):
                self.nest.elements.mask = lanes.first(function.sub(run.last, rest.index)) if masked else None
                rest.next = self._sums_turn(sums, others, 1, rest.carried, slots, masked, stride)
                self.nest.elements.mask = None
            carried[::copies] = rest.results
            self._sums_end(sums, copies, carried, slots)

    def _narrowed(
        self, before: Lanes, sums: Sequence[Definition], copies: int, carried: Sequence[Value], slots: Sequence[Value]
    ) -> list[Value]:
        """Accumulators of several registers as such of one."""
        lanes = self.nest.elements.wide
        if lanes.lanes == before.lanes:
            return list(carried)
        combines = [partial(COMBINE[str(tensor.monoid)], lanes) for tensor in sums for _ in range(copies)]
        values = [before.load(slot) for slot in slots] if slots else carried
        parts = [shares(before, value, lanes.lanes) for value in values]
        after = [reduce(combine, own) for combine, own in zip(combines, parts, strict=True)]
        for slot, value in zip(slots, after, strict=False):
            lanes.store(value, slot)
        return [] if slots else after

    def _is_small(self) -> bool:
        """Whether the body is short enough to be written twice: for whole vectors, and for the masked end."""
        return sum(1 for _ in postorder(self.nest.bodies())) <= WRITTEN_TWICE

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
        lanes = self.nest.elements.wide
        stride = stride or copies
        result = list(carried)
        for copy in range(copies):
            place = Place(0, copy, masked)
            self.nest.write_members(others, place)
            for k, tensor in enumerate(sums):
                at = k * stride + copy
                if slots:
                    lanes.store(self._after(place, lanes.load(slots[at]), tensor), slots[at])
                else:
                    result[at] = self._after(place, result[at], tensor)
        return result

    def _sums_end(
        self, sums: Sequence[Definition], copies: int, results: Sequence[Value], slots: Sequence[Value]
    ) -> None:
        """Adds accumulators and their lanes up: of several sums at once, unless the next step waits for each."""
        lanes = self.nest.elements.wide
        by_monoid: dict[str, list[tuple[Definition, Value]]] = {}
        wholes: dict[Definition, Value] = {}
        for k, tensor in enumerate(sums):
            parts = [lanes.load(slots[at]) if slots else results[at] for at in range(k * copies, (k + 1) * copies)]
            while len(parts) > 1:
                parts = [
                    COMBINE[str(tensor.monoid)](lanes, *parts[i : i + 2]) if i + 1 < len(parts) else parts[i]
                    for i in range(0, len(parts), 2)
                ]
            wholes[tensor] = parts[0]
        joined = self._joined(wholes)
        for tensor, whole in wholes.items():
            if tensor in joined:
                continue
            by_monoid.setdefault(str(tensor.monoid), []).append((tensor, whole))
        frame = self.nest.elements.frame
        many = lanes.lanes if lanes.lanes > 1 and (slots or not frame.waits) else 1
        for monoid, several in by_monoid.items():
            for start in range(0, len(several), many):
                self._several(monoid, several[start : start + many])

    def _joined(self, wholes: Mapping[Definition, Value]) -> set[Definition]:
        """Sums that are wanted side by side: the same bits as one after the other. Returns which they were."""
        frame, lanes = self.nest.elements.frame, self.nest.elements.wide
        wanted = frame.joint
        if not wanted or lanes.lanes < len(wanted) or not set(filter(None, wanted)) <= set(wholes):
            return set()
        nothing = lanes.constant(0.0)
        frame.joined = packed(lanes, [nothing if t is None else wholes[t] for t in wanted], COMBINE["sum"])
        for lane, tensor in enumerate(wanted):
            if tensor is not None:
                self.nest.store(tensor, lanes.narrowed(len(wanted)).extract(frame.joined, lane), Place())
        return set(filter(None, wanted))

    def _several(self, monoid: str, wholes: Sequence[tuple[Definition, Value]]) -> None:
        """The lanes of up to as many sums as there are lanes: the same bits as one after the other."""
        lanes, vectors = self.nest.elements.wide, [vector for _, vector in wholes]
        if len(vectors) == 1:
            self.nest.store(wholes[0][0], ACROSS[monoid](lanes, vectors[0]), Place())
            return
        count = 1 << (len(vectors) - 1).bit_length()
        together = packed(lanes, vectors + vectors[-1:] * (count - len(vectors)), COMBINE[monoid])
        for lane, (tensor, _) in enumerate(wholes):
            self.nest.store(tensor, lanes.narrowed(count).extract(together, lane), Place())

    def _after(self, place: Place, total: Value, tensor: Definition) -> Value:
        elements = self.nest.elements
        beyond = elements.mask if place.masked else None
        return accumulated(elements, tensor, self.nest.group.body(tensor), place, total, elements.wide, beyond)
