"""Functions over an axis, of matrices and tensors: by default the last; of a column or row, the long one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError
from sympile.compiler.language import printing
from sympile.compiler.language.bridges import as_scalar
from sympile.compiler.language.intake import axes_of, operand
from sympile.compiler.language.sizes import is_array, shape_of
from sympile.compiler.language.tensor import TensorExpr, build

# fmt: off
OF_A_SCALAR: dict[str, Callable[[Any], Any]] = {  # a scalar is an axis of one entry
    "sum":         lambda x: x,
    "mean":        lambda x: x,
    "prod":        lambda x: x,
    "max":         lambda x: x,
    "min":         lambda x: x,
    "logsumexp":   lambda x: x,
    "norm":        sp.Abs,
    "softmax":     lambda x: sp.S.One,
    "log_softmax": lambda x: sp.S.Zero,
}
# fmt: on

LAST = "last"


def default_axes(made: Any) -> tuple[int, ...]:
    """The last axis; of a matrix with a literal 1, the long one."""
    shape = shape_of(made)
    column = made.is_Matrix and shape[1] == 1 and shape[0] != 1
    return (0,) if column else (len(shape) - 1,)


def _reduced(name: str, x: Any, axis: Any, keepdims: bool, *more: Any) -> Any:
    """A reduction; a matrix stays a matrix unless one entry is left, which is then a scalar."""
    made = operand(x, name)
    if not is_array(made):
        return OF_A_SCALAR[name](made)
    shape = shape_of(made)
    axes = default_axes(made) if axis == LAST else axes_of(name, shape, axis)
    if isinstance(made, TensorExpr):
        return build(name, made, options=(axes, bool(keepdims), *more))
    if not keepdims and all(size == 1 for at, size in enumerate(shape) if at not in axes):
        return build(name, made, options=((0, 1), False, *more))
    return build(name, made, options=(axes, True, *more))


def _normalized(name: str, x: Any, axis: Any) -> Any:
    made = operand(x, name)
    if not is_array(made):
        return OF_A_SCALAR[name](made)
    axes = default_axes(made) if axis == LAST else axes_of(name, shape_of(made), axis)
    return build(name, made, options=(axes,))


def sum(x: Any, axis: Any = LAST, keepdims: bool = False) -> Any:
    """The sum over an axis.

    Args:
        x: a matrix or a tensor; a scalar is its own sum.
        axis: an integer, a tuple of them, None for all, or "last" (default), of a k×1 or 1×k matrix the long one.
        keepdims: whether a tensor's summed axes stay with size 1 (a matrix keeps them always).

    Returns:
        A scalar if one entry is left; otherwise a matrix of a matrix, a tensor of a tensor.

    Raises:
        ShapeError: the axis does not exist.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> A = sp.MatrixSymbol("A", 2, 3)
        >>> sm.sum(A).shape, sm.sum(A, axis=None)*A
        ((2, 1), sum(A, axis=None)*A)
    """
    return _reduced("sum", x, axis, keepdims)


def mean(x: Any, axis: Any = LAST, keepdims: bool = False) -> Any:
    """The mean over an axis; arguments and result as of `sum`.

    Args:
        x: a matrix or a tensor; a scalar is its own mean.
        axis: an integer, a tuple of them, None for all, or "last" (default).
        keepdims: whether a tensor's axes stay with size 1.

    Returns:
        A scalar, a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.mean(sp.MatrixSymbol("x", 3, 1))
        mean(x)
    """
    return _reduced("mean", x, axis, keepdims)


def prod(x: Any, axis: Any = LAST, keepdims: bool = False) -> Any:
    """The product over an axis; arguments and result as of `sum`.

    Args:
        x: a matrix or a tensor; a scalar is its own product.
        axis: an integer, a tuple of them, None for all, or "last" (default).
        keepdims: whether a tensor's axes stay with size 1.

    Returns:
        A scalar, a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.prod(sp.MatrixSymbol("x", 3, 1))
        prod(x)
    """
    return _reduced("prod", x, axis, keepdims)


def max(x: Any, axis: Any = LAST, keepdims: bool = False) -> Any:
    """The largest entry along an axis; its slope is shared equally among ties. Arguments and result as of `sum`.

    Args:
        x: a matrix or a tensor; a scalar is its own maximum.
        axis: an integer, a tuple of them, None for all, or "last" (default).
        keepdims: whether a tensor's axes stay with size 1.

    Returns:
        A scalar, a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.max(sp.MatrixSymbol("A", 2, 3), axis=0).shape
        (1, 3)
    """
    return _reduced("max", x, axis, keepdims)


def min(x: Any, axis: Any = LAST, keepdims: bool = False) -> Any:
    """The smallest entry along an axis; its slope is shared equally among ties. Arguments and result as of `sum`.

    Args:
        x: a matrix or a tensor; a scalar is its own minimum.
        axis: an integer, a tuple of them, None for all, or "last" (default).
        keepdims: whether a tensor's axes stay with size 1.

    Returns:
        A scalar, a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.min(sp.MatrixSymbol("x", 3, 1))
        min(x)
    """
    return _reduced("min", x, axis, keepdims)


def logsumexp(x: Any, axis: Any = LAST, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over an axis, without overflow; arguments and result as of `sum`.

    Args:
        x: a matrix or a tensor; a scalar is its own.
        axis: an integer, a tuple of them, None for all, or "last" (default).
        keepdims: whether a tensor's axes stay with size 1.

    Returns:
        A scalar, a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.logsumexp(sp.MatrixSymbol("z", 3, 1))
        logsumexp(z)
    """
    return _reduced("logsumexp", x, axis, keepdims)


