"""Guards that say the range of a sum, drawn together: sums over pairs j < i and their slopes.

What a pair adds to the slope of one of its elements comes in two sums, over those before it and over those behind it.
Where the summands are symmetric, they are the same formula over two parts of one range, and one sum over both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import field
from itertools import combinations

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, mul, neg, split, sub
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import conditions_of, negation, unguarded, when
from sympile.compiler.graph.definition import Definition, define, elementwise, extent_value, instance, read
from sympile.compiler.graph.implied import demanded
from sympile.compiler.graph.mapping import Mapping, each_formula, redirected
from sympile.compiler.graph.node import ONE, ZERO, Node, const, extent, index, number, target
from sympile.compiler.graph.rebuild import substitute, transform
from sympile.compiler.graph.reduce import always_in_range
from sympile.compiler.passes.fusing.group import users_of
from sympile.compiler.records import dataclass

LITTLE = 2  # by how much a range is made longer
MOST_TERMS = 12  # of a sum in which pairs of sums are looked for
GUARDS = frozenset({"when"})


def joined_ranges(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Sums with their guards around all that they guard, and one sum where two are halves of it."""
    if not any(t.formula.ops >= GUARDS for t in users_of(outputs) if t.kind == "formula"):
        return Mapping()
    return each_formula(outputs, _Joining(users_of(outputs)).changed)


@dataclass(slots=True)
class _Joining:
    """One walk over all formulas."""

    users: Counter[Definition]
    old: dict[Definition, Definition] = field(default_factory=dict)
    done: dict[Node, Node] = field(default_factory=dict)
    drawn: dict[Node, Node] = field(default_factory=dict)

    def changed(self, tensor: Definition, new: Mapping) -> Definition:
        body = redirected(tensor.formula, new, self.done)
        if body.ops >= GUARDS or any(map(_is_guarded, body.below)):
            (body,) = transform([body], self._drawn_out, self.drawn)
        if tensor.monoid is None:
            found = elementwise(tensor.axes, body)
        else:
            reduced, body = _widened(tensor.reduced, body) if tensor.monoid == "sum" else (tensor.reduced, body)
            found = define(tensor.axes, reduced, tensor.monoid, body)
        self.old.setdefault(found, tensor)
        return found

    def _drawn_out(self, node: Node) -> Node:
        if node.op == "when":
            return _needless_dropped(node)
        return self._joined(_common_outside(node)) if node.op == "add" else node

    def _joined(self, node: Node) -> Node:
        """A sum of terms, two of which may have become one."""
        terms = list(node.args) if node.op == "add" else []
        sums = [term for term in terms[:MOST_TERMS] if self._is_sum(term)]
        for one, other in combinations(sums, 2):
            if one in terms and other in terms:
                whole = _whole(one, other)
                if whole is not None:
                    terms = [*[term for term in terms if term not in (one, other)], whole]
        return node if len(terms) == (len(node.args) if node.op == "add" else 0) else add(*terms)

    def _is_sum(self, term: Node) -> bool:
        """A number times a sum over one guarded index that nobody else reads."""
        _, rest = split(term)
        if rest.op != "read":
            return False
        tensor = target(rest)
        alone = self.users[self.old.get(tensor, tensor)] == 1
        return alone and _is_guarded(tensor) and len(tensor.reduced) == 1


def _is_guarded(tensor: Definition) -> bool:
    return tensor.monoid == "sum" and bool(conditions_of(tensor.formula))


def _common_outside(node: Node) -> Node:
    """[c] a + [c] b is [c] (a + b)."""
    common = set(conditions_of(node.args[0])).intersection(*map(conditions_of, node.args[1:]))
    if not common:
        return node
    terms = [when(unguarded(t), *[c for c in conditions_of(t) if c not in common]) for t in node.args]
    return when(add(*terms), *common)


def _needless_dropped(node: Node) -> Node:
    """[c] S is S, where the range of the sum S is empty when c does not hold, and c is not what keeps inside of S."""
    _, rest = split(node.args[0])
    if rest.op != "read" or not _is_guarded(target(rest)) or not always_in_range(rest):
        return node
    _, _, body = instance(target(rest), rest.args)
    kept = [c for c in node.args[1:] if not _follows(c, conditions_of(body))]
    return when(node.args[0], *kept)


