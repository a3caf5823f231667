"""The memory that the pool of threads and all code with regions share, and how many threads there are to be."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import EnvironmentProblem
from sympile.compiler.program import POOL, POOL_BYTES

VARIABLE = "SYMPILE_NUM_THREADS"
LINE = 128  # bytes: two cache lines, which some processors fetch together


def _aligned_words() -> npt.NDArray[np.int64]:
    raw = np.zeros(POOL_BYTES + LINE, np.uint8)
    start = -int(raw.__array_interface__["data"][0]) % LINE
    return raw[start : start + POOL_BYTES].view(np.int64)


WORDS = _aligned_words()  # one for the whole process, since there is one pool; it stays where it is


def address() -> int:
    """Where the memory starts."""
    return int(WORDS.__array_interface__["data"][0])


def pool_address() -> int:
    """Where the memory starts that code with regions shares with the pool.

    Raises:
        EnvironmentProblem: SYMPILE_NUM_THREADS is no number of threads.
    """
    wanted_threads()
    return address()


def put(name: str, value: int) -> None:
    """Writes one of the words of 8 bytes."""
    WORDS[POOL[name] // 8] = value


def wanted_threads() -> int:
    """How many threads work on one region, the caller included: SYMPILE_NUM_THREADS, or one for each usable core.

    Raises:
        EnvironmentProblem: SYMPILE_NUM_THREADS is no number of threads.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return usable_cores()
    if not given.isdecimal() or int(given) < 1:
        raise EnvironmentProblem(f"{VARIABLE} is {given!r}; set it to a whole number from 1 on, or remove it")
    return int(given)


def usable_cores() -> int:
    """The processor cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
