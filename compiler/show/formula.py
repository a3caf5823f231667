"""How a formula to read is made and written down: names chosen, raised to SymPy, as text and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from sympile.compiler.graph.definition import Definition, definitions
from sympile.compiler.graph.node import ONE, Node, postorder
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.show.explicit import with_explicit
from sympile.compiler.show.latex import latex, latex_lines
from sympile.compiler.show.naming import Adjoints, Candidates, Names, Plan, candidates
from sympile.compiler.show.numbers import shown_size
from sympile.compiler.show.products import transposed
from sympile.compiler.show.raising import notation_of, raised
from sympile.compiler.show.shared import with_shared_parts, written_size
from sympile.compiler.show.shown import Formula, TooLarge
from sympile.compiler.show.text import text

WIDTH = 72  # a formula without adjoints' names may be this long
MOST_OPERATIONS = 4000  # of a formula that is shown
MOST_FOR_A_LINE = 4 * WIDTH  # operations of what may still be so short
GAP = " " * 10  # before the note behind the first line


def formula(
    definition: Definition,
    label: str,
    scope: Scope,
    names: Names,
    declared_shape: tuple[Node, ...],
    kind: str,
    note: str = "",
    *,
    adjoint_of: Adjoints | None = None,
    automatic: Names | None = None,
    letter: str = "v",
) -> Formula:
    """A definition as a formula.

    Args:
        definition: what is shown; of a gradient, one example's share (`per_example`).
        label: what it is, such as "dloss/dW1".
        scope: the symbols, as the reader left them.
        names: the names of intermediates and of their adjoints.
        declared_shape: the shape as written; a literal 1 in it is restored.
        kind: "matrix", "index" or "scalar", the notation; index notation is used where matrices cannot express it.
        note: shown behind the first line, where there are further lines.
        adjoint_of: which definitions are adjoints of which, so that unnamed ones get names, too.
        automatic: the names v1, v2, ... where several formulas share them.
        letter: what automatic names begin with.
    """
    shape = tuple(sp.Integer(1) if n is ONE else _size(n, scope) for n in declared_shape)
    operations = _operations(definition)
    if operations > MOST_OPERATIONS:
        large = TooLarge(label, operations, MOST_OPERATIONS)
        return Formula(large, {}, shape, label, note, definition, scope, kind, definition)
    found = _candidates(definition, names, adjoint_of or {}, automatic, letter, notation_of(definition, scope, kind))
    for with_adjoints in (False, True) if found.adjoints else (False,):
        plan = found.in_order(with_shared_parts(found.plan(with_adjoints)))
        operations = written_size(plan)
        if operations > MOST_FOR_A_LINE and found.adjoints and not with_adjoints:
            continue
        if operations > MOST_OPERATIONS:
            large = TooLarge(label, operations, MOST_OPERATIONS)
            return Formula(large, {}, shape, label, note, definition, scope, kind, definition)
        expr, where = raised(plan, scope, kind)
        if not plan.needs_adjoints and len(text(expr)) <= WIDTH:
            break
    return Formula(_oriented(expr, shape), where, shape, label, note, definition, scope, kind, found.written_out())


def written_out(definition: Definition, scope: Scope, kind: str, shape: tuple[Any, ...]) -> Any:
    """A definition as one SymPy expression, nothing named."""
    return _oriented(raised(Plan(definition), scope, kind)[0], shape)


def as_text(label: str, expr: Any, where: Mapping[str, Any], note: str) -> str:
    """A formula, and line by line what its names stand for."""
    left, right = opened(label, expr)
    if not where:
        return text(right) if left == label else f"{left} = {text(right)}"
    head = f"{left} = {text(right)}" + (f"{GAP}({note})" if note else "")
    lines = [opened(name, value) for name, value in where.items()]
    width = max(len(name) for name, _ in lines)
    return "\n".join([head, *[f"  {name:<{width}} = {text(value)}" for name, value in lines]])


def as_latex(label: str, expr: Any, where: Mapping[str, Any]) -> str:
    """The same for a notebook."""
    return latex_lines(label, expr, where) if where else f"$\\displaystyle {latex(expr)}$"


def _candidates(
    definition: Definition, names: Names, adjoint_of: Adjoints, automatic: Names | None, letter: str, notation: str
) -> Candidates:
    """What may be named; in matrix notation, matrices of numbers are put together first."""
    if notation != "matrix":
        return candidates(definition, names, adjoint_of, automatic, letter)
    new = with_explicit([definition, *names, *adjoint_of, *adjoint_of.values(), *(automatic or {})])
    adjoints = {new[a]: new[t] for a, t in adjoint_of.items()}
    given = None if automatic is None else {new[t]: word for t, word in automatic.items()}
    return candidates(new[definition], {new[t]: word for t, word in names.items()}, adjoints, given, letter)


def _operations(definition: Definition) -> int:
    formulas = [tensor.formula for tensor in definitions([definition]) if tensor.kind == "formula"]
    return sum(1 for _ in postorder(formulas))


def opened(label: str, expr: Any) -> tuple[str, Any]:
    """A comprehension as label[i, j] and its formula; everything else as it is."""
    if getattr(expr, "operation", None) != "comprehension":
        return label, expr
    return f"{label}[{', '.join(str(v) for v in expr.variables)}]", expr.function


def _size(length: Node, scope: Scope) -> Any:
    return shown_size(length, scope.examples)


def _oriented(expr: Any, shape: tuple[Any, ...]) -> Any:
    """A column as the row that was declared."""
    is_row = len(shape) == 2 and shape[0] == 1 and shape[1] != 1
    return transposed(expr) if is_row and getattr(expr, "is_Matrix", False) and expr.shape != shape else expr
