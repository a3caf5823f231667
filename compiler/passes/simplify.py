"""Applies the rewrite table to every formula, operands first, until no row fits any more."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import field
from fractions import Fraction

from sympile.compiler.errors import ArgumentError, InternalError, did_you_mean, listed
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import (
    Definition,
    call,
    computed,
    define,
    definitions,
    elementwise,
    is_whole,
    read,
)
from sympile.compiler.graph.mapping import Mapping
from sympile.compiler.graph.node import ONE, Node, Number, const, number, postorder, target
from sympile.compiler.graph.rebuild import rebuild, substitute
from sympile.compiler.graph.reduce import reduce
from sympile.compiler.passes.simplifying.filling import Bindings, filled
from sympile.compiler.passes.simplifying.matching import Found, products, sums
from sympile.compiler.passes.simplifying.rewriting import Rewriting, recorded
from sympile.compiler.passes.simplifying.row_index import Indexed, RowIndex, by_operation
from sympile.compiler.passes.simplifying.whole import WAYS, Way, affine_maps
from sympile.compiler.records import dataclass
from sympile.compiler.rules.facts import Facts
from sympile.compiler.rules.rewrites import LEVELS, Faith, Rewrite, rows_for

Names = MutableMapping[Definition, str]

_ROUNDS = 50  # a program settles in two or three


def simplify(
    outputs: Sequence[Definition], rewrites: str = "stable", names: Names | None = None, last: bool = True
) -> tuple[Mapping, list[Rewriting]]:
    """Rewrites all formulas below the outputs by the table.

    Args:
        outputs: the tensors that are wanted.
        rewrites: "exact" (the same bits), "stable" (never less accurate), "finite" (as if every value were finite).
        names: the names of intermediate values; what one becomes gets its name.
        last: False before `derive`: leaves out rows whose result has a clumsier derivative than what stood there.

    Returns:
        What each tensor below the outputs became, and the rewrites made, each once.

    Raises:
        ArgumentError: `rewrites` is none of the three.

    Example:
        >>> from sympile.compiler.graph.arithmetic import add
        >>> from sympile.compiler.graph.rebuild import function
        >>> from sympile.compiler.graph.definition import input_tensor
        >>> z = read(input_tensor("z", ()))
        >>> naive = elementwise((), function("log", add(ONE, function("exp", z))))
        >>> new, made = simplify([naive])
        >>> print(new[naive].body, "|", made[0])
        softplus(z[]) | log(1 + exp(z)) → softplus(z): no overflow
    """
    if rewrites not in LEVELS:
        raise ArgumentError(f"rewrites={rewrites!r} is none of {listed(LEVELS)}{did_you_mean(str(rewrites), LEVELS)}")
    own = names if names is not None else {}
    became = Mapping({tensor: tensor for tensor in computed(outputs)})
    sums = any(tensor.monoid == "sum" for tensor in became)
    constants = sums and any(t.kind == "input" and t.routine == "constant" for t in definitions(outputs))
    ways = (*WAYS, affine_maps(own)) if constants else WAYS
    run = Simplifier(by_operation(rows_for(rewrites, last), own), LEVELS[rewrites], own, ways)
    before: list[list[Definition]] = []
    for _ in range(_ROUNDS):
        before.append([became[o] for o in outputs])
        new = run.round(before[-1])
        became = Mapping({old: new[now] for old, now in became.items()})
        now = [became[o] for o in outputs]
        if now in before and now == _first(before[before.index(now) :]):
            return became, list(run.made.values())
    raise InternalError("simplification does not settle; please report it with the formula")


def _first(forms: list[list[Definition]]) -> list[Definition]:
    """Of equal forms that turn into each other (names of indices decide signs, and signs the names) always the same."""
    return min(forms, key=lambda form: [tensor.key for tensor in form])


# ------------------------------------------------------------------------------------------------ the engine


@dataclass(slots=True)
class Simplifier:
    """One run: what is settled already, and what was rewritten."""

    table: RowIndex
    level: Faith
    names: Names
    ways: Sequence[Way]
    facts: Facts = field(default_factory=Facts)
    settled: set[Definition] = field(default_factory=set)  # nothing more will be rewritten in these, nor below
    loose: set[Node] = field(default_factory=set)  # nodes that read what is not settled
    made: dict[tuple[str, str], Rewriting] = field(default_factory=dict)

    def round(self, outputs: Sequence[Definition]) -> Mapping:
        """Every definition below the outputs, with simplified operands, simplified itself."""
        new = Mapping()
        done: dict[Node, Node] = {}
        self.loose.clear()
        for tensor in computed(outputs):
            now = new[tensor] = self._definition(tensor, new, done)
            if now is not tensor and tensor in self.names and now.kind != "input":
                self.names.setdefault(now, self.names[tensor])
        return new

    def _definition(self, tensor: Definition, new: Mapping, done: dict[Node, Node]) -> Definition:
        if tensor in self.settled:
            return tensor
        if tensor.kind == "call":
            return self._call(tensor, [new[o] for o in tensor.operands])
        body = self._formula(tensor.formula, new, done)
        now = _redefined(tensor, body)
        other = self._other_form(now) if self.level >= Faith.STABLE else None
        if other is not None:
            return other
        if now is tensor or now.body is body:
            self._settle(now)
        return now

    def _other_form(self, tensor: Definition) -> Definition | None:
        """The same tensor by the first way that takes all of its formula to see."""
        for way in self.ways:
            found = way.rewrite(tensor, self.names)
            if found is not None:
                self._record(way.report)
                return found
        return None

    def _call(self, tensor: Definition, operands: list[Definition]) -> Definition:
        now = call(tensor.routine, operands, tensor.shape)
        element = read(now, *now.axes)
        other = self._rewritten(element)
        if other is not element:
            return elementwise(now.axes, other)
        if all(map(self._is_settled, operands)):
            self.settled.add(now)
        return now

    def _is_settled(self, tensor: Definition) -> bool:
        return tensor.kind == "input" or tensor in self.settled

    def _settle(self, tensor: Definition) -> None:
        if tensor.body is not None and tensor.body not in self.loose:
            self.settled.add(tensor)

    def _formula(self, root: Node, new: Mapping, done: dict[Node, Node]) -> Node:
        """Operands first; most nodes stay as they are."""
        rows, loose = self.table.rows, self.loose
        for node in postorder([root], done):
            if node in done:  # as a part of what another one became
                continue
            args, now = node.args, node
            if node.op == "read" or not all([done[arg] is arg for arg in args]):
                self._change(node, {}, new, done)
                continue
            if node.op in rows:
                now = self._rewritten(node)
            if now is not node:
                self._change(node, {node: now}, new, done)
                continue
            done[node] = node
            if not loose.isdisjoint(args):
                loose.add(node)
        return done[root]

    def _change(self, root: Node, becomes: dict[Node, Node], new: Mapping, done: dict[Node, Node]) -> None:
        """Operands first; what a row makes is simplified again, its settled parts not."""
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            if node in becomes:
                if becomes[node] not in done:
                    stack.append(becomes[node])
                    continue
                done[node] = done[becomes[node]]
                continue
            missing = [arg for arg in node.args if arg not in done]
            if missing:
                stack.extend(missing)
                continue
            now = self._rebuilt(node, new, done)
            if now is node:
                now = self._rewritten(node)
            if now is node:
                done[node] = node
                self._mark(node)
            else:
                becomes[node] = now
                if now in becomes and now not in done:
                    raise InternalError(f"two rewrites undo each other at {node!r}; please report it with the formula")

    def _mark(self, node: Node) -> None:
        loose = self.loose
        if not loose.isdisjoint(node.args) or (node.op == "read" and not self._is_settled(target(node))):
            loose.add(node)

    def _rebuilt(self, node: Node, new: Mapping, done: dict[Node, Node]) -> Node:
        args = tuple([done[arg] for arg in node.args])
        if node.op == "read":
            tensor = target(node)
            now = new[tensor]
            if now not in self.names and (_is_view(now) or _is_number(now)):
                return substitute(now.formula, dict(zip(now.axes, args, strict=True)))
            return node if now is tensor and args == node.args else read(now, *args)
        return node if args == node.args else rebuild(node, args)

    def _rewritten(self, node: Node) -> Node:
        """What the first row that fits makes of a node; the node itself where none does."""
        for entry in self.table.candidates(node):
            now = self._applied(entry, node)
            if now is not node:
                return now
        return node

    def _applied(self, entry: Indexed, node: Node) -> Node:
        for found, exponent in _instances(entry, node):
            if self._allowed(entry.row, found.bound):
                part = power(filled(entry.after, found.bound), exponent)
                whole = _joined(node, mul(const(found.factor), part), found.left)
                if whole is not node:
                    self._record(recorded(entry.row, found.bound, self.names))
                    return whole
        return node

    def _allowed(self, row: Rewrite, bound: Bindings) -> bool:
        return all(guard.test(self.facts, *[filled(o, bound) for o in guard.operands]) for guard in row.requires)

    def _record(self, rewriting: Rewriting) -> None:
        self.made.setdefault((rewriting.name, rewriting.before), rewriting)


def _instances(entry: Indexed, node: Node) -> Iterable[tuple[Found, Number]]:
    """The ways in which a part of the node is an instance of the row, and the power of it that stands there."""
    matcher, pattern = entry.matcher, entry.pattern
    if pattern.op == "add":
        return ((found, 1) for found in sums(matcher, pattern, node, {}))
    if pattern.op == "mul":
        return ((found, 1) for found in products(matcher, pattern, node, {}))
    if pattern.op == "pow":
        own, unit = number(node), number(pattern)
        exponent = 1 if own == unit else Fraction(own) / unit
        if exponent.denominator != 1 or exponent < 0:
            return ()
        return ((Found(bound, 1, ONE), exponent) for bound in matcher.match(pattern.args[0], node.args[0], {}))
    return ((Found(bound, 1, ONE), 1) for bound in matcher.match(pattern, node, {}))


def _joined(node: Node, part: Node, left: Node) -> Node:
    """The part, together with what the row left of the node."""
    if node.op == "add":
        return add(part, left)
    return mul(part, left)


def _redefined(tensor: Definition, body: Node) -> Definition:
    """The definition with another body, in normal form."""
    if tensor.monoid is None:
        return elementwise(tensor.axes, body)
    if body is tensor.formula:
        return tensor
    again = reduce(tensor.monoid, tensor.reduced, body)
    if again.op == "read" and again.args == tensor.axes and is_whole(again):
        return target(again)
    return define(tensor.axes, (), None, again)


def _is_view(tensor: Definition) -> bool:
    """Another tensor with its axes in another order: as a transpose."""
    if tensor.kind != "formula" or tensor.monoid is not None or tensor.formula.op != "read":
        return False
    args = tensor.formula.args
    return len(args) == len(tensor.axes) == len(set(args)) and all(a.op == "index" for a in args)


def _is_number(tensor: Definition) -> bool:
    """One number everywhere."""
    return tensor.kind == "formula" and tensor.monoid is None and tensor.formula.op == "const"


__all__ = ["Rewriting", "simplify"]
