"""How parameters are used: those that are only added to something start at 0."""

from __future__ import annotations

from collections.abc import Iterable

from sympile.compiler.graph.definition import Definition, definitions
from sympile.compiler.graph.node import Node, postorder, target


def only_added(outputs: Iterable[Definition], parameters: Iterable[Definition]) -> set[str]:
    """The names of parameters that stand nowhere but as a term of a sum."""
    added = set(parameters)
    for tensor in definitions(outputs):
        if tensor.kind == "call":
            added.difference_update(tensor.operands)
        elif tensor.kind == "formula":
            added -= _otherwise_used(tensor.formula)
    return {tensor.name for tensor in added}


def _otherwise_used(body: Node) -> set[Definition]:
    """The tensors that are read somewhere else than directly in a sum."""
    used = {target(body)} if body.op == "read" else set()
    for node in postorder([body]):
        if node.op not in ("add", "read"):
            used.update(target(arg) for arg in node.args if arg.op == "read")
    return used
