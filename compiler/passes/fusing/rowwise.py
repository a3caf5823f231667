"""Groups that go through the same rows become one: a row is read once, and all that is made of it is made at once.

Rows are examples; without them, the first axis of matrices that several groups go through. What a row group holds, by
the indices of a definition (e the row, i across it):

    scalar    T[e]    = f(e)             across    T[e]   = reduce over i of f(e, i)
    element   T[e, i] = f(e, i)          column    T[i]   = reduce over e of f(e, i)
    total     T       = reduce over e of f(e), or over e and i of f(e, i)

Columns and totals are complete after the last row: who reads them must wait for the group to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from sympile.compiler.graph.definition import EXAMPLE, Definition, axis, extent_value
from sympile.compiler.graph.node import Node, extent, postorder, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.graph.running import runs
from sympile.compiler.passes.fusing.cells import listed_axes
from sympile.compiler.passes.fusing.compared import looked_for
from sympile.compiler.passes.fusing.group import Group, Rows, contents_of, costly, scatter_axis
from sympile.compiler.records import dataclass

NARROW = 10  # entries across rows that lie across the lanes themselves; with 16, softmax takes a tenth longer so
NARROWEST = 4  # entries across other rows, below which lanes across them are wasted
NARROWEST_COSTLY = 5  # the same where something costly is computed for each
WIDEST = 1024  # entries of rows that are kept on the stack
MOST = 400  # operations of a row group: larger ones gain nothing, and code generation takes its time

# (axes, reduced) with e for the row and i for the index across → kind
KINDS: Mapping[tuple[str, str], str] = {
    ("e", ""): "scalar",
    ("e", "i"): "across",
    ("ei", ""): "element",
    ("i", "e"): "column",
    ("", "e"): "total",
    ("", "ei"): "total",
    ("", "ie"): "total",
}
BY_ROW = frozenset({"scalar", "across", "element"})  # ready as soon as the row is


def kind_of(tensor: Definition) -> str | None:
    """What a definition is in a row group, or None if it can be in none."""
    if tensor.kind != "formula" or scatter_axis(tensor) is not None or runs(tensor):
        return None
    row = row_of(tensor)
    return KINDS.get((_letters(tensor.axes, row), _letters(tensor.reduced, row)))


def row_of(tensor: Definition) -> Node | None:
    """The index of the row: canonical, so that members which go through the same rows have the same one."""
    return EXAMPLE if EXAMPLE in tensor.reduced else next(iter(tensor.axes), None)


def _letters(indices: Sequence[Node], row: Node | None) -> str:
    return "".join("e" if index is row else "i" for index in indices)


def across_of(tensor: Definition) -> Node | None:
    """The index across the row, in the definition's own name."""
    row = row_of(tensor)
    return next((index for index in (*tensor.axes, *tensor.reduced) if index is not row), None)


def common_index(tensor: Definition) -> Node | None:
    """The index across the row, in the name that all members share."""
    own = across_of(tensor)
    return None if own is None else axis(1, extent(own))


def common_body(tensor: Definition) -> Node:
    """The formula in the names that all members share."""
    own, common = across_of(tensor), common_index(tensor)
    if own is None or common is None or own is common:
        return tensor.formula
    return substitute(tensor.formula, {own: common})


# ------------------------------------------------------------------------------------------------ who may join


def _is_rowwise(group: Group, thin: bool) -> bool:
    """Whether a group, which has loops of its own so far, can become part of a row group; `thin`: of any width."""
    if not all(kind_of(tensor) and not listed_axes(tensor) and _goes_by_rows(tensor) for tensor in group.members):
        return False
    if group.finish is not None and not (_is_finished_row(group) or kind_of(group.members[0]) == "column"):
        return False
    return _are_wide_enough(group.members) or (thin and are_narrow(group.members))


def _is_finished_row(group: Group) -> bool:
    """Whether the finish belongs to a row as a whole."""
    finish, of = group.finish, group.members[0]
    return finish is not None and kind_of(finish) == "scalar" and row_of(finish) is row_of(of)


def _goes_by_rows(tensor: Definition) -> bool:
    """Whether nothing but reads of rows asks where a row stands; of examples that is always so."""
    row = row_of(tensor)
    if row is None or row is EXAMPLE:
        return True
    users = [node for node in postorder([tensor.formula]) if row in node.args]
    return all(node.op == "read" and node.args[0] is row and row not in node.args[1:] for node in users)


