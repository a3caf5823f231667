"""A square of numbers turned over in registers."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Value, typed


def transposed(lanes: Lanes, rows: Sequence[Value]) -> list[Value]:
    """As many vectors as lanes → lane i of the results' j-th is lane j of the i-th: halves swapped, then quarters, …"""
    count, result = lanes.lanes, list(rows)
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
