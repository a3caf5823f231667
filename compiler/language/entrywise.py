"""Arithmetic entry by entry, of scalars, matrices and tensors alike: what NumPy's operators do and SymPy's do not."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.language.bridges import as_scalar
from sympile.compiler.language.functions import apply
from sympile.compiler.language.intake import operand
from sympile.compiler.language.sizes import is_array, same_shape, shape_of
from sympile.compiler.language.tensor import TensorExpr, build


def multiply(a: Any, b: Any) -> Any:
    """The product of each entry with its counterpart, as NumPy's `*`; SymPy's `A*B` is the matrix product.

    Args:
        a: a scalar, a matrix or a tensor.
        b: likewise: of the same shape, or broadcast as in NumPy (a row or a column beside a matrix).

    Returns:
        A value of the broadcast shape.

    Raises:
        ShapeError: the shapes do not fit each other.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> A, r = sp.MatrixSymbol("A", 2, 3), sp.MatrixSymbol("r", 1, 3)
        >>> sm.multiply(A, A), sm.multiply(A, r).shape
        (HadamardProduct(A, A), (2, 3))
    """
    left, right = _pair("multiply", a, b)
    if not _two_matrices(left, right):
        return build("mul", left, right) if _has_tensor(left, right) else left * right
    return sp.HadamardProduct(left, right) if _alike(left, right) else build("mul", left, right)


def divide(a: Any, b: Any) -> Any:
    """The quotient of each entry by its counterpart, as NumPy's `/`; operands and result as of `multiply`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> A, c = sp.MatrixSymbol("A", 2, 3), sp.MatrixSymbol("c", 2, 1)
        >>> sm.divide(A, c).shape
        (2, 3)
    """
    left, right = _pair("divide", a, b)
    if _has_tensor(left, right):
        return build("div", left, right)
    if not is_array(right):
        return left / right
    inverse = sp.HadamardPower(right, -1)
    if not is_array(left):
        return left * inverse
    return sp.HadamardProduct(left, inverse) if _alike(left, right) else build("div", left, right)


def power(x: Any, exponent: Any) -> Any:
    """Each entry to a power, as NumPy's `**`; of a matrix SymPy's `A**2` is the matrix product with itself.

    Args:
        x: a scalar, a matrix or a tensor.
        exponent: a number or a scalar; or a value of fitting shape, an exponent for each entry.

    Returns:
        A value of the broadcast shape.

    Raises:
        ShapeError: the shapes do not fit each other.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.power(sp.MatrixSymbol("x", 3, 1), 3)
        HadamardPower(x, 3)
    """
    base, times = _pair("power", x, exponent)
    if _has_tensor(base, times) or is_array(times):
        return build("pow", base, times)
    return sp.HadamardPower(base, times) if is_array(base) else base**times


def square(x: Any) -> Any:
    """The square of each entry.

    Args:
        x: a scalar, a matrix or a tensor.

    Returns:
        A value of the shape of `x`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.square(sp.MatrixSymbol("x", 3, 1))
        HadamardPower(x, 2)
    """
    return power(x, 2)


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """Each entry kept between two bounds; at a bound half of the slope is passed on, as by `maximum` and `minimum`.

    Args:
        x: a scalar, a matrix or a tensor.
        low: the lower bound, a number or a value of fitting shape; none by default.
        high: the upper bound, likewise.

    Returns:
        A value of the broadcast shape.

    Raises:
        ShapeError: the shapes do not fit each other.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.clip(sp.Symbol("x"), 0, 1)
        Min(1, Max(0, x))
    """
    kept = operand(x, "clip") if low is None else apply("maximum", x, low)
    return kept if high is None else apply("minimum", kept, high)


def _pair(function: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Both operands; a 1×1 matrix beside a scalar or a larger matrix counts as a scalar."""
    left, right = operand(a, function), operand(b, function)
    if same_shape(shape_of(left), shape_of(right)) or _has_tensor(left, right):
        return left, right
    first, second = (as_scalar(one) if shape_of(one) == (1, 1) else one for one in (left, right))
    return first, second


def _has_tensor(left: Any, right: Any) -> bool:
    return isinstance(left, TensorExpr) or isinstance(right, TensorExpr)


def _two_matrices(left: Any, right: Any) -> bool:
    return not _has_tensor(left, right) and is_array(left) and is_array(right)


def _alike(left: Any, right: Any) -> bool:
    return same_shape(shape_of(left), shape_of(right))
