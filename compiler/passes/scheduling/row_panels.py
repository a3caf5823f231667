"""Which operands of rows are packed, and how much at a time: those that tiles read far apart from turn to turn.

An operand that all columns of tiles read is read where it lies, unless it does not fit the second-level cache and each
turn of a tile's innermost loop reads other lines of it, as Aᵀ B does: the processor does not foresee them.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from sympile.compiler.code.target import Core
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.scheduling.strides import loads_in, strides_along
from sympile.compiler.passes.scheduling.tiles import Tile, known, length_of
from sympile.compiler.records import dataclass

MANY = 32  # times the second-level cache: a third-level one that large serves many cores, and is far from each
HELD = 2  # operands that the second-level cache holds among others, or panels of rows
SHARE, FEW_ROWS = 4, 128  # of the second-level cache, that so many rows of a block of turns take at most
OFTEN, APART = 2, 3  # columns of tiles that must read a copy, at least; times as many if numbers are copied one by one
PARTS, LEAST = 4, 32  # chunks of rows, at least, that threads share; rows in one


@dataclass(frozen=True, slots=True)
class RowPanels:
    """Packs the operands that tiles read of their rows."""

    tile: Tile
    inner: tuple[Node, ...]  # the reduced indices from the outside in
    lanes: int
    core: Core

    def operands(self, factors: Iterable[Node]) -> tuple[Node, ...]:
        """Those of a product's factors that are worth it."""
        row = self.tile.row
        if row is None or not known(row) or self.core.third <= MANY * self.core.second:
            return ()
        return tuple(factor for factor in factors if self._is_far(factor, row) and self._is_read_often(factor, row))

    def _is_far(self, factor: Node, row: Node) -> bool:
        """Whether an operand does not fit, and tiles read other lines of it in each turn."""
        others = {self.tile.vector, self.tile.second}
        if not {row, self.inner[0]} <= factor.free or others & factor.free:
            return False
        swept = prod(length_of(index) for index in (row, *self.inner) if index in factor.free)
        return swept >= self.core.second // HELD and any(self._jumps(read) for read in loads_in([factor]))

    def _jumps(self, read: Node) -> bool:
        """Whether each turn of the innermost loop that moves a read takes it to another line."""
        step = strides_along(read, [index for index in self.inner if index in read.free][-1])
        return step is None or abs(step) >= self.core.line

    def _is_read_often(self, factor: Node, row: Node) -> bool:
        side_by_side = all(strides_along(read, row) in (0, 1) for read in loads_in([factor]))
        columns = -(-length_of(self.tile.vector) // (self.tile.vectors * self.lanes))
        mean = (columns + 1) / 2 if self.tile.half else columns
        return mean >= OFTEN * (1 if side_by_side else APART)

    def turns(self, row: Node) -> int:
        """Of the outermost reduced index in a block, at most."""
        return self.core.second // SHARE // min(length_of(row), FEW_ROWS) // self._fixed

    def rows(self, row: Node, block: int, operands: int) -> int:
        """In a panel: equal parts of all rows, each of whole tiles."""
        length, step = length_of(row), self.tile.rows
        most = max(1, self.core.second // HELD // (block * self._fixed * operands))
        equal = -(-length // -(-length // most))
        return -(-equal // step) * step

    @property
    def _fixed(self) -> int:
        return prod(length_of(index) for index in self.inner[1:])


def grain_of(length: int, rows: int, panel: int) -> int:
    """Rows of a chunk: as few as give several threads something to do, but so many that columns are packed for them."""
    return min(panel, max(-(-length // PARTS), LEAST) // rows * rows or rows)
