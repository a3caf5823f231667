"""Common factors: the normal form flattens products; what several share is found again before code is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from operator import itemgetter

from sympile.compiler.graph.node import Node, make, postorder
from sympile.compiler.passes.fusing.within import rebuilt, sums_within

ROUNDS, FEW_ROUNDS = 6, 2  # each round can join factors found by the one before
LARGE = 5000  # nodes of formulas that get few rounds
MOST_FACTORS = 12  # longer products are left alone
REPEATED = {-2: 2, -3: 3}  # exponents of quotients, and how often the factor stands there

Pair = tuple[Node, Node]


def shared_products(bodies: Sequence[Node], exact: bool = False) -> list[Node]:
    """The bodies with pairs of factors that several products share as products of their own.

    And unless `exact`, with sums as terms of others that hold them. The result is no normal form: it is for the code
    generator only.
    """
    current = list(bodies)
    nodes = postorder(current)
    sums = {} if exact else sums_within(nodes)
    if sums:
        current = rebuilt(current, sums)
        nodes = postorder(current)
    rounds = ROUNDS if len(nodes) <= LARGE else FEW_ROUNDS
    for left in reversed(range(rounds)):
        pairs = _frequent_pairs(nodes)
        if not pairs:
            break
        current, longer = _joined(current, nodes, pairs)
        if not left or not longer:
            break
        nodes = postorder(current)
    return current


def _factors(product: Node) -> tuple[Node, ...]:
    """The factors without the constant, which stands in front.

    1/x^2 is 1/x twice, so that u/x and v/x are found in u*v/x^2; so is (1/x)^2.
    """
    factors = product.args[1:] if product.args[0].op == "const" else product.args
    if "pow" not in product.ops:
        return factors
    if not any([f.op == "pow" and (f.data in REPEATED or _is_quotients(f)) for f in factors]):
        return factors
    return tuple(sorted([part for f in factors for part in _repeated(f)], key=lambda part: part.key))


def _is_quotients(factor: Node) -> bool:
    """Whether a factor is a quotient several times."""
    return factor.op == "pow" and factor.data in REPEATED.values() and _is_quotient(factor.args[0])


def _is_quotient(node: Node) -> bool:
    return node.op == "pow" and node.data == -1


def _constant(product: Node) -> tuple[Node, ...]:
    return product.args[:1] if product.args[0].op == "const" else ()


def _repeated(factor: Node) -> list[Node]:
    if _is_quotients(factor):
        assert isinstance(factor.data, int)
        return [factor.args[0]] * factor.data
    if factor.op != "pow" or factor.data not in REPEATED:
        return [factor]
    return [make("pow", factor.args[0], data=-1)] * REPEATED[factor.data]


def _gathered(factors: Sequence[Node], held: bool) -> list[Node]:
    """What stands there several times is one power: of the quotient, where that is held."""
    if len(set(factors)) == len(factors):
        return list(factors)
    counts = Counter(factors)
    return [
        f if n == 1 else make("pow", f, data=n) if held else make("pow", f.args[0], data=-n) for f, n in counts.items()
    ]


def _frequent_pairs(nodes: Sequence[Node]) -> list[Pair]:
    """Pairs of factors of a longer product that stand in another product too, the most frequent first."""
    products = [node for node in nodes if node.op == "mul"]
    found: list[Pair] = []
    for product in products:
        if len(product.args) > 2 and len(factors := _factors(product)) <= MOST_FACTORS:
            found += combinations(factors, 2)
    counts = Counter(pair for pair in found if pair[0] is not pair[1])
    if counts:
        counts.update([product.args for product in products if product.args in counts])  # type: ignore[misc]
    often = [(pair, count) for pair, count in counts.items() if count > 1]
    often.sort(key=lambda item: (-item[1], item[0][0].key, item[0][1].key))
    return [pair for pair, _ in often]


def _joined(bodies: Sequence[Node], nodes: Sequence[Node], pairs: Sequence[Pair]) -> tuple[list[Node], bool]:
    """Every product takes the most frequent pairs that it has; and whether some are longer than a pair even so."""
    rank = {pair: k for k, pair in enumerate(pairs)}
    changed: dict[Node, Node] = {}
    longer = False
    for node in nodes:
        if node.op == "mul" and len(node.args) > 2:
            now = _product(node, changed, rank)
            longer = longer or len(now.args) > 2
        elif changed.keys().isdisjoint(node.args):
            continue
        else:
            now = make(node.op, *[changed.get(arg, arg) for arg in node.args], data=node.data)
        if now is not node:
            changed[node] = now
    return [changed.get(body, body) for body in bodies], longer


def _product(node: Node, changed: Mapping[Node, Node], rank: Mapping[Pair, int]) -> Node:
    """A product of more than two operands with the pairs that it has joined."""
    factors = list(_factors(node))
    found = [(rank[p], p) for p in combinations(factors, 2) if p in rank] if len(factors) <= MOST_FACTORS else []
    if not found and changed.keys().isdisjoint(node.args):
        return node
    joined: list[Node] = []
    for _, (a, b) in sorted(found, key=itemgetter(0)):
        if a in factors and b in factors:
            factors.remove(a)
            factors.remove(b)
            joined.append(make("mul", _now(a, changed), _now(b, changed)))
    held = "pow" in node.ops and any(map(_is_quotients, node.args))
    parts = (*_constant(node), *joined, *_gathered([_now(factor, changed) for factor in factors], held))
    return parts[0] if len(parts) == 1 else make("mul", *parts)


def _now(factor: Node, changed: Mapping[Node, Node]) -> Node:
    """What a factor became; 1/x may stand for a part of 1/x^2."""
    if factor.op == "pow" and factor.args[0] in changed:
        return make("pow", changed[factor.args[0]], data=factor.data)
    return changed.get(factor, factor)
