"""A scalar formula step by step, forward and backward, as in a lecture on automatic differentiation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from sympile.compiler.errors import NonScalarLoss
from sympile.compiler.graph.arithmetic import add, mul, split
from sympile.compiler.graph.definition import definitions, input_tensor, read
from sympile.compiler.graph.inline import core
from sympile.compiler.graph.node import Node, const, target
from sympile.compiler.graph.rebuild import rebuild
from sympile.compiler.passes.derive import partials
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.records import dataclass
from sympile.compiler.show.index_notation import IndexNotation
from sympile.compiler.show.latex import latex
from sympile.compiler.show.patterns import with_choices
from sympile.compiler.show.symbols import Symbols
from sympile.compiler.show.text import text


@dataclass(frozen=True, slots=True)
class Step:
    """One line: a name and its formula over earlier names."""

    name: str
    formula: Any


@dataclass(frozen=True, slots=True)
class Trace:
    """The forward steps in order, and the adjoints in the order of the backward sweep."""

    forward: tuple[Step, ...]
    adjoints: tuple[Step, ...]

    def __str__(self) -> str:
        width = max(len(step.name) for step in (*self.forward, *self.adjoints))
        return "\n".join(f"{step.name:<{width}} = {text(step.formula)}" for step in (*self.forward, *self.adjoints))

    def _repr_latex_(self) -> str:
        lines = [f"{latex(sp.Symbol(step.name))} &= {latex(step.formula)}" for step in self.forward]
        lines += [rf"\bar{{{latex(sp.Symbol(step.name[1:]))}}} &= {_barred(step.formula)}" for step in self.adjoints]
        return "$$\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}$$"


def _barred(formula: Any) -> str:
    """dv3 as v_3 with a bar."""
    bars = {
        s: sp.Symbol(rf"\bar{{{latex(sp.Symbol(s.name[1:]))}}}")
        for s in formula.free_symbols
        if s.name.startswith("dv")
    }
    return latex(formula.xreplace(bars))


def trace(expr: Any) -> Trace:
    """The steps v1, v2, ... of a scalar formula, inputs first, and the adjoints dv1, dv2, ... backwards.

    Args:
        expr: a formula of scalar symbols.

    Returns:
        A trace, which prints as text and in LaTeX.

    Raises:
        NonScalarLoss: the formula is no scalar, or uses matrices or indexed values.

    Example:
        >>> x, y = sp.symbols("x y")
        >>> print(trace(sp.sin(x*y)))
        v1  = x
        v2  = y
        v3  = v1*v2
        v4  = sin(v3)
        dv4 = 1
        dv3 = dv4*cos(v3)
        dv2 = dv3*v1
        dv1 = dv3*v2
    """
    scope = Scope(batched=False)
    output = read_all({"formula": expr}, scope)["formula"].tensor
    (whole,) = core([output])
    if whole.axes or any(t.axes or t.kind == "call" or t.monoid for t in definitions([whole])):
        raise NonScalarLoss(f"a trace is of a formula of scalar symbols; {expr} is no such formula")
    root = read(whole) if whole.kind == "input" else whole.formula
    return _Tracer(scope).run(with_choices(root))


class _Tracer:
    """Numbers the steps of one formula."""

    __slots__ = ("names", "notation", "steps")

    def __init__(self, scope: Scope) -> None:
        self.names: dict[Node, str] = {}
        self.steps: dict[Node, Node] = {}  # a node → its formula over the steps before it
        self.notation = IndexNotation(scope, Symbols({}, "index", True), lambda tensor: tensor)
        for k, name in enumerate(sorted(scope.symbols), start=1):
            self.names[read(scope.symbols[name].tensor)] = f"v{k}"

    def run(self, root: Node) -> Trace:
        for node in self._ordered(root):
            if node not in self.names:
                local = self._local(node)
                self.names[node] = f"v{len(self.names) + 1}"
                self.steps[node] = local
        forward = [Step(name, self._shown(self.steps.get(node, node))) for node, name in self.names.items()]
        return Trace(tuple(forward), self._adjoints())

    def _ordered(self, root: Node) -> list[Node]:
        """Operands before users, those of the first inputs first."""
        first: dict[Node, int] = {}
        order: dict[Node, None] = {}
        stack = [(root, False)]
        ranks = {node: k for k, node in enumerate(self.names)}
        for node in _postorder(root):
            below = [first[o] for o in operands(node)]
            first[node] = ranks.get(node, min(below, default=len(ranks)))
        while stack:
            node, done = stack.pop()
            if done:
                order[node] = None
            elif node not in order:
                stack.append((node, True))
                stack.extend((o, False) for o in sorted(operands(node), key=lambda o: -first[o]) if o not in order)
        return list(order)

    def _local(self, node: Node) -> Node:
        """The operation over reads of the steps below."""
        stand_in = {o: read(input_tensor(self.names[o], ())) for o in operands(node)}
        if node.op == "add":
            return add(*[mul(const(c), stand_in.get(rest, rest)) for c, rest in map(split, node.args)])
        return rebuild(node, tuple(stand_in.get(a, a) for a in node.args))

    def _shown(self, node: Node) -> Any:
        """A formula over steps and inputs, whose names are their symbols."""
        known = {n: _symbol(n, self.notation.scope) for n in _postorder(node) if n.op == "read"}
        return self.notation.node(node, known)

    def _adjoints(self) -> tuple[Step, ...]:
        """dv of the last step is 1; of others, the sum over users of their adjoint times the partial derivative."""
        parts: dict[str, list[Any]] = {}
        shown: list[Step] = []
        for node, name in reversed(self.names.items()):
            formula = sp.Add(*parts.get(name, [sp.S.One if not shown else sp.S.Zero]))
            shown.append(Step(f"d{name}", formula))
            if node in self.steps:
                for read_, partial in self._partials(self.steps[node], name).items():
                    own = sp.Mul(sp.Symbol(f"d{name}"), self._shown(add(*partial)))
                    parts.setdefault(target(read_).name, []).append(own)
        return tuple(shown)

    def _partials(self, local: Node, name: str) -> Mapping[Node, list[Node]]:
        return partials(local, lambda tensor: True, read(input_tensor(name, ())))


def _symbol(node: Node, scope: Scope) -> Any:
    name = target(node).name
    own = scope.symbols.get(name)
    return own.given if own is not None and own.tensor is target(node) else sp.Symbol(name)


def operands(node: Node) -> tuple[Node, ...]:
    """The operands that are steps of their own: no constants; in a sum, a term without its coefficient."""
    if node.op == "read":
        return ()
    inner = [split(a)[1] for a in node.args] if node.op == "add" else list(node.args)
    return tuple(dict.fromkeys(a for a in inner if a.op not in ("const", "constant")))


def _postorder(root: Node) -> list[Node]:
    seen: dict[Node, None] = {}
    stack = [(root, False)]
    entered: set[Node] = set()
    while stack:
        node, done = stack.pop()
        if done:
            seen[node] = None
        elif node not in entered:
            entered.add(node)
            stack.append((node, True))
            stack.extend((o, False) for o in operands(node))
    return list(seen)
