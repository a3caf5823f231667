"""Applies the rewrite table to every formula, operands first, until no row fits any more."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from sympile.compiler.errors import ArgumentError, InternalError, did_you_mean, listed
from sympile.compiler.graph.arithmetic import add, mul, power, rebuild, split, substitute
from sympile.compiler.graph.definition import Definition, call, define, definitions, depends_on, elementwise, read
from sympile.compiler.graph.node import ONE, Node, Number, const, target
from sympile.compiler.graph.reduce import reduce
from sympile.compiler.passes import solving
from sympile.compiler.passes.matching import Bindings, Found, Matcher, filled, holes, products, sums
from sympile.compiler.passes.rewriting import Rewriting, recorded
from sympile.compiler.rules.facts import Facts
from sympile.compiler.rules.rewrites import LEVELS, Faith, Rewrite, rows_for

Names = MutableMapping[Definition, str]

_ROUNDS = 50                                         # a program settles in two or three


def simplify(outputs: Sequence[Definition], rewrites: str = "stable", names: Names | None = None,
             last: bool = True) -> tuple[dict[Definition, Definition], list[Rewriting]]:  # fmt: skip
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
        >>> from sympile.compiler.graph.arithmetic import add, function
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
    run = Simplifier(_by_operation(rows_for(rewrites, last), own), LEVELS[rewrites], own)
    became = {tensor: tensor for tensor in definitions(outputs)}
    for _ in range(_ROUNDS):
        wanted = [became[o] for o in outputs]
        new = run.round(wanted)
        became = {old: new.get(now, now) for old, now in became.items()}
        if [became[o] for o in outputs] == wanted:
            return became, list(run.made.values())
    raise InternalError("simplification does not settle; please report it with the formula")


# ------------------------------------------------------------------------------------------------ rows by operation


@dataclass(frozen=True, slots=True)
class Indexed:
    """A row, and the operations that the operands of a node must have for it to fit."""

    row: Rewrite
    pattern: Node
    after: Node
    needs: frozenset[str]
    matcher: Matcher


_ROOT = {"raised": "pow", "over": "read", "call": "read"}


def _by_operation(rows: Iterable[Rewrite], names: Names) -> dict[str, list[Indexed]]:
    opened: dict[Node, Node] = {}
    table: dict[str, list[Indexed]] = {}
    for row in rows:
        scale, pattern = split(row.before)
        if pattern.op != "add":                      # a sum is met up to a factor anyway
            scale, pattern = 1, row.before
        after = mul(const(Fraction(1) / scale), row.after)
        needs = frozenset(_needed(arg) for arg in pattern.args) - {""}
        entry = Indexed(row, pattern, after, needs, Matcher(row.through, names, opened))
        table.setdefault(_ROOT.get(pattern.op, pattern.op), []).append(entry)
    return table


def _needed(operand: Node) -> str:
    """The operation that a pattern's operand asks for; nothing of a hole, or of a multiple of one."""
    if operand.op in ("pow", "raised") and operand.args[0].op not in ("hole", "pow"):
        operand = operand.args[0]
    rest = split(operand)[1] if operand.op == "mul" else operand
    plain = {"over": "reduction", "each": "add", "raised": "pow"}
    return "" if rest.op in ("hole", "mul", "gram", "pow") or not holes(rest) and rest.op != "const" else plain.get(rest.op, rest.op)


def _present(node: Node) -> set[str]:
    """The operations of a node's operands, without coefficients and exponents; those behind reads too."""
    present = set()
    for arg in node.args:
        inner = split(arg)[1] if arg.op == "mul" else arg
        inner = inner.args[0] if inner.op == "pow" else inner
        present.update((arg.op, inner.op))
        if inner.op == "read":
            present.update(_behind(target(inner)))
    return present


def _behind(tensor: Definition) -> tuple[str, ...]:
    if tensor.kind != "formula":
        return (tensor.kind,)
    return ("reduction",) if tensor.monoid is not None else (tensor.formula.op, "reduction")


