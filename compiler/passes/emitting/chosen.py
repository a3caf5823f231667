"""Data whose rows are read where they lie, through the order of a batch, instead of copied into a batch first.

A block of rows with few entries turns them over in registers (narrow_block.py), from wherever they are: copying them
before takes an instruction for each piece to read and one to write, and the block waits for what was just written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sympile.compiler.graph.definition import EXAMPLE, Definition, extent_value
from sympile.compiler.passes.emitting.alike import repeated
from sympile.compiler.passes.fusing.group import Fused, Group
from sympile.compiler.passes.fusing.rowwise import NARROW, are_narrow
from sympile.compiler.passes.schedule import Loops


def may_be_chosen(inputs: Iterable[Definition]) -> bool:
    """Whether there are rows of few entries at all: quickly seen, before loops are known."""
    return any(_is_data(t) and len(t.axes) == 2 and extent_value(t.shape[1], NARROW + 1) <= NARROW for t in inputs)


def chosen_rows(
    inputs: Iterable[Definition], outputs: Iterable[Definition], fused: Fused, loops: Mapping[Definition, Loops]
) -> frozenset[Definition]:
    """The inputs of which nothing is read but rows of examples, by blocks of rows with few entries."""
    alike = repeated(fused.groups)
    elsewhere, found = set(outputs), set[Definition]()
    for number, group in enumerate(fused.groups):
        if number not in alike and _is_block(group, loops):
            found.update(group.contents.operands)
        else:
            elsewhere.update(_operands(group))
    return frozenset(t for t in inputs if t in found and t not in elsewhere and _is_data(t))


def _is_block(group: Group, loops: Mapping[Definition, Loops]) -> bool:
    own = loops.get(group.members[0])
    by_examples = group.rows is not None and group.domain[0] is EXAMPLE
    return by_examples and own is not None and own.lanes > 1 and are_narrow(group.members)


def _operands(group: Group) -> list[Definition]:
    return [*group.contents.operands, *[operand for t in group.results if t.kind == "call" for operand in t.operands]]


def _is_data(tensor: Definition) -> bool:
    return tensor.kind == "input" and tensor.batched and not tensor.integer
