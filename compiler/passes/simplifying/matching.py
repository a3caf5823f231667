"""Matches rows with formulas: sums and products in any order, up to a common factor, with what is left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from fractions import Fraction
from typing import TypeAlias

from sympile.compiler.graph.arithmetic import add, factors_of, mul, power, split, terms_of
from sympile.compiler.graph.definition import Definition, instance
from sympile.compiler.graph.node import ONE, ZERO, Node, Number, const, number, target
from sympile.compiler.graph.rebuild import function, rebuild, substitute
from sympile.compiler.passes.simplifying.filling import INDICES, SPECIAL, Bindings, filled, holes, is_filled
from sympile.compiler.passes.simplifying.matching_calls import match_tensor
from sympile.compiler.records import dataclass
from sympile.compiler.rules.rewrites import Through

MANY = 64  # terms of a sum in which a known term is looked up only
OPERATION: Mapping[str, str] = {"raised": "pow", "each": "add"}  # what a pattern's op is a form of


# ------------------------------------------------------------------------------------------------ matching one node


@dataclass(slots=True)
class Matcher:
    """Finds the ways in which a formula is an instance of a pattern."""

    through: Through = Through.NOTHING  # which elementwise definitions are looked into
    names: Mapping[Definition, str] = field(default_factory=dict)
    opened: dict[Node, Node] = field(default_factory=dict)  # reads, and the formulas that stand behind them
    sums: dict[Node, tuple[Node, ...]] = field(default_factory=dict)  # and what `logarithms` has found of each

    def match(self, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
        """Every way to fill the pattern's holes so that it is this node."""
        if pattern.op == "hole":
            known = bound.get(pattern)
            if known is None:
                yield {**bound, pattern: node}
            elif known is node:
                yield bound
            return
        if not pattern.args:
            if pattern is node:
                yield bound
            return
        if is_filled(pattern, bound) and pattern.op not in SPECIAL and filled(pattern, bound) is node:
            yield bound
            return
        node = self.open(pattern, node)
        rule = _RULES.get(pattern.op, _match_function)
        yield from rule(self, pattern, node, bound)

    def open(self, pattern: Node, node: Node) -> Node:
        """The node, or the formula behind it where that is what the pattern asks for."""
        wanted = OPERATION.get(pattern.op, pattern.op)
        while (
            self.through
            and node.op == "read"
            and pattern.op not in ("over", "call")
            and self._may_open(target(node), wanted)
        ):
            node = self.formula_behind(node)
        return node

    def _may_open(self, tensor: Definition, wanted: str) -> bool:
        if tensor.kind != "formula" or tensor.monoid is not None or tensor.formula.op not in (wanted, "read"):
            return False
        return self.through is Through.EVERYTHING or tensor not in self.names

    def formula_behind(self, node: Node) -> Node:
        """The formula of an elementwise definition at a read's indices."""
        found = self.opened.get(node)
        if found is None:
            tensor = target(node)
            found = self.opened[node] = substitute(tensor.formula, dict(zip(tensor.axes, node.args, strict=True)))
        return found

    def logarithms(self, node: Node) -> tuple[Node, ...]:
        """u + log(c) for every term c*exp(u) of a sum of nothing else; else none. Many quotients share a sum."""
        found = self.sums.get(node)
        if found is None:
            every = [_logarithm(term) for term in node.args if term.op in ("exp", "mul", "const")]
            whole = [u for u in every if u is not None]
            found = self.sums[node] = tuple(whole) if len(whole) == len(node.args) else ()
        return found


