"""Sizes and inputs that definitions are built with: numbers or symbols, values drawn as the inputs are declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import Definition, input_tensor
from sympile.compiler.graph.node import ONE, TWO, Node, const, index, size
from sympile.compiler.graph.rebuild import function

Outputs = list[Definition]


@dataclass(slots=True)
class World:
    """Sizes and inputs of one case: extents are numbers or symbols, values are drawn as the inputs are declared."""

    lengths: Mapping[str, int]
    symbolic: bool
    seed: int = 0
    special: bool = False  # nan, inf and signed zeros among the values
    values: dict[str, Any] = field(default_factory=dict)
    inputs: list[Definition] = field(default_factory=list)

    def extent(self, name: str) -> Node:
        """The extent of this name; "3" is the number."""
        if name.isdigit():
            return const(int(name))
        return size(name) if self.symbolic else const(self.lengths[name])

    def index(self, name: str) -> Node:
        return index(self.extent(name))

    def indices(self, names: str) -> list[Node]:
        return [self.index(name) for name in names.split()]

    def input(self, name: str, shape: str = "", extra: int = 0) -> Definition:
        """An input; `extra` numbers are added to its first axis."""
        extents = [self.extent(n) for n in shape.split()]
        lengths = [int(n) if n.isdigit() else self.lengths[n] for n in shape.split()]
        if extra:
            extents[0], lengths[0] = add(extents[0], const(extra)), lengths[0] + extra
        return self._declare(name, extents, self._numbers(name, lengths))

    def doubled(self, name: str, shape: str) -> Definition:
        """An input whose first axis is 2n + 1 long."""
        extents = [self.extent(n) for n in shape.split()]
        lengths = [self.lengths[n] for n in shape.split()]
        extents[0], lengths[0] = add(mul(TWO, extents[0]), ONE), 2 * lengths[0] + 1
        return self._declare(name, extents, self._numbers(name, lengths))

    def classes(self, name: str, shape: str, limit: str) -> Definition:
        """Integers below a limit."""
        lengths = [self.lengths[n] for n in shape.split()]
        bound = int(limit) if limit.isdigit() else self.lengths[limit]
        numbers = np.random.default_rng([self.seed, *name.encode()]).integers(0, bound, lengths)
        return self._declare(name, [self.extent(n) for n in shape.split()], numbers, integer=True)

    def _declare(self, name: str, extents: list[Node], numbers: Any, integer: bool = False) -> Definition:
        tensor = input_tensor(name, extents, integer=integer)
        self.values[name] = numbers
        self.inputs.append(tensor)
        return tensor

    def _numbers(self, name: str, lengths: list[int]) -> Any:
        rng = np.random.default_rng([self.seed, *name.encode()])
        numbers = np.asarray(rng.uniform(-2.0, 2.0, lengths))
        if self.special and numbers.size:
            for value in (np.nan, np.inf, -np.inf, 0.0, -0.0):
                numbers.flat[rng.integers(0, numbers.size)] = value
        return numbers


def f(op: str, *args: Node) -> Node:
    return function(op, *args)
