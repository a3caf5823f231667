"""Scalars made of matrices and tensors: reductions, elements, dot products, named scalars, indexed binders, choices."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.errors import ShapeError
from sympile.compiler.language.nodes import Interned
from sympile.compiler.language.shapes import infer
from sympile.compiler.language.sizes import Shape, shown


class ScalarFunction(Interned, sp.Expr):  # type: ignore[misc]
    """A real number made by one of our operations; commutative, so that `sum(t)*A` works.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.sum(sp.MatrixSymbol("t", 3, 1)) * sp.MatrixSymbol("A", 2, 2)
        sum(t)*A
    """

    is_commutative = True
    is_real = True
    is_number = False

    def _infer_shape(self) -> Shape:
        shape = infer(self.operation, self.operands, self.options)
        if shape:
            raise ShapeError(f"{self.operation}: the result has shape {shown(shape)} and is no scalar")
        return shape

    @property
    def shape(self) -> Any:
        """Scalars have none."""
        raise AttributeError("a scalar has no shape")

    def _stand_in(self, number: int) -> Any:
        return sp.Dummy(f"_aside_{number}", real=True)


class Choice(ScalarFunction):
    """A `sympy.Piecewise` inside a formula of ours that binds indices; operands are value, condition, value, …

    `sympy.Sum` draws every Piecewise below it to its top, out of the range of the index that its condition asks for.
    """

    def _infer_shape(self) -> Shape:
        return ()
