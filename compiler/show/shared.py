"""Large formulas: parts that occur several times get names of their own, numbers as well as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

from sympile.compiler.graph.definition import EXAMPLE, Definition, call, define, definitions, elementwise, read
from sympile.compiler.graph.inline import rewritten
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.show.explicit import explicit_matrix
from sympile.compiler.show.naming import Plan, automatic_words, in_lines, input_names
from sympile.compiler.show.patterns import normalized

LARGE = 90  # operations in a formula (shared parts count each time) from which on parts are named
LARGE_ARRAYS = 30  # the same for parts that are arrays, which need more signs
_OF_POSITIONS = frozenset({"read", "eq", "ge", "divides"})
MOST_AXES = 2  # of such a part: more have no matrix
PART = 5  # operations in a part that is worth a name
_NO_PARTS = frozenset(
    {
        "eq",
        "ge",
        "divides",
        "less",
        "less_equal",
        "equals",
        "differs",
        "and",
        "or",
        "not",
        "const",
        "constant",
        "size",
        "index",
    }
)


def with_shared_parts(plan: Plan) -> Plan:
    """The plan with a line for every part that is long and occurs more than once; small formulas stay."""
    bodies = [t.formula for t in definitions([plan.top]) if t.kind == "formula"]
    weights = _weights(plan)
    if _longest(plan, weights) < LARGE_ARRAYS:
        return plan
    least = 0 if weights[plan.top] >= LARGE else 1
    parts = [
        n
        for n in _used_often(map(normalized, bodies))
        if _weight(n, weights) >= PART and least <= len(n.free - {EXAMPLE}) <= MOST_AXES and n.op not in _NO_PARTS
    ]
    positions = _positions(bodies)
    return _extracted(plan, _wherever([n for n in parts if n not in positions and not _is_short(n, plan)], bodies))


def _positions(bodies: Sequence[Node]) -> set[Node]:
    """Index expressions: where something is read, and conditions on that."""
    users = [n for n in postorder(bodies) if n.op in _OF_POSITIONS]
    return set(postorder([argument for user in users for argument in user.args]))


def _is_short(part: Node, plan: Plan) -> bool:
    """A name, or numbers in their places."""
    if part.op != "read":
        return any(n.op == "eq" and n.free - {EXAMPLE} for n in postorder([part]))
    tensor = target(part)
    return tensor in plan.lines or tensor.kind == "input" or explicit_matrix(tensor) is not None


def written_size(plan: Plan) -> int:
    """How many operations the longest line has when it is written out."""
    return _longest(plan, _weights(plan))


def _longest(plan: Plan, weights: Mapping[Definition | Node, int]) -> int:
    return max(weights[tensor] for tensor in (plan.top, *plan.lines))


def _weights(plan: Plan) -> dict[Definition | Node, int]:
    """How many operations a definition or a node stands for when it is written out; names count as one."""
    weights: dict[Definition | Node, int] = {}
    for tensor in definitions([plan.top]):
        below = [weights[o] for o in tensor.operands]
        weights[tensor] = (
            1 + sum(below) + (_body_weight(tensor.formula, weights, plan) if tensor.kind == "formula" else 0)
        )
    return weights


def _body_weight(body: Node, weights: dict[Definition | Node, int], plan: Plan) -> int:
    for node in postorder([body]):
        own = 1 if node.op in ("const", "index") or (node.op == "read" and _is_word(target(node), plan)) else 0
        whole = 0 if own or node.op != "read" else weights[target(node)]
        weights[node] = min(own or 1 + whole + sum(weights[a] for a in node.args if node.op != "read"), 10**9)
    return weights[body]


def _is_word(tensor: Definition, plan: Plan) -> bool:
    return tensor.kind == "input" or (tensor in plan.lines and tensor is not plan.top)


def _weight(node: Node, weights: dict[Definition | Node, int]) -> int:
    return weights.get(node, 0)


def _used_often(bodies: Iterable[Node]) -> list[Node]:
    """Nodes with more than one user, operands before users."""
    uses: dict[Node, int] = {}
    for node in postorder(bodies):
        uses.setdefault(node, 0)
        for arg in node.args:
            uses[arg] = uses.get(arg, 0) + 1
    return [node for node, count in uses.items() if count > 1]


def _wherever(parts: Sequence[Node], bodies: Sequence[Node]) -> list[Node]:
    """The parts, and what is the same at other indices, operands before users."""
    same = {_canonical(part)[0] for part in parts}
    kinds = {(part.op, len(part.free)) for part in parts}
    nodes = [n for n in postorder(bodies) if (n.op, len(n.free)) in kinds]
    return [n for n in nodes if _canonical(n)[0] in same]


def _canonical(part: Node) -> tuple[Definition, tuple[Node, ...]]:
    """An array, and the indices at which it is this part; of the orders of its axes always the same."""
    orders = [axes for axes in permutations(part.free) if EXAMPLE not in axes[1:]]
    return min(((elementwise(axes, part), axes) for axes in orders), key=lambda found: found[0].key)


def _extracted(plan: Plan, parts: Sequence[Node]) -> Plan:
    """Every part as a definition with the next free name."""
    new: dict[Definition, Definition] = {}
    names: dict[Definition, str] = {}
    held: dict[Node, Node] = {}
    for tensor in definitions([plan.top]):
        new[tensor] = _redefined(tensor, parts, new, names, held)
        if tensor in plan.lines:
            names[new[tensor]] = plan.lines[tensor]
    added = [t for t in names if not names[t]]
    names.update(automatic_words(added, [*names.values(), *input_names(plan.top)]))
    return in_lines(new[plan.top], names, plan.adjoints)


def _redefined(
    tensor: Definition,
    parts: Sequence[Node],
    new: dict[Definition, Definition],
    names: dict[Definition, str],
    held: dict[Node, Node],
) -> Definition:
    """The definition with parts read instead of written out; new parts are added to `names` on the way."""
    if tensor.kind == "input":
        return tensor
    if tensor.kind == "call":
        return call(tensor.routine, [new[o] for o in tensor.operands], tensor.shape)
    below = set(postorder([tensor.formula]))
    for part in parts:
        if part in below and part not in held and part is not tensor.formula:
            body = rewritten(_with_parts(part, held), new, lambda t: True)
            own, axes = _canonical(body)
            names.setdefault(own, "")
            held[part] = read(own, *axes)
    body = rewritten(_with_parts(tensor.formula, held), new, lambda t: True)
    return (
        elementwise(tensor.axes, body)
        if tensor.monoid is None
        else define(tensor.axes, tensor.reduced, tensor.monoid, body)
    )


def _with_parts(body: Node, held: dict[Node, Node]) -> Node:
    return substitute(body, {part: name for part, name in held.items() if part is not body})
