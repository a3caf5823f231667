"""Axes that lie side by side in everything a sum of products reads and writes are one axis: its nest has fewer loops.

The sum over i, j of A[a, b, i, j] B[i, j, c, d] is the product of two matrices, whose rows are pairs (a, b) and whose
columns are pairs (c, d). Its function is written for tensors of those shapes, and called with the same memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.definition import Definition, define, extent_value, input_tensor, read
from sympile.compiler.graph.node import Node, const, extent, index, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.emitting.alike import Alike, View
from sympile.compiler.passes.fusing.group import Group, contents_of, domain_of

WORTH = 4096  # multiply-adds from which a sum is looked at

Chains = Mapping[Node, tuple[Node, ...]]  # the first of indices that are one → all of them, in their order


def joined(group: Group) -> Alike | None:
    """The group with such axes joined, in tensors of other shapes; None if it has none."""
    first, finish = group.members[0], group.finish
    if len(group.members) > 1 or not _is_product_sum(group, first):
        return None
    bodies = [group.body(t) for t in group.results]
    if not all(map(_is_plain, bodies)) or not (finish is None or _is_in_place(finish, first)):
        return None
    reads = [node for node in postorder(bodies) if node.op == "read"]
    chains = _chains(first, [first.axes, *[node.args for node in reads if target(node) is not first]])
    return _in_one(group, chains, reads) if any(len(chain) > 1 for chain in chains.values()) else None


def _is_product_sum(group: Group, first: Definition) -> bool:
    """Whether a group is one large sum of products, of known sizes."""
    if first.kind != "formula" or first.monoid != "sum" or not first.axes or group.rows is not None or group.local:
        return False
    known = all(extent(i).op == "const" for i in group.domain) and domain_of(first) == group.domain
    several = len([f for f in factors_of(split(group.body(first))[1]) if f.free]) > 1
    return known and several and prod(extent_value(extent(i)) for i in group.domain) >= WORTH


def _is_plain(body: Node) -> bool:
    """Whether indices stand nowhere but in reads, each alone, all along the axes that it goes through."""
    for node in postorder([body]):
        if node.op != "read" and any(arg.op == "index" for arg in node.args):
            return False
        if node.op == "read":
            runs = [at.op == "index" and extent(at) is n for at, n in zip(node.args, target(node).shape, strict=True)]
            if target(node).integer or not all(runs) or len(set(node.args)) < len(node.args):
                return False
    return body.op != "index"


def _is_in_place(finish: Definition, first: Definition) -> bool:
    """Whether a finish goes through the sums in their own order."""
    reads = [node for node in postorder([finish.formula]) if node.op == "read" and target(node) is first]
    return finish.axes == first.axes and all(node.args == first.axes for node in reads)


def _chains(first: Definition, orders: Iterable[Sequence[Node]]) -> Chains:
    """Indices each of which follows the one before wherever one of both stands."""
    places = [{index: at for at, index in enumerate(order)} for order in orders]

    def follows(p: Node, q: Node) -> bool:
        return all((p in own) == (q in own) and (p not in own or own[q] == own[p] + 1) for own in places)

    chains: dict[Node, tuple[Node, ...]] = {}
    for kind in (first.axes, first.reduced):
        after = {p: q for p in kind for q in kind if p is not q and follows(p, q)}
        for start in (i for i in kind if i not in after.values()):
            chain = [start]
            while chain[-1] in after:
                chain.append(after[chain[-1]])
            chains[start] = tuple(chain)
    return chains


def _in_one(group: Group, chains: Chains, reads: Sequence[Node]) -> Alike:
    """The group in joined indices."""
    first, finish = group.members[0], group.finish
    lengths = {start: const(prod(extent_value(extent(i)) for i in chain)) for start, chain in chains.items()}
    new = {start: index(n) if len(chains[start]) > 1 else start for start, n in lengths.items()}

    def at(indices: Iterable[Node]) -> tuple[Node, ...]:
        return tuple(new[i] for i in indices if i in chains)

    views: dict[Definition, View] = {}
    others: dict[tuple[Definition, tuple[Node, ...]], Definition] = {}
    replaced: dict[Node, Node] = {}
    for node in (node for node in reads if target(node) is not first):
        shape = tuple(lengths[i] for i in node.args if i in chains)
        other = others.setdefault((target(node), shape), input_tensor(str(len(others)), shape))
        views[other] = View(target(node))
        replaced[node] = read(other, *at(node.args))
    axes = at(first.axes)
    summed = define(axes, at(first.reduced), "sum", substitute(group.body(first), replaced))
    last = None
    if finish is not None:
        replaced |= {node: read(summed, *axes) for node in reads if target(node) is first}
        last = define(axes, (), None, substitute(group.body(finish), replaced))
    views[last or summed] = View(finish or first)
    other_group = Group((summed,), domain_of(summed), last)
    return Alike(replace(other_group, contents=contents_of(other_group.results)), views)
