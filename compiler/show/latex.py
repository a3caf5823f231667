"""Formulas as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp
from sympy.matrices.expressions.slice import MatrixSlice
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE

from sympile.compiler.language.nodes import Ours
from sympile.compiler.show.products import transposed
from sympile.compiler.show.text import in_order, is_inner, is_ones_term, places

Form = Callable[[Any, Any], str]  # (printer, node) → LaTeX


def latex(expression: Any) -> str:
    """An expression as LaTeX, without dollar signs."""
    return str(FormulaLatex().doprint(expression))


def latex_lines(label: str, expr: Any, where: Mapping[str, Any]) -> str:
    """The formula and its names, aligned at the equals signs."""
    lines = [(latex_label(label), expr), *[(latex(sp.Symbol(name)), value) for name, value in where.items()]]
    body = " \\\\\n".join(f"{left} &= {latex(right)}" for left, right in lines)
    return f"$$\\begin{{aligned}}\n{body}\n\\end{{aligned}}$$"


def latex_label(label: str) -> str:
    """dloss/dW1 as a fraction of differentials."""
    above, slash, below = label.partition("/")
    parts = [latex_differential(part) for part in (above, below) if part]
    return rf"\frac{{{parts[0]}}}{{{parts[1]}}}" if slash else latex(sp.Symbol(label))


def latex_differential(word: str) -> str:
    """dW1 as ∂W_1; several words one after another."""
    return (
        rf"\partial {latex(sp.Symbol(word[1:]))}" if word.startswith("d") and len(word) > 1 else latex(sp.Symbol(word))
    )


class FormulaLatex(LatexPrinter):  # type: ignore[misc]
    """SymPy's printer with the signs of matrix calculus."""

    def _print(self, expr: Any, **hints: Any) -> str:
        """Nodes of ours by the rows below, if there is one."""
        form = FORMS.get(expr.operation) if isinstance(expr, Ours) else None
        return form(self, expr) if form else str(super()._print(expr, **hints))

    def _print_MatAdd(self, expr: Any) -> str:
        texts = [self._term(t) for t in in_order(expr.args)]
        joined = texts[0]
        for part in texts[1:]:
            joined += f" - {part[1:].lstrip()}" if part.startswith("-") else f" + {part}"
        return joined

    def _term(self, term: Any) -> str:
        if is_ones_term(term):
            return str(
                self._print(
                    sp.Mul(*[a for a in term.args if not a.is_Matrix]) if isinstance(term, sp.MatMul) else sp.S.One
                )
            )
        return str(self._print(term))

    def _print_MatrixSlice(self, expr: Any) -> str:
        return f"{self.parenthesize(expr.parent, PRECEDENCE['Atom'], strict=True)}_{{{places(self, expr)}}}"

    def _print_Transpose(self, expr: Any) -> str:
        if isinstance(expr.arg, MatrixSlice):
            return f"{self._print(expr.arg)}^{{T}}"
        return str(super()._print_Transpose(expr))

    def _print_OneMatrix(self, expr: Any, *args: Any) -> str:
        return r"\mathbf{1}^{T}" if expr.shape[0] == 1 and expr.shape[1] != 1 else r"\mathbf{1}"

    def _print_DiagMatrix(self, expr: Any, *args: Any) -> str:
        return rf"\operatorname{{diag}}\left({self._print(expr.args[0])}\right)"

    def _print_Pow(self, expr: Any) -> str:
        """As SymPy, but that the inner product of which there is a power stands in parentheses."""
        below = expr.exp.is_Rational and expr.exp.is_negative  # in a fraction, whose denominator comes here again
        if not is_inner(expr.base) or expr.exp == sp.S.Half or below:
            return str(super()._print_Pow(expr))
        return rf"\left({self._print(expr.base)}\right)^{{{self._print(expr.exp)}}}"

    def _print_HadamardPower(self, expr: Any, *args: Any) -> str:
        base = self.parenthesize(expr.base, PRECEDENCE["Atom"], strict=True)
        return rf"{base} \circ {base}" if expr.exp == 2 else rf"{base}^{{\circ {self._print(expr.exp)}}}"

    def _print_ElementwiseApplyFunction(self, expr: Any, *args: Any) -> str:
        (variable,) = expr.function.variables
        return str(self._print(expr.function.expr.xreplace({variable: sp.Symbol(self._print(expr.expr))})))


def _dot(printer: FormulaLatex, expr: Any) -> str:
    left, right = (transposed(o) if o.shape[0] == 1 and o.shape[1] != 1 else o for o in expr.operands)
    return printer._print(sp.MatMul(transposed(left), right))


def _bare(printer: FormulaLatex, expr: Any) -> str:
    return printer._print(expr.operands[0])


def _compared(sign: str) -> Form:
    def form(printer: FormulaLatex, expr: Any) -> str:
        left, right = (printer._print(o) for o in expr.operands)
        return rf"\left[{left} {sign} {right}\right]"

    return form


FORMS: dict[str, Form] = {"dot": _dot, "scalar": _bare, "greater": _compared(">"), "less": _compared("<")}
