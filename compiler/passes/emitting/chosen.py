"""Data whose rows are read where they lie, through the order of a batch, instead of copied into a batch first.

Loops over blocks of rows read each row once or twice, from wherever it is, and loops with examples in the lanes gather
single numbers: copying them before takes an instruction for each piece to read and one to write, and who reads them
waits for what was just written. What products of matrices read, again and again, is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sympile.compiler.graph.definition import EXAMPLE, Definition, extent_value
from sympile.compiler.graph.node import target
from sympile.compiler.graph.running import runs
from sympile.compiler.passes.emitting.alike import repeated
from sympile.compiler.passes.fusing.group import Fused, Group, scatter_axis
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.passes.scheduling.abreast import operands_of, reads_of

LONGEST = 128  # numbers of a row: longer ones are copied, the next ones asked for meanwhile


def may_be_chosen(inputs: Iterable[Definition]) -> bool:
    """Whether there are rows that are short enough at all: quickly seen, before loops are known."""
    return any(_is_data(t) and len(t.axes) <= 2 for t in inputs)


def chosen_rows(
    inputs: Iterable[Definition],
    outputs: Iterable[Definition],
    fused: Fused,
    loops: Mapping[Definition, Loops],
    deep: int = 1,
) -> frozenset[Definition]:
    """The inputs of which nothing is read but rows of examples, in such loops.

    `deep`: how many axes they have where the examples lie in the lanes, which gather each number of a row.
    """
    alike = repeated(fused.groups)
    elsewhere, found = set(outputs), set[Definition]()
    for number, group in enumerate(fused.groups):
        here = set() if number in alike else _read_by_rows(group, loops, deep)
        found |= here
        elsewhere.update(t for t in operands_of(group) if t not in here)
    return frozenset(t for t in inputs if t in found and t not in elsewhere)


def _read_by_rows(group: Group, loops: Mapping[Definition, Loops], deep: int) -> set[Definition]:
    """The data of which a group reads the rows that it goes through, and nothing else."""
    own = loops.get(group.members[0])
    if own is None or EXAMPLE not in group.domain[:1] or any(scatter_axis(t) or runs(t) for t in group.results):
        return set()
    if group.rows is None and (group.domain != (EXAMPLE,) or own.vector is not EXAMPLE):
        return set()
    reads = [node for node in reads_of(group) if _is_data(target(node))]
    other = {target(n) for n in reads if n.args[0] is not EXAMPLE or any(EXAMPLE in i.free for i in n.args[1:])}
    deep = 2 if group.rows is not None else deep
    return {t for t in map(target, reads) if t not in other and len(t.axes) <= deep}


def _is_data(tensor: Definition) -> bool:
    """Whether a tensor holds a short row for each example."""
    if tensor.kind != "input" or not tensor.batched or tensor.integer:
        return False
    return all(length.op == "const" and extent_value(length) <= LONGEST for length in tensor.shape[1:])
