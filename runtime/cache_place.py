"""Where compiled code is kept on disk, and how much of it: the platform's habit, and what the environment says."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sympile.compiler.errors import EnvironmentProblem
from sympile.compiler.records import dataclass

SWITCH, FOLDER, SIZE = "SYMPILE_CACHE", "SYMPILE_CACHE_DIR", "SYMPILE_CACHE_SIZE"
USUAL_SIZE = 256  # megabytes: some thousand models
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, and how many bytes its files may take together."""

    folder: Path
    limit: int


def place(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Place | None:
    """Where compiled code is kept; None where the cache is switched off or there is no home.

    Raises:
        EnvironmentProblem: SYMPILE_CACHE_SIZE is no number of megabytes.
    """
    limit = _limit(environment.get(SIZE, ""))
    if environment.get(SWITCH, "") == "0" or limit == 0:
        return None
    folder = _chosen(environment) or _usual(environment, platform)
    return None if folder is None else Place(folder, limit)


def _limit(written: str) -> int:
    if not written:
        return USUAL_SIZE * MEGABYTE
    try:
        megabytes = float(written)
    except ValueError:
        megabytes = -1.0
    if not 0 <= megabytes < 1e9:
        raise EnvironmentProblem(f"{SIZE} is a number of megabytes, such as {USUAL_SIZE}, not {written!r}")
    return int(megabytes * MEGABYTE)


def _chosen(environment: Mapping[str, str]) -> Path | None:
    written = environment.get(FOLDER, "")
    return Path(written).absolute() if written else None


def _usual(environment: Mapping[str, str], platform: str) -> Path | None:
    """XDG base directories (relative ones are invalid there); Apple's and Microsoft's habits."""
    if platform == "win32":
        return _below(environment.get("LOCALAPPDATA", ""), "sympile", "Cache")
    if platform == "darwin":
        return _below(environment.get("HOME", ""), "Library", "Caches", "sympile")
    named = _below(environment.get("XDG_CACHE_HOME", ""), "sympile")
    return named or _below(environment.get("HOME", ""), ".cache", "sympile")


def _below(base: str, *parts: str) -> Path | None:
    return Path(base, *parts) if os.path.isabs(base) else None
