"""The memory of a fit: tables placed once, filled anew for every fit of the same shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import BATCH, GATHER_WORDS, JOB
from sympile.compiler.program import Array as Slotted
from sympile.compiler.records import dataclass
from sympile.runtime.flat import FlatLayout
from sympile.runtime.job import Job, Plan
from sympile.runtime.load import Native
from sympile.runtime.native import Desk, NativeProgram, address_of, aligned
from sympile.runtime.rewind import Rewind

Array = npt.NDArray[Any]
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

    @property
    def first(self) -> NativeProgram:
        """The program of a step."""
        return self.update.native if isinstance(self.update, Together) else self.step


@dataclass(slots=True)
class Bench:
    """Memory for one fit at a time."""

    shape: Shape
    flat: Array  # rows: gradient, parameters, states
    numbers: Array  # of the optimizer, then COUNTERS
    words: npt.NDArray[np.int64]  # of the loop, as they are before any fit
    gathers: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64] | None
    desks: tuple[Desk, ...]
    held: tuple[Array, ...]
    bytes: int  # of all that grows with the model and the data
    pace: float = 1.0  # steps per slice, as the last fit has found

    def job(
        self,
        loop: Native,
        start: Mapping[str, Array],
        arrays: Mapping[str, Array],
        plan: Plan,
        state: Mapping[str, float],
        numbers: Mapping[str, float],
        record: bool,
    ) -> Job:
        """Everything in place for the first step. `arrays` holds data and constants by name."""
        layout, parameters = self.shape.layout, self.flat[1]
        self.flat.fill(0)
        layout.fill(parameters, start)
        for row, first in zip(self.flat[2:], state.values(), strict=True):
            row.fill(first)
        self.numbers[:] = [*numbers.values(), *[0.0] * len(COUNTERS)]
        words, history = self.words.copy(), np.empty(plan.epochs)
        path = None
        if record:
            path = np.zeros((plan.epochs * plan.steps_per_epoch + 1, layout.count), self.flat.dtype)
            path[0] = parameters
        live = [self.flat[1:], words] if self.order is None else [self.flat[1:], words, self.order]
        used = self._place_data(arrays)
        rewind, held = Rewind(parameters, live), [self, plan.orders, *used]
        job = Job(loop, words, parameters, self.flat[0], history, path, rewind, held, self.pace)
        _place_plan(job, plan)
        return job

    def _place_data(self, arrays: Mapping[str, Array]) -> list[Array]:
        """Pointers to the arrays of this fit; returns those."""
        table, used, at = self.desks[0].table, [], 0
        together = self.shape.update if isinstance(self.shape.update, Together) else None
        placed = self.shape.layout.offsets if together is None else {**together.places, **together.numbers}
        for array in self.shape.first.program.inputs:
            if array.name in placed:
                continue
            given = arrays[array.name]
            used.append(given)
            if is_data(array) and together is None:
                self.gathers[at] = address_of(given)
                self.gathers[at + 2] = given.nbytes // len(given) // 4
                at += len(GATHER_WORDS)
            else:
                table[array.slot] = address_of(given)
        return used


def _place_plan(job: Job, plan: Plan) -> None:
    """Where to begin and in which order."""
    job["random"] = _random_state(plan.seed)
    job["given_orders"] = 0 if plan.orders is None else address_of(plan.orders)
    job["examples"], job["batch"], job["epochs"] = plan.examples, plan.batch, plan.epochs
    job["drop_last"] = int(plan.drop_last)
    job.words[JOB["sum_weight"] : JOB["sum_weight"] + 1].view(np.float64)[0] = plan.sum_weight
    job["history"] = address_of(job.history)
    if job.path is not None:
        job["path"], job["path_count"] = address_of(job.path), job.path.shape[1]


@lru_cache(maxsize=64)
def _random_state(seed: int) -> int:
    """Where the random numbers of a seed begin."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0].astype(np.int64))


def is_data(array: Slotted) -> bool:
    """Whether an array's first axis is the examples."""
    return bool(array.shape) and array.shape[0].terms == ((1, (BATCH,)),)


# ------------------------------------------------------------------------------------------------ once per shape


def make_bench(shape: Shape, gradient_prefix: str, objective: str) -> Bench:
    """New memory; what differs from fit to fit is still empty."""
    step, update = shape.step, shape.update
    sizes = {**dict(shape.sizes), BATCH: shape.batch}
    flat = aligned((2 + len(shape.states), shape.layout.count), step.program.dtype)
    numbers = np.zeros(len(shape.numbers) + len(COUNTERS), step.program.dtype)
    words = dict.fromkeys(JOB, 0)
    if isinstance(update, Together):
        return _bench_of_loop(shape, update, sizes, flat, numbers, words, objective)
    desks = (step.own_desk(sizes), update.own_desk({COUNT: shape.layout.moved}))
    order = np.zeros(shape.shuffled, np.int64) if shape.shuffled else None
    words["order"], words["shuffle"] = (0, 0) if order is None else (address_of(order), 1)
    gathers, buffers = _place_batches(shape, sizes, address_of(desks[0].table))
    words["gathers"], words["gather_count"] = address_of(gathers), len(gathers) // len(GATHER_WORDS)
    held = (*buffers, *_place_step(shape, words, flat, desks[0], gradient_prefix, objective))
    _place_update(shape, update, words, flat, numbers, desks[1])
    template = np.array([words[name] for name in JOB], np.int64)
    count = flat.nbytes + sum(each.nbytes for each in held) + sum(desk.bytes for desk in desks) + 8 * shape.shuffled
    return Bench(shape, flat, numbers, template, gathers, order, desks, held, count)


