"""How the numbers of a small step stay in registers from step to step: each in one of its own, or all side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Value
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ONE, ZERO, number, target
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.places import FIRST, Place
from sympile.compiler.passes.training.joint import After, Joint, body_of
from sympile.compiler.passes.training.resident import Resident
from sympile.compiler.passes.training.update import PARAMETER
from sympile.compiler.records import dataclass


class Keeping(ABC):
    """Who knows in which registers the parameters and the optimizer's state are."""

    @abstractmethod
    def start(self) -> list[Value]:
        """The registers before the first step; the numbers have been read from memory."""

    @abstractmethod
    def enter(self, registers: Sequence[Value]) -> None:
        """Lets the formulas of a step read them."""

    @abstractmethod
    def slopes(self, loss: Value) -> Value:
        """Notes the gradient, once the formulas are written; whether that or the loss is not finite."""

    @abstractmethod
    def after(self) -> list[Value]:
        """The registers after the step."""

    @abstractmethod
    def singly(self, registers: Sequence[Value]) -> list[Value]:
        """The numbers one by one, in the order of `Resident.carried`."""

    @abstractmethod
    def finish(self) -> None:
        """After the last step: what has been noted is written to memory."""


@dataclass(slots=True)
class Singly(Keeping):
    """Every number has a register.

    Attributes:
        outputs: where the value of each output is found.
        places: where each entry of the gradient is written to, by its label.
    """

    frame: Frame
    made: Resident
    outputs: Mapping[Definition, Definition]
    places: Mapping[str, Value]
    scalar: Lanes

    def start(self) -> list[Value]:
        return [self.frame.scalars[tensor] for tensor in self.made.carried]

    def enter(self, registers: Sequence[Value]) -> None:
        self.frame.scalars.update(zip(self.made.carried, registers, strict=True))

    def slopes(self, loss: Value) -> Value:
        found = {f"{entry}": self._found(tensor) for entry, tensor in self.made.gradient.items()}
        for label, value in found.items():
            self.scalar.store(value, self.places[label])
        return _not_finite(self.scalar, [loss, *found.values()])

    def after(self) -> list[Value]:
        return [self._found(tensor) for tensor in self.made.carried.values()]

    def singly(self, registers: Sequence[Value]) -> list[Value]:
        return list(registers)

    def finish(self) -> None:
        """Every step has written it."""

    def _found(self, tensor: Definition) -> Value:
        return self.frame.scalars[self.outputs[tensor]]


