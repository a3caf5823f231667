"""The memory of a fit: tables placed once, filled anew for every fit of the same shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import BATCH, GATHER_WORDS, JOB, KEPT_POWER_WORDS, ORDER, ROW_UPDATE, ZEROS
from sympile.compiler.program import Array as Slotted
from sympile.compiler.records import dataclass
from sympile.runtime.flat import FlatLayout
from sympile.runtime.job import Job, Plan
from sympile.runtime.load import Native
from sympile.runtime.native import Desk, NativeProgram, address_of, aligned
from sympile.runtime.rewind import Rewind
from sympile.runtime.rows import Rows, lists_of

Array = npt.NDArray[Any]
Sources = tuple[tuple[str, memoryview, int], ...]
COUNT = "#parameters"
COUNTERS = ("step", "epoch")  # what the loop tells the update


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """A step with its update in one loop of its own (passes/training/steps.py), and where its numbers lie."""

    native: NativeProgram
    places: Mapping[str, tuple[str, str, int]]  # of inputs and outputs: row (gradient, …), parameter, which number
    numbers: Mapping[str, str]  # inputs that are numbers of the optimizer


@dataclass(frozen=True, slots=True)
class Shape:
    """All that decides how the memory of a fit is laid out; fits of equal shapes can use the same."""

    step: NativeProgram
    update: NativeProgram | Together  # Together: of the step too
    layout: FlatLayout
    sizes: tuple[tuple[str, int], ...]
    batch: int
    gathers: bool
    shuffled: int  # examples whose order is drawn anew each epoch; 0: none
    states: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: Rows | None = None

    @property
    def moved(self) -> int:
        """The numbers that the update goes through."""
        if self.rows is None:
            return self.layout.moved
        return min(self.layout.offsets[name] for name in self.rows.names)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a fit begins and goes on, besides its data and its first parameters."""

    plan: Plan
    state: tuple[float, ...]  # first values
    numbers: tuple[float, ...]  # of the optimizer


@dataclass(slots=True)
class Bench:
    """Memory for one fit at a time.

    Attributes:
        sources: of each input that differs from fit to fit, the word that points to it.
        words: of the loop, as they are before the first step of a fit of these settings.
    """

    shape: Shape
    job: Job
    flat: Array  # rows: gradient, parameters, states
    numbers: Array  # of the optimizer, then COUNTERS
    sources: Sources
    held: tuple[Any, ...]
    bytes: int  # of all that grows with the model and the data
    words: npt.NDArray[np.int64]
    settings: Settings | None = None

    def begin(
        self,
        settings: Settings,
        start: Mapping[str, Array],
        arrays: Mapping[str, Array],
        orders: npt.NDArray[np.int64] | None,
        record: bool,
    ) -> Job:
        """Everything in place for the first step. `arrays` holds data and constants by name."""
        if settings is not self.settings:
            self._settle(settings)
        job, plan, layout = self.job, settings.plan, self.shape.layout
        job.look[:] = self.words.data
        self.flat.fill(0)
        for k, value in enumerate(settings.state, 2):
            self.flat[k].fill(value)
        layout.fill(job.parameters, start)
        for name, words, at in self.sources:
            words[at] = address_of(arrays[name])
        history, path = np.empty(plan.epochs), None
        if record:
            path = np.zeros((plan.epochs * plan.steps_per_epoch + 1, layout.count), self.flat.dtype)
            path[0] = job.parameters
        if orders is not None:
            job["given_orders"] = address_of(orders)
        job.begin(history, path, (orders, arrays))
        return job

    def _settle(self, settings: Settings) -> None:
        """What holds for all fits of these settings."""
        self.numbers[: len(settings.numbers)] = settings.numbers
        _place_plan(self.words, settings.plan)
        self.settings = settings


def _place_plan(words: npt.NDArray[np.int64], plan: Plan) -> None:
    """Where to begin and in which order."""
    look = words.data
    look[JOB["random"]] = _random_state(plan.seed)
    look[JOB["examples"]], look[JOB["batch"]], look[JOB["epochs"]] = plan.examples, plan.batch, plan.epochs
    look[JOB["drop_last"]], look[JOB["underflow"]] = int(plan.drop_last), plan.underflow
    words[JOB["sum_weight"] : JOB["sum_weight"] + 1].view(np.float64)[0] = plan.sum_weight


@lru_cache(maxsize=64)
def _random_state(seed: int) -> int:
    """Where the random numbers of a seed begin."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0].astype(np.int64))


def is_data(array: Slotted) -> bool:
    """Whether an array's first axis is the examples."""
    return bool(array.shape) and array.shape[0].terms == ((1, (BATCH,)),)


# ------------------------------------------------------------------------------------------------ once per shape


