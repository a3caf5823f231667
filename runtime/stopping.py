"""Rules that end a fit early, at the end of an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Protocol, runtime_checkable

from sympile.compiler.errors import ArgumentError, did_you_mean, listed
from sympile.runtime.report import EpochReport


@runtime_checkable
class StoppingRule(Protocol):
    """What `fit(stop=...)` takes: anything with these two methods."""

    def reset(self) -> None:
        """Forgets all epochs seen; `fit` calls it before the first."""

    def check(self, report: EpochReport) -> str | None:
        """The reason to stop after this epoch, or None."""


def stopping_rules(stop: StoppingRule | Iterable[StoppingRule] | None) -> tuple[StoppingRule, ...]:
    """The rules of `fit(stop=...)`, forgetful of earlier fits.

    Args:
        stop: None, one rule, or several of which the first that fires ends the fit.

    Raises:
        ArgumentError: one of them is no rule.
    """
    if stop is None:
        return ()
    rules = (stop,) if isinstance(stop, StoppingRule) else tuple(stop) if isinstance(stop, Iterable) else (stop,)
    for rule in rules:
        if not isinstance(rule, StoppingRule):
            raise ArgumentError(f"stop must be a rule such as sm.no_improvement(), or a list of rules, not {rule!r}")
        rule.reset()
    return rules


class NoImprovement:
    """Stops when the best value is `patience` epochs old; make it with `no_improvement`."""

    __slots__ = ("_best", "_since", "min_delta", "monitor", "patience")

    def __init__(self, patience: int, min_delta: float, monitor: str) -> None:
        self.patience, self.min_delta, self.monitor = patience, min_delta, monitor
        self.reset()

    def reset(self) -> None:
        self._best, self._since = math.inf, 0

    def check(self, report: EpochReport) -> str | None:
        name = self._monitored(report)
        value = report.values[name]
        if value < self._best - self.min_delta:    # never true of nan: a loss that is lost does not improve
            self._best, self._since = value, 0
            return None
        self._since += 1
        if self._since < self.patience:
            return None
        return f"no improvement of {name} below {self._best:.6g} for {self._since} epochs"

    def _monitored(self, report: EpochReport) -> str:
        if self.monitor in report.values:
            return self.monitor
        if self.monitor == "validation_loss":
            return "loss"
        names = list(report.values)
        raise ArgumentError(
            f"no_improvement monitors {self.monitor!r}, which this fit does not have"
            f"{did_you_mean(self.monitor, names)}; it has {listed(names)}"
        )

    def __repr__(self) -> str:
        return f"no_improvement(patience={self.patience}, min_delta={self.min_delta}, monitor={self.monitor!r})"


class SmallGradient:
    """Stops when the gradient is small; make it with `small_gradient`."""

    __slots__ = ("tolerance",)

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance

    def reset(self) -> None:
        """Nothing to forget."""

    def check(self, report: EpochReport) -> str | None:
        if report.gradient_norm <= self.tolerance:
            return f"the gradient's norm {report.gradient_norm:.3g} is at most {self.tolerance:g}"
        return None

    def __repr__(self) -> str:
        return f"small_gradient({self.tolerance})"


def no_improvement(patience: int = 5, min_delta: float = 0.0, monitor: str = "validation_loss") -> NoImprovement:
    """Stops a fit whose loss has not fallen for some epochs.

    Args:
        patience: epochs without improvement until the stop, at least 1.
        min_delta: a fall by this much or less is no improvement; 0 or more.
        monitor: "validation_loss" (default; "loss" where there are no validation data), "loss", or the name of a
            metric of which less is better.

    Raises:
        ArgumentError: a value out of its range.

    Example:
        >>> no_improvement(patience=3)
        no_improvement(patience=3, min_delta=0.0, monitor='validation_loss')
    """
    if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
        raise ArgumentError(f"patience must be an integer from 1, not {patience!r}")
    if not isinstance(min_delta, Real) or not (min_delta >= 0 and math.isfinite(min_delta)):
        raise ArgumentError(f"min_delta must be 0 or more, not {min_delta!r}")
    return NoImprovement(patience, float(min_delta), monitor)


def small_gradient(tolerance: float) -> SmallGradient:
    """Stops a fit whose gradient is almost zero.

    Args:
        tolerance: the norm (root of the sum of squares over all parameters) at which to stop, more than 0. The
            gradient is that of the epoch's last update; with minibatches it is a noisy one.

    Raises:
        ArgumentError: the tolerance is not a positive number.

    Example:
        >>> small_gradient(1e-8)
        small_gradient(1e-08)
    """
    if not isinstance(tolerance, Real) or not (tolerance > 0 and math.isfinite(tolerance)):
        raise ArgumentError(f"tolerance must be more than 0, not {tolerance!r}")
    return SmallGradient(float(tolerance))
