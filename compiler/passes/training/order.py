"""In which order terms are added where every step waits for the one before: what is ready last comes last.

Where loops do not fill the processor, long sums are several chains, which are added up at their end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.records import dataclass
from sympile.compiler.rules.costs import CYCLES, cycles

LATE = 100  # cycles
MOST_CHAINS = 4
ROUNDS = 3  # of asking when the carried numbers of a step are ready, which follows from when those of the last one were


Chains = tuple[tuple[Node, ...], ...]


def orders(
    groups: Iterable[Group], carried: Mapping[Definition, Definition], several: bool = False
) -> dict[Node, Chains]:
    """The terms of every sum, in the order in which they are to be added.

    Args:
        groups: what a step computes.
        carried: each number (an input) and where its new value is found.
        several: a sum may be several chains of terms.
    """
    bodies = {tensor: group.body(tensor) for group in groups for tensor in group.results}
    ready = dict.fromkeys(carried, 0)
    for _ in range(ROUNDS):
        run = _Run(ready, MOST_CHAINS if several else 1)
        for tensor, body in bodies.items():
            run.tensor(tensor, body)
        ready = {number: run.tensors.get(after, 0) for number, after in carried.items()}
    return run.orders


def with_last(bodies: Iterable[Node], late: Definition) -> dict[Node, Chains]:
    """The same where everything is ready but one tensor."""
    run = _Run({late: LATE})
    for node in postorder(bodies, run.nodes):
        run.nodes[node] = run.node(node)
    return run.orders


@dataclass(slots=True)
class _Run:
    """When every value is ready, in cycles."""

    tensors: dict[Definition, int]  # the carried numbers, then what is computed
    chains: int = 1  # of a sum, at most
    nodes: dict[Node, int] = field(default_factory=dict)
    orders: dict[Node, Chains] = field(default_factory=dict)

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
        ready, chains = self._joined([terms])
        for count in range(2, min(self.chains, len(terms) // 2) + 1):
            when, parts = self._joined([terms[k::count] for k in range(count)])
            if when < ready:
                ready, chains = when, parts
        self.orders[node] = chains
        return ready

    def _joined(self, parts: Iterable[Sequence[Node]]) -> tuple[int, Chains]:
        """When a sum is ready of which the parts are added up first, and those in the order in which they are."""
        ends = sorted([(self._chain(part), k, tuple(part)) for k, part in enumerate(parts)])
        ready = ends[0][0]
        for end, *_ in ends[1:]:
            ready = max(ready, end) + CYCLES["add"]
        return ready, tuple([part for *_, part in ends])

    def _chain(self, terms: Sequence[Node]) -> int:
        ready = self.nodes[terms[0]]
        for term in terms[1:]:
            product = term.op == "mul"
            ready = max(ready, self._operands(term) if product else self.nodes[term])
            ready += CYCLES["mul"] if product else CYCLES["add"]
        return ready