@dataclass(slots=True)
class SideBySide(Keeping):
    """The parameters have one register, and so has each state: an entry in each lane.

    Attributes: as above, and
        side: the formulas over the lanes.
        spread: vectors of as many lanes as the formulas of the examples use.
        wanted: in which order formulas read the parameters.
    """

    frame: Frame
    made: Resident
    outputs: Mapping[Definition, Definition]
    places: Mapping[str, Value]
    scalar: Lanes
    side: Joint
    spread: Lanes
    wanted: Mapping[Definition, int]
    slot: Value = field(init=False)  # in memory: the gradient of the last step
    fixed: dict[tuple[Definition, ...], Value] = field(default_factory=dict)  # scales and shifts, as far as known
    registers: dict[Definition, Value] = field(default_factory=dict)
    sums: Value = field(init=False)  # of this step, and what makes the gradient of them
    scale: Value = field(init=False)
    shift: Value | None = None

    @property
    def wide(self) -> Lanes:
        return self.scalar.narrowed(self.side.lanes)

    def start(self) -> list[Value]:
        self.slot = self.frame.function.alloca(self.wide.real)
        self.wide.store(self._joined([self.scalar.load(self.places[label]) for label in self._labels]), self.slot)
        for numbers in (self.side.scales, self.side.shifts, self.side.opened):
            self.fixed[numbers] = self._joined([self._known(tensor) for tensor in numbers])
        return [self._joined([self.frame.scalars[t] for t in self._entries(kind)]) for kind in self.side.registers]

    def enter(self, registers: Sequence[Value]) -> None:
        self.registers = dict(zip(self.side.registers.values(), registers, strict=True))
        parameters = self.registers[self.side.registers[PARAMETER]]
        entries = {tensor: lane for lane, tensor in enumerate(self._entries(PARAMETER))}
        for tensor in sorted(entries, key=lambda tensor: self.wanted.get(tensor, 0)):
            lane = entries[tensor]
            everywhere = self.spread.spread(parameters, lane)
            self.frame.scalars[tensor] = self.spread.extract(everywhere, 0)
            self.frame.function.spread[self.frame.scalars[tensor].text] = everywhere

    def slopes(self, loss: Value) -> Value:
        wide, slope = self.wide, self.frame.joined
        assert slope is not None
        if any(body_of(tensor) is not ONE for tensor in self.side.opened):
            slope = wide.select(wide.compare("une", self._complete(self.side.opened), 0.0), slope, 0.0)
        self.scale, self.shift = self._complete(self.side.scales), None
        self.sums = slope
        if any(body_of(tensor) is not ZERO for tensor in self.side.shifts):
            self.shift = self._complete(self.side.shifts)
        slope = wide.mul(self.scale, slope) if self.shift is None else wide.fma(self.scale, slope, self.shift)
        wide.store(slope, self.slot)
        self.registers[self.side.slope] = slope
        bad = wide.somewhere(wide.compare("une", wide.mul(slope, 0.0), 0.0))
        return self.frame.function.any(bad, _not_finite(self.scalar, [loss]))

    def after(self) -> list[Value]:
        elements = Elements(self.frame, self.scalar, self.wide, self.side.axis)
        elements.forwarded |= {tensor: partial(_held, value) for tensor, value in self.registers.items()}
        if self.side.squares is not None:
            slope = self.registers[self.side.slope]
            self.frame.scalars[self.side.squares] = self.wide.reduce_add(self.wide.mul(slope, slope))
        return [self._new(elements, after) for after in self.side.after.values()]

    def singly(self, registers: Sequence[Value]) -> list[Value]:
        found = {
            tensor: self.wide.extract(register, lane)
            for kind, register in zip(self.side.registers, registers, strict=True)
            for lane, tensor in enumerate(self._entries(kind))
        }
        return [found[tensor] for tensor in self.made.carried]

    def finish(self) -> None:
        slope = self.wide.load(self.slot)
        for lane, label in enumerate(self._labels):
            self.scalar.store(self.wide.extract(slope, lane), self.places[label])

    # ------------------------------------------------------------------------------------------ parts

    @property
    def _labels(self) -> list[str]:
        return [f"{entry}" for entry in self.made.gradient]

    def _entries(self, kind: str) -> list[Definition]:
        """The numbers of a kind, by lane."""
        places = {(e.parameter, e.position): t for t, e in self.made.entries.items() if e.kind == kind}
        return [places[entry.parameter, entry.position] for entry in self.made.gradient]

    def _new(self, elements: Elements, after: After) -> Value:
        """A new value of all entries; of a multiple of the gradient all but the sums is put together first."""
        rest = elements.wide_value(body_of(after.rest), FIRST)
        if after.scale is None:
            return rest
        scale = elements.wide_value(body_of(after.scale), FIRST)
        if self.shift is not None:
            rest = self.wide.fma(scale, self.shift, rest)
        return self.wide.fma(self.wide.mul(scale, self.scale), self.sums, rest)

    def _joined(self, numbers: Sequence[Value | None]) -> Value:
        """Numbers as lanes; 0 where there is none."""
        whole = self.wide.constant(0.0)
        for lane, value in enumerate(numbers):
            whole = whole if value is None else self.wide.insert(whole, value, lane)
        return whole

    def _known(self, tensor: Definition) -> Value | None:
        """A scale or shift that no step changes."""
        body = body_of(tensor)
        if body.op == "const":
            return self.scalar.constant(float(number(body)))
        return self.frame.scalars[target(body)] if is_known(self.made, tensor) else None

    def _complete(self, numbers: tuple[Definition, ...]) -> Value:
        """Scales or shifts, those that this step has computed included."""
        whole = self.fixed[numbers]
        for lane, tensor in enumerate(numbers):
            if not is_known(self.made, tensor):
                whole = self.wide.insert(whole, self.frame.scalars[self.outputs[tensor]], lane)
        return whole


def is_known(made: Resident, tensor: Definition) -> bool:
    """Whether a number is known before the first step."""
    body = body_of(tensor)
    return body.op == "const" or (body.op == "read" and target(body) in made.once)


def _held(value: Value, place: Place) -> Value:
    """A value that is in a register already."""
    return value


def _not_finite(scalar: Lanes, values: Sequence[Value]) -> Value:
    """Whether one of the numbers is nan or infinite: 0 * x is 0 or nan."""
    total = scalar.mul(values[0], 0.0)
    for value in values[1:]:
        total = scalar.fma(value, 0.0, total)
    return scalar.compare("une", total, 0.0)