def _bench_of_loop(
    shape: Shape,
    loop: Together,
    sizes: Mapping[str, int],
    flat: Array,
    numbers: Array,
    words: dict[str, int],
    objective: str,
) -> Bench:
    """Memory for a loop that does step and update itself."""
    desk, loss = loop.native.own_desk(sizes), aligned((1,), flat.dtype)
    rows = dict(zip(("gradient", "parameter", *shape.states), map(address_of, flat), strict=True))
    at = {name: address_of(numbers) + numbers.itemsize * k for k, name in enumerate(shape.numbers)}
    for array in (*loop.native.program.inputs, *loop.native.program.outputs):
        if array.name in loop.places:
            row, parameter, position = loop.places[array.name]
            desk.table[array.slot] = rows[row] + flat.itemsize * (shape.layout.offsets[parameter] + position)
        elif array.name in loop.numbers:
            desk.table[array.slot] = at[loop.numbers[array.name]]
        elif array.name == objective:
            desk.table[array.slot] = address_of(loss)
    words["step_table"], words["parameter"] = desk.address, rows["parameter"]
    template = np.array([words[name] for name in JOB], np.int64)
    nothing = np.zeros(0, np.int64)
    count = flat.nbytes + loss.nbytes + desk.bytes
    return Bench(shape, flat, numbers, template, nothing, None, (desk,), (loss,), count)


def _place_batches(shape: Shape, sizes: Mapping[str, int], table: int) -> tuple[npt.NDArray[np.int64], list[Array]]:
    """For each data array, the words that tell the loop how to bring a batch of it; where that must be collected, a
    buffer."""
    program = shape.step.program
    words: list[int] = []
    buffers = []
    for array in program.inputs:
        if is_data(array) and array.name not in shape.layout.offsets:
            lengths = shape.step.shape(array, sizes) if shape.gathers else (0,)
            buffers.append(aligned(lengths, np.int64 if array.integer else program.dtype))
            words += [0, address_of(buffers[-1]), 0, table + 8 * array.slot]
    return np.array(words, np.int64), buffers


def _place_step(
    shape: Shape, words: dict[str, int], flat: Array, desk: Desk, prefix: str, objective: str
) -> Sequence[Array]:
    """Pointers of the step's table into the flat arrays; returns what else they point to."""
    program, layout = shape.step.program, shape.layout
    gradient, parameters = address_of(flat[0]), address_of(flat[1])
    loss, batch_word = aligned((1,), program.dtype), np.zeros(1, np.int64)
    for array in program.inputs:
        if array.name in layout.offsets:
            desk.table[array.slot] = parameters + flat.itemsize * layout.offsets[array.name]
    for array in program.outputs:
        at = flat.itemsize * layout.offsets.get(array.name.removeprefix(prefix), 0)
        desk.table[array.slot] = address_of(loss) if array.name == objective else gradient + at
    slot = program.sizes.get(BATCH)
    words["batch_word"] = address_of(batch_word) if slot is None else desk.address + 8 * slot
    words["step_function"], words["step_table"] = desk.native.address, desk.address
    words["objective"], words["trouble"] = address_of(loss), address_of(desk.status)
    words["gradient"], words["gradient_count"], words["parameter"] = gradient, layout.count, parameters
    return loss, batch_word


def _place_update(
    shape: Shape, update: NativeProgram, words: dict[str, int], flat: Array, numbers: Array, desk: Desk
) -> None:
    """Pointers of the update's table."""
    rows = dict(zip(("gradient", "parameter", *shape.states), map(address_of, flat), strict=True))
    places = {n: address_of(numbers) + numbers.itemsize * k for k, n in enumerate((*shape.numbers, *COUNTERS))}
    program = update.program
    for array in (*program.inputs, *program.outputs):
        desk.table[array.slot] = {**rows, **places}[array.name]
    words["update_function"], words["update_table"] = desk.native.address, desk.address
    words["step_value"], words["epoch_value"] = places["step"], places["epoch"]


class Benches:
    """The memory of past fits, for the next ones; only what is small is kept."""

    MOST_BYTES = 1 << 20
    MOST = 4

    def __init__(self) -> None:
        self._idle: dict[Shape, Bench] = {}

    def take(self, shape: Shape, gradient_prefix: str, objective: str) -> Bench:
        """Memory that nobody else uses: of a past fit where one fits."""
        return self._idle.pop(shape, None) or make_bench(shape, gradient_prefix, objective)

    def give_back(self, bench: Bench) -> None:
        """The fit has ended, and everything that is wanted of it is copied."""
        if bench.bytes <= self.MOST_BYTES:
            if len(self._idle) >= self.MOST:
                self._idle.clear()
            self._idle[bench.shape] = bench
