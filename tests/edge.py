"""Programs whose arrays end where memory ends: what reads or writes one byte further is killed, with its process."""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from definition_world import World

from sympile.runtime.native import NativeProgram

Array = npt.NDArray[Any]


def at_the_edge(array: Array, keep: list[Any]) -> Array:
    """A copy that ends where memory ends: what reads or writes one byte further is killed."""
    pages = -(-max(array.nbytes, 1) // mmap.PAGESIZE) + 1
    room = mmap.mmap(-1, pages * mmap.PAGESIZE)
    keep.append(room)
    raw = np.frombuffer(room, np.uint8)
    last = raw.ctypes.data + (pages - 1) * mmap.PAGESIZE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(last), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    end = (pages - 1) * mmap.PAGESIZE
    copy: Array = raw[end - array.nbytes : end].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def run_at_the_edge(native: NativeProgram, world: World, dtype: Any) -> None:
    """Runs a program on a world's values, all operands and results at the edge."""
    keep: list[Any] = []
    kinds = {a.name: np.int64 if a.integer else dtype for a in native.program.inputs}
    inputs = {name: at_the_edge(np.asarray(world.values[name], kind), keep) for name, kind in kinds.items()}
    shapes = {a.name: native.shape(a, world.lengths) for a in native.program.outputs}
    out = {name: at_the_edge(np.zeros(shape, dtype), keep) for name, shape in shapes.items()}
    native.run(inputs, world.lengths, out)


def in_a_child(run: Callable[[Any], None]) -> tuple[int | None, int]:
    """The exit code of a process that runs this, and how far it came: what it wrote to `progress.value`."""
    context = multiprocessing.get_context("fork")
    progress = context.Value("i", -1)
    child = context.Process(target=run, args=(progress,))
    child.start()
    child.join(60)
    return child.exitcode, progress.value
