"""Quick ways into compiled code: what compiler and runtime each know of one, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from sympile.compiler.pipeline import build_call
from sympile.compiler.program import Signature, Slot
from sympile.runtime.load import Native, load
from sympile.runtime.native import NativeProgram
from sympile.runtime.shortcut import Argument, Target, Way, shortcut


@cache
def _caller() -> Native:
    return load(build_call())


def quick_way(
    native: NativeProgram,
    signature: Signature,
    sizes: Mapping[str, int],
    values: Mapping[str, Any],
    dtypes: Sequence[np.dtype[Any]],
    targets: Mapping[str, tuple[int, ...]],
    alone: bool,
    scalars: Sequence[str] = (),
) -> Way | None:
    """A builtin function for calls with arrays of these shapes, or None where there is none.

    Args:
        native: the program, which has run for these sizes.
        signature: what is known of its inputs.
        sizes: all sizes.
        values: one for each argument, by name, which the code can read as they are.
        dtypes: of the arguments.
        targets: the results' shapes by label, in their order.
        alone: whether the one result is returned itself, not in a list.
        scalars: labels of the results that are NumPy scalars where they have no axes.
    """
    slots = {array.name: array.slot for array in native.program.inputs}
    limits = {slot.name: _limits(slot, sizes) for slot in signature.slots}
    if any(count is not None and count < 1 for _, count in limits.values()):
        return None  # no value is good; the general way has the words
    arguments = [
        Argument(np.shape(value), slots.get(name), dtype, *limits.get(name, (0, None)))
        for (name, value), dtype in zip(values.items(), dtypes, strict=True)
    ]
    places = {array.name: array.slot for array in native.program.outputs}
    results = [Target(shape, places[label], label in scalars) for label, shape in targets.items()]
    return shortcut(_caller(), native, sizes, arguments, results, alone)


def _limits(slot: Slot, sizes: Mapping[str, int]) -> tuple[int, int | None]:
    """The least value of an integer slot, and how many are good; None: all."""
    limit = sizes.get(slot.limit) if isinstance(slot.limit, str) else slot.limit
    return slot.low, None if limit is None else limit - slot.short - slot.low
