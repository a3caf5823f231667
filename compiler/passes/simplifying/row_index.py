"""The rows by the operation at their root, each with what a node's operands must be for it to fit: a quick no."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from fractions import Fraction
from functools import cache

from sympile.compiler.graph.arithmetic import mul, split
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, Number, const, target, without_coefficient
from sympile.compiler.passes.simplifying.filling import holes
from sympile.compiler.passes.simplifying.matching import OPERATION, Matcher
from sympile.compiler.records import dataclass
from sympile.compiler.rules.rewrites import Rewrite, Through

_ROOT: Mapping[str, str] = {**OPERATION, "over": "read", "call": "read"}
_WRAPPED = frozenset({"mul", "pow"})
_LEAF = frozenset({"hole", "gram", ""})


@dataclass(frozen=True, slots=True)
class Indexed:
    """A row, made ready to be looked for."""

    row: Rewrite
    pattern: Node  # row.before, a sum without its factor
    after: Node
    needs: frozenset[str]  # operations among a node's operands
    inner: tuple[tuple[str, frozenset[str]], ...]  # (operation, operations among the operands of one such operand)
    matcher: Matcher


@dataclass(slots=True)
class RowIndex:
    """Finds the rows that may fit a node; what it finds for one node serves all that look alike from above.

    Rows are made ready when the first node of their operation is met: few programs have many operations.
    """

    rows: dict[str, list[Rewrite]]
    names: Mapping[Definition, str]
    opened: dict[Node, Node] = field(default_factory=dict)
    ready: dict[str, list[Indexed]] = field(default_factory=dict)
    present: dict[Node, frozenset[str]] = field(default_factory=dict)
    alike: dict[tuple[str, frozenset[str]], tuple[Indexed, ...]] = field(default_factory=dict)

    def candidates(self, node: Node) -> Iterable[Indexed]:
        """The rows, in their order, that are not ruled out by the operations of operands and theirs."""
        if node.op not in self.rows or (node.op == "read" and target(node).kind == "input"):
            return ()
        rows = self.ready.get(node.op) or self._made_ready(node.op)
        if not node.below and not self._fitting(rows, node.op, node.ops):  # nothing stands behind reads
            return ()
        fitting = self._fitting(rows, node.op, _present(node, self.present))
        return [row for row in fitting if not row.inner or self._inner_fits(row, node)] if fitting else ()

    def _made_ready(self, op: str) -> list[Indexed]:
        self.ready[op] = [_indexed(row, Matcher(row.through, self.names, self.opened)) for row in self.rows[op]]
        return self.ready[op]

    def _fitting(self, rows: list[Indexed], op: str, there: frozenset[str]) -> tuple[Indexed, ...]:
        """The rows that need no more operations than these."""
        fitting = self.alike.get((op, there))
        if fitting is None:
            fitting = self.alike[op, there] = tuple(row for row in rows if row.needs <= there)
        return fitting

    def _inner_fits(self, row: Indexed, node: Node) -> bool:
        return all([_has(node, op, needs, self.present) for op, needs in row.inner])


def by_operation(rows: Iterable[Rewrite], names: Mapping[Definition, str]) -> RowIndex:
    """The rows in their order, under the operation of the nodes that they match."""
    table: dict[str, list[Rewrite]] = {}
    for row in rows:
        op = _unscaled(row.before)[1].op
        table.setdefault(_ROOT.get(op, op), []).append(row)
    return RowIndex(table, names)


def _unscaled(before: Node) -> tuple[Number, Node]:
    """What a row looks for: a sum without its factor, which comes first."""
    scale, pattern = split(before) if before.op == "mul" else (1, before)
    return (scale, pattern) if pattern.op == "add" else (1, before)


def _indexed(row: Rewrite, matcher: Matcher) -> Indexed:
    return Indexed(row, *_sought(row), matcher)


@cache
def _sought(row: Rewrite) -> tuple[Node, Node, frozenset[str], tuple[tuple[str, frozenset[str]], ...]]:
    """What is the same in every run: the pattern, what it becomes, what it needs."""
    scale, pattern = _unscaled(row.before)
    after = row.after if scale == 1 else mul(const(Fraction(1) / scale), row.after)
    if pattern.op == "call":
        return pattern, after, frozenset(), ()
    inner = []
    if row.through is Through.NOTHING:
        for operand in map(_inside, pattern.args):
            needs = _needs(operand)
            if needs and operand.op not in ("over", "each", "mul"):
                inner.append((operand.op, needs))
    return pattern, after, _needs(pattern), tuple(inner)


def _inside(operand: Node) -> Node:
    """An operand without its coefficient and its exponent."""
    rest = without_coefficient(operand) if operand.op == "mul" and operand.args[0].op == "const" else operand
    return rest.args[0] if rest.op in ("pow", "raised") else rest


def _needs(pattern: Node) -> frozenset[str]:
    return frozenset(_asked(_inside(operand)) for operand in pattern.args) - _LEAF


def _asked(operand: Node) -> str:
    """The operation that an operand of a pattern asks for."""
    if operand.op == "mul" or (not holes(operand) and operand.op != "const"):
        return ""
    return {"over": "reduction", "each": "add"}.get(operand.op, operand.op)


def _present(node: Node, known: dict[Node, frozenset[str]]) -> frozenset[str]:
    """The operations of a node's operands, without coefficients and exponents, and those behind reads."""
    found = known.get(node)
    if found is None:
        present = {arg.op for arg in node.args}
        for arg in node.args:
            inner = _inside(arg) if arg.op in _WRAPPED else arg
            if inner.op == "read":
                present.update(_behind(target(inner)))
            if inner is not arg:
                present.add(inner.op)
        found = known[node] = frozenset(present)
    return found


def _behind(tensor: Definition) -> tuple[str, ...]:
    if tensor.kind != "formula":
        return (tensor.kind,)
    return ("reduction",) if tensor.monoid is not None else (tensor.formula.op, "reduction")


def _has(node: Node, op: str, needs: frozenset[str], known: dict[Node, frozenset[str]]) -> bool:
    """Whether some operand has this operation, on operands with those that it needs."""
    for arg in node.args:
        inner = _inside(arg) if arg.op in _WRAPPED else arg
        if inner.op == op and needs <= _present(inner, known):
            return True
    return False
