"""Several functions of one operand: what they share is computed once; just before code is written."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.graph.node import Node, holding, make, postorder
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.rules.lowering import FAMILIES, a


def computed_together(bodies: Sequence[Node]) -> list[Node]:
    """The bodies with the members of a family that stand beside another one written with the parts that they share.

    The result is no normal form: it is for the code generator only.
    """
    present = {(node.op, node.args) for node in holding(bodies, _MEMBERS) if node.op in _MEMBERS}
    templates = {
        (op, args): template
        for op, args in present
        for family in FAMILIES
        if (template := family.get(op)) is not None and any((other, args) in present for other in family if other != op)
    }
    if not templates:
        return list(bodies)
    done: dict[Node, Node] = {}
    for node in postorder(bodies):
        args = tuple([done[arg] for arg in node.args])
        template = templates.get((node.op, node.args))
        if template is not None:
            done[node] = substitute(template, {a: args[0]})
        else:
            done[node] = node if args == node.args else make(node.op, *args, data=node.data)
    return [done[body] for body in bodies]


_MEMBERS = frozenset(op for family in FAMILIES for op in family)
