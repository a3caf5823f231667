"""Where a copy of an unrolled body stands, and what must be ready before an operation is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    rule = _PARTS.get(node.op)
    return node.args if rule is None else rule(node)


def _data_parts(node: Node) -> tuple[Node, ...]:
    return tuple([n for n in postorder(node.args) if n.op == "read"]) if node.args else ()


def _term_parts(node: Node) -> tuple[Node, ...]:
    return tuple([part for t in node.args for part in (factor_parts(t) if t.op == "mul" else (t,))])


def _product_parts(node: Node) -> tuple[Node, ...]:
    negated = negated_sum(node)
    return factor_parts(node) if negated is None else _term_parts(negated)


def negated_sum(node: Node) -> Node | None:
    """The sum of which a node is the negative."""
    negative = node.op == "mul" and len(node.args) == 2 and node.args[0].op == "const" and node.args[0].data == -1
    return node.args[1] if negative and node.args[1].op == "add" else None


def factor_parts(product: Node) -> tuple[Node, ...]:
    args = product.args
    if all([f.op != "pow" for f in args]):
        return args
    return tuple([part for f in args for part in (f.args if is_division(f) else (f,))])


_PARTS: Mapping[str, Callable[[Node], tuple[Node, ...]]] = {
    **dict.fromkeys(("read", "table", "eq", "ge", "divides"), _data_parts),
    "mul": _product_parts,
    "add": _term_parts,
}


def is_division(factor: Node) -> bool:
    return factor.op == "pow" and factor.data == -1


def is_fixed(factor: Node) -> bool:
    """A number or a size, or a power of one."""
    return factor.op in ("const", "constant", "size") or (factor.op == "pow" and is_fixed(factor.args[0]))


def as_tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)
