"""Reads of tensors → addresses and loads: side by side, apart, or where data say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64, literal, typed
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.definition import EXAMPLE, Definition
from sympile.compiler.graph.node import ONE, ZERO, Node, target
from sympile.compiler.graph.ranges import stays_inside
from sympile.compiler.passes.emitting.columns import chosen_column, column, width_of
from sympile.compiler.passes.emitting.integers import integer_apart, integer_lanes
from sympile.compiler.passes.emitting.places import Place

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.elements import Elements

Address = tuple[Value, Integer | None, Value | None, Value | None]


def address(elements: Elements, tensor: Definition, at: tuple[Node, ...], place: Place) -> Address:
    """(pointer, stride along the lanes, lane offsets, lanes inside): stride None means that the offsets tell.

    Lanes inside is None where all of them are known to be, the masked end of an axis aside.
    """
    element = "i64" if tensor.integer else elements.scalar.element
    strides, start = elements.frame.strides(tensor), elements.frame.pointer(tensor)
    if tensor not in elements.frame.layout.chosen:
        return address_in(elements, start, element, tensor.shape, strides, at, place)
    within_row = address_in(elements, start, element, tensor.shape[1:], strides[1:], at[1:], place)
    return _of_example(elements, element, within_row, strides[0], place)


def _of_example(elements: Elements, element: str, within_row: Address, stride: Integer, place: Place) -> Address:
    """The address in the rows of those examples that the order of a batch says."""
    function = elements.frame.function
    pointer, along, offsets, within = within_row
    example = example_at(elements, place)
    if not elements.is_wide(EXAMPLE):
        return function.gep(element, pointer, function.mul(example, stride)), along, offsets, within
    return pointer, None, _plus(elements, _scaled(elements, example, stride), offsets), within


def _scaled(elements: Elements, lanes: Value, stride: Integer) -> Value:
    """Each lane's position, times what lies between two positions."""
    if stride == 1:
        return lanes
    return elements.frame.function.emit(f"mul {typed(lanes)}, {elements.wide.splat(i64(stride)).text}", lanes.type)


def _plus(elements: Elements, lanes: Value, others: Value | None) -> Value:
    if others is None:
        return lanes
    return elements.frame.function.emit(f"add {typed(lanes)}, {others.text}", lanes.type)


def example_at(elements: Elements, place: Place) -> Value:
    """Which example is meant, or the examples in the lanes."""
    function, wide, order = elements.frame.function, elements.wide, elements.frame.order
    mask = elements.mask if place.masked and elements.is_wide(EXAMPLE) else None
    key = ("example", elements.key_of(EXAMPLE, place), mask)
    found = elements.find(key)
    if found is not None:
        return found
    assert order is not None
    first, beyond = integer_apart(elements, EXAMPLE, place)
    at = function.gep("i64", order, function.add(first, beyond))
    value = _load_indices(wide, at, mask) if elements.is_wide(EXAMPLE) else function.load("i64", at, 8)
    elements.known[-1][key] = value
    return value


def _load_indices(wide: Lanes, pointer: Value, mask: Value | None) -> Value:
    """As many i64 as there are lanes, side by side; those outside of the mask are not read, and 0."""
    kind = wide.vector("i64")
    if mask is None or wide.lanes == 1:
        return wide.function.load(kind, pointer, 8)
    name, nothing = f"@llvm.masked.load.v{wide.lanes}i64.p0", Value("zeroinitializer", kind)
    return wide.function.call(kind, name, pointer, literal(8, "i32"), mask, nothing)


def address_in(
    elements: Elements,
    start: Value,
    element: str,
    shape: Sequence[Node],
    strides: Sequence[Integer],
    at: Sequence[Node],
    place: Place,
) -> Address:
    """The same in an array of numbers of any type that starts somewhere."""
    function = elements.frame.function
    offset: Integer = 0  # what the copies of a body share, and what comes on top: a number, which costs nothing
    ahead, inside = 0, True  # whether both addresses lie inside of the array
    along: Integer = 0
    scattered: Value | None = None
    within: Value | None = None
    for node, length, stride in zip(at, shape, strides, strict=True):
        clamp = not stays_inside(node, length) and not _is_decided(elements, node, length)
        simple = _along(elements, node)
        if clamp and simple and elements.scalar.target.masked and elements.wide.lanes > 1:
            own, clamp, inside = _lanes_inside(elements, node, length, place), False, False
            within = own if within is None else elements.wide.both(within, own)
        if (clamp and elements.is_wide(node)) or simple is None:
            lanes = _clamped_lanes(elements, node, length, place) if clamp else integer_lanes(elements, node, place)
            part = _scaled(elements, lanes, stride)
            scattered = part if scattered is None else _plus(elements, scattered, part)
            continue
        first, beyond = _first_lane(elements, node, length if clamp else None, place)
        inside = inside and (clamp or _rises(node))
        if isinstance(stride, int):
            ahead += beyond * stride
        else:
            first = function.add(first, beyond)
        offset = function.add(offset, function.mul(first, stride))
        along = function.add(along, function.mul(simple, stride))
    inside = inside and ahead >= 0
    pointer = function.beyond(element, function.gep(element, start, offset, inside), ahead, inside)
    if scattered is None:
        return pointer, along, None, within
    steps = None if along == 0 else _scaled(elements, elements.wide.counting(), along)
    return pointer, None, _plus(elements, scattered, steps), within


