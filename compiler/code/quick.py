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

    Newton's steps r + r (1 - x r) from the processor's guess r; what that has for 0, inf and nan is right and stays.
    Two steps are r + r m with m = e (1 + e + e²), e = 1 - x r, so that what chooses is a mask of the last instruction.
    The error is its rounding and e⁴, an eighth of an ulp. (r e is quicker than m, but may underflow.)
    """
    return by_registers(k, _reciprocal, value)


def _reciprocal(k: Lanes, value: Value) -> Value:
    guess = _guess(k, value)
    opposite = k.neg(value)
    error = k.fma(opposite, guess, 1.0)
    near = k.compare("ogt", error, -1.0)  # of 0, inf and nan it is nan or -inf
    if STEPS[k.bits] == 1:
        return k.select(near, k.fma(guess, error, guess), guess)
    more = k.fma(error, error, k.fma(opposite, guess, 2.0))
    return k.select(near, k.fma(guess, k.mul(error, more), guess), guess)


def _guess(k: Lanes, value: Value, name: str = "rcp14") -> Value:
    """1 / value, or 1 / sqrt(value), to 14 bits."""
    mask = literal(-1, "i16" if k.lanes == 16 else "i8")
    kind = "pd" if k.bits == 64 else "ps"
    whole = f"@llvm.x86.avx512.{name}.{kind}.{k.lanes * k.bits}"
    return k.function.call(k.real, whole, value, k.constant(0.0), mask)


def _refined(k: Lanes, value: Value, guess: Value) -> Value:
    """1 / value after Newton's steps."""
    for _ in range(STEPS[k.bits]):
        guess = k.fma(guess, k.fma(k.neg(value), guess, 1.0), guess)
    return guess


def quotient(k: Lanes, above: Value, below: Value) -> Value:
    """above / below within 0.501 ulp, mostly without a division; only where `has_one`.

    The product with a refined reciprocal is put right by what it leaves, which is exact unless `above` or the quotient
    is nearly denormal (2 ulp). A guess of 0 or infinity, an operand that is no number, and a product that overflows all
    end in nan, and a reciprocal that underflows is 0 in fits: where a lane has one of both, all of them are divided.
    """
    return by_registers(k, _quotient, above, below)


def _quotient(k: Lanes, above: Value, below: Value) -> Value:
    refined = _refined(k, below, _guess(k, below))
    near = k.mul(above, refined)
    right = k.fma(k.fma(k.neg(near), below, above), refined, near)
    unusual = k.any_of(k.compare("uno", right, right), k.compare("oeq", refined, 0.0))
    with k.function.either(k.somewhere(unusual), unlikely=True) as choice:
        with choice.then():
            choice.give(k.div(above, below))
        with choice.otherwise():
            choice.give(k.copysign(right, near))  # of -0 nothing is left but 0
    return choice.results[0]


def over_root(k: Lanes, above: Value, below: Value) -> Value:
    """above / sqrt(below) within 1.6 ulp (2 of denormal results), mostly without both; only where `has_one`.

    Newton's steps y + y (1 - x y**2) / 2 from the processor's guess, the last one with `above` in y's place; in float64
    the first one has the next term of its series, too. What is unusual ends in nan, as with `quotient`.
    """
    return by_registers(k, _over_root, above, below)


def _over_root(k: Lanes, above: Value, below: Value) -> Value:
    guess = _guess(k, below, "rsqrt14")
    off = k.fma(k.neg(k.mul(below, guess)), guess, 1.0)
    if k.bits == 64:
        guess = k.fma(guess, k.mul(off, k.fma(off, 0.375, 0.5)), guess)
        off = k.fma(k.neg(k.mul(below, guess)), guess, 1.0)
    near = k.mul(above, guess)
    right = k.fma(k.mul(near, 0.5), off, near)
    with k.function.either(k.somewhere(k.compare("uno", right, right)), unlikely=True) as choice:
        with choice.then():
            choice.give(k.div(above, k.sqrt(below)))
        with choice.otherwise():
            choice.give(k.copysign(right, near))
    return choice.results[0]


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


def quotient_by_fixed(k: Lanes, above: Value, below: Value, inverse: Value) -> Value:
    """above / below from the rounded inverse of what is the same in all turns of a loop, and neither 0 nor infinite.

    The same bits as the processor's division (Markstein 1990), but of results near denormal ones.
    """
    guess = k.mul(above, inverse)
    left = k.fma(guess, k.neg(below), above)  # exact
    right = k.fma(left, inverse, guess)
    return k.select(k.compare("one", left, 0.0), right, guess)  # inf, nan and -0 are right as they are
