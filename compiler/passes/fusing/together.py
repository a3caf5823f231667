"""Several functions of one operand, or of u and -u: what they share is computed once; just before code is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympile.compiler.graph.arithmetic import mul, split
from sympile.compiler.graph.node import Node, const, holding, make, postorder
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.rules.lowering import FAMILIES, a, b


def computed_together(bodies: Sequence[Node]) -> list[Node]:
    """The bodies with the members of a family that stand beside another one written with the parts that they share.

    The result is no normal form: it is for the code generator only.
    """
    found = {(node.op, node.args[0]) for node in holding(bodies, _MEMBERS) if node.op in _MEMBERS}
    templates = {
        (op, operand): template
        for family in FAMILIES
        for members in _by_operand(found, family)
        for op, operand in members
        if len(members) > 1 and (template := family.get(op)) is not None
    }
    if not templates:
        return list(bodies)
    done: dict[Node, Node] = {}
    for node in postorder(bodies):
        args = tuple([done[arg] for arg in node.args])
        template = templates.get((node.op, node.args[0])) if args else None
        if template is not None:
            done[node] = substitute(template, {a: args[0], b: _without_sign(args[0])})
        else:
            done[node] = node if args == node.args else make(node.op, *args, data=node.data)
    return [done[body] for body in bodies]


def _by_operand(found: set[tuple[str, Node]], family: Mapping[str, Node]) -> list[set[tuple[str, Node]]]:
    """The members of a family that are there, those together whose operands differ in their sign at most."""
    groups: dict[Node, set[tuple[str, Node]]] = {}
    for op, operand in found:
        if op in family:
            groups.setdefault(_without_sign(operand), set()).add((op, operand))
    return list(groups.values())


def _without_sign(operand: Node) -> Node:
    """The same of u and of -u."""
    coefficient, rest = split(operand)
    return mul(const(-coefficient), rest) if coefficient < 0 else operand


_MEMBERS = frozenset(op for family in FAMILIES for op in family)
