"""Sums that stand in other sums: the normal form flattens them, and each would be added up again wherever it stands.

In a recurrence of numbers, y + h f(y), the state is a term of the next one, with all terms that it has itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from sympile.compiler.graph.arithmetic import mul, split
from sympile.compiler.graph.node import Node, Number, const, make

LEAST = 3  # terms of a sum that is looked for in others
MANY = 64  # sums that hold its rarest term, up to which it is looked for

Terms = dict[Node, tuple[Number, Node]]  # what a coefficient stands before → that coefficient, and the term itself


def sums_within(nodes: Iterable[Node]) -> dict[Node, Node]:
    """Sum → the same with other ones of these nodes as its terms: the longest that it holds, up to a factor.

    As x + 3 u - k x holds x + 2 u, since like terms are collected.

    The result is no normal form: it is for the code generator only.
    """
    terms = {node: _terms(node) for node in nodes if node.op == "add" and len(node.args) >= LEAST}
    if len(terms) < 2 or max(map(len, terms.values())) == LEAST:
        return {}
    looked_for = _by_rarest_term(terms)
    found: dict[Node, Node] = {}
    for node, own in terms.items():
        inner = [other for rest in own for other in looked_for.get(rest, ()) if len(terms[other]) < len(own)]
        if inner:
            inner.sort(key=lambda other: (-len(terms[other]), other.key))
            _part(node, own, inner, terms, found)
    return found


def _terms(node: Node) -> Terms:
    return {rest: (coefficient, term) for term in node.args for coefficient, rest in (split(term),)}


def _by_rarest_term(terms: Mapping[Node, Terms]) -> dict[Node, list[Node]]:
    """Each sum under the one of its terms that the fewest sums hold."""
    holding = Counter(rest for own in terms.values() for rest in own)
    found: dict[Node, list[Node]] = {}
    for node, own in terms.items():
        rarest = min(own, key=lambda rest: (holding[rest], rest.key))
        if 1 < holding[rarest] <= MANY:
            found.setdefault(rarest, []).append(node)
    return found


def _part(
    node: Node, own: Terms, inner: Sequence[Node], terms: Mapping[Node, Terms], found: dict[Node, Node]
) -> None:
    """Takes the sums that a node holds out of its terms, one after the other."""
    left, parts = dict(own), list[Node]()
    for other in inner:
        wanted = terms[other]
        if not wanted.keys() <= left.keys():
            continue
        ratios = {rest: _ratio(left[rest][0], coefficient) for rest, (coefficient, _) in wanted.items()}
        ((factor, times),) = Counter(ratios.values()).most_common(1)
        if times >= LEAST - 1 and all([ratio == factor or ratio / factor > 1 for ratio in ratios.values()]):
            parts.append(other if factor == 1 else make("mul", const(factor), other))
            for rest, ratio in ratios.items():
                before, _ = left.pop(rest)
                if ratio != factor:  # more of it, never less: nothing cancels
                    more = before - factor * wanted[rest][0]
                    left[rest] = more, mul(const(more), rest)
    if parts:
        found[node] = make("add", *parts, *[term for _, term in left.values()])


def _ratio(own: Number, other: Number) -> Number:
    return 1 if own == other else -1 if own == -other else Fraction(own) / other


def rebuilt(bodies: Iterable[Node], found: Mapping[Node, Node]) -> list[Node]:
    """The bodies with what was found in place of the sums; iterative."""
    done: dict[Node, Node] = {}
    stack = list(bodies)
    wanted = stack[:]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        now = found.get(node, node)
        missing = [arg for arg in now.args if arg not in done]
        if missing:
            stack.extend(missing)
            continue
        args = tuple([done[arg] for arg in now.args])
        done[node] = now if args == now.args else make(now.op, *args, data=now.data)
        stack.pop()
    return [done[body] for body in wanted]
