"""Races: interleaved rounds, medians with their range, ratios taken within a round, and one judge of the result."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np

Parameters = tuple[np.ndarray, ...]
Run = Callable[[], Parameters]    # trains from the shared start to the end and returns the final parameters
OURS = "sympile"
BY_HAND = "by hand"               # how the names of those end whose gradient a person wrote: no tools, but a measure
SHORTEST = 0.02                   # seconds; shorter runs are repeated, or each would mostly warm up its caches


class Workload(Protocol):
    """What a module in workloads/ offers. Data and start are made once and shared by all contenders."""

    TITLE: str
    GOAL: float | None  # ours / the peer that was fastest when the goal was set; None where none was set
    GOAL_PEER: str      # how that peer's names begin
    RTOL: float         # of the final loss; rounding grows over the steps, a wrong step grows much faster

    def make_data(self) -> Any: ...

    def final_loss(self, data: Any, parameters: Parameters) -> float: ...

    def peers(self, data: Any) -> dict[str, Run]: ...

    def ours(self, data: Any) -> Run: ...


@dataclass(frozen=True, slots=True)
class Contender:
    """One tool's times, one per round that it took part in, and the loss it reached."""

    name: str
    seconds: tuple[float, ...]
    loss: float

    @property
    def median(self) -> float:
        return median(self.seconds)


def race(
    runs: Mapping[str, Run], judge: Callable[[Parameters], float], *, rounds: int, patience: float
) -> list[Contender]:
    """Runs all in turn, round after round, so that a disturbance of the machine meets everyone.

    The judge computes the final loss outside the clock, by one formula for all. Who needs more than `patience`
    seconds takes part in the first two rounds only: its ratio is far from 1 and needs no more.
    """
    losses = {name: judge(run()) for name, run in runs.items()}    # also warms up: compiling is no part of the race
    repeats = {name: enough(run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            if number < 2 or max(seconds[name]) <= patience:
                seconds[name].append(timed(run, repeats[name]))
    return [Contender(name, tuple(seconds[name]), losses[name]) for name in runs]


def enough(run: Run) -> int:
    """How many runs take SHORTEST: the first one alone is cold, and may take five times as long as those after it."""
    few = max(1, round(SHORTEST / timed(run, 1)))
    return few if few == 1 else max(1, round(SHORTEST / timed(run, few)))


def timed(run: Run, repeats: int) -> float:
    """Seconds a run, the mean of so many."""
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    stop = time.perf_counter()
    gc.enable()
    return (stop - start) / repeats


def disagreements(contenders: list[Contender], rtol: float) -> list[str]:
    """Who did not reach the loss that the middle one reached; a tool that did other work has no place in the table."""
    finite = sorted(contender.loss for contender in contenders if math.isfinite(contender.loss))
    middle = finite[len(finite) // 2] if finite else math.nan
    wrong = [each for each in contenders if not abs(each.loss - middle) <= rtol * abs(middle)]
    return [f"{each.name} ends at loss {each.loss!r}, the others at {middle!r}" for each in wrong]


def ratios(contender: Contender, reference: Contender) -> tuple[float, float, float]:
    """Median, lowest and highest ratio of times, each within one round."""
    each = [mine / other for mine, other in zip(contender.seconds, reference.seconds, strict=False)]
    return median(each), min(each), max(each)


def table(contenders: list[Contender]) -> str:
    """One line a contender, fastest first; ratios are to the best peer."""
    reference = best_peer(contenders)
    wide = max(22, *(len(each.name) + 1 for each in contenders))
    head = f"  {'contender':<{wide}}{'median':>11}   {'range':<24}{'/ best peer':<26}final loss"
    lines = [head]
    for each in sorted(contenders, key=lambda contender: contender.median):
        middle, low, high = ratios(each, reference)
        spread = f"{duration(min(each.seconds))} … {duration(max(each.seconds))}"
        ratio = f"{short(middle)} ({short(low)} … {short(high)})"
        lines.append(f"  {each.name:<{wide}}{duration(each.median):>11}   {spread:<24}{ratio:<26}{each.loss:.12g}")
    return "\n".join(lines)


def best_peer(contenders: list[Contender]) -> Contender:
    """The fastest that derives the gradient itself; where there is none, the fastest by hand."""
    others = [each for each in contenders if each.name != OURS]
    tools = [each for each in others if not each.name.endswith(BY_HAND)]
    return min(tools or others, key=lambda contender: contender.median)


def short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
