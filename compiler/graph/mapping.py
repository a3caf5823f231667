"""A program rebuilt definition by definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sympile.compiler.graph.definition import Definition, call, computed, read
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.graph.rebuild import rebuild


class Mapping(dict[Definition, Definition]):
    """Old → new definitions; what is not in it, as inputs are not, stays."""

    def __missing__(self, tensor: Definition) -> Definition:
        return tensor


def each_formula(outputs: Iterable[Definition], change: Callable[[Definition, Mapping], Definition]) -> Mapping:
    """Old → new for all tensors below the outputs, operands before users.

    Inputs stay, calls take their new operands, and a formula becomes what `change` makes of it; that is handed what the
    tensors below became.
    """
    new = Mapping()
    for tensor in computed(outputs):
        if tensor.kind == "call":
            new[tensor] = call(tensor.routine, [new[o] for o in tensor.operands], tensor.shape)
        else:
            new[tensor] = change(tensor, new)
    return new


def redirected(body: Node, new: dict[Definition, Definition], done: dict[Node, Node]) -> Node:
    """The body with its reads sent to the new tensors; `done` holds what has been redirected before."""
    if all(new.get(tensor, tensor) is tensor for tensor in body.below):
        return body
    for node in postorder([body], done):
        args = tuple([done[arg] for arg in node.args])
        if node.op == "read":
            done[node] = read(new.get(target(node), target(node)), *args)
        else:
            done[node] = node if args == node.args else rebuild(node, args)
    return done[body]
