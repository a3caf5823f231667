"""Solutions of linear systems as products with the inverse: one form for what may be written either way."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.graph.arithmetic import mul
from sympile.compiler.graph.definition import Definition, call, define, definitions, elementwise, is_whole, read
from sympile.compiler.graph.mapping import Mapping
from sympile.compiler.graph.node import Node, extent, index, target
from sympile.compiler.graph.rebuild import transform
from sympile.compiler.graph.reduce import total


def with_inverses(outputs: Sequence[Definition]) -> list[Definition]:
    """The same outputs, every solve(A, B) as inv(A)*B, and inv(A.T) as inv(A).T."""
    order = definitions(outputs)
    if not any(tensor.kind == "call" for tensor in order):
        return list(outputs)
    new = Mapping()
    for tensor in order:
        if tensor.kind == "call":
            new[tensor] = _spelled_out(tensor, [new[o] for o in tensor.operands])
        elif tensor.kind == "formula":
            new[tensor] = _redirected(tensor, new)
    return [new[output] for output in outputs]


def _redirected(tensor: Definition, new: Mapping) -> Definition:
    def moved(node: Node) -> Node:
        return read(new[target(node)], *node.args) if node.op == "read" else node

    (body,) = transform([tensor.formula], moved)
    if body is tensor.formula:
        return tensor
    if tensor.monoid is None:
        return elementwise(tensor.axes, body)
    return define(tensor.axes, tensor.reduced, tensor.monoid, body)


def _spelled_out(tensor: Definition, operands: Sequence[Definition]) -> Definition:
    """The result of a call, by the inverse where it is one or a product with one."""
    matrix = operands[0]
    lead = matrix.axes[:1] if matrix.batched else ()
    if tensor.routine not in ("inv", "solve") or len(matrix.axes) != 2 + len(lead):
        return call(str(tensor.routine), operands, tensor.shape)
    if tensor.routine == "inv":
        return elementwise(tensor.axes, _inverse(matrix, tensor.axes))
    right = operands[1]
    front = tensor.axes[:1] if tensor.batched else ()
    row, *columns = tensor.axes[len(front) :]
    inner = index(extent(row))
    inverse = _inverse(matrix, (*(front if lead else ()), row, inner))
    factor = read(right, *(front if right.batched else ()), inner, *columns)
    return elementwise(tensor.axes, total([inner], mul(inverse, factor)))


def _inverse(matrix: Definition, at: Sequence[Node]) -> Node:
    """An element of the inverse; that of a transposed matrix is read from the inverse of the matrix itself."""
    *lead, row, column = at
    plain = matrix.kind == "formula" and matrix.monoid is None and matrix.formula.op == "read"
    exchanged = (*matrix.axes[:-2], matrix.axes[-1], matrix.axes[-2])
    if plain and matrix.formula.args == exchanged and is_whole(matrix.formula):
        inner = target(matrix.formula)
        return read(call("inv", [inner], inner.shape), *lead, column, row)
    return read(call("inv", [matrix], matrix.shape), *lead, row, column)
