"""What stands at every place of an axis needs no places: [i == 0] c + [i == 1] c of two entries is c."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympile.compiler.graph.arithmetic import add, terms_of
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, elementwise
from sympile.compiler.graph.node import Node, extent, number

Conditions = tuple[Node, ...]


def without_places(tensor: Definition) -> Definition | None:
    """The same tensor without places, where all entries of an axis or a diagonal are the same; else None.

    Where places are left, all of them are: they make a matrix of numbers.
    """
    if tensor.kind != "formula" or tensor.monoid is not None or not tensor.axes:
        return None
    terms = terms_of(tensor.formula)
    left = list(terms)
    for indices in [(axis,) for axis in tensor.axes] + _diagonals(tensor.axes):
        left = _merged(left, indices)
    placed = any(_is_place(c) for term in left for c in conditions_of(term) if c.op == "eq")
    return None if placed or len(left) == len(terms) else elementwise(tensor.axes, add(*left))


def _diagonals(axes: Sequence[Node]) -> list[tuple[Node, ...]]:
    return [(a, b) for k, a in enumerate(axes) for b in axes[k + 1 :] if extent(a) is extent(b)]


def _merged(terms: Iterable[Node], indices: tuple[Node, ...]) -> list[Node]:
    """The terms, those that differ by the place of these indices alone, and stand at each of them, as one."""
    rest, groups = [], dict[tuple[Node, Conditions], dict[int, Node]]()
    for term in terms:
        at, others = _place(term, indices)
        if at is None:
            rest.append(term)
        else:
            groups.setdefault((unguarded(term), others), {})[at] = term
    length = extent(indices[0])
    for (value, others), found in groups.items():
        if length.op == "const" and len(found) == number(length) > 1:
            rest.append(when(value, *others, *[equal(indices[0], other) for other in indices[1:]]))
        else:
            rest.extend(found.values())
    return rest


def _place(term: Node, indices: tuple[Node, ...]) -> tuple[int | None, Conditions]:
    """The one place at which all of these indices are, and the other conditions."""
    conditions = conditions_of(term)
    asked = [c for c in conditions if c.op == "eq" and not c.free.isdisjoint(indices)]
    places = {c.args[0].data if c.args[0].op == "const" else c.args[1].data for c in asked if _is_place(c)}
    if len(asked) != len(indices) or len(places) != 1 or not all(map(_is_place, asked)):
        return None, ()
    (at,) = places
    assert isinstance(at, int)
    return at, tuple(c for c in conditions if c not in asked)


def _is_place(condition: Node) -> bool:
    return {arg.op for arg in condition.args} == {"index", "const"}
