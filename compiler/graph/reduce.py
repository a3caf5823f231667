"""Reductions in normal form: deltas eliminated, free factors outside, contractions in the cheapest order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, factors_of, mul, split, sub
from sympile.compiler.graph.brackets import divides, equal, inside, reads_data
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import (
    EXAMPLES,
    define,
    define_free,
    extent_value,
    instance,
    key_without_names,
    read,
)
from sympile.compiler.graph.node import ONE, ZERO, Node, const, extent, index_name, postorder, target
from sympile.compiler.graph.ranges import stays_inside
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.records import dataclass


def reduce(monoid: str, reduced: Iterable[Node], body: Node) -> Node:
    """The reduction of a body over indices, as a scalar formula over the remaining ones."""
    if monoid == "sum":
        return total(list(reduced), body)
    indices = list(reduced)
    if monoid == "lse":
        return _log_sum_exp(indices, body)
    return _defined(monoid, indices, body)


def _defined(monoid: str, reduced: Sequence[Node], body: Node) -> Node:
    tensor, axes = define_free(body.free - set(reduced), reduced, monoid, body)
    coefficient, rest = split(unguarded(tensor.formula))
    if monoid != "sum" or coefficient == 1:
        return read(tensor, *axes)
    # The names of indices decide which term stands first, and so the sign of a difference: now they are canonical.
    positive = define(tensor.axes, tensor.reduced, monoid, when(rest, *conditions_of(tensor.formula)))
    return mul(const(coefficient), read(positive, *axes))


def _log_sum_exp(reduced: list[Node], body: Node) -> Node:
    """lse_k(c + u_k) = c + lse_k(u_k)."""
    terms = body.args if body.op == "add" else (body,)
    outside = [t for t in terms if t.free.isdisjoint(reduced)]
    if not outside or len(outside) == len(terms):
        return _defined("lse", reduced, body)
    within = add(*[t for t in terms if t not in outside])
    return add(*outside, _defined("lse", reduced, within))


# ------------------------------------------------------------------------------------------------ sums


def total(reduced: Sequence[Node], body: Node) -> Node:
    """sum over the reduced indices of body."""
    indices = [r for r in reduced if extent(r) is not ONE]
    body = substitute(body, {r: ZERO for r in reduced if extent(r) is ONE})
    body = _eliminate_deltas(indices, body)
    if body is ZERO:
        return ZERO
    for r in [r for r in indices if r not in body.free]:
        indices.remove(r)
        body = mul(extent(r), body)
    if not indices:
        return body
    distributed = _distribute(indices, body)
    return distributed if distributed is not None else _factored(indices, body)


def _eliminate_deltas(indices: list[Node], body: Node) -> Node:
    """sum_k [k == e] f(k) is f(e) [0 <= e < n]; the eliminated indices leave the list."""
    again = True
    while again and body is not ZERO:
        again = False
        for condition in conditions_of(body):
            found = _solvable(condition, indices)
            if found is not None:
                r, value, guard = found
                rest = when(unguarded(body), *[c for c in conditions_of(body) if c is not condition])
                body = when(substitute(rest, {r: value}), guard, inside(value, extent(r)))
                indices.remove(r)
                again = True
                break
    return body


def _solvable(condition: Node, indices: list[Node]) -> tuple[Node, Node, Node] | None:
    if condition.op != "eq":
        return None
    difference = sub(condition.args[0], condition.args[1])
    data = reads_data(difference)
    for r in indices:
        if data and r not in condition.args:
            continue  # [i == c + k] says that i stays inside, as the entry check sees to it, not that k = i - c does
        solution = solve_for(difference, r)
        if solution is not None:
            return r, *solution
    return None


def solve_for(difference: Node, unknown: Node) -> tuple[Node, Node] | None:
    """difference == 0 solved for an index: (its value, the condition under which that is an integer), or None."""
    form = affine(difference)
    numbers = [] if form is None else [form.constant, *[coefficient for _, coefficient in form.terms]]
    if form is None or any(isinstance(number, float) for number in numbers):
        return None
    whole = math.lcm(*[Fraction(number).denominator for number in numbers])  # what makes all of them integers
    own = 0
    rest: list[Node] = [const(form.constant * whole)]
    for leaf, coefficient in form.terms:
        if leaf is unknown:
            own = int(coefficient * whole)
        elif unknown in leaf.free:
            return None
        else:
            rest.append(mul(const(coefficient * whole), leaf))
    if own == 0:
        return None
    remainder = add(*rest)
    return _exact_division(mul(const(-1 if own > 0 else 1), remainder), abs(own)), divides(abs(own), remainder)


def _exact_division(a: Node, divisor: int) -> Node:
    return a if divisor == 1 else mul(const(Fraction(1, divisor)), a)


def _distribute(indices: list[Node], body: Node) -> Node | None:
    """A sum inside is split where a term carries a delta, or lacks a summed index and no factor spans everything."""
    factors = factors_of(unguarded(body))
    for factor in factors:
        if factor.op == "add" and _worth_splitting(factor, factors, body, indices):
            rest = [f for f in factors if f is not factor]
            conditions = conditions_of(body)
            return add(*[total(indices, when(mul(term, *rest), *conditions)) for term in factor.args])
    return None


def _worth_splitting(factor: Node, factors: tuple[Node, ...], body: Node, indices: list[Node]) -> bool:
    if any(
        condition.op == "eq" and not condition.free.isdisjoint(indices)
        for t in factor.args
        for condition in conditions_of(t)
    ):
        return True
    others = frozenset().union(*[f.free for f in (*factors, *conditions_of(body)) if f is not factor])
    wanted = set(indices)
    if all(wanted <= (term.free | others) for term in factor.args):
        return False
    leaves = [f for term in factor.args for f in factors_of(split(term)[1])]
    return not any(body.free <= leaf.free for leaf in [*leaves, *[f for f in factors if f is not factor]])


def _factored(indices: list[Node], body: Node) -> Node:
    """Factors and guards without a summed index move outside; then the cheapest contraction first."""
    wanted = set(indices)
    outer_conditions = [c for c in conditions_of(body) if c.free.isdisjoint(wanted)]
    inner_conditions = [c for c in conditions_of(body) if not c.free.isdisjoint(wanted)]
    coefficient, rest = split(unguarded(body))
    factors = list(factors_of(rest))
    outside = [f for f in factors if f.free.isdisjoint(wanted) and (not inner_conditions or always_in_range(f))]
    inner = [f for f in factors if f not in outside]
    if not inner and not inner_conditions:  # only the constant 1 is left, all indices were free
        inner = [ONE]
    inside_sum = _contracted(indices, inner, inner_conditions)
    return when(mul(const(coefficient), *outside, inside_sum), *outer_conditions)


def always_in_range(node: Node) -> bool:
    """True only if every read below is known to stay inside its tensor, so that no guard is needed."""
    for item in postorder([node]):
        if item.op == "read":
            for at, length in zip(item.args, target(item).shape, strict=True):
                if not stays_inside(at, length):
                    return False
    return True


def _contracted(indices: list[Node], factors: list[Node], conditions: list[Node]) -> Node:
    group = None if conditions or len(factors) < 2 else _cheapest_group(indices, factors)
    if group is None:
        return _flattened(indices, when(mul(*factors), *conditions))
    inner_indices, inner_factors = group
    inner = total(inner_indices, mul(*inner_factors))
    remaining = [f for f in factors if f not in inner_factors]
    return total([i for i in indices if i not in inner_indices], mul(inner, *remaining))


def _cheapest_group(indices: list[Node], factors: list[Node]) -> tuple[list[Node], list[Node]] | None:
    """The factors that share one summed index, where doing their sum first is cheapest in all and raises no rank."""
    spans = [f.free for f in factors]
    scores = {step: _score(frozenset(indices), spans, step) for step in _steps(frozenset(indices), spans)}
    if not scores:
        return None
    best = [step for step, score in scores.items() if score == min(scores.values())]
    step = best[0] if len(best) == 1 else min(best, key=lambda step: _tie(step, factors))
    return [i for i in indices if i in step.summed], [factors[k] for k in step.taken]


def _score(indices: frozenset[Node], spans: Spans, step: _Step) -> tuple[float, float, int]:
    return step.volume + _cost(*_rest(indices, spans, step)), step.volume, len(step.left)


def _tie(step: _Step, factors: list[Node]) -> tuple[int, int]:
    """What tells equally good steps apart: never a name, as that of a new index depends on what was compiled before."""
    body = mul(*factors)
    return sum(key_without_names(factors[k]) for k in step.taken), min(key_without_names(body, i) for i in step.summed)


Spans = Sequence[frozenset[Node]]  # the indices of each factor
_SEARCHED = 5  # summed indices up to which every order is tried


@dataclass(frozen=True, slots=True)
class _Step:
    """Some factors are multiplied and summed over the indices that no other has."""

    taken: tuple[int, ...]
    summed: frozenset[Node]
    left: frozenset[Node]  # the indices of the result
    volume: float


def _steps(indices: frozenset[Node], spans: Spans) -> list[_Step]:
    """The first contractions that are possible, one for each summed index that not all factors have."""
    found = {}
    widest = max(max(len(s) for s in spans), len(frozenset().union(*spans) - indices))
    for r in sorted(indices, key=index_name):
        taken = tuple(k for k, span in enumerate(spans) if r in span)
        if not taken or len(taken) == len(spans) or taken in found:
            continue
        spanned = frozenset().union(*[spans[k] for k in taken])
        others = frozenset().union(*[span for k, span in enumerate(spans) if k not in taken])
        summed = (indices & spanned) - others
        if len(spanned - summed) <= widest:
            found[taken] = _Step(taken, summed, spanned - summed, _volume(spanned))
    return list(found.values())


def _rest(indices: frozenset[Node], spans: Spans, step: _Step) -> tuple[frozenset[Node], list[frozenset[Node]]]:
    return indices - step.summed, [step.left, *[span for k, span in enumerate(spans) if k not in step.taken]]


def _cost(indices: frozenset[Node], spans: Spans) -> float:
    """The multiplications that are left, by the cheapest order; of many indices by the step that is cheapest now."""
    steps = _steps(indices, spans)
    if not steps:
        return _volume(frozenset().union(*spans))
    if len(indices) > _SEARCHED:
        steps = [min(steps, key=lambda step: step.volume)]
    return min(step.volume + _cost(*_rest(indices, spans, step)) for step in steps)


def _volume(indices: Iterable[Node]) -> float:
    return math.prod(float(extent_value(extent(i), 1000 if extent(i) is EXAMPLES else 64)) for i in indices)


def _flattened(indices: list[Node], body: Node) -> Node:
    """sum_i T[i] with T itself a plain sum is one sum."""
    if body.op == "read" and len(set(body.args)) == len(body.args) and all(a.op == "index" for a in body.args):
        tensor = target(body)
        if tensor.monoid == "sum":
            _, inner, formula = instance(tensor, body.args)
            return total([*indices, *inner], formula)
    return _defined("sum", indices, body)


def contribution(indices: Sequence[Node], body: Node, at: Sequence[Node], wanted: Sequence[Node]) -> Node:
    """sum over indices of body * product of [at_j == wanted_j]: what a read passes back to the tensor read."""
    deltas = [equal(a, w) for a, w in zip(at, wanted, strict=True)]
    return total(list(indices), when(body, *deltas))
