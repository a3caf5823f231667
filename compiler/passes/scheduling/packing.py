"""Which operands of a sum of products are packed before tiles read them, and how much at a time."""

from __future__ import annotations

from math import prod

from sympile.compiler.code.target import Core
from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.conditions import unguarded
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import Node, target
from sympile.compiler.passes.scheduling.places import crowd, ways
from sympile.compiler.passes.scheduling.row_panels import HELD, MANY, RowPanels
from sympile.compiler.passes.scheduling.strides import strides_along
from sympile.compiler.passes.scheduling.tiles import Tile, known, length_of
from sympile.compiler.records import dataclass

PANEL = 8  # panels that the second-level cache has room for; they lie on the stack
KEPT = 4  # times the lines of a panel: what the second-level cache must hold of such rows, so that the next ones stay
OFTEN, TURNED_OFTEN = 6, 1  # how many tiles must read a copy, at least


@dataclass(frozen=True, slots=True)
class _Shape:
    """A tile, and the reduced indices from the outside in."""

    tile: Tile
    inner: tuple[Node, ...]
    core: Core

    @property
    def turns(self) -> int:
        return prod(length_of(index) for index in self.inner)

    @property
    def row_tiles(self) -> int:
        """How many tiles a column has, of half a matrix in the mean."""
        if self.tile.row is None:
            return 1
        return -(-length_of(self.tile.row) // (self.tile.rows * (1 + self.tile.half)))


@dataclass(frozen=True, slots=True)
class Packing:
    """What is copied side by side before tiles read it."""

    packed: tuple[Node, ...] = ()  # operands of columns
    block: int = 0  # turns of inner[0] that are done at once
    rows: tuple[Node, ...] = ()  # operands of rows
    row_block: int = 0  # rows that are done at once


def packing(body: Node, tensor: Definition, tile: Tile, inner: tuple[Node, ...], lanes: int, core: Core) -> Packing:
    """The operands of a sum of products that are packed."""
    nothing = Packing()
    if tensor.monoid != "sum" or tile.row is None or lanes == 1 or not all(map(known, inner[1:])):
        return nothing
    shape = _Shape(tile, inner, core)
    factors = [factor for factor in factors_of(split(unguarded(body))[1]) if not factor.free.isdisjoint(inner)]
    if tile.vector in inner:
        lines = tuple(factor for factor in factors if _is_lines(factor, shape))
        return Packing(lines, length_of(inner[0])) if lines else nothing
    across = tuple(factor for factor in factors if _is_panel(factor, shape))
    room = core.second // PANEL // (tile.vectors * lanes * prod(length_of(index) for index in inner[1:]))
    panels = RowPanels(tile, inner, lanes, core)
    rows = panels.operands(factors)
    if rows and (block := _block(inner[0], min(room // 2, panels.turns(tile.row)))):
        return Packing(across, block, rows, panels.rows(tile.row, block, len(rows)))
    block = _block(inner[0], room)
    return Packing(across, block) if across and block else nothing


def _block(index: Node, most: int) -> int:
    """Turns in a block: equal blocks if the number of turns is known."""
    if most < 1 or not known(index):
        return most
    return -(-length_of(index) // -(-length_of(index) // most))


def _is_lines(factor: Node, shape: _Shape) -> bool:
    """Whether lanes along a sum lie apart in an operand that all rows read, and a copy fits the cache."""
    tile = shape.tile
    if factor.op != "read" or tile.vector not in factor.free or tile.row in factor.free or not known(shape.inner[0]):
        return False
    lines = length_of(tile.second) if tile.second is not None and tile.second in factor.free else 1
    fits = lines * shape.turns <= shape.core.second // PANEL
    return fits and shape.row_tiles > TURNED_OFTEN and strides_along(factor, tile.vector) not in (0, 1)


def _is_panel(factor: Node, shape: _Shape) -> bool:
    """Whether an operand that all rows of tiles read lies so that a copy of it is read faster."""
    tile = shape.tile
    if tile.vector not in factor.free or tile.row in factor.free or tile.second in factor.free:
        return False
    if factor.op != "read" or strides_along(factor, tile.vector) != 1:
        return shape.row_tiles > TURNED_OFTEN
    steps = [_step(factor, index) for index in shape.inner if index in factor.free]
    return shape.row_tiles >= OFTEN and shape.turns * max(1, min(steps)) > shape.core.first


def _step(factor: Node, index: Node) -> int:
    """How far an operand moves for one step of an index; where data say, as far as its rows are long."""
    found = strides_along(factor, index)
    if found is None:
        return prod(extent_value(length) for length in target(factor).shape[1:])
    return found or 1


def turns_from_afar(
    read: Node, vector: Node, width: int, inner: tuple[Node, ...], block: int, core: Core
) -> int | None:
    """From how many turns in a panel on a read of an operand comes from far caches, its rows lying apart.

    None where the lines of as many rows would not stay in the second-level cache until the next panel is packed.
    """
    if strides_along(read, vector) != 1 or core.third <= MANY * core.second or len(inner) > 1:
        return None
    step = _step(read, inner[0])
    lines = max(1, width // core.line) * crowd(block, step, core)
    if step < width or lines > ways(core.second, core) // KEPT:
        return None
    return core.second // HELD // step
