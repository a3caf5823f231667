"""Operations of the graph → instructions: a row each; others are vector math."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import mpmath

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.quick import has_one, quotient_by_fixed, reciprocal
from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.graph.node import MINUS_ONE, ONE, Node, const, make, number
from sympile.compiler.passes.emitting.integers import integer, integer_lanes, position_of
from sympile.compiler.passes.emitting.kept_power import kept_power
from sympile.compiler.passes.emitting.memory import load
from sympile.compiler.passes.emitting.places import Place, is_division, is_fixed, negated_sum
from sympile.compiler.passes.emitting.table_reads import constant_number, load_entry
from sympile.compiler.rules.functions import CONSTANTS
from sympile.compiler.rules.machine import call_or_inline, integer_power

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.elements import Elements

LONG, CHAINS = 16, 4  # terms of a sum outside of loops that is several chains, which do not wait for each other


@cache
def constant_value(name: str) -> float:
    with mpmath.workprec(200):
        return float(CONSTANTS[name]())


def _const(elements: Elements, node: Node, place: Place) -> Value:
    return constant_number(elements, number(node))


def _constant(elements: Elements, node: Node, place: Place) -> Value:
    return elements.scalar.constant(constant_value(str(node.data)))


def _index(elements: Elements, node: Node, place: Place) -> Value:
    if node is elements.vector:
        return elements.wide.from_integer(elements.wide.counting(position_of(elements, node, place)))
    return elements.scalar.from_integer(i64(position_of(elements, node, place)))


def _size(elements: Elements, node: Node, place: Place) -> Value:
    return elements.scalar.from_integer(i64(elements.frame.lengths[str(node.data)]))


def _read(elements: Elements, node: Node, place: Place) -> Value:
    loaded = load(elements, node, place)
    return loaded


def _add(elements: Elements, node: Node, place: Place) -> Value:
    """Products are fused into the running sum."""
    lanes = elements.lanes_of(node)
    chains = elements.frame.orders.get(node) or _chains(elements, node)
    total, *others = [_sum(elements, lanes, terms, place) for terms in chains]
    for other in others:
        total = lanes.add(total, other)
    return total


def _chains(elements: Elements, node: Node) -> Sequence[Sequence[Node]]:
    """The terms as they are added one after the other; long sums outside of loops are several chains."""
    terms = sorted(node.args, key=_is_fusable if elements.frame.fuses else _is_taken)
    count = CHAINS if len(terms) >= LONG and not elements.positions else 1
    return [terms[k::count] for k in range(count)]


def _sum(elements: Elements, lanes: Lanes, terms: Sequence[Node], place: Place) -> Value:
    total = elements.operand(lanes, terms[0], place)
    for term in terms[1:]:
        total = accumulate(elements, lanes, total, term, place)
    return total


def _pair_sum(elements: Elements, node: Node, place: Place) -> Value:
    """Of two numbers that may be exchanged: a product in them is rounded on its own."""
    lanes = elements.lanes_of(node)
    return lanes.add(*[elements.operand(lanes, arg, place) for arg in node.args])


def _is_fusable(term: Node) -> bool:
    return term.op == "mul"


def _is_taken(term: Node) -> tuple[bool, bool]:
    """Whether it is a product, and a negative one: a sum does not begin with that, whose sign would be turned."""
    return term.op == "mul", _is_negative(term)


def accumulate(elements: Elements, lanes: Lanes, total: Value, term: Node, place: Place) -> Value:
    """total + term; a product is one fused multiply-add."""
    if not elements.frame.fuses and _can_be_taken(elements, term, place):  # there turning a sign is an instruction
        return lanes.sub(total, _multiplied(elements, lanes, term.args[1:], place))
    return grown(lanes, total, growth(elements, lanes, term, place), elements.frame.fuses)


def _can_be_taken(elements: Elements, term: Node, place: Place) -> bool:
    """Whether a term is minus a product that is not there yet."""
    return _is_negative(term) and not any(map(is_division, term.args)) and not _is_known(elements, term, place)


def _is_negative(term: Node) -> bool:
    """Whether a term is minus something."""
    return term.op == "mul" and term.args[0].op == "const" and term.args[0].data == -1


Growth = tuple[Value, Value | None]  # what comes on top of a total: a number, or two factors


def growth(elements: Elements, lanes: Lanes, term: Node, place: Place) -> Growth:
    """What a term adds to a total."""
    if (
        term.op == "mul"
        and not ("pow" in term.ops and any([is_division(f) for f in term.args]))
        and not _is_known(elements, term, place)
    ):
        first, rest = term.args[0], term.args[1:]
        if first.op == "const" and first.data == -1:
            left = lanes.neg(elements.operand(lanes, rest[0], place))
            return left, None if len(rest) == 1 else _multiplied(elements, lanes, rest[1:], place)
        return elements.operand(lanes, first, place), _multiplied(elements, lanes, rest, place)
    return elements.operand(lanes, term, place), None


def grown(lanes: Lanes, total: Value, more: Growth, fuses: bool) -> Value:
    """The total after it; with one rounding, except in huge groups, where the fast code generator has none for both."""
    a, b = more
    if b is None:
        return lanes.add(total, a)
    return lanes.fma(a, b, total) if fuses else lanes.add(lanes.mul(a, b), total)


def _is_known(elements: Elements, node: Node, place: Place) -> bool:
    return elements.find(elements.key_of(node, place)) is not None


def _multiplied(elements: Elements, lanes: Lanes, factors: tuple[Node, ...], place: Place) -> Value:
    """The product; scalar factors are multiplied as scalars first."""
    narrow: Sequence[Node] = [f for f in factors if not elements.is_wide(f)] if elements.vector is not None else factors
    broad = [f for f in factors if elements.is_wide(f)] if len(narrow) < len(factors) else ()
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


_SPECIAL = frozenset(("const", "constant", "size", "pow"))  # factors that are taken together, or divided by


def _mul(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    if _SPECIAL.isdisjoint([f.op for f in node.args]):
        return _multiplied(elements, lanes, node.args, place)
    negated = negated_sum(node)
    if negated is not None and not _is_known(elements, negated, place):
        terms = sorted(map(_negated, negated.args), key=_is_fusable)
        return _sum(elements, lanes, terms, place)  # b - a, not -(a - b)
    fixed = tuple(f for f in node.args if is_fixed(f))
    if 1 < len(fixed) < len(node.args):  # what sizes and numbers alone decide is ready before the rest is
        factor = elements.value(make("mul", *fixed), place)
        moving = tuple(f for f in node.args if f not in fixed)
        rest = elements.value(moving[0] if len(moving) == 1 else make("mul", *moving), place)
        return lanes.mul(lanes.splat(factor) if lanes is elements.wide else factor, rest)
    below = [f.args[0] for f in node.args if is_division(f)]
    above = tuple(f for f in node.args if not is_division(f))
    sign = bool(above) and above[0].op == "const" and above[0].data == -1
    if sign:
        above = above[1:]
    numerator = _multiplied(elements, lanes, above, place) if above else None
    if below and numerator is not None and _hides_division(elements, lanes, below):
        inverse = lanes.splat(elements.value(make("pow", below[0], data=-1), place))
        numerator = quotient_by_fixed(lanes, numerator, lanes.splat(elements.value(below[0], place)), inverse)
    elif below:
        denominator = _multiplied(elements, lanes, tuple(below), place)
        numerator = lanes.div(numerator if numerator is not None else 1.0, denominator)
    assert numerator is not None
    return lanes.neg(numerator) if sign else numerator


def _hides_division(elements: Elements, lanes: Lanes, below: Sequence[Node]) -> bool:
    """Whether whole vectors are divided by one size, whose inverse is there, where divisions are slow."""
    sized = len(below) == 1 and below[0].op == "size" and elements.frame.fuses
    return sized and lanes is elements.wide and lanes.lanes > 1 and lanes.target.division > 0


def _negated(term: Node) -> Node:
    """The negative, its factors grouped as they are: the normal form would spread them out again."""
    if term.op == "when":
        return make("when", _negated(term.args[0]), *term.args[1:])
    if term.op == "const":
        return const(-number(term))
    if term.op != "mul" or term.args[0].op != "const":
        return make("mul", MINUS_ONE, *(term.args if term.op == "mul" else (term,)))
    first, rest = const(-number(term.args[0])), term.args[1:]
    return make("mul", first, *rest) if first is not ONE else rest[0] if len(rest) == 1 else make("mul", *rest)


def _pow(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    base = elements.operand(lanes, node.args[0], place)
    exponent = node.data
    if isinstance(exponent, int):
        return lanes.div(1.0, base) if exponent == -1 else integer_power(lanes, base, exponent)
    assert isinstance(exponent, Fraction)
    if exponent.denominator == 2:
        return _half_power(lanes, base, exponent.numerator)
    return call_or_inline(lanes, "power", base, lanes.constant(float(exponent)))


def _divide(elements: Elements, node: Node, place: Place) -> Value:
    """The processor's division; where many stand in a row, a reciprocal without one."""
    lanes = elements.lanes_of(node)
    above, below = (elements.operand(lanes, arg, place) for arg in node.args)
    many = elements.frame.refines and lanes is elements.wide
    return reciprocal(lanes, below) if many and node.args[0] is ONE and has_one(lanes) else lanes.div(above, below)