def _match_function(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    if pattern.op != node.op or len(pattern.args) != len(node.args) or pattern.data != node.data:
        return
    yield from _match_all(matcher, tuple(zip(pattern.args, node.args, strict=True)), bound)


def _match_all(matcher: Matcher, pairs: tuple[tuple[Node, Node], ...], bound: Bindings) -> Iterator[Bindings]:
    if not pairs:
        yield bound
        return
    for found in matcher.match(*pairs[0], bound):
        yield from _match_all(matcher, pairs[1:], found)


def _match_add(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    if node.op == "add":
        for found in sums(matcher, pattern, node, bound, whole=True):
            if found.factor == 1 and found.left is ZERO:
                yield found.bound


def _match_mul(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    scale, inner = split(pattern)
    if inner.op == "hole":  # c*a is any formula: a is a c-th of it
        yield from matcher.match(inner, mul(const(Fraction(1) / scale), node), bound)
        return
    for found in products(matcher, pattern, node, bound):
        if found.left is ONE:
            yield found.bound


def _match_pow(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    assert isinstance(pattern.data, (int, Fraction))
    base = root(node, pattern.data)
    if base is not None:
        yield from matcher.match(pattern.args[0], base, bound)


def root(node: Node, exponent: Number) -> Node | None:
    """The formula whose power the node is: of x^4 y^2 with exponent 2, x^2 y."""
    parts = []
    for factor in factors_of(node):
        if factor.op == "const" and number(factor) > 0 and node.op == "mul":
            parts.append(power(factor, Fraction(1) / exponent))
            continue
        ratio = Fraction(number(factor)) / exponent if factor.op == "pow" else Fraction(1, 2)
        if ratio.denominator != 1:
            return None
        parts.append(power(factor.args[0], ratio))
    return mul(ONE, *parts)


def _match_raised(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    if node.op == "pow":
        for found in matcher.match(pattern.args[0], node.args[0], bound):
            yield from matcher.match(pattern.args[1], const(number(node)), found)


def _match_extreme(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    """max(0, a): the operands without holes must be there, the hole takes the others."""
    if pattern.op != node.op:
        return
    fixed = [arg for arg in pattern.args if not holes(arg)]
    (rest,) = [arg for arg in pattern.args if holes(arg)]
    others = [arg for arg in node.args if arg not in fixed]
    if others and len(others) + len(fixed) == len(node.args):
        yield from matcher.match(rest, rebuild(node, tuple(others)), bound)


def _match_over(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    if node.op != "read" or target(node).monoid != pattern.data or INDICES in bound:
        return
    body = pattern.args[0]
    formula = target(node).formula
    if formula.op != body.op and formula.op != "read":
        return
    _, indices, formula = instance(target(node), node.args)
    yield from matcher.match(body, formula, {**bound, INDICES: indices})


def _match_each(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    """A sum of nothing but positive multiples of exp(u)."""
    (inner,) = pattern.args
    if node.op != "add" or inner.op != "exp" or inner.args[0] in bound:
        return
    logarithms = matcher.logarithms(node)
    if logarithms:
        yield {**bound, inner.args[0]: logarithms}


def _logarithm(term: Node) -> Node | None:
    """u + log(c) of a term c*exp(u), c > 0."""
    coefficient, rest = split(term)
    if coefficient <= 0 or not (rest is ONE or rest.op == "exp"):
        return None
    scale = function("log", const(coefficient))
    return scale if rest is ONE else add(rest.args[0], scale)


def _match_call(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Bindings]:
    if node.op == "read" and target(node).kind == "call":
        found = match_tensor(pattern, target(node), bound)
        if found is not None:
            yield {**found, INDICES: node.args}


_Rule: TypeAlias = Callable[[Matcher, Node, Node, Bindings], Iterator[Bindings]]
_RULES: Mapping[str, _Rule] = {
    "add": _match_add,
    "mul": _match_mul,
    "pow": _match_pow,
    "raised": _match_raised,
    "max": _match_extreme,
    "min": _match_extreme,
    "over": _match_over,
    "each": _match_each,
    "call": _match_call,
}


# ------------------------------------------------------------------------------------------------ sums and products


@dataclass(frozen=True, slots=True)
class Found:
    """A part of a sum or product that is `factor` times the pattern, and what is left of it."""

    bound: Bindings
    factor: Number
    left: Node


def sums(matcher: Matcher, pattern: Node, node: Node, bound: Bindings, whole: bool = False) -> Iterator[Found]:
    """Some terms of the node are factor * pattern, or all of a `whole` one. A bare hole takes all other terms."""
    wanted = [split(term) for term in pattern.args]
    inside = frozenset().union(*[holes(sub) for _, sub in wanted if sub.op != "hole"])
    bare = [(c, sub) for c, sub in wanted if sub.op == "hole" and sub not in bound and sub not in inside]
    others = [w for w in wanted if w not in bare]
    others.sort(key=lambda w: (w[1] is not ONE, w[1].op == "hole", len(holes(w[1])), w[1].key))
    if whole and not bare and len(others) != len(node.args) and all(sub.op != "hole" for _, sub in others):
        return  # no need to try them: each takes one term, and some are left
    terms = {rest: c for c, rest in map(split, node.args)}
    for found, factor, left in _some_terms(matcher, others, terms, bound, None):
        if factor is None:
            continue
        rest = add(*[mul(const(c), term) for term, c in left.items()])
        if not bare:
            yield Found(found, factor, rest)
        elif left:
            ((c, place),) = bare
            yield Found({**found, place: mul(const(Fraction(1) / (factor * c)), rest)}, factor, ZERO)


_Terms: TypeAlias = dict[Node, Number]


def _some_terms(matcher: Matcher, wanted: list[tuple[Number, Node]], terms: _Terms, bound: Bindings,
                factor: Number | None) -> Iterator[tuple[Bindings, Number | None, _Terms]]:  # fmt: skip
    if not wanted:
        yield bound, factor, terms
        return
    coefficient, pattern = wanted[0]
    if pattern.op == "hole":
        known = _without_terms(terms, mul(const(coefficient), filled(pattern, bound)), factor)
        if known is not None:
            yield from _some_terms(matcher, wanted[1:], known[1], bound, known[0])
        return
    for term in _candidates(matcher, pattern, terms, bound):
        ratio = terms[term] if coefficient == 1 else Fraction(terms[term]) / coefficient
        if factor is None or ratio == factor:
            for found in matcher.match(pattern, term, bound):
                left = {t: c for t, c in terms.items() if t is not term}
                yield from _some_terms(matcher, wanted[1:], left, found, ratio)


def _without_terms(terms: _Terms, known: Node, factor: Number | None) -> tuple[Number, _Terms] | None:
    """The terms without a multiple of a known sum: (the multiple, the terms left), or None where it is not there."""
    left = dict(terms)
    for coefficient, rest in map(split, terms_of(known)):
        own = left.pop(rest, None)
        if own is None or (factor is not None and own != factor * coefficient):
            return None
        factor = Fraction(own) / coefficient
    return None if factor is None else (factor, left)


def _candidates(matcher: Matcher, pattern: Node, terms: _Terms, bound: Bindings) -> list[Node]:
    """The terms that the pattern may be; where all its holes are filled, one at most."""
    if pattern is ONE:
        return [ONE] if ONE in terms else []
    if is_filled(pattern, bound) and pattern.op not in SPECIAL:
        exact = filled(pattern, bound)
        if exact in terms:
            return [exact]
        if len(terms) > MANY:  # of very many, those only that may be another formula's name
            return [term for term in terms if term.op == "read"]
    return [term for term in terms if term.op == pattern.op or term.op == "read"]


def products(matcher: Matcher, pattern: Node, node: Node, bound: Bindings) -> Iterator[Found]:
    """Some factors of the node are the pattern; a bare hole takes all that is left."""
    scale, rest = split(pattern)
    wanted = [_based(factor) for factor in factors_of(rest)]
    bare = [base for base, _ in wanted if base.op == "hole" and base not in bound]
    inside = frozenset().union(*[holes(base) for base, _ in wanted if base.op != "hole"])
    takers = [h for h in bare if h not in inside]
    others = [w for w in wanted if w[0] not in takers]
    others.sort(key=lambda w: (w[0].op == "hole", w[0].op == "mul", len(holes(w[0])), w[0].key))
    own, product = split(node)
    powers = _powers(product)
    takers.sort(key=lambda h: str(h.data))
    for found, factor, left in _some_factors(
        matcher, others, powers, bound, own if scale == 1 else Fraction(own) / scale
    ):
        yield from _taken(takers, found, factor, left)


def _based(factor: Node) -> tuple[Node, Number | Node]:
    """A factor as base and exponent; in patterns, the exponent may be a hole."""
    if factor.op == "pow":
        return factor.args[0], number(factor)
    return (factor.args[0], factor.args[1]) if factor.op == "raised" else (factor, 1)


def _powers(product: Node) -> _Terms:
    """The factors of a formula, each with its exponent."""
    powers: _Terms = {}
    for factor in factors_of(product):
        if factor.op == "pow":
            powers[factor.args[0]] = number(factor)
        elif factor is not ONE:
            powers[factor] = 1
    return powers


def _product(factor: Number, powers: _Terms) -> Node:
    return mul(const(factor), *[power(base, exponent) for base, exponent in powers.items()])


def _taken(takers: list[Node], bound: Bindings, factor: Number, left: _Terms) -> Iterator[Found]:
    """Bare holes take what is left: the last all of it, those before it one factor each."""
    if not takers:
        yield Found(bound, 1, _product(factor, left))
    elif len(takers) == 1:
        yield Found({**bound, takers[0]: _product(factor, left)}, 1, ONE)
    else:
        for base, exponent in left.items():
            others = {b: e for b, e in left.items() if b is not base}
            yield from _taken(takers[1:], {**bound, takers[0]: power(base, exponent)}, factor, others)


def _some_factors(matcher: Matcher, wanted: list[tuple[Node, Number | Node]], powers: _Terms, bound: Bindings,
                  factor: Number) -> Iterator[tuple[Bindings, Number, _Terms]]:  # fmt: skip
    if not wanted:
        yield bound, factor, powers
        return
    (pattern, exponent), further = wanted[0], wanted[1:]
    if is_filled(pattern, bound) and pattern.op not in SPECIAL and isinstance(exponent, (int, Fraction)):
        taken = _without(powers, filled(pattern, bound), exponent)
        if taken is not None:
            yield from _some_factors(
                matcher, further, taken[1], bound, factor if taken[0] == 1 else factor / Fraction(taken[0])
            )
            return
    if pattern.op == "hole":
        return
    for base, own in powers.items():
        left, met = _left(powers, base, own, exponent)
        if left is not None:
            for found, scale in _based_matches(matcher, pattern, base, bound, met):
                for complete in (
                    [found] if isinstance(exponent, (int, Fraction)) else matcher.match(exponent, const(met), found)
                ):
                    yield from _some_factors(matcher, further, left, complete, factor * scale)


def _left(powers: _Terms, base: Node, own: Number, exponent: Number | Node) -> tuple[_Terms | None, Number]:
    """The factors without base^exponent, or None where that is not among them; and the exponent that was met."""
    others = {b: e for b, e in powers.items() if b is not base}
    if isinstance(exponent, Node) or own == exponent:
        return others, own
    if isinstance(own, int) and isinstance(exponent, int) and own * exponent > 0 and abs(own) > abs(exponent):
        return {**others, base: own - exponent}, exponent
    return None, exponent


def _without(powers: _Terms, product: Node, exponent: Number) -> tuple[Number, _Terms] | None:
    """The factors without a known product to some power: (the constant that it had, the factors left)."""
    coefficient, rest = split(power(product, exponent))
    left = powers
    for base, wanted in _powers(rest).items():
        taken, _ = _left(left, base, left.get(base, 0), wanted)
        if taken is None:
            return None
        left = taken
    return coefficient, left


def _based_matches(
    matcher: Matcher, pattern: Node, base: Node, bound: Bindings, exponent: Number
) -> Iterator[tuple[Bindings, Number]]:
    """The base as an instance of the pattern; of a sum, up to a factor, which is returned to its power."""
    if pattern.op == "add" and isinstance(exponent, int):
        opened = matcher.open(pattern, base)
        if opened.op == "add":
            for found in sums(matcher, pattern, opened, bound, whole=True):
                if found.left is ZERO:
                    yield found.bound, Fraction(found.factor) ** exponent
        return
    for bindings in matcher.match(pattern, base, bound):
        yield bindings, 1
