"""What must hold of a program between passes; a mistake is named after the pass that made it."""

from __future__ import annotations

from collections.abc import Iterable

from sympile.compiler.errors import InternalError
from sympile.compiler.graph.conditions import CONDITIONS
from sympile.compiler.graph.definition import MONOIDS, Definition, computed
from sympile.compiler.graph.node import Node, brief, postorder, target


def verify(outputs: Iterable[Definition], after: str, known: set[Node] | None = None) -> None:
    """Raises InternalError where a definition uses an index that is not its own, or a node has the wrong operands.

    `known` holds the nodes that were verified before, which nothing can have changed; what is verified now is added.
    """
    known = set() if known is None else known
    formulas = [tensor for tensor in computed(outputs) if tensor.kind == "formula"]
    for tensor in formulas:
        _verify_formula(tensor, after)
    fresh = postorder([tensor.formula for tensor in formulas], known)
    for node in fresh:
        if node.op in _VERIFIED:
            _verify_node(node, after)
    known.update(fresh)


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


_GUARDS = {"when": slice(1, None), "select": slice(0, 1)}  # which operands are conditions
_VERIFIED = frozenset(("read", "hole", *_GUARDS))


def _verify_node(node: Node, after: str) -> None:
    if node.op == "read" and len(node.args) != len(target(node).axes):
        raise InternalError(f"after {after}: {brief(node)} reads {target(node).name} with {len(node.args)} indices")
    if node.op == "hole":
        raise InternalError(f"after {after}: a formula still has the hole {node.data} of a table row")
    guards = _GUARDS.get(node.op)
    if guards is not None and any(c.op not in CONDITIONS for c in node.args[guards]):
        raise InternalError(f"after {after}: {brief(node)} is guarded by what is no condition")
