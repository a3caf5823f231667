"""Back to the last finite parameters: the loop is deterministic, so what went wrong is run again, one step less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Rewind:
    """A copy of all that the native loop changes, made between slices while the parameters are finite."""

    __slots__ = ("_copies", "_live", "_pairs", "_parameters", "_since")

    def __init__(self, parameters: Array, live: Sequence[Array]) -> None:
        """Takes what to watch.

        Args:
            parameters: what must be finite.
            live: every array that the loop reads and changes, without gaps; the parameters lie in the first one, in
                front.
        """
        self._parameters = parameters
        self._live = tuple(live)
        self._copies = tuple([np.empty_like(array) for array in live])
        self._pairs = [
            (copy.data.cast("B"), array.data.cast("B"))
            for copy, array in zip(self._copies, self._live, strict=True)
        ]
        self._since = 0  # slices since the copy was made

    @property
    def bytes(self) -> int:
        """The memory of the copy."""
        return sum(array.nbytes for array in self._copies)

    def begin(self) -> None:
        """Copies everything as it is before the first slice, finite or not."""
        self._since = 0
        for copy, live in self._pairs:
            copy[:] = live

    def keep(self) -> None:
        """Copies everything between two slices, if the parameters are finite."""
        self._since += 1
        if np.isfinite(self._parameters).all():
            self.begin()

    def again(self, replay: Callable[[], None]) -> None:
        """Makes the parameters what they are after `replay`, which runs the loop from the copied state.

        Where they had not been finite for long, the copied parameters are taken as they are.
        """
        now = [array.copy() for array in self._live]
        self._restore(self._copies)
        if self._since <= 1:
            replay()
        parameters = self._parameters.copy()
        self._restore(now)
        np.copyto(self._parameters, parameters)

    def last_finite(self, replay: Callable[[], None]) -> None:
        """Makes the parameters those before the update that spoiled them.

        Args:
            replay: runs the loop from the copied state up to that update. Where they were spoiled long before it
                showed, the copied parameters are taken as they are.
        """
        kept = self._copies[0].reshape(-1)[: self._parameters.size]
        if np.isfinite(self._parameters).all() or not np.isfinite(kept).all():
            return
        now = [array.copy() for array in self._live]
        self._restore(self._copies)
        if self._since <= 1:
            replay()
        parameters = self._parameters.copy()
        if not np.isfinite(parameters).all():
            parameters = kept.copy()
        self._restore(now)
        np.copyto(self._parameters, parameters)

    def _restore(self, arrays: Sequence[Array]) -> None:
        for array, copy in zip(self._live, arrays, strict=True):
            np.copyto(array, copy)
