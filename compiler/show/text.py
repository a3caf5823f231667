"""Formulas as plain text: ∘ for the elementwise product, .T, functions of each entry by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from sympile.compiler.language.nodes import Ours
from sympile.compiler.show.products import split_scalars, times, transposed, written

Form = Callable[[Any, Any], str]  # (printer, node) → text
_INNER = frozenset({"dot", "scalar"})  # scalars that are written as products of matrices


def text(expression: Any) -> str:
    """An expression on one line."""
    return str(FormulaPrinter().doprint(expression))


def places(printer: Any, part: Any) -> str:
    """The rows and columns of a slice, as one writes them: w, :"""
    return ", ".join(
        _place(printer, key, length)
        for key, length in zip((part.rowslice, part.colslice), part.parent.shape, strict=True)
    )


def _place(printer: Any, key: Any, length: Any) -> str:
    start, stop, step = key
    if stop - start == 1 and length != 1:
        return str(printer._print(start))
    bounds = ["" if start == 0 else printer._print(start), "" if stop == length else printer._print(stop)]
    return ":".join([*bounds, *([] if step == 1 else [printer._print(step)])])


class FormulaPrinter(StrPrinter):  # type: ignore[misc]
    """SymPy's printer with the signs of matrix calculus."""

    def _print(self, expr: Any, **hints: Any) -> str:
        """Nodes of ours by the rows below, if there is one."""
        form = FORMS.get(expr.operation) if isinstance(expr, Ours) else None
        return form(self, expr) if form else str(super()._print(expr, **hints))

    def _print_MatAdd(self, expr: Any) -> str:
        below = common_denominator(expr.args)
        if below > 1:
            return f"({self._print(sp.MatAdd(*[times([sp.Integer(below)], [t]) for t in expr.args]))})/{below}"
        texts = [self._term(t) for t in in_order(expr.args)]
        joined = texts[0]
        for part in texts[1:]:
            joined += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
        return joined

    def _term(self, term: Any) -> str:
        """One term of a sum; a number times the matrix of ones is the number."""
        if is_ones_term(term):
            return str(self._print(sp.Mul(*split_scalars(term)[0])))
        return str(self._print(term))

    def _print_MatrixSlice(self, expr: Any) -> str:
        return f"{self.parenthesize(expr.parent, PRECEDENCE['Atom'], strict=True)}[{places(self, expr)}]"

    def _print_MatMul(self, expr: Any) -> str:
        scalars, matrices = split_scalars(expr)
        number, scalar = _number_apart(scalars)
        if number == -1 and scalar == 1 and len(matrices) == 1 and _begins_with_minus(matrices[0]):
            return str(self._print(sp.MatAdd(*[times([sp.S.NegativeOne], [t]) for t in matrices[0].args])))
        sign = "-" if number.is_negative else ""
        above, below = fraction(abs(number))
        numerator, denominator = fraction(scalar)
        denominator = below * denominator
        if not scalar.is_Add:
            above, numerator = sp.S.One, above * numerator
        front = [self._front(part) for part in (above, numerator) if part != 1]
        elementwise = (
            len(matrices) == 1 and isinstance(matrices[0], sp.HadamardProduct | sp.HadamardPower) and denominator == 1
        )
        factors = [str(self._print(matrices[0]))] if elementwise else [self._factor(m) for m in matrices]
        body = "*".join([*front, *factors])
        return f"{sign}{body}{self._below(denominator)}"

    def _factor(self, matrix: Any) -> str:
        """A matrix as a factor of a product."""
        written = str(self._print(matrix))
        plain = is_word_or_call(written) or (isinstance(matrix, sp.Transpose) and written.endswith(".T"))
        return written if plain else f"({written})"

    def _front(self, scalar: Any) -> str:
        """A scalar in front of matrices: a product of matrices in it stands in parentheses."""
        written = self._mul_with_inner(scalar, last_open=False)
        return written if scalar.is_Mul or is_word_or_call(written) else self.parenthesize(scalar, PRECEDENCE["Mul"])

    def _print_Mul(self, expr: Any) -> str:
        return self._mul_with_inner(expr, last_open=True)

    def _mul_with_inner(self, expr: Any, last_open: bool) -> str:
        """A product of scalars; v.T*w in it comes last, and only the very last may stand without parentheses."""
        factors = sp.Mul.make_args(expr)
        inner = [f for f in factors if is_inner(f)]
        if not inner:
            return str(super()._print_Mul(expr)) if expr.is_Mul else str(self._print(expr))
        rest = sp.Mul(*[f for f in factors if f not in inner])
        texts = [f"({self._print(f)})" for f in inner]
        numerator, denominator = fraction(rest)
        if last_open and denominator == 1:
            texts[-1] = texts[-1][1:-1]
        if rest == 1:
            return "*".join(texts)
        sign = "-" if numerator.could_extract_minus_sign() else ""
        numerator = -numerator if sign else numerator
        before = [] if numerator == 1 else [self.parenthesize(numerator, PRECEDENCE["Mul"])]
        return f"{sign}{'*'.join([*before, *texts])}{self._below(denominator)}"

    def _below(self, denominator: Any) -> str:
        """What a product is divided by: nothing for 1, v.T*w in parentheses."""
        if denominator == 1:
            return ""
        written = self.parenthesize(denominator, PRECEDENCE["Atom"], strict=True)
        return f"/({written})" if is_inner(denominator) else f"/{written}"

    def _print_Add(self, expr: Any, order: Any = None) -> str:
        """As SymPy; with matrices in it, a term with a plus first."""
        terms = self._as_ordered_terms(expr, order=order)
        turned = len(terms) == 2 and [term.as_coeff_Mul()[0] for term in terms] == [-1, 1]
        if (turned or any(has_ours(t) for t in terms)) and terms[0].could_extract_minus_sign():
            terms.sort(key=lambda t: bool(t.could_extract_minus_sign()))
            texts = [str(self._print(t)) for t in terms]
            return texts[0] + "".join(f" - {part[1:]}" if part.startswith("-") else f" + {part}" for part in texts[1:])
        return str(super()._print_Add(expr, order))

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        if is_inner(expr.base) and expr.exp not in (sp.S.Half, -sp.S.Half):
            return f"({self._print(expr.base)})**{self.parenthesize(expr.exp, PRECEDENCE['Pow'])}"
        return str(super()._print_Pow(expr, rational))

    def _print_HadamardProduct(self, expr: Any) -> str:
        return "∘".join(self._tight(a) for a in expr.args)

    def _print_HadamardPower(self, expr: Any) -> str:
        base = self._tight(expr.base)
        if expr.exp == 2:
            return f"{base}∘{base}"
        return (
            f"sqrt({self._print(expr.base)})"
            if expr.exp == sp.S.Half
            else f"{base}.^{self.parenthesize(expr.exp, PRECEDENCE['Atom'])}"
        )

    def _tight(self, expr: Any) -> str:
        """An operand of ∘: everything that is not one word stands in parentheses."""
        written = str(self._print(expr))
        plain = (
            is_word_or_call(written)
            or isinstance(expr, sp.Transpose)
            or (isinstance(expr, sp.HadamardPower) and expr.exp != 2)
        )
        return written if plain else f"({written})"

    def _print_OneMatrix(self, expr: Any) -> str:
        return f"ones({self._print(expr.shape[0])}, {self._print(expr.shape[1])})"

    def _print_ImmutableDenseMatrix(self, expr: Any) -> str:
        """Inside a formula on one line; a formula that is one, row by row."""
        if self._print_level == 1:
            return str(super()._print_MatrixBase(expr))
        rows = [f"[{', '.join(self._print(entry) for entry in row)}]" for row in expr.tolist()]
        return f"Matrix([{', '.join(row[1:-1] if expr.cols == 1 else row for row in rows)}])"

    def _print_DiagMatrix(self, expr: Any) -> str:
        return f"diag({self._print(expr.args[0])})"

    def _print_DiagonalOf(self, expr: Any) -> str:
        return f"diagonal({self._print(expr.arg)})"

    def _print_Inverse(self, expr: Any) -> str:
        return f"inv({self._print(expr.arg)})"

    def _print_Determinant(self, expr: Any) -> str:
        return f"det({self._print(expr.arg)})"

    def _print_Trace(self, expr: Any) -> str:
        return f"trace({self._print(expr.arg)})"

    def _print_Transpose(self, expr: Any) -> str:
        written = str(self._print(expr.arg))
        return f"{written}.T" if is_word_or_call(written) else f"({written}).T"

    def _print_ElementwiseApplyFunction(self, expr: Any) -> str:
        """The function's formula with the argument in place of its variable."""
        (variable,) = expr.function.variables
        argument = self._print(expr.expr)
        body = expr.function.expr
        called = isinstance(body, sp.Function) or (body.is_Pow and body.exp == sp.S.Half)
        plain = called and body.args[0] == variable
        word = sp.Symbol(argument if plain or isinstance(expr.expr, sp.MatrixSymbol) else f"({argument})")
        return str(self._print(expr.function.expr.xreplace({variable: word})))

    def _print_Piecewise(self, expr: Any) -> str:
        """1 where a condition holds, else 0, as [condition]."""
        if len(expr.args) == 2 and expr.args[1] == (0, True) and expr.args[0][0] == 1:
            return f"[{self._print(expr.args[0][1])}]"
        return str(super()._print_Function(expr))

    def _print_Relational(self, expr: Any) -> str:
        left, right = (self._print(a) for a in expr.args)
        return f"{left} {expr.rel_op} {right}" if expr.rel_op != "==" else f"{left} = {right}"


