"""Parameters of which a step moves only the rows that the data of its batch choose, where that is less work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sympile.compiler.program import ROW_WORDS, Program, Scattered
from sympile.compiler.records import dataclass
from sympile.runtime.flat import FlatLayout
from sympile.runtime.native import NativeProgram

OVERHEAD = 32  # numbers of a table that could be gone through while one row is found


@dataclass(frozen=True, slots=True)
class Rows:
    """Their update (passes/training/row_update.py), and which they are: the last ones in the layout."""

    native: NativeProgram
    names: tuple[str, ...]


def worth_choosing(
    program: Program, prefix: str, shapes: Mapping[str, Sequence[int]], batch: int, sizes: Mapping[str, int]
) -> tuple[str, ...]:
    """The parameters of which a batch chooses few rows; `prefix` stands before their names in the step's outputs."""
    found = []
    for scattered in program.scattered:
        name = scattered.output.removeprefix(prefix)
        count, *row = shapes.get(name, ())
        chosen = batch * sum(each for _, each in _chosen(program, scattered, sizes))
        if chosen * (math.prod(row) + OVERHEAD) < count * math.prod(row):
            found.append(name)
    return tuple(found)


def _chosen(program: Program, scattered: Scattered, sizes: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Of each array of numbers of rows the slot, and how many an example has."""
    for array in program.inputs:
        if array.name in scattered.inputs:
            yield array.slot, math.prod(n.value(sizes) for n in array.shape[1:])


def lists_of(
    program: Program, prefix: str, rows: Rows, layout: FlatLayout, sizes: Mapping[str, int], table: int
) -> npt.NDArray[np.int64]:
    """ROW_WORDS of each array of numbers of rows, to which the step's table points."""
    words = list[int]()
    for scattered in program.scattered:
        name = scattered.output.removeprefix(prefix)
        if name in rows.names:
            count, *row = layout.shapes[name]
            for slot, each in _chosen(program, scattered, sizes):
                words += [table + 8 * slot, each, layout.offsets[name], math.prod(row), count]
    return np.array(words, np.int64).reshape(-1, len(ROW_WORDS))
