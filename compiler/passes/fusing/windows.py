"""Costly work in windows: f(u[i], u[i + 1]) is the same wherever it is read, at i and at i - 1, and is stored once."""

from __future__ import annotations

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, sub
from sympile.compiler.graph.definition import Definition, computed, define, define_free, read
from sympile.compiler.graph.mapping import Mapping, each_formula, redirected
from sympile.compiler.graph.node import ONE, Node, const, index, number, postorder, target
from sympile.compiler.graph.ranges import smallest
from sympile.compiler.graph.rebuild import rebuild, substitute
from sympile.compiler.passes.fusing.group import costly
from sympile.compiler.records import dataclass

Steps = dict[Node, list[tuple[int, Node]]]  # of each index what is added to it, and how long the axis is


def windows_held(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, where costly work that is read at several places side by side is a definition."""
    formulas = [tensor.formula for tensor in computed(outputs) if tensor.kind == "formula" and tensor.formula.free]
    work = {node: steps for node in postorder(formulas) if (steps := _steps_in(node)) is not None}
    if not any(number for steps in work.values() for own in steps.values() for number, _ in own):
        return {output: output for output in outputs}  # nothing is read beside its place
    places: dict[Definition, set[tuple[Node, ...]]] = {}
    for window in (_placed(node, steps) for node, steps in work.items()):
        if window is not None:
            places.setdefault(window.tensor, set()).add(_offsets(window))
    held = {tensor for tensor, found in places.items() if len(found) > 1}
    if not held:
        return {output: output for output in outputs}

    def with_reads(tensor: Definition, new: Mapping) -> Definition:
        return define(tensor.axes, tensor.reduced, tensor.monoid, _with_reads(tensor.formula, new, held))

    return each_formula(outputs, with_reads)


def _with_reads(body: Node, new: Mapping, held: set[Definition]) -> Node:
    """The body, the largest of what is held read instead."""
    done: dict[Node, Node] = {}
    stack = [body]
    while stack:
        node = stack[-1]
        window = _window_in(node)
        if node in done:
            stack.pop()
        elif window is not None and window.tensor in held:
            done[node] = _stored(redirected(node, new, {}))
        elif missing := [arg for arg in node.args if arg not in done]:
            stack.extend(missing)
        else:
            args = tuple([done[arg] for arg in node.args])
            if node.op == "read":
                done[node] = read(new[target(node)], *args)
            else:
                done[node] = node if args == node.args else rebuild(node, args)
    return done[body]


@dataclass(frozen=True, slots=True)
class Window:
    """A node as an element of a tensor of all places at which its reads stay inside."""

    tensor: Definition
    at: tuple[Node, ...]


def _stored(node: Node) -> Node:
    window = _window_in(node)
    assert window is not None, node
    return read(window.tensor, *window.at)


def _window_in(node: Node) -> Window | None:
    steps = _steps_in(node)
    return None if steps is None else _placed(node, steps)


def _offsets(window: Window) -> tuple[Node, ...]:
    """What is added to each index."""
    return tuple(sub(at, next(iter(at.free))) for at in window.at)


def _steps_in(node: Node) -> Steps | None:
    """Where costly work reads; None of other nodes, and where it is not at i + 1 and the like, or an index is used."""
    if not node.free or not costly(node):
        return None
    offsets: Steps = {}
    pending, seen = [node], set[Node]()
    while pending:
        item = pending.pop()
        if item in seen or not item.free:
            continue
        seen.add(item)
        if item.op == "index":
            return None  # its value is used
        if item.op != "read":
            pending.extend(item.args)
        elif not _add_offsets(item, offsets):
            return None
    return offsets if set(offsets) == node.free else None


def _add_offsets(item: Node, offsets: Steps) -> bool:
    """Takes a read down; False where it is not at i + 1 and the like."""
    for at, length in zip(item.args, target(item).shape, strict=True):
        form = affine(at)
        if form is None or len(form.terms) > 1 or not isinstance(form.constant, int):
            return False
        if form.terms:
            leaf, coefficient = form.terms[0]
            if leaf.op != "index" or coefficient != 1:
                return False
            offsets.setdefault(leaf, []).append((form.constant, length))
    return True


def _placed(node: Node, offsets: Steps) -> Window | None:
    moved: dict[Node, Node] = {}  # to where every place is inside
    back: dict[Node, Node] = {}
    for old, own in offsets.items():
        first = min(c for c, _ in own)
        length = _shortest([sub(whole, const(c - first)) for c, whole in own])
        if length is None:
            return None
        new = index(length)
        moved[old], back[new] = add(new, const(-first)), add(old, const(first))
    tensor, axes = define_free(list(back), (), None, substitute(node, moved))
    return Window(tensor, tuple(back[axis] for axis in axes))


def _shortest(lengths: list[Node]) -> Node | None:
    """The least of some lengths, at least 1; None where that is not known."""
    for length in lengths:
        below = smallest(sub(length, ONE))
        if below is None or below.op != "const" or number(below) < 0:
            return None
        gaps = [smallest(sub(other, length)) for other in lengths]
        if all(gap is not None and gap.op == "const" and number(gap) >= 0 for gap in gaps):
            return length
    return None
