"""An inverse that only multiplies is a solve: sum_j inv(K)[i, j] F[j] becomes solve(K, F)[i]."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.graph.arithmetic import factors_of, mul
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import EXAMPLE, Definition, call, elementwise, read
from sympile.compiler.graph.node import Node, extent, target
from sympile.compiler.rules.facts import symmetric


def solved(tensor: Definition) -> Definition | None:
    """The same tensor by a solve, where it is an inverse times something; else None."""
    if tensor.monoid != "sum" or len(tensor.reduced) != 1:
        return None
    body, (summed,) = unguarded(tensor.formula), tensor.reduced
    for factor in factors_of(body):
        if factor.op == "read" and target(factor).routine == "inv" and target(factor).kind == "call":
            others = mul(*[f for f in factors_of(body) if f is not factor])
            found = _solve(tensor, factor, when(others, *conditions_of(tensor.formula)), summed)
            if found is not None:
                return found
    return None


def _solve(tensor: Definition, inverse: Node, right: Node, summed: Node) -> Definition | None:
    *batch, row, column = inverse.args
    (matrix,) = target(inverse).operands
    transposed = row is summed
    free = column if transposed else row
    outer = [axis for axis in tensor.axes if axis in right.free and axis not in batch]
    shared = [axis for axis in outer if axis is EXAMPLE]
    columns = [axis for axis in outer if axis is not EXAMPLE]
    if (
        not _plain(batch, free, row if transposed else column, summed)
        or free in right.free
        or len(columns) > 1
        or (shared and batch)
    ):
        return None
    if transposed and not symmetric(matrix):
        matrix = _transposed(matrix)
    held = elementwise([*batch, *shared, summed, *columns], right)
    at = [*batch, *shared, free, *columns]
    return elementwise(tensor.axes, read(call("solve", [matrix, held], [extent(axis) for axis in at]), *at))


def _plain(batch: Sequence[Node], free: Node, inner: Node, summed: Node) -> bool:
    """Every index is one of its own, and the matrix's side of the product is the summed one."""
    positions = [*batch, free, inner]
    return inner is summed and all(p.op == "index" for p in positions) and len(set(positions)) == len(positions)


def _transposed(matrix: Definition) -> Definition:
    *batch, i, j = matrix.axes
    return elementwise([*batch, j, i], read(matrix, *matrix.axes))
