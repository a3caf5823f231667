"""Factors that depend on both indices of a triangle, where what has been carried can be carried on with a ratio.

    sum over k <= i of a(k) r**(i - k)              R[k] = R[k - 1]*r + a(k)
    sum over k <= i of a(k) exp(u(i) - L(k))        R[k] = R[k - 1]*exp(L(k) - L(k - 1)) + a(k), times exp(u(i) - L(i))
    sum over k <= i of a(k) [u(i) == M(k)]          R[k] = R[k - 1]*[M(k) == M(k - 1)] + a(k), where u(i) == M(i)
    sum over k <= i of [u(k) == M(i)]               R[k] = R[k - 1]*[M(k) == M(k - 1)] + [u(k) == M(k)]
    sum over k >= i of a(k) v(i + 1) ... v(k)       R[k] = R[k + 1]*v(k + 1) + a(k)

The second is what log-sum-exps L over all places from k on pass back. No number in it is larger than in the sum as it
stands, since L, over fewer and fewer places, never grows, and since u(i) is one of those of which L is made. The others
are what maxima M pass back, over all places from k on, how many places share one, over all up to i, and what products
pass back.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, factors_of, mul, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ONE, ZERO, Node, const, extent, target
from sympile.compiler.graph.rebuild import function, substitute
from sympile.compiler.graph.running import UP
from sympile.compiler.passes.fusing.shares import linear
from sympile.compiler.passes.fusing.triangles import Triangle
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A definition that is the log-sum-exp, the largest or the smallest of u over the k of a triangle, at its axes."""

    triangle: Triangle
    u: Node
    carried: Node  # the result up to k
    before: Node  # the same without k
    share: Node = ONE  # of a log-sum-exp: exp(u) as a part of the sum,
    decline: Node = ONE  # and the sum without it
    other: Triangle | None = None  # of a product between two places, which is not carried

    @classmethod
    def of(cls, triangle: Triangle, nodes: Sequence[Node]) -> Known:
        """With u, the result up to k, the same without k, and what more there is."""
        return cls(triangle, *nodes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A factor that depends on both indices of a triangle, as one at the last place, and what it changes by before."""

    ratio: Node  # at k, for what is carried before it
    last: Node  # where k is the last place
    own: Node = ONE  # a factor at k that stays
    leaving: bool = False  # the ratio is for what leaves k

    def at(self, k: Node, place: Node) -> Node:
        """The factor of what has been carried to a place."""
        factor = substitute(self.last, {k: place})
        return ONE if factor.op == "power" and factor.args[1] is ZERO else factor


def before(triangle: Triangle) -> tuple[Node, Node]:
    """The place that is carried before k, and whether there is one."""
    k = triangle.k
    if triangle.direction == UP:
        return sub(k, ONE), at_least_zero(sub(k, ONE))
    return add(k, ONE), at_least_zero(sub(sub(extent(k), const(2)), k))


def kernel_of(factor: Node, triangle: Triangle, known: dict[Definition, Known]) -> Kernel | None:
    """The kernel that a factor (or the condition `equals`) is, if it is one."""
    if factor.op == "power":
        return _power(factor, triangle)
    if factor.op == "read":
        return _between(factor, triangle, known)
    if factor.op == "exp":
        return _decay(factor, triangle) or _back_from_log_sum(factor, triangle, known)
    return _ties(factor, triangle, known) if factor.op == "equals" else None


def _between(factor: Node, triangle: Triangle, known: dict[Definition, Known]) -> Kernel | None:
    """The product of what lies between k and i: nothing where k is the last place, and one more with each step back."""
    between = known.get(target(factor))
    if between is None or between.other is None or not _is_inside(triangle):
        return None
    at = dict(zip(target(factor).axes, factor.args, strict=True))
    for far, near in ((between.triangle, between.other), (between.other, between.triangle)):
        ends = substitute(far.last, at)
        beyond = const(far.direction)
        towards = far.direction == -triangle.direction and far.grows == far.direction
        meet = add(_at_last(ends, triangle), beyond) is substitute(near.last, at)
        if towards and meet and at[far.i] is triangle.k and at[near.i] is triangle.i:
            return Kernel(substitute(between.u, {**at, far.k: ends}), ONE, leaving=True)
    return None


# ------------------------------------------------------------------------------------------------ powers of distances


def steps_of(expression: Node, triangle: Triangle) -> int | None:
    """By how much an index expression grows from each place to the one that is carried before it."""
    form = affine(expression)
    step = None if form is None else -triangle.direction * dict(form.terms).get(triangle.k, 0)
    return step if isinstance(step, int) else None


def _power(factor: Node, triangle: Triangle) -> Kernel | None:
    """r to a power that grows by a whole number from each place to the one before."""
    base, exponent = factor.args
    step = steps_of(exponent, triangle)
    if not step or step < 0 or not _is_fixed(base, triangle) or not _is_fixed(_at_last(exponent, triangle), triangle):
        return None
    ratio = base if step == 1 else function("power", base, const(step))
    return Kernel(when(ratio, before(triangle)[1]), factor)


def _decay(factor: Node, triangle: Triangle) -> Kernel | None:
    """exp of what changes by the same from each place to the one before."""
    exponent = factor.args[0]
    changes = []
    for term, coefficient in linear(exponent).items():
        if triangle.k in term.free:
            moving = [f for f in factors_of(term) if triangle.k in f.free]
            step = steps_of(moving[0], triangle) if len(moving) == 1 else None
            others = [f for f in factors_of(term) if f not in moving]
            if step is None or not all(_is_fixed(other, triangle) for other in others):
                return None
            changes.append(mul(const(coefficient), const(step), *others))
    if not _is_fixed(_at_last(exponent, triangle), triangle):
        return None
    return Kernel(when(function("exp", add(*changes)), before(triangle)[1]), factor)


def _is_fixed(node: Node, triangle: Triangle) -> bool:
    return node.free.isdisjoint((triangle.k, triangle.i))


def _is_inside(triangle: Triangle) -> bool:
    """Whether the last place is never one beyond the end, where all there is has been carried before."""
    last, length = triangle.last, extent(triangle.k)
    return at_least_zero(sub(sub(length, ONE), last) if triangle.direction == UP else last) is ONE


def _at_last(node: Node, triangle: Triangle) -> Node:
    return substitute(node, {triangle.k: triangle.last})


# ------------------------------------------------------------------------------------------------ log-sum-exps, maxima


def _back_from_log_sum(factor: Node, triangle: Triangle, known: dict[Definition, Known]) -> Kernel | None:
    """exp(u(i) - L(k))"""
    terms = linear(factor.args[0])
    inner = {term: c for term, c in terms.items() if triangle.k in term.free}
    outer = {term: c for term, c in terms.items() if term not in inner}
    if len(inner) != 1:
        return None
    ((term, coefficient),) = inner.items()
    if coefficient != -1 or not _is_back_from(term, outer, triangle, known):
        return None
    return _by_shares(term, triangle, known[target(term)])


def _by_shares(term: Node, triangle: Triangle, known: Known) -> Kernel | None:
    """exp(u(i) - L(i)) is the share of u(i) in its sum, and exp(L(k) - L(k before)) what is left of one without one."""
    if not _is_inside(triangle):
        return None
    own = known.triangle
    names = dict(zip(target(term).axes, term.args, strict=True))
    there = substitute(own.last, names)  # up to where the sum goes at k
    if substitute(there, {triangle.k: triangle.last}) is not triangle.i:
        return None
    decline, share = (substitute(node, {**names, own.k: there}) for node in (known.decline, known.share))
    return Kernel(decline, share, leaving=True)


def _ties(condition: Node, triangle: Triangle, known: dict[Definition, Known]) -> Kernel | None:
    """[u(i) == M(k)], or [u(k) == M(i)]"""
    for extreme, value in (condition.args, condition.args[::-1]):
        if triangle.k not in value.free and _is_back_from(extreme, linear(value), triangle, known):
            place, is_there = before(triangle)
            same = function("equals", extreme, substitute(extreme, {triangle.k: place}))
            return Kernel(when(ONE, same, is_there), when(ONE, function("equals", value, extreme)))
        if triangle.k not in extreme.free and _is_along(extreme, value, triangle, known):
            at = dict(zip(target(extreme).axes, extreme.args, strict=True))
            own = known[target(extreme)]
            so_far, earlier = (substitute(n, {**at, own.triangle.k: triangle.k}) for n in (own.carried, own.before))
            hit = when(ONE, function("equals", value, so_far))
            return Kernel(when(ONE, function("equals", so_far, earlier)), ONE, hit)
    return None


def _is_back_from(
    result: Node, value: dict[Node, Fraction], triangle: Triangle, known: dict[Definition, Known]
) -> bool:
    """Whether a result at k is over fewer and fewer places, the value at i being one of them to the last."""
    if result.op != "read" or target(result) not in known:
        return False
    own = known[target(result)]
    at = dict(zip(target(result).axes, result.args, strict=True))
    others = [arg for axis, arg in at.items() if axis is not own.triangle.i]
    if at[own.triangle.i] is not triangle.k or not all(_is_fixed(arg, triangle) for arg in others):
        return False
    if own.triangle.grows != -triangle.direction or own.triangle.holds(triangle.i, triangle.last) is not ONE:
        return False
    return linear(substitute(own.u, {**at, own.triangle.k: triangle.i})) == value


def _is_along(result: Node, value: Node, triangle: Triangle, known: dict[Definition, Known]) -> bool:
    """Whether a result at i is over the same places as the sum, the value at k being one of them."""
    if result.op != "read" or target(result) not in known:
        return False
    own = known[target(result)]
    at = dict(zip(target(result).axes, result.args, strict=True))
    there = substitute(own.triangle.last, {own.triangle.i: at[own.triangle.i]})
    if own.triangle.direction != triangle.direction or there is not triangle.last:
        return False
    return linear(substitute(own.u, {**at, own.triangle.k: triangle.k})) == linear(value)
