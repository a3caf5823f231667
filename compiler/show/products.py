"""Products, transposes and sums of SymPy matrices that keep the order in which they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp
from sympy.matrices.expressions.applyfunc import ElementwiseApplyFunction

from sympile.compiler import language
from sympile.compiler.show.scalars import lacks_constant, negated_sum, product


def split_scalars(expression: Any) -> tuple[list[Any], list[Any]]:
    """A matrix expression as (scalar factors, matrix factors)."""
    if isinstance(expression, sp.MatMul):
        return [a for a in expression.args if not a.is_Matrix], [a for a in expression.args if a.is_Matrix]
    return [], [expression]


def times(scalars: Sequence[Any], matrices: Sequence[Any]) -> Any:
    """scalars * matrices, flattened; identities vanish; a minus in front goes into a sum without constant term."""
    outer: list[Any] = list(scalars)
    chain: list[Any] = []
    for matrix in matrices:
        own, factors = split_scalars(matrix)
        outer.extend(own)
        chain.extend(factors)
    identities = [m for m in chain if m.is_Identity]
    chain = [m for m in chain if not m.is_Identity] or identities[:1]
    number = sp.Mul(*[s for s in outer if s.is_Number])
    if number == 0:
        return sp.ZeroMatrix(chain[0].shape[0], chain[-1].shape[1])
    rest = product([s for s in outer if not s.is_Number])
    own, rest = rest.as_coeff_Mul() if not rest.is_Add else (sp.S.One, rest)
    number = number * own
    if number.is_negative:
        number, rest, chain = _sign_inside(number, rest, chain)
    front = [s for s in ((number * rest,) if not rest.is_Add else (number, rest)) if s != 1]
    return chain[0] if len(chain) == 1 and not front else sp.MatMul(*front, *chain)


def _sign_inside(number: Any, rest: Any, chain: list[Any]) -> tuple[Any, Any, list[Any]]:
    """A minus goes into a sum without constant term, if there is one."""
    if lacks_constant(rest):
        return -number, negated_sum(rest), chain
    flipped = next((k for k, m in enumerate(chain) if _flippable(m)), None)
    if flipped is None:
        return number, rest, chain
    return -number, rest, [*chain[:flipped], negated(chain[flipped]), *chain[flipped + 1 :]]


def _flippable(matrix: Any) -> bool:
    return isinstance(matrix, sp.MatAdd) and not any(_is_constant(term) for term in matrix.args)


def _is_constant(term: Any) -> bool:
    scalars, matrices = split_scalars(term)
    return all(bool(s.is_number) for s in scalars) and all(isinstance(m, sp.OneMatrix | sp.Identity) for m in matrices)


def negated(total: Any) -> Any:
    """-(A - B) as B - A."""
    return plus([times([sp.S.NegativeOne], [term]) for term in total.args])


def even(matrix: Any) -> Any:
    """y - A*x as A*x - y, for functions of which the sign does not matter: the longest term gets a plus."""
    if not _flippable(matrix):
        return matrix
    longest = max(matrix.args, key=lambda term: len(split_scalars(term)[1]))
    first = sp.Mul(*split_scalars(longest)[0])
    return negated(matrix) if first.could_extract_minus_sign() else matrix


def plus(terms: Sequence[Any]) -> Any:
    """The sum, in SymPy's own order, so that it equals what a user would write."""
    flat = [
        part
        for term in terms
        for part in (term.args if isinstance(term, sp.MatAdd) else (term,))
        if not part.is_ZeroMatrix
    ]
    if not flat:
        return terms[0]
    return flat[0] if len(flat) == 1 else sp.MatAdd(*sorted(flat, key=sp.default_sort_key))


def transposed(expression: Any) -> Any:
    """The transpose, drawn into products, down to symbols and sums."""
    if isinstance(expression, sp.Transpose):
        return expression.arg
    if isinstance(expression, sp.MatMul):
        scalars, matrices = split_scalars(expression)
        return times(scalars, [transposed(m) for m in reversed(matrices)])
    if isinstance(expression, sp.OneMatrix):
        return sp.OneMatrix(*reversed(expression.shape))
    if isinstance(expression, sp.ZeroMatrix):
        return sp.ZeroMatrix(*reversed(expression.shape))
    if isinstance(expression, sp.Identity | sp.DiagMatrix):
        return expression
    if isinstance(expression, sp.ImmutableDenseMatrix):
        return expression.T
    if isinstance(expression, ElementwiseApplyFunction) and isinstance(expression.expr, sp.Transpose):
        return expression.expr.arg.applyfunc(expression.function)
    if isinstance(expression, sp.Inverse) and isinstance(expression.arg, sp.Transpose):
        return sp.Inverse(expression.arg.arg)
    if isinstance(expression, ElementwiseApplyFunction | sp.HadamardProduct | sp.HadamardPower):
        inside = _transposed_inside(expression)
        return inside if inside.count(sp.Transpose) < 1 + expression.count(sp.Transpose) else sp.Transpose(expression)
    if isinstance(expression, sp.MatAdd):
        inside = plus([transposed(term) for term in expression.args])
        return inside if inside.count(sp.Transpose) < 1 + expression.count(sp.Transpose) else sp.Transpose(expression)
    return sp.Transpose(expression)


