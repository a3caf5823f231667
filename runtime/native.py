"""One program, callable: table filled, buffers kept between calls, one set for each thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArrayShapeError
from sympile.compiler.program import Array, Program
from sympile.runtime.load import Native, load

NumPyArray = npt.NDArray[Any]
ALIGN = 64


def aligned(shape: Sequence[int], dtype: Any) -> NumPyArray:
    """A new array of zeros that starts at a multiple of 64 bytes."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.zeros(count * kind.itemsize + ALIGN, np.uint8)
    start = -address_of(raw) % ALIGN
    aligned_part: NumPyArray = raw[start : start + count * kind.itemsize].view(kind).reshape(shape)
    return aligned_part


def address_of(array: NumPyArray) -> int:
    """Where an array's data start."""
    return int(array.__array_interface__["data"][0])


@dataclass(slots=True)
class Desk:
    """The memory of one program in one thread for one choice of sizes: its table and its buffers."""

    table: NumPyArray
    buffers: list[NumPyArray]
    status: npt.NDArray[np.int32]
    seconds: float = 0.0  # of the last run

    @property
    def address(self) -> int:
        return address_of(self.table)

    @property
    def bytes(self) -> int:
        """The memory that the buffers take."""
        return sum(buffer.nbytes for buffer in self.buffers)


class NativeProgram:
    """Calls a program's code."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._local = threading.local()
        self._native: Native | None = None

    @property
    def native(self) -> Native:
        """The machine code; made at the first use."""
        if self._native is None:
            self._native = load(self.program.code)
        return self._native

    def shape(self, array: Array, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(extent.value(sizes) for extent in array.shape)

    def desk(self, sizes: Mapping[str, int], fresh: bool = False) -> Desk:
        """Memory for these sizes; the last one of this thread is used again."""
        wanted = {name: sizes[name] for name in self.program.sizes}
        kept = getattr(self._local, "kept", None)
        if not fresh and kept is not None and kept[0] == wanted:
            return kept[1]  # type: ignore[no-any-return]
        self._check(sizes)
        made = self._new_desk(wanted)
        if not fresh:
            self._local.kept = (wanted, made)
        return made

    def _check(self, sizes: Mapping[str, int]) -> None:
        for demand in self.program.demands:
            if demand.value.value(sizes) < 0:
                given = ", ".join(f"{name} = {sizes[name]}" for _, names in demand.value.terms for name in names)
                raise ArrayShapeError(f"{demand.message} ({given})")

    def _new_desk(self, sizes: Mapping[str, int]) -> Desk:
        program = self.program
        table = np.zeros(program.length, np.uint64)
        buffers = []
        for array in program.work:
            buffer = aligned(self.shape(array, sizes), program.dtype)
            buffers.append(buffer)
            table[array.slot] = address_of(buffer)
        for name, slot in program.sizes.items():
            table[slot] = sizes[name]
        status = np.zeros(1, np.int32)
        table[program.status] = address_of(status)
        words = max((extent.value(sizes) for extent in program.scratch_words), default=0)
        if words:
            buffers.append(aligned((words,), np.float64))
            table[program.scratch] = address_of(buffers[-1])
        return Desk(table, buffers, status)

    def run(
        self, inputs: Mapping[str, NumPyArray], sizes: Mapping[str, int], out: Mapping[str, NumPyArray] | None = None
    ) -> dict[str, NumPyArray]:
        """Computes the outputs as new arrays, or into those of `out`; thread-safe, without the GIL while it runs."""
        desk = self.desk(sizes)
        table = desk.table
        for array in self.program.inputs:
            table[array.slot] = address_of(inputs[array.name])
        results: dict[str, NumPyArray] = {}
        for array in self.program.outputs:
            given = None if out is None else out.get(array.name)
            result = np.empty(self.shape(array, sizes), self.program.dtype) if given is None else given
            results[array.name] = result
            table[array.slot] = address_of(result)
        desk.status[0] = 0
        native, started = self.native, time.perf_counter()
        native.call(desk.address)
        desk.seconds = time.perf_counter() - started
        self.raise_if_singular(desk)
        return results

    def raise_if_singular(self, desk: Desk) -> None:
        """What NumPy raises where a matrix has no inverse."""
        if desk.status[0]:
            name = self.program.calls[int(desk.status[0]) - 1]
            raise np.linalg.LinAlgError(f"Singular matrix{f': {name}' if name else ''}")
