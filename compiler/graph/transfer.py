"""A program moved to other inputs: of other roles and sizes, with or without an example axis in front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from sympile.compiler.graph.definition import (
    EXAMPLE,
    EXAMPLES,
    Definition,
    call,
    computed,
    define,
    elementwise,
    read,
)
from sympile.compiler.graph.node import ONE, ZERO, Node, extent, index, index_name, postorder, target
from sympile.compiler.graph.rebuild import rebuild
from sympile.compiler.records import dataclass


class LostAxis(Exception):
    """A matrix under a linear-algebra call has an axis of size 1, which definitions drop."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Where a program is moved to.

    The example index stands in front of all that depends on an input with an example axis. A formula of one example is
    moved by taking these axes off, and putting them where the new inputs have them.
    """

    inputs: Mapping[Definition, Definition | Node]  # each becomes an input, or a node where its name is a size there
    lengths: Mapping[Node, Node]  # sizes that are called or known otherwise there
    open_source: bool = False  # the example axis is written in the formulas: an axis like the others, from here
    open_target: bool = False  # … and there
    tensors: dict[Definition, Definition] = field(default_factory=dict)
    nodes: dict[Node, Node] = field(default_factory=dict)

    def run(self, outputs: Iterable[Definition]) -> list[Definition]:
        """The outputs there."""
        wanted = list(outputs)
        for tensor in computed(wanted):
            self.tensors[tensor] = self._call(tensor) if tensor.kind == "call" else self._formula(tensor)
        return [self._output(tensor) for tensor in wanted]

    def _output(self, tensor: Definition) -> Definition:
        if tensor.kind != "input":
            return self.tensors[tensor]
        found = self.inputs[tensor]
        return elementwise((), found) if isinstance(found, Node) else found

    # -------------------------------------------------------------------------------------------- definitions

    def _formula(self, tensor: Definition) -> Definition:
        body = self.moved(tensor.formula)
        reduced = self._indices(tensor.reduced)
        axes = self._indices(self._own(tensor.axes, tensor))
        if EXAMPLE in body.free and EXAMPLE not in (*axes, *reduced):
            axes = (EXAMPLE, *axes)
        return define(axes, reduced, tensor.monoid, body) if reduced else elementwise(axes, body)

    def _own(self, axes: tuple[Node, ...], tensor: Definition) -> tuple[Node, ...]:
        """The axes (or positions) without the one of the examples, where that is hidden."""
        return axes[1:] if tensor.batched and not self.open_source else axes

    def _indices(self, indices: Iterable[Node]) -> tuple[Node, ...]:
        return tuple(moved for i in indices if (moved := self.moved(i)) is not ZERO)

    def _leads(self, tensor: Definition) -> bool:
        """Whether a tensor there has got the example axis in front of its own."""
        return tensor.batched and not self.open_target

    def _call(self, tensor: Definition) -> Definition:
        operands = [self._output(o) for o in tensor.operands]
        for old, new in zip(tensor.operands, operands, strict=True):
            if len(self._own(old.axes, old)) != len(new.axes) - self._leads(new):
                raise LostAxis
        leads = any(map(self._leads, operands))
        if leads and not (self._leads(operands[-1]) and len(operands[0].axes) - self._leads(operands[0]) == 2):
            operands = [o if self._leads(o) else _repeated(o) for o in operands]
        shape = [self.moved(n) for n in self._own(tensor.shape, tensor)]
        return call(tensor.routine, operands, [EXAMPLES, *shape] if leads else shape)

    # -------------------------------------------------------------------------------------------- nodes

    def moved(self, root: Node) -> Node:
        """One formula there; formulas share most of their nodes, each is moved once."""
        for node in postorder([root], self.nodes):
            args = tuple([self.nodes[a] for a in node.args])
            self.nodes[node] = self._one(node, args)
        return self.nodes[root]

    def _one(self, node: Node, args: tuple[Node, ...]) -> Node:
        if node.op == "read":
            return self._read(node, args)
        if node.op == "index":
            length = self._moved_size(extent(node))
            return node if length is extent(node) else ZERO if length is ONE else index(length, index_name(node))
        if node.op == "size":
            return self._moved_size(node)
        return node if args == node.args else rebuild(node, args)

    def _moved_size(self, length: Node) -> Node:
        return self.lengths.get(length, length)

    def _read(self, node: Node, args: tuple[Node, ...]) -> Node:
        old = target(node)
        new = self.inputs[old] if old.kind == "input" else self.tensors[old]
        if isinstance(new, Node):
            return new
        lengths = self._own(old.shape, old)
        own = [p for p, n in zip(self._own(args, old), lengths, strict=True) if self._stays(n)]
        example = args[0] if len(args) > len(lengths) else EXAMPLE
        return read(new, example, *own) if self._leads(new) else read(new, *own)

    def _stays(self, length: Node) -> bool:
        return length is ONE or self._moved_size(length) is not ONE


def _repeated(tensor: Definition) -> Definition:
    """The same for every example."""
    return elementwise((EXAMPLE, *tensor.axes), read(tensor, *tensor.axes))
