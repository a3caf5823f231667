"""The gradient formulas of a model, by parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sympile.compiler.errors import UnknownName, did_you_mean
from sympile.compiler.show.shown import Formula
from sympile.runtime.byname import Keys, name_of


class Gradients(Mapping[Any, Formula]):
    """Formulas by symbol or name, made at first use: a model may have thousands of parameters."""

    def __init__(self, keys: Keys, make: Callable[[str], Formula]) -> None:
        self._keys, self._make = keys, make
        self._made: dict[int, Formula] = {}

    def __getitem__(self, key: object) -> Formula:
        position = self._keys.position(key)
        if position is None:
            names = self._keys.names()
            raise UnknownName(f"no parameter is called {name_of(key)!r}{did_you_mean(name_of(key), names)}")
        if position not in self._made:
            self._made[position] = self._make(self._keys.names()[position])
        return self._made[position]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys.symbols)

    def __len__(self) -> int:
        return len(self._keys.symbols)

    def __repr__(self) -> str:
        if len(self) > 12:
            return f"<gradient formulas of {len(self)} parameters>"
        return "\n".join(str(f) if f.where else f"{f.label} = {f}" for f in self.values())
