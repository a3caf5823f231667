"""Steps that some processors take in one instruction: scaling by 2**n, taking numbers apart."""

from __future__ import annotations

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import by_registers
from sympile.compiler.code.value import Value, literal

INTERVAL = literal(0b1111, "i32")      # within 3/4 ... 3/2; nan below 0, 1 for zeros of both signs
FROM_ONE = literal(0b0100, "i32")      # within 1 ... 2, of the absolute value
ZEROS_AND_BEYOND = literal(0x9F, "i32")   # zeros, infinities, nan
CURRENT = literal(4, "i32")            # the rounding mode that is set
STEPS = {64: 2, 32: 1}                 # of Newton's, which double the 14 bits of a guess


def has_one(k: Lanes) -> bool:
    """Whether these lanes fill a register of a processor that knows the instructions."""
    return k.target.exponents and k.lanes * k.bits in (128, 256, 512, 1024)


def scaled(k: Lanes, value: Value, power: Value) -> Value:
    """value * 2**power for whole numbers `power`, rounded once; only where `has_one`."""
    return _instruction(k, "scalef", value, power)


def exponent(k: Lanes, value: Value) -> Value:
    """floor(log2 |value|); -inf of 0, inf of inf, nan of nan; only where `has_one`."""
    return _instruction(k, "getexp", value)


def significand(k: Lanes, value: Value) -> Value:
    """What is within 3/4 ... 3/2 of value / 2**n; 1 of 0 and inf, nan below 0; only where `has_one`."""
    return _instruction(k, "getmant", value, extra=(INTERVAL,))


def significand_from_one(k: Lanes, value: Value) -> Value:
    """What is within 1 ... 2 of |value| / 2**n; 1 of 0 and inf; only where `has_one`."""
    return _instruction(k, "getmant", value, extra=(FROM_ONE,))


def zero_or_beyond(k: Lanes, value: Value) -> Value:
    """The mask of zeros, infinities and nan; only where `has_one`."""
    return by_registers(k, _class, value)


def reciprocal(k: Lanes, value: Value) -> Value:
    """1 / value within 1 ulp, without a division; only where `has_one`.

    Newton's steps r + r (1 - x r) from the processor's guess; what that has for 0, inf and nan is right and stays. Past
    the guess they are fused multiply-adds, and the last one's error is its rounding and an eighth of an ulp.
    """
    return by_registers(k, _reciprocal, value)


def _reciprocal(k: Lanes, value: Value) -> Value:
    mask = literal(-1, "i16" if k.lanes == 16 else "i8")
    kind = "pd" if k.bits == 64 else "ps"
    whole = f"@llvm.x86.avx512.rcp14.{kind}.{k.lanes * k.bits}"
    guess = k.function.call(k.real, whole, value, k.constant(0.0), mask)
    rest = k.fma(k.neg(value), guess, 1.0)
    near, better = k.compare("ogt", rest, -1.0), k.fma(guess, rest, guess)  # of 0, inf and nan, rest is nan or -inf
    for _ in range(STEPS[k.bits] - 1):
        better = k.fma(better, k.fma(k.neg(value), better, 1.0), better)
    return k.select(near, better, guess)


def _class(k: Lanes, value: Value) -> Value:
    kind = "pd" if k.bits == 64 else "ps"
    return k.function.call(k.mask, f"@llvm.x86.avx512.fpclass.{kind}.{k.lanes * k.bits}", value, ZEROS_AND_BEYOND)


def _instruction(k: Lanes, name: str, *values: Value, extra: tuple[Value, ...] = ()) -> Value:
    """An AVX-512 instruction on all lanes."""

    def on_register(part: Lanes, *inputs: Value) -> Value:
        width = part.lanes * part.bits
        kind = "pd" if part.bits == 64 else "ps"
        mask = literal(-1, "i16" if part.lanes == 16 else "i8")
        rounding = (CURRENT,) if width == 512 else ()
        whole = f"@llvm.x86.avx512.mask.{name}.{kind}.{width}"
        return part.function.call(part.real, whole, *inputs, *extra, part.constant(0.0), mask, *rounding)

    return by_registers(k, on_register, *values)
