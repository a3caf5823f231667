"""In which notation a symbol is written, and its shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from sympile.compiler.graph.node import Node
from sympile.compiler.language import Tensor
from sympile.compiler.show.numbers import shown_size


def kind_of(symbol: Any) -> str:
    """The notation in which a symbol's gradient is shown: "matrix", "scalar" or "index"."""
    if getattr(symbol, "is_Matrix", False):
        return "matrix"
    return "scalar" if getattr(symbol, "is_Symbol", False) else "index"


def symbol_like(name: str, other: Any) -> Any:
    """A new symbol of another one's notation and shape."""
    if isinstance(other, sp.IndexedBase):
        return sp.IndexedBase(name, shape=other.shape)
    shape = tuple(getattr(other, "shape", ()) or ())
    return symbol_of_shape(name, shape, kind_of(other))


def symbol_of_shape(name: str, shape: Sequence[Any], kind: str) -> Any:
    """A new symbol of a shape, in a notation."""
    if not shape:
        return sp.Symbol(name)
    if kind == "matrix" and len(shape) == 2:
        return sp.MatrixSymbol(name, *shape)
    return Tensor(name, tuple(shape))


def with_ones(declared: Sequence[Any], shape: Sequence[int]) -> tuple[int, ...]:
    """A code shape with the literal 1s of the declared one put back."""
    inner = iter(shape)
    return tuple(1 if n == 1 else next(inner) for n in declared)


def dims(declared: Sequence[Node], examples: str | None) -> str:
    """A declared shape as text: [3×n]; nothing of a single number."""
    return f"[{'×'.join(str(shown_size(n, examples)) for n in declared)}]" if declared else ""
