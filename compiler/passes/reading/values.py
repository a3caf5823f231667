"""A value while it is read: a scalar formula over one index per axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sympile.compiler.graph.definition import EXAMPLE, Definition, define, read
from sympile.compiler.graph.node import ONE, ZERO, Node, extent, index, index_name
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Value:
    """body over axes; an axis of literal size 1 is ZERO instead of an index. No axes: a scalar."""

    body: Node
    axes: tuple[Node, ...] = ()

    @property
    def shape(self) -> tuple[Node, ...]:
        return tuple(ONE if axis is ZERO else extent(axis) for axis in self.axes)

    @property
    def indices(self) -> tuple[Node, ...]:
        """The axes that are indices."""
        return tuple(axis for axis in self.axes if axis is not ZERO)


def fresh_axes(shape: Sequence[Node]) -> tuple[Node, ...]:
    return tuple(ZERO if length is ONE else index(length) for length in shape)


def at(value: Value, positions: Sequence[Node]) -> Node:
    """The element at index expressions, one per axis."""
    return substitute(value.body, {a: p for a, p in zip(value.axes, positions, strict=True) if a is not ZERO})


def from_elements(shape: Sequence[Node], element: Callable[..., Node]) -> Value:
    """The value whose element at fresh indices is given by a function."""
    axes = fresh_axes(shape)
    return Value(element(*axes), axes)


def broadcast_shape(values: Sequence[Value]) -> tuple[Node, ...] | None:
    """NumPy's rule: aligned at the last axis, 1 goes with everything; None where two lengths disagree."""
    rank = max(len(v.axes) for v in values)
    shape = [ONE] * rank
    for value in values:
        for k, length in enumerate(reversed(value.shape)):
            if length is ONE or length is shape[-1 - k]:
                continue
            if shape[-1 - k] is not ONE:
                return None
            shape[-1 - k] = length
    return tuple(shape)


def elementwise_of(values: Sequence[Value], shape: Sequence[Node], build: Callable[..., Node]) -> Value:
    """build(elements) at every position of the broadcast shape."""
    if not shape:
        return Value(build(*[v.body for v in values]))
    axes = fresh_axes(shape)
    elements = [at(v, axes[len(axes) - len(v.axes) :]) for v in values]
    return Value(build(*elements), axes)


def lifted(value: Value) -> tuple[Value, Definition]:
    """The value held by a definition of its own, whose axes are (example, outer indices, own axes)."""
    own = value.indices
    outer = [i for i in value.body.free if i not in own]
    outer.sort(key=lambda i: (i is not EXAMPLE, index_name(i)))
    held = define((*outer, *own), (), None, value.body)
    return Value(read(held, *outer, *own), value.axes), held