def are_narrow(members: Iterable[Definition]) -> bool:
    """Whether rows have few entries, and are read entry by entry, so that the rows can lie across the lanes."""
    members = list(members)
    bodies, row = [common_body(tensor) for tensor in members], row_of(members[0])
    indices = {i for i in map(common_index, members) if i is not None}
    if not indices or not all(extent(i).op == "const" and extent_value(extent(i)) <= NARROW for i in indices):
        return False
    rows = [node for node in postorder(bodies) if node.op == "read" and row in node.free]
    return all(node.args[0] is row and len(node.args) <= 2 and indices.issuperset(node.args[1:]) for node in rows)


def _are_wide_enough(members: Iterable[Definition]) -> bool:
    return all(map(_is_wide_enough, members))


def _is_wide_enough(tensor: Definition) -> bool:
    own = across_of(tensor)
    if own is None:
        return True
    expensive = any(costly(node) and own in node.free for node in postorder([tensor.formula]))
    return extent_value(extent(own)) >= (NARROWEST_COSTLY if expensive else NARROWEST)


def _reads_in_place(group: Group, tensor: Definition) -> bool:
    """Whether a group reads a tensor only in the row, and at the index across it, where it is itself."""
    for result in group.results:
        if tensor in result.formula.below:
            there = (row_of(result), across_of(result))[: len(tensor.axes)]
            if any(n.args != there for n in postorder([result.formula]) if n.op == "read" and target(n) is tensor):
                return False
    return True


# ------------------------------------------------------------------------------------------------ levels


@dataclass(slots=True)
class _Order:
    """For each group (by number) the level on which it runs; row groups are made of one level."""

    groups: Sequence[Group]
    thin: bool  # whether rows of any width are joined
    rowwise: list[bool] = field(init=False)
    reads: list[list[tuple[int, bool]]] = field(init=False)  # of each group: (which group, whether it may run with it)
    level: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.rowwise = [_is_rowwise(group, self.thin) for group in self.groups]
        maker = {t: number for number, group in enumerate(self.groups) for t in group.stored}
        self.reads = [self._reads(number, maker) for number in range(len(self.groups))]
        self.level = []
        for below in self.reads:
            self.level.append(max((self.level[n] + (not joins) for n, joins in below), default=0))

    def _reads(self, number: int, maker: Mapping[Definition, int]) -> list[tuple[int, bool]]:
        group = self.groups[number]
        found = []
        for tensor in _computed_operands(group):
            source = maker[tensor]
            if source != number:
                joins = self.rowwise[number] and self.rowwise[source] and kind_of(tensor) in BY_ROW
                found.append((source, joins and _reads_in_place(group, tensor)))
        return found

    def sink(self) -> None:
        """What later rows read is computed with them, if nobody needs it before."""
        users: list[list[tuple[int, bool]]] = [[] for _ in self.groups]
        for number, below in enumerate(self.reads):
            for source, joins in below:
                users[source].append((number, joins))
        for number in reversed(range(len(self.groups))):
            latest = min((self.level[user] - (not joins) for user, joins in users[number]), default=0)
            if any(joins and self.level[user] == latest for user, joins in users[number]):
                self.level[number] = latest


def _computed_operands(group: Group) -> list[Definition]:
    found = dict.fromkeys(t for result in group.results for t in result.below)
    return [t for t in found if t not in group.results]


# ------------------------------------------------------------------------------------------------ row groups


def with_row_groups(groups: Sequence[Group], outputs: Iterable[Definition]) -> list[Group]:
    """The groups, those that go through the same rows at the same time joined."""
    order = _order(groups, thin=True)
    if any(_are_mixed([groups[n] for n in numbers]) for numbers in _parts(order)):
        order = _order(groups, thin=False)
    if sum(order.rowwise) < 2:
        return list(groups)
    wanted = frozenset(outputs)
    readers = _readers(groups)
    made = [
        (order.level[numbers[0]], numbers[0], _joined([groups[n] for n in numbers], wanted, readers))
        for numbers in _small(groups, _parts(order))
    ]
    return [group for _, _, group in sorted(made, key=lambda item: item[:2])]


def _order(groups: Sequence[Group], thin: bool) -> _Order:
    order = _Order(groups, thin)
    order.sink()
    return order


def _are_mixed(parts: Sequence[Group]) -> bool:
    """Whether rows with too few entries for lanes across them would be joined with others that have many."""
    members = [tensor for part in parts for tensor in part.members]
    return len(parts) > 1 and not _are_wide_enough(members) and not are_narrow(members)


def _readers(groups: Sequence[Group]) -> dict[Definition, list[Definition]]:
    readers: dict[Definition, list[Definition]] = {}
    for group in groups:
        for result in group.results:
            for tensor in result.operands if result.kind == "call" else result.formula.below:
                readers.setdefault(tensor, []).append(result)
    return readers


