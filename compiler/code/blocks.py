"""What `with f.loop(...)` and `with f.either(...)` hand out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Protocol

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.records import dataclass


class Writer(Protocol):
    """The part of a function that a branch needs."""

    block: str

    def begin(self, label: str) -> None:
        """Starts a block."""

    def do(self, text: str) -> None:
        """One instruction without a result."""


@dataclass(slots=True)
class Loop:
    """A loop while it is written: set `next` inside, read `results` after."""

    index: Integer
    carried: list[Value]
    next: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Either:
    """An if with an else: write both sides, `give` the same number of values in each, read `results` after."""

    writer: Writer
    yes: str
    no: str
    done: str
    ways: list[tuple[str, tuple[Value, ...]]] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)
    given: tuple[Value, ...] = ()

    def give(self, *values: Value) -> None:
        """The values of the side being written."""
        self.given = values

    @contextmanager
    def then(self) -> Iterator[None]:
        """The side taken if the condition holds."""
        yield from self._side(self.yes)

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """The other side."""
        yield from self._side(self.no)

    def _side(self, label: str) -> Iterator[None]:
        self.writer.begin(label)
        self.given = ()
        yield
        self.ways.append((self.writer.block, self.given))
        self.writer.do(f"br label %{self.done}")
