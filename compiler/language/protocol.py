"""What a reader may rely on in every SymPy class of ours."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


class Ours:
    """What a reader may rely on: an operation, its operands (SymPy objects), its options (plain values)."""

    @property
    def operation(self) -> str:
        """The key under which a table finds what this node means."""
        raise NotImplementedError

    @property
    def operands(self) -> tuple[Any, ...]:
        """SymPy objects of any kind: scalars, relations, matrices, tensors, limits."""
        raise NotImplementedError

    @property
    def options(self) -> tuple[Hashable, ...]:
        """Plain hashable Python values, such as the axes of a reduction."""
        raise NotImplementedError

    @property
    def free_symbols(self) -> set[Any]:
        """The symbols that the value depends on."""
        raise NotImplementedError
