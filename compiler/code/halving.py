"""Reductions of several vectors at once, which takes a third of the instructions of one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Value, typed


def packed(wide: Lanes, vectors: Sequence[Value], combine: Callable[[Lanes, Value, Value], Value]) -> Value:
    """The reductions of so many vectors, side by side: pairs are halved into one vector, until one number each is left.

    The order is that of `Lanes.reduce_add` of each: lane i with lane i + n/2, then the halves again. Neighbours come
    together last, so that the last numbers of two vectors are exchanged between neighbouring lanes, which is quick.
    """
    if len(vectors) > 1 and wide.lanes > 2:
        even, odd = [_down_to(2, wide, list(vectors[start::2]), combine) for start in (0, 1)]
        lanes = _count(even)
        places = [place for k in range(0, lanes, 2) for place in (k, lanes + k)]
        halves = [_shuffled(wide, even, odd, [place + shift for place in places]) for shift in (0, 1)]
        return combine(wide.narrowed(lanes), halves[0], halves[1])
    return _down_to(1, wide, list(vectors), combine)


def _down_to(
    last: int, wide: Lanes, vectors: Sequence[Value], combine: Callable[[Lanes, Value, Value], Value]
) -> Value:
    """Segments of so many numbers, one of each vector."""
    now, segment = list(vectors), wide.lanes
    while segment > last:
        segment //= 2
        pairs = [now[k : k + 2] for k in range(0, len(now), 2)]
        now = [_halved(wide, pair, segment, combine) for pair in pairs]
    return now[0]


def _halved(wide: Lanes, pair: Sequence[Value], segment: int, combine: Callable[[Lanes, Value, Value], Value]) -> Value:
    """The lower halves of all segments with the upper ones; segments of the second vector follow those of the first."""
    lanes = _count(pair[0])
    lower = [k for k in range(lanes * len(pair)) if k % (2 * segment) < segment]
    narrow = wide.narrowed(len(lower))
    first, second = pair[0], pair[-1] if len(pair) > 1 else Value("poison", pair[0].type)
    halves = [_shuffled(wide, first, second, [k + shift for k in lower]) for shift in (0, segment)]
    return combine(narrow, halves[0], halves[1])


def _shuffled(wide: Lanes, first: Value, second: Value, places: Sequence[int]) -> Value:
    if len(places) == 1:
        return wide.function.emit(f"extractelement {typed(first)}, i64 {places[0]}", wide.element)
    listed = ", ".join(f"i32 {place}" for place in places)
    kind = f"<{len(places)} x {wide.element}>"
    return wide.function.emit(f"shufflevector {typed(first)}, {typed(second)}, <{len(places)} x i32> <{listed}>", kind)


def _count(value: Value) -> int:
    return int(value.type[1:].split(" ", 1)[0]) if value.type.startswith("<") else 1
