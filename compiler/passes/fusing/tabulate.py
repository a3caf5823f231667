"""Numbers that a formula lists position by position: read from a table, summed in a loop.

A constant vector c comes as c₀ [i = 0] + c₁ [i = 1] + …, and c·x as c₀ x₀ + c₁ x₁ + …: exact, and open to every
rewrite, but as code a selection or a load for each number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from math import gcd, prod

from sympile.compiler.graph.arithmetic import add, mul, split
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, computed, define, define_free, read
from sympile.compiler.graph.mapping import Mapping as Renewed
from sympile.compiler.graph.mapping import each_formula, redirected
from sympile.compiler.graph.node import (
    ONE,
    READ_AT,
    Node,
    Number,
    const,
    extent,
    few,
    holding,
    index,
    number,
    postorder,
    target,
)
from sympile.compiler.graph.rebuild import transform, transform_sums
from sympile.compiler.graph.table import entry
from sympile.compiler.passes.fusing.cells import listed_axes
from sympile.compiler.records import dataclass

FEWEST = 2  # positions that are worth a table
FEWEST_SUMMED = 6  # terms that are worth a loop
MOST = 4096  # numbers of a table
DEEP = 24  # nodes of a term of a sum, at most: longer terms are not looked at, so that no formula is walked twice

Pins = tuple[tuple[Node, int], ...]  # axis, and the one position at which a term counts


def tabulate(outputs: list[Definition]) -> Renewed:
    """Old → new definitions, those whose formulas list numbers by position."""
    formulas = [tensor.formula for tensor in computed(outputs) if tensor.kind == "formula"]
    if not any(_is_position(node) for node in holding(formulas, _AT_POSITIONS)):
        return Renewed()
    done: dict[Node, Node] = {}
    summed: dict[Node, Node] = {}
    gathered: dict[Node, Node] = {}

    def changed(tensor: Definition, new: Renewed) -> Definition:
        body = transform_sums(redirected(tensor.formula, new, done), _in_a_loop, summed)
        known = transform_sums(body, _in_tables, gathered)
        if known is not body and not _lists_still(listed_axes(tensor), known):
            body = known
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, changed)


_AT_POSITIONS = frozenset(("eq", READ_AT))


def _is_position(node: Node) -> bool:
    return node.op in ("eq", "read") and any(arg.op == "const" for arg in node.args)


def _lists_still(axes: Sequence[Node], body: Node) -> bool:
    """Whether some entries along axes without a loop are still formulas of their own; cells they stay then."""
    return any(axis for node in postorder([body]) for axis, _ in _pin(node) if axis in axes)


def _pin(condition: Node) -> Iterator[tuple[Node, int]]:
    """[axis == number] as the axis and its value."""
    if condition.op == "eq":
        for axis, at in (condition.args, condition.args[::-1]):
            if axis.op == "index" and at.op == "const":
                yield axis, int(number(at))


# ------------------------------------------------------------------------------------------------ tables


@dataclass(slots=True)
class _Listed:
    """The terms of a sum that differ by a number and by where they count."""

    terms: list[Node] = field(default_factory=list)
    numbers: dict[tuple[int, ...], Number] = field(default_factory=dict)


def _in_tables(node: Node) -> Node:
    """A sum, what it lists by position read from tables."""
    if not any(term.op == "when" for term in node.args):
        return node
    kept: list[Node] = []
    found: dict[tuple[tuple[Node, ...], Node, tuple[Node, ...]], _Listed] = {}
    for term in node.args:
        pins, others = _pins_of(term)
        if not pins:
            kept.append(term)
            continue
        coefficient, rest = split(unguarded(term))
        own = found.setdefault((tuple(axis for axis, _ in pins), rest, others), _Listed())
        own.terms.append(term)
        own.numbers[tuple(at for _, at in pins)] = coefficient
    made = [
        when(mul(_table(axes, own.numbers), rest), *others)
        for (axes, rest, others), own in found.items()
        if _is_worth_it(axes, rest, own)
    ]
    if not made:
        return node
    left = [term for key, own in found.items() if not _is_worth_it(key[0], key[1], own) for term in own.terms]
    return add(*kept, *left, *made)


def _pins_of(term: Node) -> tuple[Pins, tuple[Node, ...]]:
    """The axes along which a term counts at one position, and its other conditions."""
    pins = [pin for condition in conditions_of(term) for pin in _pin(condition)]
    axes = {axis for axis, _ in pins}
    if not pins or len(axes) < len(pins) or any(extent(axis).op != "const" for axis in axes):
        return (), ()
    others = tuple(condition for condition in conditions_of(term) if not any(_pin(condition)))
    return tuple(sorted(pins, key=lambda pin: pin[0].key)), others


def _is_worth_it(axes: Sequence[Node], rest: Node, own: _Listed) -> bool:
    """A factor must count everywhere: where a guard has left it out it may be nan."""
    size = prod(_length(axis) for axis in axes)
    everywhere = len(own.numbers) == size
    return FEWEST <= len(own.numbers) == len(own.terms) and size <= MOST and (everywhere or rest is ONE)


def _length(axis: Node) -> int:
    return int(number(extent(axis)))


def _table(axes: Sequence[Node], numbers: Mapping[tuple[int, ...], Number]) -> Node:
    """The numbers at the axes, 0 where there is none; the sign and the factor that they have in common stand in front.

    So tables of numbers that differ in these are one, as the c and the -c in second derivatives of sin(c·x).
    """
    lengths = [_length(axis) for axis in axes]
    every = [numbers.get(tuple(at), 0) for at in _positions(lengths)]
    if len(set(every)) == 1:
        return const(every[0])
    common = gcd(*[n for n in every if isinstance(n, int)]) if all(isinstance(n, int) for n in every) else 1
    common = -common if next(n for n in every if n) < 0 else common
    return mul(const(common), entry(lengths, [_divided(n, common) for n in every], axes))


def _divided(value: Number, common: int) -> Number:
    return value // common if isinstance(value, int) else value / common


def _positions(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    if not lengths:
        yield ()
        return
    for first in range(lengths[0]):
        for rest in _positions(lengths[1:]):
            yield (first, *rest)


# ------------------------------------------------------------------------------------------------ loops


def _in_a_loop(node: Node) -> Node:
    """A sum, terms that differ by a number and a position summed over all positions: c₀ x₀ + c₁ x₁ + …"""
    if len(node.args) < FEWEST_SUMMED:
        return node
    kept: list[Node] = []
    found: dict[tuple[Node, Node], dict[int, tuple[Node, Number]]] = {}
    for term in node.args:
        coefficient, rest = split(term)
        pattern = _pattern(rest)
        if pattern is None:
            kept.append(term)
        else:
            anywhere, running, at = pattern
            found.setdefault((anywhere, running), {})[at] = term, coefficient
    made = []
    for (anywhere, running), terms in found.items():
        if len(terms) >= FEWEST_SUMMED and len(terms) == _length(running):
            made.append(_sum(anywhere, running, {(at,): c for at, (_, c) in terms.items()}))
        else:
            kept += [term for term, _ in terms.values()]
    return add(*kept, *made) if made else node


def _sum(anywhere: Node, running: Node, numbers: Mapping[tuple[int, ...], Number]) -> Node:
    body = mul(_table([running], numbers), anywhere)
    tensor, axes = define_free(body.free - {running}, (running,), "sum", body)
    return read(tensor, *axes)


def _pattern(term: Node) -> tuple[Node, Node, int] | None:
    """(the term at any position, the index that stands for it, its own position), if it reads at one position only."""
    nodes = few(term, DEEP)
    if nodes is None:
        return None
    at: set[tuple[int, Node]] = set()
    for node in nodes:
        if node.op == "read":
            lengths = target(node).shape
            at |= {(int(number(a)), n) for a, n in zip(node.args, lengths, strict=True) if a.op == "const"}
    if len(at) != 1:
        return None
    ((position, length),) = at
    if length.op != "const":
        return None
    running = index(length, "#running")

    def moved(node: Node) -> Node:
        if node.op != "read":
            return node
        return read(target(node), *[running if arg.op == "const" else arg for arg in node.args])

    return transform([term], moved)[0], running, position
