"""Formulas in the holes of a row's side: the forms that only rows have, such as `each` and `over`, become formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias

from sympile.compiler.graph.arithmetic import add, power
from sympile.compiler.graph.definition import Definition, call, read
from sympile.compiler.graph.node import Node, by_key, make, number, postorder
from sympile.compiler.graph.rebuild import maximum, rebuild
from sympile.compiler.graph.reduce import reduce

# What a hole stands for: a formula; the members of an `each`; a matrix. INDICES: those that an `over` runs over.
Bound: TypeAlias = Node | tuple[Node, ...] | Definition
Bindings: TypeAlias = dict[Node, Bound]

INDICES = make("hole", data="reduced indices")


@cache
def holes(pattern: Node) -> frozenset[Node]:
    return frozenset(node for node in postorder([pattern]) if node.op == "hole")


def is_filled(pattern: Node, bound: Bindings) -> bool:
    return all(h in bound for h in holes(pattern))


def filled(pattern: Node, bound: Bindings, member: int | None = None) -> Node:
    """The pattern with formulas in its holes, in normal form."""
    if pattern.op == "hole":
        value = bound[pattern]
        if isinstance(value, tuple):
            assert member is not None, pattern
            return value[member]
        if isinstance(value, Definition):
            return read(value, *bound[INDICES])  # type: ignore[misc]   # the element that the matched read asks for
        return value
    special = SPECIAL.get(pattern.op)
    if special is not None:
        return special(pattern, bound, member)
    if not pattern.args:
        return pattern
    return rebuild(pattern, tuple([filled(arg, bound, member) for arg in pattern.args]))


def _filled_each(pattern: Node, bound: Bindings, member: int | None) -> Node:
    count = next(
        len(v) for h in sorted(holes(pattern), key=by_key) if isinstance(v := bound[h], tuple) and h is not INDICES
    )
    parts = [filled(pattern.args[0], bound, k) for k in range(count)]
    return maximum(*parts) if pattern.data == "max" else add(*parts)


def _filled_over(pattern: Node, bound: Bindings, member: int | None) -> Node:
    indices = bound[INDICES]
    assert isinstance(indices, tuple)
    return reduce(str(pattern.data), indices, filled(pattern.args[0], bound, member))


def _filled_raised(pattern: Node, bound: Bindings, member: int | None) -> Node:
    base, exponent = (filled(arg, bound, member) for arg in pattern.args)
    return power(base, number(exponent))


def _filled_call(pattern: Node, bound: Bindings, member: int | None) -> Node:
    """The element of the routine's result that the matched read asks for."""
    position = bound[INDICES]
    assert isinstance(position, tuple)
    return read(called_tensor(pattern, bound), *position)


def called_tensor(pattern: Node, bound: Bindings) -> Definition:
    """The tensor that a pattern of calls stands for."""
    if pattern.op == "hole":
        matrix = bound[pattern]
        assert isinstance(matrix, Definition)
        return matrix
    operand = called_tensor(pattern.args[0], bound)
    shape = operand.shape if pattern.data == "inv" else operand.shape[:-2]
    return call(str(pattern.data), [operand], shape)


SPECIAL: Mapping[str, Callable[[Node, Bindings, int | None], Node]] = {
    "each": _filled_each,
    "over": _filled_over,
    "raised": _filled_raised,
    "call": _filled_call,
}
