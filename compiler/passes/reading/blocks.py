"""Block matrices: each block where its rows and columns are met; products of them block by block."""

from __future__ import annotations

from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

import sympy as sp

from sympile.compiler.graph.arithmetic import add, sub
from sympile.compiler.graph.brackets import at_least_zero, equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.node import ONE, ZERO, Node
from sympile.compiler.passes.reading.engine import Bindings, Reader
from sympile.compiler.passes.reading.values import Value, at, from_elements, lifted


def block_matrix(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """[[A, B], [C, D]] entry by entry."""
    sizes = [[reader.scope.extent(n) for n in side] for side in (item.rowblocksizes, item.colblocksizes)]
    starts = [[add(*lengths[:k]) for k in range(len(lengths))] for lengths in sizes]
    blocks = [value if value.body.op == "read" or not value.indices else lifted(value)[0] for value in values]

    def element(*axes: Node) -> Node:
        terms = []
        for number, block in enumerate(blocks):
            numbers = divmod(number, len(sizes[1]))
            points = [sub(axis, start[k]) for axis, start, k in zip(axes, starts, numbers, strict=True)]
            met = [_met(axis, p, side[k]) for axis, p, side, k in zip(axes, points, sizes, numbers, strict=True)]
            terms.append(when(at(block, points), *[condition for found in met for condition in found]))
        return add(*terms)

    return from_elements(tuple(reader.scope.extent(n) for n in item.shape), element)


def _met(axis: Node, point: Node, length: Node) -> tuple[Node, ...]:
    """The conditions under which a place lies in a block, where it is so far from the block's first row or column."""
    if axis is ZERO:
        return ()
    if length is ONE:
        return (equal(point, ZERO),)
    return at_least_zero(point), at_least_zero(sub(sub(length, ONE), point))


def blockwise(product: Any) -> Any | None:
    """A matrix product in which block matrices stand, as the blocks of products that it is; None without them."""
    matrices = [factor for factor in product.args if factor.is_Matrix]
    if len(matrices) < 2 or not any(isinstance(factor, sp.BlockMatrix) for factor in matrices):
        return None
    scalars = [factor for factor in product.args if not factor.is_Matrix]
    result = reduce(_times, matrices)
    return sp.MatMul(*scalars, result) if scalars else result


def _times(left: Any, right: Any) -> Any:
    """W*[h; x] as W[:, :k]*h + W[:, k:]*x; [A, B; C, D]*x likewise."""
    if isinstance(right, sp.BlockMatrix):
        sizes = right.rowblocksizes
    elif isinstance(left, sp.BlockMatrix):
        sizes = left.colblocksizes
    else:
        return left * right
    columns, rows = _columns(left, sizes), _rows(right, sizes)
    blocks = [[_dot(row, [other[j] for other in rows]) for j in range(len(rows[0]))] for row in columns]
    return blocks[0][0] if len(blocks) == len(blocks[0]) == 1 else sp.BlockMatrix(blocks)


def _dot(row: list[Any], column: list[Any]) -> Any:
    first, *others = [left * right for left, right in zip(row, column, strict=True)]
    return sum(others, first)


def _columns(matrix: Any, sizes: Any) -> list[list[Any]]:
    """Its blocks, row by row, the columns cut at these sizes."""
    if isinstance(matrix, sp.BlockMatrix) and list(matrix.colblocksizes) == list(sizes):
        return matrix.blocks.tolist()  # type: ignore[no-any-return]
    return [[matrix[:, start:end] for start, end in pairwise([0, *accumulate(sizes)])]]


def _rows(matrix: Any, sizes: Any) -> list[list[Any]]:
    if isinstance(matrix, sp.BlockMatrix) and list(matrix.rowblocksizes) == list(sizes):
        return matrix.blocks.tolist()  # type: ignore[no-any-return]
    return [[matrix[start:end, :]] for start, end in pairwise([0, *accumulate(sizes)])]
