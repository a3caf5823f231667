"""A program and the stages it came through; where it is kept on a shelf, the stages wait until somebody asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from sympile.compiler.code.target import Target
from sympile.compiler.collection import collection_paused
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.fingerprint import fingerprint
from sympile.compiler.locks import once
from sympile.compiler.passes.fusing.group import Fused
from sympile.compiler.passes.reading.scope import Constraint
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.program import Code, Program
from sympile.compiler.records import dataclass


class Shelf(Protocol):
    """Where programs are kept for later processes; the same compiler makes the same program of the same description."""

    def there(self) -> bool:
        """Whether anything is kept at all."""

    def find(self, description: Sequence[str]) -> Program | None: ...

    def keep(self, description: Sequence[str], program: Program) -> None: ...


@dataclass(frozen=True, slots=True)
class Stages:
    """What fusing, scheduling and emitting made."""

    program: Program
    fused: Fused
    loops: dict[Definition, Loops]
    times: dict[str, float]


class Built:
    """A program, from the shelf where there is one and it is there; and its stages.

    Args:
        make: goes through the stages.
        describe: what decides which program is made.
        shelf: where programs are kept.
        enlarge: from the stages, the program for heavy sizes, where that is another one.
    """

    def __init__(
        self,
        make: Callable[[], Stages],
        describe: Callable[[], Sequence[str]],
        shelf: Shelf | None = None,
        enlarge: Callable[[Stages], Program] | None = None,
    ) -> None:
        self._make, self._describe, self._enlarge = make, describe, enlarge
        self._shelf = None if os.environ.get("SYMPILE_SHOW") else shelf  # somebody wants to see the stages

    @once
    def stages(self) -> Stages:
        """Fused, scheduled, emitted: when somebody asks."""
        return self._make()

    @once
    def program(self) -> Program:
        """The program alone."""
        return self._kept(lambda: self.stages.program)

    def large(self) -> Code:
        """The code for heavy sizes: few programs meet such data, so it is written when they do."""
        assert self._enlarge is not None, "a program in one form"
        enlarge = self._enlarge
        return self._kept(lambda: enlarge(self.stages), "large").code

    def _kept(self, make: Callable[[], Program], *form: str) -> Program:
        if self._shelf is None or not self._shelf.there():
            return make()
        description = (*self._describe(), *form)
        found = self._shelf.find(description)
        if found is None:
            found = make()
            self._shelf.keep(description, found)
        return found

    @property
    def fused(self) -> Fused:
        return self.stages.fused

    @property
    def loops(self) -> dict[Definition, Loops]:
        return self.stages.loops

    @property
    def times(self) -> dict[str, float]:
        return self.stages.times


@collection_paused()
def description(
    outputs: Mapping[str, Definition],
    inputs: Iterable[Definition],
    constraints: Sequence[Constraint],
    dtype: str,
    target: Target,
    rows: str,
) -> tuple[str, ...]:
    """All that a program is made from: formulas, names, what sizes must satisfy, numbers, machine, rows."""
    formulas = fingerprint([*outputs.values(), *inputs], [constraint.expression for constraint in constraints])
    names = repr((list(outputs), [constraint.message for constraint in constraints]))
    return (formulas, names, dtype, repr(target), rows)
