"""Groups that differ only in which tensors they read and write: they are one function, called with other tables.

A recurrence that is written step by step is the same few groups again and again. To see that, a group's tensors are
put in an order that does not depend on which they are, and its operands become inputs numbered so: groups that are
alike are then the same definitions. Where a number chooses a row of an operand, as x[e, 3, j], reading begins there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from math import prod

from sympile.compiler.graph.definition import Definition, extent_value, input_tensor, interned
from sympile.compiler.graph.node import ZERO, Node, by_key, make, number, postorder, target, word_key
from sympile.compiler.passes.fusing.group import Group, Rows, contents_of, scatter_axis
from sympile.compiler.records import dataclass

ROUNDS = 2  # after which each tensor is told from the others by where it stands, and by where they stand
MOST = 2000  # operations of a group that is looked at: larger ones are not the steps of something
COMMUTE = frozenset({"add", "mul", "max", "min"})


@dataclass(frozen=True, slots=True)
class View:
    """A tensor from one of its elements on."""

    tensor: Definition
    start: int = 0


@dataclass(frozen=True, slots=True)
class Alike:
    """A group in other tensors, and what stands for each of them."""

    group: Group
    views: Mapping[Definition, View]  # of what the group in other tensors reads, and of what it stores, in its order

    @property
    def key(self) -> object:
        """The same for all groups that are one function."""
        rows, group = self.group.rows, self.group
        special = None if rows is None else (rows.local, rows.passing, tuple(rows.finishes.items()))
        return group.members, group.domain, group.finish, tuple(group.bodies.items()), special, group.local


def repeated(groups: Iterable[Group]) -> dict[int, Alike]:
    """Of several groups that are alike, each as the others are; by its number."""
    found = {number: group for number, group in enumerate(groups) if _may_be_alike(group)}
    shapes = Counter(_shape(group) for group in found.values())
    alike = {number: in_other_tensors(group) for number, group in found.items() if shapes[_shape(group)] > 1}
    times = Counter(each.key for each in alike.values())
    return {number: each for number, each in alike.items() if times[each.key] > 1}


def _may_be_alike(group: Group) -> bool:
    plain = all(t.kind == "formula" and scatter_axis(t) is None for t in group.results)
    return plain and group.way is None and group.contents.operations <= MOST


def _shape(group: Group) -> object:
    """What is quickly seen to differ."""
    kinds = Counter((t.axes, t.monoid, t.reduced) for t in group.results)
    return group.domain, group.finish is None, group.rows is None, frozenset(kinds.items())


def in_other_tensors(group: Group) -> Alike:
    """The group with its operands numbered, and its members in an order of their own."""
    colors = _Colors(group)
    for _ in range(ROUNDS):
        colors.refine()
    new: dict[View | Definition, Definition] = {}
    operands = sorted(colors.operands(), key=colors.of.__getitem__)
    for place, view in enumerate(operands):
        new[view] = input_tensor(str(place), view.tensor.shape, integer=view.tensor.integer)
    order = sorted(group.results, key=lambda t: (colors.level[t], colors.of[t]))
    done = {node: node for node in colors.blind}
    bodies = {}
    for tensor in order:
        body = _renamed(tensor.formula, new, done)
        new[tensor] = interned("formula", "t", tensor.axes, tensor.monoid, tensor.reduced, body)
    for tensor in order:
        if tensor in group.bodies:
            bodies[new[tensor]] = _renamed(group.bodies[tensor], new, done)
    members = tuple(new[t] for t in order if t in group.members)
    finish, rows = None if group.finish is None else new[group.finish], _rows(group.rows, order, new)
    unread = frozenset(new[t] for t in group.local)
    other = Group(members, group.domain, finish, bodies=bodies, rows=rows, local=unread)
    views = {new[view]: view for view in operands} | {new[t]: View(t) for t in order if t in group.stored}
    return Alike(replace(other, contents=contents_of(other.results, bodies)), views)


def _rows(rows: Rows | None, order: Sequence[Definition], new: Mapping[View | Definition, Definition]) -> Rows | None:
    if rows is None:
        return None
    local, passing = (frozenset(new[t] for t in those) for those in (rows.local, rows.passing))
    return Rows(local, passing, {new[t]: new[rows.finishes[t]] for t in order if t in rows.finishes})


def _renamed(body: Node, new: Mapping[View | Definition, Definition], done: dict[Node, Node]) -> Node:
    """The body with other reads; operands that commute in the order of the new ones."""
    for node in postorder([body], done):
        args = [done[arg] for arg in node.args]
        if node.op == "read":
            own = new.get(target(node))
            view, at = (None, node.args) if own is not None else viewed(node)
            done[node] = make("read", *[done.get(arg, arg) for arg in at], data=own if view is None else new[view])
        elif node.op in COMMUTE:
            done[node] = make(node.op, *_sorted(args), data=node.data)
        else:
            done[node] = node if tuple(args) == node.args else make(node.op, *args, data=node.data)
    return done[body]


def _sorted(args: Sequence[Node]) -> list[Node]:
    """A number stays first or last."""
    first = [arg for arg in args[:1] if arg.op == "const"]
    last = [arg for arg in args[1:] if arg.op == "const"]
    return [*first, *sorted((arg for arg in args if arg.op != "const"), key=by_key), *last]


def viewed(node: Node) -> tuple[View, tuple[Node, ...]]:
    """What a read reads, from the element on that numbers among its positions choose; and its other positions."""
    tensor, start = target(node), 0
    args = list(node.args)
    for k, at in enumerate(args):
        behind = tensor.shape[k + 1 :]
        if at.op == "const" and all(length.op == "const" for length in behind):
            start += int(number(at)) * prod(map(extent_value, behind))
            args[k] = ZERO
    return View(tensor, start), tuple(args)


@dataclass(slots=True)
class _Colors:
    """A number for each tensor of a group that depends on where it stands, and not on which it is."""

    group: Group
    of: dict[View | Definition, int] = field(default_factory=dict)
    level: dict[Definition, int] = field(default_factory=dict)  # how many results one after the other come before
    nodes: list[Node] = field(default_factory=list)
    roots: list[tuple[Definition, Node]] = field(default_factory=list)
    read: dict[Node, View | Definition] = field(default_factory=dict)
    blind: set[Node] = field(default_factory=set)  # what reads nothing

    def __post_init__(self) -> None:
        own = self.group.results
        self.roots = [(t, body) for t in own for body in dict.fromkeys((t.formula, self.group.body(t)))]
        self.nodes = postorder([body for _, body in self.roots])
        for node in self.nodes:
            if node.op == "read":
                self.read[node] = target(node) if target(node) in own else viewed(node)[0]
            elif self.blind.issuperset(node.args):
                self.blind.add(node)
        for tensor in own:
            self._enter(tensor)
            over = [index.key for index in (*tensor.axes, *tensor.reduced)]
            self.of[tensor] = hash((*over, word_key(str(tensor.monoid)), self._part(tensor)))
        for view in self.operands():
            self.of[view] = hash((*[length.key for length in view.tensor.shape], view.tensor.integer))

    def operands(self) -> list[View]:
        """What is read of others, each once."""
        return list(dict.fromkeys(view for view in self.read.values() if isinstance(view, View)))

    def _part(self, tensor: Definition) -> int:
        """What a tensor is in its group, beside its formula."""
        rows, group = self.group.rows, self.group
        special = rows is not None and (tensor in rows.local, tensor in rows.passing, tensor in rows.finishes)
        return hash((tensor in group.members, tensor in group.bodies, tensor in group.local, special))

    def _enter(self, tensor: Definition) -> None:
        """The level of a result; groups list what is read before who reads it."""
        below = [self.level[t] for t in tensor.formula.below if t in self.level]
        self.level[tensor] = 1 + max(below, default=0)

    def refine(self) -> None:
        """Each tensor is told by its formula, and by the formulas that read it."""
        inside = self._inside()
        around: dict[Node, list[int]] = {}
        for tensor, body in self.roots:
            around.setdefault(body, []).append(self.of[tensor])
        for node in reversed(self.nodes):
            if node not in self.blind:
                here = hash((inside[node], *sorted(around[node])))
                for k, arg in enumerate(node.args):
                    around.setdefault(arg, []).append(here if node.op in COMMUTE else hash((here, k)))
        places: dict[View | Definition, list[int]] = {}
        for node, what in self.read.items():
            places.setdefault(what, []).append(hash((inside[node], *sorted(around[node]))))
        formulas: dict[View | Definition, int] = {
            tensor: hash((inside[tensor.formula], inside[self.group.body(tensor)])) for tensor, _ in self.roots
        }
        self.of = {
            what: hash((color, formulas.get(what, 0), *sorted(places.get(what, ())))) for what, color in self.of.items()
        }

    def _inside(self) -> dict[Node, int]:
        """A hash of each formula that sees of tensors their numbers only."""
        found: dict[Node, int] = {}
        for node in self.nodes:
            if node in self.blind:
                found[node] = node.key
                continue
            what = self.read.get(node)
            at = viewed(node)[1] if isinstance(what, View) else node.args
            args = [found.get(arg, arg.key) for arg in at]
            data = word_key(repr(node.data)) if what is None else self.of[what]
            found[node] = hash((word_key(node.op), data, *(sorted(args) if node.op in COMMUTE else args)))
        return found

