"""Short tables of constants, one entry for each lane: by permutations of registers, or from memory."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import REGISTER, placed, share, shares, widened
from sympile.compiler.code.transpose import transposed
from sympile.compiler.code.value import Value, typed


def looked_up(k: Lanes, name: str, numbers: Sequence[float], index: Value) -> Value:
    """numbers[index modulo their count] in each lane.

    Args:
        k: the lanes.
        name: of the table, for where it lies in memory; the same name always comes with the same numbers.
        numbers: as many as a power of two.
        index: integers of the element's width; only the low bits count.
    """
    register = _at_once(k)
    if k.lanes > register:
        part = k.narrowed(register)
        return placed(k, [looked_up(part, name, numbers, places) for places in shares(k, index, register)])
    if _has_permutations(k, len(numbers)):
        return _permuted(k, numbers, index)
    whole = k.narrowed(REGISTER // k.bits)
    if 1 < k.lanes < whole.lanes and _has_permutations(whole, len(numbers)):
        return share(whole, looked_up(whole, name, numbers, widened(k, index, whole.lanes)), 0, k.lanes)
    if _has_words(k, len(numbers)):
        return _permuted_words(k, numbers, index)
    literals = [k.narrowed(1).constant(number).text for number in numbers]
    table = k.function.module.table(f"sympile.{name}.f{k.bits}", k.element, literals)
    place = k.integer_operation("and", index, len(numbers) - 1)
    wide = k.vector("i64")
    return k.gather(table, place if k.bits == 64 else k.function.emit(f"zext {typed(place)} to {wide}", wide))


def columns_looked_up(k: Lanes, name: str, columns: Sequence[Sequence[float]], index: Value) -> list[Value]:
    """The same for several tables at one index; from memory, rows of all of them are read and turned over."""
    register, count = _at_once(k), len(columns[0])
    if k.lanes > register:
        part = k.narrowed(register)
        found = [columns_looked_up(part, name, columns, places) for places in shares(k, index, register)]
        return [placed(k, parts) for parts in zip(*found, strict=True)]
    if (k.lanes > 1 and _has_permutations(k.narrowed(REGISTER // k.bits), count)) or _has_words(k, count):
        return [looked_up(k, f"{name}.{at}", numbers, index) for at, numbers in enumerate(columns)]
    return _rows_turned_over(k, name, columns, index)


def _rows_turned_over(k: Lanes, name: str, columns: Sequence[Sequence[float]], index: Value) -> list[Value]:
    """From memory, where a row has what stands in all tables at one place, and is as long whatever the lanes."""
    scalar, register, count = k.narrowed(1), _at_once(k), len(columns[0])
    width = -(-len(columns) // register) * register
    padded = [*columns, *[[0.0] * count] * (width - len(columns))]
    literals = [scalar.constant(column[at]).text for at in range(count) for column in padded]
    table = k.function.module.table(f"sympile.{name}.f{k.bits}", k.element, literals)
    place = k.integer_operation("mul", k.integer_operation("and", index, count - 1), width)
    rows = [k.function.gep(k.element, table, _wide(scalar, k.extract(place, lane))) for lane in range(k.lanes)]
    found: list[Value] = []
    for start in range(0, len(columns), k.lanes):
        found += transposed(k, [k.load(k.function.gep(k.element, row, start)) for row in rows])
    return found[: len(columns)]


def _at_once(k: Lanes) -> int:
    """How many lanes are looked up together: those of the machine's widest registers."""
    return REGISTER // k.bits if k.target.exponents else k.target.lanes(k.element)


def _wide(k: Lanes, place: Value) -> Value:
    """A place as an i64."""
    return place if k.bits == 64 else k.function.emit(f"zext {typed(place)} to i64", "i64")


def _has_permutations(k: Lanes, count: int) -> bool:
    """Whether tables of so many numbers are looked up within one or two registers (AVX-512)."""
    register = min(k.lanes, 512 // k.bits)
    return k.target.exponents and k.lanes * k.bits in (256, 512) and count in (register, 2 * register)


def _has_words(k: Lanes, count: int) -> bool:
    """The same for float32 (AVX2)."""
    return k.target.name == "avx2" and (k.bits, k.lanes) == (32, 8) and count in (8, 16)


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


def _permuted_words(k: Lanes, numbers: Sequence[float], index: Value) -> Value:
    """From one or two registers of float32 (AVX2); the bit of the index above chooses."""
    found = [
        k.function.call(k.real, "@llvm.x86.avx2.permps", _register(k, numbers[start : start + k.lanes]), index)
        for start in range(0, len(numbers), k.lanes)
    ]
    if len(found) == 1:
        return found[0]
    flag = k.integer_operation("and", index, k.lanes)
    return k.select(k.integer_compare("ne", flag, k.integer_constant(0)), found[1], found[0])


def _register(k: Lanes, numbers: Sequence[float]) -> Value:
    scalar = k.narrowed(1)
    items = ", ".join(f"{k.element} {scalar.constant(number).text}" for number in numbers)
    return Value(f"<{items}>", k.real)
