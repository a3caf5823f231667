"""A mapping that is keyed by symbols and can also be asked by their names."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Generic, TypeVar

import numpy as np

from sympile.compiler.errors import DuplicateName, UnknownName, did_you_mean, listed

Value = TypeVar("Value")


def name_of(key: object) -> str:
    """The name of a symbol of any kind; a string is its own name."""
    return key if isinstance(key, str) else str(getattr(key, "name", key))


class Keys:
    """Symbols in their order, found by symbol or by name; made once, shared by all results of one model."""

    __slots__ = ("_positions", "symbols")

    def __init__(self, symbols: Iterable[object]) -> None:
        """Takes symbols or names.

        Args:
            symbols: symbols of any kind that have a `name`, or strings; their order is the order of iteration.

        Raises:
            DuplicateName: two of them share one name.
        """
        self.symbols = tuple(symbols)
        self._positions: dict[object, int] = {}
        for position, symbol in enumerate(self.symbols):
            if name_of(symbol) in self._positions:
                raise DuplicateName(f"two symbols have the name {name_of(symbol)!r}; rename one of them")
            self._positions[name_of(symbol)] = position
            self._positions[symbol] = position

    def position(self, key: object) -> int | None:
        """Where a symbol, or the symbol of that name, stands; None if it is not here."""
        found = self._positions.get(key)
        return self._positions.get(name_of(key)) if found is None else found

    def names(self) -> list[str]:
        """The names, in order."""
        return [name_of(symbol) for symbol in self.symbols]

    def __reduce__(self) -> tuple[type[Keys], tuple[tuple[object, ...]]]:
        return Keys, (self.symbols,)


class ByName(Mapping[Any, Value], Generic[Value]):
    """Values keyed by symbols that also accept the symbols' names.

    Example:
        >>> import sympy as sp
        >>> gradient = ByName({sp.Symbol("a"): 2.0, sp.Symbol("b"): 3.0})
        >>> gradient["a"], gradient[sp.Symbol("b")]
        (2.0, 3.0)
    """

    __slots__ = ("_keys", "_values")

    def __init__(self, values: Mapping[Any, Value] | Sequence[Value], keys: Keys | None = None) -> None:
        """Takes a mapping, or a sequence of values for keys that exist already.

        Args:
            values: a mapping from symbols or names; with `keys`, the values in the order of the keys.
            keys: shared keys (a model makes them once).
        """
        self._keys = Keys(values) if keys is None else keys
        if type(values) is not list and isinstance(values, Mapping):  # asking whether a list is one takes a while
            self._values = tuple(values.values())
        else:
            self._values = tuple(values)

    def __getitem__(self, key: object) -> Value:
        position = self._keys.position(key)
        if position is None:
            raise UnknownName(self._unknown(key))
        return self._values[position]

    def _unknown(self, key: object) -> str:
        names = self._keys.names()
        return f"there is no {name_of(key)!r} here{did_you_mean(name_of(key), names)}; there is {listed(names)}"

    def __contains__(self, key: object) -> bool:
        return self._keys.position(key) is not None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys.symbols)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> KeysView[Any]:
        return self._plain().keys()

    def values(self) -> ValuesView[Value]:
        return self._plain().values()

    def items(self) -> ItemsView[Any, Value]:
        return self._plain().items()

    def _plain(self) -> dict[Any, Value]:
        return dict(zip(self._keys.symbols, self._values, strict=True))

    def by_name(self) -> dict[str, Value]:
        """A plain dict from names to values."""
        return dict(zip(self._keys.names(), self._values, strict=True))

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{key}: {shown(value)}" for key, value in self.items()) + "}"

    def __reduce__(self) -> tuple[type[ByName[Value]], tuple[tuple[Value, ...], Keys]]:
        return ByName, (self._values, self._keys)


def shown(value: object) -> str:
    """A number or a small array in full (six digits), of a large array its shape."""
    if isinstance(value, np.ndarray) and value.size > 6:
        return f"array{value.shape}"
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=6, separator=", ").replace("\n", "")
    return f"{value:.6g}" if isinstance(value, float | np.floating) else repr(value)
