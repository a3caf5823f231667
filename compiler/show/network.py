"""A sum of products of matrix elements as a network: indices are vertices, factors of two indices are edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

import sympy as sp

from sympile.compiler import language
from sympile.compiler.graph.node import Node
from sympile.compiler.records import dataclass
from sympile.compiler.show.products import hadamard, inner_product, split_scalars, times, transposed


class NoMatrixForm(Exception):
    """Products of matrices cannot express it; index notation can."""


@dataclass(slots=True)
class Network:
    """Scalars, a list of columns at each index, and a list of matrices between each pair of indices."""

    sizes: dict[Node, Any]
    scalars: list[Any] = field(default_factory=list)
    columns: dict[Node, list[Any]] = field(default_factory=dict)
    edges: dict[tuple[Node, Node], list[Any]] = field(default_factory=dict)

    def put(self, expression: Any, axes: Sequence[Node]) -> None:
        """One factor, over none, one or two indices."""
        scalars, matrices = split_scalars(expression) if axes else ([expression], [])
        self.scalars.extend(scalars)
        if not axes:
            return
        inner = matrices[0] if len(matrices) == 1 else sp.MatMul(*matrices)
        if len(axes) == 1:
            self.columns.setdefault(axes[0], []).append(inner)
        elif (axes[1], axes[0]) in self.edges:
            self.edges[axes[1], axes[0]].append(transposed(inner))
        else:
            self.edges.setdefault((axes[0], axes[1]), []).append(inner)

    def between(self, first: Node, second: Node) -> list[Any]:
        """The matrices between two indices, rows at the first."""
        forward = self.edges.get((first, second), [])
        return forward or [transposed(m) for m in self.edges.get((second, first), [])]

    def neighbours(self, vertex: Node) -> list[Node]:
        return [b if a is vertex else a for a, b in self.edges if vertex in (a, b)]

    def remove(self, first: Node, second: Node) -> None:
        self.edges.pop((first, second), None)
        self.edges.pop((second, first), None)

    # -------------------------------------------------------------------------------------------- elimination

    def eliminate(self, reduced: Sequence[Node]) -> None:
        """Sums over indices, those with the fewest neighbours first."""
        left = list(reduced)
        while left:
            vertex = min(left, key=lambda v: len(self.neighbours(v)))
            left.remove(vertex)
            self._sum_over(vertex, left)

    def _sum_over(self, vertex: Node, left: list[Node]) -> None:
        near = self.neighbours(vertex)
        own = self.columns.pop(vertex, [])
        if len(near) > 2:
            raise NoMatrixForm
        if not near:
            self.scalars.append(inner_product(own or [self._ones(vertex)]))
        elif len(near) == 1:
            self._fold(vertex, near[0], own, left)
        else:
            middle = [sp.DiagMatrix(hadamard(own))] if own else []
            into, out = hadamard(self.between(near[0], vertex)), hadamard(self.between(vertex, near[1]))
            self.remove(vertex, near[0])
            self.remove(vertex, near[1])
            self.put(times([], [into, *middle, out]), (near[0], near[1]))

    def _fold(self, vertex: Node, other: Node, own: list[Any], left: list[Node]) -> None:
        """An index at the end of a chain becomes a column of its neighbour; two alone become a trace or a sum."""
        matrices = self.between(other, vertex)
        self.remove(other, vertex)
        alone = other in left and other not in self.columns and not self.neighbours(other) and not own
        if alone:
            left.remove(other)
            self.scalars.append(_summed(matrices))
        else:
            column = hadamard(own) if own else self._ones(vertex)
            self.put(times([], [hadamard(matrices), column]), (other,))

    def _ones(self, vertex: Node) -> Any:
        return sp.OneMatrix(self.sizes[vertex], 1)

    # -------------------------------------------------------------------------------------------- result

    def result(self, axes: Sequence[Node]) -> Any:
        """What is left, over none, one or two indices."""
        if not axes:
            return self.scalars
        if len(axes) == 1:
            return times(self.scalars, [hadamard(self.columns.get(axes[0]) or [self._ones(axes[0])])])
        return times(self.scalars, self._two(*axes))

    def _two(self, rows: Node, columns: Node) -> list[Any]:
        left, right = self.columns.get(rows), self.columns.get(columns)
        matrices = self.between(rows, columns)
        if not matrices:
            u = hadamard(left) if left else self._ones(rows)
            v = hadamard(right) if right else self._ones(columns)
            return [u, transposed(v)]
        before = [sp.DiagMatrix(hadamard(left))] if left else []
        after = [sp.DiagMatrix(hadamard(right))] if right else []
        return [*before, hadamard(matrices), *after]


def _summed(matrices: list[Any]) -> Any:
    """The sum of all entries: of a product of two, a trace."""
    if len(matrices) == 2:
        return sp.Trace(times([], [transposed(matrices[0]), matrices[1]]))
    whole = hadamard(matrices)
    return language.sum(whole.arg if isinstance(whole, sp.Transpose) else whole, axis=None)
