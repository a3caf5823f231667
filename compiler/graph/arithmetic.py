"""The normal form of scalar formulas: constructors that flatten, sort and collect, so that equal means identical."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.node import (
    MINUS_ONE,
    ONE,
    ZERO,
    Node,
    Number,
    by_key,
    const,
    make,
    number,
    target,
    without_coefficient,
)

# Longer sums and products are not flattened into others: in a long chain that would take quadratic time.
MOST_TERMS, MOST_FACTORS = 32, 8
_OPENED = frozenset(("const", "add", "when"))
_EXACT = 2**53  # larger integers are floats in disguise: no common factor of theirs is pulled out


# ------------------------------------------------------------------------------------------------ sums


def add(*terms: Node) -> Node:
    """The sum: flattened, like terms collected, a common integer factor and the sign of the lead term in front."""
    if len(terms) == 2:
        if terms[0] is ZERO:
            return terms[1]
        if terms[1] is ZERO:
            return terms[0]
    if len(set(terms)) == len(terms) > 1 and all([_stands_alone(term) for term in terms]):
        return make("add", *sorted(terms, key=by_key))
    constant, coefficients, written = _collect(terms)
    items = [(rest, c) for rest, c in coefficients.items() if c != 0]
    if not items:
        return const(constant)
    if len(items) == 1 and constant == 0:
        return scaled(items[0][1], items[0][0])
    items.sort(key=lambda item: item[0].key)
    content = _content([c for _, c in items], constant)
    if (constant or _lead(items)) < 0:
        content = -content
    if content == 1:
        body = [written[rest] if rest in written else _term(c, rest) for rest, c in items]
    else:
        body = [_term(_ratio(c, content), rest) for rest, c in items]
    if constant:
        body.append(const(_ratio(constant, content)))
    total = make("add", *body)
    return total if content == 1 else make("mul", const(content), total)


def _stands_alone(term: Node) -> bool:
    """Whether a term has no coefficient, and no terms of its own."""
    op = term.op
    if op == "mul":
        return term.args[0].op != "const"
    return op not in _OPENED


def _lead(items: Sequence[tuple[Node, Number]]) -> Number:
    """The coefficient of the first term that is computed, if any is: prediction - target, whatever they are called."""
    for rest, coefficient in items:
        if rest.op != "read" or target(rest).kind != "input":
            return coefficient
    return items[0][1]


def _collect(terms: tuple[Node, ...]) -> tuple[Number, dict[Node, Number], dict[Node, Node]]:
    """The constant part, the coefficient of every other term, and the terms that stay as they were given."""
    constant: Number = 0
    coefficients: dict[Node, Number] = {}
    written: dict[Node, Node] = {}
    pending: list[tuple[Node, Number]] = [(term, 1) for term in reversed(terms)]
    while pending:
        term, factor = pending.pop()
        coefficient, rest = split(term)
        whole = factor == 1 and (rest is term or (term.op == "mul" and (rest.op != "mul" or len(term.args) > 2)))
        factor = coefficient if factor == 1 else factor * coefficient
        if rest is ONE:
            constant += factor
        elif rest.op == "add" and len(rest.args) <= MOST_TERMS:
            pending.extend((t, factor) for t in reversed(rest.args))
        elif rest in coefficients:
            coefficients[rest] += factor
            written.pop(rest, None)
        else:
            coefficients[rest] = factor
            if whole:
                written[rest] = term
    return constant, coefficients, written


def split(term: Node) -> tuple[Number, Node]:
    """A term as (constant coefficient, the rest)."""
    if term.op == "const":
        return number(term), ONE
    if term.op == "mul" and term.args[0].op == "const":
        return number(term.args[0]), without_coefficient(term)
    if term.op == "when" and term.args[0].op in ("mul", "const"):
        coefficient, rest = split(term.args[0])
        return coefficient, term if coefficient == 1 else make("when", rest, *term.args[1:])
    return 1, term


def _term(coefficient: Number, rest: Node) -> Node:
    return rest if coefficient == 1 else scaled(coefficient, rest)


def scaled(coefficient: Number, rest: Node) -> Node:
    """coefficient * rest, for a rest without a coefficient of its own."""
    if coefficient == 0:
        return ZERO
    if coefficient == 1:
        return rest
    if rest.op == "mul":
        return make("mul", const(coefficient), *rest.args)
    if rest.op == "when":
        inner = rest.args[0]
        return make("when", const(coefficient) if inner is ONE else scaled(coefficient, inner), *rest.args[1:])
    return make("mul", const(coefficient), rest)


def _content(coefficients: list[Number], constant: Number) -> int:
    every = [*coefficients, constant] if constant else coefficients
    common = 0
    for c in every:
        if not isinstance(c, int) or abs(c) >= _EXACT:
            return 1
        common = math.gcd(common, c)
        if common == 1:
            return 1
    return common or 1


def _ratio(a: Number, b: int) -> Number:
    if b in (1, -1):
        return a * b
    return a // b if isinstance(a, int) else a / b


# ------------------------------------------------------------------------------------------------ products


def mul(*factors: Node) -> Node:
    """The product: flattened, sorted, powers of one base collected, constants in front; guards move outside."""
    if len(factors) == 2:
        if factors[0] is ONE:
            return factors[1]
        if factors[1] is ONE:
            return factors[0]
    coefficient: Number = 1
    exponents: dict[Node, Number] = {}
    conditions: list[Node] = []
    pending = list(reversed(factors))
    while pending:
        factor = pending.pop()
        if factor.op == "mul" and len(factor.args) <= MOST_FACTORS:
            pending.extend(reversed(factor.args))
        elif factor.op == "const":
            coefficient *= number(factor)
        elif factor.op == "when":
            conditions.extend(factor.args[1:])
            pending.append(factor.args[0])
        else:
            base, exponent = (factor.args[0], factor.data) if factor.op == "pow" else (factor, 1)
            assert isinstance(exponent, (int, Fraction))
            exponents[base] = exponents.get(base, 0) + exponent
    if coefficient == 0:
        return ZERO
    product = _product(coefficient, exponents)
    return when(product, *conditions) if conditions else product


def _product(coefficient: Number, exponents: dict[Node, Number]) -> Node:
    out: list[Node] = []
    for base, exponent in exponents.items():
        if exponent == 1:
            out.append(base)
        elif exponent != 0:
            powered = power(base, exponent)
            c, rest = split(powered)
            coefficient *= c
            out.extend(rest.args if rest.op == "mul" else () if rest is ONE else (rest,))
    out.sort(key=by_key)
    if coefficient != 1 or not out:
        out.insert(0, const(coefficient))
    return out[0] if len(out) == 1 else make("mul", *out)


def factors_of(node: Node) -> tuple[Node, ...]:
    return node.args if node.op == "mul" else (node,)


def terms_of(node: Node) -> tuple[Node, ...]:
    """The terms of a sum; those of c*(a + b) are c*a and c*b."""
    if node.op == "add":
        return node.args
    coefficient, rest = split(node)
    if rest.op == "add" and node.op == "mul":
        return tuple(mul(const(coefficient), term) for term in rest.args)
    return (node,)


def power(base: Node, exponent: Number) -> Node:
    """base to a constant power; an integer power of a product is a product."""
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        exponent = exponent.numerator
    if exponent == 0:
        return ONE
    if exponent == 1:
        return base
    whole = isinstance(exponent, int)
    if base.op == "const":
        value = number(base)
        if isinstance(exponent, int) and value != 0 and abs(exponent) <= 64:
            return const(Fraction(value) ** int(exponent))
        if base is ONE or (base is ZERO and exponent > 0):
            return base
    if whole:
        if base.op == "pow":
            assert isinstance(base.data, (int, Fraction))
            return power(base.args[0], base.data * exponent)
        if base.op == "mul":
            return mul(*[power(factor, exponent) for factor in base.args])
        if base.op == "root_square" and exponent % 2 == 0:  # the square of a norm is a sum of squares
            return power(base.args[0], exponent // 2)
        if base.op == "when" and exponent >= 1:
            return make("when", power(base.args[0], exponent), *base.args[1:])
    if not whole and base.op == "mul" and base.args[0].op == "const" and number(base.args[0]) > 0:
        coefficient, rest = split(base)
        root = _exact_root(coefficient, exponent)
        if root is not None:
            return mul(root, power(rest, exponent))
    return make("pow", base, data=exponent)


def _exact_root(value: Number, exponent: Number) -> Node | None:
    """value ** exponent where that is rational, as 4 ** (1/2)."""
    fraction, exponent = Fraction(value), Fraction(exponent)
    parts = []
    for part in (fraction.numerator, fraction.denominator):
        root = round(part ** (1 / exponent.denominator)) if part < _EXACT else 0
        if root**exponent.denominator != part:
            return None
        parts.append(root)
    return const(Fraction(parts[0], parts[1]) ** exponent.numerator)


def neg(a: Node) -> Node:
    return mul(MINUS_ONE, a)


def sub(a: Node, b: Node) -> Node:
    return add(a, neg(b))


def div(a: Node, b: Node) -> Node:
    return mul(a, power(b, -1))


def square(a: Node) -> Node:
    return power(a, 2)


def sqrt(a: Node) -> Node:
    return power(a, Fraction(1, 2))
