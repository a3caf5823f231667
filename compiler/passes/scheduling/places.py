"""How much of a cache rows of one distance can take: those a page apart meet in few of its places."""

from __future__ import annotations

from math import gcd

from sympile.compiler.code.target import Core

PAGE = 64  # lines, within which the place of a line in a cache is the same in all pages


def places(stride: int, core: Core) -> int:
    """At how many of a page's lines rows so many numbers apart begin."""
    lines, within = divmod(abs(stride), core.line)
    return PAGE if within or not lines else PAGE // gcd(lines, PAGE)


def lines_of(level: int, stride: int, core: Core) -> int:
    """How many lines of such rows a cache of so many numbers holds, one of each row."""
    return level // core.line * places(stride, core) // PAGE
