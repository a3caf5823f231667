"""Matches patterns of linear-algebra calls with tensors."""

from __future__ import annotations

from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, target
from sympile.compiler.passes.simplifying.filling import Bindings


def match_tensor(pattern: Node, tensor: Definition, bound: Bindings) -> Bindings | None:
    """A pattern of calls against a tensor."""
    if pattern.op == "hole":
        return {**bound, pattern: tensor}
    if pattern.op == "gram":
        factor = _gram_factor(tensor)
        return None if factor is None else match_tensor(pattern.args[0], factor, bound)
    if tensor.kind != "call" or tensor.routine != pattern.data:
        return None
    return match_tensor(pattern.args[0], tensor.operands[0], bound)


def _gram_factor(tensor: Definition) -> Definition | None:
    """L of sum_k L[..., i, k] L[..., j, k], L square."""
    if (
        tensor.monoid != "sum"
        or len(tensor.reduced) != 1
        or tensor.formula.op != "mul"
        or len(tensor.formula.args) != 2
    ):
        return None
    (k,), (i, j), batch = tensor.reduced, tensor.axes[-2:], tensor.axes[:-2]
    left, right = tensor.formula.args
    if left.op != "read" or right.op != "read" or target(left) is not target(right):
        return None
    if {left.args, right.args} != {(*batch, i, k), (*batch, j, k)} or target(left).shape[-1] is not target(left).shape[
        -2
    ]:
        return None
    return target(left)
