"""One program, callable: table filled, buffers kept between calls, one set for each thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArrayShapeError
from sympile.compiler.program import BATCH, Array, Code, Program
from sympile.compiler.records import dataclass
from sympile.runtime.arena import ALIGN, Block, arena
from sympile.runtime.load import Native, load
from sympile.runtime.objects import quickest_address
from sympile.runtime.pool import load_for_threads

NumPyArray = npt.NDArray[Any]
MOST_LAYOUTS = 16
address_of: Callable[[NumPyArray], int] = quickest_address()  # where an array's data start


def aligned(shape: Sequence[int], dtype: Any) -> NumPyArray:
    """A new array of zeros that starts at a multiple of 64 bytes."""
    kind = np.dtype(dtype)
    count = math.prod(shape)
    raw = np.zeros(count * kind.itemsize + ALIGN, np.uint8)
    start = -address_of(raw) % ALIGN
    aligned_part: NumPyArray = raw[start : start + count * kind.itemsize].view(kind).reshape(shape)
    return aligned_part


@dataclass(frozen=True, slots=True)
class Layout:
    """Where work arrays and scratch words start in the work memory, in bytes, by slot."""

    places: Mapping[int, int]
    bytes: int


def laid_out(program: Program, sizes: Mapping[str, int]) -> Layout:
    """The work memory of a program for these sizes; the same every time."""
    width = np.dtype(program.dtype).itemsize
    blocks = [Block(width * _elements(room.arrays[0], sizes), room.first, room.last) for room in program.rooms]
    words = max((extent.value(sizes) for extent in program.scratch_words), default=0)
    found = arena([*blocks, Block(8 * words, *program.scratch_use)])
    *offsets, scratch = found.offsets
    places = {array.slot: at for room, at in zip(program.rooms, offsets, strict=True) for array in room.arrays}
    return Layout({**places, program.scratch: scratch}, found.bytes)


def _elements(array: Array, sizes: Mapping[str, int]) -> int:
    return math.prod(extent.value(sizes) for extent in array.shape)


@dataclass(slots=True)
class Desk:
    """One program in one thread for one choice of sizes: its table, its work memory, its machine code."""

    table: NumPyArray
    room: NumPyArray
    status: npt.NDArray[np.int32]
    native: Native
    seconds: float = 0.0  # of the last run

    @property
    def address(self) -> int:
        return address_of(self.table)

    @property
    def bytes(self) -> int:
        """The work memory."""
        return self.room.nbytes


class NativeProgram:
    """Calls a program's code."""

    def __init__(self, program: Program, large: Callable[[], Code] | None = None) -> None:
        self.program = program
        self._large = large  # makes the code for heavy sizes
        self._local = threading.local()
        self._layouts: dict[tuple[tuple[str, int], ...], Layout] = {}
        self._shared: Native | None = None
        self._native: Native | None = None if program.code.text else load(program.code)  # of an earlier process

    @property
    def native(self) -> Native:
        """The machine code; made at the first use."""
        if self._native is None:
            self._native = load(self.program.code)
        return self._native

    def native_for(self, sizes: Mapping[str, int]) -> Native:
        """The machine code for these sizes: for large data, threads share the work."""
        if self._large is None or not self.program.together or not self.program.heavy_for(sizes):
            return self.native
        return self._native_large(self._large)

    def _native_large(self, make: Callable[[], Code]) -> Native:
        if self._shared is None:
            self._shared = load_for_threads(make())
        return self._shared

    def shape(self, array: Array, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(extent.value(sizes) for extent in array.shape)

    def desk(self, sizes: Mapping[str, int]) -> Desk:
        """Memory for these sizes; the last one of this thread is used again."""
        wanted = {name: sizes[name] for name in self.program.sizes}
        kept = getattr(self._local, "kept", None)
        if kept is not None and kept[0] == wanted:
            return kept[1]  # type: ignore[no-any-return]
        self._check(sizes)
        self._local.kept = None  # what was kept is given back first
        made = self._new_desk(wanted)
        self._local.kept = (wanted, made)
        return made

    def own_desk(self, sizes: Mapping[str, int]) -> Desk:
        """Memory that no later call uses: the kept one where it fits, so that there are never two."""
        made = self.desk(sizes)
        self._local.kept = None
        made.status[0] = 0
        return made

    def _check(self, sizes: Mapping[str, int]) -> None:
        for demand in self.program.demands:
            if demand.value.value(sizes) < 0:
                given = ", ".join(f"{name} = {sizes[name]}" for _, names in demand.value.terms for name in names)
                raise ArrayShapeError(f"{demand.message} ({given})")

    def _new_desk(self, sizes: Mapping[str, int]) -> Desk:
        program = self.program
        table = np.zeros(program.length, np.uint64)
        layout = self._layout(sizes)
        room = aligned((layout.bytes,), np.uint8)
        start = address_of(room)
        for slot, place in layout.places.items():
            table[slot] = start + place
        for name, slot in program.sizes.items():
            table[slot] = sizes[name]
        status = np.zeros(1, np.int32)
        table[program.status] = address_of(status)
        return Desk(table, room, status, self.native_for(sizes))

    def _layout(self, sizes: Mapping[str, int]) -> Layout:
        key = tuple(sizes.items())
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) >= MOST_LAYOUTS:
                self._layouts.clear()
            found = self._layouts[key] = laid_out(self.program, sizes)
        return found

    def run(
        self, inputs: Mapping[str, NumPyArray], sizes: Mapping[str, int], out: Mapping[str, NumPyArray] | None = None
    ) -> dict[str, NumPyArray]:
        """Computes the outputs as new arrays, or into those of `out`; thread-safe, without the GIL while it runs."""
        desk = self.desk(sizes)
        table = desk.table
        for array in self.program.inputs:
            table[array.slot] = address_of(inputs[array.name])
        order = None if self.program.order is None else np.arange(sizes[BATCH])  # all, as they lie
        if order is not None:
            table[self.program.order] = address_of(order)
        results: dict[str, NumPyArray] = {}
        for array in self.program.outputs:
            given = None if out is None else out.get(array.name)
            result = np.empty(self.shape(array, sizes), self.program.dtype) if given is None else given
            results[array.name] = result
            table[array.slot] = address_of(result)
        desk.status[0] = 0
        started = time.perf_counter()
        desk.native.call(desk.address)
        desk.seconds = time.perf_counter() - started
        self.raise_if_singular(desk)
        return results

    def raise_if_singular(self, desk: Desk) -> None:
        """What NumPy raises where a matrix has no inverse."""
        if desk.status[0]:
            name = self.program.calls[int(desk.status[0]) - 1]
            raise np.linalg.LinAlgError(f"Singular matrix{f': {name}' if name else ''}")
