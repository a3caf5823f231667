"""In which order terms are added where every step waits for the one before: what is ready last comes last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.records import dataclass
from sympile.compiler.rules.costs import CYCLES, cycles

LATE = 100  # cycles
ROUNDS = 3  # of asking when the carried numbers of a step are ready, which follows from when those of the last one were


def orders(groups: Iterable[Group], carried: Mapping[Definition, Definition]) -> dict[Node, tuple[Node, ...]]:
    """The terms of every sum, in the order in which they are to be added.

    Args:
        groups: what a step computes.
        carried: each number (an input) and where its new value is found.
    """
    bodies = {tensor: group.body(tensor) for group in groups for tensor in group.results}
    ready = dict.fromkeys(carried, 0)
    for _ in range(ROUNDS):
        run = _Run(ready)
        for tensor, body in bodies.items():
            run.tensor(tensor, body)
        ready = {number: run.tensors.get(after, 0) for number, after in carried.items()}
    return run.orders


def with_last(bodies: Iterable[Node], late: Definition) -> dict[Node, tuple[Node, ...]]:
    """The same where everything is ready but one tensor."""
    run = _Run({late: LATE})
    for node in postorder(bodies, run.nodes):
        run.nodes[node] = run.node(node)
    return run.orders


@dataclass(slots=True)
class _Run:
    """When every value is ready, in cycles."""

    tensors: dict[Definition, int]  # the carried numbers, then what is computed
    nodes: dict[Node, int] = field(default_factory=dict)
    orders: dict[Node, tuple[Node, ...]] = field(default_factory=dict)

    def tensor(self, tensor: Definition, body: Node) -> None:
        for node in postorder([body], self.nodes):
            self.nodes[node] = self.node(node)
        self.tensors[tensor] = self.nodes[body] + (CYCLES["reduced"] if tensor.reduced else 0)

    def node(self, node: Node) -> int:
        if node.op == "read":
            return self.tensors.get(target(node), 0)
        if node.op == "add":
            return self._sum(node)
        return self._operands(node) + cycles(node)

    def _operands(self, node: Node) -> int:
        return max((self.nodes[arg] for arg in node.args), default=0)

    def _sum(self, node: Node) -> int:
        """Numbers first, since a product is added in the same instruction that multiplies it."""
        terms = sorted(node.args, key=lambda term: (term.op == "mul", self.nodes[term]))
        self.orders[node] = tuple(terms)
        ready = self.nodes[terms[0]]
        for term in terms[1:]:
            product = term.op == "mul"
            ready = max(ready, self._operands(term) if product else self.nodes[term])
            ready += CYCLES["mul"] if product else CYCLES["add"]
        return ready
