"""Sums of elementwise work over several axes, as code wants them: what is the same along the innermost one is added up
before its loop, and what is symmetric in exact arithmetic is symmetric to the last bit.

v a + v b is v (a + b) where a and b do not vary along the innermost axis, so that second derivatives are a diagonal and
few products u_i v_j, however they were derived. The results are no normal form: they are for the code generator only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product
from math import prod

from sympile.compiler.graph.arithmetic import add, factors_of, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.node import Node, Number, const, extent, make, postorder
from sympile.compiler.graph.rebuild import rebuild, substitute, transform, transform_sums
from sympile.compiler.graph.table import TABLE, entry, entry_of, table_of

MOST_TERMS = 32  # of a matrix that is multiplied out
MOST_NUMBERS = 1024  # in a product of tables
PAIR = "pair_sum"  # args[0] + args[1], both rounded before: no multiplication is fused into it


def collected(body: Node, axes: Sequence[Node]) -> Node:
    """The body with the common factors of each sum collected along the last axis that the sum has."""
    return transform_sums(body, lambda node: _collected(node, axes))


def _collected(node: Node, axes: Sequence[Node]) -> Node:
    inner = next((axis for axis in reversed(axes) if axis in node.free), None)
    if inner is None:
        return node
    under: dict[tuple[Node, ...], list[Node]] = {}
    for term in node.args:
        under.setdefault(conditions_of(term), []).append(unguarded(term))
    return add(*[when(_with_common_factors(terms, inner), *conditions) for conditions, terms in under.items()])


def _with_common_factors(terms: Iterable[Node], *inner: Node) -> Node:
    found: dict[tuple[Node, ...], list[Node]] = {}
    for term in terms:
        varying = tuple(factor for factor in factors_of(term) if not factor.free.isdisjoint(inner))
        found.setdefault(varying, []).append(mul(*[f for f in factors_of(term) if f.free.isdisjoint(inner)]))
    return add(*[mul(*varying, add(*others)) for varying, others in found.items()])


# ------------------------------------------------------------------------------------------------ symmetry


def symmetric_to_the_bit(body: Node, axes: Sequence[Node]) -> Node:
    """The body of a matrix so that entries (i, j) and (j, i) are rounded alike, where its form shows that they are one.

    What an exchange of the axes turns into each other stands together: x_i x_j is multiplied first, and u_i v_j added
    to v_i u_j before anything else.
    """
    if len(axes) < 2 or extent(axes[-1]) is not extent(axes[-2]):
        return body
    body, written = _with_one_table_of_a_kind(_diagonals_by_one_index(body, *axes[-2:])), body
    image = _images(body, *axes[-2:])
    if image[body] is not body:
        body = _spread_out(body, *axes[-2:])
        image = _images(body, *axes[-2:])
    if image[body] is not body:
        return written
    done: dict[Node, Node] = {}
    for node in postorder([body]):
        args = tuple([done[arg] for arg in node.args])
        paired = _paired(node, image, done) if image[node] is node and node.op in ("add", "mul") else None
        done[node] = paired or (node if args == node.args else make(node.op, *args, data=node.data))
    return done[body]


def _with_one_table_of_a_kind(body: Node) -> Node:
    """Tables of numbers that are multiples of each other are one, so that c_i and 0.7 c_j can be exchanged."""
    found = [node for node in postorder([body]) if node.op == TABLE]
    kinds: list[Node] = []
    multiples: dict[Node, Node] = {}
    for node in sorted(found, key=lambda n: (sum(Fraction(v).denominator for v in table_of(n)[1]), n.key)):
        ratio, kind = next(((r, k) for k in kinds if (r := _ratio(node, k)) is not None), (None, node))
        if ratio is None:
            kinds.append(node)
        elif table_of(kind) != table_of(node):
            multiples[node] = mul(const(ratio), entry_of(kind, node.args))
    return substitute(body, multiples)


def tables_multiplied(body: Node, axes: Sequence[Node]) -> Node:
    """Products of constant numbers along different axes are constant numbers: c_i c_j is a matrix, if that is small."""

    def innermost(table: Node) -> int:
        return max(axes.index(position) for position in table.args)

    def changed(node: Node) -> Node:
        found = [f for f in node.args if f.op == TABLE and all(at in axes for at in f.args)] if node.op == "mul" else []
        tables = sorted(found, key=innermost)
        lengths = [n for each in tables for n in table_of(each)[0]]
        positions = [at for each in tables for at in each.args]
        if len(tables) < 2 or len(set(positions)) < len(positions) or prod(lengths) > MOST_NUMBERS:
            return node
        numbers = [prod(each) for each in product(*[table_of(each)[1] for each in tables])]
        one, others = entry(lengths, numbers, positions), [f for f in node.args if f not in found]
        return make("mul", *others, one) if others else one

    return transform([body], changed)[0]


def _ratio(table: Node, other: Node) -> Number | None:
    """What the numbers of a table are divided by those of another, if that is always the same."""
    (lengths, numbers), (others_lengths, others) = table_of(table), table_of(other)
    if lengths != others_lengths or any((n == 0) != (o == 0) for n, o in zip(numbers, others, strict=True)):
        return None
    ratios = {Fraction(n) / Fraction(o) for n, o in zip(numbers, others, strict=True) if o}
    return ratios.pop() if len(ratios) == 1 else None


def _spread_out(body: Node, i: Node, j: Node) -> Node:
    """Sums that vary along the axes multiplied out, and what belongs to one product of them added up."""
    under: dict[tuple[Node, ...], list[Node]] = {}
    for term in _terms(body, frozenset((i, j))):
        under.setdefault(conditions_of(term), []).append(unguarded(term))
    if sum(map(len, under.values())) > MOST_TERMS:
        return body
    return add(*[when(_with_common_factors(terms, i, j), *conditions) for conditions, terms in under.items()])


def _terms(body: Node, axes: frozenset[Node]) -> list[Node]:
    """The terms of a sum, products of sums multiplied out; more than `MOST_TERMS` where there are too many."""
    done: list[Node] = []
    stack = [body]
    while stack and len(done) + len(stack) <= MOST_TERMS:
        term = stack.pop()
        value, conditions = unguarded(term), conditions_of(term)
        factors = factors_of(value)
        sums = [factor for factor in factors if factor.op == "add" and not factor.free.isdisjoint(axes)]
        if not sums:
            done.append(term)
            continue
        others = [factor for factor in factors if factor is not sums[0]]
        stack.extend(when(mul(part, *others), *conditions) for part in reversed(sums[0].args))
    return [*done, *stack]


def _diagonals_by_one_index(body: Node, i: Node, j: Node) -> Node:
    """What counts where i = j is written with j alone."""
    same = equal(i, j)

    def changed(node: Node) -> Node:
        if node.op != "when" or same not in node.args[1:]:
            return node
        others = [substitute(condition, {i: j}) for condition in node.args[1:] if condition is not same]
        return when(substitute(node.args[0], {i: j}), same, *others)

    return transform([body], changed)[0]


def _images(body: Node, i: Node, j: Node) -> dict[Node, Node]:
    """Each node below with the two indices exchanged."""
    image: dict[Node, Node] = {i: j, j: i}
    same = equal(i, j)
    for node in postorder([body], image):
        args = tuple([image[arg] for arg in node.args])
        diagonal = node.op == "when" and same in node.args[1:]
        image[node] = node if diagonal or args == node.args else rebuild(node, args)
    return image


def _paired(node: Node, image: Mapping[Node, Node], done: Mapping[Node, Node]) -> Node | None:
    """A sum or product with its operands in pairs; None where there is nothing to pair, or one has no other."""
    moving = [arg for arg in node.args if image[arg] is not arg]
    if not moving or any(image[arg] not in moving for arg in moving):
        return None
    firsts = [arg for arg in moving if arg.key < image[arg].key]
    if 2 * len(firsts) != len(moving):
        return None
    if node.op == "add":
        pairs = [make(PAIR, *[_varying_first(done[a], image) for a in (arg, image[arg])]) for arg in firsts]
    else:
        pairs = [make("mul", done[arg], done[image[arg]]) for arg in firsts]
    parts = [*[done[arg] for arg in node.args if image[arg] is arg], *pairs]
    return parts[0] if len(parts) == 1 else make(node.op, *parts)


def _varying_first(term: Node, image: Mapping[Node, Node]) -> Node:
    """A product, what varies along the axes multiplied with each other before the rest."""
    varying = [factor for factor in factors_of(term) if image.get(factor, factor) is not factor]
    others = [factor for factor in factors_of(term) if factor not in varying]
    return make("mul", *others, make("mul", *varying)) if others and len(varying) > 1 else term
