"""A progress bar on standard error, silent where nobody looks."""

from __future__ import annotations

import sys
from importlib import import_module
from types import TracebackType
from typing import Any, Self

from sympile.compiler.errors import ArgumentError

PATIENCE = 0.5    # seconds until the bar appears where nobody asked for it: quick fits stay quiet


class Progress:
    """One bar for a whole fit: the epoch, the loss, steps per second, and the time that remains."""

    __slots__ = ("_bar", "_epochs")

    def __init__(self, epochs: int, steps: int, verbose: bool | int | None = None) -> None:
        """Opens the bar.

        Args:
            epochs: of the whole fit.
            steps: updates of the whole fit.
            verbose: None shows the bar in a terminal, for fits that take a while; True or 1 always; False or 0 never.

        Raises:
            ArgumentError: another `verbose`.
        """
        if verbose not in (None, True, False):
            raise ArgumentError(f"verbose must be None, True or False (1 or 0), not {verbose!r}")
        self._epochs = epochs
        self._bar = _bar(f"epoch 1/{epochs}", steps, wait=verbose is None) if _wanted(verbose) else None

    @property
    def active(self) -> bool:
        """Whether anybody sees it; where not, the fit need not return from native code to report."""
        return self._bar is not None

    def report(self, epoch: int, steps: int, loss: float) -> None:
        """Moves the bar.

        Args:
            epoch: counts from 0.
            steps: updates made since the start.
            loss: the latest known.
        """
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {min(epoch + 1, self._epochs)}/{self._epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {loss:.5g}", refresh=False)
            self._bar.update(steps - self._bar.n)

    def close(self) -> None:
        """Draws the bar a last time and ends its line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _wanted(verbose: bool | int | None) -> bool:
    if sys.stderr is None:    # a program without a console
        return False
    return sys.stderr.isatty() if verbose is None else bool(verbose)


def _bar(description: str, steps: int, *, wait: bool) -> Any:
    return import_module("tqdm").tqdm(  # optional: slow to load
        desc=description,
        total=steps,
        unit=" steps",
        unit_scale=True,
        file=sys.stderr,
        delay=PATIENCE if wait else 0,
        dynamic_ncols=True,
        bar_format="{desc} |{bar}| {percentage:3.0f}%{postfix} [{rate_fmt}, {remaining} left]",
    )
