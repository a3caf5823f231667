"""Short tables of constants, one entry for each lane: by permutations of registers, or from memory."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import by_registers
from sympile.compiler.code.value import Value, typed


def looked_up(k: Lanes, name: str, numbers: Sequence[float], index: Value) -> Value:
    """numbers[index modulo their count] in each lane.

    Args:
        k: the lanes.
        name: of the table, for where it lies in memory; the same name always comes with the same numbers.
        numbers: as many as a power of two.
        index: integers of the element's width; only the low bits count.
    """
    register = min(k.lanes, 512 // k.bits)
    if k.target.exponents and k.lanes * k.bits in (256, 512, 1024) and len(numbers) in (register, 2 * register):
        return by_registers(k, lambda part, places: _permuted(part, numbers, places), index)
    literals = [k.narrowed(1).constant(number).text for number in numbers]
    table = k.function.module.table(f"sympile.{name}.f{k.bits}", k.element, literals)
    place = k.integer_operation("and", index, len(numbers) - 1)
    wide = k.vector("i64")
    return k.gather(table, place if k.bits == 64 else k.function.emit(f"zext {typed(place)} to {wide}", wide))


def _permuted(k: Lanes, numbers: Sequence[float], index: Value) -> Value:
    """From one or two registers that hold the table (AVX-512); the instructions ignore higher bits of the index."""
    width = k.lanes * k.bits
    low = _register(k, numbers[: k.lanes])
    if len(numbers) == k.lanes:
        kind = "df" if k.bits == 64 else "sf"
        family = "avx2.permps" if (k.bits, width) == (32, 256) else f"avx512.permvar.{kind}.{width}"
        return k.function.call(k.real, f"@llvm.x86.{family}", low, index)
    kind = "pd" if k.bits == 64 else "ps"
    return k.function.call(
        k.real, f"@llvm.x86.avx512.vpermi2var.{kind}.{width}", low, index, _register(k, numbers[k.lanes :])
    )


def _register(k: Lanes, numbers: Sequence[float]) -> Value:
    scalar = k.narrowed(1)
    items = ", ".join(f"{k.element} {scalar.constant(number).text}" for number in numbers)
    return Value(f"<{items}>", k.real)
