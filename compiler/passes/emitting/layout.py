"""Where everything lies: one table of pointers and sizes that every function of a program takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.code.writer import Function
from sympile.compiler.errors import InternalError
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node
from sympile.compiler.records import dataclass

ORDER = "order"  # of the examples of a batch: the slot of a pointer to their numbers


@dataclass(slots=True)
class Layout:
    """Slots of the table: a pointer per tensor, then an i64 per size."""

    tensors: dict[Definition, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)
    spared: dict[Definition, str] = field(default_factory=dict)  # outputs, and the word that says that they are 0
    chosen: frozenset[Definition] = frozenset()  # data of which a row lies where the order of a batch says
    watched: Definition | None = None  # an operand of which the status is to tell whether it is finite (watch.py)

    @property
    def length(self) -> int:
        return len(self.tensors) + len(self.sizes) + len(self.extra)

    def add_tensor(self, tensor: Definition) -> None:
        self.tensors.setdefault(tensor, self.length)

    def add_size(self, name: str) -> None:
        self.sizes.setdefault(name, self.length)

    def add_extra(self, name: str) -> None:
        self.extra.setdefault(name, self.length)


@dataclass(slots=True)
class Frame:
    """The table inside one function: pointers and sizes are loaded once, on entry."""

    function: Function
    layout: Layout
    table: Value
    pointers: dict[Definition, Value] = field(default_factory=dict)
    lengths: dict[str, Value] = field(default_factory=dict)
    order: Value | None = None  # of the examples of a batch
    fuses: bool = True  # whether a product and a sum become one fused multiply-add
    scalars: dict[Definition, Value] = field(default_factory=dict)  # results without axes, while they are in registers
    inlines: bool = False  # whether vector math stands in its loops: around a call all vector registers are saved
    unstored: frozenset[Definition] = frozenset()  # those of them that have no place in memory
    near: frozenset[Definition] = frozenset()  # what lies on the stack from one group to the next
    keeps: bool = False  # whether powers of the step may be kept in memory, which threads must not share
    waits: bool = False  # whether it is a step, for whose numbers the next one waits
    refines: bool = False  # whether reciprocals in its loops are refined guesses, since divisions would take longer
    tables: dict[int, tuple[object, Value]] = field(default_factory=dict)  # by the id of their numbers, which are kept
    orders: Mapping[Node, tuple[tuple[Node, ...], ...]] = field(default_factory=dict)  # chains of terms of sums
    joint: tuple[Definition | None, ...] = ()  # sums that become the lanes of one register, `joined`
    joined: Value | None = None

    def enter(self, tensors: Iterable[Definition], sizes: Iterable[str]) -> None:
        """Loads what the function is going to need."""
        if self.layout.chosen:
            self.order = self.extra(ORDER)
        for tensor in tensors:
            self.pointers[tensor] = self._load(self.layout.tensors[tensor], "ptr")
        for name in sizes:
            self.lengths[name] = self._load(self.layout.sizes[name], "i64")

    def _load(self, slot: int, kind: str) -> Value:
        return self.function.load(kind, self.function.gep("i64", self.table, slot), 8)

    def pointer(self, tensor: Definition) -> Value:
        return self.pointers[tensor]

    def extra(self, name: str) -> Value:
        return self._load(self.layout.extra[name], "ptr")

    def word(self, name: str) -> Value:
        """A number that is neither a size nor a pointer."""
        return self._load(self.layout.extra[name], "i64")

    def extent(self, length: Node) -> Integer:
        """An extent as an integer: a number, or computed from sizes."""
        form = affine(length)
        if form is None:
            return self._product(length)
        total: Integer = int(form.constant)
        for leaf, coefficient in form.terms:
            total = self.function.add(total, self.function.mul(self.lengths[str(leaf.data)], int(coefficient)))
        return total

    def _product(self, length: Node) -> Integer:
        """Products of sizes, as reshaped axes have."""
        if length.op == "mul":
            result: Integer = 1
            for factor in length.args:
                result = self.function.mul(result, self.extent(factor))
            return result
        if length.op == "add":
            result = 0
            for term in length.args:
                result = self.function.add(result, self.extent(term))
            return result
        if length.op == "pow" and isinstance(length.data, int) and length.data > 0:
            result = 1
            for _ in range(length.data):
                result = self.function.mul(result, self.extent(length.args[0]))
            return result
        raise InternalError(f"an extent that is no polynomial in sizes: {length}")

    def strides(self, tensor: Definition) -> list[Integer]:
        """How far apart neighbours along each axis lie: row-major."""
        result: list[Integer] = [1]
        for length in reversed(tensor.shape[1:]):
            result.append(self.function.mul(result[-1], self.extent(length)))
        return result[::-1][-len(tensor.axes) :] if tensor.axes else []