def make_bench(shape: Shape, loop: Native, gradient_prefix: str, objective: str) -> Bench:
    """New memory; what differs from fit to fit is still empty."""
    step, update = shape.step, shape.update
    sizes = {**dict(shape.sizes), BATCH: shape.batch}
    flat = aligned((2 + len(shape.states), shape.layout.count), step.program.dtype)
    numbers = np.zeros(len(shape.numbers) + len(COUNTERS), step.program.dtype)
    words = dict.fromkeys(JOB, 0)
    order = np.zeros(shape.shuffled, np.int64) if shape.shuffled else None
    words["order"], words["shuffle"] = (0, 0) if order is None else (address_of(order), 1)
    if isinstance(update, Together):
        desks, sources, held = _place_loop(shape, update, sizes, flat, numbers, words, objective)
        return _bench(shape, loop, flat, numbers, words, sources, desks, held, order)
    own: tuple[Desk, ...] = (step.own_desk(sizes), update.own_desk({COUNT: shape.moved}))
    gathers, buffers = _place_batches(shape, sizes, address_of(own[0].table))
    words["gathers"], words["gather_count"] = address_of(gathers), len(gathers) // len(GATHER_WORDS)
    held = (gathers, *buffers, *_place_step(shape, words, flat, own[0], gradient_prefix, objective))
    held = (*held, _place_update(shape, update, words, flat, numbers, own[1]))
    if shape.rows is not None:
        own = (*own, shape.rows.native.own_desk({}))
        held = (*held, *_place_rows(shape, words, flat, numbers, own, gradient_prefix))
    return _bench(shape, loop, flat, numbers, words, _sources(shape, own[0], gathers), own, held, order)


def _bench(
    shape: Shape,
    loop: Native,
    flat: Array,
    numbers: Array,
    words: Mapping[str, int],
    sources: Sources,
    desks: tuple[Desk, ...],
    held: tuple[Array, ...],
    order: npt.NDArray[np.int64] | None = None,
) -> Bench:
    """All of it put together."""
    flag = np.zeros(1, np.int32)
    template = np.array([{**words, "flag": address_of(flag)}[name] for name in JOB], np.int64)
    live = template.copy()
    rewind = Rewind(flat[1], [flat[1:], live] if order is None else [flat[1:], live, order])
    count = flat.nbytes + rewind.bytes + sum(each.nbytes for each in held) + sum(desk.bytes for desk in desks)
    return Bench(
        shape,
        Job(loop, live, flat[1], flat[0], rewind, flag),
        flat,
        numbers,
        sources,
        (*held, *desks, order),
        count + (0 if order is None else order.nbytes),
        template,
    )


def _place_loop(
    shape: Shape,
    loop: Together,
    sizes: Mapping[str, int],
    flat: Array,
    numbers: Array,
    words: dict[str, int],
    objective: str,
) -> tuple[tuple[Desk, ...], Sources, tuple[Array, ...]]:
    """Pointers of a loop that does step and update itself."""
    desk, loss = loop.native.own_desk(sizes), aligned((1,), flat.dtype)
    rows = dict(zip(("gradient", "parameter", *shape.states), map(address_of, flat), strict=True))
    at = {name: address_of(numbers) + numbers.itemsize * k for k, name in enumerate(shape.numbers)}
    look, sources = desk.table.data, []
    for array in (*loop.native.program.inputs, *loop.native.program.outputs):
        if array.name in loop.places:
            row, parameter, position = loop.places[array.name]
            desk.table[array.slot] = rows[row] + flat.itemsize * (shape.layout.offsets[parameter] + position)
        elif array.name in loop.numbers:
            desk.table[array.slot] = at[loop.numbers[array.name]]
        elif array.name == objective:
            desk.table[array.slot] = address_of(loss)
        else:
            sources.append((array.name, look, array.slot))
    words["step_table"], words["parameter"] = desk.address, rows["parameter"]
    return (desk,), tuple(sources), (loss,)


