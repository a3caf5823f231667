"""Places that go around an axis, as x[Mod(i + 1, n)] of a ring: a read for each turn, under its own condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from sympile.compiler.graph.affine import always_at_least_zero
from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.node import ONE, ZERO, Node, const
from sympile.compiler.passes.reading.engine import Bindings, Reader

TURNS = (-1, 0, 1)  # how often a place may lie beyond an end


def goes_around(written: Sequence[Any]) -> bool:
    """Whether one of the places in [ ] is a remainder."""
    return any(isinstance(place, sp.Mod) for place in written)


def read_around(
    reader: Reader,
    written: Sequence[Any],
    bindings: Bindings,
    position: Callable[[Reader, Any, Bindings], Node],
    element: Callable[[Sequence[Any]], Any],
) -> Node:
    """The element at places of which the first remainder, Mod(p, n), is p, p - n or p + n.

    Args:
        reader: reads the elements.
        written: all places in [ ], as they stand there.
        bindings: the indices that are bound around it.
        position: reads one place.
        element: the expression with other places.

    Raises:
        UnsupportedNode: p may lie further away.
    """
    at = next(k for k, place in enumerate(written) if isinstance(place, sp.Mod))
    p, n = written[at].args
    place, length = position(reader, p, bindings), position(reader, n, bindings)
    last = sub(mul(const(2), length), ONE)
    if not (always_at_least_zero(add(place, length)) and always_at_least_zero(sub(last, place))):
        words = f"{written[at]} cannot be an index: {p} may lie more than one turn of {n} places away"
        raise reader.refuse(written[at], words)
    terms = []
    for turn in TURNS:
        inside = sub(place, mul(const(turn), length))
        conditions = at_least_zero(inside), at_least_zero(sub(sub(length, ONE), inside))
        if ZERO not in conditions:
            moved = [*written[:at], p - turn * n, *written[at + 1 :]]
            terms.append(when(reader.read(element(moved), bindings).body, *conditions))
    return add(*terms)
