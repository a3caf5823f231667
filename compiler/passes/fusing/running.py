"""Sums, maxima, products and log-sum-exps over all k <= i are carried along i: one pass instead of one for each i.

    T[i] = reduce over k of [k <= last(i)] f(k)    becomes    R[k] = R[k - 1] ∘ f(k),    T[i] = R[last(i)]

and so with k >= last(i), where R runs down. What depends on i alone is taken out of the reduction first; where there
is a sum over i, too, that comes after it. `kernels.py` has the sums whose terms depend on both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from math import prod

from sympile.compiler.graph.arithmetic import add, factors_of, mul, neg, power, split, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import both, counted, select, when
from sympile.compiler.graph.definition import (
    EXAMPLES,
    NEUTRAL,
    Definition,
    computed,
    define,
    elementwise,
    extent_value,
    read,
)
from sympile.compiler.graph.inline import rewritten
from sympile.compiler.graph.mapping import Mapping, each_formula
from sympile.compiler.graph.node import NAN, ONE, ZERO, Node, const, extent, index_name
from sympile.compiler.graph.rebuild import function, substitute
from sympile.compiler.graph.reduce import reduce
from sympile.compiler.graph.running import BEFORE, HERE, LEAVING, UP, running, runs
from sympile.compiler.passes.fusing.kernels import Kernel, Known, before, kernel_of, steps_of
from sympile.compiler.passes.fusing.shares import linear
from sympile.compiler.passes.fusing.triangles import Triangle, straightened, triangle_of, without_ends
from sympile.compiler.records import dataclass

ORDERED = frozenset({"max", "min", "lse"})  # of more never less, or never more
SHORT = 8  # places of an axis of known length up to which each reduction is computed on its own
SHORTEST = 2  # the same where that takes exponentials


def carried(outputs: Sequence[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, reductions that go on along an axis carried along it."""
    if not any(tensor.reduced and "ge" in tensor.formula.ops for tensor in computed(outputs)):
        return Mapping()
    return each_formula(outputs, _Run().changed)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A reduction, taken apart: what is carried along k, and what is done with it for each i."""

    monoid: str
    triangle: Triangle
    terms: Node  # of the reduction, as far as they depend on k alone
    under: tuple[Node, ...]  # conditions on k
    within: tuple[Node, ...]  # indices of the terms alone: these are reduced before anything is carried
    kernel: Kernel | None  # which depends on both
    distance: Node  # a factor that depends on both, as i - k does; or ONE
    outside: Node  # a factor of the sum; a term of what is compared
    conditions: tuple[Node, ...]  # on i
    left: tuple[Node, ...]  # indices over which is summed afterwards

    @property
    def volume(self) -> int:
        """How many numbers are carried."""
        return prod(extent_value(extent(i)) for i in (self.free | {self.triangle.k}).difference(self.within))

    @property
    def ratio(self) -> Node:
        """What all that has been carried to a place is multiplied by there."""
        return ONE if self.kernel is None else self.kernel.ratio

    @property
    def free(self) -> frozenset[Node]:
        """The indices on which anything that is carried depends."""
        return self.terms.free.union(self.ratio.free, *[c.free for c in self.under])


@dataclass(slots=True)
class _Run:
    """One walk over all formulas."""

    opened: set[Definition] = field(default_factory=set)  # what only reads what has been carried: inlined
    known: dict[Definition, Known] = field(default_factory=dict)
    done: dict[Node, Node] = field(default_factory=dict)

    def changed(self, tensor: Definition, new: Mapping) -> Definition:
        body = rewritten(tensor.formula, new, lambda t: t not in self.opened, self.done)
        as_it_stands = define(tensor.axes, tensor.reduced, tensor.monoid, body)
        between = _between(as_it_stands)
        if between is not None:
            self.known[as_it_stands] = between
            return as_it_stands
        found = _ways(tensor, body, self.known)
        if not found:
            return as_it_stands
        parts = min(found, key=lambda p: p.volume)
        result, axes, shares = _carried(tensor, parts)
        made = elementwise(tensor.axes, _again(parts, result, axes))
        if parts.monoid in ORDERED:
            self._remember(tensor, made, parts, (read(result, *axes), *shares))
        elif made.kind == "formula" and not made.reduced and not runs(made):
            self.opened.add(tensor)
        return made

    def _remember(self, tensor: Definition, made: Definition, parts: _Parts, carried: Sequence[Node]) -> None:
        if parts.outside is ZERO and not parts.conditions and not parts.within:
            names = dict(zip(tensor.axes, made.axes, strict=True))
            old = parts.triangle
            triangle = Triangle(old.k, names[old.i], old.direction, substitute(old.last, names))
            nodes = [substitute(node, names) for node in (parts.terms, *carried)]
            self.known[made] = Known.of(triangle, nodes)


def _between(tensor: Definition) -> Known | None:
    """A product over all k between two places, which each depend on an index of their own."""
    if tensor.monoid != "prod" or len(tensor.reduced) != 1:
        return None
    value, conditions = counted(tensor.formula, NEUTRAL["prod"])
    ends = [end for c in conditions if (end := triangle_of(c, tensor.reduced[0])) is not None]
    if len(ends) != 2 or len(conditions) != 2:
        return None
    one, other = ends
    apart = one.direction != other.direction and value.free.isdisjoint((one.i, other.i)) and one.i is not other.i
    return Known(one, value, ONE, ONE, other=other) if apart else None


# ------------------------------------------------------------------------------------------------ taking apart


def _ways(tensor: Definition, body: Node, known: dict[Definition, Known]) -> list[_Parts]:
    """Every way in which a reduction can be carried along an axis."""
    if tensor.monoid is None:
        return []
    value, conditions = counted(body, NEUTRAL[tensor.monoid])
    if not any(condition.op == "ge" for condition in conditions):
        return []
    found = []
    for summed in tensor.reduced:
        own, under, k = straightened(value, conditions, summed)
        under = without_ends(under)
        reduced = tuple(r for r in tensor.reduced if r is not summed)
        for condition in under:
            triangle = triangle_of(condition, k)
            if triangle is not None:
                others = tuple(c for c in under if c is not condition)
                parts = _parts(tensor.monoid, own, triangle, others, reduced, known)
                found += [] if parts is None or _is_short(parts) else [parts]
    return found


def _is_short(parts: _Parts) -> bool:
    """Whether each reduction is better computed on its own; one with an exponential for each pair hardly ever is."""
    length = extent(parts.triangle.k)
    costly = parts.monoid == "lse" or parts.kernel is not None
    return length.op == "const" and extent_value(length) <= (SHORTEST if costly else SHORT)


def _parts(
    monoid: str,
    value: Node,
    triangle: Triangle,
    conditions: tuple[Node, ...],
    reduced: tuple[Node, ...],
    known: dict[Definition, Known],
) -> _Parts | None:
    k, i = triangle.k, triangle.i
    pieces = _PIECES[monoid](value)
    own = [piece for piece in pieces if k in piece.free and i not in piece.free]
    outer = [piece for piece in pieces if k not in piece.free]
    under = tuple(c for c in conditions if k in c.free and i not in c.free)
    above = tuple(c for c in conditions if k not in c.free)
    shared = [part for part in (*pieces, *conditions) if k in part.free and i in part.free]
    if monoid != "sum" and (shared or not own or (monoid == "prod" and outer)):
        return None
    mixed = _mixed(shared, triangle, known)
    if mixed is None:
        return None
    kernel, distance = mixed
    elsewhere = {i}.union(*[part.free for part in (*outer, *shared, *above)])
    within = tuple(r for r in reduced if r not in elsewhere)
    left = tuple(r for r in reduced if r in elsewhere)
    if left and monoid != "sum":
        return None
    join = mul if monoid == "sum" else add
    terms = join(*own) if kernel is None else mul(*own, kernel.own)
    return _Parts(monoid, triangle, terms, under, within, kernel, distance, join(*outer), above, left)


def _mixed(shared: list[Node], triangle: Triangle, known: dict[Definition, Known]) -> tuple[Kernel | None, Node] | None:
    """What depends on both indices: at most one kernel, and at most one distance that only grows on the way back."""
    kernel, distance = None, ONE
    for part in shared:
        found = kernel_of(part, triangle, known)
        if found is not None and kernel is None:
            kernel = found
        elif distance is ONE and _is_distance(part, triangle):
            distance = part
        else:
            return None
    return kernel, distance


def _is_distance(part: Node, triangle: Triangle) -> bool:
    step = steps_of(part, triangle)
    nearest = mul(const(step or 0), substitute(part, {triangle.k: triangle.last}))
    return bool(step) and at_least_zero(nearest) is ONE


def _factors(value: Node) -> list[Node]:
    coefficient, rest = split(value)
    return [const(coefficient), *factors_of(rest)]


def _terms(value: Node) -> list[Node]:
    return [mul(const(c), term) for term, c in linear(value).items()]


_PIECES: dict[str, Callable[[Node], list[Node]]] = {
    "sum": _factors,
    "prod": lambda value: [value],
    "max": _terms,
    "min": _terms,
    "lse": _terms,
}


# ------------------------------------------------------------------------------------------------ put together


def _again(parts: _Parts, result: Definition, axes: tuple[Node, ...]) -> Node:
    """The reduction by what is carried."""
    k, last, length = parts.triangle.k, parts.triangle.last, extent(parts.triangle.k)
    neutral = NEUTRAL[parts.monoid]
    far = None if parts.distance is ONE else _by_distance(parts, result, axes)

    def at(place: Node) -> Node:
        value = substitute(read(result, *axes), {k: place})
        if parts.monoid != "sum":
            return add(value, parts.outside)
        if far is not None:
            value = add(mul(substitute(parts.distance, {k: place}), value), substitute(far, {k: place}))
        return mul(value, parts.outside, ONE if parts.kernel is None else parts.kernel.at(k, place))

    begun, ends = at_least_zero(last), at_least_zero(sub(sub(length, ONE), last))
    first, beyond, end = (begun, ends, sub(length, ONE)) if parts.triangle.direction == UP else (ends, begun, ZERO)
    value = select(first, select(beyond, at(last), at(end)), neutral)
    if parts.monoid != "sum":
        return select(both(*parts.conditions), value, neutral)
    value = when(value, *parts.conditions)
    return reduce("sum", parts.left, value) if parts.left else value


def _carried(tensor: Definition, parts: _Parts) -> tuple[Definition, tuple[Node, ...], tuple[Node, ...]]:
    """What is carried, its axes in the reduction's own indices, and what a log-sum-exp is made of."""
    triangle, monoid = parts.triangle, parts.monoid
    terms = select(both(*parts.under), parts.terms, NEUTRAL[monoid])
    terms = reduce(monoid, parts.within, terms) if parts.within else terms
    axes = _order(tensor, parts.free.difference(parts.within), triangle)
    if monoid == "lse":
        result, *shares = _log_sum_exp(axes, terms, triangle)
        return result, axes, tuple(shares)
    here, earlier = (
        define(axes, (), None, running(monoid, triangle.direction, triangle.k, terms, parts.ratio, when))
        for when in (HERE | _when(parts), BEFORE | _when(parts))
    )
    return here, axes, (read(earlier, *axes),)


