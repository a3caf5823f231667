"""What a fit looks up in its signature each time, looked up once."""

from __future__ import annotations

from collections.abc import Mapping

from sympile.compiler.program import BATCH, Extent, Signature, Slot
from sympile.compiler.records import dataclass
from sympile.runtime.arguments import Binder
from sympile.runtime.initializers import start_binder


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
