"""What a fit looks up in its signature each time, looked up once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from sympile.compiler.program import BATCH, Extent, Signature, Slot
from sympile.compiler.records import dataclass
from sympile.runtime.arguments import Binder
from sympile.runtime.initializers import start_binder
from sympile.runtime.model.notation import with_ones

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TrainingSlots:
    """Names, shapes and roles of what a fit takes."""

    batched: tuple[str, ...]  # data with an example axis in front
    declared: Mapping[str, tuple[Extent, ...]]  # the parameters' shapes as the user wrote them
    tellers: tuple[Slot, ...]  # parameters whose arrays tell sizes
    start: Binder  # takes first values

    @classmethod
    def of(cls, signature: Signature) -> TrainingSlots:
        """Those of a signature."""
        parameters = [slot for slot in signature.slots if slot.role == "parameter"]
        return cls(
            tuple(s.name for s in signature.slots if s.role == "data" and s.shape[:1] == (BATCH,)),
            {slot.name: slot.declared for slot in parameters},
            tuple(slot for slot in parameters if any(isinstance(extent, str) for extent in slot.shape)),
            start_binder(signature),
        )


def as_declared(signature: Signature, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays that have been bound, as calls take them: with their axes of size 1."""
    shaped = {}
    for slot in signature.slots:
        if slot.name in arrays:
            array = arrays[slot.name]
            front = len(slot.shape) - sum(extent != 1 for extent in slot.declared)
            shape = (*array.shape[:front], *with_ones(slot.declared, array.shape[front:]))
            shaped[slot.name] = array.reshape(shape)
    return shaped
