"""What functions of ours take: SymPy scalars, matrices, tensors, numbers; the rest is refused with a reason."""

from __future__ import annotations

import operator
from typing import Any

import sympy as sp
from sympy.core.sympify import SympifyError
from sympy.logic.boolalg import Boolean
from sympy.matrices.matrixbase import MatrixBase

from sympile.compiler.errors import ArgumentError, ShapeError, UnsupportedNode
from sympile.compiler.language.advice import advice
from sympile.compiler.language.protocol import Ours
from sympile.compiler.language.sizes import Shape, shown


def operand(value: Any, function: str, *, condition: bool = False) -> Any:
    """A SymPy object that a function of ours can take.

    Args:
        value: what the user wrote.
        function: the name of the function, for messages.
        condition: whether a relation such as `x > 0` is welcome.

    Raises:
        UnsupportedNode: arrays, lists, strings, and what SymPy has distorted.
    """
    if isinstance(value, (str, list, tuple, dict, set)):
        raise UnsupportedNode(f"{function}: {value!r} is no formula; a list of numbers is written sympy.Matrix([...])")
    refuse_array(value, function)
    try:
        made = value.as_immutable() if isinstance(value, MatrixBase) else sp.sympify(value, strict=True)
    except SympifyError:
        raise UnsupportedNode(f"{function}: cannot use {value!r}, a {type(value).__name__}, in a formula") from None
    if is_relation(made) and condition:
        return made
    _check(made, function)
    return made


def refuse_array(value: Any, function: str) -> None:
    """Raises UnsupportedNode for a NumPy array, or one of its kind; a NumPy number is welcome."""
    if getattr(value, "dtype", None) is not None and bool(getattr(value, "shape", ())):
        raise UnsupportedNode(f"{function}: {_array_words(value)}")


def is_relation(made: Any) -> bool:
    """Whether it is true or false, such as `x > 0` (to SymPy a Symbol is a Boolean, too)."""
    return isinstance(made, Boolean) and not isinstance(made, sp.Expr)


def axes_of(function: str, shape: Shape, axis: Any) -> tuple[int, ...]:
    """Axes as nonnegative numbers in order; None means all.

    Raises:
        ShapeError: an axis does not exist.
        ArgumentError: an axis is no integer, or is named twice.
    """
    if axis is None:
        return tuple(range(len(shape)))
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    numbers = [integer(one, function) for one in given]
    if not numbers or any(not -len(shape) <= one < len(shape) for one in numbers):
        raise ShapeError(f"{function}: axis {axis} of {shown(shape)} does not exist")
    wrapped = sorted(one % len(shape) for one in numbers)
    if len(set(wrapped)) < len(wrapped):
        raise ArgumentError(f"{function}: axis {axis} names an axis of {shown(shape)} twice")
    return tuple(wrapped)


def integer(value: Any, function: str) -> int:
    """A plain integer, such as an axis."""
    try:
        return int(value) if isinstance(value, sp.Integer) else operator.index(value)
    except TypeError:
        raise ArgumentError(f"{function}: an axis is an integer, not {value!r}") from None


def _check(made: Any, function: str) -> None:
    """Refuses what has no meaning here; only the outermost part is looked at, the reader sees the rest."""
    words = advice(made)
    if words:
        raise UnsupportedNode(f"{function}: {words}")
    if is_relation(made):
        raise UnsupportedNode(f"{function}: {made} is true or false, not a number; write where({made}, 1, 0)")
    if not isinstance(made, (sp.Expr, Ours)):
        raise UnsupportedNode(f"{function}: {made}, a {type(made).__name__}, is neither scalar, matrix nor tensor")


def _array_words(array: Any) -> str:
    if str(array.dtype) == "object":
        return (
            "this is a NumPy array of objects, which NumPy makes of np.float64(2)*A or array @ A; "
            "write A*2, or a MatrixSymbol whose value is the array"
        )
    return f"an array of shape {tuple(array.shape)} is a value, not a formula; write a MatrixSymbol or a Tensor for it"
