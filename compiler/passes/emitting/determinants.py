"""Determinants and their logarithms from the factors of a matrix: scaled, so that nothing overflows on the way."""

from __future__ import annotations

import math

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.passes.emitting.factors import Call, Factors
from sympile.compiler.rules.machine import call_or_inline


def determinant_parts(call: Call, position: Integer) -> tuple[Value, Value]:
    """The determinant as fraction * 2**exponent (double, i64), 1/2 <= |fraction| < 1: no product overflows."""
    f, factors = call.function, call.factors(position)
    fraction, exponent = _double(call).constant(1.0), i64(0)
    with f.loop(0, call.order, carry=[fraction, exponent]) as loop:
        pivot, own = _parted(call, _swapped(call, factors, i64(loop.index)))  # first, as a denormal would lose digits
        fraction, carry = _parted(call, _double(call).mul(loop.carried[0], pivot))
        loop.next = [fraction, i64(f.add(loop.carried[1], f.add(own, carry)))]
    fraction, exponent = loop.results
    return fraction, exponent


def _double(call: Call) -> Lanes:
    return Lanes(call.function, "double", 1, call.scalar.target)


def _widened(call: Call, value: Value) -> Value:
    return value if value.type == "double" else call.function.emit(f"fpext {typed(value)} to double", "double")


def _narrowed(call: Call, value: Value) -> Value:
    return value if call.scalar.element == "double" else call.function.emit(f"fptrunc {typed(value)} to float", "float")


def _swapped(call: Call, factors: Factors, row: Value) -> Value:
    """A pivot, negated if its row was exchanged with another (LAPACK counts from 1)."""
    f, pivot = call.function, _widened(call, call.pivot(factors, row))
    partner = f.load("i32", f.gep("i32", factors.pivots, row))
    wide = f.emit(f"sext {typed(partner)} to i64", "i64")
    stayed = f.compare("eq", wide, f.add(row, 1))
    return f.pick(stayed, pivot, _double(call).neg(pivot))


def _parted(call: Call, value: Value) -> tuple[Value, Value]:
    """A number's fraction and its power of two."""
    f, kind = call.function, "{ double, i32 }"
    pair = f.call(kind, "@llvm.frexp.f64.i32", value)
    power = f.emit(f"extractvalue {typed(pair)}, 1", "i32")
    return f.emit(f"extractvalue {typed(pair)}, 0", "double"), f.emit(f"sext {typed(power)} to i64", "i64")


def write_determinant(call: Call, position: Integer) -> None:
    f = call.function
    fraction, exponent = determinant_parts(call, position)
    limited = i64(f.max(f.min(exponent, 1 << 20), -(1 << 20)))
    power = f.emit(f"trunc {typed(limited)} to i32", "i32")
    value = f.call("double", "@llvm.ldexp.f64.i32", fraction, power)
    call.scalar.store(_narrowed(call, value), call.address(call.tensor, position))


def _logarithm(call: Call, fraction: Value, exponent: Value) -> Value:
    """log(fraction * 2**exponent), the fraction moved to sqrt(1/2) ... sqrt(2), so that nothing cancels near 1."""
    f, k = call.function, _double(call)
    small = k.compare("olt", k.abs(fraction), math.sqrt(0.5))
    fraction = k.select(small, k.mul(fraction, 2.0), fraction)
    power = i64(f.sub(exponent, f.pick(small, i64(1), i64(0))))
    return k.fma(k.from_integer(power), math.log(2.0), call_or_inline(k, "log", fraction))


def write_log(call: Call, position: Integer) -> None:
    """log(det A): nan where the determinant is negative, -inf where it is 0."""
    fraction, exponent = determinant_parts(call, position)
    value = _logarithm(call, fraction, exponent)
    call.scalar.store(_narrowed(call, value), call.address(call.tensor, position))


def write_log_absolute(call: Call, position: Integer) -> None:
    """log |det A|."""
    fraction, exponent = determinant_parts(call, position)
    value = _logarithm(call, _double(call).abs(fraction), exponent)
    call.scalar.store(_narrowed(call, value), call.address(call.tensor, position))
