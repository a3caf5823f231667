"""Groups: definitions that are computed in the same loops, and what is finished while it is in registers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from math import prod

from sympile.compiler.graph.arithmetic import add, terms_of
from sympile.compiler.graph.conditions import conditions_of
from sympile.compiler.graph.definition import Definition, computed, extent_value
from sympile.compiler.graph.node import Node, by_key, extent, postorder, target
from sympile.compiler.graph.running import running_of
from sympile.compiler.passes.fusing.cells import listed_axes, written_out
from sympile.compiler.records import dataclass
from sympile.compiler.rules.lowering import CHEAP

BLOCK = 8  # rows of a block, at most
MANY = 4  # reductions of which no single one is worth finishing with the others

Way = tuple[Node, int]  # along which axis something runs, and 1 if up, -1 if down


def way_of(tensor: Definition) -> Way | None:
    """Along which axis a definition runs, if it does."""
    run = running_of(tensor.formula) if tensor.kind == "formula" else None
    return None if run is None else (run.axis, run.direction)



@dataclass(frozen=True, slots=True)
class Rows:
    """What is special where members of several kinds share the loop over rows; see passes/fusing/rowwise.py."""

    local: frozenset[Definition]  # members that nobody else reads: they are not stored
    passing: frozenset[Definition]  # the same, but needed in a later sweep: kept for one block of rows, on the stack
    finishes: dict[Definition, Definition]  # sum over rows → elementwise work on it


@dataclass(frozen=True, slots=True)
class Contents:
    """What stands in formulas: found in one walk, since groups may be large and many ask."""

    operations: int = 0
    operands: tuple[Definition, ...] = ()  # the tensors that are read, each once
    sizes: frozenset[str] = frozenset()  # symbolic sizes, those of shapes aside


def contents_of(results: Iterable[Definition], bodies: Mapping[Definition, Node] | None = None) -> Contents:
    """The contents of formulas that are computed together, some of them as other bodies say."""
    count = 0
    operands: dict[Definition, None] = {}
    sizes: set[str] = set()
    for node in postorder([(bodies or {}).get(t) or t.formula for t in results if t.kind == "formula"]):
        count += 1
        if node.op == "read":
            operands[target(node)] = None
        elif node.op == "size":
            sizes.add(str(node.data))
    return Contents(count, tuple(operands), frozenset(sizes))


@dataclass(frozen=True, slots=True)
class Group:
    """Definitions that are computed in the same loops; the domain is every index that runs."""

    members: tuple[Definition, ...]
    domain: tuple[Node, ...]
    finish: Definition | None = None  # elementwise work on the one member's result, stored in its place
    contents: Contents = Contents()
    bodies: dict[Definition, Node] = field(default_factory=dict)  # common factors found again, cells written out
    rows: Rows | None = None  # set where several nests over the same rows have become one
    local: frozenset[Definition] = frozenset()  # members that nobody else reads, which are not stored

    def body(self, tensor: Definition) -> Node:
        """The formula of a result as code is written for it."""
        return self.bodies.get(tensor, tensor.formula)

    @property
    def way(self) -> Way | None:
        """The axis along which members run, and whether up or down, if any do."""
        return next((way for tensor in self.members if (way := way_of(tensor)) is not None), None)

    @property
    def stored(self) -> tuple[Definition, ...]:
        if self.rows is not None:
            stored = (self.rows.finishes.get(t, t) for t in self.members)
            return tuple(t for t in stored if t not in self.rows.local and t not in self.rows.passing)
        if self.finish is not None:
            return (self.finish,)
        return tuple(t for t in self.members if t not in self.local) if self.local else self.members

    @property
    def results(self) -> tuple[Definition, ...]:
        """All that is computed here."""
        if self.rows is not None:
            return (*self.members, *self.rows.finishes.values())
        return self.members if self.finish is None else (*self.members, self.finish)


@dataclass(frozen=True, slots=True)
class Fused:
    """What is computed, in order, and under which tensor each output is found."""

    groups: tuple[Group, ...]
    outputs: dict[Definition, Definition]

    @property
    def stored(self) -> tuple[Definition, ...]:
        return tuple(tensor for group in self.groups for tensor in group.stored)


def domain_of(tensor: Definition) -> tuple[Node, ...]:
    """Every index that a loop runs over: those along which a tensor is given entry by entry have none."""
    listed = listed_axes(tensor)
    return tuple(axis for axis in tensor.axes if axis not in listed) + tensor.reduced


def costly(node: Node) -> bool:
    """Whether an operation is worth storing rather than doing again."""
    if node.op == "pow":
        return not (isinstance(node.data, int) and 0 < node.data <= 4)
    return node.op not in CHEAP


def finished_reduction(tensor: Definition, users: Mapping[Definition, int]) -> Node | None:
    """The read of a reduction that only this elementwise definition uses: with cheap work at the same place.

    Of several, the one with the most work; of many alike none, as then one of them would be unlike the others, and wait
    for them.
    """
    if tensor.kind != "formula" or tensor.reduced or not any(t.reduced for t in tensor.formula.below):
        return None
    if any(costly(n) and n.free for n in postorder([tensor.formula])):
        return None
    reads = [n for n in postorder([tensor.formula]) if n.op == "read" and target(n).reduced]
    times = Counter(target(n) for n in reads)
    found = [n for n in reads if times[target(n)] == users[target(n)] == 1 and _is_whole(n, tensor)]
    work = {n: _work(target(n)) for n in found}
    most = [n for n in found if work[n] == max(work.values())]
    return max(most, key=by_key) if 0 < len(most) < MANY else None


def _is_whole(node: Node, tensor: Definition) -> bool:
    """A read over all axes of a tensor, each once, of what no data scatter."""
    alike = set(node.args) == set(tensor.axes) and len(node.args) == len(tensor.axes)
    return alike and scatter_axis(target(node)) is None


def _work(tensor: Definition) -> int:
    return prod(extent_value(extent(i)) for i in domain_of(tensor))


def users_of(outputs: Iterable[Definition]) -> Counter[Definition]:
    wanted = list(outputs)
    return Counter([*wanted, *[read for tensor in computed(wanted) for read in tensor.below]])


# ------------------------------------------------------------------------------------------------ groups


def grouped(outputs: list[Definition]) -> list[Group]:
    """What runs over the same indices, and waits for nothing more, shares one group.

    Every tensor has a level: one more than what it must wait for. Elementwise work at the same place need not wait.
    What runs along an axis begins a level, and what reads it at the same place goes the same way.
    """
    finishes = _finishes(outputs)
    hidden = set(finishes.values())
    levels = _Levels(finishes)
    groups: dict[object, list[Definition]] = {}
    place: dict[object, tuple[int, int]] = {}
    for position, tensor in enumerate(computed(outputs)):
        level = levels.enter(tensor)
        if tensor in hidden:
            continue
        shares = _joinable(tensor) and tensor not in finishes
        own = finishes[tensor] if scatter_axis(tensor) is not None and tensor in finishes else tensor
        key: object = (level, domain_of(tensor), levels.way.get(tensor)) if shares else own
        groups.setdefault(key, []).append(tensor)
        place.setdefault(key, (level, position))
    ordered = sorted(groups, key=lambda key: place[key])
    made = [_group(groups[key], finishes) for key in ordered]
    return _with_locals(made, outputs)


def _with_locals(groups: Sequence[Group], outputs: Iterable[Definition]) -> list[Group]:
    """What runs along an axis, or is a number, and is read only while it is in registers is not stored."""
    read = [{tensor for result in group.results for tensor in result.below} for group in groups]
    times = Counter(tensor for own in read for tensor in own)
    times.update(outputs)
    found = []
    for group, own in zip(groups, read, strict=True):
        keeps = group.way is not None or (not group.domain and len(group.members) > 1)
        local = [tensor for tensor in group.members if times[tensor] == (tensor in own)] if keeps else ()
        found.append(replace(group, local=frozenset(local)) if local else group)
    return found


def _group(members: list[Definition], finishes: dict[Definition, Definition]) -> Group:
    first = members[0]
    domain = domain_of(first) if first.kind == "formula" else ()
    bodies = {tensor: written_out(tensor) for tensor in members if listed_axes(tensor)}
    finish = finishes.get(first)
    if finish is not None and scatter_axis(first) is not None:
        bodies[finish] = add(*[term for term in terms_of(finish.formula) if term.below.isdisjoint(members)])
    group = Group(tuple(members), domain, finish, bodies=bodies)
    return replace(group, contents=contents_of(group.results, bodies))


@dataclass(slots=True)
class _Levels:
    """For each tensor how many groups must have run before its own."""

    finishes: dict[Definition, Definition]
    of: dict[Definition, int] = field(default_factory=dict)
    way: dict[Definition, Way | None] = field(default_factory=dict)

    def enter(self, tensor: Definition) -> int:
        """The level of a tensor; one with a finish also waits for the finish's operands, which may stand behind it."""
        if tensor in self.of:  # a finish, entered with its reduction
            return self.of[tensor]
        finish = self.finishes.get(tensor)
        if finish is None:
            self.of[tensor] = level = self._level(tensor)
            return level
        operands = finish.below
        members = [t for t in operands if self.finishes.get(t) is finish]
        others = [self.enter(t) + 1 for t in operands if t not in members]
        level = max([*[self._level(t) for t in members], *others])
        self.of |= dict.fromkeys([finish, *members], level)
        return level

    def _level(self, tensor: Definition) -> int:
        domain = domain_of(tensor)
        together = _joinable(tensor)
        alike = {t for t in tensor.below if together and _same_place(t, domain) and not self._finishes(t)}
        waits = [self.enter(t) + 1 for t in tensor.below if t not in alike]
        joins = [self.enter(t) for t in alike]
        if joins and not _only_in_place(tensor):
            joins = [level + 1 for level in joins]
        level = max([0, *waits, *joins])
        ways = {self.way.get(t) for t in alike if self.of[t] == level}
        own = way_of(tensor)
        if len(ways) > 1 or (own and ways - {own}):  # no loop goes two ways
            level, ways = level + 1, set()
        self.way[tensor] = ways.pop() if ways else own
        return level

    def _finishes(self, tensor: Definition) -> bool:
        """Whether it is complete only when a reduction's loops are, or the last scatter that adds to it."""
        return any(self.finishes.get(t) is tensor for t in tensor.below)


