"""Numbers that no step changes become inputs, computed once before the first step.

Below what jumps (rules/jumps.py) u/c stays a division.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from sympile.compiler.graph.arithmetic import power
from sympile.compiler.graph.conditions import CONDITIONS
from sympile.compiler.graph.definition import Definition, computed, define, elementwise, input_tensor, read
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.graph.rebuild import rebuild
from sympile.compiler.passes.training.invariant import PREFIX, Fixed
from sympile.compiler.records import dataclass
from sympile.compiler.rules.jumps import below_jumps

NAME = f"{PREFIX}once "  # and a number: the names of the new inputs


def settled(
    outputs: Iterable[Definition], whole: bool = True
) -> tuple[dict[Definition, Definition], dict[Definition, Definition]]:
    """Old → new tensors, and the new inputs with what each stands for; `whole`: every step sees all examples."""
    run = _Run(Fixed(whole))
    for tensor in computed(outputs):
        run.new[tensor] = define(tensor.axes, tensor.reduced, tensor.monoid, run.formula(tensor.formula))
    return run.new, run.once


@dataclass(slots=True)
class _Run:
    fixed: Fixed
    new: dict[Definition, Definition] = field(default_factory=dict)
    once: dict[Definition, Definition] = field(default_factory=dict)
    inputs: dict[Node, Node] = field(default_factory=dict)
    done: dict[Node, Node] = field(default_factory=dict)
    exact: set[Node] = field(default_factory=set)  # what lies below something that jumps

    def formula(self, root: Node) -> Node:
        self.exact.update(below_jumps([root], self.done))
        for node in postorder([root], self.done):
            self.done[node] = self._one(node)
        return self._part(root)

    def _one(self, node: Node) -> Node:
        if node.op == "read":
            tensor = target(node)
            return read(self.new.get(tensor, tensor), *node.args)
        if self._is_fixed(node) or not node.args or node.op in INTEGER:
            return node
        args = self._together(node) if node.op in ("add", "mul") else [self._part(a) for a in node.args]
        return node if tuple(args) == node.args else rebuild(node, tuple(args))

    def _together(self, node: Node) -> list[Node]:
        """The terms of a sum, or the factors of a product, that are fixed are one number."""
        fixed = [a for a in node.args if self._is_fixed(a) and not self._is_divisor(node, a)]
        moving = [
            power(self._part(a.args[0]), -1) if self._is_divisor(node, a) else self._part(a)
            for a in node.args
            if a not in fixed
        ]
        if not fixed:
            return moving
        part = fixed[0] if len(fixed) == 1 else rebuild(node, tuple(fixed))
        self.done.setdefault(part, part)
        return [self._part(part), *moving]

    def _part(self, node: Node) -> Node:
        """What stands for a part below one that changes."""
        if not self._is_fixed(node) or node.op in ("const", "constant", "read") or node.op in CONDITIONS:
            return self.done[node]
        if node not in self.inputs:
            made = input_tensor(f"{NAME}{len(self.inputs)}", (), "constant")
            self.inputs[node], self.once[made] = read(made), elementwise((), node)
        return self.inputs[node]

    def _is_divisor(self, product: Node, factor: Node) -> bool:
        return product in self.exact and product.op == "mul" and factor.op == "pow" and factor.data == -1

    def _is_fixed(self, node: Node) -> bool:
        return not node.free and not node.below and self.fixed.of(node)


INTEGER = frozenset({"eq", "ge", "divides", "index", "size"})
