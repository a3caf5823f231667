"""Cells → memory: a square of cells by examples is turned over in registers, so that neighbours are written together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympile.compiler.code.transpose import transposed
from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ZERO, Node, const
from sympile.compiler.passes.cells import cell_positions, listed_axes
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import Place

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


@dataclass(frozen=True, slots=True)
class CellStores:
    """Writes the cells of one tensor, at one place of the loops."""

    nest: Nest
    tensor: Definition
    place: Place

    def write(self) -> None:
        cells = self.nest.group.body(self.tensor).args
        if self._are_rows:
            self._write_rows(cells)
        else:
            self._write_apart(cells)

    @property
    def _are_rows(self) -> bool:
        """Whether the cells of one example lie side by side, and examples lie across the lanes."""
        axes, listed = self.tensor.axes, listed_axes(self.tensor)
        outer = len(axes) - len(listed)
        return self._is_wide and axes[outer:] == listed and axes[outer - 1] is self.nest.loops.vector

    @property
    def _is_wide(self) -> bool:
        return self.nest.loops.vector in self.tensor.axes and self.nest.elements.wide.lanes > 1

    def _write_apart(self, cells: Sequence[Node]) -> None:
        """Each cell on its own."""
        elements = self.nest.elements
        values = [elements.wide_value(c, self.place) if self._is_wide else elements.value(c, self.place) for c in cells]
        for position, value in zip(cell_positions(self.tensor), values, strict=True):
            pointer, along, _ = address(elements, self.tensor, self._at(position), self.place)
            if not self._is_wide:
                elements.scalar.store(value, pointer)
                continue
            assert along is not None
            elements.wide.store_strided(value, pointer, along, elements.mask if self.place.masked else None)

    def _at(self, position: Sequence[int]) -> tuple[Node, ...]:
        pins = dict(zip(listed_axes(self.tensor), position, strict=True))
        return tuple(const(pins[axis]) if axis in pins else axis for axis in self.tensor.axes)

    # ------------------------------------------------------------------------------------------ side by side

    def _write_rows(self, cells: Sequence[Node]) -> None:
        """Rows of cells, one for each lane; of a masked vector they go through a room on the stack."""
        elements = self.nest.elements
        listed = listed_axes(self.tensor)
        at = tuple(ZERO if axis in listed else axis for axis in self.tensor.axes)
        pointer, _, _ = address(elements, self.tensor, at, self.place)
        if not self.place.masked or elements.mask is None:
            self._blocks(cells, pointer)
            return
        function, wide = elements.frame.function, elements.wide
        room = function.alloca(wide.element, wide.lanes * len(cells))
        self._blocks(cells, room)
        size = function.mul(self._rows_in_mask(elements.mask), len(cells) * wide.bytes)
        function.call("void", "@llvm.memcpy.p0.p0.i64", pointer, room, i64(size), Value("false", "i1"))

    def _rows_in_mask(self, mask: Value) -> Integer:
        function, lanes = self.nest.elements.frame.function, self.nest.elements.wide.lanes
        bits = function.emit(f"bitcast {typed(mask)} to i{lanes}", f"i{lanes}")
        wide = function.emit(f"zext {typed(bits)} to i64", "i64")
        return function.call("i64", "@llvm.ctpop.i64", wide)

    def _blocks(self, cells: Sequence[Node], pointer: Value) -> None:
        """As many cells at once as there are lanes; the last block may overlap the one before."""
        elements = self.nest.elements
        function, wide = elements.frame.function, elements.wide
        for start, block in self._cut(cells):
            values = [elements.wide_value(cell, self.place) for cell in block]
            missing = wide.lanes - len(values)
            for lane, row in enumerate(transposed(wide, [*values, *values[-1:] * missing])):
                there = function.gep(wide.element, pointer, lane * len(cells) + start)
                if missing:
                    wide.store_masked(row, there, wide.first(len(values)))
                else:
                    wide.store(row, there)

    def _cut(self, cells: Sequence[Node]) -> Iterator[tuple[int, Sequence[Node]]]:
        lanes = self.nest.elements.wide.lanes
        for start in range(0, len(cells), lanes):
            start = min(start, max(0, len(cells) - lanes))
            yield start, cells[start : start + lanes]
