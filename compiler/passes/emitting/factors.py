"""LAPACK's factors of one matrix, and how generated code calls LAPACK.

LAPACK counts by columns, so that our row-major matrix is its transpose: it factorises Aᵀ = P L U. The inverse of the
transpose is the transpose of the inverse, the determinant is the same, and A x = b is solved with trans = "T".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64, literal, truth, typed
from sympile.compiler.code.writer import Function
from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.emitting.layout import Frame, Layout
from sympile.compiler.passes.emitting.room import matrix_order
from sympile.compiler.records import dataclass
from sympile.compiler.rules.linalg import shared_factors

PREFIX = "lapack_"  # of a symbol in the code; the rest is the name in scipy.linalg.cython_lapack
IMPORTS: Mapping[str, str] = {
    f"{PREFIX}{kind}{name}": f"{kind}{name}" for kind in "ds" for name in ("getrf", "getrs", "getri")
}


def numbered_calls(layout: Layout) -> tuple[Definition, ...]:
    """The calls of a program; a status of k says that the matrix of call k - 1 is singular."""
    return tuple(tensor for tensor in layout.tensors if tensor.kind == "call")


@contextmanager
def each(function: Function, count: Integer) -> Iterator[Integer]:
    """A loop, unless there is only one turn."""
    if count == 1:
        yield 0
        return
    with function.loop(0, count) as loop:
        yield loop.index


@dataclass(frozen=True, slots=True)
class Factors:
    """Where P, L and U of one matrix lie."""

    address: Value
    pivots: Value


@dataclass(frozen=True, slots=True)
class Call:
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
        return self.frame.extent(matrix_order(self.tensor))

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
        call = f"@{PREFIX}{kind}{name}"
        if isinstance(self.order, int):
            self.function.call("void", call, *arguments, info)
            return
        with self.function.when(self.function.compare("ne", self.order, 0)):  # LAPACK complains of matrices of order 0
            self.function.call("void", call, *arguments, info)

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

    def factors(self, position: Integer) -> Factors:
        """P, L and U of one matrix: those that it shares with other calls, or its own."""
        shared = shared_factors(self.tensor)
        if shared is None:
            return self.factorise(position, Factors(self.places["factor"], self.places["pivots"]))
        return self.stored_factors(shared, position)

    def stored_factors(self, tensor: Definition, position: Integer) -> Factors:
        """A result of lu: the factors, then the pivots (i32) in a row of their own."""
        f = self.function
        start = self.address(tensor, f.mul(position, f.add(self.square, self.order)))
        return Factors(start, f.gep(self.scalar.element, start, self.square))

    def factorise(self, position: Integer, factors: Factors) -> Factors:
        """Writes P, L and U of one matrix."""
        self.copy(self.matrix(position), factors.address, self.square)
        order = self.integer(self.order)
        self.lapack("getrf", order, order, factors.address, order, factors.pivots)
        return factors

    def pivot(self, factors: Factors, row: Value) -> Value:
        """An element on the diagonal of U."""
        place = self.function.mul(row, self.function.add(self.order, 1))
        return self.scalar.load(self.function.gep(self.scalar.element, factors.address, place))

    def singular(self, factors: Factors) -> Value:
        """Whether a pivot is exactly 0 (i1): what getrf reports as info > 0."""
        f = self.function
        with f.loop(0, self.order, carry=[truth(False)]) as loop:
            zero = self.scalar.compare("oeq", self.pivot(factors, i64(loop.index)), 0.0)
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