def is_inner(expression: Any) -> bool:
    """Whether a scalar is written as a product of matrices, v.T*w."""
    return getattr(expression, "operation", None) in _INNER


def is_word_or_call(written: str) -> bool:
    """Whether a text is a name, a call f(...), or something in brackets: nothing can come apart in it."""
    opening = next((k for k, c in enumerate(written) if c in "(["), len(written))
    if not written[:opening].replace("_", "a").isalnum() and opening > 0:
        return False
    if opening == len(written):
        return True
    depth = 0
    for k, letter in enumerate(written):
        depth += (letter in "([") - (letter in ")]")
        if k >= opening and depth == 0:
            return k == len(written) - 1
    return False


def has_ours(expression: Any) -> bool:
    """Whether a node of ours stands in it."""
    return any(isinstance(part, Ours) for part in sp.preorder_traversal(expression))


def in_order(terms: Sequence[Any]) -> list[Any]:
    """Terms of a sum as one reads them best."""
    return sorted(terms, key=_term_order)


def is_ones_term(term: Any) -> bool:
    """Whether it is a scalar times the matrix of ones, of which one writes the scalar only."""
    _, matrices = split_scalars(term)
    return len(matrices) == 1 and isinstance(matrices[0], sp.OneMatrix)


def _begins_with_minus(matrix: Any) -> bool:
    """Whether a sum has more terms with a minus than without, or as many: -(1 - x) is x - 1."""
    if not isinstance(matrix, sp.MatAdd):
        return False
    return 2 * sum(bool(_number_apart(split_scalars(t)[0])[0].is_negative) for t in matrix.args) >= len(matrix.args)


