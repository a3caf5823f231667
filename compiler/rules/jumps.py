"""What jumps sees the quotient that was written: 49·(1/49) is less than 1, and floor(49/49) would be 0."""

from __future__ import annotations

from collections.abc import Container, Iterable

from sympile.compiler.graph.conditions import CONDITIONS
from sympile.compiler.graph.node import ZERO, Node, postorder
from sympile.compiler.rules.derivatives import PARTIALS

JUMPS = CONDITIONS | {op for op, partials in PARTIALS.items() if partials[0] is ZERO}


def below_jumps(roots: Iterable[Node], known: Container[Node] = ()) -> list[Node]:
    """All nodes below a floor, a sign or a condition; what is known is not entered."""
    return list(postorder([a for node in postorder(roots, known) if node.op in JUMPS for a in node.args], known))
