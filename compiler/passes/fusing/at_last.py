"""Results that lie where operands do, as those of an update: read by all that needs the old ones, then written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sympile.compiler.graph.definition import Definition, define, read
from sympile.compiler.passes.fusing.group import Group, contents_of


def computed_again(outputs: Mapping[Definition, Definition]) -> dict[Definition, Definition]:
    """An output that is an operand becomes work like all others: copied at last, it might be new already."""
    return {old: _again(now) if now.kind == "input" else now for old, now in outputs.items()}


def _again(operand: Definition) -> Definition:
    return define(operand.axes, (), None, read(operand, *operand.axes))


def written_at_last(groups: Sequence[Group], outputs: Collection[Definition]) -> list[Group]:
    """All groups that write outputs as one, behind all others.

    They are elementwise work over one axis. Of an update with clipping, what does not depend on the gradient would be
    a group that need not wait for its norm, and would be new where the parameter's group reads it.
    """
    wanted = set(outputs)
    writing = [group for group in groups if not wanted.isdisjoint(group.stored)]
    if len(writing) < 2:
        return list(groups)
    members = tuple(tensor for group in writing for tensor in group.members)
    one = replace(writing[-1], members=members, contents=contents_of(members))
    return [*[group for group in groups if wanted.isdisjoint(group.stored)], one]
