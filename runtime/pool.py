"""The pool of threads: started at the first region that has enough work for it, and again in a forked child.

Workers are daemon threads, each inside one native call for as long as it lives, without the GIL. Until they are there,
the word that code with regions calls holds a function of ours that starts them.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import field

import numpy as np

# Against the list of layers: the pool's code is made when a running program asks for it, and needs no graph.
from sympile.compiler.code.jit import COMPILING
from sympile.compiler.code.pool import FUNCTIONS, pool_code
from sympile.compiler.code.target import host
from sympile.compiler.program import Code
from sympile.compiler.records import dataclass
from sympile.runtime.load import Native, load
from sympile.runtime.pool_memory import WORDS, put, wanted_threads

Pointer = ctypes.c_void_p
REGION_FUNCTION = ctypes.CFUNCTYPE(None, Pointer, Pointer, Pointer, ctypes.c_int64, ctypes.c_int64)
PART_FUNCTION = ctypes.CFUNCTYPE(None, Pointer, Pointer, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
PLAIN_FUNCTION = ctypes.CFUNCTYPE(None)
PATIENCE = 5.0  # seconds to wait for workers that are to end

_CHANGING = COMPILING  # starting the pool compiles its code; a fork waits for this lock


@dataclass(slots=True)
class _Pool:
    """The workers of this process, and their code once there is any: a late thread may be in it, so it stays."""

    workers: list[threading.Thread] = field(default_factory=list)
    code: Native | None = None
    functions: dict[str, int] = field(default_factory=dict)
    ended: bool = False  # the interpreter is about to exit


_pool = _Pool()


def load_for_threads(code: Code) -> Native:
    """The function of code with regions: since this module is there, there is something that they can call."""
    return load(code)


def start(threads: int | None = None) -> None:
    """Starts the workers that are not there yet.

    Args:
        threads: how many threads work on a region, the caller included; default: `wanted_threads()`.
    """
    with _CHANGING:
        _load()
        wanted = 1 if _pool.ended else threads or wanted_threads()
        work = PLAIN_FUNCTION(_pool.functions["worker"])
        while len(_pool.workers) < wanted - 1:
            worker = threading.Thread(target=work, name="sympile worker", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the system gives no more threads
                break
            _pool.workers.append(worker)
        put("workers", len(_pool.workers))
        put("region", _pool.functions["region"])


def _load() -> None:
    if _pool.functions:
        return
    _pool.code = load(pool_code(host()))
    addresses = np.zeros(len(FUNCTIONS), np.int64)
    _pool.code.call(addresses.__array_interface__["data"][0])
    _pool.functions = dict(zip(FUNCTIONS, addresses.tolist(), strict=True))


def stop() -> None:
    """Ends the workers; the next region starts them again."""
    with _CHANGING:
        put("region", _FIRST_ADDRESS)
        if not _pool.workers:
            return
        PLAIN_FUNCTION(_pool.functions["stop"])()
        for worker in _pool.workers:
            worker.join(PATIENCE)
        put("stop", 0)
        _pool.workers = []


def _first_region(part: int, table: int, extra: int, length: int, size: int) -> None:
    """What runs instead of a region as long as there are no workers: starts them, then does the work."""
    region: Callable[[int, int, int, int, int], None] = _alone
    try:
        start()
        region = REGION_FUNCTION(_pool.functions["region"])
    finally:  # whatever went wrong, the work is done
        region(part, table, extra, length, size)


def _alone(part: int, table: int, extra: int, length: int, size: int) -> None:
    """All chunks one after the other."""
    run = PART_FUNCTION(part)
    for number, first in enumerate(range(0, length, size)):
        run(table, extra, first, min(first + size, length), number)


def _in_child() -> None:
    """A forked child has none of its parent's threads."""
    WORDS[:] = 0
    _pool.workers = []
    put("region", _FIRST_ADDRESS)


def _at_exit() -> None:
    """No worker is in our code when its memory goes; regions of other threads go on without."""
    _pool.ended = True
    stop()


_FIRST = REGION_FUNCTION(_first_region)
_FIRST_ADDRESS = ctypes.cast(_FIRST, Pointer).value or 0
put("region", _FIRST_ADDRESS)
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