def _first_lane(elements: Elements, node: Node, length: Node | None, place: Place) -> tuple[Integer, int]:
    """Where the first lane lies, in two parts; what a guard throws away is read within the length."""
    first, beyond = integer_apart(elements, node, place)
    if length is None:
        return first, beyond
    function = elements.frame.function
    last = function.sub(elements.frame.extent(length), 1)
    return function.max(0, function.min(function.add(first, beyond), last)), 0


def _lanes_inside(elements: Elements, node: Node, length: Node, place: Place) -> Value:
    """Where a position along the lanes lies inside: guards ask the same, so that the mask is there already."""
    bounds = _bounds(node, length)
    if ZERO in bounds:
        return elements.wide.truth_constant(False)
    asked = [elements.condition(bound, place, elements.wide) for bound in bounds if bound is not ONE]
    return asked[0] if len(asked) == 1 else elements.wide.both(*asked)


def _bounds(node: Node, length: Node) -> tuple[Node, Node]:
    return at_least_zero(node), at_least_zero(sub(sub(length, ONE), node))


def _is_decided(elements: Elements, node: Node, length: Node) -> bool:
    """Whether a position is known to lie inside in this tile."""
    return bool(elements.decided) and all(b is ONE or elements.truth(b) for b in _bounds(node, length))


def _rises(node: Node) -> bool:
    """Whether no part of an index expression can be negative, the number aside that it adds."""
    form = affine(node)
    return form is not None and all(c > 0 and leaf.op in ("index", "size") for leaf, c in form.terms)


def _along(elements: Elements, node: Node) -> Integer | None:
    """By how much an index expression grows from lane to lane; None where data decide, or it is a fraction."""
    if not elements.is_wide(node):
        return 0
    if node is elements.vector:
        return 1
    form = affine(node)
    assert form is not None, node
    if any(leaf is not elements.vector and elements.is_wide(leaf) for leaf, _ in form.terms):
        return None
    step = next(c for leaf, c in form.terms if leaf is elements.vector)
    return step if isinstance(step, int) else None


def _clamped_lanes(elements: Elements, node: Node, length: Node, place: Place) -> Value:
    """Guarded positions may lie outside; what is read there is thrown away by the guard."""
    function, wide = elements.frame.function, elements.wide
    lanes = integer_lanes(elements, node, place)
    last = wide.splat(i64(function.sub(elements.frame.extent(length), 1)))
    zero = wide.splat(i64(0))
    suffix = f"v{wide.lanes}i64" if wide.lanes > 1 else "i64"
    lower = function.call(lanes.type, f"@llvm.smax.{suffix}", lanes, zero)
    return function.call(lanes.type, f"@llvm.smin.{suffix}", lower, last)


def load(elements: Elements, node: Node, place: Place) -> Value:
    """A read of a tensor."""
    tensor = target(node)
    forward = elements.forwarded.get(tensor)
    if forward is not None and node.args == tensor.axes:
        return forward(place)
    if tensor in elements.frame.scalars:
        return elements.frame.scalars[tensor]
    width = 0 if tensor.integer else width_of(elements, node, place)
    if width and tensor in elements.frame.layout.chosen:
        return chosen_column(elements, node, width, place)
    if width:
        start, *_ = address(elements, tensor, (node.args[0], ZERO), place)
        return column(elements, node, start, width, place)
    found = address(elements, tensor, node.args, place)
    return _load_integers(elements, node, found, place) if tensor.integer else load_from(elements, node, found, place)


def load_from(elements: Elements, node: Node, found: Address, place: Place) -> Value:
    """Numbers from an address."""
    pointer, along, offsets, within = found
    if not elements.is_wide(node):
        return elements.scalar.load(pointer)
    mask = _mask(elements, within, place)
    if offsets is not None:
        return elements.wide.gather(pointer, offsets, mask)
    assert along is not None
    return elements.wide.load_strided(pointer, along, mask)


def _mask(elements: Elements, within: Value | None, place: Place) -> Value | None:
    """The lanes to be read: inside of the array, and before the end of the axis."""
    end = elements.mask if place.masked else None
    if within is None or end is None:
        return within if end is None else end
    return elements.wide.both(within, end)


def _load_integers(elements: Elements, node: Node, found: Address, place: Place) -> Value:
    function, wide = elements.frame.function, elements.wide
    pointer, along, offsets, within = found
    if not elements.is_wide(node):
        return function.load("i64", pointer, 8)
    mask = _mask(elements, within, place)
    kind = wide.vector("i64")
    lanes: list[Value] = []
    for lane in range(wide.lanes):
        if offsets is not None:
            step: Integer = wide.extract(offsets, lane)
        else:
            assert along is not None
            step = function.mul(along, lane)
        lanes.append(_load_lane(elements, function.gep("i64", pointer, step), lane, mask))
    result = Value("poison" if wide.lanes > 1 else "0", kind)
    for lane, value in enumerate(lanes):
        result = wide.insert(result, value, lane)
    return result


def _load_lane(elements: Elements, pointer: Value, lane: int, mask: Value | None) -> Value:
    """One integer; outside of the mask it is 0, which is an index that exists."""
    function = elements.frame.function
    if mask is None:
        return function.load("i64", pointer, 8)
    with function.either(elements.wide.extract(mask, lane)) as choice:
        with choice.then():
            choice.give(function.load("i64", pointer, 8))
        with choice.otherwise():
            choice.give(i64(0))
    return choice.results[0]