# ------------------------------------------------------------------------------------------------ the engine


@dataclass(slots=True)
class Simplifier:
    """One run: what is settled already, and what was rewritten."""

    table: dict[str, list[Indexed]]
    level: Faith
    names: Names
    facts: Facts = field(default_factory=Facts)
    settled: set[Definition] = field(default_factory=set)
    made: dict[tuple[str, str], Rewriting] = field(default_factory=dict)

    def round(self, outputs: Sequence[Definition]) -> dict[Definition, Definition]:
        """Every definition below the outputs, with simplified operands, simplified itself."""
        new: dict[Definition, Definition] = {}
        done: dict[Node, Node] = {}
        for tensor in definitions(outputs):
            now = new[tensor] = self._definition(tensor, new, done)
            if now is not tensor and tensor in self.names and now.kind != "input":
                self.names.setdefault(now, self.names[tensor])
        return new

    def _definition(self, tensor: Definition, new: dict[Definition, Definition], done: dict[Node, Node]) -> Definition:
        if tensor.kind == "input":
            return tensor
        if tensor.kind == "call":
            return call(tensor.routine, [new[o] for o in tensor.operands], tensor.shape)
        if tensor in self.settled and all(new[t] is t for t in depends_on(tensor)):
            return tensor
        body = self._formula(tensor.formula, new, done)
        now = _redefined(tensor, body)
        by_solve = solving.solved(now) if self.level >= Faith.STABLE else None
        if by_solve is not None:
            self._record(Rewriting(solving.NAME, solving.BEFORE, solving.AFTER, solving.WHY))
            return by_solve
        if now is tensor:
            self.settled.add(tensor)
        return now

    def _formula(self, root: Node, new: dict[Definition, Definition], done: dict[Node, Node]) -> Node:
        """Operands first; what a row makes is simplified again, its settled parts not."""
        becomes: dict[Node, Node] = {}
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
            else:
                becomes[node] = now
                if now in becomes and now not in done:
                    raise InternalError(f"two rewrites undo each other at {node!r}; please report it with the formula")
        return done[root]

    def _rebuilt(self, node: Node, new: dict[Definition, Definition], done: dict[Node, Node]) -> Node:
        args = tuple([done[arg] for arg in node.args])
        if node.op == "read":
            tensor = target(node)
            now = new.get(tensor, tensor)
            if now not in self.names and _is_view(now):
                return substitute(now.formula, dict(zip(now.axes, args, strict=True)))
            return node if now is tensor and args == node.args else read(now, *args)
        return node if args == node.args else rebuild(node, args)

    def _rewritten(self, node: Node) -> Node:
        """What the first row that fits makes of a node; the node itself where none does."""
        rows = self.table.get(node.op)
        if not rows:
            return node
        present = _present(node) if node.op != "read" else None
        for entry in rows:
            if present is None or entry.needs <= present:
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
    """The ways in which a part of the node is an instance of the row: the part, and the power of it that stands there."""
    matcher, pattern = entry.matcher, entry.pattern
    if pattern.op == "add":
        return ((found, 1) for found in sums(matcher, pattern, node, {}))
    if pattern.op == "mul":
        return ((found, 1) for found in products(matcher, pattern, node, {}))
    if pattern.op == "pow":
        exponent = Fraction(node.data) / pattern.data  # type: ignore[arg-type, operator]
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
    if again.op == "read" and again.args == tensor.axes:
        return target(again)
    return define(tensor.axes, (), None, again)


def _is_view(tensor: Definition) -> bool:
    """Another tensor with its axes in another order: as a transpose."""
    if tensor.kind != "formula" or tensor.monoid is not None or tensor.formula.op != "read":
        return False
    args = tensor.formula.args
    return len(args) == len(tensor.axes) == len(set(args)) and all(a.op == "index" for a in args)


__all__ = ["Rewriting", "simplify"]
