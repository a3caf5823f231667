"""In which order the axes of stored tensors lie in memory, so that what one nest writes side by side others read so.

Axes of different tensors that are read at the same index form a family (the channels of a layer, the rows of images).
Which family lies innermost is decided for all tensors together: a contraction alone would take what suits it best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from math import ceil, prod

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.definition import EXAMPLES, Definition, computed, define, extent_value, read
from sympile.compiler.graph.mapping import Mapping as NewDefinitions
from sympile.compiler.graph.mapping import each_formula
from sympile.compiler.graph.node import Node, extent, postorder, reads, target
from sympile.compiler.graph.rebuild import rebuild
from sympile.compiler.records import dataclass

LANES = 8  # of the machine for which orders are compared
EXAMPLES_ASSUMED = 64
APART = 0.75  # time of one number read or written on its own; a whole vector takes 1
SAME = 0.3  # of one number for all lanes
SUMMED = 8.0  # of adding up the lanes of a result
REUSED = 8  # how often a tile of a contraction uses a number that it has read, at most; others are read from a copy

Family = tuple[Definition, Node]  # one of its axes, which stands for all


def arrange(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Stored tensors in an order that suits who writes and who reads them.

    Matrices in products stay as they are: whatever their order, products are packed as they need it.
    """
    order = computed(outputs)
    fixed = {*outputs, *[operand for tensor in order if tensor.kind == "call" for operand in tensor.operands]}
    products = {t for tensor in order if _is_product(tensor) for t in (tensor, *map(target, reads(tensor.formula)))}
    movable = [tensor for tensor in order if tensor not in fixed and _has_choice(tensor, tensor in products)]
    if not movable:
        return {output: output for output in outputs}
    families = _Families.of(order)
    ranking = _ranking([tensor for tensor in order if tensor.kind == "formula"], movable, families)
    if not ranking:
        return {output: output for output in outputs}
    places = {tensor: _order(tensor, ranking, families) for tensor in movable}
    return _reordered(outputs, {tensor: at for tensor, at in places.items() if list(at) != sorted(at)})


def _has_choice(tensor: Definition, in_product: bool) -> bool:
    """Whether several axes can lie innermost; examples lie outermost."""
    if tensor.kind != "formula" or len(tensor.axes) < (3 if in_product else 2):
        return False
    return sum(extent(axis) is not EXAMPLES for axis in tensor.axes) > 1


def _is_product(tensor: Definition) -> bool:
    """Whether something is summed that several reads make up."""
    return tensor.kind == "formula" and bool(tensor.axes and tensor.reduced) and len(reads(tensor.formula)) > 1


# ------------------------------------------------------------------------------------------------ families


@dataclass(slots=True)
class _Families:
    """Which axes and summed indices of all tensors go together."""

    above: dict[Family, Family] = field(default_factory=dict)
    given: dict[Family, list[float]] = field(default_factory=dict)  # where inputs have the axes of a family

    @classmethod
    def of(cls, order: Iterable[Definition]) -> _Families:
        families = cls()
        inputs: dict[Definition, None] = {}
        for tensor in order:
            for node in reads(tensor.formula) if tensor.kind == "formula" else ():
                families._join_read(tensor, node)
                if target(node).kind == "input":
                    inputs[target(node)] = None
        for tensor in inputs:
            for place, axis in enumerate(tensor.axes):
                families.given.setdefault(families.find((tensor, axis)), []).append(place / len(tensor.axes))
        return families

    def _join_read(self, tensor: Definition, node: Node) -> None:
        """An axis that is read at an index, or at a sum of some, is of the family of each."""
        for axis, at in zip(target(node).axes, node.args, strict=True):
            if affine(at) is not None and not any(n.op == "read" for n in postorder([at])):
                for index in at.free:
                    self.above[self.find((tensor, index))] = self.find((target(node), axis))

    def find(self, member: Family) -> Family:
        while (above := self.above.get(member, member)) is not member:
            self.above[member] = self.above.get(above, above)
            member = above
        return member

    def of_axes(self, tensor: Definition) -> list[Family]:
        return [self.find((tensor, axis)) for axis in tensor.axes]

    def place(self, family: Family) -> float:
        """How far back inputs have the axes of a family."""
        known = self.given.get(family)
        return sum(known) / len(known) if known else 0.5


def _ranking(formulas: Sequence[Definition], movable: Sequence[Definition], families: _Families) -> list[Family]:
    """Families that lie innermost wherever they occur, the first of them that a tensor has.

    They are found one by one: each goes before or after those that are found already.
    """
    left = dict.fromkeys(
        families.find((tensor, axis)) for tensor in movable for axis in tensor.axes if extent(axis) is not EXAMPLES
    )
    times = _Times.of(formulas, movable, families)
    ranking: list[Family] = []
    best = times.all(ranking)
    while left:
        ways = [(family, way) for family in left for way in ([*ranking, family], [family, *ranking])]
        tried = [(times.all(way), families.place(family), family, way) for family, way in ways]
        time, _, family, way = min(tried, key=lambda found: found[:2])
        if time >= best:
            break
        best, ranking = time, way
        del left[family]
    return ranking


