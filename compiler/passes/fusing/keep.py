"""Sums and products that are stored before anything is inlined, since who comes later would compute them again.

In a recurrence each state is read by gates of the next step, by the state after it, and by its slopes. Inlined, every
state would be written out down to the first one wherever it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import split
from sympile.compiler.graph.conditions import unguarded
from sympile.compiler.graph.definition import Definition, computed
from sympile.compiler.graph.inline import inlined
from sympile.compiler.graph.node import Node, Number, postorder, reads, target
from sympile.compiler.passes.fusing.compared import compared

FEW = 3  # reads from which one store and one read are less than to read all of them again


def kept(outputs: Sequence[Definition]) -> set[Definition]:
    """Elementwise definitions of many reads, wanted where they are no longer in registers.

    That is where a reduction has been waited for since, or in a reduction over more indices: it reads them often.
    """
    order = computed(outputs)
    users: dict[Definition, list[Definition]] = {}
    ready: dict[Definition, int] = {}  # how many reductions, one after the other, must be done before
    for tensor in order:
        operands = tensor.below
        begun = max([_done(operand, ready) for operand in operands], default=0)
        ready[tensor] = begun
        for operand in operands:
            users.setdefault(operand, []).append(tensor)
    many = _of_many_reads(order)
    wanted: set[Definition] = set()
    for tensor in reversed(order):
        if any(_later(user, tensor, ready) or (user in wanted and user not in many) for user in users.get(tensor, ())):
            wanted.add(tensor)
    return (wanted & many) | in_windows(order) | shared_numbers(order) | compared(order)


def in_windows(outputs: Sequence[Definition]) -> set[Definition]:
    """Those that one formula reads at several places side by side, and that read several themselves.

    Inlined, a stencil after a stencil would be computed at each of the places again, and so on.
    """
    found: set[Definition] = set()
    for user in computed(outputs):
        if user.kind == "formula" and any(map(_is_elementwise, user.below)):
            places: dict[tuple[Definition, object], set[tuple[Number, ...]]] = {}
            for node in reads(user.formula):
                pattern, shifts = _placed(node)
                places.setdefault((target(node), pattern), set()).add(shifts)
            found.update(tensor for (tensor, _), at in places.items() if len(at) > 1)
    return {tensor for tensor in found if _is_elementwise(tensor) and len(set(reads(tensor.formula))) > 1}


def shared_numbers(outputs: Sequence[Definition]) -> set[Definition]:
    """Sums of numbers that several formulas read, one of them as a term.

    Inlined, the sum would be flattened into that one, with the terms of all steps of a recurrence before it (up to
    thirty-two), and again into every other sum that has it with another factor.
    """
    order = computed(outputs)
    users = Counter(operand for tensor in order for operand in tensor.below)
    found = {t for t in order if users[t] > 1 and not t.axes and _is_elementwise(t) and _adds_numbers(t.formula)}
    if not found:
        return found
    nodes = postorder([tensor.formula for tensor in order if tensor.kind == "formula"])
    terms = [split(term)[1] for node in nodes if node.op == "add" for term in node.args]
    return found & {target(term) for term in terms if term.op == "read"}


def _adds_numbers(body: Node) -> bool:
    """Whether it is a sum, and no index stands in it."""
    return split(body)[1].op == "add" and not any(node.op == "index" for node in postorder([body]))


def inlined_around_windows(outputs: Sequence[Definition], numbers: bool = False) -> dict[Definition, Definition]:
    """Every tensor below the outputs, all elementwise definitions inlined but those in windows, and shared numbers."""
    keep = in_windows(outputs) | (shared_numbers(outputs) if numbers else set())
    return inlined(outputs, keep.__contains__)


def _placed(node: Node) -> tuple[tuple[object, ...], tuple[Number, ...]]:
    """The positions of a read but for what is added to indices in them, and that."""
    forms = [affine(at) for at in node.args]
    pattern = [frozenset(f.terms) if f is not None and f.terms else at for f, at in zip(forms, node.args, strict=True)]
    return tuple(pattern), tuple(form.constant for form in forms if form is not None and form.terms)


def _done(tensor: Definition, ready: Mapping[Definition, int]) -> int:
    """When a tensor is there."""
    return ready[tensor] + (not _is_elementwise(tensor))


def _is_elementwise(tensor: Definition) -> bool:
    return tensor.kind == "formula" and tensor.monoid is None


def _later(user: Definition, tensor: Definition, ready: Mapping[Definition, int]) -> bool:
    """Whether a user cannot take the value from the registers in which it was computed."""
    if ready[user] > _done(tensor, ready) or user.kind == "call":
        return True
    return len(user.axes) + len(user.reduced) > len(tensor.axes) and bool(user.reduced)


def _of_many_reads(order: Sequence[Definition]) -> set[Definition]:
    """Those whose terms, or factors, have all the axes, and that read many tensors; one that is found counts once.

    A single number is none of them, and thousands of numbers may share one large formula, so they are not looked at.
    """
    found: set[Definition] = set()
    below: dict[Definition, frozenset[Definition]] = {}
    for tensor in order:
        if tensor.axes and _is_elementwise(tensor):
            below[tensor] = own = _whole_reads(tensor, below, found)
            if len(own) >= FEW and _spans_everywhere(tensor):
                found.add(tensor)
    return found


def _whole_reads(
    tensor: Definition, below: Mapping[Definition, frozenset[Definition]], found: set[Definition]
) -> frozenset[Definition]:
    """The tensors that are read at each place, those that elementwise ones would be inlined to."""
    axes = set(tensor.axes)
    own: set[Definition] = set()
    for node in postorder([tensor.formula]):
        if node.op == "read" and node.free >= axes:
            operand = target(node)
            own |= {operand} if operand in found else below.get(operand, {operand})
    return frozenset(own)


def _spans_everywhere(tensor: Definition) -> bool:
    """Nothing can be moved out of a reduction over it, nor does a bracket choose places."""
    _, rest = split(unguarded(tensor.formula))
    axes = set(tensor.axes)
    return rest.op in ("add", "mul") and all(_spans(part, axes) for part in rest.args)


def _spans(part: Node, axes: set[Node]) -> bool:
    return part.op == "const" or (part.free >= axes and all(node.op != "eq" for node in postorder([part])))
