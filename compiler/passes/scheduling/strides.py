"""How far reads and results move in memory for one step of an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import Node, extent, postorder, target
from sympile.compiler.graph.table import TABLE, table_of


def strides_along(node: Node, index: Node) -> int | None:
    """How far a read moves in memory for one step of an index; None where data decide, or it is a fraction."""
    step, scale = 0, 1
    for at, length in reversed(list(zip(node.args, _lengths(node), strict=True))):
        if index in at.free:
            form = affine(at)
            if form is None or any(leaf is not index and index in leaf.free for leaf, _ in form.terms):
                return None
            own = next(c for leaf, c in form.terms if leaf is index)
            if not isinstance(own, int):
                return None
            step += own * scale
        scale *= length
    return step


def loads_in(roots: Iterable[Node]) -> list[Node]:
    """What code loads from memory: reads of tensors, and entries of tables."""
    return [node for node in postorder(roots) if node.op in ("read", TABLE)]


def _lengths(node: Node) -> Sequence[int]:
    return table_of(node)[0] if node.op == TABLE else [extent_value(length) for length in target(node).shape]


def own_stride(tensor: Definition, index: Node) -> int:
    """How far a result moves for one step of one of its axes; 0 for any other index."""
    step = 1
    for axis in reversed(tensor.axes):
        if axis is index:
            return step
        step *= extent_value(extent(axis))
    return 0
