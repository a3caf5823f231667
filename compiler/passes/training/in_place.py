"""Wide rows of a shuffled batch are read where they lie, through the order, if all that reads them packs them anyway.

A batch that is copied first is written to memory once and read from there again; a panel needs each number of it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.conditions import unguarded
from sympile.compiler.graph.definition import (
    EXAMPLES,
    Definition,
    computed,
    define,
    extent_value,
    input_tensor,
    read,
)
from sympile.compiler.graph.mapping import each_formula
from sympile.compiler.graph.node import Node, extent, postorder, size, target
from sympile.compiler.graph.rebuild import transform
from sympile.compiler.passes.fusing.group import Fused
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.passes.scheduling.abreast import reads_of
from sympile.compiler.program import ORDER, ROWS

WIDE = 128  # numbers of a row, at least
OTHERS = 32  # numbers that each of a row's is multiplied with, at least


def in_place(outputs: Mapping[str, Definition]) -> dict[str, Definition] | None:
    """The outputs of a step that read rows ORDER[e] of all data instead of rows e of a batch; None without such."""
    found, other = dict[Definition, None](), set(outputs.values())
    for tensor in computed(outputs.values()):
        other.update(tensor.operands)
        if tensor.kind == "formula":
            reads = [node for node in postorder([tensor.formula]) if node.op == "read" and _is_wide(target(node))]
            found |= dict.fromkeys(map(target, reads))
            other.update(target(node) for node in reads if not _is_multiplied(node, tensor))
    names = [tensor.name for tensor in found if tensor not in other]
    return _through_the_order(outputs, names) if names else None


def all_packed(fused: Fused, loops: Mapping[Definition, Loops]) -> bool:
    """Whether all that is read through the order is copied to panels."""
    for group in fused.groups:
        own = loops.get(group.members[0])
        chosen = {n for n in reads_of(group) if n.args and n.args[0].op == "read" and _is_order(n.args[0])}
        if chosen and (own is None or not chosen <= set(own.packed)):
            return False
    return True


def _is_order(node: Node) -> bool:
    return target(node).name == ORDER


def _is_multiplied(node: Node, tensor: Definition) -> bool:
    """Whether a read is a factor of a sum of products, and each of its numbers of many of them."""
    if tensor.monoid != "sum" or node not in factors_of(split(unguarded(tensor.formula))[1]):
        return False
    others = [extent(axis) for axis in tensor.axes if axis not in node.free]
    return prod(map(extent_value, others)) >= OTHERS and all(length.op == "const" for length in others)


def _is_wide(tensor: Definition) -> bool:
    """Whether an array has long rows of numbers, one an example."""
    rows = tensor.shape[1:]
    if tensor.kind != "input" or tensor.integer or not tensor.batched or any(n.op != "const" for n in rows):
        return False
    return prod(map(extent_value, rows)) >= WIDE


def _through_the_order(outputs: Mapping[str, Definition], names: Iterable[str]) -> dict[str, Definition]:
    """The same outputs with some inputs read so."""
    order, wanted = input_tensor(ORDER, (EXAMPLES,), integer=True), frozenset(names)
    done: dict[Node, Node] = {}

    def moved(tensor: Definition, new: Mapping[Definition, Definition]) -> Definition:
        def change(node: Node) -> Node:
            if node.op != "read":
                return node
            below = target(node)
            if below.kind == "input" and below.name in wanted:
                everything = input_tensor(below.name, (size(ROWS), *below.shape[1:]), "constant")
                return read(everything, read(order, node.args[0]), *node.args[1:])
            return read(new[below], *node.args)

        (body,) = transform([tensor.formula], change, done)
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    new = each_formula(outputs.values(), moved)
    return {label: new[tensor] for label, tensor in outputs.items()}
