"""An optimizer's rule → definitions over the flat array of all parameters: one formula for every entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import sympy as sp

from sympile.compiler.graph.arithmetic import power, sqrt
from sympile.compiler.graph.definition import Definition, elementwise, input_tensor, read
from sympile.compiler.graph.node import Node, index, size
from sympile.compiler.graph.reduce import total
from sympile.compiler.passes.read import TABLE
from sympile.compiler.passes.reading.engine import Bindings, Reader
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.passes.reading.values import Value
from sympile.compiler.records import dataclass

COUNT = "#parameters"  # how many numbers the flat array holds
GRADIENT, PARAMETER, STEP, EPOCH, NORM = "gradient", "parameter", "step", "epoch", "global_norm"
SQUARES = "squares"  # of all gradients

Assignments = tuple[tuple[Any, Any], ...]


class Rule(Protocol):
    """What an optimizer tells the compiler."""

    @property
    def state(self) -> Assignments: ...

    @property
    def update(self) -> Assignments: ...

    @property
    def schedules(self) -> Assignments: ...

    @property
    def clip(self) -> Assignments: ...

    @property
    def numbers(self) -> tuple[tuple[str, float], ...]: ...


@dataclass(frozen=True, slots=True)
class Update:
    """New values of the parameter and of each state, and all inputs.

    Attributes:
        outputs: the new values, over the axis of all parameters.
        inputs: what they are computed from.
        reads: what stands in them for the gradient, the parameter, a state, a number of the rule, the sum of squares.
    """

    outputs: dict[str, Definition]
    inputs: tuple[Definition, ...]
    reads: dict[str, Node]


def read_update(rule: Rule) -> Update:
    """The rule as definitions over the axis of all parameters; assignments see those before them."""
    axis = index(size(COUNT), "i0")
    flat = {
        name: input_tensor(name, [size(COUNT)], "data")
        for name in (GRADIENT, PARAMETER, *[str(s) for s, _ in rule.state])
    }
    scalars = {name: input_tensor(name, [], "constant") for name in (STEP, EPOCH, *[name for name, _ in rule.numbers])}
    values = {name: read(t, axis) for name, t in flat.items()} | {name: read(t) for name, t in scalars.items()}
    squares = total([axis], power(read(flat[GRADIENT], axis), 2))
    reads = {**values, SQUARES: squares}
    values[NORM] = sqrt(squares)
    for symbol, expression in (*rule.schedules, *rule.clip, *rule.update):
        values[str(symbol)] = _read(expression, values)
    changed = [PARAMETER, *[str(s) for s, _ in rule.state]]
    outputs = {name: elementwise((axis,), values[name]) for name in changed}
    return Update(outputs, (*flat.values(), *scalars.values()), reads)


def _read(expression: Any, values: Mapping[str, Node]) -> Node:
    """One expression over the values so far; symbols go by their names."""
    expression = sp.sympify(expression)
    holes = {symbol: Value(values[str(symbol)]) for symbol in expression.free_symbols}
    reader = Reader(Scope(batched=False), TABLE, "update", expression)
    return reader.read(expression, Bindings(holes=holes)).body
