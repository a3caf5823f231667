"""Squares of numbers turned over in registers: vectors that are there already, or rows that lie in memory."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import placed
from sympile.compiler.code.value import Value, typed

PIECE = 128  # bits that instructions load into a part of a register, or a multiple of them


def transposed(lanes: Lanes, rows: Sequence[Value]) -> list[Value]:
    """As many vectors as lanes → lane i of the results' j-th is lane j of the i-th: halves swapped, then quarters, …"""
    return _swapped(lanes, rows, lanes.lanes)


def columns_of(lanes: Lanes, rows: Sequence[Value], width: int) -> list[Value]:
    """Numbers 0, …, width - 1 of the rows that begin at so many pointers as there are lanes, the rows in the lanes.

    Rows are loaded by pieces of half a register, into which loads put them together: that is the last of the swaps,
    which wait for few units otherwise.
    """
    found: dict[int, Value] = {}
    for start, count in _parts(lanes, width):
        pointers = [lanes.function.gep(lanes.element, row, start) for row in rows]
        for at, column in enumerate(_columns(lanes, pointers, count, width), start):
            found.setdefault(at, column)
    return [found[at] for at in range(width)]


def _parts(lanes: Lanes, width: int) -> list[tuple[int, int]]:
    """Where pieces begin and how many numbers they have; the last one may begin before the others end."""
    piece, least = lanes.lanes // 2, PIECE // lanes.bits
    if piece < least:
        piece = least = lanes.lanes
    if width < least:
        return [(0, lanes.lanes)]
    while piece > width:
        piece //= 2
    parts = [(start, piece) for start in range(0, width - piece + 1, piece)]
    if width % piece:
        last = max(least, 1 << (width % piece - 1).bit_length())
        parts.append((width - last, last))
    return parts


def _columns(lanes: Lanes, rows: Sequence[Value], count: int, width: int) -> list[Value]:
    """The first numbers of rows; all of them, where there are not so many."""
    if count > width:
        mask = lanes.first(width)
        return transposed(lanes, [lanes.load_masked(row, mask) for row in rows])[:width]
    piece, apart = lanes.narrowed(count), range(0, lanes.lanes, count)
    together = [placed(lanes, [piece.load(rows[first + k]) for first in apart]) for k in range(count)]
    return _swapped(lanes, together, count)


def _swapped(lanes: Lanes, rows: Sequence[Value], count: int) -> list[Value]:
    """Squares of so many lanes, side by side in as many vectors, each turned over."""
    result = list(rows)
    distance = 1
    while distance < count:
        for at in range(count):
            if not at & distance:
                pair = result[at], result[at + distance]
                result[at], result[at + distance] = _lower(lanes, pair, distance), _upper(lanes, pair, distance)
        distance *= 2
    return result


def _lower(lanes: Lanes, pair: tuple[Value, Value], distance: int) -> Value:
    count = lanes.lanes
    return _chosen(lanes, pair, [count + lane - distance if lane & distance else lane for lane in range(count)])


def _upper(lanes: Lanes, pair: tuple[Value, Value], distance: int) -> Value:
    count = lanes.lanes
    return _chosen(lanes, pair, [count + lane if lane & distance else lane + distance for lane in range(count)])


def _chosen(lanes: Lanes, pair: tuple[Value, Value], places: Sequence[int]) -> Value:
    """Lanes of two vectors, counted through both."""
    order = ", ".join(f"i32 {place}" for place in places)
    text = f"shufflevector {typed(pair[0])}, {typed(pair[1])}, <{lanes.lanes} x i32> <{order}>"
    return lanes.function.emit(text, lanes.real)
