"""Reduction of huge angles: multiples of π taken out with as many bits of 1/π as it takes (Payne and Hanek 1983)."""

from __future__ import annotations

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.number import Bits, Mask, Number
from sympile.compiler.code.value import Value, literal, typed
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.records import dataclass
from sympile.compiler.rules.coefficients import CONSTANTS, INVERSE_PI

NAME = "sympile.turns"
WIDE = "i256"
PAIR = "{ double, double, i64 }"
UNIT = {"pi": 0, "pi/2": 1}        # how often the turn is halved


@dataclass(frozen=True, slots=True, eq=False)
class Turned:
    """An angle without its multiples: r + low, and the count of multiples in the low bits of an integer."""

    r: Number
    low: Number
    count: Bits


def far_turns(x: Number, far: Mask, near: Turned, name: str, offset: float) -> Turned:
    """The angles of the lanes in `far` reduced one by one; the others as they are in `near`."""
    k = x.lanes
    f = k.function
    declare_turns(f.module)
    rooms = [f.alloca(kind) for kind in (k.real, k.integer, k.real, k.real, k.integer)]
    flags, counts = Bits(k, f.emit(f"sext {typed(far.value)} to {k.integer}", k.integer)), near.count
    for room, value in zip(rooms, (x.value, flags.value, near.r.value, near.low.value, counts.value), strict=True):
        f.store(value, room)
    scalar = k.narrowed(1)
    with f.loop(0, k.lanes) as loop:
        angle, flag, r, low, count = (
            f.gep(element, room, loop.index)
            for element, room in zip((k.element, f"i{k.bits}", k.element, k.element, f"i{k.bits}"), rooms, strict=True)
        )
        is_far = f.emit(f"icmp ne {typed(f.load(scalar.integer, flag))}, 0", "i1")
        with f.when(is_far):
            results = _one_lane(scalar, f.load(scalar.real, angle), UNIT[name], offset)
            for value, room in zip(results, (r, low, count), strict=True):
                f.store(value, room)
    loaded = [f.load(kind, room) for kind, room in zip((k.real, k.real, k.integer), rooms[2:], strict=True)]
    return Turned(Number(k, loaded[0]), Number(k, loaded[1]), Bits(k, loaded[2]))


def _one_lane(k: Lanes, angle: Value, halvings: int, offset: float) -> tuple[Value, Value, Value]:
    """Calls the scalar routine in float64, whatever the element."""
    f = k.function
    wide = angle if k.bits == 64 else f.emit(f"fpext {typed(angle)} to double", "double")
    arguments = (wide, literal(halvings), literal(int(offset * 4)))
    result = f.call(PAIR, f"@{NAME}", *arguments)
    r, low = (f.emit(f"extractvalue {typed(result)}, {at}", "double") for at in (0, 1))
    count = f.emit(f"extractvalue {typed(result)}, 2", "i64")
    if k.bits == 64:
        return r, low, count
    short = f.emit(f"fptrunc {typed(r)} to float", "float")
    rest = f.emit(f"fsub double {r.text}, {f.emit(f'fpext {typed(short)} to double', 'double').text}", "double")
    return short, f.emit(f"fptrunc {typed(rest)} to float", "float"), f.emit(f"trunc {typed(count)} to i32", "i32")


def declare_turns(module: Module) -> None:
    """Puts the scalar routine into a module, once."""
    if NAME not in module.functions:
        _Turns(module).write()


