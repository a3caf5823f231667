"""Definitions of every kind: what the code generator must be able to compute. Each case builds itself for any sizes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from definition_elementwise import ELEMENTWISE
from definition_reductions import REDUCTIONS
from definition_scatters import SCATTERS
from definition_several import SEVERAL
from definition_world import Outputs, World, f

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import elementwise, read
from sympile.compiler.graph.node import Node, const
from sympile.compiler.graph.reduce import total

CASES: dict[str, Callable[[World], Outputs]] = {**ELEMENTWISE, **REDUCTIONS, **SEVERAL, **SCATTERS}

PAIRS = ((1, 1), (2, 9), (7, 64), (8, 3), (9, 17), (16, 2), (17, 7), (63, 8), (64, 1), (65, 16), (3, 65), (1, 33))


def large_sum(count: int) -> tuple[World, Outputs]:
    """A straight-line formula of many operations of two scalars."""
    w = World({}, symbolic=False)
    x, y = read(w.input("x")), read(w.input("y"))
    value: Node = x
    for k in range(count):
        value = f("sin", add(mul(value, y), const(Fraction(k + 1, count))))
    return w, [elementwise((), value), elementwise((), total([], mul(value, x)))]
