"""What a fit holds in memory: data, parameters, batches, work memory; in bytes, or in terms of sizes not known yet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from sympile.compiler.program import BATCH, Polynomial, Program, Slot
from sympile.compiler.records import dataclass
from sympile.runtime.native import Layout, laid_out
from sympile.runtime.optimizers import adam

if TYPE_CHECKING:
    from sympile.runtime.model.model import Model

WORD = 8  # bytes of an index, and of a row of the order
BATCH_SHOWN = "batch"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a fit: sizes as far as they are (a batch's among them), and how it goes through the data."""

    sizes: Mapping[str, int]
    examples: int | None = None
    gathers: bool = True
    states: tuple[str, ...] = field(default_factory=lambda: tuple(adam().first_state()))
    program: Program | None = None  # the step; None: as `value_and_grad` runs it
    prepared: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # the shapes of what was computed once


@dataclass(frozen=True, slots=True)
class Item:
    """One row: so many copies of an array of this shape."""

    kind: str
    name: str
    shape: tuple[Polynomial | int | str, ...]
    width: int  # bytes of one number
    copies: int = 1
    use: str = ""  # from which group to which
    place: str = ""  # in the work memory

    def count(self, sizes: Mapping[str, int]) -> int | None:
        """Bytes, where all sizes are known."""
        lengths = [_known(extent, sizes) for extent in self.shape]
        return None if None in lengths else self.copies * self.width * math.prod(n for n in lengths if n is not None)

    def cells(self, sizes: Mapping[str, int]) -> tuple[str, ...]:
        """The row as it is printed."""
        shape = "×".join(_shown(extent, sizes) for extent in self.shape) or "1"
        count = self.count(sizes)
        size = f"{count:,}" if count is not None else f"{self.copies * self.width}×{shape}"
        return self.kind, self.name, shape, size, self.use, self.place


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """All that a fit holds at once; prints as a table."""

    title: str
    items: tuple[Item, ...]
    sizes: Mapping[str, int]
    work: int | None  # bytes of the work memory, rooms shared, where all sizes are known

    @property
    def total(self) -> int | None:
        """Bytes in all, where all sizes are known."""
        counts = [item.count(self.sizes) for item in self.items if item.kind != "work"]
        known = [n for n in counts if n is not None]
        return None if self.work is None or len(known) < len(counts) else sum(known) + self.work

    def __str__(self) -> str:
        rows = [("what", "name", "shape", "bytes", "groups", "at"), *[item.cells(self.sizes) for item in self.items]]
        if self.work is not None:
            rows.append(("work", "in all", "", f"{self.work:,}", "", ""))
        if self.total is not None:
            rows.append(("total", "", "", f"{self.total:,}", "", ""))
        return f"{self.title}\n{_table(rows)}"


def memory_plan(model: Model) -> MemoryPlan:
    """The plan of the model's last fit; before the first one with the sizes that are known, and Adam."""
    around = model._circumstances or Circumstances(model._training.pinned)
    width = np.dtype(model.dtype).itemsize
    program = around.program or model._step.built.program
    complete = set(program.sizes) <= set(around.sizes)
    layout = laid_out(program, around.sizes) if complete else None
    items = [
        *_data(model._training.slots, around, width, program.chosen),
        *[Item("once", name, shape, width) for name, shape in around.prepared.items()],
        *_parameters(model._training.slots, around, width),
        *_work(program, layout, around.sizes, width),
    ]
    title = f"one fit; {model.dtype}; places in the work memory are {'in bytes' if layout else 'chosen at run time'}"
    return MemoryPlan(title, tuple(items), around.sizes, layout.bytes if layout else None)


def _data(slots: Sequence[Slot], around: Circumstances, width: int, chosen: Sequence[str]) -> list[Item]:
    found, batches = [], []
    everything = "examples" if around.examples is None else around.examples
    for slot in slots:
        if slot.role != "parameter":
            own = WORD if slot.integer else width
            rest = tuple(n for n in slot.shape if n != BATCH)
            whole = (everything, *rest) if slot.batched else rest
            found.append(Item(slot.role, slot.name, whole, own))
            if slot.batched and around.gathers and slot.name not in chosen:
                batches.append(Item("batch", slot.name, (BATCH, *rest), own))
    ordered = around.gathers and any(slot.batched for slot in slots)
    orders = [Item("order", name, (everything,), WORD) for name in ("of rows", "kept") if ordered]
    return [*found, *orders, *batches]


def _parameters(slots: Sequence[Slot], around: Circumstances, width: int) -> list[Item]:
    """Each parameter with its gradient, the optimizer's states, and what is kept to go back to after an overflow."""
    states = len(around.states)
    kinds = {"parameter": 1, "gradient": 1, f"states {', '.join(around.states)}": states, "kept copies": 1 + states}
    own = [slot for slot in slots if slot.role == "parameter"]
    return [Item(kind, slot.name, slot.shape, width, n) for slot in own for kind, n in kinds.items() if n]


def _work(program: Program, layout: Layout | None, sizes: Mapping[str, int], width: int) -> list[Item]:
    found = []
    for room in program.rooms:
        name = ", then ".join(array.name for array in room.arrays)
        place = "" if layout is None else f"{layout.places[room.arrays[0].slot]:,}"
        found.append(Item("work", name, room.arrays[0].shape, width, 1, f"{room.first}–{room.last}", place))
    words = [w for w in program.scratch_words if w.terms]
    if words:
        place = "" if layout is None else f"{layout.places[program.scratch]:,}"
        largest = max(words, key=str) if layout is None else max(w.value(sizes) for w in words)
        use = "–".join(map(str, program.scratch_use))
        found.append(Item("work", "of linear algebra", (largest,), WORD, 1, use, place))
    return found


def _known(extent: Polynomial | int | str, sizes: Mapping[str, int]) -> int | None:
    if isinstance(extent, int):
        return extent
    if isinstance(extent, str):
        return sizes.get(extent)
    names = {name for _, term in extent.terms for name in term}
    return extent.value(sizes) if names <= set(sizes) else None


def _shown(extent: Polynomial | int | str, sizes: Mapping[str, int]) -> str:
    known = _known(extent, sizes)
    text = str(extent) if known is None else str(known)
    return f"({text})" if " " in text else text.replace(BATCH, BATCH_SHOWN)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other; numbers to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    right = {3, 5}
    cells = [[f"{row[k]:>{w}}" if k in right else f"{row[k]:<{w}}" for k, w in enumerate(widths)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in cells)
