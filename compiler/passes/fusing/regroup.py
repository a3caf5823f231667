"""A sum over windows in which somebody else has summed a part already reads that sum.

The slope of a bias is the sum of the slope dz at all places. Where what follows reads windows, dz at a place is a sum
over the windows that it is in, and the slope of the bias was written as one sum over windows and places in them: as
much work as dz itself, which the slope of the filters needs anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import permutations, product

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, factors_of, mul, split
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, computed, define, read
from sympile.compiler.graph.mapping import Mapping, each_formula, redirected
from sympile.compiler.graph.node import ONE, Node, const, extent, index, make, number, reads, target
from sympile.compiler.graph.rebuild import transform
from sympile.compiler.graph.reduce import total

FEW = 3  # summed indices of a sum that is hardly more work than its operands


def regrouped(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, where a part of a sum that is stored anyway is read."""
    order = computed(outputs)
    candidates = [tensor for tensor in order if _sums_windows(tensor)]
    if not candidates:
        return Mapping()
    sums: Sums = {}
    for tensor in order:
        if tensor.monoid == "sum" and tensor.axes:
            sums.setdefault(_lengths(tensor), []).append(tensor)
    found = {tensor: again for tensor in candidates if (again := _over_places(tensor, sums)) is not None}
    if not found:
        return Mapping()
    done: dict[Node, Node] = {}

    def changed(tensor: Definition, new: Mapping) -> Definition:
        again = found.get(tensor, tensor)
        missing = [below for below in again.formula.below if below not in new]
        if missing:
            new.update(each_formula(missing, changed))
        return define(again.axes, again.reduced, again.monoid, redirected(again.formula, new, done))

    return each_formula(outputs, changed)


Sums = dict[object, list[Definition]]  # lengths of axes and of summed indices → the sums that have them


def _sums_windows(tensor: Definition) -> bool:
    """Whether it may be a sum over windows and over places in them: an image of one axis has three indices."""
    return tensor.monoid == "sum" and len(tensor.reduced) > FEW


def _lengths(tensor: Definition) -> object:
    return frozenset(Counter(tensor.shape).items()), frozenset(Counter(map(extent, tensor.reduced)).items())


def _without_sign(node: Node) -> Node:
    form = affine(node.args[0]) if node.op == "divides" else None
    if form is None or any(not isinstance(c, int) for c in (form.constant, *[c for _, c in form.terms])):
        return node
    divisor = int(number(node))
    signs = [[(int(c) * sign % divisor, leaf) for leaf, c in (*form.terms, (ONE, form.constant))] for sign in (1, -1)]
    least = min(signs, key=lambda terms: sorted(c for c, _ in terms))
    return make("divides", add(*[mul(const(c), leaf) for c, leaf in least]), data=divisor)


def _over_places(tensor: Definition, sums: Sums) -> Definition | None:
    """The sum over the places of windows, of sums over the windows that a place is in, if somebody needs those."""
    coefficient, rest = split(unguarded(tensor.formula))
    parts = [*factors_of(rest), *conditions_of(tensor.formula)]
    places = _places(parts, set(tensor.reduced))
    if not places:
        return None
    outer = [part for part in parts if not places.keys().isdisjoint(_at(part))]
    moved = transform(outer, lambda node: _moved(node, places))
    span = frozenset().union(*[part.free for part in moved])
    if any(not span.isdisjoint(place.free) for place in places):
        return None
    inner = [part for part in parts if part not in outer]
    own = [r for r in tensor.reduced if r not in span]
    part = _known_part(own, inner, places, set(conditions_of(tensor.formula)), sums, tensor)
    if part is None:
        return None
    factors = [m for m, o in zip(moved, outer, strict=True) if o not in conditions_of(tensor.formula)]
    conditions = [m for m, o in zip(moved, outer, strict=True) if o in conditions_of(tensor.formula)]
    reduced = [*[r for r in tensor.reduced if r in span], *places.values()]
    return define(tensor.axes, reduced, "sum", when(mul(const(coefficient), part, *factors), *conditions))


def _places(parts: Iterable[Node], reduced: set[Node]) -> dict[Node, Node]:
    """Where what is more than a read reads in windows → an index for each of these places."""
    found: dict[Node, Node] = {}
    alike = True
    for part in parts:
        for node in reads(part) if part.op != "read" else ():
            for at, length in zip(node.args, target(node).shape, strict=True):
                if at.op != "index" and len(reduced & at.free) > 1 and affine(at) is not None:
                    found.setdefault(at, index(length))
                    alike = alike and extent(found[at]) is length
    return found if alike else {}


def _at(part: Node) -> set[Node]:
    return {at for node in reads(part) for at in node.args}


def _moved(node: Node, places: dict[Node, Node]) -> Node:
    return read(target(node), *[places.get(at, at) for at in node.args]) if node.op == "read" else node


def _known_part(
    indices: Sequence[Node],
    parts: Sequence[Node],
    places: dict[Node, Node],
    conditions: set[Node],
    sums: Sums,
    whole: Definition,
) -> Node | None:
    """The sum of what does not read at the places, as a read of one that is there."""
    factors = [part for part in parts if part not in conditions]
    guards = [part for part in parts if part in conditions]
    body = when(mul(*factors), *guards, *[equal(place, own) for place, own in places.items()])
    for solved in product(*[[r for r in indices if r in place.free] for place in places]):
        found = total(list(dict.fromkeys([*solved, *indices])), body)
        factor, value = split(unguarded(found))
        again = _as_known(value, sums, whole)
        if again is not None:
            return when(mul(const(factor), again), *conditions_of(found))
    return None


def _as_known(node: Node, sums: Sums, whole: Definition) -> Node | None:
    """The read of a sum that is there, in the place of one that is the same but for the order of its indices."""
    if node.op != "read" or target(node).monoid != "sum":
        return None
    for known in sums.get(_lengths(target(node)), ()):
        if known is not whole and (axes := _same(known, target(node))) is not None:
            place = dict(zip(target(node).axes, node.args, strict=True))
            return read(known, *[place[axis] for axis in axes])
    return None


def _same(known: Definition, other: Definition) -> tuple[Node, ...] | None:
    """The axes of another sum in the order in which it is the known one."""
    plain = _plain(known)
    for axes in _orders(other.axes, known.axes):
        for reduced in _orders(other.reduced, known.reduced):
            if _plain(define(axes, reduced, "sum", other.formula)) is plain:
                return axes
    return None


def _plain(tensor: Definition) -> Definition:
    (body,) = transform([tensor.formula], _without_sign)
    return define(tensor.axes, tensor.reduced, "sum", body)


def _orders(indices: Sequence[Node], wanted: Sequence[Node]) -> Iterable[tuple[Node, ...]]:
    """The orders of indices in which they have the lengths that are wanted."""
    lengths = list(map(extent, wanted))
    return (order for order in permutations(indices) if list(map(extent, order)) == lengths)
