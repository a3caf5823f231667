"""The loops of a program as tables: what each group computes, and over what its loops run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.inline import core
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.emitting.joined_axes import joined
from sympile.compiler.passes.fusing.group import Fused, Group
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.passes.scheduling.regions import split_of
from sympile.compiler.passes.scheduling.tiles import length_of
from sympile.compiler.show.plain import PlainText, letters_for, shape_text, table

MOST_COMPARED = 60  # values that are looked through for those that the user has named
VALUES = ("group", "value", "stored as", "shape", "formula")
NESTS = ("group", "outer loops", "rows", "vectors", "inner loops", "copied side by side", "threads")


def nests_text(fused: Fused, loops: Mapping[Definition, Loops], names: Mapping[Definition, str]) -> str:
    """Two tables: values by group, and the loops of each group."""
    stored = [t for group in fused.groups for t in group.results]
    known = {**_found_again(stored, names), **{t: names[t] for t in stored if t in names}}
    taken = [*known.values(), *[o.name for t in stored for o in (t, *t.operands)]]
    values: list[Sequence[str]] = [VALUES]
    nests: list[Sequence[str]] = [NESTS]
    for number, group in enumerate(fused.groups):
        indices = [i for t in group.results for i in (*t.axes, *t.reduced)]
        words = PlainText(known, letters_for((*group.domain, *indices), taken))
        values += [
            (str(number), words.value(t), _stored_as(t, known), shape_text(t), words.formula(t)) for t in group.results
        ]
        nests.append((str(number), *_nest(*_as_written(group, loops, words, taken))))
    return f"{table(values)}\n\n{table(nests)}"


def _as_written(
    group: Group, loops: Mapping[Definition, Loops], words: PlainText, taken: Iterable[str]
) -> tuple[Group, Loops | None, PlainText]:
    """A group in the axes that its nest has: those that lie side by side are one."""
    one = joined(group)
    if one is None:
        return group, loops.get(group.members[0]), words
    names = {new: words.names.get(view.tensor, view.tensor.name) for new, view in one.views.items()}
    own = one.group.domain
    return one.group, loops.get(one.group.members[0]), PlainText({**words.names, **names}, letters_for(own, taken))


def _stored_as(tensor: Definition, names: Mapping[Definition, str]) -> str:
    """What it is called in the code and in the plan of the memory."""
    return tensor.name if names.get(tensor, tensor.name) != tensor.name else ""


def _found_again(stored: Iterable[Definition], names: Mapping[Definition, str]) -> dict[Definition, str]:
    """Values that were fused, under the names that the user gave to what they are."""
    candidates = [t for t in stored if t not in names and t.kind == "formula"]
    if len(candidates) + len(names) > MOST_COMPARED:
        return {}
    meant = {core([tensor])[0]: name for tensor, name in names.items()}
    return {t: meant[found] for t in candidates if (found := core([t])[0]) in meant}


def _nest(group: Group, loops: Loops | None, words: PlainText) -> tuple[str, ...]:
    """What the loops of a group run over, column by column."""
    if loops is None:
        return "one call", "", "", "", "", ""
    outer, inner = words.ranges(loops.outer), words.ranges(i for i in loops.inner if i is not loops.vector)
    return (
        "" if loops.flat else outer,
        _rows(loops, words),
        _vectors(loops, words),
        inner,
        _copied(loops, words),
        _threads(group, loops, words),
    )


def _rows(loops: Loops, words: PlainText) -> str:
    """`8 of e`: how many rows of the result are computed together."""
    if loops.row is None:
        return ""
    second = ""
    if loops.second is not None:
        part = "all " if loops.seconds == length_of(loops.second) else ""
        second = f", {part}{loops.seconds} of {_letter(loops.second, words)}"
    return f"{loops.rows} of {words.ranges([loops.row])}{second}"


def _vectors(loops: Loops, words: PlainText) -> str:
    """`2×8 of i`: so many vectors, of so many lanes."""
    if loops.vector is None:
        return "" if loops.lanes == 1 else f"{loops.lanes} lanes"
    summed = ", lanes added up last" if loops.vector_is_reduced else ""
    along = [*loops.outer, loops.vector] if loops.flat else [loops.vector]
    return f"{loops.vectors}×{loops.width} of {words.ranges(along)}{summed}"


def _copied(loops: Loops, words: PlainText) -> str:
    """Operands that are copied to lie as they are read."""
    turns = [f"{words.node(factor).text} ({loops.block} at a time)" for factor in loops.packed]
    rows = [f"{words.node(factor).text} ({loops.row_block} rows at a time)" for factor in loops.packed_rows]
    return ", ".join([*turns, *rows])


def _threads(group: Group, loops: Loops, words: PlainText) -> str:
    """Along which index a group that is long enough is split."""
    split = split_of(group, loops)
    return "" if split is None else f"chunks of {split.grain} or more of {_letter(split.index, words)}, if long"


def _letter(index: Node, words: PlainText) -> str:
    return words.letters.get(index, str(index))
