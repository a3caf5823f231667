"""How the SymPy classes of ours are read: matrix functions, tensors, reductions, names; a row per operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from sympile.compiler.errors import DuplicateName
from sympile.compiler.graph.arithmetic import add, mul, power, sub
from sympile.compiler.graph.brackets import at_least_zero, equal
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, NEUTRAL, read
from sympile.compiler.graph.node import ONE, ZERO, Node, const, extent, index
from sympile.compiler.graph.rebuild import function, substitute
from sympile.compiler.graph.reduce import reduce, total
from sympile.compiler.language.indexing import place, span
from sympile.compiler.language.sizes import is_array
from sympile.compiler.passes.reading.around import goes_around, read_around
from sympile.compiler.passes.reading.engine import Bindings, Reader, Row
from sympile.compiler.passes.reading.indices import comprehension, position
from sympile.compiler.passes.reading.matrices import chain, determinant, dot_product, inverted
from sympile.compiler.passes.reading.scalars import COMPARISONS, ELEMENTWISE, nothing, over_elements, piecewise
from sympile.compiler.passes.reading.values import Value, at, fresh_axes, from_elements, lifted

Build = Callable[[Reader, Any, list[Value], Bindings], Value]


def held(value: Value) -> Value:
    """An array that is more than a symbol's element gets a definition of its own, which formulas can name."""
    return value if not value.indices or value.body.op == "read" else lifted(value)[0]


# ------------------------------------------------------------------------------------------------ elementwise

PLAIN = frozenset({"add", "sub", "mul", "div", "neg"})  # arithmetic: no definition is made for operands or result


