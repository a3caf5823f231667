"""Inlining of elementwise definitions: the way to a program's core, and the first step of fusion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sympile.compiler.graph.arithmetic import add, factors_of, mul, scaled, split, terms_of
from sympile.compiler.graph.conditions import conditions_of, negation, when
from sympile.compiler.graph.definition import Definition, define, elementwise, is_whole, read
from sympile.compiler.graph.flat import flat_sum
from sympile.compiler.graph.inverses import with_inverses
from sympile.compiler.graph.mapping import each_formula
from sympile.compiler.graph.node import ONE, Node, make, postorder, target
from sympile.compiler.graph.rebuild import rebuild, substitute, transform
from sympile.compiler.graph.reduce import reduce


def inlined(
    outputs: Sequence[Definition], keep: Callable[[Definition], bool] = lambda tensor: False
) -> dict[Definition, Definition]:
    """Every tensor below the outputs, the elementwise definitions that it reads inlined, save those to keep."""
    done: dict[Node, Node] = {}
    return each_formula(outputs, lambda tensor, new: _redefined(tensor, rewritten(tensor.formula, new, keep, done)))


def _redefined(tensor: Definition, body: Node) -> Definition:
    if body is tensor.formula:
        return tensor
    if tensor.monoid is None:
        return elementwise(tensor.axes, body)
    again = reduce(tensor.monoid, tensor.reduced, body)
    if again.op == "read" and again.args == tensor.axes and is_whole(again):
        return target(again)
    return define(tensor.axes, (), None, again)


def rewritten(
    body: Node,
    new: dict[Definition, Definition],
    keep: Callable[[Definition], bool],
    done: dict[Node, Node] | None = None,
) -> Node:
    """The body with its reads redirected to new tensors, and inlined where those are elementwise and not kept.

    `done` may hold what has been rewritten before: bodies share most of their nodes.
    """
    if not any(new.get(t, t) is not t or _is_opened(t, new, keep) for t in body.below):
        return body
    done = {} if done is None else done
    for node in postorder([body], done):
        args = tuple([done[a] for a in node.args])
        if node.op == "read":
            tensor = target(node)
            now = new.get(tensor, tensor)
            if _is_opened(tensor, new, keep):
                done[node] = substitute(now.formula, dict(zip(now.axes, args, strict=True)))
            else:
                done[node] = read(now, *args)
        else:
            done[node] = node if args == node.args else rebuild(node, args)
    return done[body]


def _is_opened(
    tensor: Definition, new: dict[Definition, Definition], keep: Callable[[Definition], bool]
) -> bool:
    now = new.get(tensor, tensor)
    return now.kind == "formula" and now.monoid is None and not keep(tensor)


def core(outputs: Iterable[Definition]) -> tuple[Definition, ...]:
    """The inlined normal form, sums flat, systems solved by inverses: programs mean the same if their cores are one."""
    wanted = with_inverses(list(outputs))
    for _ in range(_MOST_ROUNDS):
        new = inlined(wanted)
        now = _flattened([new[o] for o in wanted])
        if now == wanted:
            break
        wanted = now
    return tuple(wanted)


_MOST_ROUNDS = 100  # a normal form that is none would turn in circles


def _flattened(outputs: Sequence[Definition]) -> list[Definition]:
    """Every sum in its flat form, elementwise where that is a product of sums; choices as sums of guards."""
    done: dict[Node, Node] = {}
    spelled: dict[Node, Node] = {}

    def flat(tensor: Definition, new: dict[Definition, Definition]) -> Definition:
        (body,) = transform([rewritten(tensor.formula, new, lambda t: False, done)], _guarded, spelled)
        if tensor.monoid == "sum":
            return elementwise(tensor.axes, flat_sum(tensor.reduced, body))
        if tensor.monoid is None:
            return elementwise(tensor.axes, body)
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    new = each_formula(outputs, flat)
    return [new[o] for o in outputs]


def _guarded(node: Node) -> Node:
    """a if c else b as a where c holds plus b where it does not; single entries multiplied out; no |-a|."""
    if node.op == "abs":
        coefficient, rest = split(node.args[0])
        return make("abs", scaled(-coefficient, rest)) if rest is not ONE and coefficient < 0 else node
    if node.op == "select":
        condition, yes, no = node.args
        return add(_guarded(when(yes, condition)), _guarded(when(no, negation(condition))))
    if node.op == "when":
        value, *conditions = node.args
        terms = _multiplied_out(value) if any(_is_place(c) for c in conditions) else terms_of(value)
        return add(*[when(term, *conditions) for term in terms]) if len(terms) > 1 else node
    listed = node.op == "mul" and any(_lists_entries(factor) for factor in node.args)
    return add(*_multiplied_out(node)) if listed else node


def _lists_entries(factor: Node) -> bool:
    """Whether a sum has entries at single positions, as matrices of numbers have."""
    return factor.op == "add" and any(_is_place(c) for term in factor.args for c in conditions_of(term))


def _is_place(condition: Node) -> bool:
    """[i == 3]"""
    return condition.op == "eq" and any(side.op == "const" for side in condition.args)


def _multiplied_out(value: Node) -> list[Node]:
    """The terms of a product of sums."""
    terms = [ONE]
    for factor in factors_of(value):
        terms = [mul(term, part) for term in terms for part in terms_of(factor)]
    return [part for term in terms for part in ([term] if term.op != "mul" or term is value else _again(term))]


def _again(term: Node) -> list[Node]:
    """A product may have become one of sums again."""
    return _multiplied_out(term) if any(f.op == "add" for f in term.args) else [term]
