"""Back to the last finite parameters: the loop is deterministic, so what went wrong is run again, one step less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Rewind:
    """A copy of all that the native loop changes, made between slices while the parameters are finite."""

    __slots__ = ("_copies", "_live", "_parameters", "_since")

    def __init__(self, parameters: Array, live: Sequence[Array]) -> None:
        """Takes what to watch.

        Args:
            parameters: what must be finite.
            live: every array that the loop reads and changes, the parameters among them.
        """
        self._parameters = parameters
        self._live = tuple(live)
        self._copies: tuple[Array, ...] | None = None
        self._since = 0  # slices since the copy was made

    def keep(self) -> None:
        """Copies everything, if the parameters are finite."""
        self._since += 1
        if not np.isfinite(self._parameters).all():
            return
        if self._copies is None:
            self._copies = tuple(array.copy() for array in self._live)
        else:
            for copy, array in zip(self._copies, self._live, strict=True):
                np.copyto(copy, array)
        self._since = 0

    def last_finite(self, replay: Callable[[], None]) -> None:
        """Makes the parameters those before the update that spoiled them.

        Args:
            replay: runs the loop from the copied state up to that update. Where they were spoiled long before it
                showed, the copied parameters are taken as they are.
        """
        if self._copies is None or np.isfinite(self._parameters).all():
            return
        now = [array.copy() for array in self._live]
        self._restore(self._copies)
        if self._since <= 1:
            replay()
        parameters = self._parameters.copy()
        if not np.isfinite(parameters).all():
            self._restore(self._copies)
            parameters = self._parameters.copy()
        self._restore(now)
        np.copyto(self._parameters, parameters)

    def _restore(self, arrays: Sequence[Array]) -> None:
        for array, copy in zip(self._live, arrays, strict=True):
            np.copyto(array, copy)