def _follows(condition: Node, known: Iterable[Node]) -> bool:
    return condition.op == "ge" and demanded(condition.args[0], known) is ZERO


def _widened(reduced: tuple[Node, ...], body: Node) -> tuple[tuple[Node, ...], Node]:
    """j < i < n has no j = n - 1: where the guard says so, j counts as far as i, and what both need is one matrix."""
    found = list(reduced)
    for at, k in enumerate(reduced):
        others = [
            i for c in conditions_of(body) if k in c.free for i in c.free if _is_little_more(extent(i), extent(k))
        ]
        if others:
            longer = index(max(map(extent, others), key=extent_value))
            again = _over(body, k, longer)
            if again is not None:
                found[at], body = longer, again
    return tuple(found), body


def _over(body: Node, k: Node, longer: Node) -> Node | None:
    """The body for an index of a longer range, if its guard says where the shorter one ends."""
    again = substitute(body, {k: longer})
    ends = demanded(sub(sub(extent(k), ONE), longer), conditions_of(again)) is ZERO
    return again if ends else None


def _is_little_more(longer: Node, shorter: Node) -> bool:
    if longer.op != "const" or shorter.op != "const":
        return False
    return 0 < extent_value(longer) - extent_value(shorter) <= LITTLE


# ------------------------------------------------------------------------------------------------ two halves


def _whole(one: Node, other: Node) -> Node | None:
    """The sum of which two terms are parts, or None."""
    (a, left), (b, right) = split(one), split(other)
    if left.args != right.args or any(at.op != "index" for at in left.args) or len(set(left.args)) < len(left.args):
        return None
    pair = _over_one_index(left, right)
    if pair is None:
        return None
    k, first, second = pair
    if mul(const(a), unguarded(first)) is not mul(const(b), unguarded(second)):
        return None
    common = [c for c in conditions_of(first) if c in conditions_of(second)]
    rest = [[c for c in conditions_of(body) if c not in common] for body in (first, second)]
    both = _union(*rest)
    if both is None:
        return None
    return mul(const(a), read(define(left.args, (k,), "sum", when(unguarded(first), *common, both)), *left.args))


def _over_one_index(left: Node, right: Node) -> tuple[Node, Node, Node] | None:
    """(index, bodies) of two sums: of two ranges the longer one, where the guard of the other says where it ends."""
    longer, shorter = (left, right) if _length(left) >= _length(right) else (right, left)
    _, (k,), body = instance(target(longer), longer.args)
    _, (own,), other = instance(target(shorter), shorter.args)
    if extent(own) is extent(k):
        again: Node | None = substitute(other, {own: k})
    else:
        again = _over(other, own, k) if extent(own).op == extent(k).op == "const" else None
    if again is None:
        return None
    return (k, body, again) if longer is left else (k, again, body)


def _length(node: Node) -> int:
    return extent_value(extent(target(node).reduced[0]))


def _union(one: Sequence[Node], other: Sequence[Node]) -> Node | None:
    """The condition under which one of two conditions holds that are never both true; None if it is not simple."""
    if len(one) != 1 or len(other) != 1 or one[0].op != "ge" or other[0].op != "ge":
        return None
    a, b = one[0].args[0], other[0].args[0]
    gap = add(a, b)
    if gap.op != "const":
        return None
    if number(gap) == -1:
        return ONE
    return _differs(add(a, ONE)) if number(gap) == -2 else None


def _differs(expression: Node) -> Node | None:
    """[expression != 0]."""
    form = affine(expression)
    if form is None:
        return None
    parts = [mul(const(c), leaf) for leaf, c in form.terms]
    above = add(const(form.constant), *[part for part, (_, c) in zip(parts, form.terms, strict=True) if c > 0])
    below = add(*[part for part, (_, c) in zip(parts, form.terms, strict=True) if c < 0])
    return negation(equal(above, neg(below)))
