"""Formulas that bind indices: Maximum, Minimum and LogSumExp, written like `sympy.Sum`; comprehensions."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError, FormulaError
from sympile.compiler.language.intake import operand
from sympile.compiler.language.nodes import Head, Interned
from sympile.compiler.language.scalar import Choice, ScalarFunction
from sympile.compiler.language.shapes import infer
from sympile.compiler.language.sizes import Shape, is_array, size
from sympile.compiler.language.tensor import TensorFunction
from sympile.compiler.language.walking import Replacement


class Binding(Interned):
    """A node whose first operand is a formula, whose other operands are limits: tuples that begin with an index."""

    _opaque = True

    @property
    def function(self) -> Any:
        """The formula in which indices are bound."""
        return self.operands[0]

    @property
    def limits(self) -> tuple[Any, ...]:
        """The bound indices with their ranges; of nested ranges, the innermost comes first."""
        return self.operands[1:]

    @property
    def variables(self) -> list[Any]:
        """The bound indices."""
        return [limit[0] for limit in self.limits]

    @property
    def bound_symbols(self) -> list[Any]:
        """The bound indices, as SymPy asks for them."""
        return self.variables

    def _infer_shape(self) -> Shape:
        return infer(self.operation, self.operands, self.options)

    def _find_free_symbols(self) -> frozenset[Any]:
        free = set(self.function.free_symbols)
        for index, *ranges in self.limits:
            free = {symbol for symbol in free if symbol == index or not symbol.has(index)} - {index, *_inside(index)}
            free.update(*(bound.free_symbols for bound in ranges))
        return frozenset(free)

    def _replaced(self, rule: Any) -> Any:
        """This node after `xreplace`: bound indices stay, and none captures a symbol that comes in."""
        incoming = set().union(*(new.free_symbols for new in getattr(rule.rule, "values", tuple)()))
        node = self._renamed(incoming)
        inner = Replacement(_Shielded(rule.rule, node.variables))
        operands = [node.function._xreplace(inner)[0]]
        for index, *ranges in node.limits:
            operands.append(sp.Tuple(index, *(bound._xreplace(Replacement(rule.rule))[0] for bound in ranges)))
        return self if tuple(operands) == node.operands else node._rebuilt(tuple(operands))

    def _substituted(self, old: Any, new: Any, memo: Any, hints: Any) -> Any:
        node = self._renamed(new.free_symbols)
        function = node.function if old in node.variables else node.function._subs(old, new)
        limits = [sp.Tuple(index, *(bound._subs(old, new) for bound in ranges)) for index, *ranges in node.limits]
        return self if (function, *limits) == node.operands else node._rebuilt((function, *limits))

    def _renamed(self, incoming: set[Any]) -> Any:
        """This node with fresh indices where a symbol that comes in has the same name."""
        clashes = {index: sp.Dummy(str(index), integer=True) for index in self.variables if index in incoming}
        if not clashes:
            return self
        return self._rebuilt(tuple(operand.xreplace(clashes) for operand in self.operands))


class _Shielded:
    """A rule that leaves bound indices alone."""

    def __init__(self, rule: Any, bound: list[Any]) -> None:
        self.rule, self.bound = rule, bound

    def __contains__(self, part: object) -> bool:
        return part not in self.bound and part in self.rule

    def __getitem__(self, part: Any) -> Any:
        return self.rule[part]

    def values(self) -> Any:
        """What comes in, if the rule tells."""
        return getattr(self.rule, "values", tuple)()


class Binder(Binding, sp.Expr):  # type: ignore[misc]
    """A scalar over a range of indices, written like `sympy.Sum`."""

    is_commutative = True
    is_real = True
    is_number = False

    def __new__(cls, function: Any, *limits: Any) -> Any:
        """The binder of this formula over these limits."""
        if isinstance(function, Head):  # SymPy rebuilds a node from its args
            return super().__new__(cls, function, *limits)
        if not limits:
            raise ArgumentError(f"{cls.__name__}: say over which index, as in {cls.__name__}(f, (i, 0, n - 1))")
        body = _body(function, cls.__name__)
        return super().__new__(cls, Head(cls.__name__), body, *(_range(limit, cls.__name__) for limit in limits))

    @property
    def shape(self) -> Any:
        """Scalars have none."""
        raise AttributeError("a scalar has no shape")

    _stand_in = ScalarFunction._stand_in


class Maximum(Binder):
    """The largest value of a formula over ranges of indices.

    Args:
        function: a scalar formula.
        limits: one or more (index, first, last), both ends included, as of `sympy.Sum`.

    Raises:
        ArgumentError: a limit is not of this form.
        FormulaError: the formula is a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> K, i = sp.IndexedBase("K", shape=(5,)), sp.Symbol("i", integer=True)
        >>> sm.Maximum(K[i]**2, (i, 0, 4))
        Maximum(K[i]**2, (i, 0, 4))
    """


class Minimum(Binder):
    """The smallest value of a formula over ranges of indices.

    Args:
        function: a scalar formula.
        limits: one or more (index, first, last), both ends included, as of `sympy.Sum`.

    Raises:
        ArgumentError: a limit is not of this form.
        FormulaError: the formula is a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> K, i = sp.IndexedBase("K", shape=(5,)), sp.Symbol("i", integer=True)
        >>> sm.Minimum(K[i], (i, 0, 4))
        Minimum(K[i], (i, 0, 4))
    """


class LogSumExp(Binder):
    """log of the sum of exp of a formula over ranges of indices, without overflow.

    Args:
        function: a scalar formula.
        limits: one or more (index, first, last), both ends included, as of `sympy.Sum`.

    Raises:
        ArgumentError: a limit is not of this form.
        FormulaError: the formula is a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> K, i = sp.IndexedBase("K", shape=(5,)), sp.Symbol("i", integer=True)
        >>> sm.LogSumExp(K[i], (i, 0, 4))
        LogSumExp(K[i], (i, 0, 4))
    """


class Comprehension(Binding, TensorFunction):
    """The tensor of a formula's values; made by `comprehension`."""


