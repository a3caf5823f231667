"""One training job: the memory that the native loop works on, and the loop called slice by slice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import BATCH, GATHER_WORDS, JOB
from sympile.compiler.program import Array as Slotted
from sympile.runtime.flat import FlatLayout
from sympile.runtime.load import Native
from sympile.runtime.native import Desk, NativeProgram, address_of, aligned
from sympile.runtime.rewind import Rewind

Array = npt.NDArray[Any]
SLICE = 0.05  # seconds between looks at the clock, for reports and Ctrl-C
COUNT = "#parameters"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to go through the data."""

    examples: int
    batch: int
    epochs: int
    shuffle: bool
    orders: npt.NDArray[np.int64] | None
    seed: int
    drop_last: bool
    sum_weight: float  # of a batch's objective in the mean over the examples, where that is a sum; else 0

    @property
    def steps_per_epoch(self) -> int:
        return self.examples // self.batch if self.drop_last else -(-self.examples // self.batch)

    @property
    def gathers(self) -> bool:
        """Whether batches are collected row by row; else they are read where they lie."""
        return self.orders is not None or (self.shuffle and self.batch < self.examples)


@dataclass(slots=True)
class Job:
    """The words of the native loop, and all arrays that they point to."""

    loop: Native
    words: npt.NDArray[np.int64]
    parameters: Array
    gradient: Array
    history: Array
    path: Array | None
    step_desk: Desk
    keep: list[Any] = field(default_factory=list)
    rewind: Rewind = field(default_factory=lambda: Rewind(np.zeros(0), ()))
    pace: float = 1.0  # steps per slice: the first one tells how long a step takes

    def __getitem__(self, name: str) -> int:
        return int(self.words[JOB[name]])

    def __setitem__(self, name: str, value: int) -> None:
        self.words[JOB[name]] = value

    @property
    def last_loss(self) -> float:
        return float(self.words[JOB["last_loss"] : JOB["last_loss"] + 1].view(np.float64)[0])

    def run_slice(self) -> int:
        """About SLICE seconds of steps, or less; returns the outcome."""
        self.rewind.keep()
        self["budget"] = max(1, int(self.pace))
        before, started = self["step"], time.perf_counter()
        self.loop.call(address_of(self.words))
        done, seconds = self["step"] - before, time.perf_counter() - started
        if done >= self["budget"]:
            rate = done / max(seconds, 1e-9)
            self.pace = min(self.pace * 64, max(1.0, rate * SLICE))
        return self["status"]

    def restore(self) -> bool:
        """Back to the last finite parameters, if the present ones are not; returns whether there are such."""
        last = self["step"] - 1
        calm = np.zeros(1, np.int32)

        def replay() -> None:
            self["flag"] = address_of(calm)
            before = -1
            while before < self["step"] < last:
                before = self["step"]
                self["budget"] = last - before
                self.loop.call(address_of(self.words))

        self.rewind.last_finite(replay)
        return bool(np.isfinite(self.parameters).all())


def make_job(
    loop: Native,
    step: NativeProgram,
    update: NativeProgram,
    layout: FlatLayout,
    start: Mapping[str, Array],
    arrays: Mapping[str, Array],
    sizes: Mapping[str, int],
    plan: Plan,
    state: Mapping[str, float],
    numbers: Mapping[str, float],
    record: bool,
    gradient_prefix: str,
    objective: str,
) -> Job:
    """Everything in place for the first step. `arrays` holds data and constants by name."""
    dtype = step.program.dtype
    parameters = layout.filled(start, dtype)
    gradient = layout.zeros(dtype)
    history = np.full(plan.epochs, np.nan)
    steps = plan.epochs * plan.steps_per_epoch
    path = np.zeros((steps + 1, layout.count), dtype) if record else None
    if path is not None:
        path[0] = parameters
    desk = step.own_desk({**sizes, BATCH: plan.batch})
    words = np.zeros(len(JOB), np.int64)
    job = Job(loop, words, parameters, gradient, history, path, desk, keep=[step, update])
    _place_step(job, step, layout, arrays, plan, gradient_prefix, objective)
    states = _place_update(job, update, layout, state, numbers)
    order = _place_loop(job, plan)
    job.rewind = Rewind(parameters, [a for a in (parameters, words, *states, order) if a is not None])
    return job


