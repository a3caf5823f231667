"""The other half of a symmetric matrix of which one has been computed: copied in squares turned over in registers."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.transpose import transposed
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node, extent
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Mirror:
    """Writes element (i, j) to (j, i) for all i > j, i along the rows of tiles, j along their vectors."""

    frame: Frame
    group: Group
    loops: Loops
    wide: Lanes

    def write(self) -> None:
        """All of it."""
        (tensor,) = self.group.stored
        pair = (self.loops.row, self.loops.vector)
        self._matrices([axis for axis in tensor.axes if axis not in pair], 0)

    def _matrices(self, axes: Sequence[Node], offset: Integer) -> None:
        """One at each position of some axes."""
        (tensor,) = self.group.stored
        if not axes:
            self._matrix(self.frame.function.gep(self.wide.element, self.frame.pointer(tensor), offset))
            return
        function = self.frame.function
        with function.loop(0, self.frame.extent(extent(axes[0]))) as loop:
            step = function.mul(loop.index, self._stride(axes[0]))
            self._matrices(axes[1:], function.add(offset, step))

    def _stride(self, axis: Node) -> Integer:
        (tensor,) = self.group.stored
        return self.frame.strides(tensor)[tensor.axes.index(axis)]

    @property
    def _apart(self) -> Node:
        """The one of both axes whose steps are lines; those of the other one, the last axis, are numbers."""
        (tensor,) = self.group.stored
        (axis,) = (axis for axis in (self.loops.row, self.loops.vector) if axis is not tensor.axes[-1])
        assert axis is not None
        return axis

    def _matrix(self, start: Value) -> None:
        """Whole squares; then number by number the rows that fill none."""
        function, lanes = self.frame.function, self.wide.lanes
        length = self.frame.extent(extent(self._apart))
        whole = function.sub(length, function.rem(length, lanes))
        with function.loop(0, whole, lanes) as down:
            with function.loop(0, down.index, lanes) as across:
                self._square(start, down.index, across.index)
            self._on_diagonal(start, down.index)
        one = self.wide.narrowed(1)
        with function.loop(whole, length) as row, function.loop(0, row.index) as column:
            source, copy = self._there_and_back(row.index, column.index)
            one.store(one.load(self._at(start, *source)), self._at(start, *copy))

    def _there_and_back(self, row: Integer, column: Integer) -> tuple[tuple[Integer, Integer], tuple[Integer, Integer]]:
        """Of an element below the diagonal, (line, number in it), and where its copy goes."""
        pair = (row, column), (column, row)
        return pair if self._apart is self.loops.row else pair[::-1]

    def _square(self, start: Value, row: Integer, column: Integer) -> None:
        source, copy = self._there_and_back(row, column)
        turned = transposed(self.wide, self._load(start, *source))
        for place, value in zip(self._lines(start, *copy), turned, strict=True):
            self.wide.store(value, place)

    def _on_diagonal(self, start: Value, at: Integer) -> None:
        """A square that keeps what lies on the diagonal, and the half that has been computed."""
        wide, lines = self.wide, self._load(start, at, at)
        for number, (place, turned) in enumerate(zip(self._lines(start, at, at), transposed(wide, lines), strict=True)):
            if self._apart is self.loops.row:
                value = wide.select(wide.first(number + 1), lines[number], turned)
            else:
                value = wide.select(wide.first(number), turned, lines[number])
            wide.store(value, place)

    def _load(self, start: Value, line: Integer, number: Integer) -> list[Value]:
        return [self.wide.load(place) for place in self._lines(start, line, number)]

    def _lines(self, start: Value, line: Integer, number: Integer) -> list[Value]:
        """Where each line of a square begins."""
        return [self._at(start, self.frame.function.add(line, n), number) for n in range(self.wide.lanes)]

    def _at(self, start: Value, line: Integer, number: Integer) -> Value:
        function = self.frame.function
        offset = function.add(function.mul(line, self._stride(self._apart)), number)
        return function.gep(self.wide.element, start, offset)
