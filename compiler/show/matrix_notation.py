"""Raising in matrix notation: products in chain order, transposes, Hadamard products, functions of each entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import sympy as sp
from sympy.matrices.expressions.matexpr import MatrixElement

from sympile.compiler import language
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import factors_of
from sympile.compiler.graph.conditions import conditions_of, unguarded
from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, Definition, definitions
from sympile.compiler.graph.node import ONE, Node, extent, index_name, number, target
from sympile.compiler.graph.ranges import stays_inside
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.records import dataclass
from sympile.compiler.show.elementwise import elementwise_form
from sympile.compiler.show.network import Network, NoMatrixForm
from sympile.compiler.show.numbers import shown_size
from sympile.compiler.show.patterns import LOG_SOFTMAX, SOFTMAX, normalized
from sympile.compiler.show.pieces import Piece, broadcast
from sympile.compiler.show.products import hadamard, plus, times, transposed
from sympile.compiler.show.scalars import batch_means, indicator, product
from sympile.compiler.show.symbols import Symbols

OVER_AXES: Mapping[str, Callable[..., Any]] = {
    "lse": language.logsumexp,
    "max": language.max,
    "min": language.min,
    "prod": language.prod,
}


@dataclass(slots=True)
class MatrixNotation:
    """Raises definitions of rank 0 to 2 (beside the hidden example axis) to SymPy matrices."""

    scope: Scope
    symbols: Symbols
    pieces: dict[Definition, Piece | NoMatrixForm] = field(default_factory=dict)

    @property
    def hides(self) -> bool:
        return self.scope.examples is None

    def value(self, tensor: Definition) -> Any:
        """The formula of a definition: a column, a matrix or a scalar; raises NoMatrixForm."""
        for below in definitions([tensor]):
            if below is not tensor:
                self._remember(below)
        piece = self._defined(tensor)
        return broadcast(piece, self._visible(tensor.axes), self.size)

    def _remember(self, tensor: Definition) -> None:
        if tensor not in self.pieces:
            try:
                self.pieces[tensor] = self._named(tensor) or self._defined(tensor)
            except NoMatrixForm as problem:
                self.pieces[tensor] = problem

    def _visible(self, axes: Sequence[Node]) -> tuple[Node, ...]:
        visible = tuple(axis for axis in axes if not (axis is EXAMPLE and self.hides))
        if len(visible) > 2:
            raise NoMatrixForm
        return visible

    def size(self, index: Node) -> Any:
        if index.op != "index":  # one row or column of a matrix: a place, not an axis
            raise NoMatrixForm
        return shown_size(extent(index), self.scope.examples)

    # -------------------------------------------------------------------------------------------- definitions

    def _named(self, tensor: Definition) -> Piece | None:
        symbol = self.symbols.of(tensor)
        if symbol is None:
            return None
        axes = self._visible(tensor.axes)
        if axes and not getattr(symbol, "is_Matrix", False):
            raise NoMatrixForm
        return Piece(symbol, axes)

    def _defined(self, tensor: Definition) -> Piece:
        axes = self._visible(tensor.axes)
        if tensor.kind == "input":
            return Piece(self._input(tensor), axes)
        if tensor.kind == "call":
            return Piece(self._call(tensor, axes), axes)
        if tensor.monoid == "sum":
            return self._sum(tensor, axes)
        if tensor.monoid is not None:
            return self._reduction(tensor, axes)
        return self.piece(tensor.formula)

    def _input(self, tensor: Definition) -> Any:
        symbol = self.scope.symbols[tensor.name]
        given, ones = symbol.given, [n is ONE for n in symbol.declared]
        if not getattr(given, "is_Matrix", False):
            if ones:
                raise NoMatrixForm
            return given
        if all(ones):
            return given[0, 0]
        return transposed(given) if ones[0] else given

    def _call(self, tensor: Definition, axes: Sequence[Node]) -> Any:
        operands = [broadcast(self._known(o), self._visible(o.axes), self.size) for o in tensor.operands]
        if len(self._visible(tensor.operands[0].axes)) != 2:
            raise NoMatrixForm
        return _CALLS[tensor.routine](*operands)

    def _known(self, tensor: Definition) -> Piece:
        self._remember(tensor)
        piece = self.pieces[tensor]
        if isinstance(piece, NoMatrixForm):
            raise piece
        return piece

    def _sum(self, tensor: Definition, axes: Sequence[Node]) -> Piece:
        """A sum of products: a network of matrices; over the hidden example index a batch sum."""
        batch = [r for r in tensor.reduced if extent(r) is EXAMPLES and self.hides]
        if batch and (len(batch) > 1 or tensor.batched):
            raise NoMatrixForm
        reduced = [r for r in tensor.reduced if r not in batch]
        inner = self._contracted(tensor.formula, axes, reduced) if reduced else self.piece(tensor.formula)
        whole = broadcast(inner, axes, self.size)
        return Piece(language.batch_sum(whole) if batch else whole, tuple(axes))

    def _contracted(self, body: Node, axes: Sequence[Node], reduced: Sequence[Node]) -> Piece:
        places = [_place(condition) for condition in conditions_of(body)]
        if None in places:
            raise NoMatrixForm
        network = Network({i: self.size(i) for i in (*axes, *reduced)})
        units = [self._unit(*place) for place in places if place is not None]
        for piece in (*[self.piece(factor) for factor in factors_of(unguarded(body))], *units):
            network.put(piece.expression, piece.axes)
        network.eliminate(reduced)
        left = network.result(axes)
        return Piece(product(left) if not axes else left, tuple(axes))

    def _reduction(self, tensor: Definition, axes: tuple[Node, ...]) -> Piece:
        """max, min, log-sum-exp or product over the columns of a row, or over everything."""
        reduced = self._visible(tensor.reduced)
        if len(axes) + len(reduced) > 2 or len(reduced) < len(tensor.reduced):
            raise NoMatrixForm
        inner = broadcast(self.piece(tensor.formula), (*axes, *reduced), self.size)
        over = OVER_AXES[str(tensor.monoid)]
        return Piece(over(inner, axis=1) if axes else over(inner, axis=None), axes)

    # -------------------------------------------------------------------------------------------- bodies

    def piece(self, root: Node) -> Piece:
        """A scalar graph over at most two indices; iterative."""
        root = normalized(root)
        done: dict[Node, Piece] = {}
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            parts = _parts(node)
            missing = [a for a in parts if a not in done]
            if missing:
                stack.extend(missing)
                continue
            done[node] = self._one(node, [done[a] for a in parts])
            stack.pop()
        return done[root]

    def _one(self, node: Node, parts: list[Piece]) -> Piece:
        if node.op == "read":
            return self._read(node)
        if node.op in ("index", "eq", "ge", "divides"):
            raise NoMatrixForm
        if node is EXAMPLES:
            return Piece(shown_size(node, self.scope.examples), ())
        axes = self._order(node.free)
        if node.op == "mul":
            return self._product(parts)
        if node.op == "add" and axes:
            return Piece(plus([broadcast(p, axes, self.size) for p in parts]), axes)
        if node.op == "when":
            return self._guarded(node, parts)
        return elementwise_form(node, parts, axes, self.size)

    def _order(self, free: frozenset[Node]) -> tuple[Node, ...]:
        return self._visible(sorted(free, key=index_name))

    def _product(self, parts: Sequence[Piece]) -> Piece:
        axes = tuple(dict.fromkeys(axis for p in parts for axis in p.axes))
        if len(axes) > 2:
            raise NoMatrixForm
        if not axes:
            return Piece(product([p.expression for p in parts]), ())
        network = Network({i: self.size(i) for i in axes})
        for p in parts:
            network.put(p.expression, p.axes)
        numbers = [number_ for number_ in network.scalars if number_.is_Number]
        network.scalars = [*numbers, batch_means(product([other for other in network.scalars if not other.is_Number]))]
        return Piece(_matrix_batch_means(network.result(axes)), axes)

    def _guarded(self, node: Node, parts: list[Piece]) -> Piece:
        """[0 < a] is a factor, of arrays greater(a, 0); [i == j] makes a diagonal matrix; [not c] a where."""
        count = len(factors_of(node.args[0]))
        conditions = [c for c in node.args[1:] if c.op != "eq"]
        checked = list(zip(conditions, parts[count:], strict=True))
        factors = [p if p.axes else Piece(indicator(p.expression), ()) for c, p in checked if not _is_choice(c, p)]
        pieces = [*parts[:count], *factors]
        for condition, piece in checked:
            if _is_choice(condition, piece):
                pieces = self._chosen(condition, piece, pieces)
        value = self._product(pieces)
        places = [split for c in node.args[1:] if c.op == "eq" and (split := _place(c)) is not None]
        if places:
            value = self._product([value, self._product([self._unit(axis, at) for axis, at in places])])
        for condition in node.args[1:]:
            if condition.op == "eq" and _place(condition) is None:
                value = self._diagonal(value, *condition.args)
        return value

    def _chosen(self, condition: Node, hit: Piece, pieces: Sequence[Piece]) -> list[Piece]:
        """Factors under a condition: where(hit, those over its axes, 0); of a negated one where(hit, 0, those)."""
        near = [p for p in pieces if set(p.axes) <= set(hit.axes)]
        value = self._product(near) if near else Piece(sp.S.One, ())
        whole = broadcast(value, hit.axes, self.size) if value.axes else value.expression
        branches = (0, whole) if condition.op == "not" else (whole, 0)
        return [Piece(language.where(hit.expression, *branches), hit.axes), *[p for p in pieces if p not in near]]

    def _unit(self, axis: Node, position: Node) -> Piece:
        """[axis == 3] is a column of the identity, [axis == class number] a one-hot column, or a row for each."""
        count = self.size(axis)
        if position.op == "const":
            at = int(number(position))
            return Piece(sp.Identity(count)[:, at : at + 1], (axis,))
        chosen = self.piece(position)
        several = len(chosen.axes) == 1 and isinstance(chosen.expression, sp.MatrixSymbol)
        if axis in chosen.axes or not (several or not chosen.axes):
            raise NoMatrixForm
        return Piece(language.one_hot(chosen.expression, count), (*chosen.axes, axis))

    def _diagonal(self, value: Piece, i: Node, j: Node) -> Piece:
        if i.op != "index" or j.op != "index" or self.size(i) != self.size(j):
            raise NoMatrixForm
        if set(value.axes) == {i, j}:
            return Piece(hadamard([broadcast(value, (i, j), self.size), sp.Identity(self.size(i))]), (i, j))
        if not value.axes:
            return Piece(times([value.expression], [sp.Identity(self.size(i))]), (i, j))
        if value.axes not in ((i,), (j,)):
            raise NoMatrixForm
        scalars, matrices = _apart(value.expression)
        return Piece(times(scalars, [sp.DiagMatrix(times([], matrices))]), (i, j))

    def _read(self, node: Node) -> Piece:
        tensor = target(node)
        at = node.args
        if tensor.batched and self.hides:
            if at[0] is not EXAMPLE:
                raise NoMatrixForm
            at = at[1:]
        known = self._known(tensor)
        lengths = tensor.shape[len(tensor.axes) - len(at) :]
        whole = broadcast(known, self._visible(tensor.axes), self.size)
        if all(a.op == "index" and extent(a) is n for a, n in zip(at, lengths, strict=True)):
            return Piece(whole, tuple(at)) if len(set(at)) == len(at) else Piece(sp.DiagonalOf(whole), (at[0],))
        return self._part(whole, at, lengths)

    def _part(self, whole: Any, at: Sequence[Node], lengths: Sequence[Node]) -> Piece:
        """A row, a column, an element, or a slice, from a constant position or one that is data."""
        found = [self._key(a, n) for a, n in zip(at, lengths, strict=True)]
        keys, axes = [key for key, _ in found], [axis for _, axis in found if axis is not None]
        full = keys if len(keys) == 2 else [*keys, slice(0, 1)]
        if not axes:
            return Piece(_entry(whole, full[0].start, full[1].start), ())
        if len(set(axes)) < len(axes):
            raise NoMatrixForm
        part = whole[full[0], full[1]]
        return Piece(transposed(part) if len(axes) == 1 and axes[0] not in at[0].free else part, tuple(axes))

    def _key(self, at: Node, length: Node) -> tuple[slice, Node | None]:
        """One position's slice, and the index that runs over it."""
        if at.op == "index" and extent(at) is length:
            return slice(None), at
        if at.op == "read":  # a class number, a word of a vocabulary
            chosen = self.piece(at)
            if chosen.axes:
                raise NoMatrixForm
            return slice(chosen.expression, chosen.expression + 1), None
        form = affine(at)
        if form is None or len(form.terms) > 1 or any(leaf.op != "index" for leaf, _ in form.terms):
            raise NoMatrixForm
        if form.terms and not stays_inside(at, length):
            raise NoMatrixForm
        start = int(form.constant)
        if not form.terms:
            return slice(start, start + 1), None
        ((leaf, step),) = form.terms
        count = self.size(leaf)
        if not isinstance(step, int) or step < 1 or (step > 1 and not count.is_Integer):
            raise NoMatrixForm
        return slice(start, start + step * (count - 1) + 1, step), leaf


