"""Sizes and shapes: comparing symbolic sizes, broadcasting, and the messages for those that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError, ShapeError
from sympile.compiler.language import printing
from sympile.compiler.language.protocol import Ours

Shape = tuple[Any, ...]


def is_array(part: Any) -> bool:
    """Whether it is a matrix or a tensor (an `Indexed` has a `shape` too, and is a scalar)."""
    return bool(getattr(part, "is_Matrix", False)) or (isinstance(part, Ours) and hasattr(part, "shape"))


def shape_of(operand: Any) -> Shape:
    """The shape of an operand; a scalar's is ()."""
    return tuple(sp.sympify(size) for size in operand.shape) if is_array(operand) else ()


def same(a: Any, b: Any) -> bool:
    """Whether two sizes are known to be equal: a size equals itself, and `n*(n + 1)` equals `n**2 + n`."""
    return bool(a == b) or bool(sp.expand(a - b) == 0)


def same_shape(a: Shape, b: Shape) -> bool:
    """Whether two shapes are known to be equal."""
    return len(a) == len(b) and all(same(m, n) for m, n in zip(a, b, strict=True))


def size(value: Any, owner: str) -> Any:
    """A size as SymPy has it: a nonnegative integer, a Symbol, or an expression of them."""
    made = sp.sympify(value, strict=True)
    negative_or_fraction = made.is_number and not (made.is_Integer and made >= 0)
    if isinstance(value, bool) or not isinstance(made, sp.Expr) or made.is_Matrix or negative_or_fraction:
        raise ArgumentError(f"{owner}: a size is a nonnegative integer or a Symbol, not {value!r}")
    return made


def shown(shape: Shape) -> str:
    """A shape in words: `(n, 3)`, or `a scalar`."""
    if not shape:
        return "a scalar"
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def described(operand: Any) -> str:
    """An operand with its shape, for messages: `W*x, (n, 1)`."""
    return f"{printing.short(operand)}, {shown(shape_of(operand))}"


def mismatch(operation: str, operands: Sequence[Any], advice: str = "") -> ShapeError:
    """The error for operands whose shapes do not fit each other."""
    lines = "\n".join(f"    {described(operand)}" for operand in operands)
    hint = f"\n  {advice}" if advice else ""
    return ShapeError(f"{operation}: these shapes do not fit each other\n\n{lines}\n{hint}")


def broadcast(operation: str, operands: Sequence[Any]) -> Shape:
    """The shape to which NumPy broadcasts the operands; only a literal 1 stretches."""
    return joined([shape_of(operand) for operand in operands], operation, operands)


def joined(shapes: Sequence[Shape], operation: str, operands: Sequence[Any]) -> Shape:
    """The shape to which NumPy broadcasts these shapes, of these operands."""
    result = []
    for axis in range(-max(map(len, shapes), default=0), 0):
        sizes = [shape[axis] for shape in shapes if len(shape) >= -axis and shape[axis] != 1]
        if any(not same(sizes[0], other) for other in sizes[1:]):
            raise mismatch(operation, operands, _SAME_SIZE if any(not one.is_Integer for one in sizes) else "")
        result.append(sizes[0] if sizes else sp.S.One)
    return tuple(result)


def product(shape: Shape) -> Any:
    """The number of entries."""
    return sp.Mul(*shape)


_SAME_SIZE = "sizes are equal if they are the same Symbol or number (expr.subs(n, m) makes them so)"
