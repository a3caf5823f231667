"""A vector value with operators, so that formulas of the vector mathematics read as formulas."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.polynomial import estrin, horner
from sympile.compiler.code.value import Value
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The truth of each lane."""

    lanes: Lanes
    value: Value

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.lanes, self.lanes.both(self.value, other.value))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.lanes, self.lanes.any_of(self.value, other.value))

    def __xor__(self, other: Mask) -> Mask:
        return Mask(self.lanes, self.lanes.differ(self.value, other.value))

    def __invert__(self) -> Mask:
        return Mask(self.lanes, self.lanes.negated(self.value))

    def pick(self, yes: Number | float, no: Number | float) -> Number:
        """`yes` where it holds, else `no`."""
        return Number(self.lanes, self.lanes.select(self.value, _operand(yes), _operand(no)))


@dataclass(frozen=True, slots=True, eq=False)
class Bits:
    """The bits of each lane, as an integer of the element's width."""

    lanes: Lanes
    value: Value

    def __add__(self, other: Bits | int) -> Bits:
        return self._with("add", other)

    def __sub__(self, other: Bits | int) -> Bits:
        return self._with("sub", other)

    def __rsub__(self, other: int) -> Bits:
        return Bits(self.lanes, self.lanes.integer_constant(other)) - self

    def __mul__(self, other: Bits | int) -> Bits:
        return self._with("mul", other)

    def __and__(self, other: Bits | int) -> Bits:
        return self._with("and", other)

    def __or__(self, other: Bits | int) -> Bits:
        return self._with("or", other)

    def __xor__(self, other: Bits | int) -> Bits:
        return self._with("xor", other)

    def __lshift__(self, places: int) -> Bits:
        return self._with("shl", places)

    def __rshift__(self, places: int) -> Bits:
        return self._with("lshr", places)

    def number(self) -> Number:
        """The number that has these bits."""
        return Number(self.lanes, self.lanes.from_bits(self.value))

    def compare(self, predicate: str, other: int) -> Mask:
        """The mask of a comparison with a constant: eq, ne, slt, ..."""
        return Mask(self.lanes, self.lanes.integer_compare(predicate, self.value, self.lanes.integer_constant(other)))

    def _with(self, operation: str, other: Bits | int) -> Bits:
        operand = other if isinstance(other, int) else other.value
        return Bits(self.lanes, self.lanes.integer_operation(operation, self.value, operand))


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A real number in each lane; comparisons are false at nan."""

    lanes: Lanes
    value: Value

    def __add__(self, other: Number | float) -> Number:
        return Number(self.lanes, self.lanes.add(self.value, _operand(other)))

    def __sub__(self, other: Number | float) -> Number:
        return Number(self.lanes, self.lanes.sub(self.value, _operand(other)))

    def __mul__(self, other: Number | float) -> Number:
        return Number(self.lanes, self.lanes.mul(self.value, _operand(other)))

    def __truediv__(self, other: Number | float) -> Number:
        return Number(self.lanes, self.lanes.div(self.value, _operand(other)))

    def __radd__(self, other: float) -> Number:
        return Number(self.lanes, self.lanes.add(other, self.value))

    def __rmul__(self, other: float) -> Number:
        return Number(self.lanes, self.lanes.mul(other, self.value))

    def __rsub__(self, other: float) -> Number:
        return Number(self.lanes, self.lanes.sub(other, self.value))

    def __rtruediv__(self, other: float) -> Number:
        return Number(self.lanes, self.lanes.div(other, self.value))

    def __neg__(self) -> Number:
        return Number(self.lanes, self.lanes.neg(self.value))

    def __abs__(self) -> Number:
        return Number(self.lanes, self.lanes.abs(self.value))

    def __lt__(self, other: Number | float) -> Mask:
        return self.compare("olt", other)

    def __le__(self, other: Number | float) -> Mask:
        return self.compare("ole", other)

    def __gt__(self, other: Number | float) -> Mask:
        return self.compare("ogt", other)

    def __ge__(self, other: Number | float) -> Mask:
        return self.compare("oge", other)

    def compare(self, predicate: str, other: Number | float) -> Mask:
        """The mask of any of LLVM's comparisons: oeq, one, ult, uno, ..."""
        return Mask(self.lanes, self.lanes.compare(predicate, self.value, _operand(other)))

    def equals(self, other: Number | float) -> Mask:
        """Where the two are equal numbers (0 equals -0)."""
        return self.compare("oeq", other)

    def is_nan(self) -> Mask:
        """Where it is nan."""
        return self.compare("uno", self)

    def is_negative(self) -> Mask:
        """Where the sign bit is set, of zeros too."""
        return self.bits().compare("slt", 0)

    def fma(self, factor: Number | float, addend: Number | float) -> Number:
        """self*factor + addend, rounded once."""
        return Number(self.lanes, self.lanes.fma(self.value, _operand(factor), _operand(addend)))

    def sqrt(self) -> Number:
        """The square root, correctly rounded."""
        return Number(self.lanes, self.lanes.sqrt(self.value))

    def floor(self) -> Number:
        """The largest whole number not above."""
        return Number(self.lanes, self.lanes.floor(self.value))

    def ceil(self) -> Number:
        """The smallest whole number not below."""
        return Number(self.lanes, self.lanes.ceil(self.value))

    def with_sign_of(self, other: Number) -> Number:
        """This magnitude, that sign."""
        return Number(self.lanes, self.lanes.copysign(self.value, other.value))

    def below(self, bound: Number | float) -> Number:
        """At most the bound; nan stays."""
        return Number(self.lanes, self.lanes.below(self.value, _operand(bound)))

    def above(self, bound: Number | float) -> Number:
        """At least the bound; nan stays."""
        return Number(self.lanes, self.lanes.above(self.value, _operand(bound)))

    def bits(self) -> Bits:
        """Its bits."""
        return Bits(self.lanes, self.lanes.to_bits(self.value))

    def polynomial(self, coefficients: Sequence[Number | float], block: int = 2) -> Number:
        """c0 + c1*x + ... by Estrin's scheme; block 0 means Horner's."""
        factors = [_operand(coefficient) for coefficient in coefficients]
        if not block:
            return Number(self.lanes, horner(self.lanes, self.value, factors))
        return Number(self.lanes, estrin(self.lanes, self.value, factors, block))


def _operand(number: Number | float) -> Value | float:
    return number.value if isinstance(number, Number) else number
