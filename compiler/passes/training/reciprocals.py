"""In update rules, a division by what is the same for every entry becomes a multiplication by its reciprocal.

Other quotients, which the processor may be slow at, need not be correctly rounded (`divide_nearly`), and quotients by
square roots need neither (`divide_by_root`).

u/c and u·(1/c) are the same real number; the first is rounded once, the second twice (1.5 units in the last place
instead of 0.5). Whatever compares, rounds or jumps sees the quotient that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from sympile.compiler.graph.arithmetic import mul, sqrt
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
QUOTIENT, ROOT = "divide_nearly", "divide_by_root"
NEAR = {-1: QUOTIENT, Fraction(-1, 2): ROOT}  # a power below the line → what divides by its base


def with_reciprocals(tensor: Definition) -> Definition:
    """An elementwise definition whose quotients by scalars are products."""
    return _rewritten(tensor, _by_reciprocals)


def with_near_quotients(tensor: Definition) -> Definition:
    """An elementwise definition whose other quotients may be wrong by a unit in the last place."""
    return _rewritten(tensor, _nearly_divided)


def _rewritten(tensor: Definition, rewrite: Callable[[Node, tuple[Node, ...]], Node]) -> Definition:
    """The rewrite of a node, given its changed operands, wherever nothing compares, rounds or jumps."""
    if tensor.kind == "input":
        return tensor
    done: dict[Node, Node] = {}
    stack = [tensor.formula]
    while stack:
        node = stack[-1]
        smooth = SMOOTH.get(node.op, NONE)
        missing = [arg for arg in node.args[smooth] if arg not in done]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        if node not in done:
            changed = list(node.args)
            changed[smooth] = [done[arg] for arg in node.args[smooth]]
            done[node] = rewrite(node, tuple(changed))
    return elementwise(tensor.axes, done[tensor.formula])


def _by_reciprocals(node: Node, changed: tuple[Node, ...]) -> Node:
    if node.op == "mul" and node.free:
        return mul(*map(_reciprocal, changed))
    return node if changed == node.args else rebuild(node, changed)


def _reciprocal(factor: Node) -> Node:
    """1/c as a value of its own, which no product takes below its line."""
    if factor.op != "pow" or factor.data != -1 or factor.free:
        return factor
    return function("divide", ONE, factor.args[0])


def _nearly_divided(node: Node, changed: tuple[Node, ...]) -> Node:
    """A quotient as one; its divisor, in a product, has been divided by already."""
    if node.op == "pow" and node.free and node.data in NEAR:
        return function(NEAR[node.data], ONE, changed[0])
    below = [factor.args[1] for factor in changed if node.op == "mul" and _is_nearly_divided(factor)]
    roots = [factor.args[1] for factor in changed if node.op == "mul" and _is_nearly_divided(factor, ROOT)]
    if not below and not roots:
        return node if changed == node.args else rebuild(node, changed)
    above = mul(*[f for f in changed if not _is_nearly_divided(f) and not _is_nearly_divided(f, ROOT)])
    if not below and len(roots) == 1:
        return function(ROOT, above, roots[0])
    return function(QUOTIENT, above, mul(*below, *[sqrt(root) for root in roots]))


def _is_nearly_divided(factor: Node, by: str = QUOTIENT) -> bool:
    return factor.op == by and factor.args[0] is ONE
