"""Index expressions → integers: where an index stands, in the first lane or in every lane."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.code.writer import Function
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.node import Node, number
from sympile.compiler.passes.emitting.places import Place

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.elements import Elements


def position_of(elements: Elements, index: Node, place: Place) -> Integer:
    """Where an index stands; for the vector index, in the first lane."""
    return elements.frame.function.add(elements.positions[index], _ahead(elements, index, place))


def _ahead(elements: Elements, index: Node, place: Place) -> int:
    """How far a copy of the body is ahead of the first one along an index."""
    if index is elements.row:
        return place.row
    if index is elements.second:
        return place.second
    return place.vector * elements.wide.lanes if index is elements.vector else 0


def integer(elements: Elements, node: Node, place: Place) -> Integer:
    """An index expression; varying ones by their first lane. Reads of integer data are loaded."""
    result, more = integer_apart(elements, node, place)
    return elements.frame.function.add(result, more)


def integer_apart(elements: Elements, node: Node, place: Place) -> tuple[Integer, int]:
    """As `integer`, in two parts: what the copies of a body share, and a number to be added."""
    if node.op == "index":
        return elements.positions[node], _ahead(elements, node, place)
    constant, terms, divisor = _whole(node)
    function = elements.frame.function
    result: Integer = 0
    for leaf, coefficient in terms:
        if leaf.op == "index":
            constant += coefficient * _ahead(elements, leaf, place)
        part = elements.positions[leaf] if leaf.op == "index" else _leaf(elements, leaf, place)
        result = function.add(result, function.mul(part, coefficient))
    return (result, constant) if divisor == 1 else (function.div(function.add(result, constant), divisor), 0)


def place_of(elements: Elements, leaf: Node) -> Integer:
    """Where an index of a loop stands that all copies of a body share; the value of a size."""
    return _leaf(elements, leaf, Place())


def _leaf(elements: Elements, leaf: Node, place: Place) -> Integer:
    if leaf.op == "index":
        return position_of(elements, leaf, place)
    if leaf.op == "size":
        return elements.frame.lengths[str(leaf.data)]
    if leaf.op == "quotient":
        return floor_of(elements.frame.function, integer(elements, leaf.args[0], place), int(number(leaf)))
    return elements.value(leaf, place)


def integer_lanes(elements: Elements, node: Node, place: Place) -> Value:
    """An index expression in every lane (i64)."""
    function, wide = elements.frame.function, elements.wide
    constant, terms, divisor = _whole(node)
    result = wide.splat(i64(_same_in_every_lane(elements, constant, terms, place)))
    for leaf, coefficient in terms:
        if not elements.is_wide(leaf):
            continue
        lane = _lanes_of_leaf(elements, leaf, place)
        scaled = (
            lane
            if coefficient == 1
            else function.emit(f"mul {typed(lane)}, {wide.splat(i64(coefficient)).text}", lane.type)
        )
        result = function.emit(f"add {typed(result)}, {scaled.text}", result.type)
    return (
        result if divisor == 1 else function.emit(f"sdiv {typed(result)}, {wide.splat(i64(divisor)).text}", result.type)
    )


def _lanes_of_leaf(elements: Elements, leaf: Node, place: Place) -> Value:
    if leaf is elements.vector:
        return elements.wide.counting(position_of(elements, leaf, place))
    if leaf.op == "quotient":
        return _floors_of(elements, integer_lanes(elements, leaf.args[0], place), int(number(leaf)))
    return elements.value(leaf, place)


def floor_of(function: Function, a: Integer, divisor: int) -> Integer:
    """floor(a / divisor)."""
    if isinstance(a, int):
        return a // divisor
    if divisor == 1:
        return a
    if divisor & (divisor - 1) == 0:
        return function.emit(f"ashr i64 {a.text}, {divisor.bit_length() - 1}", "i64")
    cut = function.emit(f"ashr i64 {a.text}, 63", "i64")  # -1 below 0: the processor cuts towards 0
    return function.add(function.div(function.sub(a, cut), divisor), cut)


def _floors_of(elements: Elements, lanes: Value, divisor: int) -> Value:
    """The same in every lane."""
    function, splat = elements.frame.function, elements.wide.splat
    cut = function.emit(f"ashr {typed(lanes)}, {splat(i64(63)).text}", lanes.type)
    above = function.emit(f"sub {typed(lanes)}, {cut.text}", lanes.type)
    whole = function.emit(f"sdiv {typed(above)}, {splat(i64(divisor)).text}", lanes.type)
    return function.emit(f"add {typed(whole)}, {cut.text}", lanes.type)


def _same_in_every_lane(elements: Elements, constant: int, terms: list[tuple[Node, int]], place: Place) -> Integer:
    function = elements.frame.function
    result: Integer = constant
    for leaf, coefficient in terms:
        if not elements.is_wide(leaf):
            result = function.add(result, function.mul(_leaf(elements, leaf, place), coefficient))
    return result


def _whole(node: Node) -> tuple[int, list[tuple[Node, int]], int]:
    """An index expression as (constant + sum of coefficient * leaf) / divisor; a guard sees to it that it is whole."""
    form = affine(node)
    assert form is not None, node
    divisor = math.lcm(*[Fraction(c).denominator for c in (form.constant, *[c for _, c in form.terms])])
    return int(form.constant * divisor), [(leaf, int(c * divisor)) for leaf, c in form.terms], divisor
