"""Activation functions and statistics that are a formula of other functions."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError
from sympile.compiler.language.bridges import add
from sympile.compiler.language.entrywise import multiply, power, square
from sympile.compiler.language.functions import apply
from sympile.compiler.language.intake import axes_of, operand
from sympile.compiler.language.reductions import LAST, default_axes, mean, sum
from sympile.compiler.language.sizes import is_array, product, shape_of

_CUBIC = sp.Float("0.044715", 32)  # Hendrycks and Gimpel 2016, section 2


def elu(x: Any, alpha: Any = 1) -> Any:
    """Elementwise: x where x > 0, alpha*(exp(x) - 1) elsewhere (Clevert et al. 2015).

    Args:
        x: a scalar, a matrix or a tensor.
        alpha: a number or a scalar; 1 by default, as everywhere.

    Returns:
        A value of the shape of `x`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.elu(sp.MatrixSymbol("x", 3, 1))
        elu(x)
    """
    if alpha == 1:
        return apply("elu", x)
    return apply("where", apply("greater", x, 0), x, multiply(operand(alpha, "elu"), apply("expm1", x)))


def gelu(x: Any, approximate: bool = False) -> Any:
    """Elementwise: x times the standard normal distribution function of x (Hendrycks and Gimpel 2016).

    Args:
        x: a scalar, a matrix or a tensor.
        approximate: whether to use the older form with tanh, as GPT-2 does; False by default, as in Keras and PyTorch.

    Returns:
        A value of the shape of `x`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.gelu(sp.MatrixSymbol("x", 3, 1))
        gelu(x)
    """
    if not approximate:
        return apply("gelu", x)
    inner = multiply(sp.sqrt(8 / sp.pi), add(multiply(_CUBIC, power(x, 3)), x))  # (1 + tanh(u))/2 is sigmoid(2*u)
    return multiply(x, apply("sigmoid", inner))


def relu6(x: Any) -> Any:
    """Elementwise: x kept between 0 and 6.

    Args:
        x: a scalar, a matrix or a tensor.

    Returns:
        A value of the shape of `x`; the slope is 0 at 0 and one half at 6.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.relu6(sp.Symbol("x"))
        Min(6, relu(x))
    """
    return apply("minimum", apply("relu", x), 6)


def hard_sigmoid(x: Any) -> Any:
    """Elementwise: x/6 + 1/2 kept between 0 and 1.

    Args:
        x: a scalar, a matrix or a tensor.

    Returns:
        A value of the shape of `x`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.hard_sigmoid(sp.Symbol("x"))
        Min(6, relu(x + 3))/6
    """
    return multiply(sp.Rational(1, 6), relu6(add(x, 3)))


def hard_silu(x: Any) -> Any:
    """Elementwise: x*hard_sigmoid(x), also known as hard_swish (Howard et al. 2019).

    Args:
        x: a scalar, a matrix or a tensor.

    Returns:
        A value of the shape of `x`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.hard_silu(sp.Symbol("x"))
        x*Min(6, relu(x + 3))/6
    """
    return multiply(x, hard_sigmoid(x))


def var(x: Any, axis: Any = LAST, keepdims: bool = False, ddof: int = 0) -> Any:
    """The variance over an axis: the mean of the squared distances from the mean.

    Args:
        x: a matrix or a tensor; a scalar has variance 0.
        axis: an integer, a tuple of them, None for all, or "last" (default), of a k×1 or 1×k matrix the long one.
        keepdims: whether a tensor's axes stay with size 1 (a matrix keeps them always).
        ddof: what is taken off the number of entries before dividing by it; 0 as in NumPy, 1 for the unbiased estimate.

    Returns:
        A scalar if one entry is left; otherwise a matrix of a matrix, a tensor of a tensor.

    Raises:
        ShapeError: the axis does not exist.
        ArgumentError: no entries would be left to divide by.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.var(sp.MatrixSymbol("x", 3, 1))
        mean(HadamardPower(x - mean(x), 2))
    """
    made = operand(x, "var")
    if not is_array(made):
        return sp.S.Zero
    squares = square(_centred(made, axis))
    if ddof == 0:
        return mean(squares, axis, keepdims)
    return sum(squares, axis, keepdims) / _left("var", made, axis, ddof)


def std(x: Any, axis: Any = LAST, keepdims: bool = False, ddof: int = 0) -> Any:
    """The standard deviation over an axis, the root of `var`; its slope is 0 where all entries are equal.

    Args:
        x: a matrix or a tensor; a scalar has deviation 0.
        axis: as of `var`.
        keepdims: as of `var`.
        ddof: as of `var`.

    Returns:
        A value as of `var`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.std(sp.MatrixSymbol("x", 3, 1))
        sqrt(mean(HadamardPower(x - mean(x), 2)))
    """
    return apply("sqrt", var(x, axis, keepdims, ddof))


def _centred(made: Any, axis: Any) -> Any:
    if not made.is_Matrix:
        return made - mean(made, axis, keepdims=True)
    return add(made, -mean(made, axis))  # its axes stay, or a scalar is left


def _left(function: str, made: Any, axis: Any, ddof: Any) -> Any:
    """The number of entries along the axes, less ddof."""
    axes = default_axes(made) if axis == LAST else axes_of(function, shape_of(made), axis)
    left = product(tuple(shape_of(made)[one] for one in axes)) - sp.sympify(ddof)
    if left.is_number and not left > 0:
        raise ArgumentError(f"{function}: ddof={ddof} leaves nothing to divide by")
    return left


