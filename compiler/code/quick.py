"""Steps that some processors take in one instruction: scaling by 2**n, taking numbers apart."""

from __future__ import annotations

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Value, literal

INTERVAL = literal(0b1111, "i32")      # within 3/4 ... 3/2; nan below 0, 1 for zeros of both signs
CURRENT = literal(4, "i32")            # the rounding mode that is set


def has_one(k: Lanes) -> bool:
    """Whether these lanes fill a register of a processor that knows the instructions."""
    return k.target.exponents and k.lanes * k.bits in (128, 256, 512)


def scaled(k: Lanes, value: Value, power: Value) -> Value:
    """value * 2**power for whole numbers `power`, rounded once; only where `has_one`."""
    return _instruction(k, "scalef", value, power)


def exponent(k: Lanes, value: Value) -> Value:
    """floor(log2 |value|); -inf of 0, inf of inf, nan of nan; only where `has_one`."""
    return _instruction(k, "getexp", value)


def significand(k: Lanes, value: Value) -> Value:
    """What is within 3/4 ... 3/2 of value / 2**n; 1 of 0 and inf, nan below 0; only where `has_one`."""
    return _instruction(k, "getmant", value, extra=(INTERVAL,))


def _instruction(k: Lanes, name: str, *values: Value, extra: tuple[Value, ...] = ()) -> Value:
    """An AVX-512 instruction on all lanes."""
    width = k.lanes * k.bits
    kind = "pd" if k.bits == 64 else "ps"
    mask = literal(-1, "i16" if k.lanes == 16 else "i8")
    rounding = (CURRENT,) if width == 512 else ()
    whole = f"@llvm.x86.avx512.mask.{name}.{kind}.{width}"
    return k.function.call(k.real, whole, *values, *extra, k.constant(0.0), mask, *rounding)