def _order(tensor: Definition, ranking: Sequence[Family], families: _Families) -> tuple[int, ...]:
    """The places of a tensor's axes from the outside in."""
    last = _last(families.of_axes(tensor), {family: at for at, family in enumerate(ranking)})

    def place(at: int) -> tuple[bool, bool, float, int]:
        family = families.find((tensor, tensor.axes[at]))
        return extent(tensor.axes[at]) is not EXAMPLES, at == last, families.place(family), at

    return tuple(sorted(range(len(tensor.axes)), key=place))


def _last(own: Sequence[Family], rank: Mapping[Family, int]) -> int:
    """Which of its axes a tensor has innermost: the last one of the family that stands first."""
    return min(range(len(own)), key=lambda at: (rank.get(own[at], len(rank)), -at))


# ------------------------------------------------------------------------------------------------ time


@dataclass(slots=True)
class _Times:
    """Rough times of all nests, if some families lie innermost."""

    own: dict[Definition, list[Family]] = field(default_factory=dict)  # the families of what can be moved
    read: dict[Definition, list[Node]] = field(default_factory=dict)
    moved: dict[Definition, list[Definition]] = field(default_factory=dict)  # what a nest writes and reads of that
    known: dict[tuple[Definition, tuple[int, ...]], float] = field(default_factory=dict)

    @classmethod
    def of(cls, formulas: Sequence[Definition], movable: Iterable[Definition], families: _Families) -> _Times:
        times = cls({tensor: families.of_axes(tensor) for tensor in movable})
        for tensor in formulas:
            read = reads(tensor.formula)
            moved = [each for each in dict.fromkeys((tensor, *map(target, read))) if each in times.own]
            if moved:
                times.read[tensor], times.moved[tensor] = read, moved
        return times

    def all(self, ranking: Sequence[Family]) -> float:
        rank = {family: at for at, family in enumerate(ranking)}
        last = {tensor: _last(own, rank) for tensor, own in self.own.items()}
        total = 0.0
        for tensor, moved in self.moved.items():
            key = tensor, tuple([last[each] for each in moved])
            if key not in self.known:
                self.known[key] = self._nest(tensor, last)
            total += self.known[key]
        return total

    def _nest(self, tensor: Definition, last: Mapping[Definition, int]) -> float:
        """The time of one nest with the index across the lanes that suits it best."""
        indices = (*tensor.axes, *tensor.reduced)
        if not indices:
            return 0.0
        return prod(map(_length, indices)) * min(self._point(tensor, vector, last) for vector in indices)

    def _point(self, tensor: Definition, vector: Node, last: Mapping[Definition, int]) -> float:
        """The time of one point with an index across the lanes."""
        length = _length(vector)
        across = ceil(length / LANES) / length  # vectors for a number
        time = across
        for node in self.read[tensor]:
            step = _time_of_access(node, vector, last.get(target(node), len(node.args) - 1), across)
            again = _repeated(tensor, node)
            packed = across / min(again, REUSED) + APART / again
            time += min(step / min(again, REUSED), packed)
        turns = prod(map(_length, tensor.reduced))
        if vector in tensor.reduced:
            return time + SUMMED / turns
        innermost = tensor.axes[last.get(tensor, len(tensor.axes) - 1)]
        return time + (across if vector is innermost else APART) / turns


def _length(index: Node) -> int:
    return extent_value(extent(index), EXAMPLES_ASSUMED)


def _time_of_access(node: Node, vector: Node, last: int, across: float) -> float:
    if vector not in node.free:
        return SAME * across
    if vector in node.args[last].free and not any(vector in at.free for k, at in enumerate(node.args) if k != last):
        form = affine(node.args[last])
        if form is not None and dict(form.terms).get(vector) == 1:
            return across
    return APART


def _repeated(tensor: Definition, node: Node) -> int:
    """For how many results a contraction reads the same number."""
    return prod(_length(axis) for axis in tensor.axes if axis not in node.free) if tensor.monoid == "sum" else 1


# ------------------------------------------------------------------------------------------------ reordering


def _reordered(outputs: list[Definition], places: Mapping[Definition, tuple[int, ...]]) -> NewDefinitions:
    """All tensors with the axes of some in another order."""
    done: dict[Node, Node] = {}

    def changed(tensor: Definition, new: NewDefinitions) -> Definition:
        for node in postorder([tensor.formula], done):
            args = tuple([done[arg] for arg in node.args])
            if node.op == "read":
                at = places.get(target(node))
                done[node] = read(new[target(node)], *(args if at is None else [args[k] for k in at]))
            else:
                done[node] = node if args == node.args else rebuild(node, args)
        axes = [tensor.axes[k] for k in places.get(tensor, range(len(tensor.axes)))]
        return define(axes, tensor.reduced, tensor.monoid, done[tensor.formula])

    return each_formula(outputs, changed)
