"""From definitions to SymPy: each line in the notation asked for, in indices where matrices cannot express it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from sympile.compiler.errors import FormulaError
from sympile.compiler.graph.definition import Definition, definitions
from sympile.compiler.graph.node import Node, extent, number
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.show.entries import entries, has_one_place_per_term, is_by_entries
from sympile.compiler.show.index_notation import IndexNotation, NoIndexForm
from sympile.compiler.show.matrix_notation import MatrixNotation
from sympile.compiler.show.naming import Plan
from sympile.compiler.show.network import NoMatrixForm
from sympile.compiler.show.pieces import Piece
from sympile.compiler.show.symbols import Symbols


def raised(plan: Plan, scope: Scope, kind: str) -> tuple[Any, dict[str, Any]]:
    """The formula of the top definition, and of every line below it by name."""
    raiser = Raiser(plan.lines, scope, notation_of(plan.top, scope, kind))
    where = {name: raiser.line(tensor) for tensor, name in plan.lines.items()}
    top = raiser.symbols.of(plan.top)
    return (raiser.line(plan.top) if top is None else top), where


def notation_of(top: Definition, scope: Scope, kind: str) -> str:
    """Scalars made of matrices are shown in matrix notation, those made of indexed arrays in index notation."""
    if kind != "scalar":
        return kind
    below = [scope.symbols[t.name] for t in definitions([top]) if t.kind == "input"]
    matrices = [s for s in below if s.declared and getattr(s.given, "is_Matrix", False)]
    return "matrix" if matrices else "index"


class Raiser:
    """One program with its names; raises each definition."""

    __slots__ = ("matrices", "notation", "scope", "symbols")

    def __init__(self, names: Mapping[Definition, str], scope: Scope, notation: str) -> None:
        self.scope, self.notation = scope, notation
        self.symbols = Symbols(names, notation, scope.examples is None, scope.examples)
        self.matrices = MatrixNotation(scope, self.symbols)

    def line(self, tensor: Definition) -> Any:
        """One definition: in matrices, else in indices of one example, else in indices of all examples."""
        by_entries = is_by_entries(tensor)
        if by_entries and (self.notation != "matrix" or has_one_place_per_term(tensor)):
            return self._by_entries(tensor)
        if self.notation == "matrix":
            try:
                return self.matrices.value(tensor)
            except NoMatrixForm:
                pass
        if by_entries:
            return self._by_entries(tensor)
        piece = self._matrix_piece if self.notation == "matrix" else None
        for explicit in (False, True):
            try:
                return IndexNotation(self.scope, self.symbols, self._matrix_value, piece, explicit).value(tensor)
            except NoIndexForm:
                continue
        raise FormulaError("there is no form for this in matrix or index notation; derive by one symbol at a time")

    def _by_entries(self, tensor: Definition) -> Any:
        """A column or a matrix with its entries written out."""
        rows = int(number(extent(tensor.axes[0])))
        columns = int(number(extent(tensor.axes[1]))) if len(tensor.axes) == 2 else 1
        return sp.ImmutableDenseMatrix(rows, columns, [self.line(entry) for entry in entries(tensor)])

    def _matrix_piece(self, node: Node) -> Piece | None:
        """A part of a formula in matrix notation, or None."""
        try:
            return self.matrices.piece(node)
        except NoMatrixForm:
            return None

    def _matrix_value(self, tensor: Definition) -> Any:
        """A linear-algebra call for index notation: the whole matrix."""
        try:
            return self.matrices.value(tensor)
        except NoMatrixForm as problem:
            raise NoIndexForm from problem
