"""What is known of values before any number is: sign, sums of squares, symmetry. Unknown is never a yes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from fractions import Fraction
from functools import reduce
from operator import or_
from typing import TypeAlias

from sympile.compiler.graph.arithmetic import factors_of, split, terms_of
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.inline import core
from sympile.compiler.graph.node import ONE, Node, index, number, postorder, target
from sympile.compiler.graph.rebuild import rebuild, substitute
from sympile.compiler.records import dataclass

# A sign is the set of signs that a real value may have, as bits. A nan has none: where it comes in, it goes through.
Sign: TypeAlias = int
NEGATIVE, ZERO_, POSITIVE = 1, 2, 4
ANY, AT_LEAST_ZERO = NEGATIVE | ZERO_ | POSITIVE, ZERO_ | POSITIVE

# fmt: off
ALWAYS: Mapping[str, Sign] = {                       # whatever the operands are
    "exp": POSITIVE, "sigmoid": POSITIVE, "softplus": POSITIVE, "cosh": POSITIVE, "erfc": POSITIVE,
    "relu": AT_LEAST_ZERO, "sqrt": AT_LEAST_ZERO, "root_square": AT_LEAST_ZERO, "acos": AT_LEAST_ZERO, "acosh": AT_LEAST_ZERO,
    "size": POSITIVE, "index": AT_LEAST_ZERO,
    "eq": AT_LEAST_ZERO, "ge": AT_LEAST_ZERO, "divides": AT_LEAST_ZERO, "less": AT_LEAST_ZERO, "less_equal": AT_LEAST_ZERO,
    "equals": AT_LEAST_ZERO, "differs": AT_LEAST_ZERO, "and": AT_LEAST_ZERO, "or": AT_LEAST_ZERO, "not": AT_LEAST_ZERO,
}
SAME = frozenset({                                   # the sign of the one operand
    "tanh", "sinh", "asinh", "atan", "asin", "atanh", "erf", "sign", "cbrt", "expm1", "log1p", "hard_tanh", "elu",
})
CONSTANTS: Mapping[str, Sign] = {
    "pi": POSITIVE, "E": POSITIVE, "EulerGamma": POSITIVE, "GoldenRatio": POSITIVE, "Catalan": POSITIVE, "inf": POSITIVE,
    "-inf": NEGATIVE, "2/sqrt(pi)": POSITIVE, "1/log(2)": POSITIVE, "1/log(10)": POSITIVE,
}
# fmt: on


def _of_number(node: Node) -> Sign:
    value = number(node)
    return POSITIVE if value > 0 else NEGATIVE if value < 0 else ZERO_


def _of_sum(signs: Iterable[Sign]) -> Sign:
    """Terms of one sign keep it, and one that cannot be 0 keeps the sum from 0."""
    parts = list(signs)
    everything = reduce(or_, parts, 0)
    if everything & NEGATIVE and everything & POSITIVE:
        return ANY
    return everything if all(p & ZERO_ for p in parts) else everything & ~ZERO_


def _of_product(signs: Iterable[Sign]) -> Sign:
    return reduce(_times, signs, POSITIVE)


def _times(left: Sign, right: Sign) -> Sign:
    result = (left | right) & ZERO_
    if (left & POSITIVE and right & POSITIVE) or (left & NEGATIVE and right & NEGATIVE):
        result |= POSITIVE
    if (left & POSITIVE and right & NEGATIVE) or (left & NEGATIVE and right & POSITIVE):
        result |= NEGATIVE
    return result


def _of_power(node: Node, base: Sign) -> Sign:
    exponent = Fraction(number(node))
    if exponent.denominator != 1:
        positive = base & ~NEGATIVE if base & ~NEGATIVE else ANY  # where it is a number at all
        return POSITIVE if exponent < 0 else positive
    even = exponent.numerator % 2 == 0
    return base & ~NEGATIVE | (POSITIVE if base & NEGATIVE else 0) if even else base


def _of_maximum(signs: list[Sign]) -> Sign:
    everything = reduce(or_, signs)
    if any(not s & NEGATIVE for s in signs):
        everything &= ~NEGATIVE
    return everything & ~ZERO_ if any(s == POSITIVE for s in signs) else everything


def _mirrored(sign: Sign) -> Sign:
    return sign & ZERO_ | (POSITIVE if sign & NEGATIVE else 0) | (NEGATIVE if sign & POSITIVE else 0)


def _of_minimum(signs: list[Sign]) -> Sign:
    return _mirrored(_of_maximum([_mirrored(s) for s in signs]))


_STRUCTURAL: Mapping[str, Callable[[Node, list[Sign]], Sign]] = {
    "const": lambda node, signs: _of_number(node),
    "constant": lambda node, signs: CONSTANTS.get(str(node.data), ANY),
    "add": lambda node, signs: _of_sum(signs),
    "mul": lambda node, signs: _of_product(signs),
    "pow": lambda node, signs: _of_power(node, signs[0]),
    "abs": lambda node, signs: signs[0] & ZERO_ | (POSITIVE if signs[0] & ~ZERO_ else 0),
    "max": lambda node, signs: _of_maximum(signs),
    "min": lambda node, signs: _of_minimum(signs),
    "when": lambda node, signs: signs[0] | ZERO_,
    "select": lambda node, signs: signs[1] | signs[2],
    "power": lambda node, signs: POSITIVE if signs[0] == POSITIVE else ANY,
}
_OF_REDUCTION: Mapping[str | None, Callable[[Sign], Sign]] = {
    None: lambda sign: sign,
    "sum": lambda sign: _of_sum([sign]),
    "prod": lambda sign: sign if not sign & NEGATIVE else ANY,
    "max": lambda sign: sign,
    "min": lambda sign: sign,
}


@dataclass(slots=True)
class Facts:
    """Signs of nodes, each found once."""

    known: dict[Node, Sign] = field(default_factory=dict)

    def sign(self, root: Node) -> Sign:
        """The signs that the value may have."""
        known, stack = self.known, [root]
        while stack:
            node = stack[-1]
            below = () if node in known else _below(node)
            missing = [b for b in below if b not in known]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if node not in known:
                known[node] = _sign_of(node, [known[b] for b in below])
        return known[root]


def _below(node: Node) -> tuple[Node, ...]:
    """The nodes whose signs decide that of this one; through a read, into the formula."""
    if node.op == "read":
        tensor = target(node)
        return (tensor.formula,) if tensor.kind == "formula" else ()
    return () if node.op in ALWAYS else node.args


def _sign_of(node: Node, signs: list[Sign]) -> Sign:
    if node.op == "read":
        rule = _OF_REDUCTION.get(target(node).monoid)
        return rule(signs[0]) if rule is not None and signs else ANY
    if node.op in SAME:
        return signs[0]
    structural = _STRUCTURAL.get(node.op)
    return structural(node, signs) if structural is not None else ALWAYS.get(node.op, ANY)


# ------------------------------------------------------------------------------------------------ guards of rows


def positive(facts: Facts, node: Node) -> bool:
    """Known to be > 0."""
    return facts.sign(node) == POSITIVE


def not_negative(facts: Facts, node: Node) -> bool:
    """Known to be >= 0."""
    return not facts.sign(node) & NEGATIVE


def may_be_positive(facts: Facts, node: Node) -> bool:
    """Not known to be <= 0."""
    return bool(facts.sign(node) & POSITIVE)


def not_both_one(facts: Facts, left: Node, right: Node) -> bool:
    return not (left is right is ONE)


def varies(facts: Facts, node: Node) -> bool:
    """Not a number that is written in the formula."""
    return node.op not in ("const", "constant")


def is_number(facts: Facts, node: Node) -> bool:
    return node.op == "const"


def even(facts: Facts, node: Node) -> bool:
    return node.op == "const" and Fraction(number(node)) % 2 == 0


def not_even(facts: Facts, node: Node) -> bool:
    return node.op == "const" and Fraction(number(node)) % 2 != 0


def unsigned(facts: Facts, node: Node) -> bool:
    """No minus in front: of f(a) and f(-a), one is chosen."""
    return split(node)[0] > 0


def spans(facts: Facts, node: Node, other: Node) -> bool:
    """No index of the other is missing, so that their sum is not computed more often than the node is."""
    return other.free <= node.free


def unshifted(facts: Facts, node: Node) -> bool:
    """Not a sum of exponentials from which the largest has been taken already: exp(u - m) + exp(v - m) + ..."""
    exponents = [split(term)[1].args[0] for term in node.args if split(term)[1].op == "exp"]
    taken = [_taken_away(exponent) for exponent in exponents]
    return not frozenset.intersection(*taken)


def _taken_away(exponent: Node) -> frozenset[Node]:
    """The maxima that are subtracted; a maximum with 0 is a relu."""
    return frozenset(rest for c, rest in map(split, terms_of(exponent)) if c == -1 and rest.op in ("max", "relu"))


def sum_of_squares(facts: Facts, node: Node) -> bool:
    """A sum of squares that is 0 only where each is: sqrt of it is a norm, with a kink at 0."""
    coefficient, rest = split(node)
    if rest.op == "add":
        return coefficient > 0 and all(_square_term(facts, term) for term in rest.args)
    factors = factors_of(rest)
    sums = [f for f in factors if _reduced_squares(facts, f)]
    return coefficient > 0 and len(sums) == 1 and all(positive(facts, f) for f in factors if f not in sums)


def _reduced_squares(facts: Facts, node: Node) -> bool:
    if node.op != "read" or target(node).monoid not in ("sum", None) or target(node).kind != "formula":
        return False
    body = target(node).formula
    return (_square_term(facts, body) if target(node).monoid else False) or sum_of_squares(facts, body)


def _square_term(facts: Facts, term: Node) -> bool:
    coefficient, rest = split(term.args[0] if term.op == "when" else term)
    factors = factors_of(rest)
    if coefficient <= 0 or not any(map(_even_power, factors)):
        return False
    return all(_even_power(f) or positive(facts, f) for f in factors)


def _even_power(node: Node) -> bool:
    return node.op == "pow" and isinstance(node.data, int) and node.data > 0 and node.data % 2 == 0


# ------------------------------------------------------------------------------------------------ matrices


def symmetric(matrix: Definition) -> bool:
    """True only if the formula is the same with its last two axes exchanged."""
    if matrix.kind == "call":
        return matrix.routine == "inv" and symmetric(matrix.operands[0])
    if matrix.kind == "input" or len(matrix.axes) < 2 or matrix.shape[-1] is not matrix.shape[-2]:
        return False
    (plain,) = core([matrix])
    if plain.kind != "formula":
        return symmetric(plain)
    i, j = plain.axes[-2:]
    return _exchanged(plain.formula, i, j) is plain.formula


def _exchanged(body: Node, i: Node, j: Node) -> Node:
    """The body with two indices exchanged; a read of a symmetric tensor at them is the same read."""
    swapped = substitute(body, {i: j, j: i})
    done: dict[Node, Node] = {}
    for node in postorder([swapped]):
        args = tuple([done[a] for a in node.args])
        done[node] = node if args == node.args else rebuild(node, args)
        if node.op == "read" and args[-2:] == (j, i) and symmetric_sum(target(node)):
            done[node] = rebuild(node, (*args[:-2], i, j))
    return done[swapped]


def symmetric_sum(tensor: Definition) -> bool:
    """A reduction whose formula is the same with its last two axes exchanged, as sum_k L[i, k] L[j, k]."""
    if tensor.kind != "formula" or len(tensor.axes) < 2 or tensor.shape[-1] is not tensor.shape[-2]:
        return False
    i, j = tensor.axes[-2:]
    spare = index(tensor.shape[-1], "#spare")
    once = substitute(tensor.formula, {i: spare})
    return substitute(substitute(once, {j: i}), {spare: j}) is tensor.formula
