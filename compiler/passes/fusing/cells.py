"""Tensors whose entries are formulas of their own, as a Hessian of scalars: [i == 0]*f + [i == 1]*g + …

Along such axes nothing is the same from entry to entry, so they get no loop: every entry, a cell, is written out. Cells
share what they have in common, and lie side by side in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, const, extent, make, number, postorder
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.records import dataclass

CELLS = "cells"  # the operation whose operands are the formulas of all cells, the last axis fastest
MOST = 4096  # cells of one tensor, which are as many formulas in machine code
WORK = 50_000  # nodes that may be copied because their conditions differ from cell to cell

Pins = Mapping[Node, int]


@dataclass(frozen=True, slots=True)
class _Term:
    """One term of the sum that defines a tensor, and the axes that have one value only where it counts."""

    pins: Pins
    value: Node


def listed_axes(tensor: Definition) -> tuple[Node, ...]:
    """The axes along which a tensor is given entry by entry; none where that is not how it is written."""
    if tensor.kind != "formula" or tensor.monoid is not None:
        return ()
    known = frozenset(axis for axis in tensor.axes if extent(axis).op == "const")
    terms = list(_terms(tensor.formula, known)) if known else []
    pinned = frozenset(axis for term in terms for axis in term.pins)
    listed = tuple(axis for axis in tensor.axes if axis in pinned)
    return listed if listed and _can_be_listed(terms, listed) else ()


def positions(listed: Sequence[Node]) -> list[tuple[int, ...]]:
    """The values of listed axes, cell by cell."""
    return list(product(*[range(int(number(extent(axis)))) for axis in listed]))


def written_out(tensor: Definition) -> Node:
    """The formulas of all cells, as operands of one node that only the code generator sees."""
    listed = listed_axes(tensor)
    parts: dict[tuple[int, ...], list[Node]] = {position: [] for position in positions(listed)}
    for term in _terms(tensor.formula, frozenset(listed)):
        for position in _covered(term, listed):
            at = {axis: const(value) for axis, value in zip(listed, position, strict=True)}
            parts[position].append(substitute(term.value, at))
    return make(CELLS, *[add(*terms) for terms in parts.values()])


def _terms(body: Node, axes: frozenset[Node]) -> Iterator[_Term]:
    """The terms of a sum; sums under guards and in products with what does not vary along the axes included."""
    stack = [_Term({}, body)]
    while stack:
        term = stack.pop()
        opened = _opened(term, axes)
        if opened is None:
            yield term
        else:
            stack.extend(reversed(opened))


def _opened(term: _Term, axes: frozenset[Node]) -> list[_Term] | None:
    """The terms that one consists of, if it does; those whose pins contradict each other count nowhere."""
    value = term.value
    if value.free.isdisjoint(axes):
        return None
    if value.op == "add":
        return [_Term(term.pins, part) for part in value.args]
    if value.op == "when":
        return _opened_guard(term, axes)
    if value.op == "mul":
        varying = [factor for factor in value.args if not factor.free.isdisjoint(axes)]
        if len(varying) == 1 and varying[0].op == "add":
            others = [factor for factor in value.args if factor is not varying[0]]
            return [_Term(term.pins, mul(*others, part)) for part in varying[0].args]
    return None


def _opened_guard(term: _Term, axes: frozenset[Node]) -> list[_Term] | None:
    guarded, conditions = unguarded(term.value), conditions_of(term.value)
    own = {axis: value for condition in conditions for axis, value in _pin(condition, axes)}
    others = [condition for condition in conditions if not _pin(condition, axes)]
    if any(term.pins.get(axis, value) != value for axis, value in own.items()):
        return []
    pins = {**term.pins, **own}
    if guarded.op == "add" and not guarded.free.isdisjoint(axes):
        return [_Term(pins, when(part, *others)) for part in guarded.args]
    return [_Term(pins, when(guarded, *others))] if own else None


def _pin(condition: Node, axes: frozenset[Node]) -> tuple[tuple[Node, int], ...]:
    """[axis == number] as the axis and its value."""
    if condition.op == "eq":
        for axis, at in (condition.args, condition.args[::-1]):
            if axis in axes and at.op == "const":
                return ((axis, int(number(at))),)
    return ()


def _covered(term: _Term, listed: Sequence[Node]) -> Iterator[tuple[int, ...]]:
    """Every cell to which a term belongs."""
    return product(*[(term.pins[a],) if a in term.pins else range(int(number(extent(a)))) for a in listed])


def _can_be_listed(terms: Sequence[_Term], listed: Sequence[Node]) -> bool:
    """Whether the axes stand in conditions only, and writing the cells out stays within bounds."""
    cells = prod(int(number(extent(axis))) for axis in listed)
    if cells > MOST:
        return False
    work = 0
    for term in terms:
        if term.value.free.isdisjoint(listed):
            continue
        nodes = postorder([term.value])
        work += cells * len(nodes)
        if work > WORK or any(_uses(node, listed) for node in nodes):
            return False
    return True


def _uses(node: Node, listed: Sequence[Node]) -> bool:
    """Whether a listed axis stands in a position, or is a number in the formula."""
    return node.op != "eq" and any(arg in listed for arg in node.args)
