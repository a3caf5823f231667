"""Guards of strides solved: of all r with [m divides i - r] a sum has those that leave what i leaves.

r becomes i mod m + m s, and (i - r)/m the quotient of i less s. Where windows do not overlap, one r is left, and the
sum is its one term; where they do, s runs over the windows that an element is in. No guard is left to be evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, define, extent_value
from sympile.compiler.graph.mapping import Mapping, each_formula, redirected
from sympile.compiler.graph.node import ONE, Node, const, extent, index, number, postorder, reads, target
from sympile.compiler.graph.quotients import remainder
from sympile.compiler.graph.rebuild import rebuild, substitute
from sympile.compiler.passes.fusing.group import costly, users_of
from sympile.compiler.passes.fusing.lift import at_all_places

STRIDES = frozenset({"divides"})
POSITIONS = frozenset({"read", "eq", "ge", "divides", "quotient"})  # operations on index expressions


def solve_strides(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Sums over what strides allow, without a guard for it."""
    users = users_of(outputs)
    if not any(tensor.formula.ops >= STRIDES for tensor in users if tensor.kind == "formula"):
        return Mapping()
    single: set[Definition] = set()  # sums that have become one term, and have one reader
    done: dict[Node, Node] = {}

    def solved(tensor: Definition, new: Mapping) -> Definition:
        body = redirected(tensor.formula, new, done)
        if tensor.monoid is None:
            return define(tensor.axes, (), None, _inlined(body, single))
        if tensor.monoid != "sum" or not any(c.op == "divides" for c in conditions_of(body)):
            return define(tensor.axes, tensor.reduced, tensor.monoid, body)
        reduced, body = _without_strides(list(tensor.reduced), body)
        found = define(tensor.axes, reduced, "sum" if reduced else None, _once_a_window(body))
        if not reduced and users[tensor] == 1:
            single.add(found)
        return found

    return each_formula(outputs, solved)


def _inlined(body: Node, single: set[Definition]) -> Node:
    """The body with terms in the place of sums that have become one."""
    if single.isdisjoint(body.below):
        return body
    found = {node: target(node) for node in reads(body) if target(node) in single}
    terms = {
        node: substitute(tensor.formula, dict(zip(tensor.axes, node.args, strict=True)))
        for node, tensor in found.items()
        if list(found.values()).count(tensor) == 1
    }
    return substitute(body, terms)


# ------------------------------------------------------------------------------------------------ solving


def _without_strides(reduced: list[Node], body: Node) -> tuple[list[Node], Node]:
    """Summed indices and body, every guard of a stride solved that can be."""
    for condition in [c for c in conditions_of(body) if c.op == "divides"]:
        for r in [r for r in reduced if r in condition.free and not _is_number(body, r)]:
            value = _solution(condition, r)
            if value is not None and condition in conditions_of(body):
                kept = [c for c in conditions_of(body) if c is not condition]
                body, steps = _replaced(when(unguarded(body), *kept), r, *value)
                reduced = [*[other for other in reduced if other is not r], *steps]
                break
    return reduced, body


def _is_number(body: Node, wanted: Node) -> bool:
    """Whether an index is a number in a formula, not only a position."""
    stack, seen = [body], set[Node]()
    while stack:
        node = stack.pop()
        if node is wanted:
            return True
        if node not in seen and node.op not in POSITIONS:
            seen.add(node)
            stack.extend(arg for arg in node.args if wanted in arg.free)
    return False


def _solution(condition: Node, r: Node) -> tuple[Node, int] | None:
    """(what r leaves, divided by which number), of [divisor divides c r + rest]."""
    divisor, form = int(number(condition)), affine(condition.args[0])
    if form is None or any(not isinstance(c, int) for _, c in form.terms) or extent(r).op != "const":
        return None
    own = dict(form.terms).get(r)
    if own is None or gcd(int(own), divisor) != 1 or any(leaf is not r and r in leaf.free for leaf, _ in form.terms):
        return None
    factor = -pow(int(own), -1, divisor) % divisor
    factor -= divisor if 2 * factor > divisor or int(own) == 1 else 0  # the nearer multiple: i, not (m - 1)(-i)
    rest = sub(condition.args[0], mul(const(int(own)), r))
    return remainder(mul(const(factor), rest), divisor), divisor


def _replaced(body: Node, r: Node, least: Node, divisor: int) -> tuple[Node, list[Node]]:
    """The body with least + divisor s for r; and s, unless it is 0 always."""
    length = extent_value(extent(r))
    count = -(-length // divisor)
    s = index(const(count))
    value = least if count == 1 else add(least, mul(const(divisor), s))
    inside = at_least_zero(sub(sub(extent(r), ONE), value)) if length % divisor else ONE
    return when(substitute(body, {r: value}), inside), [] if count == 1 else [s]


def _once_a_window(body: Node) -> Node:
    """Costly work on what windows have is done for each window, not for each of its elements."""
    done: dict[Node, Node] = {}
    for node in postorder([body]):
        args = tuple([done[arg] for arg in node.args])
        now = node if args == node.args else rebuild(node, args)
        if costly(now) and any(at.op == "quotient" for at in _places(now)):
            now = at_all_places(now) or now
        done[node] = now
    return done[body]


def _places(node: Node) -> Sequence[Node]:
    """The nodes of all positions at which a formula reads."""
    return [part for item in reads(node) for at in item.args for part in postorder([at])]
