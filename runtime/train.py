"""Around the native loop: epochs, reports, validation, stopping rules, callbacks, interrupts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import NOT_FINITE, PAUSED, SINGULAR, SPOILED, STOPPED
from sympile.compiler.records import dataclass
from sympile.runtime.byname import ByName
from sympile.runtime.interrupts import interrupt_flag
from sympile.runtime.job import Job, Plan
from sympile.runtime.progress import Progress
from sympile.runtime.report import EpochReport
from sympile.runtime.stopping import StoppingRule

Array = npt.NDArray[Any]
Evaluate = Callable[[], Mapping[str, float]]
Callback = Callable[[EpochReport], object]


@dataclass(frozen=True, slots=True)
class Watch:
    """What happens at the end of each epoch."""

    parameters: Callable[[], ByName[Array]]  # copies, as the user knows them
    evaluate: Evaluate | None = None  # metrics, and the loss of validation data
    rules: Sequence[StoppingRule] = ()
    callbacks: Sequence[Callback] = ()

    @property
    def active(self) -> bool:
        return self.evaluate is not None or bool(self.rules) or bool(self.callbacks)


@dataclass(slots=True)
class Outcome:
    """How the loop ended."""

    reason: str
    interrupted: bool = False
    failed: bool = False
    values: dict[str, list[float]] = field(default_factory=dict)  # what `evaluate` found, per epoch
    spans: list[tuple[int, float]] = field(default_factory=list)  # so many epochs took so many seconds each

    @property
    def seconds(self) -> Array:
        """Of each epoch."""
        seconds, at = np.empty(sum([count for count, _ in self.spans])), 0
        for count, each in self.spans:
            seconds[at : at + count] = each
            at += count
        return seconds


def run(job: Job, plan: Plan, watch: Watch, verbose: bool | int | None) -> Outcome:
    """Runs a job to its end. Ctrl-C ends it early; nothing is lost."""
    job["pause"] = int(watch.active)
    outcome = Outcome(reason="")
    steps = plan.epochs * plan.steps_per_epoch
    with interrupt_flag(job.flag), Progress(plan.epochs, steps, verbose) as progress:
        started = last = time.perf_counter()
        epoch = 0
        while not outcome.reason:
            before, status = epoch, job.run_slice()
            now, epoch = time.perf_counter(), job["epoch"]
            if epoch > before:  # epochs that ended in one slice share its time
                outcome.spans.append((epoch - before, (now - last) / (epoch - before)))
                last = now
            if progress.active:
                progress.report(epoch, job["step"], _loss_so_far(job))
            outcome.reason = _reason(job, plan, status)
            outcome.interrupted = status == STOPPED
            outcome.failed = status in (NOT_FINITE, SPOILED, SINGULAR)
            if status == PAUSED and not outcome.reason:
                outcome.reason = _epoch_ended(job, plan, watch, outcome, now - started)
            elif epoch >= plan.epochs and not outcome.reason:
                outcome.reason = f"all {plan.epochs} epochs done"
    return outcome


def _loss_so_far(job: Job) -> float:
    """The mean over the last finished epoch, which the result will also say; before that, the last batch's."""
    return float(job.history[job["epoch"] - 1]) if job["epoch"] else job.last_loss


def _reason(job: Job, plan: Plan, status: int) -> str:
    """Why a fit ends here, or nothing."""
    if status == STOPPED:
        return f"interrupted in epoch {job['epoch'] + 1} after {job['step']} steps"
    if status in (NOT_FINITE, SPOILED):
        kept = "the last finite ones" if job.restore(status == SPOILED) else "those of the start"
        what = "the loss became" if not np.isfinite(job.last_loss) else "a gradient became"
        shown = f" {job.last_loss}" if not np.isfinite(job.last_loss) else " nan or inf"
        return (
            f"{what}{shown} at step {job['step']} (epoch {job['epoch'] + 1}); the parameters are {kept}"
        )
    if status == SINGULAR:
        return f"a matrix was singular at step {job['step']} (epoch {job['epoch'] + 1})"
    return ""


def _epoch_ended(job: Job, plan: Plan, watch: Watch, outcome: Outcome, passed: float) -> str:
    """Validation, stopping rules and callbacks; returns the reason to stop, if any."""
    epoch = job["epoch"] - 1
    values = {"loss": float(job.history[epoch])}
    if watch.evaluate is not None:
        found = watch.evaluate()
        for name, value in found.items():
            outcome.values.setdefault(name, []).append(value)
        values.update(found)
    norm = float(np.linalg.norm(job.gradient.astype(np.float64)))
    report = EpochReport(epoch, plan.epochs, job["step"], passed, values, norm, watch.parameters())
    for callback in watch.callbacks:
        if callback(report) is False:
            return f"a callback ended the fit after epoch {epoch + 1}"
    for rule in watch.rules:
        reason = rule.check(report)
        if reason is not None:
            return reason
    return f"all {plan.epochs} epochs done" if epoch + 1 >= plan.epochs else ""
