"""From a user's dict to the arrays that compiled code can take: all checks, once per call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArgumentError, DuplicateName, MissingValue, UnknownKey, did_you_mean, listed
from sympile.compiler.program import BATCH, Signature, Slot
from sympile.compiler.records import dataclass
from sympile.runtime.byname import name_of
from sympile.runtime.convert import INTEGER, check_range, converted
from sympile.runtime.shapes import Plan, shown, solve

ROLES = ("data", "parameter", "constant")

# Where a value of another role belongs
# fmt: off
ELSEWHERE = {
    "data":      "it is data: give it with the data",
    "parameter": "it is a parameter: give its value with the parameters, its first value in `start=`",
    "constant":  "it is a constant: give it with the data",
}
# fmt: on

_MISSING = object()
_IGNORED = -1
_MOST_PLANS = 64


@dataclass(frozen=True, slots=True)
class Bound:
    """Arrays that fit, in the slots' order, and the sizes they tell.

    An array may be the user's own: code that writes must copy first.
    """

    names: tuple[str, ...]
    arrays: list[npt.NDArray[Any]]
    sizes: dict[str, int]

    def by_name(self) -> dict[str, npt.NDArray[Any]]:
        """A plain dict from the slots' names to their arrays."""
        return dict(zip(self.names, self.arrays, strict=True))


