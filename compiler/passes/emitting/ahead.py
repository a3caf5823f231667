"""Memory that is asked for ahead: lines of large results, where stores wait for them, and rows of data in any order."""

from __future__ import annotations

from math import prod

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import LINE
from sympile.compiler.code.value import Integer, Value, literal
from sympile.compiler.code.writer import Function
from sympile.compiler.graph.definition import EXAMPLES, Definition, extent_value
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.fusing.group import Group

AHEAD = 2048  # bytes: as far as results are written in the time that a line takes to come


def ask(frame: Frame, lanes: Lanes, tensor: Definition, pointer: Value, along: Integer) -> None:
    """Asks for what will be written some turns after the vector of a tensor at a place, to be written to."""
    wide = lanes.lanes * lanes.bytes
    if along != 1 or wide < LINE or not lanes.target.asks or tensor in frame.near or _is_near(lanes, tensor):
        return
    function = lanes.function
    for offset in range(0, wide, LINE):
        there = function.gep("i8", pointer, AHEAD + offset, inside=False)
        ask_for(function, there, to_write=True)


def ask_for_rows(frame: Frame, scalar: Lanes, group: Group, start: Integer, count: int) -> None:
    """Asks for rows of data that come next, which do not follow each other where an order says which they are."""
    arrays = [t for t in group.contents.operands if t in frame.layout.chosen]
    if frame.order is None or not arrays:
        return
    function, last = frame.function, frame.function.sub(frame.extent(EXAMPLES), 1)
    for row in range(count):
        at = function.min(function.add(start, row), last)
        example = function.load("i64", function.gep("i64", frame.order, at), 8)
        for tensor in arrays:
            width = prod(map(extent_value, tensor.shape[1:]))
            first = function.gep(scalar.element, frame.pointer(tensor), function.mul(example, width))
            for number in dict.fromkeys([*range(0, width, LINE // scalar.bytes), width - 1]):
                ask_for(function, function.gep(scalar.element, first, number))


def ask_for(function: Function, pointer: Value, to_write: bool = False, near: int = 3) -> None:
    """Asks for a line, into the nearest cache, or the next one (2)."""
    words = (literal(int(to_write), "i32"), literal(near, "i32"), literal(1, "i32"))  # to write or read, how near, data
    function.call("void", "@llvm.prefetch.p0", pointer, *words)


def _is_near(lanes: Lanes, tensor: Definition) -> bool:
    """Whether a result is known to be so small that it stays in the first-level cache."""
    known = all(length.op == "const" for length in tensor.shape)
    return known and prod(map(extent_value, tensor.shape)) <= lanes.target.core(lanes.element).first
