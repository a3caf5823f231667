"""Class numbers as indicator vectors."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.errors import ShapeError
from sympile.compiler.language.bridges import as_scalar
from sympile.compiler.language.intake import operand
from sympile.compiler.language.sizes import described, shape_of, size
from sympile.compiler.language.tensor import build


def one_hot(number: Any, classes: Any) -> Any:
    """The column that is 1 at the place of a class number and 0 elsewhere; of several numbers, a row for each.

    Args:
        number: a symbol for an integer between 0 and classes - 1, or an n×1 symbol of those.
        classes: how many there are: an integer or a Symbol.

    Returns:
        A classes×1 matrix; of n numbers, an n×classes matrix.

    Raises:
        ShapeError: the numbers are no column.
        ArgumentError: `classes` is no size.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.one_hot(sp.Symbol("c"), 10).shape
        (10, 1)
    """
    made = operand(number, "one_hot")
    shape = shape_of(made)
    if all(length == 1 for length in shape):
        return build("one_hot", as_scalar(made), size(classes, "one_hot"))
    if not isinstance(made, sp.MatrixSymbol) or shape[1] != 1:
        raise ShapeError(f"one_hot: {described(made)}, is neither one class number nor a column symbol of them")
    return build("one_hot", made, size(classes, "one_hot"))
