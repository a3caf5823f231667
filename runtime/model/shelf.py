"""Programs of earlier processes: read from disk where formulas, machine and compiler are the same."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import mpmath
import numpy as np

from sympile import compiler
from sympile.compiler.program import Program
from sympile.compiler.version import VERSION
from sympile.runtime.cache import forget, keep, key_of, recall
from sympile.runtime.cache_place import place
from sympile.runtime.load import set_aside, taken_up
from sympile.runtime.records import from_bytes, to_bytes


class DiskShelf:
    """Keeps programs in the cache on disk; the text of their code is read only where its machine code is not there."""

    def there(self) -> bool:
        """Whether anything is kept at all."""
        return place() is not None

    def find(self, description: Sequence[str]) -> Program | None:
        """The program that this compiler has made of this description, or None."""
        key = program_key(description)
        raw = recall(key)
        if raw is None:
            return None
        try:
            found = from_bytes(raw)
        except ValueError:
            forget(key)
            return None
        code = taken_up(found.code)
        return None if code is None else replace(found, code=code)

    def keep(self, description: Sequence[str], program: Program) -> None:
        """Keeps a program for later processes, if that is possible."""
        keep(program_key(description), to_bytes(replace(program, code=set_aside(program.code))))


SHELF = DiskShelf()


def program_key(description: Sequence[str]) -> bytes:
    """Whatever may change the program changes the key."""
    return key_of("program", *description, _makers())


@functools.cache
def _makers() -> bytes:
    """A digest of the compiler as it is installed, and of those whose arithmetic and order it uses."""
    return key_of(VERSION, sys.version, np.__version__, mpmath.__version__, *_sources())


def _sources() -> Iterator[str]:
    """Name, size and time of each file of the compiler, as Python itself tells a changed source from a compiled one."""
    folders = [*compiler.__path__]
    while folders:
        with os.scandir(folders.pop()) as found:
            for entry in sorted(found, key=lambda one: one.name):
                if entry.is_dir() and entry.name != "__pycache__":
                    folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    status = entry.stat()
                    yield f"{entry.name} {status.st_size} {status.st_mtime_ns}"