def _half_power(lanes: Lanes, base: Value, numerator: int) -> Value:
    root = lanes.sqrt(base)
    whole = abs(numerator) // 2
    value = root if whole == 0 else lanes.mul(root, integer_power(lanes, base, whole) if whole > 1 else base)
    return value if numerator > 0 else lanes.div(1.0, value)


def _when(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    truths = [elements.truth(condition) for condition in node.args[1:]] if elements.decided else []
    if False in truths:
        return lanes.constant(0.0)
    if truths and None not in truths:
        return elements.operand(lanes, node.args[0], place)
    mask = all_of(elements, lanes, node.args[1:], place)
    return lanes.select(mask, elements.operand(lanes, node.args[0], place), 0.0)


def all_of(elements: Elements, lanes: Lanes, conditions: Iterable[Node], place: Place) -> Value:
    mask: Value | None = None
    for condition in conditions:
        if elements.decided and elements.truth(condition):
            continue
        own = elements.condition(condition, place, lanes)
        mask = own if mask is None else lanes.both(mask, own)
    return mask if mask is not None else lanes.truth_constant(True)


def _select(elements: Elements, node: Node, place: Place) -> Value:
    lanes = elements.lanes_of(node)
    known = elements.truth(node.args[0]) if elements.decided else None
    if known is not None:
        return elements.operand(lanes, node.args[1 if known else 2], place)
    mask = elements.condition(node.args[0], place, lanes)
    return lanes.select(mask, *[elements.operand(lanes, a, place) for a in node.args[1:]])


def _extreme(name: str) -> Callable[[Elements, Node, Place], Value]:
    def write(elements: Elements, node: Node, place: Place) -> Value:
        lanes = elements.lanes_of(node)
        result = elements.operand(lanes, node.args[0], place)
        for arg in node.args[1:]:
            result = call_or_inline(lanes, name, result, elements.operand(lanes, arg, place))
        return result

    return write


def _index_condition(elements: Elements, node: Node, place: Place) -> Value:
    """[a == b], [a >= 0], [m divides a] on integers."""
    function = elements.frame.function
    predicate = {"eq": "eq", "ge": "sge", "divides": "eq"}[node.op]
    if not elements.is_wide(node):
        left = integer(elements, node.args[0], place)
        right: Integer = integer(elements, node.args[1], place) if node.op == "eq" else 0
        if node.op == "divides":
            left = function.rem(left, int(node.data))  # type: ignore[call-overload]
        return function.compare(predicate, left, right)
    wide = elements.wide
    lanes = integer_lanes(elements, node.args[0], place)
    other = integer_lanes(elements, node.args[1], place) if node.op == "eq" else wide.splat(i64(0))
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


WRITERS: Mapping[str, Callable[[Elements, Node, Place], Value]] = {
    "const": _const,
    "constant": _constant,
    "index": _index,
    "size": _size,
    "read": _read,
    "table": load_entry,
    "add": _add,
    "pair_sum": _pair_sum,
    "mul": _mul,
    "pow": _pow,
    "divide": _divide,
    "kept_power": kept_power,
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
