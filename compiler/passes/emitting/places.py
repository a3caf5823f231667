"""Where a copy of an unrolled body stands, and what must be ready before an operation is written."""

from __future__ import annotations

from sympile.compiler.graph.node import Node, postorder
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Which copy of an unrolled body: the row, and the vector; masked where the last lanes lie outside."""

    row: int = 0
    vector: int = 0
    masked: bool = False
    second: int = 0  # the step along a second axis of rows


FIRST = Place()


def parts(node: Node) -> tuple[Node, ...]:
    """What must be written before a node: its operands, but of index expressions only the integer data in them."""
    if node.op in ("read", "table", "eq", "ge", "divides"):
        return tuple(n for n in postorder(node.args) if n.op == "read")
    negated = negated_sum(node)
    if negated is not None:
        node = negated
    if node.op == "mul":
        return factor_parts(node)
    if node.op == "add":
        return tuple([part for t in node.args for part in (factor_parts(t) if t.op == "mul" else (t,))])
    return node.args


def negated_sum(node: Node) -> Node | None:
    """The sum of which a node is the negative."""
    negative = node.op == "mul" and len(node.args) == 2 and node.args[0].op == "const" and node.args[0].data == -1
    return node.args[1] if negative and node.args[1].op == "add" else None


def factor_parts(product: Node) -> tuple[Node, ...]:
    args = product.args
    if all([f.op != "pow" for f in args]):
        return args
    return tuple([part for f in args for part in (f.args if is_division(f) else (f,))])


def is_division(factor: Node) -> bool:
    return factor.op == "pow" and factor.data == -1


def is_fixed(factor: Node) -> bool:
    """A number or a size, or a power of one."""
    return factor.op in ("const", "constant", "size") or (factor.op == "pow" and is_fixed(factor.args[0]))


def as_tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)