def _parts(node: Node) -> tuple[Node, ...]:
    """The operands that are raised: not index expressions, nor conditions on indices."""
    if node.op == "read":
        return ()
    if node.op in (SOFTMAX, LOG_SOFTMAX):
        return node.args[:1]
    if node.op == "when":
        return (
            *factors_of(node.args[0]),
            *[c.args[0] if _is_array_negation(c) else c for c in node.args[1:] if c.op != "eq"],
        )
    return node.args


def _is_array_negation(condition: Node) -> bool:
    """not (a < b) of arrays: it has no matrix of its own, where(a < b, 0, x) expresses it."""
    return condition.op == "not" and bool(condition.free - {EXAMPLE})


def _place(condition: Node) -> tuple[Node, Node] | None:
    """[i == 3] as (i, 3), [i == c] as (i, c); of two indices None."""
    if condition.op != "eq":
        return None
    i, j = sorted(condition.args, key=lambda side: side.op != "index")
    return (i, j) if i.op == "index" and j.op in ("const", "read") else None


def _is_choice(condition: Node, piece: Piece) -> bool:
    """not (a < b), and m != 0: what is a factor of its own need not be 0 or 1."""
    return bool(piece.axes) and (_is_array_negation(condition) or condition.op == "differs")


def _entry(whole: Any, row: int, column: int) -> Any:
    """whole[row, column]; SymPy would write out products and inverses, entry by entry."""
    return MatrixElement(whole, row, column) if whole.has(sp.Inverse, sp.MatMul) else whole[row, column]


