"""Groups that go through the examples in turns, a block at a time: what one stores the next reads while it is near.

And while one computes, what the other has stored is on its way to far caches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from math import lcm, prod

from sympile.compiler.graph.definition import EXAMPLE, Definition, extent_value
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.passes.fusing.group import Group, scatter_axis
from sympile.compiler.passes.fusing.rowwise import BY_ROW, kind_of
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.passes.scheduling.regions import Split, split_of
from sympile.compiler.records import dataclass

ROWS = 32  # examples of a block: as many as a block of narrow rows in float32 has, or a multiple
WIDE = 32  # numbers of an example that one of the groups stores, at least: each turn begins its loops anew
NEAR = 128  # numbers of an example that wait on the stack for the next group, at most


def abreast(groups: Sequence[Group]) -> list[range]:
    """The numbers of neighbours that may take turns; none of them needs another example of what the others store."""
    if not any(_is_wide(group) and _goes_by_examples(group) for group in groups):
        return []
    runs: list[range] = []
    for fits, numbers in groupby(range(len(groups)), key=lambda number: _goes_by_examples(groups[number])):
        if fits:
            runs += _runs(groups, list(numbers))
    return [run for run in runs if len(run) > 1 and any(_is_wide(groups[number]) for number in run)]


def _runs(groups: Sequence[Group], numbers: Sequence[int]) -> list[range]:
    """Cut where a group needs what is complete only after all examples."""
    found = [range(numbers[0], numbers[0] + 1)]
    for number in numbers[1:]:
        before = {tensor for n in found[-1] for tensor in groups[n].stored}
        if all(_is_of_example(node) for node in reads_of(groups[number]) if target(node) in before):
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found


def _goes_by_examples(group: Group) -> bool:
    """Whether a group computes each example for itself, from end to end."""
    if not group.domain or group.domain[0] is not EXAMPLE or group.way is not None:
        return False
    if any(tensor.kind != "formula" or scatter_axis(tensor) is not None for tensor in group.members):
        return False
    if group.rows is not None:
        return all(kind_of(tensor) in BY_ROW for tensor in group.members)
    whole = all(tensor.axes == group.domain and not tensor.reduced for tensor in group.members)
    return whole and group.finish is None and len(group.domain) > 1


def _is_wide(group: Group) -> bool:
    return group.rows is None and prod(map(extent_value, group.members[0].shape[1:])) >= WIDE


def reads_of(group: Group) -> list[Node]:
    """Every read in what a group computes."""
    bodies = [group.body(t) for t in group.results if t.kind == "formula"]
    return [node for node in postorder(bodies) if node.op == "read"]


def _is_of_example(node: Node) -> bool:
    return node.args[0] is EXAMPLE and not any(EXAMPLE in arg.free for arg in node.args[1:])


@dataclass(frozen=True, slots=True)
class Abreast:
    """Groups that do take turns, how all of them are cut into chunks together, and what waits on the stack."""

    numbers: range
    splits: tuple[Split, ...]
    near: tuple[Definition, ...]

    @property
    def split(self) -> Split:
        """Of the first group, in whole blocks."""
        first = self.splits[0]
        return replace(first, grain=lcm(ROWS, *[split.grain for split in self.splits]))


def taking_turns(
    groups: Sequence[Group], loops: Mapping[Definition, Loops], outputs: Collection[Definition]
) -> dict[int, Abreast]:
    """Those whose loops begin with the examples, and that are worth several threads, by the number of the first."""
    found = {}
    for numbers in abreast(groups):
        splits = [_split(groups[number], loops[groups[number].members[0]]) for number in numbers]
        cut = [split for split in splits if split is not None]
        if len(cut) == len(splits):
            found[numbers.start] = Abreast(numbers, tuple(cut), _near(groups, numbers, outputs))
    return found


def _split(group: Group, loops: Loops) -> Split | None:
    split = split_of(group, loops)
    return split if split is not None and split.index is EXAMPLE and not split.summed else None


def _near(groups: Sequence[Group], numbers: range, outputs: Collection[Definition]) -> tuple[Definition, ...]:
    """What nobody else reads, as far as there is room."""
    others = [group for number, group in enumerate(groups) if number not in numbers]
    elsewhere = {*outputs, *[operand for group in others for operand in operands_of(group)]}
    found, room = [], NEAR
    for tensor in (t for number in numbers for t in groups[number].stored if t not in elsewhere):
        if words_of_row(tensor) <= room:
            found.append(tensor)
            room -= words_of_row(tensor)
    return tuple(found)


def operands_of(group: Group) -> list[Definition]:
    """What a group reads from memory or hands to a routine; its own results may be among them."""
    called = [operand for t in group.results if t.kind == "call" for operand in t.operands]
    return list(dict.fromkeys([*called, *group.contents.operands]))


def words_of_row(tensor: Definition) -> int:
    """How many numbers an example has."""
    return prod(extent_value(length, NEAR + 1) for length in tensor.shape[1:])