def _same_place(tensor: Definition, domain: tuple[Node, ...]) -> bool:
    """Elementwise work over the same indices, each result in a register of its own."""
    return _joinable(tensor) and not tensor.reduced and domain_of(tensor) == domain and not listed_axes(tensor)


def _only_in_place(tensor: Definition) -> bool:
    """Whether each read of a computed elementwise tensor is at that tensor's own indices."""
    reads = (n for n in postorder([tensor.formula]) if n.op == "read" and n.below and target(n).kind != "input")
    return all(n.args == target(n).axes or target(n).reduced for n in reads)


def _finishes(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Reduction → the elementwise definition that is computed from it in registers."""
    users = users_of(outputs)
    found: dict[Definition, Definition] = {}
    for tensor in computed(outputs):
        scatters = _scatters_in(tensor, users)
        found |= dict.fromkeys(scatters, tensor)
        node = finished_reduction(tensor, users)
        if not scatters and node is not None and node.args == tensor.axes and _single(target(node)):
            found[target(node)] = tensor
    return found


def _scatters_in(tensor: Definition, users: Mapping[Definition, int]) -> list[Definition]:
    """The scatters that are terms of this sum and nothing else: they add to the place where the other terms lie."""
    if tensor.kind != "formula" or tensor.reduced or tensor.formula.op != "add" or listed_axes(tensor):
        return []
    terms = tensor.formula.args
    reads = [term for term in terms if term.op == "read" and term.args == tensor.axes]
    alone = [target(node) for node in reads if users[target(node)] == 1 and scatter_axis(target(node)) is not None]
    return [scatter for scatter in alone if sum(scatter in term.below for term in terms) == 1]


def _single(tensor: Definition) -> bool:
    """A reduction that has its loops for itself."""
    return bool(tensor.axes)


def _joinable(tensor: Definition) -> bool:
    """Whether others may share its loops: elementwise work, and reductions over a single index to a scalar."""
    return (
        tensor.kind == "formula"
        and (not tensor.reduced or (not tensor.axes and len(tensor.reduced) == 1))
        and scatter_axis(tensor) is None
    )


def scatter_axis(tensor: Definition) -> tuple[Node, Node] | None:
    """(axis, where it is written) of a sum with a delta on data: [axis == token[e]] is a scatter, not a search."""
    if tensor.monoid != "sum":
        return None
    for condition in conditions_of(tensor.formula):
        if condition.op == "eq":
            for axis, place in (condition.args, condition.args[::-1]):
                if axis in tensor.axes and axis not in place.free and any(n.op == "read" for n in postorder([place])):
                    return axis, place
    return None
