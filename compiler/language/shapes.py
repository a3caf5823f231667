"""The shape of every operation of ours: operation → rule; an operation without a row is elementwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from sympile.compiler.errors import ShapeError
from sympile.compiler.language.indexing import item_shape
from sympile.compiler.language.sizes import (
    Shape,
    broadcast,
    joined,
    mismatch,
    product,
    same,
    same_shape,
    shape_of,
    shown,
)

Rule = Callable[[str, tuple[Any, ...], tuple[Any, ...]], Shape]


def infer(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """The shape of `operation` of these operands; raises ShapeError where they do not fit."""
    return RULES.get(operation, _elementwise)(operation, operands, options)


def _elementwise(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    return broadcast(operation, operands)


def _first(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    return shape_of(operands[0])


def _reduced(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """options: the axes, nonnegative and sorted; whether they stay with size 1."""
    axes, keep = options[0], options[1]
    shape = shape_of(operands[0])
    if any(axis >= len(shape) for axis in axes):
        raise ShapeError(f"{operation}: axis {max(axes)} of {shown(shape)} does not exist")
    if keep:
        return tuple(sp.S.One if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _transposed(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    shape = shape_of(operands[0])
    return tuple(shape[axis] for axis in options[0])


def _matrix_product(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """As NumPy's `@`: a vector on the left is a row, on the right a column; leading axes broadcast."""
    left, right = map(shape_of, operands)
    if not left or not right:
        raise mismatch("@", operands, "a scalar is multiplied with *")
    if not same(left[-1], right[-2] if len(right) > 1 else right[0]):
        raise mismatch("@", operands, "the last axis of the first and the last but one of the second must agree")
    leading = joined([left[:-2], right[:-2]], "@", operands)
    return (*leading, *left[-2:-1], *(right[-1:] if len(right) > 1 else ()))


def _inner(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """dot: two vectors, whichever way they stand."""
    lengths = [_vector_length(operation, operand) for operand in operands]
    if not same(*lengths):
        raise mismatch(operation, operands)
    return ()


def _vector_length(operation: str, operand: Any) -> Any:
    long = [size for size in shape_of(operand) if size != 1]
    if len(long) > 1:
        raise mismatch(operation, [operand], "dot takes vectors; sum(HadamardProduct(A, B), axis=None) takes matrices")
    return long[0] if long else sp.S.One


def _single(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """scalar: the only entry."""
    if any(size != 1 for size in shape_of(operands[0])):
        raise mismatch(operation, operands, "scalar takes a 1×1 matrix")
    return ()


def _picked(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """pick(z, c)[…] = z[…, c[…]]; a column or row counts as a vector."""
    values, numbers = map(shape_of, operands)
    if not numbers:
        long = [size for size in values if size != 1]
        if len(long) > 1:
            raise mismatch(operation, operands, "one class number picks from one vector")
        return ()
    column = (values[0], sp.S.One) if operands[0].is_Matrix else values[:-1]
    if not same_shape(column, numbers):
        raise mismatch(operation, operands, "one class number for each row of values")
    return numbers


def _without_matrix(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """det: one number for each matrix, which the last two axes are."""
    return shape_of(operands[0])[:-2]


def _indicators(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """one_hot(c, k): a column; of a column of numbers, a row for each."""
    number, count = operands
    numbers = shape_of(number)
    return (numbers[0], count) if numbers else (count, sp.S.One)


def _reshaped(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    tensor, wanted = operands
    if not same(product(shape_of(tensor)), product(tuple(wanted))):
        raise ShapeError(
            f"reshape: {shown(shape_of(tensor))} has {product(shape_of(tensor))} entries, "
            f"{shown(tuple(wanted))} has {product(tuple(wanted))}"
        )
    return tuple(wanted)


def _sliced(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    """item: options are the entries, see `indexing.py`; operands after the first, its symbolic indices."""
    return item_shape(shape_of(operands[0]), options)


def _indexed(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    if len(operands) - 1 != len(shape_of(operands[0])):
        raise ShapeError(f"{operands[0]} has {len(shape_of(operands[0]))} axes, not {len(operands) - 1}")
    return ()


def _bound(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    return tuple(limit[1] for limit in operands[1:])


def _scalar(operation: str, operands: tuple[Any, ...], options: tuple[Any, ...]) -> Shape:
    return ()


# fmt: off
RULES: dict[str, Rule] = {
    "softmax":       _first,
    "log_softmax":   _first,
    "cumsum":        _first,
    "cumprod":       _first,
    "cummax":        _first,
    "cummin":        _first,
    "logcumsumexp":  _first,
    "sum":           _reduced,
    "prod":          _reduced,
    "mean":          _reduced,
    "max":           _reduced,
    "min":           _reduced,
    "norm":          _reduced,
    "logsumexp":     _reduced,
    "det":           _without_matrix,
    "inv":           _first,
    "dot":           _inner,
    "scalar":        _single,
    "pick":          _picked,
    "one_hot":       _indicators,
    "transpose":     _transposed,
    "matmul":        _matrix_product,
    "reshape":       _reshaped,
    "item":          _sliced,
    "element":       _indexed,
    "comprehension": _bound,
    "Maximum":       _scalar,
    "Minimum":       _scalar,
    "LogSumExp":     _scalar,
}
# fmt: on
