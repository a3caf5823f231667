"""Entries of tables of constant numbers, which lie beside the code."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from sympile.compiler.code.value import Value
from sympile.compiler.digest import blake2b
from sympile.compiler.graph.node import Node, Number, const
from sympile.compiler.graph.table import table_of
from sympile.compiler.passes.emitting.memory import address_in, load_from
from sympile.compiler.passes.emitting.places import Place

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.elements import Elements


def constant_number(elements: Elements, value: Number) -> Value:
    """An exact number, rounded once; one that no float reaches is infinite."""
    try:
        return elements.scalar.constant(float(value))
    except OverflowError:
        return elements.scalar.constant(float("inf") if value > 0 else float("-inf"))


def load_entry(elements: Elements, node: Node, place: Place) -> Value:
    """The entry at a position."""
    lengths, numbers = table_of(node)
    steps = [prod(lengths[k + 1 :]) for k in range(len(lengths))]
    start, element = _written(elements, numbers), elements.scalar.element
    found = address_in(elements, start, element, [const(n) for n in lengths], steps, node.args, place)
    return load_from(elements, node, found, place)


def _written(elements: Elements, numbers: tuple[Number, ...]) -> Value:
    """Where a table lies; entries of one table share its numbers, which a function writes down once."""
    known = elements.frame.tables.get(id(numbers))
    if known is not None:
        return known[1]
    items = [constant_number(elements, number).text for number in numbers]
    digest = blake2b(" ".join(items).encode(), digest_size=8).hexdigest()
    start = elements.frame.function.module.table(f"sympile.numbers.{digest}", elements.scalar.element, items)
    elements.frame.tables[id(numbers)] = numbers, start
    return start
