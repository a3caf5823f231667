"""Matrices that SymPy's own classes cannot write: elementwise functions, softmax, reductions of one axis, names."""

from __future__ import annotations

from typing import Any, NoReturn

import sympy as sp
from sympy.matrices.expressions.matexpr import MatrixElement

from sympile.compiler.errors import FormulaError, ShapeError
from sympile.compiler.language import printing
from sympile.compiler.language.intake import refuse_array
from sympile.compiler.language.nodes import Interned
from sympile.compiler.language.shapes import RULES, infer
from sympile.compiler.language.sizes import Shape, mismatch, same_shape, shape_of, shown

STRETCHING = frozenset({"add", "mul", "div", "pow"})  # in which a row or a column may be repeated


class MatrixFunction(Interned, sp.MatrixExpr):  # type: ignore[misc]
    """A matrix made by one of our operations; made by the functions of this package, never directly.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.tanh(sp.MatrixSymbol("x", 3, 1)).shape
        (3, 1)
    """

    _op_priority = 11.5  # above SymPy's matrices, so that `1 - h` and `A/h` ask us; below tensors

    __array_ufunc__ = None  # so that `np.float64(2)*h` asks us; NumPy would make an array of entries

    def _infer_shape(self) -> Shape:
        shape = infer(self.operation, self.operands, self.options)
        if len(shape) != 2:
            raise ShapeError(f"{self.operation}: the result has shape {shown(shape)} and is no matrix")
        if self.operation not in RULES:
            self._check_no_stretching(shape)
        return shape

    def _check_no_stretching(self, shape: Shape) -> None:
        """Matrices agree in shape, as in SymPy; a row or column stretches only where one says so."""
        fits = [same_shape(shape_of(one), shape) for one in self.operands if shape_of(one)]
        if not (any(fits) if self.operation in STRETCHING else all(fits)):
            raise mismatch(self.operation, self.operands, "sympile.add and sympile.multiply repeat a row or a column")

    def _stand_in(self, number: int) -> Any:
        return sp.MatrixSymbol(f"_aside_{number}_{self._serial}", *self.shape)

    def _entry(self, i: Any, j: Any, **hints: Any) -> Any:
        return MatrixElement(self, i, j)

    def __add__(self, other: Any) -> Any:
        return self if _is_zero(other) else super().__add__(self._summand(other, "{0} + {1}"))

    def __radd__(self, other: Any) -> Any:
        return self if _is_zero(other) else super().__radd__(self._summand(other, "{1} + {0}"))

    def __sub__(self, other: Any) -> Any:
        return super().__sub__(self._summand(other, "{0} - {1}"))

    def __rsub__(self, other: Any) -> Any:
        return super().__rsub__(self._summand(other, "{1} - {0}"))

    def __mul__(self, other: Any) -> Any:
        refuse_array(other, "*")
        return super().__mul__(other)

    def __rmul__(self, other: Any) -> Any:
        refuse_array(other, "*")
        return super().__rmul__(other)

    def __rmatmul__(self, other: Any) -> Any:
        refuse_array(other, "@")
        return super().__rmatmul__(other)

    def __pow__(self, other: Any) -> Any:
        if not self.is_square and self.shape != (1, 1):
            self._refuse(f"{printing.short(self)}**{other}", f"HadamardPower(M, {other}) for the power of each entry")
        return super().__pow__(other)

    def __rtruediv__(self, other: Any) -> NoReturn:
        self._refuse(f"{other}/{printing.short(self)}", "HadamardPower(M, -1) for 1 over each entry")

    def __abs__(self) -> NoReturn:
        self._refuse(f"abs({printing.short(self)})", "sympile.abs(M) for the absolute value of each entry")

    def __gt__(self, other: Any) -> NoReturn:
        self._refuse(f"{printing.short(self)} > {other}", f"sympile.greater(M, {other})")

    def __lt__(self, other: Any) -> NoReturn:
        self._refuse(f"{printing.short(self)} < {other}", f"sympile.less(M, {other})")

    def __ge__(self, other: Any) -> NoReturn:
        self._refuse(f"{printing.short(self)} >= {other}", f"sympile.greater(M, {other})")

    def __le__(self, other: Any) -> NoReturn:
        self._refuse(f"{printing.short(self)} <= {other}", f"sympile.less(M, {other})")

    def _summand(self, other: Any, form: str) -> Any:
        """The other summand, if it is one; SymPy's own message would name neither."""
        refuse_array(other, "+")
        scalar = isinstance(other, (int, float)) or (isinstance(other, sp.Expr) and not hasattr(other, "shape"))
        if scalar:
            shown_sum = form.format(printing.short(self), other)
            one = "sympile.scalar(M) + s" if self.shape == (1, 1) else "sympile.add(M, s)"
            self._refuse(shown_sum, f"{one} to add a scalar s to a matrix M")
        return other

    def _refuse(self, what: str, instead: str) -> NoReturn:
        raise FormulaError(f"{what} has no meaning for a matrix of shape {shown(self.shape)}; write {instead}")


def _is_zero(value: Any) -> bool:
    """Whether it is the plain 0 with which Python's `sum` starts."""
    return isinstance(value, (int, sp.Integer)) and value == 0
