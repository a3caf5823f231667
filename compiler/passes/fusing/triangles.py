"""Conditions that say how far a reduction goes: [k <= last(i)], which another index i decides."""

from __future__ import annotations

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, mul, neg, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import conditions_of, when
from sympile.compiler.graph.definition import EXAMPLES
from sympile.compiler.graph.implied import demanded
from sympile.compiler.graph.node import ONE, ZERO, Node, const, extent, index, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.graph.running import DOWN, UP
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Triangle:
    """k <= last (it runs up), or k >= last (it runs down), where last is ±i plus numbers and sizes."""

    k: Node
    i: Node
    direction: int
    last: Node

    def holds(self, k: Node, i: Node) -> Node:
        """The condition at other indices."""
        last = substitute(self.last, {self.i: i})
        return at_least_zero(sub(last, k) if self.direction == UP else sub(k, last))

    @property
    def grows(self) -> int:
        """1 if a larger i has more of k, -1 if it has fewer."""
        form = affine(self.last)
        assert form is not None
        return self.direction * int(dict(form.terms)[self.i])


def triangle_of(condition: Node, k: Node) -> Triangle | None:
    """The triangle over k that a condition is, if it is one."""
    form = affine(condition.args[0]) if condition.op == "ge" and k in condition.free else None
    if form is None or any(leaf.op not in ("index", "size") or not isinstance(c, int) for leaf, c in form.terms):
        return None
    terms = dict(form.terms)
    own = terms.pop(k)
    others = [leaf for leaf in terms if leaf.op == "index"]
    if abs(own) != 1 or len(others) != 1 or abs(terms[others[0]]) != 1 or not isinstance(form.constant, int):
        return None
    if EXAMPLES in (extent(k), extent(others[0])):
        return None
    rest = add(const(form.constant), *[mul(const(c), leaf) for leaf, c in terms.items()])
    return Triangle(k, others[0], UP, rest) if own == -1 else Triangle(k, others[0], DOWN, mul(const(-1), rest))


def without_ends(conditions: tuple[Node, ...]) -> tuple[Node, ...]:
    """[a >= 0] and a != 0 as [a - 1 >= 0]."""
    apart = {side: c for c in conditions if c.op == "differs" and ZERO in c.args for side in c.args if side is not ZERO}
    closed = {c.args[0] for c in conditions if c.op == "ge"}
    gone = {c for side, c in apart.items() if {side, neg(side)} & closed}
    made = [at_least_zero(sub(side, ONE)) for side in closed if side in apart or neg(side) in apart]
    open_ends = {c for c in conditions if c.op == "ge" and (c.args[0] in apart or neg(c.args[0]) in apart)}
    return conditions_of(when(ONE, *[c for c in conditions if c not in gone | open_ends], *made))


Guarded = tuple[Node, tuple[Node, ...], Node]  # a value, the conditions under which it counts, the index that runs


def straightened(value: Node, conditions: tuple[Node, ...], k: Node) -> Guarded:
    """A reduction over k; one that goes over f[i + k] or f[i - k], over that place instead."""
    return _moved(value, conditions, k) or (value, conditions, k)


def _moved(value: Node, conditions: tuple[Node, ...], k: Node) -> Guarded | None:
    """Over j = rest ± k instead of k, where something is read at j; the range of k becomes conditions."""
    for node in postorder([value]):
        for at, length in zip(node.args, target(node).shape, strict=True) if node.op == "read" else ():
            form = affine(at) if k in at.free and len(at.free) > 1 else None
            if form is None or any(leaf.op not in ("index", "size") for leaf, _ in form.terms):
                continue
            own = dict(form.terms).get(k)
            inside = (at, sub(sub(length, ONE), at))  # under the conditions: what a choice leaves out need not be
            if own not in (1, -1) or any(demanded(bound, conditions) is not ZERO for bound in inside):
                continue
            j = index(length)
            before = mul(const(own), sub(j, sub(at, mul(const(own), k))))
            ends = (at_least_zero(before), at_least_zero(sub(sub(extent(k), ONE), before)))
            moved = [substitute(condition, {k: before}) for condition in conditions]
            held = when(ONE, *ends, *moved)
            return (substitute(value, {k: before}), conditions_of(held), j) if held is not ZERO else None
    return None
