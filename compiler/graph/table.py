"""Constant numbers by position: an array that stands in a formula. Only what is about to become code has any."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from sympile.compiler.graph.node import Node, Number, const, make, number

TABLE = "table"  # args: a position along each axis; data: (lengths, numbers), the last axis fastest


def entry(lengths: Sequence[int], numbers: Sequence[Number], at: Sequence[Node]) -> Node:
    """The number at a position, a const where that is known."""
    assert len(numbers) == prod(lengths)
    if all(position.op == "const" for position in at):
        place = 0
        for length, position in zip(lengths, at, strict=True):
            place = place * length + int(number(position))
        return const(numbers[place])
    return make(TABLE, *at, data=(tuple(lengths), tuple(numbers)))


def entry_of(node: Node, at: Sequence[Node]) -> Node:
    """An entry of the same table at other positions."""
    return entry(*table_of(node), at)


def table_of(node: Node) -> tuple[tuple[int, ...], tuple[Number, ...]]:
    """The lengths and the numbers."""
    found: tuple[tuple[int, ...], tuple[Number, ...]] = node.data  # type: ignore[assignment]
    return found
