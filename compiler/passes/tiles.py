"""Register tiles of a reduction: which axes give rows, how many, and how many vectors; by a model of a core's cycles."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.conditions import conditions_of, unguarded
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import Node, extent, postorder

ROWS = 26            # of one axis in a tile
SECONDS = 9          # of a second axis, all of which stand in the tile
VECTORS = 4
CHAINS = 8           # multiply-adds that must be under way at once: latency 4, two in a cycle
EDGE = 10.0          # cycles around a tile's innermost loop: leaving it, results
SYMBOLIC_ROWS = (8, 4, 2, 1)
UNROLLED = 96        # multiply-adds of a tile that are written one after the other
STEPS = 64           # turns of a loop whose length is not known


@dataclass(frozen=True, slots=True)
class Tile:
    """`rows` steps of one axis times all of a second one times `vectors` vectors."""

    row: Node | None = None
    rows: int = 1
    second: Node | None = None
    vectors: int = 1

    @property
    def seconds(self) -> int:
        return 1 if self.second is None else length_of(self.second)


def length_of(index: Node) -> int:
    """An index's extent as a number for decisions of cost."""
    return extent_value(extent(index), STEPS)


def known(index: Node) -> bool:
    return extent(index).op == "const"


def terms_of(body: Node) -> tuple[Node, ...]:
    """The reads below a body, each a load in every turn."""
    return tuple(node for node in postorder([unguarded(body), *conditions_of(body)]) if node.op == "read")


def operands_of(body: Node) -> tuple[Node, ...]:
    """The factors of a product that vary."""
    return tuple(factor for factor in factors_of(split(unguarded(body))[1]) if factor.free)


def best_tile(tensor: Definition, vector: Node, lanes: int, registers: int) -> Tile:
    """The tile with the least estimated time, for a vector axis of the result (or a reduced one)."""
    axes = tuple(axis for axis in tensor.axes if axis is not vector)
    loads = terms_of(tensor.formula)
    tiles = [tile for tile in _candidates(axes, vector, lanes, vector in tensor.axes) if _fits(tile, loads, vector, registers)]
    return min(tiles, key=lambda tile: _cycles(tile, axes, loads, vector, lanes, tensor))


def _candidates(axes: Sequence[Node], vector: Node, lanes: int, lies: bool) -> Iterator[Tile]:
    most = min(VECTORS, -(-length_of(vector) // lanes)) if lies else 2
    choices = range(1, most + 1) if lies else (1,)
    for row in axes or (None,):
        seconds = [None, *[a for a in axes if a is not row and known(a) and 1 < length_of(a) <= SECONDS]]
        for second, rows, vectors in itertools.product(seconds, _counts(row), choices):
            yield Tile(row, rows, second, vectors)


def _counts(row: Node | None) -> Iterable[int]:
    if row is None:
        return (1,)
    return range(1, min(ROWS, length_of(row)) + 1) if known(row) else SYMBOLIC_ROWS


def _copies(node: Node, rows: int, tile: Tile, vectors: int, vector: Node) -> int:
    """How many different values of a node a tile has."""
    return (
        (rows if tile.row in node.free else 1)
        * (tile.seconds if tile.second in node.free else 1)
        * (vectors if vector in node.free else 1)
    )


def _fits(tile: Tile, loads: Sequence[Node], vector: Node, registers: int) -> bool:
    """Whether sums, the wide operands that rows share, and one more fit the registers."""
    sums = tile.rows * tile.seconds * tile.vectors
    shared = [node for node in loads if vector in node.free and tile.row not in node.free]
    return sums == 1 or sums + tile.vectors * min(1, len(shared)) + 1 + (registers <= 16) <= registers - 1


def _cycles(
    tile: Tile, axes: Sequence[Node], loads: Sequence[Node], vector: Node, lanes: int, tensor: Definition
) -> float:
    """Estimated cycles of all tiles for one turn of every other loop."""
    turns = 1
    for index in tensor.reduced:
        turns *= length_of(index)
    if vector in tensor.reduced:
        turns = -(-turns // lanes)
        columns = [(1, 1)]
    else:
        whole, left = divmod(-(-length_of(vector) // lanes), tile.vectors)
        columns = [(whole, tile.vectors), (1 if left else 0, left)]
    total = 0.0
    for (down, rows), (across, vectors) in itertools.product(_row_tiles(tile), columns):
        if down and across:
            total += down * across * (turns * _turn(tile, rows, vectors, loads, vector) + EDGE + rows * vectors * tile.seconds)
    rest = 1.0
    for axis in axes:
        if axis is not tile.row and axis is not tile.second:
            rest *= length_of(axis)
    inner = 0 if tile.row is None else len(axes) - 1 - axes.index(tile.row)
    return total * rest * (1 + 0.04 * inner)


def _row_tiles(tile: Tile) -> list[tuple[int, int]]:
    """(how many, of how many rows)."""
    if tile.row is None:
        return [(1, 1)]
    whole, left = divmod(length_of(tile.row), tile.rows)
    return [(whole, tile.rows), (1 if left else 0, left)]


def _turn(tile: Tile, rows: int, vectors: int, loads: Sequence[Node], vector: Node) -> float:
    """Cycles of one turn of the innermost loop."""
    sums = rows * tile.seconds * vectors
    read = sum(_copies(node, rows, tile, vectors, vector) for node in loads)
    return max(sums / 2, read / 2, 4.0 if sums < CHAINS else 0.0) + 0.15
