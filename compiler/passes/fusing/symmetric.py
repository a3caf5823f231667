"""Of a symmetric tensor one order of indices is read, so that what is made of d[i, j] and of d[j, i] is made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from itertools import combinations

from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, is_whole, read
from sympile.compiler.graph.mapping import Mapping, each_formula, redirected
from sympile.compiler.graph.node import Node, by_key, extent, reads, target
from sympile.compiler.graph.rebuild import substitute, transform
from sympile.compiler.graph.reduce import reduce
from sympile.compiler.records import dataclass


def read_in_one_order(outputs: Sequence[Definition]) -> Mapping:
    """All formulas, where pairs of axes that can be exchanged are read at indices in one order.

    The energy of particles reads distances as d[i, j], and its slope by one of them as d[i, j] and d[j, i].
    """
    return each_formula(outputs, _Run().ordered)


@dataclass(slots=True)
class _Run:
    """One walk over all formulas."""

    pairs: dict[Definition, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    done: dict[Node, Node] = field(default_factory=dict)

    def ordered(self, tensor: Definition, new: Mapping) -> Definition:
        body = redirected(tensor.formula, new, self.done)
        turned = self._turned(body)
        if turned is tensor.formula:
            return tensor
        if turned is body or tensor.monoid is None:
            return define(tensor.axes, tensor.reduced, tensor.monoid, turned)
        again = reduce(tensor.monoid, tensor.reduced, turned)
        whole = again.op == "read" and again.args == tensor.axes and is_whole(again)
        return target(again) if whole else define(tensor.axes, (), None, again)  # else its axes have another order now

    def _turned(self, body: Node) -> Node:
        """A formula with all reads at indices in their own order, wherever two of them can be exchanged."""
        if not any(self._exchangeable(tensor) for tensor in body.below):
            return body
        swapped = {node: turned for node in reads(body) if (turned := self._in_order(node)) is not node}
        return substitute(body, swapped) if swapped else body

    def _in_order(self, node: Node) -> Node:
        args = list(node.args)
        for one, other in self._exchangeable(target(node)):
            if args[one].op == args[other].op == "index" and args[other].key < args[one].key:
                args[one], args[other] = args[other], args[one]
        return node if tuple(args) == node.args else read(target(node), *args)

    def _exchangeable(self, tensor: Definition) -> tuple[tuple[int, int], ...]:
        """The pairs of axes, by their places, that can be exchanged."""
        if tensor not in self.pairs:
            places = combinations(range(len(tensor.axes)), 2) if tensor.kind == "formula" else ()
            self.pairs[tensor] = tuple([(a, b) for a, b in places if self._is_symmetric(tensor, a, b)])
        return self.pairs[tensor]

    def _is_symmetric(self, tensor: Definition, one: int, other: int) -> bool:
        """Whether the formula, whose reads are in order, is the same with two axes exchanged."""
        i, j = tensor.axes[one], tensor.axes[other]
        if extent(i) is not extent(j):
            return False
        exchanged = self._turned(substitute(tensor.formula, {i: j, j: i}))
        known = [define(tensor.axes, tensor.reduced, tensor.monoid, _merged(f)) for f in (tensor.formula, exchanged)]
        return known[0] is known[1]


def _merged(body: Node) -> Node:
    """A formula with only one of two indices wherever a guard says that they are equal."""
    return transform([body], _with_one_index)[0]


def _with_one_index(node: Node) -> Node:
    if node.op != "when":
        return node
    value, *conditions = node.args
    for condition in conditions:
        if condition.op == "eq" and all(side.op == "index" for side in condition.args):
            first, second = sorted(condition.args, key=by_key)
            value = substitute(value, {second: first})
    return when(value, *conditions)
