"""`sm.grad` and its relatives: expressions in, formulas out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

from sympile.compiler.errors import ArgumentError, FormulaError, NonScalarLoss, ShapeError
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, elementwise, read
from sympile.compiler.graph.node import ONE, Node, const, extent, index
from sympile.compiler.graph.reduce import total
from sympile.compiler.language.reductions import over_everything
from sympile.compiler.passes import derive
from sympile.compiler.passes.adopt import Derived
from sympile.compiler.passes.read import Output, demand_number, range_constraints, read_all
from sympile.compiler.passes.reading.scope import Scope, Symbol, shape_text
from sympile.compiler.passes.simplify import simplify
from sympile.compiler.show.numbers import shown_size
from sympile.compiler.show.shown import Formula
from sympile.runtime.byname import ByName, Keys, name_of
from sympile.runtime.model.directions import Held, directions
from sympile.runtime.model.given import as_given, as_symbols, demand_formula, demand_one_symbol_per_name
from sympile.runtime.model.notation import kind_of, symbol_like, symbol_of_shape

Formulas = Formula | ByName[Formula]
Several = list[Any] | tuple[Any, ...]
MOST_ROWS = 32  # of a Jacobian that is derived row by row


class _Question:
    """One expression, the symbols asked for, and what has been read."""

    def __init__(self, expressions: Any, wrt: Any) -> None:
        self.wrt = list(as_symbols("what one derives by", wrt))
        self.single = len(self.wrt) == 1 and self.wrt[0] is wrt
        given = list(expressions) if isinstance(expressions, (list, tuple)) else [expressions]
        self.expressions = [as_given(e) for e in given]
        self.several = isinstance(expressions, (list, tuple))
        for k, formula in enumerate(self.expressions):
            demand_formula(f"expression {k}", formula)
        demand_one_symbol_per_name([*self.expressions, *self.wrt])
        self.scope = Scope(parameters={name_of(s): s for s in self.wrt}, batched=False)
        self.outputs = list(
            read_all({f"expression {k}": e for k, e in enumerate(self.expressions)}, self.scope).values()
        )
        self._demand_slopes()
        written = [o.tensor for o, e in zip(self.outputs, self.expressions, strict=True) if not isinstance(e, Derived)]
        self.scope.constraints += range_constraints(written)
        self.names = dict(self.scope.names)
        self.adjoint_of: dict[Definition, Definition] = {}
        self._simplify()

    def _demand_slopes(self) -> None:
        for name in map(name_of, self.wrt):
            if name in self.scope.sizes:
                raise FormulaError(f"{name} is a size, which has no slope")

    def _simplify(self) -> None:
        mapping, _ = simplify([o.tensor for o in self.outputs], "stable", self.names)
        self.outputs = [Output(mapping[o.tensor], o.declared) for o in self.outputs]
        self.names = {mapping.get(t, t): n for t, n in self.names.items()}

    def symbol(self, given: Any) -> Symbol:
        """The input of a symbol asked for, whether the expression uses it or not."""
        return self.scope.declare(given, name_of(given), getattr(given, "shape", ()) or ())

    @property
    def tensors(self) -> list[Definition]:
        return [self.symbol(s).tensor for s in self.wrt]

    def formula(self, tensor: Definition, label: str, declared: tuple[Node, ...], kind: str) -> Formula:
        from sympile.compiler.show.formula import formula  # optional: most programs look at no formula

        mapping, _ = simplify([tensor], "stable", self.names)
        names = {mapping.get(t, t): n for t, n in self.names.items()}
        adjoint_of = {mapping.get(a, a): mapping.get(b, b) for a, b in self.adjoint_of.items()}
        return formula(mapping[tensor], label, self.scope, names, declared, kind, adjoint_of=adjoint_of)

    def gradient(self, tensor: Definition, held: Held) -> dict[Definition, Definition]:
        """d tensor / d symbols, the directions held constant."""
        found = derive.gradient(tensor, self.tensors, self.names, adjoint_of=self.adjoint_of)
        released, new = held.released(dict(found), self.names)
        self.names = {new[t]: n for t, n in self.names.items()}
        self.adjoint_of = {new[t]: new[of] for t, of in self.adjoint_of.items()}
        return released

    def answer(self, formulas: list[Formula]) -> Formulas:
        return formulas[0] if self.single else ByName(formulas, Keys(self.wrt))


def _scalar(question: _Question) -> Output:
    if question.several or any(n is not ONE for n in question.outputs[0].declared):
        shape = shape_text(question.outputs[0].declared)
        advice = over_everything(None if question.several else question.expressions[0])
        raise NonScalarLoss(f"a gradient is of one number, not of shape {shape}; use sm.jacobian, or {advice}")
    demand_number("expression", question.expressions[0])
    return question.outputs[0]


@overload
def grad(expr: Any, wrt: Several) -> ByName[Formula]: ...
@overload
def grad(expr: Any, wrt: Any) -> Formula: ...
def grad(expr: Any, wrt: Any) -> Formulas:
    """The gradient of a scalar expression.

    Args:
        expr: a scalar expression in any notation, or a Formula.
        wrt: a symbol, or a list of them.

    Returns:
        A Formula of the symbol's shape, or a mapping of them by symbol for a list.

    Raises:
        NonScalarLoss: `expr` is no single number.

    Example:
        >>> x, y = sp.symbols("x y")
        >>> grad((1 - x)**2 + 100*(y - x**2)**2, y)
        200*(-x**2 + y)
    """
    gradients: Formulas = value_and_grad(expr, wrt)[1]
    return gradients


@overload
def value_and_grad(expr: Any, wrt: Several) -> tuple[Formula, ByName[Formula]]: ...
@overload
def value_and_grad(expr: Any, wrt: Any) -> tuple[Formula, Formula]: ...
def value_and_grad(expr: Any, wrt: Any) -> tuple[Formula, Formulas]:
    """The expression as a Formula, and its gradient; see `grad`."""
    question = _Question(expr, wrt)
    output = _scalar(question)
    found = derive.gradient(output.tensor, question.tensors, question.names, adjoint_of=question.adjoint_of)
    value = question.formula(output.tensor, "value", (), "scalar")
    gradients = [
        question.formula(found[question.symbol(s).tensor], f"d/d{name_of(s)}", question.symbol(s).declared, kind_of(s))
        for s in question.wrt
    ]
    return value, question.answer(gradients)


@overload
def jacobian(exprs: Any, wrt: Several) -> ByName[Formula]: ...
@overload
def jacobian(exprs: Any, wrt: Any) -> Formula: ...
def jacobian(exprs: Any, wrt: Any) -> Formulas:
    """The Jacobian: entry (o, m) is d expr[o] / d wrt[m].

    Literal axes of size 1 are dropped; of a scalar it is the lecture's row.

    Args:
        exprs: an expression of any shape, or a list of scalar expressions.
        wrt: a symbol, or a list of them.

    Returns:
        A Formula, or a mapping of them by symbol for a list.
    """
    question = _Question(exprs, wrt)
    output = _stacked(question)
    found = _jacobians(question, output)
    results = []
    for s in question.wrt:
        symbol = question.symbol(s)
        inner = tuple(n for n in (*output.declared, *symbol.declared) if n is not ONE)
        declared, kind = _jacobian_shape(inner, output, s)
        results.append(question.formula(found[symbol.tensor], f"d/d{name_of(s)}", declared, kind))
    return question.answer(results)


def _jacobian_shape(inner: tuple[Node, ...], output: Output, symbol: Any) -> tuple[tuple[Node, ...], str]:
    """Vectors by vectors are matrices; a scalar by a vector is a row."""
    if len(inner) == 2:
        return inner, "matrix" if kind_of(symbol) == "matrix" else "index"
    if len(inner) == 1 and kind_of(symbol) == "matrix":
        scalar = all(n is ONE for n in output.declared)
        return ((ONE, inner[0]) if scalar else (inner[0], ONE)), "matrix"
    return inner, "index" if inner else "scalar"


def _stacked(question: _Question) -> Output:
    """A list of scalars as one vector."""
    if not question.several:
        return question.outputs[0]
    if not question.outputs:
        raise ArgumentError("there is no expression in the list")
    if any(n is not ONE for o in question.outputs for n in o.declared):
        raise ShapeError("a list of expressions must hold scalars; ask for the Jacobian of each array on its own")
    i = index(const(len(question.outputs)))
    body = add(*[when(read(o.tensor), equal(i, const(k))) for k, o in enumerate(question.outputs)])
    return Output(elementwise((i,), body), (const(len(question.outputs)),))


def _jacobians(question: _Question, output: Output) -> Mapping[Definition, Definition]:
    """d output / d symbol; of a short list of scalars row by row, so that every entry is a formula of its own."""
    if not question.several or len(question.outputs) > MOST_ROWS:
        return derive.jacobian(output.tensor, question.tensors, question.names)
    rows = [derive.gradient(o.tensor, question.tensors, question.names) for o in question.outputs]
    return {t: _from_rows([row[t] for row in rows]) for t in question.tensors}


def _from_rows(rows: Sequence[Definition]) -> Definition:
    """Tensors of one shape, one upon the other."""
    first, *axes = index(const(len(rows))), *[index(extent(axis)) for axis in rows[0].axes]
    body = add(*[when(read(row, *axes), equal(first, const(k))) for k, row in enumerate(rows)])
    return elementwise((first, *axes), body)


def hessian(expr: Any, wrt: Any) -> Formula:
    """The matrix of second derivatives of a scalar expression by one symbol: the Jacobian of its gradient.

    Args:
        expr: a scalar expression in any notation, or a Formula.
        wrt: a symbol (vector or scalar), or a list of scalar symbols, whose Hessian is one matrix.

    Returns:
        A Formula.
    """
    question = _Question(expr, wrt)
    output = _scalar(question)
    found = derive.gradient(output.tensor, question.tensors, question.names)
    if question.single:
        symbol = question.symbol(wrt)
        second = derive.jacobian(found[symbol.tensor], [symbol.tensor], question.names)[symbol.tensor]
        inner = tuple(n for n in symbol.declared if n is not ONE) * 2
        return question.formula(
            second, f"d²/d{name_of(wrt)}²", inner, kind_of(wrt) if len(inner) in (0, 2) else "index"
        )
    if not question.wrt or any(n is not ONE for s in question.wrt for n in question.symbol(s).declared):
        words = "a Hessian by a list is by scalar symbols; by one array, name it alone, by several"
        raise ArgumentError(f"{words}, ask for sm.jacobian of each gradient")
    question.outputs = [Output(found[t], ()) for t in question.tensors]
    question.several = True
    return question.formula(_joined(question), "hessian", (const(len(question.wrt)),) * 2, "matrix")


def _joined(question: _Question) -> Definition:
    """d gradient / d symbol; of short lists with a formula for each entry on one side of the diagonal."""
    i, j = (index(const(len(question.wrt))) for _ in range(2))
    if len(question.wrt) <= MOST_ROWS:
        return elementwise((i, j), add(*_mirrored(question, i, j)))
    columns = derive.jacobian(_stacked(question).tensor, question.tensors, question.names)
    parts = [when(read(columns[t], i), equal(j, const(k))) for k, t in enumerate(question.tensors)]
    return elementwise((i, j), add(*parts))


def _mirrored(question: _Question, i: Node, j: Node) -> list[Node]:
    """Every entry at its place, those beside the diagonal at two: second derivatives are symmetric."""
    parts = []
    for row, output in enumerate(question.outputs):
        beyond = question.tensors[row:]
        found = derive.gradient(output.tensor, beyond, question.names)
        for column, tensor in enumerate(beyond, row):
            places = {(row, column), (column, row)}
            parts += [when(read(found[tensor]), equal(i, const(r)), equal(j, const(c))) for r, c in sorted(places)]
    return parts


# ------------------------------------------------------------------------------------------------ directions


def _directions(question: _Question, what: str, given: Any) -> list[Definition]:
    """The tensors of the directions: given symbols, or new ones t_<name> of the same shapes."""
    if given is None:
        given = [symbol_like(f"t_{name_of(s)}", s) for s in question.wrt]
    shapes = [question.symbol(s).declared for s in question.wrt]
    return [d.tensor for d in directions(what, given, shapes, question.scope)]


def jvp(expr: Any, wrt: Any, tangents: Any = None) -> Formula:
    """The derivative of an expression in a direction: Jacobian times tangent, never forming the Jacobian.

    Args:
        expr: an expression of any shape.
        wrt: a symbol, or a list of them.
        tangents: symbols of the same shapes; new ones called t_<name> by default.

    Returns:
        A Formula of the expression's shape.
    """
    question = _Question(expr, wrt)
    output = _stacked(question)
    along = dict(zip(question.tensors, _directions(question, "tangents", tangents), strict=True))
    node = derive.tangent(output.tensor, along)
    return question.formula(
        elementwise(output.tensor.axes, node), "jvp", output.declared, _kind_by_rank(output.declared, wrt)
    )


def _kind_by_rank(declared: tuple[Node, ...], wrt: Any) -> str:
    if not declared:
        return "scalar"
    first = wrt[0] if isinstance(wrt, (list, tuple)) else wrt
    return "matrix" if len(declared) == 2 and kind_of(first) != "index" else "index"


@overload
def vjp(exprs: Any, wrt: Several, cotangents: Any = None) -> ByName[Formula]: ...
@overload
def vjp(exprs: Any, wrt: Any, cotangents: Any = None) -> Formula: ...
def vjp(exprs: Any, wrt: Any, cotangents: Any = None) -> Formulas:
    """Cotangent times Jacobian, never forming the Jacobian.

    Args:
        exprs: an expression of any shape.
        wrt: a symbol, or a list of them.
        cotangents: a symbol of the expression's shape; a new one called t_value by default.

    Returns:
        A Formula of the symbol's shape, or a mapping of them by symbol for a list.
    """
    question = _Question(exprs, wrt)
    output = _stacked(question)
    if cotangents is None:
        shape = [shown_size(n) for n in output.declared]
        cotangents = symbol_of_shape("t_value", shape, "matrix" if len(shape) == 2 else "index")
    (weight,) = directions("cotangents", cotangents, [output.declared], question.scope)
    held = Held([weight.tensor], question.tensors)
    axes = output.tensor.axes
    weighted = elementwise((), total(list(axes), mul(read(held.tensors[0], *axes), read(output.tensor, *axes))))
    found = question.gradient(weighted, held)
    return question.answer(
        [
            question.formula(
                found[question.symbol(s).tensor], f"vjp {name_of(s)}", question.symbol(s).declared, kind_of(s)
            )
            for s in question.wrt
        ]
    )


@overload
def hvp(expr: Any, wrt: Several, vectors: Any = None) -> ByName[Formula]: ...
@overload
def hvp(expr: Any, wrt: Any, vectors: Any = None) -> Formula: ...
def hvp(expr: Any, wrt: Any, vectors: Any = None) -> Formulas:
    """Hessian times vector, never forming the Hessian: the gradient of the derivative in that direction.

    Args:
        expr: a scalar expression.
        wrt: a symbol, or a list of them.
        vectors: symbols of the same shapes; new ones called t_<name> by default.

    Returns:
        A Formula of the symbol's shape, or a mapping of them by symbol for a list.
    """
    question = _Question(expr, wrt)
    output = _scalar(question)
    held = Held(_directions(question, "vectors", vectors), question.tensors)
    node = derive.tangent(output.tensor, dict(zip(question.tensors, held.tensors, strict=True)))
    found = question.gradient(elementwise((), node), held)
    return question.answer(
        [
            question.formula(
                found[question.symbol(s).tensor], f"hvp {name_of(s)}", question.symbol(s).declared, kind_of(s)
            )
            for s in question.wrt
        ]
    )
