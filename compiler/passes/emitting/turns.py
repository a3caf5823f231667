"""Which turns of the reduced indices are done at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.nest import Nest


@dataclass(frozen=True, slots=True)
class Block:
    """The turns of the outermost reduced index that are done at once; None and None: all of them."""

    start: Integer = 0
    stop: Integer | None = None
    first: Value | None = None  # (i1) nothing has been stored yet
    last: Value | None = None  # (i1) nothing comes after


def turn_of(nest: Nest, block: Block, elements: Elements) -> Integer:
    """The number of a turn of the reduced indices within a block."""
    function = elements.frame.function
    turn: Integer = 0
    for index in nest.loops.inner:
        position = elements.positions[index]
        if index is nest.loops.inner[0]:
            position = function.sub(position, block.start)
        turn = function.add(function.mul(turn, nest.length(index)), position)
    return turn


def range_of(nest: Nest, index: Node, block: Block) -> tuple[Integer, Integer]:
    """Where a reduced index starts and stops in a block."""
    if index is nest.loops.inner[0] and block.stop is not None:
        return block.start, block.stop
    run = nest.run(index)
    return run.first, run.last
