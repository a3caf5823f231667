"""Bridges between scalars, matrices and tensors: scalar, add, dot, matmul, named values, reductions over the batch."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError
from sympile.compiler.language.intake import operand
from sympile.compiler.language.sizes import is_array, mismatch, shape_of
from sympile.compiler.language.tensor import TensorExpr, build


def as_scalar(value: Any) -> Any:
    """The only entry of an array whose sizes are all 1; a scalar as it is."""
    if not is_array(value):
        return value
    if isinstance(value, sp.MatrixBase) and value.shape == (1, 1):
        return value[0, 0]
    return build("scalar", value)


def scalar(M: Any) -> Any:
    """A 1×1 matrix as a scalar; SymPy's `M[0, 0]` would write the product out, entry by entry.

    Args:
        M: a matrix or tensor whose sizes are all 1, or a scalar.

    Returns:
        A commutative scalar.

    Raises:
        ShapeError: `M` has more than one entry.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> w, x = sp.MatrixSymbol("w", 784, 1), sp.MatrixSymbol("x", 784, 1)
        >>> sm.scalar(w.T*x) + 1
        scalar(w.T*x) + 1
    """
    return as_scalar(operand(M, "scalar"))


def add(A: Any, s: Any) -> Any:
    """A matrix plus a scalar, or plus a row or column that is repeated; SymPy's `A + 1` is an error.

    Args:
        A: a matrix, tensor or scalar.
        s: a scalar, a 1×1 matrix, a row or a column of fitting length, or a summand of the same shape.

    Returns:
        A value of the shape of `A`.

    Raises:
        ShapeError: the shapes do not fit each other.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.add(sp.MatrixSymbol("A", 2, 3), 1)
        A + 1
    """
    left, right = operand(A, "add"), operand(s, "add")
    if any(isinstance(one, TensorExpr) for one in (left, right)) or not (is_array(left) or is_array(right)):
        return left + right
    if not is_array(left) or (shape_of(left) == (1, 1) and is_array(right)):
        left, right = right, left
    if shape_of(left) == shape_of(right):
        return left + right
    return build("add", left, as_scalar(right) if shape_of(right) == (1, 1) else right)


def dot(a: Any, b: Any) -> Any:
    """The dot product of two vectors, whichever way they stand.

    Args:
        a: a k×1 or 1×k matrix, or a tensor of rank 1.
        b: likewise, of the same length.

    Returns:
        A commutative scalar.

    Raises:
        ShapeError: the lengths differ, or an operand is no vector.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> w, x = sp.MatrixSymbol("w", 3, 1), sp.MatrixSymbol("x", 3, 1)
        >>> sm.dot(w, x) + 1
        dot(w, x) + 1
    """
    left, right = operand(a, "dot"), operand(b, "dot")
    if all(set(shape_of(one)) <= {sp.S.One} for one in (left, right)):
        return as_scalar(left) * as_scalar(right)
    if not is_array(left) or not is_array(right):
        raise mismatch("dot", [left, right], "dot takes two vectors; a scalar is multiplied with *")
    if any(isinstance(one, TensorExpr) and len(shape_of(one)) > 1 for one in (left, right)):
        return build("matmul", left, right)
    return build("dot", left, right)


def matmul(a: Any, b: Any) -> Any:
    """The matrix product, as NumPy's `@`: for a matrix beside a tensor, where SymPy does not tell `*` from `@`.

    Args:
        a: a matrix, or a tensor of rank 1 or more.
        b: likewise; its last axis but one has the size of the last of `a`.

    Returns:
        A tensor, a matrix (of two matrices), or a scalar (of two vectors of rank 1).

    Raises:
        ShapeError: the shapes do not fit each other.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.matmul(sp.MatrixSymbol("W", 2, 3), sm.Tensor("X", (3, 5))).shape
        (2, 5)
    """
    left, right = operand(a, "matmul"), operand(b, "matmul")
    product = build("matmul", left, right)  # also checks the shapes, of symbolic sizes too
    return product if any(isinstance(one, TensorExpr) for one in (left, right)) else left * right


def named(name: str, expr: Any) -> Any:
    """A value with a name: formulas show it by this name and list it below.

    Args:
        name: what formulas call it, such as "h" or "z_1".
        expr: a scalar, a matrix or a tensor.

    Returns:
        A value of the same kind and shape, which SymPy does not look into.

    Raises:
        ArgumentError: the name is no string, or empty.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> W, x = sp.MatrixSymbol("W", 2, 3), sp.MatrixSymbol("x", 3, 1)
        >>> sm.named("h", sm.tanh(W*x)).T
        h.T
    """
    if not isinstance(name, str) or not name.strip():
        raise ArgumentError(f"named: a name is a string with letters, not {name!r}; write named('h', expr)")
    return build("named", operand(expr, "named"), options=(name,))


def batch_mean(e: Any) -> Any:
    """The mean of a value over the examples of the batch, as batch normalisation needs it.

    Args:
        e: a scalar, a matrix or a tensor of one example.

    Returns:
        A value of the same kind and shape, the same for every example.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.batch_mean(sp.Symbol("x"))
        batch_mean(x)
    """
    return build("batch_mean", operand(e, "batch_mean"))


def batch_sum(e: Any) -> Any:
    """The sum of a value over the examples of the batch.

    Args:
        e: a scalar, a matrix or a tensor of one example.

    Returns:
        A value of the same kind and shape, the same for every example.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.batch_sum(sp.Symbol("x"))
        batch_sum(x)
    """
    return build("batch_sum", operand(e, "batch_sum"))
