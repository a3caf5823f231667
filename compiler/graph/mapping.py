"""A program rebuilt definition by definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sympile.compiler.graph.definition import Definition, call, computed


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
