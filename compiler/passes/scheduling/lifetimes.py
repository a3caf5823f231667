"""From which group to which a stored tensor is in use, and which results lie where an operand lay.

What is stored on the way to an output of the same shape may lie in the output's own memory until that is written: a
large array less to go through.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence

from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import target
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.passes.fusing.rowwise import kind_of, stages_of
from sympile.compiler.passes.scheduling.abreast import abreast, operands_of, reads_of
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Stay:
    """Tensors that take turns in one place, and the first and the last group that touch it."""

    tensors: tuple[Definition, ...]
    first: int
    last: int


def stays(groups: Sequence[Group], elsewhere: Container[Definition]) -> list[Stay]:
    """One for each place that stored tensors need, save those that lie elsewhere, as outputs do."""
    last = _last_uses(groups)
    turns = {number: run for run in abreast(groups) for number in run}  # at any time all of them may be at work
    there: dict[Definition, Stay] = {}  # by the tensor that came last
    leaving: dict[int, list[Definition]] = {}
    for number, group in enumerate(groups):
        free = [] if number in turns else _overwritable(group, leaving.get(number, []))
        for tensor in (t for t in group.stored if t not in elsewhere):
            first = turns[number].start if number in turns else number
            before = there.pop(free.pop(0)) if free else Stay((), first, first)
            end = turns[last[tensor]][-1] if last[tensor] in turns else last[tensor]
            there[tensor] = Stay((*before.tensors, tensor), before.first, end)
            leaving.setdefault(last[tensor], []).append(tensor)
    return sorted(there.values(), key=lambda stay: stay.first)


def guests(groups: Sequence[Group], outputs: Collection[Definition]) -> dict[Definition, Definition]:
    """The stored tensors that lie where an output will be written, and which one that is."""
    last = _last_uses(groups)
    turns = {number for run in abreast(groups) for number in run}
    leaving: dict[int, list[Definition]] = {}
    for tensor in (t for group in groups for t in group.stored if t not in outputs):
        leaving.setdefault(last[tensor], []).append(tensor)
    found: dict[Definition, Definition] = {}
    for number, group in enumerate(groups):
        if number in turns:
            continue
        for output in (t for t in group.stored if t in outputs and t.axes):
            free = _replaced(group, output, [t for t in leaving.get(number, []) if t not in found])
            found.update(dict.fromkeys(free[:1], output))
    return found


def _replaced(group: Group, output: Definition, leaving: Sequence[Definition]) -> list[Definition]:
    """As `_overwritable`, for one result; in a row group, what only earlier sweeps and this result read."""
    if group.rows is None:
        return _overwritable(group, leaving)
    if kind_of(output) != "element":
        return []
    stages = stages_of(group.members)
    inside = [t for t in leaving if t in stages and kind_of(t) == "element" and t.shape == output.shape]
    readers = {t: [r for r in group.members if r is not output and t in r.formula.below] for t in inside}
    return [t for t, others in readers.items() if all(stages[r] < stages[output] for r in (t, *others))]


def _last_uses(groups: Sequence[Group]) -> dict[Definition, int]:
    """For every stored or read tensor the last group that writes or reads it."""
    return {tensor: number for number, group in enumerate(groups) for tensor in (*group.stored, *operands_of(group))}


def _overwritable(group: Group, leaving: Sequence[Definition]) -> list[Definition]:
    """Among operands that nobody reads later, those in whose place a result of the group may lie.

    Elementwise nests write an element after they have read all operands of that element, and only of that one. Single
    numbers are written one by one, as soon as they are known.
    """
    if not leaving or group.rows is not None or any(t.kind != "formula" or t.reduced for t in group.results):
        return []
    axes = group.members[0].axes
    if not axes:
        return []
    elsewhere = {target(node) for node in reads_of(group) if node.args != axes}
    return [t for t in leaving if t not in elsewhere and t.shape == group.members[0].shape]
