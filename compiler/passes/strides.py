"""How far reads and results move in memory for one step of an index."""

from __future__ import annotations

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.graph.node import Node, extent, target


def strides_along(node: Node, index: Node) -> int | None:
    """How far a read moves in memory for one step of an index; None where data decide, or it is a fraction."""
    step, scale = 0, 1
    for at, length in reversed(list(zip(node.args, target(node).shape, strict=True))):
        if index in at.free:
            form = affine(at)
            if form is None or any(leaf is not index and index in leaf.free for leaf, _ in form.terms):
                return None
            own = next(c for leaf, c in form.terms if leaf is index)
            if not isinstance(own, int):
                return None
            step += own * scale
        scale *= extent_value(length)
    return step


def own_stride(tensor: Definition, index: Node) -> int:
    """How far a result moves for one step of one of its axes; 0 for any other index."""
    step = 1
    for axis in reversed(tensor.axes):
        if axis is index:
            return step
        step *= extent_value(extent(axis))
    return 0
