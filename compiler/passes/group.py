"""Groups: definitions that are computed in the same loops, and what is finished while it is in registers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sympile.compiler.graph.conditions import conditions_of
from sympile.compiler.graph.definition import Definition, definitions, depends_on
from sympile.compiler.graph.node import Node, postorder, target
from sympile.compiler.rules.lowering import CHEAP


@dataclass(frozen=True, slots=True)
class Group:
    """Definitions that are computed in the same loops; the domain is every index that runs."""

    members: tuple[Definition, ...]
    domain: tuple[Node, ...]
    finish: Definition | None = None  # elementwise work on the one member's result, stored in its place
    bodies: dict[Definition, Node] = field(default_factory=dict)  # formulas with common factors found again

    def body(self, tensor: Definition) -> Node:
        """The formula of a result as code is written for it."""
        return self.bodies.get(tensor, tensor.formula)

    @property
    def stored(self) -> tuple[Definition, ...]:
        return self.members if self.finish is None else (self.finish,)

    @property
    def results(self) -> tuple[Definition, ...]:
        """All that is computed here."""
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
    return tensor.axes + tensor.reduced


def costly(node: Node) -> bool:
    """Whether an operation is worth storing rather than doing again."""
    if node.op == "pow":
        return not (isinstance(node.data, int) and 0 < node.data <= 4)
    return node.op not in CHEAP


def finished_reduction(tensor: Definition) -> Node | None:
    """The read of the one reduction that an elementwise definition finishes with cheap work at the same place."""
    if tensor.kind != "formula" or tensor.reduced or any(costly(n) and n.free for n in postorder([tensor.formula])):
        return None
    found = [
        n
        for n in postorder([tensor.formula])
        if n.op == "read" and target(n).reduced and set(n.args) == set(tensor.axes)
    ]
    whole = [n for n in found if len(n.args) == len(tensor.axes)]
    return whole[0] if len(found) == len(whole) == 1 and scatter_axis(target(whole[0])) is None else None


def users_of(outputs: Iterable[Definition]) -> Counter[Definition]:
    users: Counter[Definition] = Counter(outputs)
    for tensor in definitions(users):
        users.update(depends_on(tensor))
    return users


# ------------------------------------------------------------------------------------------------ groups


def grouped(outputs: list[Definition]) -> Iterable[Group]:
    """List scheduling: what is ready and runs over the same indices shares one group."""
    finishes = _finishes(outputs)
    hidden = {finish: source for source, finish in finishes.items()}
    pending = [t for t in definitions(outputs) if t.kind != "input" and t not in hidden]
    finished: set[Definition] = set()
    while pending:
        group = _next_group(pending, finished, finishes)
        finished.update(group.results)
        chosen = set(group.members)
        pending = [t for t in pending if t not in chosen]
        yield group


def _finishes(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Reduction → the elementwise definition that is computed from it in registers."""
    users = users_of(outputs)
    found: dict[Definition, Definition] = {}
    for tensor in definitions(outputs):
        node = finished_reduction(tensor)
        if node is not None and node.args == tensor.axes and users[target(node)] == 1 and _single(target(node)):
            found[target(node)] = tensor
    return found


def _single(tensor: Definition) -> bool:
    """A reduction that has its loops for itself."""
    return bool(tensor.axes)


def _next_group(pending: list[Definition], finished: set[Definition], finishes: dict[Definition, Definition]) -> Group:
    def ready(tensor: Definition) -> bool:
        wanted = set(depends_on(tensor)) | (
            set(depends_on(finishes[tensor])) - {tensor} if tensor in finishes else set()
        )
        return all(d.kind == "input" or d in finished for d in wanted)

    first = next(t for t in pending if ready(t))
    if first in finishes:
        return Group((first,), domain_of(first), finishes[first])
    members = [first]
    if _joinable(first):
        inside = {first}
        for tensor in pending:
            if (
                tensor not in inside
                and tensor not in finishes
                and _joinable(tensor)
                and domain_of(tensor) == domain_of(first)
                and _fits(tensor, inside, finished)
            ):
                inside.add(tensor)
                members.append(tensor)
    return Group(tuple(members), domain_of(first) if first.kind == "formula" else ())


def _joinable(tensor: Definition) -> bool:
    """Whether other definitions may share its loops: elementwise work, and reductions over a single index to a scalar."""
    return (
        tensor.kind == "formula"
        and (not tensor.reduced or (not tensor.axes and len(tensor.reduced) == 1))
        and scatter_axis(tensor) is None
    )


def _fits(tensor: Definition, inside: set[Definition], finished: set[Definition]) -> bool:
    """Its operands are finished, or computed in the same loops at the same position."""
    for operand in depends_on(tensor):
        if operand.kind == "input" or operand in finished:
            continue
        if operand not in inside or operand.reduced:
            return False
        if any(n.op == "read" and target(n) is operand and n.args != operand.axes for n in postorder([tensor.formula])):
            return False
    return True


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