def _when(parts: _Parts) -> int:
    return LEAVING if parts.kernel is not None and parts.kernel.leaving else HERE


def _by_distance(parts: _Parts, result: Definition, axes: tuple[Node, ...]) -> Node:
    """What the distance adds on the way back: with each step everything that is there already counts once more."""
    triangle = parts.triangle
    place, is_there = before(triangle)
    earlier = substitute(read(result, *axes), {triangle.k: place})
    more = when(mul(parts.ratio, earlier), is_there)
    body = running("sum", triangle.direction, triangle.k, more, parts.ratio)
    step = steps_of(parts.distance, triangle)
    return mul(const(step or 0), read(define(axes, (), None, body), *axes))


def _order(tensor: Definition, free: frozenset[Node], triangle: Triangle) -> tuple[Node, ...]:
    """As the reduction has its axes, k in the place of i; k last where i is none of them."""
    k, i = triangle.k, triangle.i
    kept = [k if axis is i else axis for axis in tensor.axes if axis is i or axis in free]
    others = sorted(free.difference(kept, (k,)), key=lambda index: (index.key, index_name(index)))
    axes = [*others, *kept, *([] if k in kept else [k])]
    return tuple(sorted(axes, key=lambda axis: extent(axis) is not EXAMPLES))


def _log_sum_exp(axes: Sequence[Node], u: Node, triangle: Triangle) -> tuple[Definition, Node, Node, Node]:
    """m + log(s), m being the largest u so far, s carried in units of exp(m); and what `Known` has of it.

    Of both that meet at a place, u there and all that comes before, the larger one counts 1, since it is exp(m), and
    the other one the exponential of their distance. So s is at least 1, whatever m is.
    """
    k, direction = triangle.k, triangle.direction

    def made(body: Node) -> Node:
        return read(define(axes, (), None, body), *axes)

    def carried(monoid: str, x: Node, ratio: Node = ONE) -> list[Node]:
        return [made(running(monoid, direction, k, x, ratio, when)) for when in (HERE, BEFORE)]

    largest, before_it = carried("max", u)
    apart = select(function("equals", u, before_it), ZERO, function("abs", sub(u, before_it)))  # also of infinities
    smaller, above = made(function("exp", neg(apart))), function("less", before_it, u)
    own, ratio = select(above, ONE, smaller), select(above, smaller, ONE)
    total, total_before = carried("sum", own, ratio)
    inverse = made(power(total, -1))
    known = function("less_equal", sub(u, largest), ZERO)  # infinity less infinity is not
    share, decline = made(select(known, mul(own, inverse), NAN)), made(mul(total_before, ratio, inverse))
    return define(axes, (), None, add(largest, function("log", total))), before_it, share, decline
