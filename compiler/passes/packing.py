"""Which operands of a sum of products are packed before tiles read them, and how much at a time."""

from __future__ import annotations

from math import prod

from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.conditions import unguarded
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.strides import strides_along
from sympile.compiler.passes.tiles import Tile, known, length_of
from sympile.compiler.records import dataclass

# All in numbers: float64 takes twice the room of float32, and both stay within the caches and the stack.
PANEL = 16384  # of a panel of vectors at most
SPAN = 32768  # of packed rows at most
CACHED = 6144  # of an operand that the first-level cache holds as it lies
LARGE = 65536  # of an operand whose rows are packed
OFTEN, TURNED_OFTEN, ROWS_OFTEN = 6, 1, 8  # how many tiles must read a copy, at least
ROW_LANES = 8  # at most, for rows to be packed: float32 of AVX-512 is read faster as it lies (512³: 84 %, packed 60 %)
TURNS = 256  # in a block, if rows are packed


@dataclass(frozen=True, slots=True)
class _Shape:
    """A tile, and the reduced indices from the outside in."""

    tile: Tile
    inner: tuple[Node, ...]
    lanes: int

    @property
    def turns(self) -> int:
        return prod(length_of(index) for index in self.inner)

    @property
    def row_tiles(self) -> int:
        return 1 if self.tile.row is None else -(-length_of(self.tile.row) // self.tile.rows)

    @property
    def column_tiles(self) -> int:
        return -(-length_of(self.tile.vector) // (self.lanes * self.tile.vectors))


def packing(
    body: Node, tensor: Definition, tile: Tile, inner: tuple[Node, ...], lanes: int
) -> tuple[tuple[Node, ...], tuple[Node, ...], int, int]:
    """(operands packed by vectors, operands packed by rows, turns of inner[0] in a block, rows in a span)."""
    nothing = (), (), 0, 0
    if tensor.monoid != "sum" or tile.vector in inner or tile.row is None or lanes == 1:
        return nothing
    if not all(known(index) for index in inner[1:]):
        return nothing
    shape = _Shape(tile, inner, lanes)
    factors = [factor for factor in factors_of(split(unguarded(body))[1]) if not factor.free.isdisjoint(inner)]
    across = tuple(factor for factor in factors if _is_panel(factor, shape))
    down = tuple(factor for factor in factors if _is_row_panel(factor, shape)) if across else ()
    fixed = prod(length_of(index) for index in inner[1:])
    block = _block(inner[0], PANEL // (tile.vectors * lanes * fixed), TURNS // fixed if down else PANEL)
    if not across or block < 1:
        return nothing
    return across, down, block, _span(tile, SPAN // (block * fixed)) if down else 0


def _block(index: Node, *limits: int) -> int:
    """Turns in a block: equal blocks if the number of turns is known."""
    most = min(limits)
    if most < 1 or not known(index):
        return most
    return -(-length_of(index) // -(-length_of(index) // most))


def _span(tile: Tile, most: int) -> int:
    """Rows in a span, whole tiles: about equal spans if the number of rows is known."""
    assert tile.row is not None
    rows = max(most, tile.rows)
    if known(tile.row):
        rows = -(-length_of(tile.row) // max(1, round(length_of(tile.row) / rows)))
    return -(-rows // tile.rows) * tile.rows


def _is_panel(factor: Node, shape: _Shape) -> bool:
    """Whether an operand that all rows of tiles read lies so that a copy of it is read faster."""
    tile = shape.tile
    if tile.vector not in factor.free or tile.row in factor.free or tile.second in factor.free:
        return False
    if factor.op != "read" or strides_along(factor, tile.vector) != 1:
        return shape.row_tiles > TURNED_OFTEN
    steps = [strides_along(factor, index) or 1 for index in shape.inner if index in factor.free]
    return shape.row_tiles >= OFTEN and shape.turns * max(1, min(steps)) > CACHED


def _is_row_panel(factor: Node, shape: _Shape) -> bool:
    """Whether an operand that all columns of tiles read is so large that its rows would not stay in the caches."""
    tile = shape.tile
    if tile.row is None or tile.vector in factor.free or tile.row not in factor.free or tile.second is not None:
        return False
    return shape.lanes <= ROW_LANES and shape.column_tiles >= ROWS_OFTEN and shape.turns * length_of(tile.row) > LARGE