def _place_step(
    job: Job,
    step: NativeProgram,
    layout: FlatLayout,
    arrays: Mapping[str, Array],
    plan: Plan,
    prefix: str,
    objective: str,
) -> None:
    """Pointers of the step's table: parameters and gradients into the flat arrays, data into batches."""
    table, program = job.step_desk.table, step.program
    gathers: list[int] = []
    size = np.dtype(program.dtype).itemsize
    for array in program.inputs:
        word = address_of(table) + 8 * array.slot
        if array.name in layout.offsets:
            table[array.slot] = address_of(job.parameters) + size * layout.offsets[array.name]
        elif is_data(array):
            gathers += _gather(job, arrays[array.name], plan, word)
        else:
            table[array.slot] = address_of(arrays[array.name])
            job.keep.append(arrays[array.name])
    loss = aligned((1,), program.dtype)
    job.keep.append(loss)
    for array in program.outputs:
        name = array.name.removeprefix(prefix)
        table[array.slot] = (
            address_of(loss) if array.name == objective else address_of(job.gradient) + size * layout.offsets[name]
        )
    listed = np.array(gathers or [0], np.int64)
    batch_word = np.zeros(1, np.int64)
    job.keep += [listed, batch_word]
    job["gathers"], job["gather_count"] = address_of(listed), len(gathers) // len(GATHER_WORDS)
    slot = program.sizes.get(BATCH)
    job["batch_word"] = address_of(batch_word) if slot is None else address_of(table) + 8 * slot
    job["step_function"], job["step_table"] = step.native.address, job.step_desk.address
    job["objective"], job["gradient"], job["trouble"] = (
        address_of(loss),
        address_of(job.gradient),
        address_of(job.step_desk.status),
    )
    job["gradient_count"] = layout.count


def is_data(array: Slotted) -> bool:
    """Whether an array's first axis is the examples."""
    return bool(array.shape) and array.shape[0].terms == ((1, (BATCH,)),)


def _gather(job: Job, source: Array, plan: Plan, word: int) -> list[int]:
    """The words that tell the loop how to bring a batch of one data array."""
    buffer = aligned((plan.batch, *source.shape[1:]), source.dtype) if plan.gathers else source
    job.keep += [source, buffer]
    row_words = source.nbytes // len(source) // 4
    return [address_of(source), address_of(buffer), row_words, word]


def _place_update(
    job: Job, update: NativeProgram, layout: FlatLayout, state: Mapping[str, float], numbers: Mapping[str, float]
) -> list[Array]:
    """Pointers of the update's table; returns the states."""
    dtype = update.program.dtype
    desk = update.own_desk({COUNT: layout.count})
    arrays: dict[str, Array] = {"gradient": job.gradient, "parameter": job.parameters}
    for name, first in state.items():
        arrays[name] = layout.zeros(dtype)
        arrays[name].fill(first)
    for name, value in {**numbers, "step": 0.0, "epoch": 0.0}.items():
        arrays[name] = np.array([value], dtype)
    for array in (*update.program.inputs, *update.program.outputs):
        desk.table[array.slot] = address_of(arrays[array.name])
    job.keep += [desk, arrays]
    job["update_function"], job["update_table"] = update.native.address, desk.address
    job["parameter"] = address_of(job.parameters)
    job["step_value"], job["epoch_value"] = address_of(arrays["step"]), address_of(arrays["epoch"])
    return [arrays[name] for name in state]


@lru_cache(maxsize=64)
def _random_state(seed: int) -> int:
    """Where the random numbers of a seed begin."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0].astype(np.int64))


def _place_loop(job: Job, plan: Plan) -> Array | None:
    """Where to begin and in which order; returns the order that the loop shuffles."""
    order = np.arange(plan.examples, dtype=np.int64) if plan.gathers and plan.orders is None else None
    job.keep += [order, plan.orders]
    job["order"] = 0 if order is None else address_of(order)
    job["given_orders"] = 0 if plan.orders is None else address_of(plan.orders)
    job["shuffle"] = int(order is not None)
    job["random"] = _random_state(plan.seed)
    job["examples"], job["batch"], job["epochs"] = plan.examples, plan.batch, plan.epochs
    job["drop_last"] = int(plan.drop_last)
    job.words[JOB["sum_weight"] : JOB["sum_weight"] + 1].view(np.float64)[0] = plan.sum_weight
    job["history"] = address_of(job.history)
    if job.path is not None:
        job["path"], job["path_count"] = address_of(job.path), job.path.shape[1]
    return order
