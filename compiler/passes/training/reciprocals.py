"""In update rules, a division by what is the same for every entry becomes a multiplication by its reciprocal.

u/c and u·(1/c) are the same real number; the first is rounded once, the second twice (1.5 units in the last place
instead of 0.5). Whatever compares, rounds or jumps sees the quotient that was written.
"""

from __future__ import annotations

from collections.abc import Mapping

from sympile.compiler.graph.arithmetic import mul
from sympile.compiler.graph.definition import Definition, elementwise
from sympile.compiler.graph.node import ONE, Node
from sympile.compiler.graph.rebuild import function, rebuild

# Operation → those of its operands whose small changes change the result as little; the others may decide all.
SMOOTH: Mapping[str, slice] = {
    **dict.fromkeys(("add", "mul", "pow", "abs", "max", "min"), slice(None)),
    "select": slice(1, None),
    "when": slice(1),
}
NONE = slice(0)


def with_reciprocals(tensor: Definition) -> Definition:
    """An elementwise definition whose quotients by scalars are products."""
    if tensor.kind == "input":
        return tensor
    done: dict[Node, Node] = {}
    stack = [tensor.formula]
    while stack:
        node = stack[-1]
        missing = [arg for arg in node.args[SMOOTH.get(node.op, NONE)] if arg not in done]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        if node not in done:
            done[node] = _rebuilt(node, done)
    return elementwise(tensor.axes, done[tensor.formula])


def _rebuilt(node: Node, done: Mapping[Node, Node]) -> Node:
    """A node over its changed operands."""
    smooth = SMOOTH.get(node.op, NONE)
    changed = list(node.args)
    changed[smooth] = [done[arg] for arg in node.args[smooth]]
    if node.op == "mul" and node.free:
        return mul(*map(_reciprocal, changed))
    return node if changed == list(node.args) else rebuild(node, tuple(changed))


def _reciprocal(factor: Node) -> Node:
    """1/c as a value of its own, which no product takes below its line."""
    if factor.op != "pow" or factor.data != -1 or factor.free:
        return factor
    return function("divide", ONE, factor.args[0])
