"""The loop of steps of a small model: its numbers stay in registers from step to step.

What passes/training/loop.py does for every model, for one, over all examples, batches or one by one: no batch is
collected, nothing is called, parameters and the optimizer's state are read from memory before the first step of a
slice and written after the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import Target
from sympile.compiler.code.underflow import entered_with
from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import postorder, reads, target
from sympile.compiler.passes.assemble import as_array, as_room, demands_of
from sympile.compiler.passes.built import Stages
from sympile.compiler.passes.emit import ELEMENT, size_names, sizes_of, write_group
from sympile.compiler.passes.emitting.chosen import chosen_rows
from sympile.compiler.passes.emitting.layout import Frame, Layout
from sympile.compiler.passes.emitting.routines import FEW_ROUTINES, routines
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.divisors import shared_divisors
from sympile.compiler.passes.fusing.group import Fused
from sympile.compiler.passes.reading.scope import Constraint
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.compiler.passes.scheduling.lifetimes import stays
from sympile.compiler.passes.training.joint import Joint, body_of
from sympile.compiler.passes.training.keeping import Keeping, SideBySide, Singly, is_known
from sympile.compiler.passes.training.loop import shuffle
from sympile.compiler.passes.training.order import orders, with_last
from sympile.compiler.passes.training.powers import EVERY
from sympile.compiler.passes.training.resident import Resident
from sympile.compiler.passes.training.turns import AllExamples, InBatches, OneByOne, Turns
from sympile.compiler.passes.training.update import EPOCH, PARAMETER, STEP
from sympile.compiler.program import JOB, NOT_FINITE, STOPPED, Code, Program
from sympile.compiler.records import dataclass
from sympile.compiler.rules.costs import OPERATIONS, operations

ENTRY = "sympile_steps"
LOOP = "steps"
OBJECTIVE = "objective"
FEWEST_SUMS = 2  # in slopes, from which on their numbers are side by side
Nests = Mapping[Definition, Loops]


def steps_stages(
    made: Resident, dtype: str, target: Target, math: str, constraints: Sequence[Constraint]
) -> Stages:
    """The loop of a step and its update."""
    fused = _joint(made, math, target.lanes(ELEMENT[dtype]))
    side = made.joint if fused is not None else None
    fused, before = fused or _fused(made.outputs, math), fuse(list(made.once.values()), math)
    powers, factors = fuse(made.values_of_powers, math), fuse([t for t in made.factors if t.kind != "input"], math)
    core = target.core(ELEMENT[dtype])
    loops = {tensor: nest for part in (fused, before, powers, factors) for tensor, nest in schedule(part, core).items()}
    program = StepsLoop(made, fused, loops, before, powers, factors, dtype, target, side).program()
    return Stages(replace(program, demands=demands_of(constraints)), fused, loops, {})


def chooses(made: Resident) -> bool:
    """Whether rows of data are read through an order."""
    return made.parts is not None and made.parts.ordered and not made.parts.single


def steps_in_batches(made: Resident, dtype: str, target: Target, math: str) -> bool:
    """Whether a step of batches has all parameters side by side, and what it reads through an order can be read so.

    Single numbers gain less than what blocks of rows (emitting/narrow_block.py) save the general loop.
    """
    fused = _joint(made, math, target.lanes(ELEMENT[dtype]))
    if fused is None or not chooses(made):
        return fused is not None
    loops = schedule(fused, target.core(ELEMENT[dtype]))
    return chosen_rows(made.rows, fused.outputs.values(), fused, loops, deep=2) == frozenset(made.rows)


def _joint(made: Resident, math: str, lanes: int) -> Fused | None:
    """The groups of a step whose entries are side by side, where that pays."""
    side = made.joint
    if side is None or side.lanes > lanes or len(set(filter(None, side.sums))) < FEWEST_SUMS:
        return None
    numbers = [tensor for tensor in side.numbers if not is_known(made, tensor)]
    fused = _fused([made.objective, *numbers], math)
    sums = {fused.outputs[total] for total in side.sums if total is not None}
    one = [group for group in fused.groups if sums & set(group.members)]
    together = len(one) == 1 and sums <= set(one[0].members) and len(one[0].domain) == 1
    return fused if together and one[0].rows is None and one[0].way is None else None


def _fused(outputs: Sequence[Definition], math: str) -> Fused:
    return _with_shared_divisors(fuse(outputs, math))


def _with_shared_divisors(fused: Fused) -> Fused:
    """In every group one division for each divisor."""
    groups = []
    for group in fused.groups:
        bodies = {tensor: group.body(tensor) for tensor in group.results}
        now = dict(zip(bodies, shared_divisors(list(bodies.values())), strict=True))
        groups.append(replace(group, bodies=now))
    return replace(fused, groups=tuple(groups))


@dataclass(slots=True)
class StepsLoop:
    """Writes the loop.

    Attributes:
        made: what is computed in a step.
        fused, loops: the same in groups.
        before: what is computed once.
        powers, factors: of what is carried by multiplications, its value in any step, and by what it grows.
        side: the formulas over entries side by side, where these are computed so.
    """

    made: Resident
    fused: Fused
    loops: Nests
    before: Fused
    powers: Fused
    factors: Fused
    dtype: str
    target: Target
    side: Joint | None = None
    layout: Layout = field(default_factory=Layout)
    frame: Frame = field(init=False)
    kept: Keeping = field(init=False)
    exits: list[tuple[str, list[Value]]] = field(default_factory=list)  # blocks that leave: steps done, status, numbers

    @property
    def function(self) -> Function:
        return self.frame.function

    @property
    def inputs(self) -> list[Definition]:
        """What lies in memory."""
        counters = (self.made.numbers[STEP], self.made.numbers[EPOCH])
        return [t for t in self.made.inputs if t not in counters]

    def program(self) -> Program:
        """The whole program."""
        self._lay_out()
        module = Module(self.target)
        function = Function(module, LOOP, [("ptr", "job")])
        table = function.load("ptr", function.gep("i64", function.arguments[0], JOB["step_table"]), 8)
        after = self.made.carried if self.side is None else {}  # or all are ready at once
        carried = {number: self.fused.outputs[tensor] for number, tensor in after.items()}
        self.frame = Frame(
            function,
            self.layout,
            table,
            unstored=self._numbers(),
            inlines=self._few_routines(),
            waits=True,
            refines=self._waits_for_divisions(),
            orders=orders(self.fused.groups, carried, several=self.made.parts is not None and self.made.parts.single),
        )
        self._write(Lanes(function, ELEMENT[self.dtype], 1, self.target))
        stored = {t for t in self.fused.stored if t.axes}
        others = {t for t in self.fused.stored if not t.axes}
        return Program(
            code=Code(module.text() + self._drawn() + entered_with(ENTRY, LOOP, JOB["underflow"], self.target), ENTRY),
            dtype=self.dtype,
            length=self.layout.length,
            inputs=tuple(as_array(t.name, self.layout.tensors[t], t) for t in self.inputs),
            outputs=tuple(as_array(label, self.layout.extra[label], t) for label, t in self._outputs().items()),
            rooms=tuple(as_room(stay, self.layout) for stay in stays(self.fused.groups, others) if stored),
            sizes=dict(self.layout.sizes),
            status=self.layout.extra["status"],
            scratch=self.layout.extra["scratch"],
        )

    def _drawn(self) -> str:
        """Code that shuffles."""
        return shuffle(self.target) if self.made.parts is not None and self.made.parts.ordered else ""

    def _outputs(self) -> dict[str, Definition]:
        """What is written to memory in every step."""
        return {OBJECTIVE: self.made.objective, **{f"{entry}": t for entry, t in self.made.gradient.items()}}

    def _numbers(self) -> frozenset[Definition]:
        """What stays in registers."""
        parts = (self.fused, self.before, self.powers, self.factors)
        return frozenset(t for part in parts for t in part.stored if not t.axes)

    def _few_routines(self) -> bool:
        """Whether the code stays short with vector math written where it stands."""
        bodies = [group.body(tensor) for group in self.fused.groups for tensor in group.results]
        return routines(bodies) <= FEW_ROUTINES

    def _waits_for_divisions(self) -> bool:
        """Whether the divisions of a loop over the examples take longer than everything else in it."""
        bodies = [group.body(tensor) for group in self.fused.groups if group.domain for tensor in group.results]
        nodes = [node for node in postorder(bodies) if node.free]
        divisions = sum(node.op == "divide" for node in nodes)
        return divisions * self.target.division * OPERATIONS > sum(map(operations, nodes))

    def _lay_out(self) -> None:
        arrays = [*self.inputs, *[t for t in self.fused.stored if t.axes]]
        for tensor in arrays:
            self.layout.add_tensor(tensor)
        groups = [group for part in (self.fused, self.before, self.powers, self.factors) for group in part.groups]
        names = set().union(*[sizes_of(group) for group in groups], *[size_names(t.shape) for t in arrays])
        for name in sorted(names):
            self.layout.add_size(name)
        for name in (*self._outputs(), "status", "scratch"):
            self.layout.add_extra(name)

    # ------------------------------------------------------------------------------------------ the function

    def _write(self, scalar: Lanes) -> None:
        function, frame = self.function, self.frame
        frame.enter(self.layout.tensors, sorted(self.layout.sizes))
        self.layout.chosen = frozenset(self.made.rows if chooses(self.made) else ())
        for tensor in self.inputs:
            if not tensor.axes and not tensor.integer:
                frame.scalars[tensor] = scalar.load(frame.pointer(tensor))
        self._write_groups(self.before, scalar)
        for made, value in self.made.once.items():
            frame.scalars[made] = frame.scalars[self.before.outputs[value]]
        self._write_groups(self.factors, scalar)
        factors = [frame.scalars[self.factors.outputs.get(factor, factor)] for factor in self.made.factors]
        turns = self._turns()
        places = {label: frame.extra(label) for label in self._outputs()}
        self.kept = self._keeping(places, scalar)
        first = self.kept.start()
        limit = turns.limit()
        with function.loop(0, limit, 1, [*first, *factors]) as loop:
            step, numbers, powers = i64(loop.index), loop.carried[: len(first)], loop.carried[len(first) :]
            self._stop_if_asked(turns, step, numbers)
            turns.begin(self.frame, scalar)
            powers = self._powers(turns, step, powers, factors, scalar)
            loop.next = [*self._step(turns, step, numbers, places, scalar), *powers]
        self._finish(turns, limit, loop.results[: len(first)], places[OBJECTIVE], scalar)

    def _turns(self) -> Turns:
        parts = self.made.parts
        if parts is None:
            return AllExamples(self.function)
        return (OneByOne if parts.single else InBatches)(self.function, self.made.rows, parts.ordered)

    def _keeping(self, places: Mapping[str, Value], scalar: Lanes) -> Keeping:
        """How the numbers are carried from step to step."""
        if self.side is None:
            return Singly(self.frame, self.made, self.fused.outputs, places, scalar)
        bodies = [body_of(part) for after in self.side.after.values() for part in after.parts]
        self.frame.orders = {**self.frame.orders, **with_last(bodies, self.side.slope)}
        self.frame.joint = self._lanes_of_sums(self.side)
        spread = scalar.narrowed(self.target.lanes(ELEMENT[self.dtype]))
        read = reads(*[group.body(tensor) for group in self.fused.groups for tensor in group.results])
        wanted = {target(node): k for k, node in enumerate(read)}
        return SideBySide(self.frame, self.made, self.fused.outputs, places, scalar, self.side, spread, wanted)

    def _lanes_of_sums(self, side: Joint) -> tuple[Definition | None, ...]:
        """The sums in the slopes, and others that find a lane."""
        lanes = [None if total is None else self.fused.outputs[total] for total in side.sums]
        wanted = set(filter(None, lanes))
        group = next(group for group in self.fused.groups if wanted <= set(group.members))
        others = [t for t in group.members if t.monoid == "sum" and t not in wanted]
        lanes += others[: side.lanes - len(lanes)]
        return (*lanes, *[None] * (side.lanes - len(lanes)))

    def _powers(
        self, turns: Turns, done: Value, before: Sequence[Value], factors: Sequence[Value], scalar: Lanes
    ) -> list[Value]:
        """Those of this step, of those of the step before; the same bits wherever a slice begins."""
        if not before:
            return []
        function, frame = self.function, self.frame
        step = turns.step(done)
        since = function.emit(f"and i64 {step.text}, {EVERY - 1}", "i64")
        due = function.any(function.compare("eq", since, 0), function.compare("eq", done, 0))
        with function.either(due, unlikely=True) as choice:
            with choice.then():
                first = i64(function.sub(step, since))
                self._count(first, first, scalar)
                self._write_groups(self.powers, scalar)
                anew = [frame.scalars[self.powers.outputs[value]] for value in self.made.values_of_powers]
                with function.loop(0, since, 1, anew) as loop:
                    loop.next = [scalar.mul(value, factor) for value, factor in zip(loop.carried, factors, strict=True)]
                choice.give(*loop.results)
            with choice.otherwise():
                choice.give(*[scalar.mul(value, factor) for value, factor in zip(before, factors, strict=True)])
        frame.scalars.update(zip(self.made.powers, choice.results, strict=True))
        return choice.results

    def _count(self, step: Value, epoch: Value, scalar: Lanes) -> None:
        """The counters of a step."""
        for name, count in ((STEP, step), (EPOCH, epoch)):
            self.frame.scalars[self.made.numbers[name]] = scalar.from_integer(count)

    def _write_groups(self, fused: Fused, scalar: Lanes) -> None:
        for group in fused.groups:
            write_group(self.frame, group, self.loops.get(group.members[0]), scalar)

    def _stop_if_asked(self, turns: Turns, done: Value, numbers: Sequence[Value]) -> None:
        function = self.function
        asked = function.atomic_load("i32", turns.words["flag"])
        self._leave(function.emit(f"icmp ne {typed(asked)}, 0", "i1"), done, STOPPED, numbers)

    def _leave(self, condition: Value, done: Integer, status: int | Value, numbers: Sequence[Value]) -> None:
        """Ends the slice where the condition holds."""
        function = self.function
        away, on = function.label(), function.label()
        self.exits.append((away, [i64(done), i64(status), *numbers]))
        function.branch(condition, away, on, unlikely=True)
        function.begin(on)

    def _step(
        self, turns: Turns, done: Value, numbers: Sequence[Value], places: Mapping[str, Value], scalar: Lanes
    ) -> list[Value]:
        """One step; returns the new numbers."""
        self.kept.enter(numbers)
        self._count(turns.step(done), turns.epoch(done), scalar)
        self._write_groups(self.fused, scalar)
        loss = self.frame.scalars[self.fused.outputs[self.made.objective]]
        scalar.store(loss, places[OBJECTIVE])
        self._leave(self.kept.slopes(loss), done, NOT_FINITE, numbers)
        after = self.kept.after()
        end = turns.remember(done, _wide(scalar, loss))
        self._record(turns, done, after, scalar)
        if end is not None:
            self._leave(end[0], i64(self.function.add(done, 1)), end[1], after)
        return after

    def _record(self, turns: Turns, done: Value, numbers: Sequence[Value], scalar: Lanes) -> None:
        """The parameters after a step, where their path is wanted."""
        function = self.function
        path = turns.words["path"]
        with function.when(function.emit(f"icmp ne {typed(path)}, null", "i1"), unlikely=True):
            count = function.add(turns.step(done), 1)
            row = function.gep(scalar.element, path, function.mul(count, turns.words["path_count"]))
            first = function.emit(f"ptrtoint {typed(turns.words['parameter'])} to i64", "i64")
            for tensor, value in zip(self.made.carried, self.kept.singly(numbers), strict=True):
                if self.made.entries[tensor].kind == PARAMETER:
                    at = function.emit(f"ptrtoint {typed(self.frame.pointer(tensor))} to i64", "i64")
                    scalar.store(value, function.gep("i8", row, function.sub(at, first)))

    def _finish(self, turns: Turns, limit: Integer, numbers: Sequence[Value], loss: Value, scalar: Lanes) -> None:
        """What the next slice and Python need is written to memory."""
        function = self.function
        out = function.label()
        ways = [(function.block, [i64(limit), turns.status(limit), *numbers])]
        function.do(f"br label %{out}")
        for label, values in self.exits:
            function.begin(label)
            function.do(f"br label %{out}")
            ways.append((label, values))
        function.begin(out)
        done, status, *last = function.merge(ways)
        for tensor, value in zip(self.made.carried, self.kept.singly(last), strict=True):
            scalar.store(value, self.frame.pointer(tensor))
        self.kept.finish()
        turns.leave(done, status, _wide(scalar, scalar.load(loss)))
        function.ret()


def _wide(scalar: Lanes, value: Value) -> Value:
    """As a float64."""
    return value if scalar.element == "double" else scalar.function.emit(f"fpext {typed(value)} to double", "double")
