"""Which array shapes a slot takes, and what the sizes are, given the shapes of all arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sympile.compiler.errors import ArrayShapeError, EmptyData, InternalError, LengthMismatch
from sympile.compiler.program import BATCH, Extent, Slot
from sympile.compiler.records import dataclass

Form = tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one combination of array shapes means: the sizes, and which array must get which shape."""

    sizes: dict[str, int]
    moves: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a size was read first, for the message about the second reading that disagrees."""

    size: int
    text: str


# ------------------------------------------------------------------------------------------------ what a slot takes


def forms(slot: Slot) -> tuple[Form, ...]:
    """All shapes that the user may give, the usual one first; each holds the same numbers in the same order."""
    front, declared = _split(slot)
    if not is_vector(slot):
        return (front + declared,)
    long = tuple(extent for extent in declared if extent != 1)
    flat = (long,) if long else ((), (1,))
    inner = (*flat, declared, declared[::-1]) if front else (declared, *flat)
    return tuple(dict.fromkeys(front + form for form in inner))


def _split(slot: Slot) -> tuple[Form, Form]:
    """The example axis in front, if any, and the declared shape in the extents that the code uses."""
    kept = [extent for extent in slot.declared if extent != 1]
    if len(slot.shape) not in (len(kept), len(kept) + 1):
        raise InternalError(f"slot {slot.name!r}: declared {slot.declared} does not lead to the shape {slot.shape}")
    front = slot.shape[: len(slot.shape) - len(kept)]
    rest = iter(slot.shape[len(front) :])
    return front, tuple(1 if extent == 1 else next(rest) for extent in slot.declared)


def is_vector(slot: Slot) -> bool:
    """Whether the user declared a column, a row or a 1×1 matrix."""
    return len(slot.declared) == 2 and 1 in slot.declared


def match(form: Form, shape: tuple[int, ...]) -> dict[str, int] | None:
    """The sizes by which an array's shape fits a form, or None."""
    if len(form) != len(shape):
        return None
    sizes: dict[str, int] = {}
    for extent, length in zip(form, shape, strict=True):
        wanted = extent if isinstance(extent, int) else sizes.setdefault(extent, length)
        if wanted != length:
            return None
    return sizes


# ------------------------------------------------------------------------------------------------- solving for sizes


def solve(slots: Sequence[Slot], shapes: Sequence[tuple[int, ...]], known: Mapping[str, int]) -> Plan:
    """The sizes that all arrays agree on.

    Args:
        slots: the slots that have an array.
        shapes: the arrays' shapes, in the same order.
        known: sizes that are settled already.

    Raises:
        ArrayShapeError: a shape fits no form of its slot, or two arrays disagree about a size.
        LengthMismatch: two data arrays have different numbers of examples.
        EmptyData: there is no example.
    """
    sources = {name: Source(size, "it was given as, or is already,") for name, size in known.items()}
    for slot, shape in zip(slots, shapes, strict=True):
        for name, size in _fitted(slot, shape).items():
            first = sources.setdefault(name, Source(size, f"{slot.name}, of shape {shape}, has"))
            if first.size != size:
                raise _conflict(name, first, slot, shape, size)
    sizes = {name: source.size for name, source in sources.items()}
    if sizes.get(BATCH) == 0:
        raise EmptyData(f"there is no example: {sources[BATCH].text} 0 of them")
    targets = [resolved(slot.shape, sizes) for slot in slots]
    moves = [(i, target) for i, (shape, target) in enumerate(zip(shapes, targets, strict=True)) if shape != target]
    return Plan(sizes, tuple(moves))


def resolved(form: Form, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A form in numbers."""
    return tuple(extent if isinstance(extent, int) else sizes[extent] for extent in form)


def _fitted(slot: Slot, shape: tuple[int, ...]) -> dict[str, int]:
    for form in forms(slot):
        sizes = match(form, shape)
        if sizes is not None:
            return sizes
    raise ArrayShapeError(_misfit(slot, shape))


# ---------------------------------------------------------------------------------------------------------- messages


def shown(form: Sequence[Extent]) -> str:
    """A shape as a tuple of the user's own names; the number of examples is N."""
    words = ["N" if extent == BATCH else str(extent) for extent in form]
    return f"({words[0]},)" if len(words) == 1 else f"({', '.join(words)})"


def _conflict(name: str, first: Source, slot: Slot, shape: tuple[int, ...], size: int) -> Exception:
    if name == BATCH:
        return LengthMismatch(
            f"the data arrays have different numbers of examples (first axis): "
            f"{first.text} {first.size}, {slot.name}, of shape {shape}, has {size}"
        )
    return ArrayShapeError(
        f"the size {name} cannot be both {first.size} and {size}: {first.text} {name} = {first.size}; "
        f"{slot.name}, of shape {shape} for {shown(forms(slot)[0])}, has {name} = {size}"
    )


def _misfit(slot: Slot, shape: tuple[int, ...]) -> str:
    takes = " or ".join(shown(form) for form in forms(slot))
    what = f"{slot.name} is declared {shown(slot.declared)}" if slot.declared else f"{slot.name} is one number"
    per = ", N examples along the first axis" if BATCH in slot.shape else ""
    return f"{slot.name} has an array of shape {shape}; {what}, so its array must be {takes}{per}{_hint(slot, shape)}"


def _hint(slot: Slot, shape: tuple[int, ...]) -> str:
    """What to write instead, where the array's shape tells it."""
    name = slot.name
    if slot.batched and not slot.declared and not shape:
        return f"\n  give one number per example; np.full(N, {name}) repeats one, and `constants=[{name}]` shares one"
    if slot.batched and any(match(form[1:], shape) is not None for form in forms(slot) if form[:1] == (BATCH,)):
        return f"\n  this is a single example, without the axis of examples; write {name}[np.newaxis]"
    if not slot.declared and len(shape) == len(slot.shape) + 1 and shape[-1] == 1:
        return f"\n  write {name}[..., 0]"
    if len(shape) == 2 and any(match(form, shape[::-1]) is not None for form in forms(slot)):
        return f"\n  write {name}.T"
    wanted = slot.shape[1:] if slot.batched else slot.shape
    if len(shape) > 1 and wanted and _entries(shape[1:] if slot.batched else shape) == _entries(wanted):
        return f"\n  write {name}.reshape{shown((-1, *wanted) if slot.batched else wanted)}"
    return ""


def _entries(form: Sequence[Extent]) -> int | None:
    """How many numbers a shape holds, or None where that depends on a size."""
    numbers = [extent for extent in form if isinstance(extent, int)]
    return math.prod(numbers) if len(numbers) == len(form) else None
