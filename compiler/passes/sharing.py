"""Common factors: the normal form flattens products; what several share is found again before code is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from sympile.compiler.graph.node import Node, make, postorder

ROUNDS, FEW_ROUNDS = 6, 2  # each round can join factors found by the one before
LARGE = 5000  # nodes of formulas that get few rounds
MOST_FACTORS = 12  # longer products are left alone

REPEATED = {-2: 2, -3: 3}  # exponents of quotients, and how often the factor stands there

Pair = tuple[Node, Node]


def shared_products(bodies: Sequence[Node]) -> list[Node]:
    """The bodies with pairs of factors that several products share as products of their own.

    The result is no normal form: it is for the code generator only.
    """
    current = list(bodies)
    size = sum(1 for _ in postorder(bodies))
    for _ in range(ROUNDS if size <= LARGE else FEW_ROUNDS):
        pairs = _frequent_pairs(current)
        if not pairs:
            break
        current = _joined(current, pairs)
    return current


def _factors(node: Node) -> tuple[Node, ...]:
    """The factors of a product without its number; 1/x^2 is 1/x twice, so that u/x and v/x are found in u*v/x^2."""
    factors: list[Node] = []
    for factor in node.args:
        if factor.op == "pow" and factor.data in REPEATED:
            factors += [make("pow", factor.args[0], data=-1)] * REPEATED[factor.data]
        elif factor.op != "const":
            factors.append(factor)
    return tuple(factors)


def _gathered(factors: Sequence[Node]) -> list[Node]:
    """1/x as often as it is left over as one power."""
    counts = Counter(factors)
    return [f if n == 1 else make("pow", f.args[0], data=-n) for f, n in counts.items()]


def _frequent_pairs(bodies: Sequence[Node]) -> list[Pair]:
    """Pairs of factors that stand in more than one product, the most frequent first."""
    counts: Counter[Pair] = Counter()
    for node in postorder(bodies):
        if node.op == "mul" and len(factors := _factors(node)) <= MOST_FACTORS:
            counts.update(pair for pair in combinations(factors, 2) if pair[0] is not pair[1])
    often = [(pair, count) for pair, count in counts.items() if count > 1]
    often.sort(key=lambda item: (-item[1], item[0][0].key, item[0][1].key))
    return [pair for pair, _ in often]


def _joined(bodies: Sequence[Node], pairs: Sequence[Pair]) -> list[Node]:
    """Every product takes the most frequent pairs that it has."""
    rank = {pair: k for k, pair in enumerate(pairs)}
    done: dict[Node, Node] = {}
    for node in postorder(bodies):
        args = tuple([done[a] for a in node.args])
        if node.op == "mul":
            done[node] = _product(node, args, rank)
        else:
            done[node] = node if args == node.args else make(node.op, *args, data=node.data)
    return [done[body] for body in bodies]


def _product(node: Node, args: tuple[Node, ...], rank: dict[Pair, int]) -> Node:
    new = dict(zip(node.args, args, strict=True))
    for old, now in zip(node.args, args, strict=True):
        if old.op == "pow" and old.data in REPEATED:
            new[make("pow", old.args[0], data=-1)] = make("pow", now.args[0], data=-1)
    factors = list(_factors(node))
    found = [(rank[p], p) for p in combinations(factors, 2) if p in rank] if 2 <= len(factors) <= MOST_FACTORS else []
    joined: list[Node] = []
    for _, (a, b) in sorted(found, key=lambda item: item[0]):
        if all(factors.count(f) >= n for f, n in Counter((a, b)).items()) and len(node.args) > 2:
            factors.remove(a)
            factors.remove(b)
            joined.append(make("mul", new[a], new[b]))
    consts = [f for f in node.args if f.op == "const"]
    parts = (*consts, *joined, *_gathered([new[f] for f in factors]))
    return parts[0] if len(parts) == 1 else make("mul", *parts)
