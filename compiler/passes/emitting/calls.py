"""Linear-algebra calls: LAPACK through function pointers; what is singular is treated as NumPy treats it.

LAPACK counts by columns, so that our row-major matrix is its transpose: it factorises Aᵀ = P L U. The inverse of the
transpose is the transpose of the inverse, the determinant is the same, and A x = b is solved with trans = "T".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64, literal, truth, typed
from sympile.compiler.code.writer import Function
from sympile.compiler.errors import InternalError
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ONE, ZERO, Node, const, number
from sympile.compiler.passes.emitting.layout import Frame, Layout
from sympile.compiler.rules.linalg import SOLVES, right_sides, shared_factors
from sympile.compiler.rules.machine import call_or_inline

PREFIX = "lapack_"           # of a symbol in the code; the rest is the name in scipy.linalg.cython_lapack
IMPORTS: Mapping[str, str] = {
    f"{PREFIX}{kind}{name}": f"{kind}{name}" for kind in "ds" for name in ("getrf", "getrs", "getri")
}

STACK_WORDS = 4096           # of 8 bytes: up to here a call's room is taken from the stack
BLOCK = 64                   # columns that getri handles at a time, if its work space holds them

# What a routine needs besides its operands and its result; lu and inv factorise in their result.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "lu": (),
    "inv": ("pivots", "work"),
    "solve": ("pivots", "factor", "columns"),
    "solve_transposed": ("pivots", "factor", "columns"),
    "det": ("pivots", "factor"),
    "logdet": ("pivots", "factor"),
    "logabsdet": ("pivots", "factor"),
}
_FACTORS = frozenset({"pivots", "factor"})


# ------------------------------------------------------------------------------------------------ room


def scratch_words(tensor: Definition) -> Node:
    """How many 8-byte words a call writes behind `frame.extra("scratch")`, in sizes; 0 if the stack has room."""
    words = add(*_room(tensor).values())
    return ZERO if _on_stack(words) else words


def _on_stack(words: Node) -> bool:
    return words.op == "const" and number(words) <= STACK_WORDS


def _room(tensor: Definition) -> dict[str, Node]:
    """Words for each thing that a call needs, in the order in which they lie; float32 leaves half of them free."""
    size = _order(tensor)
    columns = right_sides(tensor).columns if tensor.routine in SOLVES else None
    words = {"pivots": size, "factor": mul(size, size), "work": mul(_block(size), size), "columns": mul(size, columns or ZERO)}
    there = frozenset[str]() if shared_factors(tensor) is None else _FACTORS
    return {need: words[need] for need in _NEEDS[tensor.routine] if need not in there}


def _order(tensor: Definition) -> Node:
    """How many rows the matrix has."""
    return tensor.operands[0].shape[-1]


def _block(size: Node) -> Node:
    return const(min(BLOCK, number(size))) if size.op == "const" else const(BLOCK)


# ------------------------------------------------------------------------------------------------ status


def numbered_calls(layout: Layout) -> tuple[Definition, ...]:
    """The calls of a program; a status of k says that the matrix of number k - 1 was singular."""
    return tuple(tensor for tensor in layout.tensors if tensor.kind == "call")


# ------------------------------------------------------------------------------------------------ writing


def write_call(frame: Frame, tensor: Definition, scalar: Lanes) -> None:
    """The code of a call: for every matrix of the batch, its factors and what the routine makes of them."""
    if tensor.routine not in _WRITERS:
        raise InternalError(f"no code for the routine {tensor.routine}")
    call = _Call(frame, tensor, scalar, _places(frame, tensor))
    batch = _product(frame, tensor.operands[0].shape[:-2])
    with _each(frame.function, batch) as position:
        _WRITERS[tensor.routine](call, position)


@contextmanager
def _each(function: Function, count: Integer) -> Iterator[Integer]:
    """A loop, unless there is only one turn."""
    if count == 1:
        yield 0
        return
    with function.loop(0, count) as loop:
        yield loop.index


def _product(frame: Frame, lengths: tuple[Node, ...]) -> Integer:
    result: Integer = 1
    for length in lengths:
        result = frame.function.mul(result, frame.extent(length))
    return result


def _places(frame: Frame, tensor: Definition) -> dict[str, Value]:
    """Where each thing that the call needs lies: on the stack if it is small, else in the scratch memory."""
    room = _room(tensor)
    words = add(*room.values())
    small = _on_stack(words)
    start = frame.function.alloca("i64", int(number(words))) if small else frame.extra("scratch")
    places, used = dict[str, Value](), ZERO
    for name, needed in room.items():
        places[name] = frame.function.gep("i64", start, frame.extent(used))
        used = add(used, needed)
    return places


@dataclass(frozen=True, slots=True)
class _Factors:
    """Where P, L and U of one matrix lie."""

    address: Value
    pivots: Value


@dataclass(frozen=True, slots=True)
class _Call:
    """One call while it is written."""

    frame: Frame
    tensor: Definition
    scalar: Lanes
    places: Mapping[str, Value]

    @property
    def function(self) -> Function:
        return self.frame.function

    @property
    def order(self) -> Integer:
        return self.frame.extent(_order(self.tensor))

    @property
    def square(self) -> Integer:
        return self.function.mul(self.order, self.order)

    def address(self, tensor: Definition, offset: Integer) -> Value:
        return self.function.gep(self.scalar.element, self.frame.pointer(tensor), offset)

    def matrix(self, position: Integer) -> Value:
        return self.address(self.tensor.operands[0], self.function.mul(position, self.square))

    def lapack(self, name: str, *arguments: Value) -> None:
        """Calls a routine whose last argument is info, which says nothing that the pivots do not."""
        info = self.function.alloca("i32", align=4)
        kind = "d" if self.scalar.element == "double" else "s"
        self.function.call("void", f"@{PREFIX}{kind}{name}", *arguments, info)

    def integer(self, value: Integer) -> Value:
        """An integer behind a pointer, as Fortran takes it."""
        place = self.function.alloca("i32", align=4)
        self.function.store(self.function.emit(f"trunc {typed(i64(value))} to i32", "i32"), place)
        return place

    def copy(self, source: Value, destination: Value, count: Integer) -> None:
        size = i64(self.function.mul(count, self.scalar.bytes))
        self.function.call("void", "@llvm.memcpy.p0.p0.i64", destination, source, size, Value("false", "i1"))

    def transpose(self, source: Value, destination: Value, rows: Integer, columns: Integer) -> None:
        """A row-major matrix, its columns one after the other."""
        f, element = self.function, self.scalar.element
        with f.loop(0, rows) as down, f.loop(0, columns) as across:
            value = self.scalar.load(f.gep(element, source, f.add(f.mul(down.index, columns), across.index)))
            self.scalar.store(value, f.gep(element, destination, f.add(f.mul(across.index, rows), down.index)))

    def fill(self, destination: Value, count: Integer) -> None:
        """nan everywhere."""
        with self.function.loop(0, count) as loop:
            at = self.function.gep(self.scalar.element, destination, loop.index)
            self.scalar.store(self.scalar.constant(math.nan), at)

    def factors(self, position: Integer) -> _Factors:
        """P, L and U of one matrix: those that it shares with other calls, or its own."""
        shared = shared_factors(self.tensor)
        if shared is None:
            return self.factorise(position, _Factors(self.places["factor"], self.places["pivots"]))
        return self.stored_factors(shared, position)

    def stored_factors(self, tensor: Definition, position: Integer) -> _Factors:
        """A result of lu: the factors, then the pivots (i32) in a row of their own."""
        f = self.function
        start = self.address(tensor, f.mul(position, f.add(self.square, self.order)))
        return _Factors(start, f.gep(self.scalar.element, start, self.square))

    def factorise(self, position: Integer, factors: _Factors) -> _Factors:
        """Writes P, L and U of one matrix."""
        self.copy(self.matrix(position), factors.address, self.square)
        order = self.integer(self.order)
        self.lapack("getrf", order, order, factors.address, order, factors.pivots)
        return factors

    def pivot(self, factors: _Factors, row: Value) -> Value:
        """An element on the diagonal of U."""
        place = self.function.mul(row, self.function.add(self.order, 1))
        return self.scalar.load(self.function.gep(self.scalar.element, factors.address, place))

    def singular(self, factors: _Factors) -> Value:
        """Whether a pivot is exactly 0 (i1): what getrf reports as info > 0."""
        f = self.function
        with f.loop(0, self.order, carry=[truth(False)]) as loop:
            zero = self.scalar.compare("oeq", self.pivot(factors, loop.index), 0.0)
            loop.next = [f.any(loop.carried[0], zero)]
        return loop.results[0]

    def taint(self, position: Integer) -> Value:
        """0 if every element of a matrix is finite, else nan."""
        matrix = self.matrix(position)
        with self.function.loop(0, self.square, carry=[self.scalar.constant(0.0)]) as loop:
            element = self.scalar.load(self.function.gep(self.scalar.element, matrix, loop.index))
            loop.next = [self.scalar.add(loop.carried[0], self.scalar.mul(element, 0.0))]
        return loop.results[0]

    def report(self, position: Integer) -> None:
        """The status, where the matrix is singular in itself; one with a nan gives nan, as every other function."""
        taint = self.taint(position)
        with self.function.when(self.scalar.compare("oeq", taint, 0.0)):
            number = 1 + numbered_calls(self.frame.layout).index(self.tensor)
            self.function.atomic_store(literal(number, "i32"), self.frame.extra("status"))


# ------------------------------------------------------------------------------------------------ inverse, solution


def _write_factors(call: _Call, position: Integer) -> None:
    call.factorise(position, call.stored_factors(call.tensor, position))


def _write_inverse(call: _Call, position: Integer) -> None:
    """getri in the result itself, into which the factors are written or copied."""
    f = call.function
    result = call.address(call.tensor, f.mul(position, call.square))
    if shared_factors(call.tensor) is None:
        factors = call.factorise(position, _Factors(result, call.places["pivots"]))
    else:
        factors = call.factors(position)
        call.copy(factors.address, result, call.square)
    with f.either(call.singular(factors), unlikely=True) as choice:
        with choice.then():
            call.fill(result, call.square)
            call.report(position)
        with choice.otherwise():
            order = call.integer(call.order)
            length = call.integer(f.mul(call.frame.extent(_block(_order(call.tensor))), call.order))
            call.lapack("getri", order, result, order, factors.pivots, call.places["work"], length)


def _write_solution(call: _Call, position: Integer) -> None:
    """getrs for all right sides of this matrix."""
    f = call.function
    sides = right_sides(call.tensor)
    shared, columns = (call.frame.extent(n or ONE) for n in (sides.shared, sides.columns))
    count = f.mul(f.mul(shared, columns), call.order)
    offset = f.mul(position, count)
    factors = call.factors(position)
    with f.either(call.singular(factors), unlikely=True) as choice:
        with choice.then():
            call.fill(call.address(call.tensor, offset), count)
            call.report(position)
        with choice.otherwise():
            right, result = call.address(call.tensor.operands[1], offset), call.address(call.tensor, offset)
            if sides.columns is None:
                call.copy(right, result, count)
                _solve(call, factors, result, shared)
            else:
                _solve_columns(call, factors, right, result, shared, columns)


def _solve(call: _Call, factors: _Factors, columns: Value, count: Integer) -> None:
    """Right sides that lie one after the other become solutions."""
    transposed = call.function.alloca("i8", align=1)
    call.function.store(literal(ord(_TRANS[call.tensor.routine]), "i8"), transposed)
    order, width = call.integer(call.order), call.integer(count)
    call.lapack("getrs", transposed, order, width, factors.address, order, factors.pivots, columns, order)


_TRANS = {"solve": "T", "solve_transposed": "N"}       # LAPACK holds the factors of Aᵀ


def _solve_columns(call: _Call, factors: _Factors, right: Value, result: Value, shared: Integer, columns: Integer) -> None:
    """Right sides that are the columns of row-major matrices."""
    f, inner = call.function, call.places["columns"]
    with _each(f, shared) as turn:
        offset = f.mul(turn, f.mul(call.order, columns))
        call.transpose(f.gep(call.scalar.element, right, offset), inner, call.order, columns)
        _solve(call, factors, inner, columns)
        call.transpose(inner, f.gep(call.scalar.element, result, offset), columns, call.order)


# ------------------------------------------------------------------------------------------------ determinants


def _determinant(call: _Call, position: Integer) -> tuple[Value, Value]:
    """The determinant as fraction * 2**exponent (double, i64), 1/2 <= |fraction| < 1: no product overflows."""
    f, factors = call.function, call.factors(position)
    fraction, exponent = _double(call).constant(1.0), i64(0)
    with f.loop(0, call.order, carry=[fraction, exponent]) as loop:
        pivot = _swapped(call, factors, loop.index)
        fraction, power = _parted(call, _double(call).mul(loop.carried[0], pivot))
        loop.next = [fraction, i64(f.add(loop.carried[1], power))]
    fraction, exponent = loop.results
    return _untainted(call, position, fraction), exponent


def _double(call: _Call) -> Lanes:
    return Lanes(call.function, "double", 1, call.scalar.target)


def _widened(call: _Call, value: Value) -> Value:
    return value if value.type == "double" else call.function.emit(f"fpext {typed(value)} to double", "double")


def _narrowed(call: _Call, value: Value) -> Value:
    return value if call.scalar.element == "double" else call.function.emit(f"fptrunc {typed(value)} to float", "float")


def _swapped(call: _Call, factors: _Factors, row: Value) -> Value:
    """A pivot, negated if its row was exchanged with another (LAPACK counts from 1)."""
    f, pivot = call.function, _widened(call, call.pivot(factors, row))
    partner = f.load("i32", f.gep("i32", factors.pivots, row))
    wide = f.emit(f"sext {typed(partner)} to i64", "i64")
    stayed = f.compare("eq", wide, f.add(row, 1))
    return f.pick(stayed, pivot, _double(call).neg(pivot))


def _parted(call: _Call, value: Value) -> tuple[Value, Value]:
    """A number's fraction and its power of two."""
    f, kind = call.function, "{ double, i32 }"
    pair = f.call(kind, "@llvm.frexp.f64.i32", value)
    power = f.emit(f"extractvalue {typed(pair)}, 1", "i32")
    return f.emit(f"extractvalue {typed(pair)}, 0", "double"), f.emit(f"sext {typed(power)} to i64", "i64")


