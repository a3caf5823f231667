"""What stands in the brackets of `X[...]`: entries as plain values, their sizes, and where they start.

An entry is `("index", 3)`, `("at", k)` (operand number k of the item node), `("slice", start, stop, step)` as written,
or `("new",)`. Negative numbers count from the end, as in NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import sympy as sp

from sympile.compiler.errors import FormulaError, IndexOutOfRange, ShapeError
from sympile.compiler.language.sizes import Shape, is_array, shown

Entry = tuple[Any, ...]


def entries_of(name: Any, shape: Shape, key: Any) -> tuple[tuple[Entry, ...], tuple[Any, ...]]:
    """The entries of a key in brackets, one for each axis at least, and the symbolic indices among them.

    Raises:
        IndexOutOfRange: a number lies outside its axis.
        FormulaError: an index is a fraction, an array, or a list, or there are too many.
    """
    keys = _filled(name, shape, key if isinstance(key, tuple) else (key,))
    axes = iter(shape)
    entries: list[Entry] = []
    symbolic: list[Any] = []
    for one in keys:
        if one is None:
            entries.append(("new",))
            continue
        entry = _entry(name, one, next(axes))
        if entry[0] == "at":
            symbolic.append(entry[1])
            entry = ("at", len(symbolic))
        entries.append(entry)
    return tuple(entries), tuple(symbolic)


def item_shape(shape: Shape, entries: Sequence[Entry]) -> Shape:
    """The shape of `X[entries]`; raises IndexOutOfRange or ShapeError."""
    axes = iter(shape)
    result = []
    for entry in entries:
        if entry[0] == "new":
            result.append(sp.S.One)
            continue
        extent = next(axes)
        if entry[0] == "slice":
            result.append(span(extent, entry)[2])
        elif entry[0] == "index":
            place(extent, entry[1])
    return tuple(result)


def place(extent: Any, index: int) -> Any:
    """Where an index points: a negative one counts from the end."""
    if extent.is_Integer and not -extent <= index < extent:
        raise IndexOutOfRange(f"index {index} lies outside an axis of size {extent}")
    return sp.Integer(index) if index >= 0 else extent + index


def span(extent: Any, entry: Entry) -> tuple[Any, int, Any]:
    """The start, the step and the size of a slice of an axis; raises ShapeError where the size would be unknown."""
    _, start, stop, step = entry
    if extent.is_Integer:
        chosen = range(*slice(start, stop, step).indices(int(extent)))
        return sp.Integer(chosen.start), chosen.step, sp.Integer(len(chosen))
    if (start, stop, step) == (None, None, -1):
        return extent - 1, -1, extent
    if step in (None, 1) and (start or 0) >= 0 and (stop is None or stop < 0):
        return sp.Integer(start or 0), 1, extent - (start or 0) + (stop or 0)
    words = ":".join("" if value is None else str(value) for value in entry[1:])
    raise ShapeError(
        f"[{words.removesuffix(':')}] of an axis of size {extent}: how many entries that takes is not known; "
        f"give the size as a number, or write comprehension(X[i], (i, size))"
    )


def _filled(name: Any, shape: Shape, keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """The keys with `...` spelled out and full slices for the axes that are not mentioned."""
    dots = [position for position, key in enumerate(keys) if key is Ellipsis]
    given = sum(key is not None and key is not Ellipsis for key in keys)
    if len(dots) > 1 or given > len(shape):
        raise IndexOutOfRange(f"{name} has {len(shape)} axes, shape {shown(shape)}, but is indexed with {given}")
    rest = (slice(None),) * (len(shape) - given)
    if not dots:
        return keys + rest
    return keys[: dots[0]] + rest + keys[dots[0] + 1 :]


def _entry(name: Any, key: Any, extent: Any) -> Entry:
    if isinstance(key, slice):
        return ("slice", *(None if part is None else _whole(name, part) for part in (key.start, key.stop, key.step)))
    if isinstance(key, sp.Expr) and not key.is_Number:
        if is_array(key) or isinstance(key, sp.IndexedBase):
            raise FormulaError(f"{name}[{key}]: an index is one number; write comprehension({name}[{key}[i]], (i, n))")
        return ("at", key)
    index = _whole(name, key)
    place(extent, index)
    return ("index", index)


def _whole(name: Any, key: Any) -> int:
    if isinstance(key, bool) or (isinstance(key, sp.Number) and not key.is_Integer):
        raise FormulaError(f"{name}[{key}]: an index is an integer")
    try:
        return int(key) if isinstance(key, sp.Integer) else operator.index(key)
    except TypeError:
        raise FormulaError(f"{name}[{key!r}]: an index is an integer, a Symbol, or a slice of integers") from None
