"""The SymPy symbols of inputs and of named intermediates, and how one element of each is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from sympile.compiler import language
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import extent
from sympile.compiler.records import dataclass
from sympile.compiler.show.explicit import explicit_matrix
from sympile.compiler.show.numbers import shown_size


@dataclass(frozen=True, slots=True)
class Symbols:
    """Definitions that are shown by a name, and the symbols that stand for them."""

    names: Mapping[Definition, str]
    kind: str  # "matrix" | "index" | "scalar"
    hides: bool  # whether the example axis is hidden
    examples: str | None = None

    def of(self, tensor: Definition) -> Any | None:
        """The symbol of a named tensor, a matrix of numbers as it is, or None."""
        word = self.names.get(tensor)
        return explicit_matrix(tensor) if word is None else symbol_for(word, self.shape(tensor), self.kind)

    def shape(self, tensor: Definition) -> list[Any]:
        """The sizes of the axes that are shown."""
        axes = tensor.axes[1:] if tensor.batched and self.hides else tensor.axes
        return [shown_size(extent(axis), self.examples) for axis in axes]

    def ones(self, tensor: Definition) -> list[bool]:
        """Which axes of the symbol are literal 1: the second of a column."""
        rank = len(self.shape(tensor))
        return [False, True] if self.kind != "index" and rank == 1 else [False] * rank

    @property
    def words(self) -> set[str]:
        return set(self.names.values())


def symbol_for(word: str, shape: Sequence[Any], kind: str) -> Any:
    """A MatrixSymbol (of a vector: a column) or a Tensor of this name; a Symbol where there are no axes."""
    if not shape:
        return sp.Symbol(word)
    if kind == "index" or len(shape) > 2:
        return language.Tensor(word, tuple(shape))
    return sp.MatrixSymbol(word, shape[0], shape[1] if len(shape) > 1 else 1)


def element_of(symbol: Any, ones: Sequence[bool], indices: Sequence[Any]) -> Any:
    """symbol[indices], a literal axis of size 1 filled with 0."""
    if not ones:
        return symbol
    rest = iter(indices)
    full = tuple(sp.S.Zero if one else next(rest) for one in ones)
    return symbol[full]
