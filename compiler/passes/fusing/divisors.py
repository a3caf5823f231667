"""Several quotients by one number are products with its reciprocal: a division takes as long as three products.

u/c is rounded once, u·(1/c) twice; what jumps (rules/jumps.py) sees the quotient. In the loops of small fits only:
where c is so small (below 2^-1024) that 1/c overflows, the step is not finite, and the fit ends there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sympile.compiler.graph.node import ONE, Node, make, postorder
from sympile.compiler.rules.jumps import below_jumps


def shared_divisors(bodies: Sequence[Node]) -> list[Node]:
    """The bodies with one division for each divisor; no normal form, for the code generator only."""
    nodes, exact = list(postorder(bodies)), set(below_jumps(bodies))
    quotients: Counter[Node] = Counter()
    for node in nodes:
        for arg in filter(_divides, dict.fromkeys(node.args)):
            quotients[arg.args[0]] += 1 if node.free == arg.free else 2  # in a loop that does not change the divisor
    shared = {divisor for divisor, count in quotients.items() if count > 1}
    if not shared:
        return list(bodies)
    done: dict[Node, Node] = {}
    for node in nodes:
        args = tuple([done[arg] for arg in node.args])
        if _divides(node) and node.args[0] in shared and node not in exact:
            assert isinstance(node.data, int)
            reciprocal = make("divide", ONE, args[0])
            done[node] = reciprocal if node.data == -1 else make("pow", reciprocal, data=-node.data)
        else:
            done[node] = node if args == node.args else make(node.op, *args, data=node.data)
    return [done[body] for body in bodies]


def _divides(node: Node) -> bool:
    return node.op == "pow" and isinstance(node.data, int) and node.data < 0
