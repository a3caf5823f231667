"""Linear algebra by NumPy's names, of matrices and of tensors, whose last two axes are the matrix."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.errors import ShapeError
from sympile.compiler.language.bridges import matmul
from sympile.compiler.language.functions import apply
from sympile.compiler.language.intake import operand
from sympile.compiler.language.sizes import described, is_array, same, shape_of
from sympile.compiler.language.tensor import TensorExpr, build


def det(A: Any) -> Any:
    """The determinant.

    Args:
        A: a square matrix; or a tensor, whose last two axes are the matrix.

    Returns:
        A scalar; of a tensor with more than two axes, a tensor of the axes before the matrix.

    Raises:
        ShapeError: the matrix is not square.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.det(sp.MatrixSymbol("A", 3, 3)), sm.det(sm.Tensor("X", (3, 3)))
        (Determinant(A), det(X))
    """
    made = _square("det", A)
    return build("det", made) if isinstance(made, TensorExpr) else sp.Determinant(made)


def logdet(A: Any) -> Any:
    """The logarithm of the determinant, without overflow; nan where the determinant is negative.

    Args:
        A: a square matrix; or a tensor, whose last two axes are the matrix.

    Returns:
        A scalar; of a tensor with more than two axes, a tensor of the axes before the matrix.

    Raises:
        ShapeError: the matrix is not square.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> A = sp.MatrixSymbol("A", 3, 3)
        >>> print(sm.grad(sm.logdet(A), A))
        inv(A).T
    """
    return apply("log", det(_square("logdet", A)))


def inv(A: Any) -> Any:
    """The inverse matrix; a product `inv(A)*b` solves a system of equations and forms no inverse.

    Args:
        A: a square matrix; or a tensor, whose last two axes are the matrix.

    Returns:
        A value of the kind and shape of `A`.

    Raises:
        ShapeError: the matrix is not square.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.inv(sp.MatrixSymbol("A", 3, 3)), sm.inv(sm.Tensor("X", (3, 3)))
        (A**(-1), inv(X))
    """
    made = _square("inv", A)
    return build("inv", made) if isinstance(made, TensorExpr) else sp.Inverse(made)


def solve(A: Any, b: Any) -> Any:
    """The x of A*x = b.

    Args:
        A: a square matrix; or a tensor, whose last two axes are the matrix.
        b: a column or a matrix of as many rows; or a tensor, one of rank 1 among them.

    Returns:
        A value of the shape of `b`: a matrix of two matrices, otherwise a tensor.

    Raises:
        ShapeError: the matrix is not square, or the rows are not as many.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.solve(sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("b", 3, 1))
        A**(-1)*b
    """
    return matmul(inv(_square("solve", A)), b)


def _square(function: str, A: Any) -> Any:
    """A square matrix, or a tensor of those."""
    made = operand(A, function)
    shape = shape_of(made)
    if not is_array(made) or len(shape) < 2 or not same(shape[-2], shape[-1]):
        raise ShapeError(f"{function}: {described(made)}, is no square matrix")
    return made
