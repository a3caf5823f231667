"""Scalar operations as SymPy expressions: one row per operation, used by every notation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.logic.boolalg import Boolean

from sympile.compiler import language
from sympile.compiler.graph.node import Node
from sympile.compiler.rules.functions import FUNCTIONS, SHOWN_CONSTANTS
from sympile.compiler.show.numbers import count, shown_number, shown_size


def scalar(node: Node, args: Sequence[Any]) -> Any:
    """The SymPy form of one operation on operands that are SymPy scalars (or relations, where conditions stand)."""
    build = _BUILD.get(node.op)
    if build is not None:
        return build(node, args)
    return FUNCTIONS[node.op].shown(*args)


# ------------------------------------------------------------------------------------------------ products and signs


def negated_sum(expression: Any) -> Any:
    """-(a - b) as b - a."""
    return sp.Add(*[-term for term in expression.args])


def lacks_constant(expression: Any) -> bool:
    return bool(expression.is_Add) and not any(term.is_number for term in expression.args)


def negatives(expression: Any) -> int:
    """How many terms of a sum begin with a minus."""
    return sum(bool(term.could_extract_minus_sign()) for term in expression.args)


def product(args: Sequence[Any]) -> Any:
    """The product; a minus in front goes into a sum without constant term, so that 2*x*(a*x - y) has none."""
    factors = [_evened(arg) for arg in args]
    if len(factors) == 2 and factors[0].is_number and factors[1].is_Add:
        return sp.Add(*[product([factors[0], *sp.Mul.make_args(term)]) for term in factors[1].args])
    if any(bool(f.is_number) and f.could_extract_minus_sign() for f in factors):
        for k, factor in enumerate(factors):
            if lacks_constant(factor):
                flipped = [*factors[:k], negated_sum(factor), *factors[k + 1 :], sp.S.NegativeOne]
                return batch_means(sp.Mul(*flipped))
    return batch_means(sp.Mul(*factors))


def batch_means(expression: Any) -> Any:
    """batch_sum(x)/batch_sum(1) as batch_mean(x)."""
    if not expression.is_Mul:
        return expression
    sums = [a for a in expression.args if getattr(a, "operation", None) == "batch_sum" and a is not count()]
    if not sums or 1 / count() not in expression.args:
        return expression
    rest = [a for a in expression.args if a is not sums[0] and a != 1 / count()]
    return sp.Mul(*rest, language.batch_mean(sums[0].operands[0]))


def _evened(factor: Any) -> Any:
    """(b - a)**2 as (a - b)**2 where that begins with fewer minuses."""
    even = factor.is_Pow and factor.exp.is_Integer and int(factor.exp) % 2 == 0 and lacks_constant(factor.base)
    turn = even and 2 * negatives(factor.base) > len(factor.base.args)
    return negated_sum(factor.base) ** factor.exp if turn else factor


def _power(node: Node, args: Sequence[Any]) -> Any:
    return _evened(args[0] ** shown_number(node.data))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ conditions


def guarded(value: Any, conditions: Sequence[Any]) -> Any:
    """value where all conditions hold, else 0: deltas and steps as factors, other conditions as a Piecewise."""
    factors = [c for c in conditions if not _is_relation(c)]
    relations = [c for c in conditions if _is_relation(c) and not isinstance(c, sp.Not)]
    inner = sp.Mul(*factors, value)
    for negation in [
        c for c in conditions if isinstance(c, sp.Not)
    ]:  # And and Piecewise would turn not (a < b) into b <= a
        inner = sp.Piecewise((0, negation.args[0]), (inner, True))
    return sp.Piecewise((inner, sp.And(*relations)), (0, True)) if relations else inner


def _is_relation(condition: Any) -> bool:
    return isinstance(condition, Boolean)


def _less(node: Node, args: Sequence[Any]) -> Any:
    return sp.Lt(*args, evaluate=False)


def _when(node: Node, args: Sequence[Any]) -> Any:
    conditions = [_step(c) for c in args[1:]]
    return guarded(args[0], conditions)


def _step(condition: Any) -> Any:
    """0 < a as a factor: Heaviside(a, 0)."""
    if isinstance(condition, sp.StrictLessThan) and condition.args[0] == 0:
        return sp.Heaviside(condition.args[1], 0)
    return condition


def indicator(condition: Any) -> Any:
    """1 where a condition holds, else 0, as a factor."""
    step = _step(condition)
    return sp.Piecewise((1, step), (0, True)) if _is_relation(step) else step


def _select(node: Node, args: Sequence[Any]) -> Any:
    condition, yes, no = args
    otherwise = no.args if isinstance(no, sp.Piecewise) else ((no, True),)
    return sp.Piecewise((yes, condition_of(condition)), *otherwise)


def condition_of(item: Any) -> Any:
    """A delta as a relation."""
    return sp.Eq(*item.args[:2], evaluate=False) if isinstance(item, sp.KroneckerDelta) else item


def _equal_indices(node: Node, args: Sequence[Any]) -> Any:
    return sp.KroneckerDelta(*args)


def _at_least_zero(node: Node, args: Sequence[Any]) -> Any:
    """i - j >= 0 as j <= i: no minus on either side."""
    terms = sp.Add.make_args(args[0])
    minus = [-term for term in terms if term.could_extract_minus_sign()]
    low, high = sp.Add(*minus), sp.Add(*[term for term in terms if not term.could_extract_minus_sign()])
    return sp.Ge(high, low, evaluate=False) if low.is_number else sp.Le(low, high, evaluate=False)


def _divides(node: Node, args: Sequence[Any]) -> Any:
    return sp.Eq(sp.Mod(args[0], node.data), 0)


_BUILD: Mapping[str, Callable[[Node, Sequence[Any]], Any]] = {
    "const": lambda node, args: shown_number(node.data),  # type: ignore[arg-type]
    "constant": lambda node, args: SHOWN_CONSTANTS[str(node.data)],
    "size": lambda node, args: shown_size(node),
    "add": lambda node, args: sp.Add(*args),
    "mul": lambda node, args: product(args),
    "pow": _power,
    "max": lambda node, args: sp.Max(*args),
    "min": lambda node, args: sp.Min(*args),
    "when": _when,
    "select": _select,
    "eq": _equal_indices,
    "ge": _at_least_zero,
    "divides": _divides,
    "less": _less,
    "less_equal": lambda node, args: sp.Le(*args, evaluate=False),
    "equals": lambda node, args: sp.Eq(*args, evaluate=False),
    "differs": lambda node, args: sp.Ne(*args, evaluate=False),
    "and": lambda node, args: sp.And(*map(condition_of, args)),
    "or": lambda node, args: sp.Or(*map(condition_of, args)),
    "not": lambda node, args: sp.Not(condition_of(args[0]), evaluate=False),
}
