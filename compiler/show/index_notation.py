"""Raising in index notation: elements, Sum and its relatives, KroneckerDelta; it can express every definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import sympy as sp
from sympy.matrices.expressions.matexpr import MatrixElement

from sympile.compiler import language
from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, Definition, instance
from sympile.compiler.graph.node import ONE, ZERO, Node, extent, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.language.tensor import TensorExpr
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.records import dataclass
from sympile.compiler.show.numbers import shown_size
from sympile.compiler.show.patterns import log_softmax_of, with_choices
from sympile.compiler.show.pieces import Piece
from sympile.compiler.show.ranges import ranges_of
from sympile.compiler.show.scalars import scalar
from sympile.compiler.show.symbols import Symbols, element_of

POOL = ("i", "j", "k", "l", "m", "p", "q", "r", "s", "u", "v", "w")


def _plain(binder: Any, inner: Any, limits: Sequence[tuple[Any, Any, Any]]) -> Any:
    """A Sum as it stands. SymPy draws every Piecewise to the top, out of inner sums, too, and loses their indices."""
    if not inner.has(sp.Piecewise):
        return binder(inner, *limits)
    made = sp.Expr.__new__(binder, inner, *[sp.Tuple(*limit) for limit in limits])
    made.is_commutative = True
    return made


BINDERS: Mapping[str, Callable[..., Any]] = {
    "sum": lambda inner, *limits: _plain(sp.Sum, inner, limits),
    "prod": lambda inner, *limits: _plain(sp.Product, inner, limits),
    "max": language.Maximum,
    "min": language.Minimum,
    "lse": language.LogSumExp,
}


OF_TENSORS: Mapping[str, Callable[..., Any]] = {
    "inv": language.inv,
    "det": language.det,
    "logdet": language.logdet,
    "logabsdet": lambda tensor: language.log(language.abs(language.det(tensor))),
    "solve": lambda tensor, right: language.matmul(language.inv(tensor), right),
}


class NoIndexForm(Exception):
    """A definition reads another example than its own: only the form with all examples can show it."""


@dataclass(slots=True)
class IndexNotation:
    """Raises definitions to scalar formulas in free indices."""

    scope: Scope
    symbols: Symbols
    matrix_value: Callable[[Definition], Any]  # the operand of a linear-algebra call, in matrix notation
    matrix_piece: Callable[[Node], Piece | None] | None = None  # a formula of one or two indices, in matrix notation
    explicit: bool = False  # the example index is written like any other
    names: dict[Node, Any] = field(default_factory=dict)
    active: list[Any] = field(default_factory=list)  # the names of the indices bound around the spot

    def opened(self, tensor: Definition) -> tuple[Any, list[tuple[Any, Any]]]:
        """The formula of a definition, and its free indices with their sizes, outermost first."""
        axes = [axis for axis in tensor.axes if self.explicit or axis is not EXAMPLE or not self.hides]
        limits = []
        for axis in axes:
            self._bind(axis)
            limits.append((self.names[axis], shown_size(extent(axis), self.scope.examples)))
        return self._formula(tensor, tensor.axes), limits

    def value(self, tensor: Definition) -> Any:
        """A scalar, or a comprehension that binds the free indices."""
        body, limits = self.opened(tensor)
        return language.comprehension(body, *limits) if limits else body

    @property
    def hides(self) -> bool:
        """Whether the example index is hidden in this model."""
        return self.scope.examples is None and not self.explicit

    # -------------------------------------------------------------------------------------------- definitions

    def _formula(self, tensor: Definition, at: Sequence[Node]) -> Any:
        """A definition's own formula at index expressions, whether or not it has a name."""
        if tensor.kind == "call":
            return self._called(tensor, at)
        if tensor.kind == "input":
            return self._input(tensor, at)
        _, reduced, body = instance(tensor, at)
        return self._reduced(tensor, reduced, body) if tensor.monoid else self.node(body)

    def _reduced(self, tensor: Definition, reduced: Sequence[Node], body: Node) -> Any:
        """A reduction; over the hidden example index it is a batch sum."""
        own = [r for r in reduced if extent(r) is not EXAMPLES or not self.hides]
        if len(own) < len(reduced) and (EXAMPLE in body.free or tensor.monoid != "sum" or len(reduced) - len(own) > 1):
            raise NoIndexForm
        body, ranges = ranges_of(body, str(tensor.monoid), own)
        limits = []
        for r in own:
            self._bind(r)
            first, last = ranges.get(r, (ZERO, None))
            end = shown_size(extent(r), self.scope.examples) - 1 if last is None else self.node(last)
            limits.append((self.names[r], self.node(first), end))
        inner = self.node(substitute(body, {r: EXAMPLE for r in reduced if r not in own}))
        del self.active[len(self.active) - len(own) :]
        bound = BINDERS[str(tensor.monoid)](inner, *reversed(limits)) if limits else inner
        return bound if len(own) == len(reduced) else language.batch_sum(bound)

    def _called(self, tensor: Definition, at: Sequence[Node]) -> Any:
        if tensor.batched and self.hides and at[0] is not EXAMPLE:
            raise NoIndexForm
        indices = [self.node(a) for a in at if not (a is EXAMPLE and self.hides)]
        try:
            whole = self.matrix_value(tensor)
        except NoIndexForm:
            whole = OF_TENSORS[tensor.routine](*[self._whole(operand) for operand in tensor.operands])
            return whole[tuple(indices)] if indices else whole
        if not indices:
            return whole
        row, column = (*indices, sp.S.Zero)[:2]
        if isinstance(whole, sp.MatrixExpr):  # whole[row, column] would write out an inverse, entry by entry
            return MatrixElement(whole, row, column)
        return whole[row, column]

    def _whole(self, tensor: Definition) -> Any:
        """An operand of a linear-algebra call as a tensor: by its name, or a comprehension."""
        given = self.scope.symbols[tensor.name].given if tensor.kind == "input" else self.symbols.of(tensor)
        if isinstance(given, TensorExpr) and len(given.shape) == len(tensor.axes) - (tensor.batched and self.hides):
            return given
        view = tensor.formula if tensor.kind == "formula" and tensor.monoid is None else None
        if view is not None and view.op == "read" and len(tensor.axes) == 2 and view.args == tensor.axes[::-1]:
            return self._whole(target(view)).T
        bound = len(self.active)
        whole = self.value(tensor)
        del self.active[bound:]
        return whole

    def _input(self, tensor: Definition, at: Sequence[Node]) -> Any:
        symbol = self.scope.symbols[tensor.name]
        hidden = symbol.batched and self.hides
        if hidden and at[0] is not EXAMPLE:
            raise NoIndexForm
        indices = [self.node(a) for a in (at[1:] if hidden else at)]
        if symbol.batched and not hidden and self.scope.examples is None:
            return sp.IndexedBase(tensor.name)[tuple(indices)]
        return element_of(symbol.given, [n is ONE for n in symbol.declared], indices)

    # -------------------------------------------------------------------------------------------- bodies

    def node(self, root: Node, known: Mapping[Node, Any] | None = None) -> Any:
        """A scalar graph as a SymPy expression; iterative within one definition. `known`: what some nodes are."""
        done: dict[Node, Any] = dict(known or {})
        root = root if known else with_choices(root)
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            whole = self._softmax(node) if node.op == "exp" else None
            if whole is not None:
                done[node] = whole
                continue
            missing = [] if node.op == "read" else [a for a in node.args if a not in done]
            if missing:
                stack.extend(missing)
                continue
            done[node] = self._one(node, [] if node.op == "read" else [done[a] for a in node.args])
            stack.pop()
        return done[root]

    def _one(self, node: Node, args: list[Any]) -> Any:
        if node.op == "index":
            if node not in self.names:
                raise NoIndexForm
            return self.names[node]
        if node.op == "read":
            return self._read(node)
        if node is EXAMPLES:
            return shown_size(node, self.scope.examples)
        return scalar(node, args)

    def _softmax(self, node: Node) -> Any | None:
        """exp(u - lse u) as one entry of softmax(u), where matrices express u."""
        found = log_softmax_of(node.args[0], 1) if self.matrix_piece is not None and self.hides else None
        piece = self.matrix_piece(found[0]) if found is not None and self.matrix_piece is not None else None
        if found is None or piece is None or found[1] not in piece.axes or any(a not in self.names for a in piece.axes):
            return None
        whole = language.softmax(piece.expression, axis=piece.axes.index(found[1]))
        at = [self.names[a] for a in piece.axes]
        return whole[at[0], at[1] if len(at) > 1 else 0]

    def _read(self, node: Node) -> Any:
        tensor = target(node)
        if tensor.batched and self.hides and node.args[0] is not EXAMPLE:
            raise NoIndexForm
        name = self.symbols.of(tensor)
        if name is None:
            return self._formula(tensor, node.args)
        own = node.args[1:] if tensor.batched and self.hides else node.args
        return element_of(name, self.symbols.ones(tensor), [self.node(a) for a in own])

    def _bind(self, index: Node) -> None:
        """Gives an index a name, until it is taken from the active ones."""
        self.names[index] = self._fresh()
        self.active.append(self.names[index])

    def _fresh(self) -> Any:
        """The first index name that no symbol, size or enclosing index has."""
        taken = {str(u) for u in self.active} | set(self.scope.symbols) | self.scope.sizes | self.symbols.words
        own = {str(b): b for b in self.scope.bound}
        candidates = [*POOL, *[f"i{k}" for k in range(1, 1000)]]
        word = next(c for c in candidates if c not in taken)
        return own.get(word, sp.Symbol(word))