class Binder:
    """Binds values to the slots of one signature; made once, called often."""

    __slots__ = (
        "_dtypes",
        "_elsewhere",
        "_has_integers",
        "_known",
        "_names",
        "_partial",
        "_plans",
        "_positions",
        "_slots",
        "_untold",
    )

    def __init__(
        self,
        signature: Signature,
        *,
        roles: Iterable[str] = ROLES,
        ignored: Iterable[str] = (),
        partial: bool = False,
    ) -> None:
        """Takes what to bind.

        Args:
            signature: names, shapes and roles of all inputs.
            roles: the roles to bind; a value for a slot of another role is an error that says where it belongs.
            ignored: names whose values are accepted and left aside (targets, when predicting).
            partial: whether slots may stay without a value (the `start` of a fit).
        """
        wanted = tuple(roles)
        self._slots = tuple(slot for slot in signature.slots if slot.role in wanted)
        self._names = tuple(slot.name for slot in self._slots)
        self._dtypes = tuple(INTEGER if slot.integer else np.dtype(signature.dtype) for slot in self._slots)
        self._has_integers = any(slot.integer for slot in self._slots)
        self._positions: dict[object, int] = dict.fromkeys(ignored, _IGNORED)
        self._positions.update((name, position) for position, name in enumerate(self._names))
        self._elsewhere = {slot.name: slot.role for slot in signature.slots if slot.role not in wanted}
        self._elsewhere.update((name, "size") for name in signature.sizes if name != BATCH)
        self._known = dict(signature.pinned)
        told = {extent for slot in signature.slots for extent in slot.shape}
        self._untold = tuple(name for name in signature.sizes if name not in told and name not in self._known)
        self._partial = partial
        self._plans: dict[tuple[tuple[tuple[int, ...], ...], tuple[tuple[str, int], ...]], Plan] = {}

    @property
    def has_integers(self) -> bool:
        """Whether there are class numbers or indices, which `check_ranges` looks at."""
        return self._has_integers

    @property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """What the arrays become, in the slots' order."""
        return self._dtypes

    def bind(self, values: Mapping[Any, Any], sizes: Mapping[str, int] | None = None) -> Bound:
        """Checks all values and returns arrays.

        Args:
            values: keyed by symbols or their names. An array that has the model's dtype and lies C-contiguous in
                memory is taken as it is, anything else is converted: real numbers, lists, pandas objects.
            sizes: sizes that are settled already, by an earlier bind.

        Returns:
            The arrays in the slots' order, reshaped to what the code sees, and the sizes.

        Raises:
            MissingValue, UnknownKey, DuplicateName: the keys are not those of the formula.
            ArrayShapeError, LengthMismatch, EmptyData: the shapes do not fit the symbols, or each other.
            DtypeError, IndexOutOfRange: the numbers are not of the kind that the formula takes.
        """
        return self.bind_found(self.found(values), sizes)

    def bind_found(self, found: list[Any], sizes: Mapping[str, int] | None = None) -> Bound:
        """As `bind`, of what `found` returned."""
        if self._partial and [True for value in found if value is _MISSING]:
            return self._bind_some(found, sizes or {})
        arrays = [
            value
            if type(value) is np.ndarray and value.dtype is dtype and value.flags.carray
            else converted(slot, value, dtype)
            for slot, value, dtype in zip(self._slots, found, self._dtypes, strict=True)
        ]
        return self._finished(self._slots, self._names, arrays, sizes)

    def _bind_some(self, found: list[Any], sizes: Mapping[str, int]) -> Bound:
        """The partial way: only the slots that have a value."""
        some = [position for position, value in enumerate(found) if value is not _MISSING]
        slots = tuple(self._slots[position] for position in some)
        arrays = [converted(self._slots[position], found[position], self._dtypes[position]) for position in some]
        return self._finished(slots, tuple(slot.name for slot in slots), arrays, sizes)

    def _finished(
        self,
        slots: tuple[Slot, ...],
        names: tuple[str, ...],
        arrays: list[npt.NDArray[Any]],
        sizes: Mapping[str, int] | None,
    ) -> Bound:
        shapes = tuple([array.shape for array in arrays])
        plan = self._plan(slots, shapes, sizes)
        for position, target in plan.moves:
            arrays[position] = arrays[position].reshape(target)    # only axes of size 1 differ: never a copy
        bound = Bound(names, arrays, plan.sizes.copy())
        if self._has_integers:
            self.check_ranges(bound, plan.sizes)
        return bound

    def check_ranges(self, bound: Bound, sizes: Mapping[str, int]) -> None:
        """Checks class numbers and gather indices against their axes.

        Args:
            bound: what `bind` returned; it has checked all axes whose size it knew.
            sizes: all sizes, once the arrays of other roles have told the rest.

        Raises:
            IndexOutOfRange: the message gives the first value that lies outside, and its position.
        """
        for slot in self._slots:
            if slot.integer and slot.name in bound.names:
                check_range(slot, bound.arrays[bound.names.index(slot.name)], sizes)

    def _plan(
        self, slots: tuple[Slot, ...], shapes: tuple[tuple[int, ...], ...], sizes: Mapping[str, int] | None
    ) -> Plan:
        """What these shapes mean; remembered, since calls with the same shapes follow each other."""
        if slots is not self._slots:
            return self._solved(slots, shapes, {**self._known, **(sizes or {})})
        key = (shapes, tuple(sizes.items()) if sizes else ())
        plan = self._plans.get(key)
        if plan is None:
            plan = self._solved(slots, shapes, {**self._known, **(sizes or {})})
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _solved(self, slots: tuple[Slot, ...], shapes: tuple[tuple[int, ...], ...], known: Mapping[str, int]) -> Plan:
        untold = [name for name in self._untold if name not in known]
        if untold:
            given = ", ".join(f"{name}: ..." for name in untold)
            raise MissingValue(f"no array tells the size {listed(untold)}\n  write sizes={{{given}}} when compiling")
        return solve(slots, shapes, known)

    # -------------------------------------------------------------------------------------------------------- keys

    def found(self, values: Mapping[Any, Any]) -> list[Any]:
        """The values in the slots' order, as they are given.

        Raises:
            MissingValue, UnknownKey, DuplicateName: the keys are not those of the formula.
        """
        found: list[Any] = [_MISSING] * len(self._slots)
        count = 0
        for key, value in _items(values):
            position = self._positions.get(key)
            if position is None:
                position = self._learned(key)
            if position == _IGNORED:
                continue
            if found[position] is not _MISSING:
                name = self._names[position]
                raise DuplicateName(f"{name!r} is given twice, by its symbol and by its name: keep one of them")
            found[position] = value
            count += 1
        if count != len(found) and not self._partial:
            raise MissingValue(self._missing(found))
        return found

    def _learned(self, key: object) -> int:
        """The position of a symbol by its name; the symbol itself is looked up the next time."""
        position = self._positions.get(name_of(key))
        if position is None:
            raise UnknownKey(self._unknown(name_of(key)))
        if len(self._positions) < 8 * len(self._slots) + 64:    # a bound: SymPy can make any number of Dummy("x")
            self._positions[key] = position
        return position

    def _unknown(self, name: str) -> str:
        role = self._elsewhere.get(name)
        if role == "size":
            return f"{name!r} is a size: arrays tell it; `sizes=` of compile gives one that no array tells"
        if role is not None:
            return f"{name!r} does not belong here; {ELSEWHERE[role]}"
        known = ", ".join(self._names) or "no value at all"
        return f"the formula has no symbol {name!r}{did_you_mean(name, self._names)}; values are wanted for {known}"

    def _missing(self, found: list[Any]) -> str:
        missing = [slot for slot, value in zip(self._slots, found, strict=True) if value is _MISSING]
        lines = "".join(f"\n  {slot.name}: {slot.role}, an array of shape {shown(slot.shape)}" for slot in missing)
        return f"no value is given for {listed(slot.name for slot in missing)}:{lines}"


def _items(values: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    try:
        return values.items()
    except AttributeError:
        kind = type(values).__name__
        raise ArgumentError(f"values come as a dict from symbols or names to arrays, not as {kind}") from None


def bind(signature: Signature, values: Mapping[Any, Any], *, roles: Iterable[str] = ROLES) -> Bound:
    """Binds once; keep a `Binder` where the same signature is bound again and again.

    Args:
        signature: names, shapes and roles of all inputs.
        values: keyed by symbols or their names.
        roles: the roles to bind.

    Returns:
        The arrays in the slots' order, and the sizes.

    Raises:
        ValuesError: as `Binder.bind`.

    Example:
        >>> from sympile.compiler.program import BATCH, Signature, Slot
        >>> x = Slot("x", "data", (3, 1), (BATCH, 3), batched=True)
        >>> bound = bind(Signature((x,), sizes=(BATCH,)), {"x": np.ones((5, 3, 1))})
        >>> bound.arrays[0].shape, bound.sizes[BATCH]
        ((5, 3), 5)
    """
    return Binder(signature, roles=roles).bind(values)
