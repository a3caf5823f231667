"""One training job: the memory that the native loop works on, and the loop called slice by slice."""

from __future__ import annotations

import time
from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import JOB
from sympile.compiler.records import dataclass
from sympile.runtime.load import Native
from sympile.runtime.native import address_of
from sympile.runtime.rewind import Rewind

Array = npt.NDArray[Any]
SLICE = 0.05  # seconds between looks at the clock, for reports and Ctrl-C


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
    rewind: Rewind
    held: list[Any]
    pace: float = 1.0  # steps per slice: the first one tells how long a step takes
    look: memoryview = field(init=False)  # at the words: Python reads a number of it in a third of the time

    def __post_init__(self) -> None:
        self.look = self.words.data

    def __getitem__(self, name: str) -> int:
        return self.look[JOB[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self.look[JOB[name]] = value

    @property
    def last_loss(self) -> float:
        return float(self.words[JOB["last_loss"] : JOB["last_loss"] + 1].view(np.float64)[0])

    def run_slice(self) -> int:
        """About SLICE seconds of steps, or less; returns the outcome."""
        self.rewind.keep()
        self["budget"] = max(1, int(self.pace))
        look, step = self.look, JOB["step"]
        before, started = look[step], time.perf_counter()
        self.loop.call(address_of(self.words))
        done, seconds = look[step] - before, time.perf_counter() - started
        if done >= look[JOB["budget"]]:
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