def norm(x: Any, p: Any = 2, axis: Any = LAST, keepdims: bool = False) -> Any:
    """The p-norm over an axis: sum(|x|^p)^(1/p); the largest absolute value for p = inf. The slope at 0 is 0.

    Args:
        x: a matrix or a tensor; of a scalar, the absolute value.
        p: a positive number, or infinity; 2, the Euclidean norm, by default.
        axis: an integer, a tuple of them, None for all (of a matrix: the Frobenius norm), or "last" (default).
        keepdims: whether a tensor's axes stay with size 1.

    Returns:
        A scalar, a matrix or a tensor.

    Raises:
        ArgumentError: p is no positive number.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.norm(sp.MatrixSymbol("x", 3, 1))**2
        norm(x)**2
    """
    return _reduced("norm", x, axis, keepdims, _order(p))


def _order(p: Any) -> int | float:
    """The p of a norm as a plain number."""
    try:
        order = float(p)
    except TypeError:
        order = float("nan")
    if isinstance(p, bool) or not order > 0:
        raise ArgumentError(f"norm: p is a positive number or infinity, not {p!r}")
    return int(order) if order.is_integer() else order


def softmax(x: Any, axis: Any = LAST) -> Any:
    """exp(x) divided by its sum over an axis, without overflow.

    Args:
        x: a matrix or a tensor; of a scalar, 1.
        axis: an integer, or "last" (default): the last, of a k×1 or 1×k matrix the long one.

    Returns:
        A value of the shape of `x`, its entries positive with sum 1 along the axis.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.softmax(sp.MatrixSymbol("z", 3, 1))
        softmax(z)
    """
    return _normalized("softmax", x, axis)


def log_softmax(x: Any, axis: Any = LAST) -> Any:
    """The logarithm of softmax: x - logsumexp(x).

    Args:
        x: a matrix or a tensor; of a scalar, 0.
        axis: an integer, or "last" (default): the last, of a k×1 or 1×k matrix the long one.

    Returns:
        A value of the shape of `x`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.log_softmax(sp.MatrixSymbol("z", 3, 1))
        log_softmax(z)
    """
    return _normalized("log_softmax", x, axis)


def over_everything(expression: Any) -> str:
    """How to make one number of an array: the same reduction over all axes, if it is one over some."""
    operation = getattr(expression, "operation", None)
    if operation not in OF_A_SCALAR or operation in ("softmax", "log_softmax"):
        return "take a sum, sympile.sum(..., axis=None), a mean or a norm of it"
    whole = printing.short(expression.operands[0])
    order = f", p={expression.options[2]}" if operation == "norm" and expression.options[2] != 2 else ""
    words = f"write sympile.{operation}({whole}{order}, axis=None), of all entries"
    return f"{words} (without axis=None it runs along each row)" if expression.options[0] == (1,) else words


def pick(z: Any, number: Any) -> Any:
    """The entry of a vector with this number, or of each row along the last axis.

    Args:
        z: a k×1 or 1×k matrix, a tensor, or an n×k matrix.
        number: an integer-valued scalar between 0 and k - 1; for rows, one number each.

    Returns:
        A scalar, or one entry for each row.

    Raises:
        ShapeError: there is not one number for each row.
    """
    made, chosen = operand(z, "pick"), operand(number, "pick")
    return build("pick", made, as_scalar(chosen) if set(shape_of(chosen)) <= {sp.S.One} else chosen)
