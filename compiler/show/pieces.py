"""A value over at most two indices, as a SymPy matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from sympile.compiler.graph.node import Node
from sympile.compiler.records import dataclass
from sympile.compiler.show.network import NoMatrixForm
from sympile.compiler.show.products import times, transposed


@dataclass(frozen=True, slots=True)
class Piece:
    """No axes: a scalar; one: a column; two: a matrix with rows along the first."""

    expression: Any
    axes: tuple[Node, ...]


def broadcast(piece: Piece, axes: Sequence[Node], size: Callable[[Node], Any]) -> Any:
    """The matrix of a piece over given axes: transposed, or repeated along those that it lacks."""
    axes = tuple(axes)
    if piece.axes == axes:
        return piece.expression
    if not set(piece.axes) <= set(axes):
        raise NoMatrixForm
    if not piece.axes:
        return times([piece.expression], [sp.OneMatrix(size(axes[0]), size(axes[1]) if len(axes) > 1 else 1)])
    if len(piece.axes) == 2:
        return transposed(piece.expression)
    if piece.axes == axes[:1]:
        return times([], [piece.expression, sp.OneMatrix(1, size(axes[1]))])
    return times([], [sp.OneMatrix(size(axes[0]), 1), transposed(piece.expression)])
