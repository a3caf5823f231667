"""One user's value to one array that the code can read: dtype, memory order, and range of class numbers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArrayShapeError, DtypeError, IndexOutOfRange, ValuesError
from sympile.compiler.program import Slot

Array = npt.NDArray[Any]

INTEGER = np.dtype(np.int64)

_NUMBER_THEM = "write {name}.astype(float), or np.unique({name}, return_inverse=True)[1] of class names"

# NumPy's dtype kinds that are no real numbers: what they are, and what to write
# fmt: off
REFUSED = {
    "c": ("complex numbers",       "write {name}.real, or split it into two real symbols"),
    "O": ("Python objects",        "write np.asarray({name}, dtype=float); of a sparse matrix, {name}.toarray()"),
    "S": ("byte strings",          "write {name}.astype(float)"),
    "U": ("strings",               _NUMBER_THEM),
    "T": ("strings",               _NUMBER_THEM),
    "M": ("dates",                 "write differences from a first date, in a unit of your choice"),
    "m": ("time differences",      "write {name} / np.timedelta64(1, 's')"),
    "V": ("records",               "write one array per field"),
}
# fmt: on


def converted(slot: Slot, value: object, dtype: np.dtype[Any]) -> Array:
    """The value as a C-contiguous, aligned array of `dtype`; the same object if it is one already.

    Args:
        slot: what the value is for.
        value: anything that np.asarray takes: numbers, lists, arrays, pandas objects.
        dtype: float64 or float32; int64 for an integer slot.

    Raises:
        DtypeError: not real numbers, fractions for an integer slot, or numbers too large for float32.
        ArrayShapeError: nested lists of unequal lengths.
    """
    if type(value) is float and not slot.integer:
        return np.array(value, dtype)
    array = _plain(slot, value)
    if array.dtype.kind not in "biuf":
        what, instead = REFUSED.get(array.dtype.kind, (str(array.dtype), "write an array of real numbers"))
        raise DtypeError(f"{slot.name} holds {what}, not real numbers\n  {instead.format(name=slot.name)}")
    if slot.integer:
        _demand_whole(slot, array)
    return _cast(slot, array, dtype)


def refuse_masked(name: str, value: object) -> None:
    """Masked entries would be read as if they were numbers; numpy.ma is not imported for arrays of other kinds."""
    masked = sys.modules.get("numpy.ma")
    if masked is not None and isinstance(value, masked.MaskedArray) and masked.is_masked(value):
        raise ValuesError(f"{name} has masked entries, which would be read\n  write {name}.filled(...)")


def _plain(slot: Slot, value: object) -> Array:
    refuse_masked(slot.name, value)
    try:
        return np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
    raise ArrayShapeError(f"{slot.name} is a list of lists of unequal lengths: the rows must have one length")


def _cast(slot: Slot, array: Array, dtype: np.dtype[Any]) -> Array:
    try:
        with np.errstate(over="raise"):
            array = np.asarray(array, dtype=dtype, order="C")
    except FloatingPointError:
        raise DtypeError(f"{slot.name} holds numbers too large for {dtype}; compile with dtype='float64'") from None
    return array if array.flags.aligned else array.copy()


def _demand_whole(slot: Slot, array: Array) -> None:
    """Raises where a number is no integer that int64 can hold."""
    if array.dtype.kind in "bi":
        return
    limit = 2.0**63 if array.dtype.kind == "f" else np.uint64(2**63)
    whole = array < limit
    if array.dtype.kind == "f":
        whole &= (array >= -limit) & (np.trunc(array) == array)
    if not whole.all():
        value, where = first_bad(array, ~whole)
        raise DtypeError(f"{slot.name} holds {value}{where}: class numbers and indices are integers, from 0")


def check_range(slot: Slot, array: Array, sizes: Mapping[str, int]) -> None:
    """Raises IndexOutOfRange where an integer slot's array holds a value outside low … limit-1-short.

    A limit whose size is not known yet is left to a later call.
    """
    limit = sizes.get(slot.limit) if isinstance(slot.limit, str) else slot.limit
    if limit is None or array.size == 0:
        return
    low, high = slot.low, limit - 1 - slot.short
    if low <= array.min() and array.max() <= high:
        return
    value, where = first_bad(array, (array < low) | (array > high))
    name = f" ({slot.limit} = {limit})" if isinstance(slot.limit, str) else ""
    plain = low == slot.short == 0
    why = ": counting starts at 0" if plain else f", so that every index made of it lies in 0 … {limit - 1}"
    raise IndexOutOfRange(f"{slot.name} holds {value}{where}; it must lie in {low} … {high}{name}{why}")


def first_bad(array: Array, bad: npt.NDArray[np.bool_]) -> tuple[object, str]:
    """The first marked value, and its position in words."""
    position = np.unravel_index(int(np.argmax(bad)), array.shape)
    index = ", ".join(str(int(i)) for i in position)
    return array[position].item(), f" at [{index}]" if index else ""
