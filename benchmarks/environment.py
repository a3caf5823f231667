"""The surroundings of a fair race: one thread for all, every peer at its best, settled before anything is imported."""

from __future__ import annotations

import os
import sys

# What an environment may export that slows a peer down.
REMOVED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")

# fmt: off
SET = {
    "OMP_NUM_THREADS":      "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS":      "1",
    "SYMPILE_NUM_THREADS":  "1",
    "JAX_PLATFORMS":        "cpu",
    "JAX_ENABLE_X64":       "1",
    "XLA_FLAGS":            "--xla_cpu_copy_insertion_use_region_analysis=true "    # up to 4x on small loops
                            "--xla_cpu_multi_thread_eigen=false",
}
# fmt: on


def settle() -> None:
    """Starts this program again in the fair environment, unless it is in it already: libraries read it on import."""
    wanted = fair()
    if wanted != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
    stay_on_one_core()


def fair() -> dict[str, str]:
    """What a process shall find."""
    return {name: value for name, value in os.environ.items() if name not in REMOVED} | SET


def stay_on_one_core() -> None:
    """JAX computes on a thread of its own: on one core it costs no second one, and nobody's caches are left behind."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
