"""Matrices of numbers that a formula was written with: found again in sums of single entries, shown as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy as sp

from sympile.compiler.graph.arithmetic import add, factors_of, mul, split, terms_of
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import EXAMPLE, Definition, call, define, definitions, elementwise, read
from sympile.compiler.graph.inline import rewritten
from sympile.compiler.graph.node import ONE, Node, Number, const, extent, index, number, target
from sympile.compiler.graph.rebuild import transform
from sympile.compiler.graph.reduce import total
from sympile.compiler.records import dataclass
from sympile.compiler.show.forms import leading_sign, matrix_of_numbers, with_forms
from sympile.compiler.show.numbers import shown_number

MOST_ENTRIES = 1024

Places = list[tuple[Node, int]]  # [axis == 3]


# ------------------------------------------------------------------------------------------------ what is one


def explicit_matrix(tensor: Definition) -> Any | None:
    """The matrix (of one axis: the column) of a definition that only lists numbers; None for any other."""
    lists = tensor.kind == "formula" and tensor.monoid is None and not tensor.operands and 0 < len(tensor.axes) < 3
    if not lists or any(extent(axis).op != "const" for axis in tensor.axes):
        return None
    found: dict[tuple[int, ...], Any] = {}
    for term in terms_of(tensor.formula):
        places = dict(_places(conditions_of(term)) or [])
        if unguarded(term).op != "const" or set(places) != set(tensor.axes):
            return None
        found[tuple(places[axis] for axis in tensor.axes)] = shown_number(number(unguarded(term)))
    shape = [int(number(extent(axis))) for axis in tensor.axes]
    rows, columns = (*shape, 1)[:2]
    return sp.ImmutableDenseMatrix(rows, columns, lambda i, j: found.get((int(i), int(j))[: len(shape)], 0))


def _places(conditions: Iterable[Node]) -> Places | None:
    """[i == 0] and [j == 2] as (i, 0) and (j, 2); None if a condition is of another kind."""
    found = []
    for condition in conditions:
        i, k = sorted(condition.args, key=lambda side: side.op != "index") if condition.op == "eq" else (ONE, ONE)
        if i.op != "index" or k.op != "const" or extent(i).op != "const":
            return None
        found.append((i, int(number(k))))
    return found


# ------------------------------------------------------------------------------------------------ finding them again


@dataclass(frozen=True, slots=True)
class Entry:
    """One term of a sum: a number at a place of a matrix, and what the matrix is multiplied with.

    `A[1, 0]*x[i]` under [j == 2], with the factor 5, is 5 at (2, 0), of a matrix between j and the columns of A[1, .].
    """

    value: Number
    at: tuple[int, ...]
    axes: tuple[Node, ...]  # those that the places fix
    operand: tuple[Definition, tuple[Node, ...], int] | None  # what is read at a fixed position, and which position
    others: tuple[Node, ...]

    @property
    def key(self) -> Any:
        return self.axes, self.operand, self.others


def with_explicit(roots: Sequence[Definition]) -> dict[Definition, Definition]:
    """Every definition below the roots, sums of single entries as products with matrices of numbers."""
    new: dict[Definition, Definition] = {}
    for tensor in definitions(roots):
        new[tensor] = _redefined(tensor, new)
    return new


def _redefined(tensor: Definition, new: Mapping[Definition, Definition]) -> Definition:
    if tensor.kind == "input":
        return tensor
    if tensor.kind == "call":
        return call(tensor.routine, [new[o] for o in tensor.operands], tensor.shape)
    bodies = transform([rewritten(tensor.formula, dict(new), lambda t: True)], _put_together)
    (body,) = transform(bodies, with_forms)
    if body is tensor.formula:
        return tensor
    if tensor.monoid is None:
        return elementwise(tensor.axes, body)
    return define(tensor.axes, tensor.reduced, tensor.monoid, body)


def _put_together(node: Node) -> Node:
    """A sum, or one times a number, with matrices for single entries."""
    value, rest = split(node)
    return _gathered(rest, value) if rest.op == "add" and rest.free - {EXAMPLE} else node


def _gathered(node: Node, value: Number) -> Node:
    """A sum times a number; single entries in it that are those of matrices of numbers are these matrices."""
    groups: dict[Any, list[Entry]] = {}
    plain, parts = [], []
    for term in _spread(node, value):
        entry = None if _is_plain(term) else _entry(term)
        if entry is None:
            plain.append(term)
        else:
            groups.setdefault(entry.key, []).append(entry)
            parts.append((entry.key, term))
    whole = {key for key, entries in groups.items() if _is_matrix(entries)}
    if not whole or any(held is None for _, held, _ in groups.keys() - whole):  # what is left is entries
        return mul(const(value), node)
    single = [term for key, term in parts if key not in whole]
    return add(*plain, *single, *[_multiplied(groups[key]) for key in groups if key in whole])


def _spread(node: Node, value: Number) -> list[Node]:
    """The terms of a sum times a number; c*(a + b) as two where it stands under conditions, or a and b are numbers
    that do."""
    found = []
    for term in terms_of(node):
        coefficient, rest = split(unguarded(term))
        factors = factors_of(rest)
        sums = [f for f in factors if f.op == "add" and (_lists_numbers(f) or (f is rest and conditions_of(term)))]
        inner = terms_of(sums[0]) if sums else (ONE,)
        others = [const(value), const(coefficient), *[f for f in factors if f not in sums[:1]]]
        found += [when(mul(part, *others), *conditions_of(term)) for part in inner]
    return found


def _lists_numbers(node: Node) -> bool:
    """Whether all terms are single entries that are numbers."""
    return all(conditions_of(term) and unguarded(term).op == "const" for term in terms_of(node))


def _is_plain(term: Node) -> bool:
    """Whether no single position of an axis stands in a term."""
    return not conditions_of(term) and not [f for f in factors_of(term) if f.free - {EXAMPLE} and _fixed(f)]


def _fixed(factor: Node) -> list[int]:
    """Which positions of a read are numbers."""
    if factor.op != "read":
        return []
    lengths = target(factor).shape
    return [k for k, a in enumerate(factor.args) if a.op == "const" and lengths[k].op == "const"]


def _entry(term: Node) -> Entry | None:
    """A term as an entry of a matrix; None where it is more than that."""
    places = _places(conditions_of(term))
    value, rest = split(unguarded(term))
    factors = () if rest is ONE else factors_of(rest)
    held = [(f, k) for f in factors for k in _fixed(f)]
    if places is None or len(held) > 1 or not 0 < len(places) + len(held) < 3:
        return None
    places.sort(key=lambda place: place[0].data)  # type: ignore[arg-type, return-value]
    axes, at = tuple(axis for axis, _ in places), tuple(k for _, k in places)
    if not held:
        return Entry(value, at, axes, None, factors)
    ((factor, k),) = held
    inner = (*factor.args[:k], ONE, *factor.args[k + 1 :])
    others = tuple(f for f in factors if f is not factor)
    return Entry(value, (*at, int(number(factor.args[k]))), axes, (target(factor), inner, k), others)


def _lengths(entry: Entry) -> list[Node]:
    """The shape of an entry's matrix."""
    inner = [] if entry.operand is None else [entry.operand[0].shape[entry.operand[2]]]
    return [*[extent(axis) for axis in entry.axes], *inner]


def _is_matrix(entries: Sequence[Entry]) -> bool:
    """Whether there are as many entries as the longer side has, and no more than one can read."""
    lengths = [int(number(n)) for n in _lengths(entries[0])]
    return len(entries) >= max(2, *lengths) and sp.prod(lengths) <= MOST_ENTRIES


def _multiplied(entries: Sequence[Entry]) -> Node:
    """The matrix of these entries, few of them negative, and what it is multiplied with."""
    first = entries[0]
    axes = [index(n) for n in _lengths(first)]
    sign = leading_sign([e.value for e in entries])
    matrix = matrix_of_numbers(axes, [(e.at, sign * e.value) for e in entries])
    if first.operand is None:
        return mul(const(sign), read(matrix, *first.axes), *first.others)
    tensor, at, k = first.operand
    inner = axes[-1]
    right = read(tensor, *at[:k], inner, *at[k + 1 :])
    return mul(const(sign), total([inner], mul(read(matrix, *first.axes, inner), right, *first.others)))
