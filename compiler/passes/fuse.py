"""Decides what is stored and what is computed where it is used; then groups definitions that share their loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod

from sympile.compiler.graph.arithmetic import add, factors_of, split, sub
from sympile.compiler.graph.conditions import unguarded, when
from sympile.compiler.graph.definition import (
    Definition,
    define,
    extent_value,
    instance,
    read,
)
from sympile.compiler.graph.inline import inlined
from sympile.compiler.graph.mapping import each_formula, redirected
from sympile.compiler.graph.node import INFINITY, Node, extent, target
from sympile.compiler.graph.rebuild import function, substitute, transform
from sympile.compiler.graph.running import RUNNING
from sympile.compiler.passes.fusing import factor as factoring
from sympile.compiler.passes.fusing.arrange import arrange
from sympile.compiler.passes.fusing.at_last import computed_again, written_at_last
from sympile.compiler.passes.fusing.cells import CELLS
from sympile.compiler.passes.fusing.collect import collected, symmetric_to_the_bit, tables_multiplied
from sympile.compiler.passes.fusing.compared import with_opened_extremes
from sympile.compiler.passes.fusing.group import (
    Fused,
    Group,
    finished_reduction,
    grouped,
    users_of,
)
from sympile.compiler.passes.fusing.keep import kept
from sympile.compiler.passes.fusing.lift import lift
from sympile.compiler.passes.fusing.outside import with_factors_outside
from sympile.compiler.passes.fusing.powers import quotients_shared
from sympile.compiler.passes.fusing.ranges import joined_ranges
from sympile.compiler.passes.fusing.remainders import solve_strides
from sympile.compiler.passes.fusing.rowwise import with_row_groups
from sympile.compiler.passes.fusing.running import carried
from sympile.compiler.passes.fusing.scatters import scattered, summed_first
from sympile.compiler.passes.fusing.shares import LogSum, as_share
from sympile.compiler.passes.fusing.sharing import shared_products
from sympile.compiler.passes.fusing.symmetric import read_in_one_order
from sympile.compiler.passes.fusing.tabulate import tabulate
from sympile.compiler.passes.fusing.thinned import thinned
from sympile.compiler.passes.fusing.together import computed_together
from sympile.compiler.passes.fusing.windows import windows_held
from sympile.compiler.passes.simplifying.folding import folded
from sympile.compiler.rules.lowering import TIERS, a, b


def fuse(
    outputs: Sequence[Definition], math: str = "accurate", exact: bool = False, in_place: bool = False
) -> Fused:
    """The groups that compute the outputs: everything elementwise inlined, then stored again where that is cheaper.

    `in_place` says that outputs lie where operands do.
    """
    mapping = {o: o for o in outputs}
    lower = partial(lowered_operations, math, exact)
    carry = _unchanged if exact else carried
    for step in (
        factoring.factor, with_opened_extremes, read_in_one_order, _inline, carry, lower, joined_ranges, thinned,
        tabulate, summed_first, windows_held, partial(lift, exact=exact), solve_strides, arrange, _order_axes,
        scattered, _pack,
    ):  # fmt: skip
        mapping = _chained(mapping, step)
    mapping = computed_again(mapping) if in_place else mapping
    wanted = list(mapping.values())
    groups = with_row_groups(grouped(wanted), wanted)
    groups = written_at_last(groups, wanted) if in_place else groups
    return Fused(tuple(_with_shared_products(exact, group) for group in groups), mapping)


def _with_shared_products(exact: bool, group: Group) -> Group:
    formulas = [tensor for tensor in group.results if tensor.kind == "formula"]
    bodies = [_arranged(group, tensor, exact) for tensor in formulas]
    if not exact and not group.domain:
        bodies = with_factors_outside(bodies)
    bodies = shared_products(computed_together(bodies if exact else quotients_shared(bodies)), exact)
    return replace(group, bodies=dict(zip(formulas, bodies, strict=True)))


def _arranged(group: Group, tensor: Definition, exact: bool) -> Node:
    """Elementwise work over several axes, its sums as code wants them."""
    body = group.body(tensor)
    if tensor.reduced or len(tensor.axes) < 2 or group.rows is not None or body.op in (CELLS, RUNNING):
        return body
    if exact:
        return symmetric_to_the_bit(body, tensor.axes)
    return tables_multiplied(symmetric_to_the_bit(collected(body, tensor.axes), tensor.axes), tensor.axes)


def _chained(
    mapping: dict[Definition, Definition], step: Callable[[list[Definition]], dict[Definition, Definition]]
) -> dict[Definition, Definition]:
    new = step(list(mapping.values()))
    return {old: new[now] for old, now in mapping.items()}


def _unchanged(outputs: list[Definition]) -> dict[Definition, Definition]:
    return {output: output for output in outputs}


def _inline(outputs: list[Definition]) -> dict[Definition, Definition]:
    return inlined(outputs, kept(outputs).__contains__)


# ------------------------------------------------------------------------------------------------ lowering


def lowered_operations(math: str, exact: bool, outputs: Iterable[Definition]) -> dict[Definition, Definition]:
    """Log-sum-exp becomes max, sum and log; operations without machine code of their own become others."""
    table = TIERS[math]
    done: dict[Node, Node] = {}
    sums: dict[Definition, LogSum] = {}

    def lowered(tensor: Definition, new: dict[Definition, Definition]) -> Definition:
        (body,) = transform([tensor.formula], lambda node: _lowered(node, new, sums, table), done)
        if tensor.monoid == "lse":
            logarithm, total = _log_sum_exp(tensor, body)
            if not exact:  # else exp(u - logsumexp(u)) is computed as it stands
                sums[logarithm] = LogSum(body, total)
            return logarithm
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, lowered)


def _lowered(
    node: Node, new: dict[Definition, Definition], sums: dict[Definition, LogSum], table: Mapping[str, Node]
) -> Node:
    if node.op == "read":
        return read(new[target(node)], *node.args)
    known = folded(node)
    if known.op == "exp":
        known = as_share(known, sums)
    template = table.get(known.op)
    return known if template is None else substitute(template, dict(zip((a, b), known.args, strict=False)))


def _log_sum_exp(tensor: Definition, body: Node) -> tuple[Definition, Definition]:
    """m + log(sum exp(u - m)) with m the largest u, where that is finite; and the sum."""
    largest = read(define(tensor.axes, tensor.reduced, "max", body), *tensor.axes)
    shift = when(largest, function("less", function("abs", largest), INFINITY))
    total = define(tensor.axes, tensor.reduced, "sum", function("exp", sub(body, shift)))
    return define(tensor.axes, (), None, add(shift, function("log", read(total, *tensor.axes)))), total


# ------------------------------------------------------------------------------------------------ packing

WORTH_PACKING = 8  # how often each element must be read again
MANY = 2  # axes that repeat an operand, at least: what repeats along one, the nest packs in registers


def _pack(outputs: list[Definition]) -> dict[Definition, Definition]:
    """An operand of a contraction that lies across the vector axis is copied so that it lies along it."""
    done: dict[Node, Node] = {}

    def packed(tensor: Definition, new: dict[Definition, Definition]) -> Definition:
        copies = {node: _packed(node, tensor.axes[-1]) for node in _across(tensor)}
        body = redirected(substitute(tensor.formula, copies), new, done)
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, packed)


def _across(tensor: Definition) -> list[Node]:
    """The reads of a product that have the last axis of the result, but not as their last, and are read often."""
    if tensor.monoid != "sum" or not tensor.axes:
        return []
    every = factors_of(split(unguarded(tensor.formula))[1])
    factors = [f for f in every if f.op == "read" and _is_plain(f)]
    if len(every) < 2:
        return []
    last = tensor.axes[-1]
    found = []
    for factor in factors:
        repeating = [extent_value(extent(axis), 64) for axis in tensor.axes if axis not in factor.free]
        again = prod(repeating) if len(repeating) >= MANY else 0
        if last in factor.args[:-1] and factor.args[-1] in tensor.reduced and again >= WORTH_PACKING:
            found.append(factor)
    return found


def _is_plain(node: Node) -> bool:
    return all(arg.op == "index" for arg in node.args) and len(set(node.args)) == len(node.args)


def _packed(node: Node, last: Node) -> Node:
    order = (*[arg for arg in node.args if arg is not last], last)
    return read(define(order, (), None, node), *order)


# ------------------------------------------------------------------------------------------------ finishes


def _order_axes(outputs: list[Definition]) -> dict[Definition, Definition]:
    """A reduction that only one elementwise definition reads gets that definition's order of axes."""
    users = users_of(outputs)
    done: dict[Node, Node] = {}

    def ordered(tensor: Definition, new: dict[Definition, Definition]) -> Definition:
        body = redirected(tensor.formula, new, done)
        node = finished_reduction(tensor, users)
        if node is not None and node.args != target(node).axes:
            source = new[target(node)]
            again = read(_permuted(source, node.args, tensor.axes), *tensor.axes)
            body = substitute(body, {read(source, *node.args): again})
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, ordered)


def _permuted(tensor: Definition, at: tuple[Node, ...], axes: tuple[Node, ...]) -> Definition:
    _, reduced, body = instance(tensor, at)
    return define(axes, reduced, tensor.monoid, body)
