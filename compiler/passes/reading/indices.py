"""How index notation is read: Indexed, Sum and its relatives, comprehensions; bound indices are renamed on entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from sympile.compiler.errors import FormulaError, ShapeError, UnboundIndex
from sympile.compiler.graph.affine import affine, always_at_least_zero
from sympile.compiler.graph.arithmetic import add, sub
from sympile.compiler.graph.brackets import at_least_zero, equal
from sympile.compiler.graph.conditions import both, counted, select, when
from sympile.compiler.graph.definition import NEUTRAL, read
from sympile.compiler.graph.node import ONE, ZERO, Node, extent, index, number, reads, target
from sympile.compiler.graph.ranges import largest, smallest, stays_inside
from sympile.compiler.graph.reduce import reduce
from sympile.compiler.language.tensor import Tensor
from sympile.compiler.passes.reading.around import goes_around, read_around
from sympile.compiler.passes.reading.engine import Bindings, Reader, Row
from sympile.compiler.passes.reading.scalars import nothing
from sympile.compiler.passes.reading.values import Value, lifted

ARRAYS = (sp.MatrixSymbol, Tensor)
MONOID_OF = {"Sum": "sum", "Product": "prod", "Maximum": "max", "Minimum": "min", "LogSumExp": "lse"}


# ------------------------------------------------------------------------------------------------ positions


def position(
    reader: Reader, written: Any, bindings: Bindings, limit: Node | None = None, further: Node = ZERO
) -> Node:
    """An expression inside [ ], and what lies further on; every symbol but bound indices and sizes is integer data."""
    expression = sp.sympify(written)
    for item in _symbols_below(expression):
        _declare_integer(reader, item, bindings)
    node = reader.read(expression, bindings).body
    form = affine(node)
    if form is None or any(leaf.op == "read" and not target(leaf).integer for leaf, _ in form.terms):
        raise reader.refuse(written, f"{written} cannot be an index; write an index, an integer, or a sum of them")
    data = [leaf for leaf, _ in form.terms if leaf.op == "read"]
    if data and limit is not None:
        _keep_inside(reader, written, add(node, further), data, limit)
    return add(node, further)


def _keep_inside(reader: Reader, written: Any, node: Node, data: list[Node], limit: Node) -> None:
    """Demands of integer data that the position lies inside of its axis, whatever the indices in it are."""
    rest = sub(node, data[0])
    low, high = smallest(rest), largest(rest)
    if low is None or high is None or low.op != "const" or high.op != "const":
        words = "one number of integer data, and what is added to it lies between numbers; give the sum as data"
        raise reader.refuse(written, f"{written} cannot be an index: an index holds {words}", FormulaError)
    reader.scope.narrow(target(data[0]).name, limit, -int(number(low)), int(number(high)))


def _symbols_below(expression: Any) -> list[Any]:
    found, stack = [], [expression]
    while stack:
        item = stack.pop()
        if item.is_Symbol or isinstance(item, (sp.Indexed, sp.Idx, *ARRAYS)):
            found.append(item)
        else:  # an Idx has its name and its range below it, which are no data
            stack.extend(item.args)
    return found


def _declare_integer(reader: Reader, item: Any, bindings: Bindings) -> None:
    scope = reader.scope
    name = str(item.base.label if isinstance(item, sp.Indexed) else item.name)
    if item in bindings.indices or item in bindings.holes or name in scope.sizes:
        return
    if item in scope.bound or scope.is_index(item):
        raise reader.refuse(
            item, f"index {name} is not bound by a Sum, a comprehension or another binder", UnboundIndex
        )
    if scope.role(name) == "parameter":
        words = f"{name} is a parameter, but in [ ] stand indices and integer data, which have no slope"
        raise reader.refuse(item, words, FormulaError)
    if isinstance(item, sp.Indexed):
        indexed_symbol(reader, item, bindings, integer=True)
    else:
        scope.declare(item, name, item.shape if isinstance(item, ARRAYS) else (), integer=True)


def indexed_symbol(
    reader: Reader, item: Any, bindings: Bindings, integer: bool = False
) -> tuple[Any, list[Node]]:
    """The symbol of an Indexed and the positions at which it is read; a missing shape follows from the ranges."""
    base = item.base
    name = str(base.label)
    known = reader.scope.symbols.get(name)
    declared = (
        known.declared
        if known
        else tuple(reader.scope.extent(n) for n in base.shape)
        if base.shape is not None
        else None
    )
    lengths: Sequence[Node | None] = declared if declared is not None else [None] * len(item.indices)
    if len(lengths) != len(item.indices):
        raise reader.refuse(
            item, f"{name} has {len(lengths)} axes, but {item} gives {len(item.indices)} indices", ShapeError
        )
    at = [position(reader, written, bindings, n) for written, n in zip(item.indices, lengths, strict=True)]
    if declared is None:
        declared = tuple(_length_from_range(reader, item, p) for p in at)
    return reader.scope.declare(base, name, declared, integer), at


def _length_from_range(reader: Reader, item: Any, at: Node) -> Node:
    """One more than the largest index value."""
    last = largest(at)
    if last is None:
        raise reader.refuse(
            item,
            f"{item.base.label} has no shape, and no range tells it; "
            f"write sp.IndexedBase({str(item.base.label)!r}, shape=(...))",
        )
    return add(last, ONE)


def _indexed(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    if goes_around(item.indices):
        return Value(read_around(reader, item.indices, bindings, position, lambda at: item.base[tuple(at)]))
    symbol, at = indexed_symbol(reader, item, bindings)
    for p, n in zip(at, symbol.declared, strict=True):
        reader.check_range(item, p, n)
    tensor, full = reader.scope.element(symbol, at)
    return Value(read(tensor, *full))


def _bare(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    name = str(getattr(item, "label", item))
    raise reader.refuse(
        item, f"{name} stands here without indices; write {name}[i] under a Sum, or use sm.Tensor", FormulaError
    )


# ------------------------------------------------------------------------------------------------ binders


def _binder(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    indices: list[Node] = []
    conditions: list[Node] = []
    inner = bindings
    for limit in reversed(item.limits):
        if len(limit) != 3:
            raise reader.refuse(item, f"{limit} gives no range; write ({limit[0]}, first, last)")
        variable, low, high = limit
        start = position(reader, low, inner)
        stop = position(reader, high, inner)
        chosen, shifted, condition = _range(reader, item, start, stop)
        indices.append(chosen)
        conditions.append(condition)
        inner = inner.inner({variable: shifted})
    body = reader.read(item.function, inner)
    monoid = MONOID_OF[type(item).__name__]
    guarded = select(both(*conditions), body.body, NEUTRAL[monoid])
    if monoid in ("max", "min"):
        guarded = _apart(guarded, NEUTRAL[monoid])
    return Value(reduce(monoid, indices, guarded), body.axes)


def _apart(body: Node, neutral: Node) -> Node:
    """What an extreme is taken of gets a definition of its own: the slope looks for the extreme among its numbers."""
    value, conditions = counted(body, neutral)
    every = conditions
    while conditions:
        value, conditions = counted(value, neutral)
        every += conditions
    if value.op == "read" or not value.free:
        return body
    places = [place for node in reads(value) for place in zip(node.args, target(node).shape, strict=True)]
    alone = value if all(stays_inside(at, length) for at, length in places) else when(value, *every)
    return select(both(*every), lifted(Value(alone))[0].body, neutral)


def _range(reader: Reader, item: Any, low: Node, high: Node) -> tuple[Node, Node, Node]:
    """(the index that runs, the value of the bound symbol, the condition under which it counts) of low … high."""
    length = add(sub(high, low), ONE)
    if not length.free:
        if length.op == "const" and not (isinstance(length.data, int) and length.data > 0):
            raise reader.refuse(item, f"the range {low} … {high} is empty or no range of integers")
        chosen = index(length)
        return chosen, add(chosen, low), ONE
    if low.free and not high.free and always_at_least_zero(low):  # i … n - 1 is all of 0 … n - 1 from i on
        chosen = index(add(high, ONE))
        return chosen, chosen, at_least_zero(sub(chosen, low))
    longest = largest(length)
    if longest is None:
        raise reader.refuse(item, "a range must be affine in sizes and other indices")
    chosen = index(longest)
    return chosen, add(chosen, low), at_least_zero(sub(sub(length, ONE), chosen))


def comprehension(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    expression, *limits = item.operands
    axes = []
    chosen: dict[Any, Node] = {}
    for variable, written in limits:
        length = reader.scope.extent(written)
        axis = ZERO if length is ONE else index(length)
        chosen[variable] = axis
        axes.append(axis)
    inner = reader.read(expression, bindings.inner(chosen))
    return Value(inner.body, (*axes, *inner.axes))


def _delta(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """[a == b] of positions: what is no index in it is integer data, in the range of the other side."""
    sides = list(item.args[:2])
    sides.sort(key=lambda side: side not in bindings.indices)
    first = position(reader, sides[0], bindings)
    second = position(reader, sides[1], bindings, extent(first) if first.op == "index" else None)
    return Value(when(ONE, equal(first, second)))


INDICES: dict[str, Row] = {
    "KroneckerDelta": Row(nothing, _delta),
    "Indexed": Row(nothing, _indexed),
    "IndexedBase": Row(nothing, _bare),
    **{name: Row(nothing, _binder, binds=True) for name in MONOID_OF},
}
