"""How matrix notation is read: SymPy's matrix expressions, an index for each axis, literal axes of size 1 dropped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import sympy as sp

from sympile.compiler.errors import ShapeError
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import call, read
from sympile.compiler.graph.node import ONE, ZERO, Node, const, index
from sympile.compiler.graph.rebuild import function, substitute
from sympile.compiler.graph.reduce import total
from sympile.compiler.language.advice import advice
from sympile.compiler.passes.reading.around import goes_around, read_around
from sympile.compiler.passes.reading.blocks import block_matrix, blockwise
from sympile.compiler.passes.reading.engine import Bindings, Reader, Row
from sympile.compiler.passes.reading.indices import position
from sympile.compiler.passes.reading.scalars import arguments, nothing, over_elements
from sympile.compiler.passes.reading.scope import shape_text
from sympile.compiler.passes.reading.values import Value, at, fresh_axes, from_elements, lifted


def _one(item: Any) -> tuple[Any, ...]:
    return (item.args[0],)


def _extents(reader: Reader, item: Any) -> tuple[Node, ...]:
    return tuple(reader.scope.extent(n) for n in item.shape)


def _symbol(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    if item in bindings.holes:
        return bindings.holes[item]
    symbol = reader.scope.declare(item, str(item.name), item.shape)

    def element(*axes: Node) -> Node:
        tensor, position = reader.scope.element(symbol, axes)
        return read(tensor, *position)

    return from_elements(symbol.declared, element)


# ------------------------------------------------------------------------------------------------ products


def _product_parts(item: Any) -> tuple[Any, ...]:
    made = blockwise(item)
    return arguments(item) if made is None else (made,)


def _product(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    if len(values) == 1:  # of blocks, which have been multiplied
        return values[0]
    scalars = [v.body for v in values if not v.axes]
    matrices = [v for v in values if v.axes]
    body, axes, inner = chain(reader, item, matrices)
    return Value(mul(*scalars, total(inner, body)), axes)


def chain(reader: Reader, item: Any, matrices: Sequence[Value]) -> tuple[Node, tuple[Node, ...], list[Node]]:
    """A product of matrices as one body: (the product of elements, the outer axes, the inner indices)."""
    for left, right in pairwise(matrices):
        if left.shape[1] is not right.shape[0]:
            named = ", ".join(f"{n} has shape {s}" for n, s in reader.shapes_in(item))
            raise reader.refuse(
                item,
                f"a matrix product needs equal inner sizes: {shape_text(left.shape)} times "
                f"{shape_text(right.shape)} ({named})",
                ShapeError,
            )
    lengths = [matrices[0].shape[0], *[m.shape[1] for m in matrices]]
    points = [ZERO if n is ONE else index(n) for n in lengths]
    elements = [at(m, points[k : k + 2]) for k, m in enumerate(matrices)]
    return mul(*elements), (points[0], points[-1]), [p for p in points[1:-1] if p is not ZERO]


def _trace_parts(item: Any) -> tuple[Any, ...]:
    inner = item.args[0]
    return tuple(inner.args) if isinstance(inner, sp.MatMul) else (inner,)


def _trace(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    scalars = [v.body for v in values if not v.axes]
    body, (first, last), inner = chain(reader, item, [v for v in values if v.axes])
    if first is not ZERO and last is not ZERO:
        body = substitute(body, {last: first})
        inner = [first, *inner]
    return Value(mul(*scalars, total(inner, body)))


def _dot(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return dot_product(reader, item, values[0], values[1])


def dot_product(reader: Reader, item: Any, left: Value, right: Value) -> Value:
    """The sum of products of two vectors, whichever way each lies."""
    a, b = left.indices, right.indices
    if [n.data for n in left.shape if n is not ONE] != [n.data for n in right.shape if n is not ONE] or len(a) > 1:
        raise reader.refuse(
            item,
            "a dot product needs two vectors of one length, "
            f"not {shape_text(left.shape)} and {shape_text(right.shape)}",
            ShapeError,
        )
    moved = substitute(right.body, dict(zip(b, a, strict=True)))
    return Value(total(a, mul(left.body, moved)))


def _matrix_power(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    exponent = item.args[1]
    if not exponent.is_Integer or abs(int(exponent)) > 64:
        words = f"a matrix to the power {exponent} is not supported; for elementwise powers write HadamardPower"
        raise reader.refuse(item, advice(item) or words)
    times = int(exponent)
    base = values[0] if times >= 0 else inverted(values[0])
    if times == 0:
        return from_elements(base.shape, lambda i, j: when(ONE, equal(i, j)))
    body, axes, inner = chain(reader, item, [base] * abs(times))
    return Value(total(inner, body), axes)


# ------------------------------------------------------------------------------------------------ linear algebra


def inverted(value: Value) -> Value:
    """The inverse matrix, as a call; of more than two axes, of each matrix that the last two are."""
    if value.shape[-2:] == (ONE, ONE):
        return Value(power(value.body, -1), value.axes)
    moved, held = lifted(Value(value.body, value.axes[-2:]))
    result = call("inv", [held], held.shape)
    assert moved.body.op == "read"
    return Value(read(result, *moved.body.args), value.axes)


def determinant(value: Value) -> Value:
    """The determinant, as a call; of more than two axes, of each matrix that the last two are."""
    if value.shape[-2:] == (ONE, ONE):
        return Value(value.body, value.axes[:-2])
    moved, held = lifted(Value(value.body, value.axes[-2:]))
    return Value(read(call("det", [held], held.shape[:-2]), *moved.body.args[:-2]), value.axes[:-2])


def _inverse(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return inverted(values[0])


def _determinant(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return determinant(values[0])


# ------------------------------------------------------------------------------------------------ forms


def _transpose(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return Value(values[0].body, values[0].axes[::-1])


def _applied(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """applyfunc: a Lambda of one variable, read with the element in its place."""
    argument = _held(values[0])
    function_ = item.function
    variable, body = function_.variables[0], function_.expr
    result = reader.read(body, bindings.inner(holes={variable: Value(argument.body)}))
    return Value(result.body, argument.axes)


def _held(value: Value) -> Value:
    """The argument of a function, held by a definition unless it is a symbol's element already."""
    return value if not value.indices or value.body.op == "read" else lifted(value)[0]


