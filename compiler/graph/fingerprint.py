"""Definitions as a text that is the same in every process: two texts are equal where the formulas are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from sympile.compiler.errors import InternalError
from sympile.compiler.graph.definition import Definition, definitions
from sympile.compiler.graph.node import Node, extent, postorder


def fingerprint(tensors: Iterable[Definition], more: Iterable[Node] = ()) -> str:
    """All that formulas are made of, operands before users, each part under a number of its own.

    Args:
        tensors: definitions, in an order that counts.
        more: nodes, in an order that counts, such as extents.

    Returns:
        One line for each node and each definition. Labels of definitions, which count what a process has made before,
        do not stand in it; names of inputs, indices and sizes do.
    """
    roots = list(tensors)
    writing = _Writing()
    for tensor in definitions(roots):
        writing.define(tensor)
    ends = [str(writing.tensors[tensor]) for tensor in roots]
    ends += [writing.number(node) for node in more]
    return "\n".join([*writing.lines, " ".join(ends)])


class _Writing:
    """The lines so far, and which of them is whose."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.nodes: dict[Node, int] = {}
        self.tensors: dict[Definition, int] = {}

    def define(self, tensor: Definition) -> None:
        axes, reduced = ([self.number(i) for i in indices] for indices in (tensor.axes, tensor.reduced))
        body = "" if tensor.body is None else self.number(tensor.body)
        operands = [str(self.tensors[o]) for o in tensor.operands]
        name = repr(tensor.name) if tensor.kind == "input" else ""
        parts = (name, ",".join(axes), tensor.monoid or "", ",".join(reduced), body, ",".join(operands))
        self.tensors[tensor] = len(self.lines)
        self.lines.append(f"{tensor.kind}|{'|'.join(parts)}|{tensor.routine}|{tensor.integer:d}")

    def number(self, node: Node) -> str:
        """The number of a node, written with all below it if it is not yet."""
        if node not in self.nodes:
            for part in _with_extents(node, self.nodes):
                self._write(part)
        return str(self.nodes[node])

    def _write(self, node: Node) -> None:
        operands = ",".join([str(self.nodes[a]) for a in node.args])
        data = "" if node.data is None else self._data(node.data)
        self.nodes[node] = len(self.lines)
        self.lines.append(f"{node.op}({operands}){data}")

    def _data(self, data: object) -> str:
        if isinstance(data, (int, Fraction)):
            return f"#{data}"
        if isinstance(data, str):
            return repr(data)
        if isinstance(data, tuple):
            return f"({';'.join([self._data(part) for part in data])})"
        if isinstance(data, Node):
            return f"n{self.nodes[data]}"
        if isinstance(data, Definition):
            return f"t{self.tensors[data]}"
        raise InternalError(f"a node holds a {type(data).__name__}, which compiler/graph/fingerprint.py cannot write")


def _with_extents(root: Node, known: dict[Node, int]) -> Iterator[Node]:
    """The nodes below one that are not known, operands first; before an index how far it runs."""
    for node in postorder([root], known):
        if node.op == "index":
            yield from (part for part in postorder([extent(node)], known))
        if node not in known:
            yield node