def _elementwise(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    build = ELEMENTWISE[item.operation]
    if item.operation in PLAIN or item.operation == "pow":
        return reader.elementwise(item, values, build)
    return held(reader.elementwise(item, [held(v) for v in values], build))


# ------------------------------------------------------------------------------------------------ reductions


def _reduced_axes(item: Any, value: Value) -> tuple[list[Node], tuple[Node, ...]]:
    """The indices that a reduction runs over, and the axes that are left."""
    axes, keep = item.options[0], item.options[1]
    indices = [value.axes[k] for k in axes if value.axes[k] is not ZERO]
    if keep:
        left = tuple(ZERO if k in axes else axis for k, axis in enumerate(value.axes))
    else:
        left = tuple(axis for k, axis in enumerate(value.axes) if k not in axes)
    return indices, left


def _reduction(monoid: str) -> Build:
    def build(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
        value = values[0] if monoid == "sum" else held(values[0])
        indices, left = _reduced_axes(item, value)
        return Value(reduce(monoid, indices, value.body) if indices else value.body, left)

    return build


def _mean(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    indices, left = _reduced_axes(item, values[0])
    return Value(mul(total(indices, values[0].body), power(_count(values[0], indices), -1)), left)


def _count(value: Value, indices: Sequence[Node]) -> Node:
    return mul(*[n for n, axis in zip(value.shape, value.axes, strict=True) if axis in indices], ONE)


def _norm(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """The p-norm; of order 2 with the gradient 0 at 0 (the minimal subgradient)."""
    order = sp.sympify(item.options[2])
    value = held(values[0])
    indices, left = _reduced_axes(item, value)
    if order == 2:
        return Value(function("root_square", total(indices, power(value.body, 2))), left)
    size = function("abs", value.body)
    if order is sp.oo:
        return Value(reduce("max", indices, size), left)
    if order == 1:
        return Value(total(indices, size), left)
    p = Fraction(str(order))
    return Value(power(total(indices, power(size, p)), 1 / p), left)


def _cumulative(monoid: str) -> Build:
    """Along an axis i: over all k <= i, or all k >= i."""

    def build(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
        value, ((along,), reverse) = held(values[0]), item.options
        i = value.axes[along]
        if i is ZERO:
            return value
        k = index(extent(i))
        counts = at_least_zero(sub(k, i) if reverse else sub(i, k))
        terms = select(counts, substitute(value.body, {i: k}), NEUTRAL[monoid])
        return Value(reduce(monoid, [k], terms), value.axes)

    return build


def _softmax_terms(value: Value, item: Any) -> tuple[Value, Node]:
    """The argument, and its log-sum-exp along the axis."""
    argument = held(value)
    axes = [argument.axes[k] for k in item.options[0] if argument.axes[k] is not ZERO]
    return argument, reduce("lse", axes, argument.body) if axes else argument.body


def _softmax(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    argument, total_ = _softmax_terms(values[0], item)
    return held(Value(function("exp", sub(argument.body, total_)), argument.axes))


def _log_softmax(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    argument, total_ = _softmax_terms(values[0], item)
    return held(Value(sub(argument.body, total_), argument.axes))


def _dot(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return dot_product(reader, item, values[0], values[1])


def _of_matrices(build: Callable[[Value], Value]) -> Build:
    """A row's build for a function of the last two axes."""
    return lambda reader, item, values, bindings: build(values[0])


def _scalar(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return Value(values[0].body)


def _pick(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """z[..., c[...]]: the class number is integer data."""
    value = values[0]
    wanted = item.operands[1]
    long = [k for k, axis in enumerate(value.axes) if axis is not ZERO]
    if not is_array(wanted):
        point = position(reader, wanted, bindings, value.shape[long[-1]])
        return Value(substitute(value.body, {value.axes[long[-1]]: point}))
    symbol = reader.scope.declare(wanted, str(wanted.name), wanted.shape, integer=True, limit=value.shape[-1])

    def element(*axes: Node) -> Node:
        tensor, full = reader.scope.element(symbol, axes)
        return at(value, [*axes[: len(value.axes) - 1], read(tensor, *full)])

    return from_elements(symbol.declared, element)


def _one_hot(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """[i == c], of several class numbers [j == c[i]]."""
    wanted, count = item.operands
    limit = reader.scope.extent(count)
    if not is_array(wanted):
        point = position(reader, wanted, bindings, limit)
        return from_elements((limit, ONE), lambda i, _: when(ONE, equal(i, point)))
    symbol = reader.scope.declare(wanted, str(wanted.name), wanted.shape, integer=True, limit=limit)

    def element(i: Node, j: Node) -> Node:
        tensor, full = reader.scope.element(symbol, (i, ZERO))
        return when(ONE, equal(j, read(tensor, *full)))

    return from_elements((symbol.declared[0], limit), element)


def _batch_sum(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return Value(total([EXAMPLE], values[0].body), values[0].axes)


def _batch_mean(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return Value(mul(power(EXAMPLES, -1), total([EXAMPLE], values[0].body)), values[0].axes)


# ------------------------------------------------------------------------------------------------ forms


def _named(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    name = str(item.options[0])
    value, tensor = lifted(values[0])
    names = reader.scope.names
    known = next((t for t, n in names.items() if n == name), None)
    if known not in (None, tensor):
        raise reader.refuse(
            item, f"two different values are named {name}; give one of them another name", DuplicateName
        )
    names.setdefault(tensor, name)
    return value


def _matmul(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """As NumPy's @: vectors stand as row on the left, as column on the right; leading axes broadcast."""
    left, right = values
    if len(left.axes) <= 2 and len(right.axes) <= 2:
        row = Value(left.body, (ZERO, *left.axes)) if len(left.axes) == 1 else left
        column = Value(right.body, (*right.axes, ZERO)) if len(right.axes) == 1 else right
        body, (first, last), inner = chain(reader, item, [row, column])
        axes = (first,) * (len(left.axes) > 1) + (last,) * (len(right.axes) > 1)
        return Value(total(inner, body), axes)
    shape = tuple(reader.scope.extent(n) for n in item.shape)
    axes = fresh_axes(shape)
    inner_axes = fresh_axes([left.shape[-1]])
    lead = axes[: len(axes) - (len(left.axes) > 1) - (len(right.axes) > 1)]
    rows = axes[len(lead) : len(lead) + (len(left.axes) > 1)]
    columns = axes[len(axes) - (len(right.axes) > 1) :] if len(right.axes) > 1 else ()
    a = at(left, [*_leading(lead, left, 2), *rows, *inner_axes])
    b = at(right, [*_leading(lead, right, 2), *inner_axes, *columns])
    return Value(total([i for i in inner_axes if i is not ZERO], mul(a, b)), axes)


def _leading(axes: Sequence[Node], value: Value, own: int) -> Sequence[Node]:
    count = max(0, len(value.axes) - own)
    return axes[len(axes) - count :]


def _transpose(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    order = item.options[0]
    return Value(values[0].body, tuple(values[0].axes[k] for k in order))


def _tensor(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    symbol = reader.scope.declare(item, str(item.name), item.shape)

    def element(*axes: Node) -> Node:
        tensor, full = reader.scope.element(symbol, axes)
        return read(tensor, *full)

    return from_elements(symbol.declared, element)


def _element(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    value, written = values[0], item.operands[1:]
    if goes_around(written):
        return Value(read_around(reader, written, bindings, position, lambda at: item.operands[0][tuple(at)]))
    points = [position(reader, p, bindings, n) for p, n in zip(written, value.shape, strict=True)]
    for point, length in zip(points, value.shape, strict=True):
        reader.check_range(item, point, length)
    return Value(at(value, points))


def _item(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """X[entries]: integers, slices, new axes, and symbolic indices (operand number k)."""
    value, scope = values[0], reader.scope
    axes: list[Node] = []
    points: list[Node] = []
    written = iter(item.operands[0].shape)
    for entry in item.options:
        if entry[0] == "new":
            axes.append(ZERO)
            continue
        length = next(written)
        if entry[0] == "index":
            points.append(scope.extent(place(length, entry[1])))
        elif entry[0] == "at":
            points.append(position(reader, item.operands[entry[1]], bindings, scope.extent(length)))
        else:
            start, step, count = span(length, entry)
            (axis,) = fresh_axes([scope.extent(count)])
            axes.append(axis)
            points.append(add(scope.extent(start), mul(const(step), axis)))
    return Value(at(value, points), tuple(axes))


def _reshape(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    """Row-major: the new position counts elements; the old indices are found by deltas, and eliminated."""
    value = held(values[0])
    shape = tuple(reader.scope.extent(n) for n in item.shape)
    axes = fresh_axes(shape)
    matched = _merged_or_split(value, axes, shape)
    if matched is None:
        raise reader.refuse(
            item, f"reshape from {item.operands[0].shape} to {item.shape} neither merges nor splits axes"
        )
    return Value(matched, axes)


def _merged_or_split(value: Value, axes: tuple[Node, ...], shape: tuple[Node, ...]) -> Node | None:
    """reshape as sums of deltas: the flat positions of old and new element agree."""
    old = [axis for axis in value.axes if axis is not ZERO]
    flat_old, flat_new = _flat(value.axes, value.shape), _flat(axes, shape)
    return total(old, when(value.body, function("eq", flat_old, flat_new))) if old else value.body


def _flat(axes: Sequence[Node], shape: Sequence[Node]) -> Node:
    position_: Node = ZERO
    for axis, length in zip(axes, shape, strict=True):
        position_ = add(mul(position_, length), axis)
    return position_


OPERATIONS: Mapping[str, Build] = {
    "sum": _reduction("sum"),
    "prod": _reduction("prod"),
    "max": _reduction("max"),
    "min": _reduction("min"),
    "logsumexp": _reduction("lse"),
    "mean": _mean,
    "norm": _norm,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "cumsum": _cumulative("sum"),
    "cumprod": _cumulative("prod"),
    "cummax": _cumulative("max"),
    "cummin": _cumulative("min"),
    "logcumsumexp": _cumulative("lse"),
    "det": _of_matrices(determinant),
    "inv": _of_matrices(inverted),
    "dot": _dot,
    "scalar": _scalar,
    "pick": _pick,
    "one_hot": _one_hot,
    "batch_sum": _batch_sum,
    "batch_mean": _batch_mean,
    "named": _named,
    "matmul": _matmul,
    "transpose": _transpose,
    "element": _element,
    "item": _item,
    "reshape": _reshape,
    "comprehension": comprehension,
    "piecewise": over_elements(piecewise),
}

FIRST_ONLY = frozenset({"pick", "element", "item", "reshape"})  # further operands are positions or sizes
UNREAD = frozenset({"comprehension", "one_hot"})  # all operands are: they are read when the row is


def _parts(item: Any) -> Sequence[Any]:
    if item.operation in UNREAD:
        return ()
    return item.operands[:1] if item.operation in FIRST_ONLY else item.operands  # type: ignore[no-any-return]


def _build(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return OPERATIONS.get(item.operation, _elementwise)(reader, item, values, bindings)


OURS: dict[str, Row] = {
    "MatrixFunction": Row(_parts, _build),
    "ScalarFunction": Row(_parts, _build),
    "TensorFunction": Row(_parts, _build),
    "Comprehension": Row(_parts, _build, binds=True),
    "Tensor": Row(nothing, _tensor),
}

__all__ = ["COMPARISONS", "EXAMPLES", "OURS", "held"]
