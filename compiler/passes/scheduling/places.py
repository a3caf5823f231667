"""How rows some numbers apart meet in a cache: those a page apart, say, all begin at one of its places."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from sympile.compiler.code.target import Core

PAGE = 64  # lines, within which the place of a line in a cache is the same in all pages


@lru_cache(maxsize=1024)
def crowd(rows: int, stride: int, core: Core) -> int:
    """How many of some rows begin at one of a page's lines, at the fullest one."""
    return max(Counter(row * stride // core.line % PAGE for row in range(rows)).values(), default=0)


def ways(level: int, core: Core) -> int:
    """How many lines a cache of so many numbers holds at one of a page's places, if its places are those of pages."""
    return level // (PAGE * core.line)
