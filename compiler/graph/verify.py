"""What must hold of a program between passes; a mistake is named after the pass that made it."""

from __future__ import annotations

from collections.abc import Iterable

from sympile.compiler.errors import InternalError
from sympile.compiler.graph.conditions import CONDITIONS
from sympile.compiler.graph.definition import MONOIDS, Definition, computed
from sympile.compiler.graph.node import Node, brief, postorder, target


def verify(outputs: Iterable[Definition], after: str) -> None:
    """Raises InternalError where a definition uses an index that is not its own, or a node has the wrong operands."""
    formulas = [tensor for tensor in computed(outputs) if tensor.kind == "formula"]
    for tensor in formulas:
        _verify_formula(tensor, after)
    for node in postorder(tensor.formula for tensor in formulas):
        _verify_node(node, after)


def _verify_formula(tensor: Definition, after: str) -> None:
    own = set(tensor.axes) | set(tensor.reduced)
    if len(own) != len(tensor.axes) + len(tensor.reduced):
        raise InternalError(f"after {after}: {tensor.name} uses one index twice")
    if tensor.monoid not in (None, *MONOIDS) or bool(tensor.reduced) != (tensor.monoid is not None):
        raise InternalError(f"after {after}: {tensor.name} reduces {len(tensor.reduced)} indices with {tensor.monoid}")
    strange = tensor.formula.free - own
    if strange:
        raise InternalError(
            f"after {after}: {tensor.name} = {brief(tensor.formula)} does not bind {', '.join(map(brief, strange))}"
        )


def _verify_node(node: Node, after: str) -> None:
    if node.op == "read" and len(node.args) != len(target(node).axes):
        raise InternalError(f"after {after}: {brief(node)} reads {target(node).name} with {len(node.args)} indices")
    if node.op == "hole":
        raise InternalError(f"after {after}: a formula still has the hole {node.data} of a table row")
    conditions = {"when": node.args[1:], "select": node.args[:1]}.get(node.op, ())
    if any(c.op not in CONDITIONS for c in conditions):
        raise InternalError(f"after {after}: {brief(node)} is guarded by what is no condition")