def _place_batches(shape: Shape, sizes: Mapping[str, int], table: int) -> tuple[npt.NDArray[np.int64], list[Array]]:
    """For each data array that is not read through the order, the words that tell the loop how to bring a batch of it;
    where that must be collected, a buffer."""
    program = shape.step.program
    words: list[int] = []
    buffers = []
    for array in program.inputs:
        if array.name == ORDER:
            words += [0, 0, 0, table + 8 * array.slot]
        elif is_data(array) and array.name not in shape.layout.offsets and array.name not in program.chosen:
            count, *row = shape.step.shape(array, sizes)
            kind = np.dtype(np.int64 if array.integer else program.dtype)
            buffers.append(aligned((count, *row) if shape.gathers else (0,), kind))
            words += [0, address_of(buffers[-1]), math.prod(row) * kind.itemsize // 4, table + 8 * array.slot]
    return np.array(words, np.int64), buffers


def _sources(shape: Shape, desk: Desk, gathers: npt.NDArray[np.int64]) -> Sources:
    """Data are brought by the loop; constants, and data that are read through the order, lie where they are."""
    found, at = [], 0
    for array in shape.step.program.inputs:
        if array.name in shape.layout.offsets:
            continue
        if is_data(array) and array.name not in shape.step.program.chosen:
            if array.name != ORDER:
                found.append((array.name, gathers.data, at))
            at += len(GATHER_WORDS)
        else:
            found.append((array.name, desk.table.data, array.slot))
    return tuple(found)


def _place_step(
    shape: Shape, words: dict[str, int], flat: Array, desk: Desk, prefix: str, objective: str
) -> Sequence[Array]:
    """Pointers of the step's table into the flat arrays; returns what else they point to."""
    program, layout = shape.step.program, shape.layout
    gradient, parameters = address_of(flat[0]), address_of(flat[1])
    loss = aligned((1,), program.dtype)
    for array in program.inputs:
        if array.name in layout.offsets:
            desk.table[array.slot] = parameters + flat.itemsize * layout.offsets[array.name]
    for array in program.outputs:
        at = flat.itemsize * layout.offsets.get(array.name.removeprefix(prefix), 0)
        desk.table[array.slot] = address_of(loss) if array.name == objective else gradient + at
    unread = np.zeros(2, np.int64)
    slots = {"batch_word": program.sizes.get(BATCH), "order_word": program.order}
    for number, (name, slot) in enumerate(slots.items()):
        words[name] = address_of(unread) + 8 * number if slot is None else desk.address + 8 * slot
    words["step_function"], words["step_table"] = desk.native.address, desk.address
    words["objective"], words["trouble"] = address_of(loss), address_of(desk.status)
    words["gradient"], words["gradient_count"], words["parameter"] = gradient, layout.count, parameters
    return loss, unread


def _place_update(
    shape: Shape, update: NativeProgram, words: dict[str, int], flat: Array, numbers: Array, desk: Desk
) -> Array:
    """Pointers of the update's table; returns the memory of the powers that it keeps (emitting/kept_power.py)."""
    kept, places = _place_rule(shape, update, flat, numbers, desk)
    words["update_function"], words["update_table"] = desk.native.address, desk.address
    words["spoiled"] = address_of(desk.status) if update.program.watches else 0
    words["step_value"], words["epoch_value"] = places["step"], places["epoch"]
    return kept


def _place_rule(
    shape: Shape, update: NativeProgram, flat: Array, numbers: Array, desk: Desk
) -> tuple[Array, dict[str, int]]:
    """Pointers to what a rule reads and writes; the memory of the powers that it keeps, and where its numbers lie."""
    rows = dict(zip(("gradient", "parameter", *shape.states), map(address_of, flat), strict=True))
    places = {n: address_of(numbers) + numbers.itemsize * k for k, n in enumerate((*shape.numbers, *COUNTERS))}
    program = update.program
    powers = [array for array in program.inputs if array.name not in rows and array.name not in places]
    kept = np.full((len(powers), KEPT_POWER_WORDS), np.nan, program.dtype)
    places |= {array.name: address_of(kept[k]) for k, array in enumerate(powers)}
    for array in (*program.inputs, *program.outputs):
        desk.table[array.slot] = {**rows, **places, ZEROS: rows["gradient"]}[array.name]
    return kept, places


def _place_rows(
    shape: Shape, words: dict[str, int], flat: Array, numbers: Array, desks: Sequence[Desk], prefix: str
) -> Sequence[Array]:
    """Pointers of the table of the update of chosen rows, which does the other update, too, before; what they lead to.

    The step finds their gradients 0.
    """
    assert shape.rows is not None
    step, update, desk = desks
    kept, _ = _place_rule(shape, shape.rows.native, flat, numbers, desk)
    for scattered in shape.step.program.scattered:
        step.table[scattered.slot] = scattered.output.removeprefix(prefix) in shape.rows.names
    lists = lists_of(shape.step.program, prefix, shape.rows, shape.layout, dict(shape.sizes), step.address)
    found = {"update_function": update.native.address, "update_table": update.address}
    found |= {"batch_word": words["batch_word"], "lists": address_of(lists), "list_count": len(lists)}
    for name, slot in ROW_UPDATE.items():
        desk.table[slot] = found[name]
    desk.table[shape.rows.native.program.status] = address_of(update.status)
    words["update_function"], words["update_table"] = desk.native.address, desk.address
    return kept, lists


class Benches:
    """The memory of past fits, for the next ones; only what is small is kept."""

    MOST_BYTES = 1 << 20
    MOST = 4

    def __init__(self) -> None:
        self._idle: dict[int, Bench] = {}  # by the identity of its shape
        self._shapes: dict[Shape, Shape] = {}

    def shape(self, wanted: Shape) -> Shape:
        """The same object for equal shapes."""
        if len(self._shapes) >= 4 * self.MOST:
            self._shapes.clear()
        return self._shapes.setdefault(wanted, wanted)

    def take(self, shape: Shape, loop: Native, gradient_prefix: str, objective: str) -> Bench:
        """Memory that nobody else uses: of a past fit where one fits."""
        return self._idle.pop(id(shape), None) or make_bench(shape, loop, gradient_prefix, objective)

    def give_back(self, bench: Bench) -> None:
        """The fit has ended, and everything that is wanted of it is copied."""
        bench.job.end()
        if bench.bytes <= self.MOST_BYTES:
            if len(self._idle) >= self.MOST:
                self._idle.clear()
            self._idle[id(bench.shape)] = bench
