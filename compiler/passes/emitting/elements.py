"""A scalar formula at a place in its loops → instructions; what a loop does not change is written before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import mpmath

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.errors import UnknownFunction
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, make, number, postorder, target
from sympile.compiler.graph.ranges import stays_inside
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.rules.functions import CONSTANTS
from sympile.compiler.rules.machine import VECTOR_MATH, call_or_inline, integer_power

CONDITIONS = frozenset({"eq", "ge", "divides", "less", "less_equal", "equals", "differs", "and", "or", "not"})
_FLOAT_PREDICATES = {"less": "olt", "less_equal": "ole", "equals": "oeq", "differs": "une"}


@dataclass(frozen=True, slots=True)
class Place:
    """Which copy of an unrolled body: the row, and the vector; masked where the last lanes lie outside."""

    row: int = 0
    vector: int = 0
    masked: bool = False


@cache
def constant_value(name: str) -> float:
    with mpmath.workprec(200):
        return float(CONSTANTS[name]())


@dataclass(slots=True)
class Elements:
    """Writes elements of one nest of loops."""

    frame: Frame
    scalar: Lanes
    wide: Lanes
    vector: Node | None = None  # the index that lies across the lanes
    row: Node | None = None  # the index whose steps are unrolled
    positions: dict[Node, Integer] = field(default_factory=dict)
    mask: Value | None = None
    known: list[dict[object, Value]] = field(default_factory=lambda: [{}])
    forwarded: dict[Definition, Callable[[Place], Value]] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------ scopes

    def push(self) -> None:
        """Enters a loop: what is written from now on is forgotten when it ends."""
        self.known.append({})

    def pop(self) -> None:
        self.known.pop()

    def _find(self, key: object) -> Value | None:
        for layer in reversed(self.known):
            value = layer.get(key)
            if value is not None:
                return value
        return None

    def hoist(self, bodies: Iterable[Node], bound: frozenset[Node]) -> None:
        """Writes now whatever the loops that are still to be entered do not change."""
        for body in bodies:
            for node in self._largest_invariant(body, bound):
                if node.op not in CONDITIONS:
                    self.value(node, Place())

    @staticmethod
    def _largest_invariant(body: Node, bound: frozenset[Node]) -> list[Node]:
        found, stack, seen = [], [body], set()
        while stack:
            node = stack.pop()
            if node in seen or (not node.args and node.op != "read"):
                continue
            seen.add(node)
            if node.free <= bound:
                found.append(node)
            elif node.op != "read":
                stack.extend(node.args[:1] if node.op == "when" else node.args)
        return found

    # ------------------------------------------------------------------------------------------ values

    def _is_wide(self, node: Node) -> bool:
        return self.vector is not None and self.vector in node.free

    def lanes_of(self, node: Node) -> Lanes:
        return self.wide if self._is_wide(node) else self.scalar

    def _key(self, node: Node, place: Place) -> object:
        row = place.row if self.row is not None and self.row in node.free else 0
        if self._is_wide(node):
            return node, row, place.vector, place.masked
        return node, row

    def value(self, node: Node, place: Place) -> Value:
        """The value at a place: a scalar if the node does not vary across the lanes. Iterative."""
        key = self._key(node, place)
        found = self._find(key)
        if found is not None:
            return found
        stack = [node]
        while stack:
            item = stack[-1]
            if self._find(self._key(item, place)) is not None:
                stack.pop()
                continue
            missing = [part for part in _parts(item) if self._find(self._key(part, place)) is None]
            if missing:
                stack.extend(reversed(missing))
                continue
            self.known[-1][self._key(item, place)] = self._write(item, place)
            stack.pop()
        result = self._find(key)
        assert result is not None
        return result

    def wide_value(self, node: Node, place: Place) -> Value:
        """The value in every lane."""
        value = self.value(node, place)
        if self._is_wide(node) or self.wide.lanes == 1:
            return value
        key = ("splat", *_as_tuple(self._key(node, place)))
        found = self._find(key)
        if found is None:
            found = self.known[-1][key] = self.wide.splat(value)
        return found

    def _operand(self, lanes: Lanes, node: Node, place: Place) -> Value:
        return self.wide_value(node, place) if lanes is self.wide else self.value(node, place)

    def _write(self, node: Node, place: Place) -> Value:
        writer = _WRITERS.get(node.op)
        if writer is not None:
            return writer(self, node, place)
        lanes = self.lanes_of(node)
        if node.op in _FLOAT_PREDICATES:
            left, right = (self._operand(lanes, a, place) for a in node.args)
            return lanes.compare(_FLOAT_PREDICATES[node.op], left, right)
        if node.op not in VECTOR_MATH:
            raise UnknownFunction(f"{node.op} has no machine code: it has no row in compiler/rules/machine.py")
        return call_or_inline(lanes, node.op, *[self._operand(lanes, a, place) for a in node.args])

    # ------------------------------------------------------------------------------------------ integers

    def position(self, index: Node, place: Place) -> Integer:
        """Where an index stands; for the vector index, in the first lane."""
        base = self.positions[index]
        if index is self.row:
            return self.frame.function.add(base, place.row)
        if index is self.vector:
            return self.frame.function.add(base, place.vector * self.wide.lanes)
        return base

    def integer(self, node: Node, place: Place) -> Integer:
        """An index expression; varying ones by their first lane. Reads of integer data are loaded."""
        constant, terms, divisor = _whole(node)
        function = self.frame.function
        result: Integer = constant
        for leaf, coefficient in terms:
            part = self._leaf(leaf, place)
            result = function.add(result, function.mul(part, coefficient))
        return function.div(result, divisor)

    def _leaf(self, leaf: Node, place: Place) -> Integer:
        if leaf.op == "index":
            return self.position(leaf, place)
        if leaf.op == "size":
            return self.frame.lengths[str(leaf.data)]
        return self.value(leaf, place)

    def integer_lanes(self, node: Node, place: Place) -> Value:
        """An index expression in every lane (i64)."""
        function, wide = self.frame.function, self.wide
        constant, terms, divisor = _whole(node)
        result = wide.splat(i64(self._same_in_every_lane(constant, terms, place)))
        for leaf, coefficient in terms:
            if not self._is_wide(leaf):
                continue
            lane = wide.counting(self.position(leaf, place)) if leaf is self.vector else self.value(leaf, place)
            scaled = (
                lane
                if coefficient == 1
                else function.emit(f"mul {typed(lane)}, {wide.splat(i64(coefficient)).text}", lane.type)
            )
            result = function.emit(f"add {typed(result)}, {scaled.text}", result.type)
        return result if divisor == 1 else function.emit(f"sdiv {typed(result)}, {wide.splat(i64(divisor)).text}", result.type)

    def _same_in_every_lane(self, constant: int, terms: list[tuple[Node, int]], place: Place) -> Integer:
        function = self.frame.function
        result: Integer = constant
        for leaf, coefficient in terms:
            if not self._is_wide(leaf):
                result = function.add(result, function.mul(self._leaf(leaf, place), coefficient))
        return result

    # ------------------------------------------------------------------------------------------ conditions

    def condition(self, node: Node, place: Place, lanes: Lanes) -> Value:
        """A truth, in every lane where wide lanes are asked for."""
        own = self.value(node, place)
        return own if self._is_wide(node) or lanes is not self.wide else lanes.splat(own)

    # ------------------------------------------------------------------------------------------ memory

    def address(
        self, tensor: Definition, at: tuple[Node, ...], place: Place
    ) -> tuple[Value, Integer | None, Value | None]:
        """(pointer, stride along the lanes, lane offsets): stride None means that the offsets tell."""
        function = self.frame.function
        pointer = self.frame.pointer(tensor)
        strides = self.frame.strides(tensor)
        offset: Integer = 0
        along: Integer = 0
        scattered: Value | None = None
        for node, length, stride in zip(at, tensor.shape, strides, strict=True):
            clamp = not stays_inside(node, length)
            simple = self._along(node)
            if (clamp and self._is_wide(node)) or simple is None:
                lanes = self._clamped_lanes(node, length, place) if clamp else self.integer_lanes(node, place)
                part = (
                    lanes
                    if stride == 1
                    else function.emit(f"mul {typed(lanes)}, {self.wide.splat(i64(stride)).text}", lanes.type)
                )
                scattered = (
                    part if scattered is None else function.emit(f"add {typed(scattered)}, {part.text}", part.type)
                )
                continue
            own = self.integer(node, place)
            if clamp:
                own = function.max(0, function.min(own, function.sub(self.frame.extent(length), 1)))
            offset = function.add(offset, function.mul(own, stride))
            along = function.add(along, function.mul(simple, stride))
        element = "i64" if tensor.integer else self.scalar.element
        pointer = function.gep(element, pointer, offset)
        if scattered is None:
            return pointer, along, None
        if along != 0:
            steps = self.wide.counting()
            more = function.emit(f"mul {typed(steps)}, {self.wide.splat(i64(along)).text}", steps.type)
            scattered = function.emit(f"add {typed(scattered)}, {more.text}", more.type)
        return pointer, None, scattered

    def _along(self, node: Node) -> Integer | None:
        """By how much an index expression grows from lane to lane; None where data decide, or it is a fraction."""
        if not self._is_wide(node):
            return 0
        form = affine(node)
        assert form is not None, node
        if any(leaf is not self.vector and self._is_wide(leaf) for leaf, _ in form.terms):
            return None
        step = next(c for leaf, c in form.terms if leaf is self.vector)
        return step if isinstance(step, int) else None

    def _clamped_lanes(self, node: Node, length: Node, place: Place) -> Value:
        """Guarded positions may lie outside; what is read there is thrown away by the guard."""
        function, wide = self.frame.function, self.wide
        lanes = self.integer_lanes(node, place)
        last = wide.splat(i64(function.sub(self.frame.extent(length), 1)))
        zero = wide.splat(i64(0))
        suffix = f"v{wide.lanes}i64" if wide.lanes > 1 else "i64"
        lower = function.call(lanes.type, f"@llvm.smax.{suffix}", lanes, zero)
        return function.call(lanes.type, f"@llvm.smin.{suffix}", lower, last)

    def load(self, node: Node, place: Place) -> Value:
        """A read of a tensor."""
        tensor = target(node)
        forward = self.forwarded.get(tensor)
        if forward is not None and node.args == tensor.axes:
            return forward(place)
        if tensor in self.frame.scalars:
            return self.frame.scalars[tensor]
        pointer, along, offsets = self.address(tensor, node.args, place)
        if tensor.integer:
            return self._load_integers(node, pointer, along, offsets, place)
        if not self._is_wide(node):
            return self.scalar.load(pointer)
        mask = self.mask if place.masked else None
        if offsets is not None:
            return self.wide.gather(pointer, offsets, mask)
        assert along is not None
        return self.wide.load_strided(pointer, along, mask)

    def _load_integers(
        self, node: Node, pointer: Value, along: Integer | None, offsets: Value | None, place: Place
    ) -> Value:
        function, wide = self.frame.function, self.wide
        if not self._is_wide(node):
            return function.load("i64", pointer, 8)
        kind = wide.vector("i64")
        lanes: list[Value] = []
        for lane in range(wide.lanes):
            if offsets is not None:
                step: Integer = wide.extract(offsets, lane)
            else:
                assert along is not None
                step = function.mul(along, lane)
            lanes.append(self._load_lane(function.gep("i64", pointer, step), lane, place))
        result = Value("poison" if wide.lanes > 1 else "0", kind)
        for lane, value in enumerate(lanes):
            result = wide.insert(result, value, lane)
        return result

    def _load_lane(self, pointer: Value, lane: int, place: Place) -> Value:
        """One integer; beyond the end of a masked vector it is 0, which is an index that exists."""
        function = self.frame.function
        if not place.masked or self.mask is None:
            return function.load("i64", pointer, 8)
        with function.either(self.wide.extract(self.mask, lane)) as choice:
            with choice.then():
                choice.give(function.load("i64", pointer, 8))
            with choice.otherwise():
                choice.give(i64(0))
        return choice.results[0]


# ------------------------------------------------------------------------------------------------ operations


def _parts(node: Node) -> tuple[Node, ...]:
    """What must be written before a node: its operands, but of index expressions only the integer data in them."""
    if node.op in ("read", "eq", "ge", "divides"):
        return tuple(n for n in postorder(node.args) if n.op == "read")
    if node.op == "mul":
        return _factor_parts(node)
    if node.op == "add":
        return tuple(part for t in node.args for part in (_factor_parts(t) if t.op == "mul" else (t,)))
    return node.args


def _factor_parts(product: Node) -> tuple[Node, ...]:
    return tuple(part for f in product.args for part in (f.args if _is_division(f) else (f,)))


def _is_division(factor: Node) -> bool:
    return factor.op == "pow" and factor.data == -1


def _is_fixed(factor: Node) -> bool:
    """A number or a size, or a power of one."""
    return factor.op in ("const", "constant", "size") or (factor.op == "pow" and _is_fixed(factor.args[0]))


def _as_tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)


def _whole(node: Node) -> tuple[int, list[tuple[Node, int]], int]:
    """An index expression as (constant + sum of coefficient * leaf) / divisor; the rest of that division is guarded to be 0."""
    form = affine(node)
    assert form is not None, node
    divisor = math.lcm(*[Fraction(c).denominator for c in (form.constant, *[c for _, c in form.terms])])
    return int(form.constant * divisor), [(leaf, int(c * divisor)) for leaf, c in form.terms], divisor


def _const(elements: Elements, node: Node, place: Place) -> Value:
    value = number(node)
    try:
        return elements.scalar.constant(float(value))
    except OverflowError:
        return elements.scalar.constant(float("inf") if value > 0 else float("-inf"))


def _constant(elements: Elements, node: Node, place: Place) -> Value:
    return elements.scalar.constant(constant_value(str(node.data)))


def _index(elements: Elements, node: Node, place: Place) -> Value:
    if node is elements.vector:
        return elements.wide.from_integer(elements.wide.counting(elements.position(node, place)))
    return elements.scalar.from_integer(i64(elements.position(node, place)))


def _size(elements: Elements, node: Node, place: Place) -> Value:
    return elements.scalar.from_integer(i64(elements.frame.lengths[str(node.data)]))


def _read(elements: Elements, node: Node, place: Place) -> Value:
    loaded = elements.load(node, place)
    return loaded


def _add(elements: Elements, node: Node, place: Place) -> Value:
    """Products are fused into the running sum."""
    lanes = elements.lanes_of(node)
    terms = sorted(node.args, key=_is_fusable)
    total = elements._operand(lanes, terms[0], place)
    for term in terms[1:]:
        total = accumulate(elements, lanes, total, term, place)
    return total


def _is_fusable(term: Node) -> bool:
    return term.op == "mul"


def accumulate(elements: Elements, lanes: Lanes, total: Value, term: Node, place: Place) -> Value:
    """total + term; a product is one fused multiply-add."""
    if (
        term.op == "mul"
        and not any(_is_division(f) for f in term.args)
        and elements._find(elements._key(term, place)) is None
    ):
        first, rest = term.args[0], term.args[1:]
        if first.op == "const" and first.data == -1:
            if len(rest) == 1:
                return lanes.sub(total, elements._operand(lanes, rest[0], place))
            left = lanes.neg(elements._operand(lanes, rest[0], place))
            return lanes.fma(left, _multiplied(elements, lanes, rest[1:], place), total)
        left = elements._operand(lanes, first, place)
        return lanes.fma(left, _multiplied(elements, lanes, rest, place), total)
    return lanes.add(total, elements._operand(lanes, term, place))


def _multiplied(elements: Elements, lanes: Lanes, factors: tuple[Node, ...], place: Place) -> Value:
    """The product; scalar factors are multiplied as scalars first."""
    narrow = [f for f in factors if not elements._is_wide(f)]
    broad = [f for f in factors if elements._is_wide(f)]
    result: Value | None = None
    for factor in narrow:
        value = elements.value(factor, place)
        result = value if result is None else elements.scalar.mul(result, value)
    if result is not None and lanes is elements.wide:
        result = lanes.splat(result)
    for factor in broad:
        value = elements.value(factor, place)
        result = value if result is None else lanes.mul(result, value)
    assert result is not None
    return result


def _mul(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    fixed = tuple(f for f in node.args if _is_fixed(f))
    if 1 < len(fixed) < len(node.args):      # what sizes and numbers alone decide is ready before the rest is
        factor = elements.value(make("mul", *fixed), place)
        moving = tuple(f for f in node.args if f not in fixed)
        rest = elements.value(moving[0] if len(moving) == 1 else make("mul", *moving), place)
        return lanes.mul(lanes.splat(factor) if lanes is elements.wide else factor, rest)
    below = [f.args[0] for f in node.args if _is_division(f)]
    above = tuple(f for f in node.args if not _is_division(f))
    sign = bool(above) and above[0].op == "const" and above[0].data == -1
    if sign:
        above = above[1:]
    numerator = _multiplied(elements, lanes, above, place) if above else None
    if below:
        denominator = _multiplied(elements, lanes, tuple(below), place)
        numerator = lanes.div(numerator if numerator is not None else 1.0, denominator)
    assert numerator is not None
    return lanes.neg(numerator) if sign else numerator


def _pow(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    base = elements._operand(lanes, node.args[0], place)
    exponent = node.data
    if isinstance(exponent, int):
        return lanes.div(1.0, base) if exponent == -1 else integer_power(lanes, base, exponent)
    assert isinstance(exponent, Fraction)
    if exponent.denominator == 2:
        return _half_power(lanes, base, exponent.numerator)
    return call_or_inline(lanes, "power", base, lanes.constant(float(exponent)))


def _half_power(lanes: Lanes, base: Value, numerator: int) -> Value:
    root = lanes.sqrt(base)
    whole = abs(numerator) // 2
    value = root if whole == 0 else lanes.mul(root, integer_power(lanes, base, whole) if whole > 1 else base)
    return value if numerator > 0 else lanes.div(1.0, value)


def _when(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    mask = all_of(elements, lanes, node.args[1:], place)
    return lanes.select(mask, elements._operand(lanes, node.args[0], place), 0.0)


def all_of(elements: Elements, lanes: Lanes, conditions: Iterable[Node], place: Place) -> Value:
    mask: Value | None = None
    for condition in conditions:
        own = elements.condition(condition, place, lanes)
        mask = own if mask is None else lanes.both(mask, own)
    return mask if mask is not None else lanes.truth_constant(True)


def _select(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    mask = elements.condition(node.args[0], place, lanes)
    return lanes.select(mask, *[elements._operand(lanes, a, place) for a in node.args[1:]])


def _extreme(name: str) -> Callable[[Elements, Node, Place], Value]:
    def write(elements: Elements, node: Node, place: Place) -> Value:
        lanes = elements.lanes_of(node)
        result = elements._operand(lanes, node.args[0], place)
        for arg in node.args[1:]:
            result = call_or_inline(lanes, name, result, elements._operand(lanes, arg, place))
        return result

    return write


def _index_condition(elements: Elements, node: Node, place: Place) -> Value:
    """[a == b], [a >= 0], [m divides a] on integers."""
    function = elements.frame.function
    predicate = {"eq": "eq", "ge": "sge", "divides": "eq"}[node.op]
    if not elements._is_wide(node):
        left = elements.integer(node.args[0], place)
        right: Integer = elements.integer(node.args[1], place) if node.op == "eq" else 0
        if node.op == "divides":
            left = function.rem(left, int(node.data))  # type: ignore[call-overload]
        return function.compare(predicate, left, right)
    wide = elements.wide
    lanes = elements.integer_lanes(node.args[0], place)
    other = elements.integer_lanes(node.args[1], place) if node.op == "eq" else wide.splat(i64(0))
    if node.op == "divides":
        lanes = function.emit(f"srem {typed(lanes)}, {wide.splat(i64(int(node.data))).text}", lanes.type)  # type: ignore[call-overload]
    return wide.integer_compare(predicate, lanes, other)


def _logic(name: str) -> Callable[[Elements, Node, Place], Value]:
    def write(elements: Elements, node: Node, place: Place) -> Value:
        lanes = elements.lanes_of(node)
        values = [elements.condition(a, place, lanes) for a in node.args]
        combine = lanes.both if name == "and" else lanes.any_of
        return combine(values[0], values[1])

    return write


def _not(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    return lanes.negated(elements.condition(node.args[0], place, lanes))


_WRITERS: Mapping[str, Callable[[Elements, Node, Place], Value]] = {
    "const": _const,
    "constant": _constant,
    "index": _index,
    "size": _size,
    "read": _read,
    "add": _add,
    "mul": _mul,
    "pow": _pow,
    "when": _when,
    "select": _select,
    "max": _extreme("maximum"),
    "min": _extreme("minimum"),
    "eq": _index_condition,
    "ge": _index_condition,
    "divides": _index_condition,
    "and": _logic("and"),
    "or": _logic("or"),
    "not": _not,
}
