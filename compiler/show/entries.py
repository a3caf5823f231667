"""Arrays put together from single entries, as the Hessian by a list of symbols is: shown entry by entry."""

from __future__ import annotations

from itertools import product

from sympile.compiler.graph.arithmetic import terms_of
from sympile.compiler.graph.conditions import conditions_of
from sympile.compiler.graph.definition import Definition, elementwise
from sympile.compiler.graph.node import Node, const, extent, number, postorder
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.fusing.cells import listed_axes, written_out

MOST_ENTRIES = 1024


def is_by_entries(tensor: Definition) -> bool:
    """Whether a definition tells apart single positions of its axes, and is small enough to be written out."""
    if tensor.kind != "formula" or tensor.reduced or len(tensor.axes) not in (1, 2):
        return False
    if any(extent(axis).op != "const" for axis in tensor.axes):
        return False
    count = 1
    for axis in tensor.axes:
        count *= int(number(extent(axis)))
    return count <= MOST_ENTRIES and any(_fixes(node, tensor.axes) for node in postorder([tensor.formula]))


def has_one_place_per_term(tensor: Definition) -> bool:
    """Whether every term stands at one position of every axis, as those of a Hessian put together do."""
    return all(
        any(_fixes(condition, (axis,)) for condition in conditions_of(term))
        for term in terms_of(tensor.formula)
        for axis in tensor.axes
    )


def _fixes(node: Node, axes: tuple[Node, ...]) -> bool:
    """[axis == 3]"""
    return node.op == "eq" and any(a in axes for a in node.args) and any(a.op == "const" for a in node.args)


def entries(tensor: Definition) -> list[Definition]:
    """Each entry as a scalar definition, row by row."""
    if listed_axes(tensor) == tensor.axes:
        return [elementwise((), cell) for cell in written_out(tensor).args]
    ranges = [range(int(number(extent(axis)))) for axis in tensor.axes]
    return [
        elementwise((), substitute(tensor.formula, {a: const(k) for a, k in zip(tensor.axes, at, strict=True)}))
        for at in product(*ranges)
    ]
