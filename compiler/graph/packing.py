"""Definitions and nodes as plain rows, for pickle and copy: no recursion, and what is made again is the same object."""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from sympile.compiler.graph.definition import Definition, definitions, interned
from sympile.compiler.graph.node import Node, extent, index_name, make, postorder, reads, target
from sympile.compiler.records import dataclass

# A node:       op, operands, data; that of an index is (name, extent), that of a read its definition's row.
# A definition: how many nodes come before it, then the arguments of `interned`.
NodeRow = tuple[str, tuple[int, ...], Any]
DefinitionRow = tuple[Any, ...]
Rows = tuple[list[NodeRow], list[DefinitionRow]]


@dataclass(slots=True)
class _Packing:
    """Rows of nodes and definitions, each after what it is made of."""

    rows: Rows = field(default_factory=lambda: ([], []))
    nodes: dict[Node, int] = field(default_factory=dict)
    tensors: dict[Definition, int] = field(default_factory=dict)

    def add(self, tensor: Definition) -> None:
        axes, reduced = [[self.added(i) for i in part] for part in (tensor.axes, tensor.reduced)]
        body = None if tensor.body is None else self.added(tensor.body)
        operands = [self.tensors[o] for o in tensor.operands]
        label = tensor.name if tensor.kind == "input" else tensor.name.rstrip("0123456789")
        row = (len(self.nodes), tensor.kind, label, axes, tensor.monoid, reduced, body, operands)
        self.rows[1].append((*row, tensor.routine, tensor.integer))
        self.tensors[tensor] = len(self.tensors)

    def added(self, root: Node) -> int:
        for node in postorder([root], self.nodes):
            data = self._data(node)
            self.rows[0].append((node.op, tuple(self.nodes[a] for a in node.args), data))
            self.nodes[node] = len(self.nodes)
        return self.nodes[root]

    def _data(self, node: Node) -> Any:
        if node.op == "index":
            return index_name(node), self.added(extent(node))
        return self.tensors[target(node)] if node.op == "read" else node.data


def _packed_definition(tensor: Definition) -> tuple[Any, ...]:
    packing = _Packing()
    for below in definitions([tensor]):
        packing.add(below)
    return _definition_of, (packing.rows,)


def _packed_node(node: Node) -> tuple[Any, ...]:
    packing = _Packing()
    for below in definitions([target(r) for r in reads(node)]):
        packing.add(below)
    return _node_of, (packing.rows, packing.added(node))


def _definition_of(rows: Rows) -> Definition:
    return _unpacked(rows)[1][-1]


def _node_of(rows: Rows, root: int) -> Node:
    return _unpacked(rows)[0][root]


def _unpacked(rows: Rows) -> tuple[list[Node], list[Definition]]:
    nodes: list[Node] = []
    tensors: list[Definition] = []
    for count, *row in rows[1]:
        while len(nodes) < count:
            nodes.append(_node(rows[0][len(nodes)], nodes, tensors))
        tensors.append(_definition(row, nodes, tensors))
    while len(nodes) < len(rows[0]):
        nodes.append(_node(rows[0][len(nodes)], nodes, tensors))
    return nodes, tensors


def _node(row: NodeRow, nodes: Sequence[Node], tensors: Sequence[Definition]) -> Node:
    op, operands, data = row
    if op == "index":
        data = (data[0], nodes[data[1]])
    return make(op, *[nodes[k] for k in operands], data=tensors[data] if op == "read" else data)


def _definition(row: Sequence[Any], nodes: Sequence[Node], tensors: Sequence[Definition]) -> Definition:
    kind, label, axes, monoid, reduced, body, operands, routine, integer = row
    own, inner = [tuple(nodes[k] for k in part) for part in (axes, reduced)]
    below = tuple(tensors[k] for k in operands)
    return interned(kind, label, own, monoid, inner, None if body is None else nodes[body], below, routine, integer)


copyreg.pickle(Definition, _packed_definition)
copyreg.pickle(Node, _packed_node)
