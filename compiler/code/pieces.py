"""Values that fill several registers: their shares, and instructions that take one full register."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Value, typed

REGISTER = 512         # bits


def by_registers(k: Lanes, instruction: Callable[..., Value], *values: Value) -> Value:
    """instruction(lanes, values) on each register's share of the lanes."""
    if k.lanes * k.bits <= REGISTER:
        return instruction(k, *values)
    half = k.narrowed(k.lanes // 2)
    low = by_registers(half, instruction, *(share(k, value, 0, half.lanes) for value in values))
    high = by_registers(half, instruction, *(share(k, value, half.lanes, half.lanes) for value in values))
    return joined(k, [low, high])


def shares(k: Lanes, value: Value, lanes: int) -> list[Value]:
    """A value cut into vectors of so many lanes."""
    return [value] if lanes == k.lanes else [share(k, value, start, lanes) for start in range(0, k.lanes, lanes)]


def share(k: Lanes, value: Value, start: int, count: int) -> Value:
    """Some neighbouring lanes."""
    places = ", ".join(f"i32 {start + lane}" for lane in range(count))
    shuffled = f"shufflevector {typed(value)}, {value.type} poison, <{count} x i32> <{places}>"
    return k.function.emit(shuffled, value.type.replace(f"<{k.lanes} ", f"<{count} ", 1))


def widened(k: Lanes, value: Value, lanes: int) -> Value:
    """A value in the first of more lanes; what is in the others does not matter."""
    places = ", ".join(f"i32 {lane}" if lane < k.lanes else "i32 poison" for lane in range(lanes))
    shuffled = f"shufflevector {typed(value)}, {value.type} poison, <{lanes} x i32> <{places}>"
    return k.function.emit(shuffled, value.type.replace(f"<{k.lanes} ", f"<{lanes} ", 1))


def joined(k: Lanes, parts: Sequence[Value]) -> Value:
    """One value or two of half the lanes, one after the other."""
    if len(parts) == 1:
        return parts[0]
    low, high = parts
    places = ", ".join(f"i32 {lane}" for lane in range(k.lanes))
    together = f"shufflevector {typed(low)}, {typed(high)}, <{k.lanes} x i32> <{places}>"
    return k.function.emit(together, low.type.replace(f"<{k.lanes // 2} ", f"<{k.lanes} ", 1))


def store_first(k: Lanes, value: Value, pointer: Value, count: int) -> None:
    """Writes the first lanes, in pieces: who reads what a masked store has just written waits for it."""
    start = 0
    while start < count:
        piece = 1 << ((count - start).bit_length() - 1)
        place = k.function.gep(k.element, pointer, start)
        part = k.extract(value, start) if piece == 1 else value if piece == k.lanes else share(k, value, start, piece)
        k.narrowed(piece).store(part, place)
        start += piece


def placed(k: Lanes, parts: Sequence[Value]) -> Value:
    """As many values of equal lengths as fill the lanes, one after the other."""
    now, lanes = list(parts), k.lanes // len(parts)
    while len(now) > 1:
        lanes *= 2
        now = [joined(k.narrowed(lanes), now[at : at + 2]) for at in range(0, len(now), 2)]
    return now[0]
