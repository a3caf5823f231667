"""Results whose rows lie side by side in memory, not their lanes: squares are turned over in registers, then stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sympile.compiler.code.transpose import transposed
from sympile.compiler.code.value import Value
from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.scheduling.strides import own_stride
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest

FEWEST = 3  # rows that are turned over; fewer are stored number by number


@dataclass(frozen=True, slots=True)
class TurnedStores:
    """Writes one tensor at the places of a tile whose rows lie side by side in memory."""

    nest: Nest
    tensor: Definition

    def fits(self, places: Sequence[Place]) -> bool:
        """Whether rows are what lies side by side, and there are enough of them."""
        loops, wide = self.nest.loops, self.nest.elements.wide
        if wide.lanes == 1 or loops.row is None or loops.vector not in self.tensor.axes:
            return False
        if places[-1].row + 1 < FEWEST:
            return False
        return own_stride(self.tensor, loops.row) == 1 and not any(place.masked for place in places)

    def write(self, places: Sequence[Place], values: Sequence[Value]) -> None:
        """Stores everything; values are in the order of the places."""
        columns: dict[tuple[int, int], list[Value]] = {}
        for place, value in zip(places, values, strict=True):  # from the first row to the last
            columns.setdefault((place.second, place.vector), []).append(value)
        lanes = self.nest.elements.wide.lanes
        for (second, vector), rows in columns.items():
            for start in range(0, len(rows), lanes):
                self._write_square(Place(start, vector, False, second), rows[start : start + lanes])

    def _write_square(self, place: Place, rows: Sequence[Value]) -> None:
        """Up to as many rows as there are lanes, from a place on."""
        function, wide = self.nest.elements.frame.function, self.nest.elements.wide
        pointer, along, *_ = address(self.nest.elements, self.tensor, self.tensor.axes, place)
        assert along is not None
        mask = None if len(rows) == wide.lanes else wide.first(len(rows))
        lines = transposed(wide, [*rows, *[rows[-1]] * (wide.lanes - len(rows))])
        for lane, line in enumerate(lines):
            wide.store_strided(line, function.gep(wide.element, pointer, function.mul(along, lane)), 1, mask)
