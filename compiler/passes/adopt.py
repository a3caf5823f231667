"""A formula whose definition is there already: its program is taken as it is, and no SymPy expression is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympile.compiler.errors import ShapeError
from sympile.compiler.graph.definition import EXAMPLES, Definition, definitions
from sympile.compiler.graph.node import ONE, Node, postorder
from sympile.compiler.graph.transfer import LostAxis, Transfer
from sympile.compiler.passes.reading.scope import Constraint, Scope, Symbol
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Derived:
    """A formula that sympile has made: what computes it, in the scope of its symbols."""

    definition: Definition
    scope: Scope
    shape: tuple[Any, ...]  # as written
    expression: Any  # what is shown, for messages

    def __str__(self) -> str:
        return str(self.expression)

    def inputs(self) -> list[tuple[Definition, Symbol]]:
        """What it depends on."""
        below = definitions([self.definition])
        return [(t, self.scope.symbols[t.name]) for t in below if t.kind == "input"]

    def sizes(self) -> dict[Node, str]:
        """The symbolic sizes in it, by their names."""
        lengths: list[Node] = []
        for tensor in definitions([self.definition]):
            lengths += [*tensor.shape, *[i.data[1] for i in tensor.reduced]]  # type: ignore[index]
            lengths += [] if tensor.body is None else [tensor.body]
        for _, symbol in self.inputs():
            lengths += symbol.declared
        found = [node for node in postorder(lengths) if node.op == "size"]
        named = {node: str(node.data) for node in found if node is not EXAMPLES}
        return named if self.scope.examples is None else {**named, EXAMPLES: self.scope.examples}


def learn_sizes(expressions: Iterable[Derived], scope: Scope) -> None:
    """The scope learns which names are sizes."""
    for derived in expressions:
        scope.sizes.update(derived.sizes().values())


def adopted(derived: Derived, scope: Scope) -> tuple[Definition, tuple[Node, ...]]:
    """The definition over the symbols of another scope, and its shape as written there."""
    lengths = {node: scope.size(name) for node, name in derived.sizes().items()}
    inputs = {tensor: _input(tensor, symbol, lengths, scope) for tensor, symbol in derived.inputs()}
    transfer = Transfer(inputs, lengths, derived.scope.examples is not None, scope.examples is not None)
    scope.constraints += [
        Constraint(transfer.moved(known.expression), known.message)
        for known in derived.scope.constraints
        if all(leaf in lengths for leaf in postorder([known.expression]) if leaf.op == "size")
    ]
    try:
        (tensor,) = transfer.run([derived.definition])
    except LostAxis:
        words = "a matrix in the formula has the size 1 here; give its SymPy expression instead, formula.expanded()"
        raise ShapeError(words) from None
    declared = tuple(scope.extent(n) for n in derived.shape)
    own = tensor.shape[1:] if tensor.batched and scope.examples is None else tensor.shape
    return tensor, declared if tuple(n for n in declared if n is not ONE) == own else own


def _input(tensor: Definition, symbol: Symbol, lengths: dict[Node, Node], scope: Scope) -> Definition | Node:
    if symbol.name in scope.sizes and not symbol.declared:
        return scope.size(symbol.name)
    declared = [lengths.get(n, n) for n in symbol.declared]
    made = scope.declare(symbol.given, symbol.name, declared, tensor.integer)
    if symbol.limit is not None:
        scope.narrow(symbol.name, lengths.get(symbol.limit, symbol.limit), symbol.low, symbol.short)
    return made.tensor