class _Turns:
    """Writes r, low, n = turns(x, halvings, quarters), where |x| = (n + quarters/4) π/2**halvings + r + low.

    |x| is an integer m times 2**e. Multiples of two turns in m 2**e / π come from the bits of 1/π above weight 2**-e
    and are left out; 256 bits from there on leave more than 190 correct bits of the fraction, and no float64 comes
    closer to a multiple of π/2 than 2**-62.
    """

    __slots__ = ("function", "x")

    def __init__(self, module: Module) -> None:
        kinds = [("double", "x"), ("i64", "halvings"), ("i64", "quarters")]
        self.function = Function(module, NAME, kinds, result=PAIR, linkage="internal", attributes="nounwind noinline")
        self.x = self.function.arguments[0]

    def write(self) -> None:
        """The whole routine."""
        f, (_, halvings, quarters) = self.function, self.function.arguments
        bits = f.emit(f"bitcast {typed(self.x)} to i64", "i64")
        exponent = self._do("and", self._do("lshr", bits, 52), 2047)
        mantissa = self._do("or", self._do("and", bits, 2**52 - 1), 2**52)
        window = self._window(self._do("add", self._do("add", exponent, halvings), 63 - 1075))
        turns = self._do("mul", window, self._wide(mantissa))
        turns = self._do("sub", turns, self._do("shl", self._wide(quarters), 253))
        count = self._do("lshr", self._do("add", turns, 2**254), 255)
        r, low = self._angle(self._do("shl", turns, 1), halvings)
        negative = f.emit(f"icmp slt {typed(bits)}, 0", "i1")
        odd = f.emit(f"trunc {typed(count)} to i64", "i64")
        f.ret(self._packed(self._signed(negative, r), self._signed(negative, low), odd))

    def _window(self, start: Value) -> Value:
        """256 bits of the table from bit `start` on."""
        f = self.function
        words = [str(word) for word in reversed(INVERSE_PI)]        # the lowest first, as memory has them
        table = f.module.table("sympile.inverse_pi", "i64", words)
        word = self._do("sub", literal(len(INVERSE_PI) - 5), self._do("lshr", start, 6))
        address = f.gep("i64", table, word)
        loaded = f.load("i320", address, 8)
        shift = f.emit(f"zext {typed(self._do('sub', literal(64), self._do('and', start, 63)))} to i320", "i320")
        return f.emit(f"trunc {typed(self._do('lshr', loaded, shift))} to {WIDE}", WIDE)

    def _angle(self, fraction: Value, halvings: Value) -> tuple[Value, Value]:
        """A signed fraction of a turn, weight 2**-256, as an angle in two parts."""
        f = self.function
        negative = f.emit(f"icmp slt {typed(fraction)}, 0", "i1")
        size = f.pick(negative, f.emit(f"sub {WIDE} 0, {fraction.text}", WIDE), fraction)
        zeros = f.call(WIDE, f"@llvm.ctlz.{WIDE}", size, Value("false", "i1"))
        zeros = self._do("and", zeros, 255)
        top = self._do("lshr", self._do("shl", size, zeros), 256 - 106)      # two times 53 bits
        high = f.emit(f"trunc {typed(self._do('lshr', top, 53))} to i64", "i64")
        low = self._do("and", f.emit(f"trunc {typed(top)} to i64", "i64"), 2**53 - 1)
        places = f.emit(f"trunc {typed(zeros)} to i64", "i64")
        return self._times_pi(negative, (high, low), self._do("add", places, halvings))

    def _times_pi(self, negative: Value, digits: tuple[Value, Value], places: Value) -> tuple[Value, Value]:
        k = Lanes(self.function, "double", 1, self.function.module.target)
        scale = k.from_bits(self._do("shl", self._do("sub", literal(1023 - 53), places), 52))
        high = k.mul(k.from_integer(digits[0]), scale)
        low = k.mul(k.mul(k.from_integer(digits[1]), scale), 2.0**-53)
        first, second = CONSTANTS["pi", 64][:2]
        r = k.mul(high, first)
        rest = k.fma(high, first, k.neg(r))
        rest = k.fma(high, second, k.fma(low, first, rest))
        total = k.add(r, rest)
        rest = k.add(k.sub(r, total), rest)
        return self._signed(negative, total), self._signed(negative, rest)

    def _signed(self, negative: Value, number: Value) -> Value:
        return self.function.pick(negative, self.function.emit(f"fneg {typed(number)}", "double"), number)

    def _packed(self, r: Value, low: Value, count: Value) -> Value:
        f = self.function
        kept = f.emit(f"fcmp one double {f.call('double', '@llvm.fabs.f64', self.x).text}, 0x7FF0000000000000", "i1")
        nan = Value("0x7FF8000000000000", "double")
        packed = f.emit(f"insertvalue {PAIR} poison, {typed(f.pick(kept, r, nan))}, 0", PAIR)
        packed = f.emit(f"insertvalue {typed(packed)}, {typed(low)}, 1", PAIR)
        return f.emit(f"insertvalue {typed(packed)}, {typed(count)}, 2", PAIR)

    def _wide(self, value: Value) -> Value:
        return self.function.emit(f"zext {typed(value)} to {WIDE}", WIDE)

    def _do(self, operation: str, a: Value, b: Value | int) -> Value:
        other = str(b) if isinstance(b, int) else b.text
        return self.function.emit(f"{operation} {typed(a)}, {other}", a.type)
