"""Finds what has a name already: exp(x[j] - lse x) is v1[j] where v1[i] is exp(x[i] - lse x)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

from sympile.compiler.graph.definition import EXAMPLE, Definition, call, define, definitions, elementwise, read
from sympile.compiler.graph.inline import rewritten
from sympile.compiler.graph.node import Node, extent
from sympile.compiler.graph.rebuild import substitute, transform
from sympile.compiler.rules.functions import FUNCTIONS

_MOST_AXES = 3  # of which all orders are tried


def folded(top: Definition, named: Mapping[Definition, str]) -> tuple[Definition, dict[Definition, str]]:
    """The program with every function that a named tensor holds read from it, at whatever indices."""
    patterns = [t for t in named if _is_pattern(t)]
    if not patterns:
        return top, dict(named)
    new: dict[Definition, Definition] = {}
    for tensor in definitions([top]):
        new[tensor] = _redefined(tensor, [p for p in patterns if p is not tensor and p in new], new)
    return new[top], {new.get(t, t): name for t, name in named.items()}


def _is_pattern(tensor: Definition) -> bool:
    """Whether it is one function of something, with axes of its own."""
    plain = tensor.kind == "formula" and tensor.monoid is None and 0 < len(tensor.axes) - tensor.batched <= _MOST_AXES
    return plain and tensor.formula.op in FUNCTIONS


def _redefined(tensor: Definition, patterns: list[Definition], new: Mapping[Definition, Definition]) -> Definition:
    if tensor.kind == "input":
        return tensor
    if tensor.kind == "call":
        return call(tensor.routine, [new[o] for o in tensor.operands], tensor.shape)
    (found,) = transform([tensor.formula], lambda node: _read_from(node, patterns))
    body = rewritten(found, dict(new), lambda t: True)
    if body is tensor.formula:
        return tensor
    return (
        elementwise(tensor.axes, body)
        if tensor.monoid is None
        else define(tensor.axes, tensor.reduced, tensor.monoid, body)
    )


def _read_from(node: Node, patterns: list[Definition]) -> Node:
    for pattern in patterns:
        if pattern.formula.op == node.op and len(pattern.axes) == len(node.free):
            for at in permutations(node.free):
                fits = all(
                    extent(i) is extent(axis) and (axis is not EXAMPLE or i is EXAMPLE)
                    for i, axis in zip(at, pattern.axes, strict=True)
                )
                if fits and substitute(pattern.formula, dict(zip(pattern.axes, at, strict=True))) is node:
                    return read(pattern, *at)
    return node
