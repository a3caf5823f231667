"""Running reductions along an axis: of each entry and all before it, or all after it."""

from __future__ import annotations

from typing import Any

from sympile.compiler.errors import ArgumentError
from sympile.compiler.language.intake import axes_of, operand
from sympile.compiler.language.reductions import LAST, default_axes
from sympile.compiler.language.sizes import is_array, shape_of
from sympile.compiler.language.tensor import build


def _cumulative(name: str, x: Any, axis: Any, reverse: bool) -> Any:
    """A running reduction has the shape of its argument; a scalar is its own."""
    made = operand(x, name)
    if not is_array(made):
        return made
    axes = default_axes(made) if axis == LAST else axes_of(name, shape_of(made), axis)
    if len(axes) != 1:
        raise ArgumentError(f"{name}: a running reduction goes along one axis, not {axis}")
    return build(name, made, options=(axes, bool(reverse)))


def cumsum(x: Any, axis: Any = LAST, reverse: bool = False) -> Any:
    """The sum of each entry and all before it along an axis.

    Args:
        x: a matrix or a tensor; a scalar is its own.
        axis: an integer, or "last" (default): the last, of a k×1 or 1×k matrix the long one.
        reverse: whether it is of each entry and all after it.

    Returns:
        A value of the shape of `x`. It is computed in one pass, and so are its derivatives.

    Example:
        >>> import sympile as sm, sympy as sp, numpy as np
        >>> x = sp.MatrixSymbol("x", 4, 1)
        >>> sm.lambdify([x], sm.cumsum(x))(np.array([1.0, 2.0, 3.0, 4.0]))[:, 0]
        array([ 1.,  3.,  6., 10.])
        >>> sm.lambdify([x], sm.cumsum(x, reverse=True))(np.array([1.0, 2.0, 3.0, 4.0]))[:, 0]
        array([10.,  9.,  7.,  4.])
    """
    return _cumulative("cumsum", x, axis, reverse)


def cumprod(x: Any, axis: Any = LAST, reverse: bool = False) -> Any:
    """The product of each entry and all before it along an axis; arguments and result as of `cumsum`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.cumprod(sp.MatrixSymbol("x", 4, 1))
        cumprod(x)
    """
    return _cumulative("cumprod", x, axis, reverse)


def cummax(x: Any, axis: Any = LAST, reverse: bool = False) -> Any:
    """The largest of each entry and all before it along an axis; arguments and result as of `cumsum`.

    At a tie all that are largest share the slope equally.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.cummax(sp.MatrixSymbol("x", 4, 1))
        cummax(x)
    """
    return _cumulative("cummax", x, axis, reverse)


def cummin(x: Any, axis: Any = LAST, reverse: bool = False) -> Any:
    """The smallest of each entry and all before it along an axis; arguments and result as of `cumsum`.

    At a tie all that are smallest share the slope equally.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.cummin(sp.MatrixSymbol("x", 4, 1))
        cummin(x)
    """
    return _cumulative("cummin", x, axis, reverse)


def logcumsumexp(x: Any, axis: Any = LAST, reverse: bool = False) -> Any:
    """log(cumsum(exp(x))) without overflow, however far entries are apart; arguments and result as of `cumsum`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.logcumsumexp(sp.MatrixSymbol("x", 4, 1), reverse=True)
        logcumsumexp(x, reverse=True)
    """
    return _cumulative("logcumsumexp", x, axis, reverse)
