"""Sums that data scatter are written as their only reader wants them: in its order of axes, and scaled beforehand.

Reading the whole of such a tensor once more may cost as much as all additions to it, where few rows are met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympile.compiler.graph.arithmetic import add, factors_of, mul, terms_of
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, define, instance, read
from sympile.compiler.graph.mapping import each_formula, redirected
from sympile.compiler.graph.node import Node, target
from sympile.compiler.graph.reduce import always_in_range, total
from sympile.compiler.passes.fusing.group import scatter_axis, users_of

DELTAS = frozenset({"eq"})


def scattered(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, where c S[i, j] with S a scatter that nobody else reads scatters c times the terms of S.

    Alone it becomes the definition; as a term of a sum it is read in place, for `group` to add it there.
    """
    users = users_of(outputs)
    if not any(tensor.formula.ops >= DELTAS for tensor in users if tensor.kind == "formula"):
        return {output: output for output in outputs}
    done: dict[Node, Node] = {}

    def written(tensor: Definition, new: Mapping[Definition, Definition]) -> Definition:
        terms = () if tensor.monoid is not None else _terms(tensor.formula)
        found = {term: node for term in terms if (node := _scatter_in(term, tensor, users)) is not None}
        joined = {term: _scaled(term, node, tensor, new[target(node)]) for term, node in found.items()}
        if len(terms) == 1 and joined:
            return joined[terms[0]]
        own = [read(joined[t], *tensor.axes) if t in joined else redirected(t, dict(new), done) for t in terms]
        body = add(*own) if joined else redirected(tensor.formula, dict(new), done)
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, written)


def summed_first(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, where what no place depends on is summed before it is scattered.

    The slope of the rows E[a] in W E[a] is a product of matrices, whose rows are scattered, instead of each term.
    """
    done: dict[Node, Node] = {}

    def split_up(tensor: Definition, new: Mapping[Definition, Definition]) -> Definition:
        body = redirected(tensor.formula, dict(new), done)
        if scatter_axis(tensor) is not None:
            body, reduced = _summed_inside(body, tensor.reduced)
            return define(tensor.axes, reduced, "sum", body)
        return tensor if body is tensor.formula else define(tensor.axes, tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, split_up)


def _summed_inside(body: Node, reduced: Sequence[Node]) -> tuple[Node, tuple[Node, ...]]:
    """The body with sums over the indices in no condition taken of the factors that have them; the other indices."""
    conditions = conditions_of(body)
    inner = [r for r in reduced if all(r not in condition.free for condition in conditions)]
    factors = factors_of(unguarded(body))
    within = [factor for factor in factors if not factor.free.isdisjoint(inner)]
    outside = [factor for factor in factors if factor.free.isdisjoint(inner)]
    if not inner or not any(always_in_range(factor) for factor in within):
        return body, tuple(reduced)
    summed = total(inner, mul(*within))
    return when(mul(*outside, summed), *conditions), tuple([r for r in reduced if r not in inner])


def _terms(formula: Node) -> tuple[Node, ...]:
    """The terms of a sum; those of c (a + b) are c a and c b."""
    fixed = [factor for factor in factors_of(formula) if not factor.free]
    varying = [factor for factor in factors_of(formula) if factor.free]
    if len(varying) == 1 and varying[0].op == "add":
        return tuple(mul(*fixed, term) for term in varying[0].args)
    return terms_of(formula)


def _scatter_in(term: Node, tensor: Definition, users: Mapping[Definition, int]) -> Node | None:
    """The read of a scatter, if the term is that and factors without indices, and nobody else reads it."""
    varying = [factor for factor in factors_of(term) if factor.free]
    fixed = [factor for factor in factors_of(term) if not factor.free]
    if len(varying) != 1 or varying[0].op != "read" or any(factor.below for factor in fixed):
        return None
    node = varying[0]
    elsewhere = sum(target(node) in other.below for other in _terms(tensor.formula)) > 1
    if elsewhere or users[target(node)] != 1 or scatter_axis(target(node)) is None:
        return None
    return node if len(node.args) == len(tensor.axes) and set(node.args) == set(tensor.axes) else None


def _scaled(term: Node, node: Node, tensor: Definition, scatter: Definition) -> Definition:
    scale = [factor for factor in factors_of(term) if factor is not node]
    _, reduced, body = instance(scatter, node.args)
    return define(tensor.axes, reduced, "sum", when(mul(*scale, unguarded(body)), *conditions_of(body)))