def _transposed_inside(expression: Any) -> Any:
    if isinstance(expression, ElementwiseApplyFunction):
        return transposed(expression.expr).applyfunc(expression.function)
    if isinstance(expression, sp.HadamardPower):
        return sp.HadamardPower(transposed(expression.base), expression.exp)
    return sp.HadamardProduct(*[transposed(a) for a in expression.args])


def hadamard(factors: Sequence[Any]) -> Any:
    """The elementwise product: scalars in front, equal factors as a power, sums first."""
    scalars: list[Any] = []
    parts: list[Any] = []
    for factor in factors:
        own, matrices = split_scalars(factor)
        scalars.extend(own)
        inner = matrices[0] if len(matrices) == 1 else sp.MatMul(*matrices)
        parts.extend(inner.args if isinstance(inner, sp.HadamardProduct) else (inner,))
    kept = [p for p in parts if not isinstance(p, sp.OneMatrix)] or parts[:1]
    kept.sort(key=_hadamard_order)
    return times(scalars, [kept[0] if len(kept) == 1 else sp.HadamardProduct(*kept)])


def written(expression: Any) -> tuple[str, str]:
    """What sorts expressions: their symbols in order, then their operations; SymPy's printer is too slow."""
    leaves, operations = [], []
    stack = [expression]
    while stack:
        part = stack.pop()
        operands = getattr(part, "operands", None) or part.args
        if not operands or _is_name(part):
            leaves.append(str(part))
        else:
            operations.append(getattr(part, "operation", None) or type(part).__name__)
            stack.extend(reversed([a for a in operands if isinstance(a, sp.Basic)]))
    return " ".join(leaves), " ".join(operations)


def _is_name(part: Any) -> bool:
    """A or A.T"""
    return isinstance(part.arg if isinstance(part, sp.Transpose) else part, sp.MatrixSymbol)


def _hadamard_order(factor: Any) -> tuple[bool, bool, int, tuple[str, str]]:
    """Sums first, then the longer ones; indicators of a condition last."""
    indicator = getattr(factor, "operation", None) in ("greater", "less")
    return indicator, not isinstance(factor, sp.MatAdd), -_size(factor), written(factor)


def _size(expression: Any) -> int:
    return 1 + sum(_size(a) for a in expression.args) if not isinstance(expression, sp.MatrixSymbol) else 1


def inner_product(factors: Sequence[Any]) -> Any:
    """The sum over all entries of the elementwise product of columns, as a scalar."""
    scalars: list[Any] = []
    columns: list[Any] = []
    for factor in factors:
        own, matrices = split_scalars(factor)
        scalars.extend(own)
        columns.append(matrices[0] if len(matrices) == 1 else sp.MatMul(*matrices))
    columns = _squares_apart(columns)
    if len(columns) == 2 and columns[0] == columns[1]:
        columns = [even(columns[0])] * 2
    columns.sort(key=lambda c: (isinstance(c, sp.MatMul), written(c)))
    if len(columns) == 1:
        return product([*scalars, _sum_of(columns[0])])
    left, right = columns[0], columns[1] if len(columns) == 2 else hadamard(columns[1:])
    if isinstance(left, sp.MatMul) or isinstance(right, sp.MatMul):
        return product([*scalars, language.scalar(times([], [transposed(left), right]))])
    return product([*scalars, language.dot(left, right)])


def _squares_apart(columns: list[Any]) -> list[Any]:
    """v∘v alone as two factors."""
    if len(columns) == 1 and isinstance(columns[0], sp.HadamardPower) and columns[0].exp == 2:
        return [columns[0].base, columns[0].base]
    if len(columns) == 1 and isinstance(columns[0], sp.HadamardProduct) and len(columns[0].args) == 2:
        return list(columns[0].args)
    return columns


def _sum_of(column: Any) -> Any:
    """sum(column); of the constant 1, its length."""
    return sp.Mul(*column.shape) if isinstance(column, sp.OneMatrix) else language.sum(column, axis=None)