class Index(sp.Symbol):  # type: ignore[misc]
    """An integer symbol that is meant to be bound."""


def comprehension(expr: Any, *limits: Any) -> Any:
    """The tensor whose entry [i, j, ...] is the value of a formula in i, j, ...

    Args:
        expr: a scalar formula.
        limits: (index, size) for each axis; the index runs from 0 to size - 1. A `sympy.Idx` with a range stands alone.

    Returns:
        A tensor, which can be indexed again.

    Raises:
        ArgumentError: a limit is not of this form, or an index is bound twice.
        FormulaError: the formula is a matrix or a tensor.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> W, x = sm.Tensor("W", (4, 3)), sm.Tensor("x", (3,))
        >>> i, j = sm.indices("i j")
        >>> h = sm.comprehension(sp.Sum(W[i, j]*x[j], (j, 0, 2)), (i, 4))
        >>> h.shape, h[0]
        ((4,), [Sum(W[i, j]*x[j], (j, 0, 2)) for i < 4][0])
    """
    if not limits:
        raise ArgumentError("comprehension: say over which index, as in comprehension(f, (i, n))")
    body, axes = _body(expr, "comprehension"), [_axis(limit) for limit in limits]
    bound = [index for index, _ in axes]
    if len(set(bound)) < len(bound):
        raise ArgumentError(f"comprehension: an index is bound twice in {', '.join(map(str, bound))}")
    return Comprehension(Head("comprehension"), body, *axes)


def indices(names: str) -> Any:
    """Integer symbols for use as indices.

    Args:
        names: names with spaces or commas between, as `sympy.symbols` takes them.

    Returns:
        One symbol for one name, otherwise a tuple of symbols.

    Example:
        >>> import sympile as sm
        >>> sm.indices("i j k")
        (i, j, k)
    """
    return sp.symbols(names, cls=Index, integer=True)


def _body(function: Any, name: str) -> Any:
    body = operand(function, name)
    if is_array(body):
        raise FormulaError(f"{name}: {body} is no scalar; index it, as in {name}({body}[i, j], ...)")
    return _sheltered(body)


def _sheltered(body: Any) -> Any:
    """The formula with a `Choice` for every Piecewise; what stands in a binder of ours is sheltered already."""
    done: dict[int, Any] = {}
    stack = [body]
    while stack:
        part = stack[-1]
        args = () if isinstance(part, Binding) else part.args
        missing = [arg for arg in args if id(arg) not in done]
        if missing:
            stack += missing
        else:
            done[id(part)] = _with_choice(part, [done[id(arg)] for arg in args])
            stack.pop()
    return done[id(body)]


def _with_choice(part: Any, args: list[Any]) -> Any:
    if isinstance(part, sp.Piecewise):
        return Choice(Head("piecewise"), *(each for branch in args for each in branch.args))
    changed = any(now is not before for now, before in zip(args, part.args, strict=False))
    return part.func(*args) if changed else part


def _range(limit: Any, name: str) -> Any:
    """A limit as (index, first, last)."""
    if isinstance(limit, sp.Idx) and limit.upper is not None:
        return sp.Tuple(limit, limit.lower, limit.upper)
    if not isinstance(limit, (tuple, list, sp.Tuple)) or len(limit) != 3:
        raise ArgumentError(f"{name}: a limit is (index, first, last), both included, not {limit}")
    return sp.Tuple(_index(limit[0], name), *(operand(bound, name) for bound in limit[1:]))


def _axis(limit: Any) -> Any:
    """An axis of a comprehension as (index, size)."""
    if isinstance(limit, sp.Idx) and limit.upper is not None and limit.lower == 0:
        return sp.Tuple(limit, limit.upper + 1)
    if not isinstance(limit, (tuple, list, sp.Tuple)) or len(limit) != 2:
        raise ArgumentError(f"comprehension: an axis is (index, size), not {limit}")
    return sp.Tuple(_index(limit[0], "comprehension"), size(limit[1], f"comprehension over {limit[0]}"))


def _index(symbol: Any, name: str) -> Any:
    if not isinstance(symbol, (sp.Symbol, sp.Idx)):
        raise ArgumentError(f"{name}: an index is a Symbol (indices('i j') makes some), not {symbol!r}")
    return symbol


def _inside(index: Any) -> set[Any]:
    """The symbols of an index that go with it: an Idx's label."""
    return {index.label} if isinstance(index, sp.Idx) else set()
