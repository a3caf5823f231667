"""All parameters in one array: where each lies, and views of it in the parameters' shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy.typing as npt

from sympile.compiler.records import dataclass
from sympile.runtime.native import aligned

Array = npt.NDArray[Any]
FEW = 8  # so many numbers are moved one by one
CHUNK = 16  # the native loop looks at gradients in steps of this many numbers


@dataclass(frozen=True, slots=True, eq=False)
class FlatLayout:
    """Offsets and shapes by name; large arrays start at a multiple of CHUNK. Of the same shapes there is one."""

    offsets: dict[str, int]
    shapes: dict[str, tuple[int, ...]]
    count: int
    used: int  # numbers up to the end of the last array

    @classmethod
    def of(cls, shapes: Mapping[str, Sequence[int]]) -> FlatLayout:
        """The layout of parameters of these shapes, in their order."""
        return _layout(tuple((name, tuple(shape)) for name, shape in shapes.items()))

    @property
    def moved(self) -> int:
        """The numbers that an update goes through."""
        return self.used if self.few else self.count

    @property
    def few(self) -> bool:
        """Whether the update takes the numbers one by one."""
        return self.used <= FEW

    def zeros(self, dtype: Any) -> Array:
        """A flat array of zeros."""
        return aligned((self.count,), dtype)

    def views(self, flat: Array) -> dict[str, Array]:
        """Each parameter as a view of the flat array."""
        return {name: self.view(flat, name) for name in self.offsets}

    def part(self, flat: Array, name: str) -> Array:
        """The numbers of a parameter in a row, or in each row of an array of rows."""
        return flat[..., self.place(name)]

    def place(self, name: str) -> slice | int:
        """Where the numbers of a parameter lie."""
        start, shape = self.offsets[name], self.shapes[name]
        return slice(start, start + math.prod(shape)) if shape else start

    def view(self, flat: Array, name: str) -> Array:
        start, shape = self.offsets[name], self.shapes[name]
        return flat[..., start : start + math.prod(shape)].reshape((*flat.shape[:-1], *shape))

    def filled(self, values: Mapping[str, Array], dtype: Any) -> Array:
        """A flat array that holds these values."""
        flat = self.zeros(dtype)
        self.fill(flat, values)
        return flat

    def fill(self, flat: Array, values: Mapping[str, Array]) -> None:
        """Writes these values to a flat array."""
        for name, at in self.offsets.items():
            value = values[name]
            if self.shapes[name]:
                flat[at : at + value.size] = value.ravel()
            else:
                flat[at] = value


@lru_cache(maxsize=64)
def _layout(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> FlatLayout:
    offsets: dict[str, int] = {}
    at = 0
    for name, shape in shapes:
        length = math.prod(shape)
        at = _rounded(at) if length >= CHUNK else at
        offsets[name] = at
        at += length
    return FlatLayout(offsets, dict(shapes), max(CHUNK, _rounded(at)), at)


def _rounded(count: int) -> int:
    return -(-count // CHUNK) * CHUNK
