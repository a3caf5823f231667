"""Columns of a narrow array, whose rows lie across the lanes: whole vectors of rows, sorted in registers.

Gathering takes a load for each number. Rows of a few numbers follow each other without gaps, so that as many vectors as
a row has numbers hold a vector of each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import REGISTER, joined
from sympile.compiler.code.transpose import columns_of
from sympile.compiler.code.value import Value, i64, typed
from sympile.compiler.graph.node import Node, number, target
from sympile.compiler.graph.ranges import stays_inside
from sympile.compiler.passes.emitting.integers import integer_apart
from sympile.compiler.passes.emitting.places import Place

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.elements import Elements

MOST = 8  # numbers in a row


def width_of(elements: Elements, node: Node, place: Place) -> int:
    """How many numbers a row has, where a read is of a column that is taken so; else 0."""
    tensor = target(node)
    if len(node.args) != 2 or node.args[0] is not elements.vector or node.args[1].op != "const":
        return 0
    if place.masked and tensor not in elements.frame.layout.chosen:
        return 0
    if not all(map(stays_inside, node.args, tensor.shape)):
        return 0
    lanes, width = elements.wide, tensor.shape[1]
    full = lanes.target.exponents and lanes.lanes * lanes.bits in (REGISTER, 2 * REGISTER)
    return int(number(width)) if full and width.op == "const" and 1 < number(width) <= MOST else 0


def column(elements: Elements, node: Node, start: Value, width: int, place: Place) -> Value:
    """A column of the rows in the lanes, of which the first one begins at `start`; all columns are known then."""
    key = ("columns", target(node), place.vector)
    found = elements.columns.get(key)
    if found is None or found[0] != start:
        found = elements.columns[key] = (start, _columns(elements.wide, start, width))
    return found[1][int(number(node.args[1]))]


def chosen_column(elements: Elements, node: Node, width: int, place: Place) -> Value:
    """A column of the rows that an order says, which are turned over; beyond the end stands the last one again."""
    tensor, function, frame = target(node), elements.frame.function, elements.frame
    first, ahead = integer_apart(elements, node.args[0], place)
    start = i64(function.add(first, ahead))
    key = ("chosen columns", tensor, place.vector, place.masked)
    found = elements.columns.get(key)
    if found is None or found[0] != start:
        assert frame.order is not None
        rows, last = [], function.sub(frame.extent(tensor.shape[0]), 1)
        for lane in range(elements.wide.lanes):
            at = function.add(start, lane)
            example = function.load("i64", function.gep("i64", frame.order, function.min(at, last)), 8)
            rows.append(function.gep(elements.wide.element, frame.pointer(tensor), function.mul(example, width)))
        found = elements.columns[key] = (start, _turned(elements.wide, rows, width))
    return found[1][int(number(node.args[1]))]


def _turned(lanes: Lanes, rows: Sequence[Value], width: int) -> list[Value]:
    count = REGISTER // lanes.bits
    if lanes.lanes == count:
        return columns_of(lanes, rows, width)
    parts = [columns_of(lanes.narrowed(count), rows[k * count :][:count], width) for k in range(2)]
    return [joined(lanes, pair) for pair in zip(*parts, strict=True)]


def _columns(lanes: Lanes, start: Value, width: int) -> list[Value]:
    count = REGISTER // lanes.bits
    if lanes.lanes == count:
        return _of_register(lanes, start, width)
    half = lanes.narrowed(count)
    parts = [_of_register(half, half.function.gep(half.element, start, k * count * width), width) for k in range(2)]
    return [joined(lanes, pair) for pair in zip(*parts, strict=True)]


def _of_register(lanes: Lanes, start: Value, width: int) -> list[Value]:
    function, count = lanes.function, lanes.lanes
    if width * (width - 1) > count * (count.bit_length() - 1):  # sorting takes more steps than turning a square over
        rows = [function.gep(lanes.element, start, row * width) for row in range(count)]
        return columns_of(lanes, rows, width)
    vectors = [lanes.load(function.gep(lanes.element, start, k * count)) for k in range(width)]
    return [_sorted(lanes, vectors, at) for at in range(width)]


def _sorted(lanes: Lanes, vectors: Sequence[Value], at: int) -> Value:
    """Every `len(vectors)`-th number of some vectors, from one on."""
    count, width = lanes.lanes, len(vectors)
    places = [row * width + at for row in range(count)]
    result = vectors[0]
    for k, vector in enumerate(vectors[1:], 1):
        order = [_from(place, k, count, row) for row, place in enumerate(places)]
        text = f"shufflevector {typed(result)}, {typed(vector)}, <{count} x i32> <{', '.join(order)}>"
        result = lanes.function.emit(text, lanes.real)
    return result


def _from(place: int, step: int, count: int, lane: int) -> str:
    """Where a number is found: in what was sorted before, in the vector that comes in, or not yet."""
    if place // count > step:
        return "i32 poison"
    if place // count == step:
        return f"i32 {count + place % count}"
    return f"i32 {place if step == 1 else lane}"
