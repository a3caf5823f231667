"""From where to where an index runs: all of its extent, or the part of it that one chunk of a region covers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sympile.compiler.code.value import Integer
from sympile.compiler.code.writer import Function
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """An index from `first` to before `last`."""

    first: Integer
    last: Integer
    extent: Integer  # of the whole index
    grain: int = 0  # all parts but the last one have a multiple of so many steps; 0: there is one part

    def whole(self, function: Function, step: int) -> Integer:
        """Where the whole strides of so many steps end."""
        if self.left(step) == 0:
            return self.last
        return function.sub(self.last, function.rem(function.sub(self.last, self.first), step))

    def left(self, step: int) -> int | None:
        """How many steps come after the last whole stride, if there are any and their number is known."""
        if not isinstance(self.extent, int) or self.grain % step:
            return None
        return self.extent % step

    @contextmanager
    def at_end(self, function: Function, whole: Integer) -> Iterator[None]:
        """What stands inside happens where steps are left: only the last part has them."""
        if isinstance(whole, int):
            yield
            return
        with function.when(function.compare("ne", whole, self.last)):
            yield


def run_of(extent: Integer) -> Run:
    """All of an extent."""
    return Run(0, extent, extent)
