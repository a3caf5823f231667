"""Places that data tell, as W[c[e] + 1] has one, and that are known to lie inside: there no guard is needed."""

from __future__ import annotations

from collections.abc import Iterable

from sympile.compiler.graph.definition import Definition, define_free
from sympile.compiler.graph.node import READ_AT, Node, target
from sympile.compiler.graph.ranges import stays_inside

_DATA = frozenset(("read", READ_AT))
Places = frozenset[tuple[Definition, Node]]  # each as a definition, and the length of the axis


def unguarded_places(order: Iterable[Definition]) -> Places:
    """The places that the program reads for all values of their indices, under no condition: calls check those."""
    found: set[tuple[Definition, Node]] = set()
    seen: set[Node] = set()
    pending = [tensor.formula for tensor in order if tensor.kind == "formula" and READ_AT in tensor.formula.ops]
    while pending:
        node = pending.pop()
        if node in seen or node.op in ("when", "select"):
            continue
        seen.add(node)
        pending += [arg for arg in node.args if READ_AT in arg.ops]
        if node.op == "read":
            found.update(
                (_place(at), length)
                for at, length in zip(node.args, target(node).shape, strict=True)
                if not _DATA.isdisjoint(at.ops)
            )
    return frozenset(found)


def may_leave_range(node: Node, places: Places) -> bool:
    """Whether a read may be one of outside."""
    if node.op != "read":
        return False
    return not all(
        stays_inside(at, n) or _is_checked(at) or (not _DATA.isdisjoint(at.ops) and (_place(at), n) in places)
        for at, n in zip(node.args, target(node).shape, strict=True)
    )


def _is_checked(at: Node) -> bool:
    """Whether it is data as they were given: whoever calls looks whether they stay in range."""
    return at.op == "read" and target(at).kind == "input" and all(arg.op == "index" for arg in at.args)


def _place(at: Node) -> Definition:
    """A place, whatever its indices are called."""
    return define_free(at.free, (), None, at)[0]
