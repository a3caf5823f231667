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
_NOTHING: Array = np.empty(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to go through the data."""

    examples: int
    batch: int
    epochs: int
    shuffle: bool
    ordered: bool  # by orders of the user's
    seed: int
    drop_last: bool
    underflow: int  # JOB's word of it
    sum_weight: float  # of a batch's objective in the mean over the examples, where that is a sum; else 0

    @property
    def steps_per_epoch(self) -> int:
        return self.examples // self.batch if self.drop_last else -(-self.examples // self.batch)

    @property
    def gathers(self) -> bool:
        """Whether batches are collected row by row; else they are read where they lie."""
        return self.ordered or (self.shuffle and self.batch < self.examples)


@dataclass(slots=True)
class Job:
    """The words of the native loop, and all arrays that they point to; one fit after the other uses them."""

    loop: Native
    words: npt.NDArray[np.int64]
    parameters: Array
    gradient: Array
    rewind: Rewind
    flag: npt.NDArray[np.int32]  # not 0 asks to stop
    history: Array = field(init=False)
    path: Array | None = field(init=False)
    held: tuple[Any, ...] = field(init=False)  # what the words of this fit point to, besides
    pace: float = 1.0  # steps per slice: the first one tells how long a step takes
    look: memoryview = field(init=False)  # at the words: Python reads a number of it in a third of the time
    address: int = field(init=False)  # of the words

    def __post_init__(self) -> None:
        self.look, self.address = self.words.data, address_of(self.words)
        self.end()

    def begin(self, history: Array, path: Array | None, held: tuple[Any, ...]) -> None:
        """A new fit; the other words are in place, and so are all numbers."""
        self.history, self.path, self.held = history, path, held
        self.look[JOB["history"]] = address_of(history)
        if path is not None:
            self["path"], self["path_count"] = address_of(path), path.shape[1]
        self.rewind.begin()

    def end(self) -> None:
        """Holds nothing any more that belongs to this fit."""
        self.history, self.path, self.held = _NOTHING, None, ()

    def __getitem__(self, name: str) -> int:
        return self.look[JOB[name]]

    def __setitem__(self, name: str, value: int) -> None:
        self.look[JOB[name]] = value

    @property
    def last_loss(self) -> float:
        return float(self.words[JOB["last_loss"] : JOB["last_loss"] + 1].view(np.float64)[0])

    def run_slice(self) -> int:
        """About SLICE seconds of steps, or less; returns the outcome."""
        look, step = self.look, JOB["step"]
        look[JOB["budget"]] = budget = max(1, int(self.pace))
        before = look[step]
        if before:
            self.rewind.keep()
        started = time.perf_counter()
        self.loop.call(self.address)
        done, seconds = look[step] - before, time.perf_counter() - started
        if done >= budget:
            rate = done / max(seconds, 1e-9)
            self.pace = min(self.pace * 64, max(1.0, rate * SLICE))
        return look[JOB["status"]]

    def restore(self, spoiled: bool) -> bool:
        """Back to the last finite parameters, if the present ones are not; returns whether there are such.

        Args:
            spoiled: the present ones come from an update that must not have been made.
        """
        step = self["step"]
        if spoiled:
            self.rewind.again(lambda: self._replay(step))
        self.rewind.last_finite(lambda: self._replay(step - 1))
        return bool(np.isfinite(self.parameters).all())

    def _replay(self, last: int) -> None:
        """Runs the loop up to a step; nobody can interrupt it. A step may count on a gradient of zeros (`Rows`)."""
        self.gradient.fill(0)
        calm = np.zeros(1, np.int32)
        self["flag"] = address_of(calm)
        before = -1
        while before < self["step"] < last:
            before = self["step"]
            self["budget"] = last - before
            self.loop.call(self.address)