def _hadamard_power(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return reader.elementwise(
        item, values, lambda x, e: power(x, e.data) if e.op == "const" else function("power", x, e)
    )


def _identity(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return from_elements(_extents(reader, item), lambda i, j: when(ONE, equal(i, j)))


def _filled(node: Node) -> Row:
    return Row(nothing, lambda reader, item, values, bindings: Value(node, fresh_axes(_extents(reader, item))))


def _diagonal_matrix(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    (i,) = values[0].indices
    j = index(values[0].shape[0] if values[0].axes[0] is i else values[0].shape[1])
    return Value(when(values[0].body, equal(i, j)), (i, j))


def _diagonal_of(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    i, j = values[0].axes
    return Value(substitute(values[0].body, {j: i}), (i, ZERO))


def _slice(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """A[a:b:c, d:e:f], bounds as SymPy normalised them; A[c, :] is the row of a class number c."""
    axes = fresh_axes(_extents(reader, item))
    points = [
        position(reader, start, bindings, length, mul(const(int(step)), axis))
        for (start, _, step), length, axis in zip((item.rowslice, item.colslice), values[0].shape, axes, strict=True)
    ]
    return Value(at(values[0], points), axes)


def _element(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """A[i, j]; a symbol that is no index is integer data."""
    (matrix,), written = values, item.args[1:]
    if goes_around(written):
        return Value(read_around(reader, written, bindings, position, lambda at: item.args[0][tuple(at)]))
    points = [position(reader, p, bindings, n) for p, n in zip(written, matrix.shape, strict=True)]
    return Value(reader_element(reader, item, matrix, points))


def reader_element(reader: Reader, item: Any, value: Value, points: Sequence[Node]) -> Node:
    """One element, after a check that its position is not known to be outside."""
    for point, length in zip(points, value.shape, strict=True):
        reader.check_range(item, point, length)
    return at(value, points)


def _explicit(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """sp.Matrix([...]): every entry where its row and column are met; one number everywhere needs no places."""
    rows, columns = item.shape
    entries = {(k // columns, k % columns): v.body for k, v in enumerate(values)}
    diagonal = {body for (r, c), body in entries.items() if r == c}
    elsewhere = {body for (r, c), body in entries.items() if r != c}

    def element(i: Node, j: Node) -> Node:
        if len(diagonal | elsewhere) == 1:
            return entries[0, 0]
        if rows == columns and len(diagonal) == 1 and elsewhere == {ZERO}:
            return when(entries[0, 0], equal(i, j))
        return add(*[when(body, equal(i, const(r)), equal(j, const(c))) for (r, c), body in entries.items()])

    return from_elements((const(rows), const(columns)), element)


def _entries(item: Any) -> tuple[Any, ...]:
    return tuple(item.flat())


def _kronecker(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """kron(A, B)[i, j] = sum of A[p, q] B[r, s] where i = p*rows(B) + r, j = q*columns(B) + s."""
    left, right = values[0], values[1]
    for further in values[2:]:
        left, right = _kronecker(reader, item, [left, right], bindings), further
    lengths = [mul(a, b) for a, b in zip(left.shape, right.shape, strict=True)]
    outer, inner = [fresh_axes(v.shape) for v in (left, right)]

    def element(*axes: Node) -> Node:
        met = [equal(x, add(mul(o, n), k)) for x, o, n, k in zip(axes, outer, right.shape, inner, strict=True)]
        return total([i for i in (*outer, *inner) if i is not ZERO], when(mul(at(left, outer), at(right, inner)), *met))

    return from_elements(lengths, element)


MATRICES: dict[str, Row] = {
    "MatrixSymbol": Row(nothing, _symbol),
    "MatAdd": Row(arguments, over_elements(add)),
    "MatMul": Row(_product_parts, _product),
    "MatPow": Row(_one, _matrix_power),
    "Transpose": Row(_one, _transpose),
    "Adjoint": Row(_one, _transpose),
    "Inverse": Row(_one, _inverse),
    "Determinant": Row(_one, _determinant),
    "Trace": Row(_trace_parts, _trace),
    "DotProduct": Row(arguments, _dot),
    "HadamardProduct": Row(arguments, over_elements(mul)),
    "HadamardPower": Row(arguments, _hadamard_power),
    "ElementwiseApplyFunction": Row(lambda item: (item.expr,), _applied),
    "Identity": Row(nothing, _identity),
    "ZeroMatrix": _filled(ZERO),
    "OneMatrix": _filled(ONE),
    "DiagMatrix": Row(_one, _diagonal_matrix),
    "DiagonalMatrix": Row(_one, lambda reader, item, values, bindings: _diagonal_matrix_of(values[0])),
    "DiagonalOf": Row(_one, _diagonal_of),
    "MatrixSlice": Row(lambda item: (item.parent,), _slice),
    "MatrixElement": Row(_one, _element),
    "BlockMatrix": Row(lambda item: tuple(item.blocks.flat()), block_matrix),
    "KroneckerProduct": Row(arguments, _kronecker),
    "ImmutableDenseMatrix": Row(_entries, _explicit),
    "MutableDenseMatrix": Row(_entries, _explicit),
}


def _diagonal_matrix_of(value: Value) -> Value:
    i, j = value.axes
    return Value(when(value.body, equal(i, j)), value.axes)
