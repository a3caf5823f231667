"""Lines of large results are asked for ahead of the stores to them, on processors whose stores wait for their lines."""

from __future__ import annotations

from math import prod

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import LINE
from sympile.compiler.code.value import Integer, Value, literal
from sympile.compiler.graph.definition import Definition, extent_value
from sympile.compiler.passes.emitting.layout import Frame

AHEAD = 2048  # bytes: as far as results are written in the time that a line takes to come


def ask(frame: Frame, lanes: Lanes, tensor: Definition, pointer: Value, along: Integer) -> None:
    """Asks for what will be written some turns after the vector of a tensor at a place, to be written to."""
    wide = lanes.lanes * lanes.bytes
    if along != 1 or wide < LINE or not lanes.target.asks or tensor in frame.near or _is_near(lanes, tensor):
        return
    function = lanes.function
    for offset in range(0, wide, LINE):
        there = function.gep("i8", pointer, AHEAD + offset, inside=False)
        words = (literal(1, "i32"), literal(3, "i32"), literal(1, "i32"))  # to write, to the nearest cache, data
        function.call("void", "@llvm.prefetch.p0", there, *words)


def _is_near(lanes: Lanes, tensor: Definition) -> bool:
    """Whether a result is known to be so small that it stays in the first-level cache."""
    known = all(length.op == "const" for length in tensor.shape)
    return known and prod(map(extent_value, tensor.shape)) <= lanes.target.core(lanes.element).first
