"""An affine map of an affine map is one: A(Cx + d) becomes (AC)x + Ad, where A, C and d are constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from sympile.compiler.graph.arithmetic import add, factors_of, mul, split, terms_of
from sympile.compiler.graph.conditions import conditions_of
from sympile.compiler.graph.definition import Definition, depends_on, elementwise, instance
from sympile.compiler.graph.node import Node, const, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.graph.reduce import total
from sympile.compiler.records import dataclass


@dataclass(slots=True)
class AffineMaps:
    """Knows which tensors are made of constants alone."""

    names: Mapping[Definition, str]  # what the user named stays a value of its own
    known: dict[Definition, bool] = field(default_factory=dict)

    def constant(self, node: Node) -> bool:
        """Whether a node is made of numbers and of symbols given as constants."""
        return all(self._fixed(target(n)) for n in postorder([node]) if n.op == "read")

    def _fixed(self, tensor: Definition) -> bool:
        if tensor.kind == "input":
            return tensor.routine == "constant"
        if tensor not in self.known:
            self.known[tensor] = all(self._fixed(t) for t in depends_on(tensor))
        return self.known[tensor]

    def merged(self, tensor: Definition) -> Definition | None:
        """The same tensor as one affine map, where it is a constant matrix times an affine map; else None."""
        if tensor.monoid != "sum" or conditions_of(tensor.formula):
            return None
        coefficient, rest = split(tensor.formula)
        fixed = [f for f in factors_of(rest) if self.constant(f)]
        others = [f for f in factors_of(rest) if f not in fixed]
        if not fixed or len(others) != 1:
            return None
        matrix = mul(const(coefficient), *fixed)
        inner = self._inner(others[0])
        moving = [term for term in terms_of(inner) if not self.constant(term)]
        if inner.op != "add" or len(moving) != 1 or matrix.free.isdisjoint(tensor.reduced):
            return None
        opened = self._opened(moving[0], tensor.reduced)
        if opened is None:
            return None
        offset = add(*[term for term in terms_of(inner) if term is not moving[0]])
        indices, product = opened
        return elementwise(
            tensor.axes, add(total(indices, mul(matrix, product)), total(tensor.reduced, mul(matrix, offset)))
        )

    def _inner(self, node: Node) -> Node:
        """What a read elementwise tensor computes, unless the user named it."""
        if node.op != "read" or target(node).kind != "formula" or target(node).reduced or target(node) in self.names:
            return node
        return substitute(target(node).formula, dict(zip(target(node).axes, node.args, strict=True)))

    def _opened(self, term: Node, reduced: Sequence[Node]) -> tuple[list[Node], Node] | None:
        """(indices, product) of a contraction with a constant factor, opened at the place where it is read."""
        coefficient, rest = split(term)
        reads = [f for f in factors_of(rest) if f.op == "read" and not self.constant(f)]
        if len(reads) != 1 or target(reads[0]).monoid != "sum" or target(reads[0]) in self.names:
            return None
        _, inner, body = instance(target(reads[0]), reads[0].args)
        if conditions_of(body) or not any(self.constant(f) and f.free for f in factors_of(split(body)[1])):
            return None
        left = [f for f in factors_of(rest) if f is not reads[0]]
        return [*reduced, *inner], mul(const(coefficient), *left, body)
