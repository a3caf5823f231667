"""Large formulas: scalar parts that occur several times get names of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympile.compiler.graph.definition import EXAMPLE, Definition, call, define, definitions, elementwise, read
from sympile.compiler.graph.inline import rewritten
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.show.naming import Plan, automatic_words, in_lines, input_names

LARGE = 90  # operations in a formula (shared parts count each time) from which on parts are named
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
    """The plan with a line for every scalar part that is long and occurs more than once; small formulas stay."""
    bodies = [t.formula for t in definitions([plan.top]) if t.kind == "formula"]
    weights = _weights(plan)
    if weights[plan.top] < LARGE:
        return plan
    parts = [
        n for n in _used_often(bodies) if _weight(n, weights) >= PART and n.free <= {EXAMPLE} and n.op not in _NO_PARTS
    ]
    return _extracted(
        plan, [n for n in parts if not (n.op == "read" and (target(n) in plan.lines or target(n).kind == "input"))]
    )


def written_size(plan: Plan) -> int:
    """How many operations the longest line has when it is written out."""
    weights = _weights(plan)
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
            axes = (EXAMPLE,) if EXAMPLE in body.free else ()
            own = elementwise(axes, body)
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
