"""How much the caches of a core hold: of this machine as the system tells, else as is usual."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path

from sympile.compiler.records import dataclass

SYSTEM = Path("/sys/devices/system/cpu/cpu0/cache")  # Linux; where there is no such folder, the usual sizes stand
LEVELS = {1: "first", 2: "second", 3: "third"}
MOST = 64  # bytes of a word
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Caches:
    """Bytes of data that each level holds."""

    first: int
    second: int
    third: int


def own_caches(usual: Caches, system: Path = SYSTEM) -> Caches:
    """The caches of this machine; what the system does not tell is as usual."""
    sizes = _levels(system)
    return replace(usual, **{name: sizes[level] for level, name in LEVELS.items() if level in sizes})


def _word(path: str) -> str:
    file = os.open(path, os.O_RDONLY)  # a tenth of the time that a file object takes
    try:
        return os.read(file, MOST).decode().strip()
    finally:
        os.close(file)


@functools.cache
def _levels(system: Path) -> dict[int, int]:
    """Bytes by level, of caches that hold data."""
    found: dict[int, int] = {}
    folders = os.listdir(system) if system.is_dir() else []
    for folder in sorted(name for name in folders if name.startswith("index")):
        try:
            level, kind, size = (_word(f"{system}/{folder}/{name}") for name in ("level", "type", "size"))
            if kind in ("Data", "Unified"):
                found[int(level)] = int(size[:-1]) * UNITS[size[-1]]
        except (OSError, ValueError, KeyError, IndexError):
            continue  # another spelling than Linux has today
    return {level: size for level, size in found.items() if size > 0}
