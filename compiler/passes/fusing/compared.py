"""Numbers that a slope looks for: that of an extreme must equal the extreme to the bit.

Computed again, beside other work, a number may be rounded otherwise; then none would equal the extreme, and no slope
would pass. So what an extreme is taken of is stored, unless it is rounded alike everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sympile.compiler.graph.arithmetic import split
from sympile.compiler.graph.conditions import CONDITIONS
from sympile.compiler.graph.definition import Definition, computed, define
from sympile.compiler.graph.mapping import Mapping as New
from sympile.compiler.graph.mapping import each_formula, redirected
from sympile.compiler.graph.node import Node, postorder, reads, target
from sympile.compiler.graph.rebuild import function, substitute, transform

EXTREMES = frozenset({"max", "min"})
EXACT = EXTREMES | CONDITIONS | {"relu", "abs", "when", "select"}  # what rounds nothing


def compared(outputs: Sequence[Definition]) -> set[Definition]:
    """Elementwise definitions to be stored, since an extreme over indices is looked for among their numbers."""
    order = computed(outputs)
    wanted = looked_for(order)
    found: set[Definition] = set()
    roundings: dict[Definition, int] = {}
    for tensor in order if wanted else ():
        if _is_elementwise(tensor):
            often = _roundings(tensor.formula, roundings)
            if often > 1 and tensor in wanted:
                found.add(tensor)
            else:
                roundings[tensor] = often
    return found


def looked_for(tensors: Iterable[Definition]) -> set[Definition]:
    """Elementwise definitions among whose numbers formulas look for an extreme over indices."""
    pairs = [node.args for tensor in tensors for node in _comparisons(tensor)]
    values = [one for pair in pairs for one, other in (pair, pair[::-1]) if _is_extreme(other)]
    return {target(node) for node in reads(*values) if _is_elementwise(target(node))}


def with_opened_extremes(outputs: Sequence[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, where that of several operands is compared with them, not with what was stored of it."""
    if not any(_opened(node) is not node for tensor in computed(outputs) for node in _comparisons(tensor)):
        return New()
    done: dict[Node, Node] = {}
    opened: dict[Node, Node] = {}

    def changed(tensor: Definition, new: New) -> Definition:
        (body,) = transform([tensor.formula], _opened, opened)
        return define(tensor.axes, tensor.reduced, tensor.monoid, redirected(body, new, done))

    return each_formula(outputs, changed)


def _opened(node: Node) -> Node:
    return function("equals", *map(_spelled, node.args)) if node.op == "equals" else node


def _spelled(side: Node) -> Node:
    if side.op != "read" or not _is_elementwise(target(side)) or target(side).formula.op not in EXTREMES:
        return side
    return substitute(target(side).formula, dict(zip(target(side).axes, side.args, strict=True)))


def _comparisons(tensor: Definition) -> Iterator[Node]:
    if tensor.kind == "formula" and "equals" in tensor.formula.ops:
        yield from (node for node in postorder([tensor.formula]) if node.op == "equals")


def _is_extreme(node: Node) -> bool:
    return node.op == "read" and target(node).monoid in EXTREMES


def _is_elementwise(tensor: Definition) -> bool:
    return tensor.kind == "formula" and tensor.monoid is None


def _roundings(body: Node, known: Mapping[Definition, int]) -> int:
    """How often a value is rounded on its way: never, once, or more; a function counts as more.

    One sum or product of two numbers is rounded alike everywhere, two may be one multiply-add.
    """
    done: dict[Node, int] = {}
    for node in postorder([body]):
        below = sum(done[arg] for arg in node.args)
        if node.op == "read":
            done[node] = known.get(target(node), 0)
        elif node.op in EXACT or not node.args:
            done[node] = below
        else:
            done[node] = below + _own_roundings(node)
    return done[body]


def _own_roundings(node: Node) -> int:
    """Of one operation; a sign rounds nothing, but what it stands before may be a product of its own."""
    coefficient, rest = split(node)
    if coefficient == -1 and rest.op != "mul":
        return 0  # the rest is an operand, which has been counted
    judged = rest if coefficient == -1 else node
    return 1 if judged.op in ("add", "mul") and len(judged.args) == 2 else 2
