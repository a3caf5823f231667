"""Cells → memory: squares of cells by examples are turned over in registers; what lies together is written together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sympile.compiler.code.transpose import transposed
from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ZERO, Node, const
from sympile.compiler.passes.emitting.ahead import ask
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.passes.fusing.cells import positions
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest

ROOM = 1024  # cells of one example, for so many of which as there are lanes the stack has room


@dataclass(frozen=True, slots=True)
class CellStores:
    """Writes the cells of one tensor, at one place of the loops."""

    nest: Nest
    tensor: Definition
    place: Place

    def write(self) -> None:
        cells = self.nest.group.body(self.tensor).args
        if self._are_rows and not (self.place.masked and len(cells) > ROOM):
            self._write_rows(cells)
        else:
            self._write_apart(cells)

    @property
    def _listed(self) -> tuple[Node, ...]:
        """The axes without a loop."""
        return tuple(axis for axis in self.tensor.axes if axis not in self.nest.group.domain)

    @property
    def _are_rows(self) -> bool:
        """Whether the cells of one example lie side by side, and examples lie across the lanes."""
        axes, listed = self.tensor.axes, self._listed
        outer = len(axes) - len(listed)
        return self._is_wide and axes[outer:] == listed and axes[outer - 1] is self.nest.loops.vector

    @property
    def _is_wide(self) -> bool:
        return self.nest.loops.vector in self.tensor.axes and self.nest.elements.wide.lanes > 1

    def _write_apart(self, cells: Sequence[Node]) -> None:
        """Each cell on its own."""
        elements, listed = self.nest.elements, self._listed
        values = [elements.wide_value(c, self.place) if self._is_wide else elements.value(c, self.place) for c in cells]
        for position, value in zip(positions(listed), values, strict=True):
            pins = dict(zip(listed, map(const, position), strict=True))
            at = tuple(pins.get(axis, axis) for axis in self.tensor.axes)
            pointer, along, *_ = address(elements, self.tensor, at, self.place)
            if not self._is_wide:
                elements.scalar.store(value, pointer)
                continue
            assert along is not None
            elements.wide.store_strided(value, pointer, along, elements.mask if self.place.masked else None)

    # ------------------------------------------------------------------------------------------ side by side

    def _write_rows(self, cells: Sequence[Node]) -> None:
        """Rows of cells, one for each lane; of a masked vector they go through a room on the stack."""
        elements = self.nest.elements
        listed = self._listed
        at = tuple(ZERO if axis in listed else axis for axis in self.tensor.axes)
        pointer, *_ = address(elements, self.tensor, at, self.place)
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
                ask(elements.frame, wide, self.tensor, there, 1)

    def _cut(self, cells: Sequence[Node]) -> Iterator[tuple[int, Sequence[Node]]]:
        lanes = self.nest.elements.wide.lanes
        for start in range(0, len(cells), lanes):
            start = min(start, max(0, len(cells) - lanes))
            yield start, cells[start : start + lanes]