def _untainted(call: _Call, position: Integer, fraction: Value) -> Value:
    """0 only if the whole matrix is finite: the search for a pivot may pass over a nan."""
    zero = _double(call).compare("oeq", fraction, 0.0)
    with call.function.either(zero, unlikely=True) as choice:
        with choice.then():
            choice.give(_widened(call, call.taint(position)))
        with choice.otherwise():
            choice.give(fraction)
    return choice.results[0]


def _write_determinant(call: _Call, position: Integer) -> None:
    f = call.function
    fraction, exponent = _determinant(call, position)
    limited = i64(f.max(f.min(exponent, 1 << 20), -(1 << 20)))
    power = f.emit(f"trunc {typed(limited)} to i32", "i32")
    value = f.call("double", "@llvm.ldexp.f64.i32", fraction, power)
    call.scalar.store(_narrowed(call, value), call.address(call.tensor, position))


def _logarithm(call: _Call, fraction: Value, exponent: Value) -> Value:
    """log(fraction * 2**exponent), the fraction moved to sqrt(1/2) ... sqrt(2), so that nothing cancels near 1."""
    f, k = call.function, _double(call)
    small = k.compare("olt", k.abs(fraction), math.sqrt(0.5))
    fraction = k.select(small, k.mul(fraction, 2.0), fraction)
    power = i64(f.sub(exponent, f.pick(small, i64(1), i64(0))))
    return k.fma(k.from_integer(power), math.log(2.0), call_or_inline(k, "log", fraction))


def _write_log(call: _Call, position: Integer) -> None:
    """log(det A): nan where the determinant is negative, -inf where it is 0."""
    fraction, exponent = _determinant(call, position)
    value = _logarithm(call, fraction, exponent)
    call.scalar.store(_narrowed(call, value), call.address(call.tensor, position))


def _write_log_absolute(call: _Call, position: Integer) -> None:
    """log |det A|."""
    fraction, exponent = _determinant(call, position)
    value = _logarithm(call, _double(call).abs(fraction), exponent)
    call.scalar.store(_narrowed(call, value), call.address(call.tensor, position))


_WRITERS: Mapping[str, Callable[[_Call, Integer], None]] = {
    "lu": _write_factors,
    "inv": _write_inverse,
    "solve": _write_solution,
    "solve_transposed": _write_solution,
    "det": _write_determinant,
    "logdet": _write_log,
    "logabsdet": _write_log_absolute,
}
