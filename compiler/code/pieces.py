"""Instructions that take one full register, applied to values that fill two."""

from __future__ import annotations

from collections.abc import Callable

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Value, typed

REGISTER = 512         # bits


def by_registers(k: Lanes, instruction: Callable[..., Value], *values: Value) -> Value:
    """instruction(lanes, values) on each register's share of the lanes."""
    if k.lanes * k.bits <= REGISTER:
        return instruction(k, *values)
    half = k.narrowed(k.lanes // 2)
    low = by_registers(half, instruction, *(_part(k, value, 0) for value in values))
    high = by_registers(half, instruction, *(_part(k, value, half.lanes) for value in values))
    places = ", ".join(f"i32 {lane}" for lane in range(k.lanes))
    joined = f"shufflevector {typed(low)}, {typed(high)}, <{k.lanes} x i32> <{places}>"
    return k.function.emit(joined, low.type.replace(f"<{half.lanes} ", f"<{k.lanes} ", 1))


def _part(k: Lanes, value: Value, start: int) -> Value:
    half = k.lanes // 2
    places = ", ".join(f"i32 {start + lane}" for lane in range(half))
    shuffled = f"shufflevector {typed(value)}, {value.type} poison, <{half} x i32> <{places}>"
    return k.function.emit(shuffled, value.type.replace(f"<{k.lanes} ", f"<{half} ", 1))