def _parts(order: _Order) -> list[list[int]]:
    """The numbers of the groups that become one: of a level, and reading a row of the same array or of each other."""
    parts: list[list[int]] = []
    by_level: dict[tuple[int, Node | None], list[int]] = {}
    for number, group in enumerate(order.groups):
        if order.rowwise[number]:
            by_level.setdefault((order.level[number], row_of(group.members[0])), []).append(number)
        else:
            parts.append([number])
    for (_, row), numbers in by_level.items():
        touched = [_touched(order.groups[n]) for n in numbers]
        for part in _connected(numbers, touched):
            saves = row is EXAMPLE or _saves_a_pass([touched[numbers.index(n)] for n in part])
            parts += [part] if saves else [[number] for number in part]
    return parts


def _saves_a_pass(touched: Sequence[set[Definition]]) -> bool:
    """Whether several groups go through one matrix."""
    every = [tensor for arrays in touched for tensor in arrays if len(tensor.axes) > 1]
    return len(every) > len(set(every))


def _small(groups: Sequence[Group], parts: Iterable[list[int]]) -> list[list[int]]:
    """Those that are small enough; of others every group stays by itself."""
    kept = []
    for numbers in parts:
        bodies = [t.formula for n in numbers for t in groups[n].results if t.kind == "formula"]
        small = len(numbers) == 1 or sum(1 for _ in postorder(bodies)) <= MOST
        kept += [numbers] if small else [[number] for number in numbers]
    return kept


def _touched(group: Group) -> set[Definition]:
    """The arrays of rows that a group reads or writes."""
    bodies, row = [result.formula for result in group.results], row_of(group.members[0])
    return {target(n) for n in postorder(bodies) if n.op == "read" and row in n.free} | set(group.results)


def _connected(numbers: Sequence[int], touched: Sequence[set[Definition]]) -> list[list[int]]:
    parts: list[tuple[list[int], set[Definition]]] = []
    for number, arrays in zip(numbers, touched, strict=True):
        near = [part for part in parts if part[1] & arrays]
        parts = [part for part in parts if part not in near]
        parts.append(
            (sorted([number, *[n for part in near for n in part[0]]]), arrays.union(*[part[1] for part in near]))
        )
    return [members for members, _ in parts]


def _joined(
    parts: Sequence[Group], outputs: frozenset[Definition], readers: Mapping[Definition, Sequence[Definition]]
) -> Group:
    if len(parts) == 1:
        return parts[0]
    members: list[Definition] = []
    finishes: dict[Definition, Definition] = {}
    for part in parts:
        members += part.members
        if part.finish is not None and _is_finished_row(part):
            members.append(part.finish)
        elif part.finish is not None:
            finishes[part.members[0]] = part.finish
    inside = {*members, *finishes.values()}
    alone = {t for t in members if t not in outputs and inside.issuperset(readers.get(t, ()))}
    domain = tuple(i for i in dict.fromkeys([row_of(members[0]), *map(common_index, members)]) if i is not None)
    stages = stages_of(members)
    again = alone.difference(looked_for(inside))  # what may be computed a second time, and rounded otherwise
    local = frozenset(t for t in alone if _may_be_local(t, readers.get(t, ()), stages, t in again))
    bodies = {t: common_body(t) for t in members} | {f: f.formula for f in finishes.values()}
    passing = frozenset(t for t in alone - local if kind_of(t) == "element" and _is_narrow(t))
    group = Group(tuple(members), domain, bodies=bodies, rows=Rows(local, passing, finishes))
    return replace(group, contents=contents_of(group.results))


def _is_narrow(tensor: Definition) -> bool:
    width = tensor.shape[1]
    return width.op == "const" and extent_value(width) <= WIDEST


def _may_be_local(
    tensor: Definition, readers: Sequence[Definition], stages: Mapping[Definition, int], again: bool
) -> bool:
    """Elements are computed anew in a later stage, if they may be, unless that is costly."""
    if kind_of(tensor) == "column" or kind_of(tensor) == "total":
        return False
    if kind_of(tensor) != "element":
        return True
    later = any(stages[reader] > stages[tensor] for reader in readers)
    return not later or (again and not any(costly(n) and n.free for n in postorder([tensor.formula])))


def stages_of(members: Sequence[Definition]) -> dict[Definition, int]:
    """How often a row must be gone through before each member is known: results across it end a sweep."""
    stages: dict[Definition, int] = {}
    for tensor in members:
        below = [stages[t] + (kind_of(t) == "across") for t in tensor.formula.below if t in stages]
        stages[tensor] = max(below, default=0)
    return stages
