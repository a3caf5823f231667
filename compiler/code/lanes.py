"""Arithmetic on vectors of float64 or float32; one lane is plain scalar code."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from sympile.compiler.code.target import Target
from sympile.compiler.code.value import Integer, Value, i64, literal, typed
from sympile.compiler.code.writer import Function
from sympile.compiler.records import dataclass

Real = Value | float   # Python floats become constants of the element type


@dataclass(frozen=True, slots=True)
class Lanes:
    """Writes vector instructions into a function.

    Args:
        function: where the instructions go.
        element: "double" or "float".
        lanes: how many numbers one value holds; 1 is scalar. More than the target's registers hold is allowed.
        target: the machine.

    Example:
        >>> k = Lanes(f, "double", 8, target)
        >>> y = k.fma(x, x, 1.0)
    """

    function: Function
    element: str
    lanes: int
    target: Target

    # ------------------------------------------------------------------------------------------------- types

    @property
    def bits(self) -> int:
        """64 or 32."""
        return 64 if self.element == "double" else 32

    @property
    def bytes(self) -> int:
        """8 or 4."""
        return self.bits // 8

    @property
    def real(self) -> str:
        """The type of a value: "<8 x double>"."""
        return self.vector(self.element)

    @property
    def integer(self) -> str:
        """The type of its bits: "<8 x i64>"."""
        return self.vector(f"i{self.bits}")

    @property
    def mask(self) -> str:
        """The type of a comparison: "<8 x i1>"."""
        return self.vector("i1")

    @property
    def suffix(self) -> str:
        """What intrinsic names end in: "v8f64"."""
        return f"{f'v{self.lanes}' if self.lanes > 1 else ''}f{self.bits}"

    def vector(self, element: str) -> str:
        """As many of `element` as there are lanes."""
        return f"<{self.lanes} x {element}>" if self.lanes > 1 else element

    # --------------------------------------------------------------------------------------------- constants

    def constant(self, number: float) -> Value:
        """The same number in every lane, rounded once to the element type."""
        if self.element == "float":
            with np.errstate(over="ignore"):
                number = float(np.float32(number))
        bits = struct.unpack("<Q", struct.pack("<d", number))[0]
        return self._splat_literal(self.element, f"0x{bits:016X}", self.real)

    def integer_constant(self, number: int) -> Value:
        """The same integer (of the element's width) in every lane."""
        wrapped = (number + (1 << (self.bits - 1))) % (1 << self.bits) - (1 << (self.bits - 1))
        return self._splat_literal(f"i{self.bits}", str(wrapped), self.integer)

    def truth_constant(self, known: bool) -> Value:
        """The same truth in every lane."""
        return self._splat_literal("i1", "true" if known else "false", self.mask)

    def splat(self, scalar: Value) -> Value:
        """A scalar of any type in every lane."""
        kind = self.vector(scalar.type)
        if self.lanes == 1 or not scalar.text.startswith("%"):  # there is a way to write constants
            return self._splat_literal(scalar.type, scalar.text, kind)
        known = self.function.spread.get(scalar.text)
        first = known or self.function.once(f"insertelement {kind} poison, {typed(scalar)}, i64 0", kind)
        return first if known is not None and known.type == kind else self.spread(first, 0)

    def spread(self, vector: Value, lane: int) -> Value:
        """One lane of a vector of any length in every lane."""
        mask, element = f"<{self.lanes} x i32> splat (i32 {lane})", vector.type[vector.type.index("x ") + 2 : -1]
        return self.function.once(f"shufflevector {typed(vector)}, {vector.type} poison, {mask}", self.vector(element))

    def counting(self, start: Integer = 0, step: int = 1) -> Value:
        """The i64 vector start, start + step, start + 2*step, ..."""
        if self.lanes == 1:
            return i64(start)
        steps = Value("<" + ", ".join(f"i64 {lane * step}" for lane in range(self.lanes)) + ">", self.vector("i64"))
        if start == 0:
            return steps
        return self.function.once(f"add {typed(steps)}, {self.splat(i64(start)).text}", steps.type)

    def _splat_literal(self, element: str, text: str, kind: str) -> Value:
        return Value(f"splat ({element} {text})" if self.lanes > 1 else text, kind)

    def lift(self, number: Real) -> Value:
        """A value as it is; a Python number as a constant."""
        return number if isinstance(number, Value) else self.constant(number)

    # -------------------------------------------------------------------------------------------- arithmetic

    def add(self, a: Real, b: Real) -> Value:
        """a + b."""
        return self._binary("fadd", a, b)

    def sub(self, a: Real, b: Real) -> Value:
        """a - b."""
        return self._binary("fsub", a, b)

    def mul(self, a: Real, b: Real) -> Value:
        """a * b."""
        return self._binary("fmul", a, b)

    def div(self, a: Real, b: Real) -> Value:
        """a / b, correctly rounded."""
        return self._binary("fdiv", a, b)

    def neg(self, a: Real) -> Value:
        """-a: flips the sign, of zeros and nan too."""
        return self.function.once(f"fneg {typed(self.lift(a))}", self.real)

    def fma(self, a: Real, b: Real, c: Real) -> Value:
        """a*b + c with one rounding; on a target without that instruction, with two."""
        return self.intrinsic("fma" if self.target.fma else "fmuladd", a, b, c)

    def sqrt(self, a: Real) -> Value:
        """The square root, correctly rounded."""
        return self.intrinsic("sqrt", a)

    def abs(self, a: Real) -> Value:
        """|a|."""
        return self.intrinsic("fabs", a)

    def floor(self, a: Real) -> Value:
        """The largest whole number that is not above a."""
        return self.intrinsic("floor", a)

    def ceil(self, a: Real) -> Value:
        """The smallest whole number that is not below a."""
        return self.intrinsic("ceil", a)

    def copysign(self, magnitude: Real, sign: Real) -> Value:
        """The magnitude of one number with the sign of another."""
        return self.intrinsic("copysign", magnitude, sign)

    def below(self, a: Real, bound: Real) -> Value:
        """The smaller of a and a bound; a nan in `a` stays (one vminpd on x86)."""
        bound = self.lift(bound)
        return self.select(self.compare("olt", bound, a), bound, a)

    def above(self, a: Real, bound: Real) -> Value:
        """The larger of a and a bound; a nan in `a` stays."""
        bound = self.lift(bound)
        return self.select(self.compare("ogt", bound, a), bound, a)

    def minimum(self, a: Real, b: Real) -> Value:
        """The smaller of two numbers; a nan on either side wins, as in np.minimum."""
        return self._extreme("olt", a, b)

    def maximum(self, a: Real, b: Real) -> Value:
        """The larger of two numbers; a nan on either side wins, as in np.maximum."""
        return self._extreme("ogt", a, b)

    def intrinsic(self, name: str, *values: Real) -> Value:
        """Calls `llvm.name` on values of this element type."""
        return self.function.call(self.real, f"@llvm.{name}.{self.suffix}", *map(self.lift, values))

    def _binary(self, operation: str, a: Real, b: Real) -> Value:
        a = a if isinstance(a, Value) else self.constant(a)
        b = b if isinstance(b, Value) else self.constant(b)
        return self.function.emit(f"{operation} {a.type} {a.text}, {b.text}", a.type)

    def _extreme(self, predicate: str, a: Real, b: Real) -> Value:
        a, b = self.lift(a), self.lift(b)
        chosen = self.select(self.compare(predicate, a, b), a, b)       # b where either is nan
        return self.select(self.compare("uno", a, a), a, chosen)

    # -------------------------------------------------------------------------------------- truth and choice

    def compare(self, predicate: str, a: Real, b: Real) -> Value:
        """The mask of a comparison: oeq, olt, ole, ogt, oge, one (false at nan), ult, une, uno, ... (true at nan)."""
        a, b = self.lift(a), self.lift(b)
        return self.function.emit(f"fcmp {predicate} {a.type} {a.text}, {b.text}", self.mask)

    def integer_compare(self, predicate: str, a: Value, b: Value) -> Value:
        """The mask of a comparison of integers: eq, ne, slt, ult, ..."""
        return self.function.emit(f"icmp {predicate} {typed(a)}, {b.text}", self.mask)

    def select(self, mask: Value, a: Real, b: Real) -> Value:
        """a where the mask holds, else b; nothing of the other one shows."""
        return self.function.pick(mask, self.lift(a), self.lift(b))

    def both(self, a: Value, b: Value) -> Value:
        """The lanes where both masks (or bits) hold."""
        return self.function.emit(f"and {typed(a)}, {b.text}", a.type)

    def any_of(self, a: Value, b: Value) -> Value:
        """The lanes where one of two masks (or bits) holds."""
        return self.function.emit(f"or {typed(a)}, {b.text}", a.type)

    def differ(self, a: Value, b: Value) -> Value:
        """The lanes where exactly one of two masks (or bits) holds."""
        return self.function.emit(f"xor {typed(a)}, {b.text}", a.type)

    def negated(self, a: Value) -> Value:
        """The lanes where a mask does not hold."""
        return self.differ(a, self.truth_constant(True))

    def somewhere(self, mask: Value) -> Value:
        """Whether any lane of a mask holds (i1)."""
        if self.lanes == 1:
            return mask
        packed = self.function.emit(f"bitcast {typed(mask)} to i{self.lanes}", f"i{self.lanes}")
        return self.function.emit(f"icmp ne {typed(packed)}, 0", "i1")

    # --------------------------------------------------------------------------------------- bits, integers

    def to_bits(self, a: Value) -> Value:
        """The bits of a number, as an integer."""
        return self.function.emit(f"bitcast {typed(a)} to {self.integer}", self.integer)

    def from_bits(self, a: Value) -> Value:
        """The number that has these bits."""
        return self.function.emit(f"bitcast {typed(a)} to {self.real}", self.real)

    def integer_operation(self, operation: str, a: Value, b: Value | int) -> Value:
        """add, sub, mul, shl, lshr, ashr, and, or, xor on integers of the element's width."""
        other = self.integer_constant(b) if isinstance(b, int) else b
        return self.function.emit(f"{operation} {typed(a)}, {other.text}", a.type)

    def from_integer(self, a: Value) -> Value:
        """Signed integers of any width as numbers."""
        return self.function.emit(f"sitofp {typed(a)} to {self.real}", self.real)

    def to_integer(self, a: Value, width: int = 64) -> Value:
        """Whole numbers as signed integers; anything that does not fit is poison."""
        kind = self.vector(f"i{width}")
        return self.function.emit(f"fptosi {typed(a)} to {kind}", kind)

    # ------------------------------------------------------------------------------------------------ memory

    def load(self, pointer: Value, align: int = 0) -> Value:
        """As many numbers as there are lanes, side by side; align 0 means that of one number."""
        return self.function.load(self.real, pointer, align or self.bytes)

    def store(self, value: Value, pointer: Value, align: int = 0) -> None:
        """Writes as many numbers as there are lanes, side by side."""
        self.function.store(value, pointer, align or self.bytes)

    def first(self, count: Integer) -> Value:
        """The mask of the first `count` lanes (all of them where count is larger)."""
        if self.lanes == 1:
            return self.function.compare("sgt", count, 0)
        limit = self.splat(i64(count))
        return self.integer_compare("slt", self.counting(), limit)

    def load_masked(self, pointer: Value, mask: Value, other: Real = 0.0) -> Value:
        """Reads only the lanes of the mask; the rest are `other`."""
        fallback = self.lift(other)
        if self.lanes > 1:
            align = literal(self.bytes, "i32")
            name = f"@llvm.masked.load.{self.suffix}.p0"
            return self.function.call(self.real, name, pointer, align, mask, fallback)
        with self.function.either(mask) as choice:
            with choice.then():
                choice.give(self.load(pointer))
            with choice.otherwise():
                choice.give(fallback)
        return choice.results[0]

    def store_masked(self, value: Value, pointer: Value, mask: Value) -> None:
        """Writes only the lanes of the mask."""
        if self.lanes == 1:
            with self.function.when(mask):
                self.store(value, pointer)
            return
        align = literal(self.bytes, "i32")
        self.function.call("void", f"@llvm.masked.store.{self.suffix}.p0", value, pointer, align, mask)

    def gather(self, pointer: Value, indices: Value, mask: Value | None = None, other: Real = 0.0) -> Value:
        """`pointer[indices]` lane by lane (i64 indices, counted in numbers), only where the mask holds."""
        if self.lanes == 1:
            address = self.function.gep(self.element, pointer, indices)
            return self.load(address) if mask is None else self.load_masked(address, mask, other)
        addresses = self._addresses(pointer, indices)
        chosen = self.truth_constant(True) if mask is None else mask
        name = f"@llvm.masked.gather.{self.suffix}.v{self.lanes}p0"
        return self.function.call(self.real, name, addresses, literal(self.bytes, "i32"), chosen, self.lift(other))

    def scatter(self, value: Value, pointer: Value, indices: Value, mask: Value | None = None) -> None:
        """`pointer[indices] = value`, from the first lane to the last; equal indices keep the last."""
        if self.lanes == 1:
            address = self.function.gep(self.element, pointer, indices)
            return self.store(value, address) if mask is None else self.store_masked(value, address, mask)
        chosen = self.truth_constant(True) if mask is None else mask
        name = f"@llvm.masked.scatter.{self.suffix}.v{self.lanes}p0"
        addresses = self._addresses(pointer, indices)
        self.function.call("void", name, value, addresses, literal(self.bytes, "i32"), chosen)
        return None

    def load_strided(self, pointer: Value, stride: Integer, mask: Value | None = None) -> Value:
        """Numbers that lie `stride` apart; stride 1 is a plain load, stride 0 a splat."""
        if stride == 0 and mask is None:
            return self.splat(self.function.load(self.element, pointer, self.bytes))
        if stride == 1 or self.lanes == 1:
            return self.load(pointer) if mask is None else self.load_masked(pointer, mask)
        return self.gather(pointer, self._multiples(stride), mask)

    def store_strided(self, value: Value, pointer: Value, stride: Integer, mask: Value | None = None) -> None:
        """Writes numbers `stride` apart."""
        if stride == 1 or self.lanes == 1:
            return self.store(value, pointer) if mask is None else self.store_masked(value, pointer, mask)
        return self.scatter(value, pointer, self._multiples(stride), mask)

    def _multiples(self, stride: Integer) -> Value:
        """0, stride, 2*stride, ..."""
        if isinstance(stride, int):
            return self.counting(0, stride)
        lanes = self.counting()
        return self.function.once(f"mul {typed(lanes)}, {self.splat(stride).text}", lanes.type)

    def _addresses(self, pointer: Value, indices: Value) -> Value:
        kind = f"<{self.lanes} x ptr>"
        return self.function.emit(f"getelementptr {self.element}, {typed(pointer)}, {typed(indices)}", kind)

    # -------------------------------------------------------------------------------------------- reductions

    def extract(self, value: Value, lane: int) -> Value:
        """One lane as a scalar."""
        if self.lanes == 1:
            return value
        element = value.type[value.type.index("x ") + 2 : -1]
        return self.function.emit(f"extractelement {typed(value)}, i64 {lane}", element)

    def insert(self, value: Value, scalar: Value, lane: int) -> Value:
        """The vector with one lane replaced."""
        if self.lanes == 1:
            return scalar
        return self.function.emit(f"insertelement {typed(value)}, {typed(scalar)}, i64 {lane}", value.type)

    def reduce_add(self, value: Value) -> Value:
        """The sum of the lanes, as a scalar: lane i is added to lane i + n/2, then the halves again, and so on."""
        return halved(self, value, Lanes.add)

    def reduce_mul(self, value: Value) -> Value:
        """The product of the lanes, in the order of `reduce_add`."""
        return halved(self, value, Lanes.mul)

    def reduce_max(self, value: Value) -> Value:
        """The largest lane; nan if there is one."""
        return halved(self, value, Lanes.maximum)

    def reduce_min(self, value: Value) -> Value:
        """The smallest lane; nan if there is one."""
        return halved(self, value, Lanes.minimum)

    def narrowed(self, lanes: int) -> Lanes:
        """The same kind of numbers, another number of lanes."""
        return Lanes(self.function, self.element, lanes, self.target)


def halved(k: Lanes, value: Value, combine: Callable[[Lanes, Value, Value], Value]) -> Value:
    """Combines the lower with the upper half until one lane is left; lanes are a power of two."""
    lanes = k.lanes
    while lanes > 1:
        lanes //= 2
        value = combine(k.narrowed(lanes), _part(k, value, 0, lanes), _part(k, value, lanes, lanes))
    return value


def _part(k: Lanes, value: Value, start: int, count: int) -> Value:
    """Lanes start, ..., start + count - 1; a scalar if it is one."""
    if count == 1:
        return k.function.emit(f"extractelement {typed(value)}, i64 {start}", k.element)
    places = ", ".join(f"i32 {start + lane}" for lane in range(count))
    shuffled = f"shufflevector {typed(value)}, {value.type} poison, <{count} x i32> <{places}>"
    return k.function.emit(shuffled, f"<{count} x {k.element}>")