def _number_apart(scalars: Sequence[Any]) -> tuple[Any, Any]:
    """The number in front, and the other scalars; a sum is not multiplied out."""
    number, rest = sp.S.One, sp.S.One
    for scalar in scalars:
        own, other = (sp.S.One, scalar) if scalar.is_Add else scalar.as_coeff_Mul()
        number, rest = number * own, sp.Mul(rest, other)
    return number, rest


def fraction(scalar: Any) -> tuple[Any, Any]:
    """Numerator and denominator as they stand; nothing is multiplied out."""
    above, below = [], []
    for factor in sp.Mul.make_args(scalar):
        if factor.is_Rational:
            above.append(sp.Integer(factor.p))
            below.append(sp.Integer(factor.q))
        elif factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
            below.append(1 / factor)
        else:
            above.append(factor)
    return sp.Mul(*above), sp.Mul(*below)


def common_denominator(terms: Sequence[Any]) -> int:
    """q where every term of a sum is 1/q times plus or minus a product without a number; otherwise 1."""
    numbers = [sp.Mul(*split_scalars(t)[0]).as_coeff_Mul()[0] for t in terms]
    fractions = {abs(number) for number in numbers}
    (only, *others) = fractions
    return int(only.q) if not others and only.is_Rational and only.p == 1 else 1


def _term_order(term: Any) -> tuple[bool, bool, int, tuple[str, str]]:
    """Plus before minus, numbers first, longer products first."""
    scalars, matrices = split_scalars(term)
    minus = bool(_number_apart(scalars)[0].is_negative)
    ones = all(isinstance(m, sp.OneMatrix) for m in matrices) and all(bool(s.is_number) for s in scalars)
    return minus, not ones, -len(matrices) - sum(not s.is_number for s in scalars), written(term)


def _dot(printer: FormulaPrinter, expr: Any) -> str:
    left, right = (transposed(o) if o.shape[0] == 1 and o.shape[1] != 1 else o for o in expr.operands)
    return f"{printer._factor(transposed(left))}*{printer._factor(right)}"


def _bare(printer: FormulaPrinter, expr: Any) -> str:
    return str(printer._print(expr.operands[0]))


def _compared(sign: str) -> Form:
    def form(printer: FormulaPrinter, expr: Any) -> str:
        left, right = (printer._print(o) for o in expr.operands)
        return f"[{left} {sign} {right}]"

    return form


FORMS: dict[str, Form] = {"dot": _dot, "scalar": _bare, "greater": _compared(">"), "less": _compared("<")}
