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
from sympile.compiler.program import Program
from sympile.compiler.records import dataclass


class Shelf(Protocol):
    """Where programs are kept for later processes; the same compiler makes the same program of the same description."""

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
    """A program, from the shelf where there is one and it is there; and its stages."""

    def __init__(
        self, make: Callable[[], Stages], describe: Callable[[], Sequence[str]], shelf: Shelf | None = None
    ) -> None:
        self._make, self._describe = make, describe
        self._shelf = None if os.environ.get("SYMPILE_SHOW") else shelf  # somebody wants to see the stages

    @once
    def stages(self) -> Stages:
        """Fused, scheduled, emitted: when somebody asks."""
        return self._make()

    @once
    def program(self) -> Program:
        """The program alone."""
        if self._shelf is None:
            return self.stages.program
        description = self._describe()
        found = self._shelf.find(description)
        if found is None:
            found = self.stages.program
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
