"""Sizes and positions as one writes them, for messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from sympile.compiler.graph.definition import EXAMPLES
from sympile.compiler.graph.node import Node, brief, postorder


def size_text(node: Node) -> str:
    """A size or a position: `n + m - 1`, not the operations that the graph has for it."""
    known: dict[Node, Any] = {}
    for item in postorder([node]):
        build = _BUILD.get(item.op)
        known[item] = sp.Symbol(_leaf(item)) if build is None else build(item, [known[a] for a in item.args])
    return str(known[node])


def _leaf(node: Node) -> str:
    return "#examples" if node is EXAMPLES else brief(node)


_BUILD: Mapping[str, Callable[[Node, list[Any]], Any]] = {
    "const": lambda node, args: sp.sympify(node.data),
    "add": lambda node, args: sp.expand(sp.Add(*args)),
    "mul": lambda node, args: sp.expand(sp.Mul(*args)),
    "pow": lambda node, args: args[0] ** sp.sympify(node.data),
}
