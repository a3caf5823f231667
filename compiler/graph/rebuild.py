"""Any operation on given operands in normal form; formulas rebuilt with parts replaced."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.brackets import at_least_zero, divides, equal
from sympile.compiler.graph.conditions import both, differs, either, negation, select, when
from sympile.compiler.graph.node import HALF, ONE, ZERO, Node, Number, by_key, make, number, postorder
from sympile.compiler.graph.quotients import quotient
from sympile.compiler.graph.table import TABLE, entry_of


def maximum(*operands: Node) -> Node:
    return _extreme("max", operands)


def minimum(*operands: Node) -> Node:
    return _extreme("min", operands)


def _extreme(op: str, operands: tuple[Node, ...]) -> Node:
    flat = {part for operand in operands for part in (operand.args if operand.op == op else (operand,))}
    ordered = sorted(flat, key=by_key)
    return ordered[0] if len(ordered) == 1 else make(op, *ordered)


_COMPARED: Mapping[str, Callable[[Number, Number], bool]] = {
    "less": operator.lt,
    "less_equal": operator.le,
    "equals": operator.eq,
    "differs": operator.ne,
}
_SYMMETRIC = frozenset({"equals", "differs"})
_AT_POINT: dict[tuple[str, Node], Node] = {
    ("exp", ZERO): ONE,
    ("log", ONE): ZERO,
    ("sin", ZERO): ZERO,
    ("cos", ZERO): ONE,
    ("tanh", ZERO): ZERO,
    ("sigmoid", ZERO): HALF,
    ("abs", ZERO): ZERO,
    ("sign", ZERO): ZERO,
    ("relu", ZERO): ZERO,
}


def function(op: str, *args: Node) -> Node:
    """Any other operation; exact values at exact points are folded, nothing else."""
    if len(args) == 1:
        known = _AT_POINT.get((op, args[0]))
        if known is not None:
            return known
    if op in _COMPARED and args[0].op == args[1].op == "const":
        return ONE if _COMPARED[op](number(args[0]), number(args[1])) else ZERO
    if op in _SYMMETRIC:
        args = tuple(sorted(args, key=by_key))
    return make(op, *args)


# ------------------------------------------------------------------------------------------------ rebuilding

BUILD: Mapping[str, Callable[..., Node]] = {
    "add": add,
    "mul": mul,
    "eq": equal,
    "ge": at_least_zero,
    "when": when,
    "select": select,
    "and": both,
    "or": either,
    "not": negation,
    "differs": differs,
    "max": maximum,
    "min": minimum,
}
_WITH_DATA: Mapping[str, Callable[[Node, tuple[Node, ...]], Node]] = {
    "pow": lambda node, args: power(args[0], node.data),  # type: ignore[arg-type]
    "divides": lambda node, args: divides(node.data, args[0]),  # type: ignore[arg-type]
    "quotient": lambda node, args: quotient(args[0], node.data),  # type: ignore[arg-type]
    "read": lambda node, args: make("read", *args, data=node.data),
    TABLE: entry_of,
}


def rebuild(node: Node, args: tuple[Node, ...]) -> Node:
    """The same operation on other operands, in normal form."""
    build = BUILD.get(node.op)
    if build is not None:
        return build(*args)
    with_data = _WITH_DATA.get(node.op)
    if with_data is not None:
        return with_data(node, args)
    return function(node.op, *args) if node.data is None else make(node.op, *args, data=node.data)


def substitute(root: Node, replacements: Mapping[Node, Node]) -> Node:
    """Replaces nodes by others, all at once; subgraphs without any of the replaced indices are not entered."""
    replacements = {old: new for old, new in replacements.items() if old is not new}
    if not replacements:
        return root
    indices = frozenset(n for n in replacements if n.op == "index")
    only_indices = len(indices) == len(replacements)
    if only_indices and indices.isdisjoint(root.free):
        return root
    done: dict[Node, Node] = dict(replacements)
    stack = [root]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
        elif not node.args or (only_indices and indices.isdisjoint(node.free)):
            done[node] = node
            stack.pop()
        else:
            missing = [a for a in node.args if a not in done]
            if missing:
                stack.extend(missing)
                continue
            args = tuple([done[a] for a in node.args])
            done[node] = node if args == node.args else rebuild(node, args)
            stack.pop()
    return done[root]


def transform(roots: list[Node], change: Callable[[Node], Node], done: dict[Node, Node] | None = None) -> list[Node]:
    """Rebuilds bottom-up: every node whose operands are rebuilt goes through `change`; `done` may be kept for more."""
    memo = {} if done is None else done
    for node in postorder(roots, memo):
        args = tuple([memo[a] for a in node.args])
        memo[node] = change(node if args == node.args else rebuild(node, args))
    return [memo[root] for root in roots]


def transform_sums(root: Node, change: Callable[[Node], Node], done: dict[Node, Node] | None = None) -> Node:
    """As `transform`, of every sum; one that the rebuilding has put under a factor of its own included."""

    def changed(node: Node) -> Node:
        if node.op == "add":
            return change(node)
        if node.op == "mul" and len(node.args) == 2 and node.args[0].op == "const" and node.args[1].op == "add":
            return mul(node.args[0], change(node.args[1]))
        return node

    return transform([root], changed, done)[0]