def _apart(expression: Any) -> tuple[list[Any], list[Any]]:
    if isinstance(expression, sp.MatMul):
        return [a for a in expression.args if not a.is_Matrix], [a for a in expression.args if a.is_Matrix]
    return [], [expression]


def _matrix_batch_means(expression: Any) -> Any:
    """batch_sum(M)/batch_sum(1) as batch_mean(M)."""
    scalars, matrices = _apart(expression)
    count = 1 / shown_size(EXAMPLES)
    whole = product(scalars)
    if count not in (whole, *whole.args):
        return expression
    for k, m in enumerate(matrices):
        if getattr(m, "operation", None) == "batch_sum":
            rest = sp.Mul(*[a for a in sp.Mul.make_args(whole) if a != count])
            return times([rest], [*matrices[:k], language.batch_mean(m.operands[0]), *matrices[k + 1 :]])
    return expression


_CALLS: Mapping[str, Callable[..., Any]] = {
    "inv": sp.Inverse,
    "det": sp.Determinant,
    "logdet": lambda matrix: sp.log(sp.Determinant(matrix)),
    "logabsdet": lambda matrix: sp.log(sp.Abs(sp.Determinant(matrix))),
    "solve": lambda matrix, right: times([], [sp.Inverse(matrix), right]),
}
