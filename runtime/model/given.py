"""What users hand in: expressions and formulas, and that each name in them is one symbol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError, DuplicateName, UnsupportedNode
from sympile.compiler.passes.adopt import Derived
from sympile.compiler.show.shown import Formula
from sympile.runtime.byname import name_of


def as_given(expression: Any) -> Any:
    """What is compiled: a Formula's own program, or a SymPy expression to be read."""
    return expression.derived if isinstance(expression, Formula) else sp.sympify(expression)


def demand_formula(label: str, expression: Any) -> None:
    """What `as_given` returned must be something that can be read."""
    if not isinstance(expression, (sp.Basic, sp.MatrixBase, Derived)):
        raise UnsupportedNode(f"the {label} is {expression!r}, which is no formula")


def as_symbols(name: str, given: Any) -> tuple[Any, ...]:
    """One symbol or several, as a tuple; what is none has no slope of its own, and no value."""
    if isinstance(given, (str, bytes)) or given is None:
        raise ArgumentError(f"{name} must be symbols, not {given!r}")
    several = (given,) if hasattr(given, "free_symbols") or not isinstance(given, Iterable) else tuple(given)
    for one in several:
        if not (
            getattr(one, "is_Symbol", False)
            or isinstance(one, (sp.MatrixSymbol, sp.IndexedBase))
            or type(one).__name__ == "Tensor"
        ):
            raise ArgumentError(f"{name} must be symbols (Symbol, MatrixSymbol, IndexedBase, Tensor), not {one}")
    return several


OWN = "#"  # sizes and inputs of ours begin so, and are told from the user's by their names alone


def demand_one_symbol_per_name(expressions: Iterable[Any]) -> None:
    """Two different symbols of one name would be confused, whatever their assumptions are."""
    known: dict[str, Any] = {}
    for expression in expressions:
        for symbol in sorted(_symbols_of(expression), key=lambda s: (name_of(s), _described(s))):
            name = name_of(symbol)
            if name.startswith(OWN):
                raise DuplicateName(f"names that begin with {OWN} are our own; give {name!r} another one")
            other = known.setdefault(name, symbol)
            if other != symbol and type(other) is type(symbol) and not isinstance(symbol, sp.Indexed):
                raise DuplicateName(
                    f"two different symbols are called {name!r} "
                    f"({_described(other)} and {_described(symbol)}); rename one of them"
                )


def _symbols_of(expression: Any) -> set[Any]:
    """All symbols; a formula's are those of its scope, which the reader compares by shape."""
    return set() if isinstance(expression, Derived) else symbols_in(sp.sympify(expression))


def symbols_in(expression: Any) -> set[Any]:
    """All symbols of an expression, bound indices too but no variables of a Lambda; iterative.

    Nor bound Dummies: SymPy sums over them in the entries of products, and calls them all by one name.
    """
    found: set[Any] = set()
    variables: set[Any] = set()
    seen, stack = {id(expression)}, [expression]
    plain: dict[type, bool] = {}
    while stack:
        part = stack.pop()
        kind = type(part)
        if kind not in plain:
            plain[kind] = not (issubclass(kind, _TELLING) or getattr(kind, "is_Symbol", False))
        if not plain[kind]:
            if isinstance(part, sp.Lambda):
                variables.update(part.variables)
            elif isinstance(part, sp.Sum):
                variables.update(limit[0] for limit in part.limits if isinstance(limit[0], sp.Dummy))
            else:
                found.add(part)
        for below in part.args:
            if id(below) not in seen:
                seen.add(id(below))
                stack.append(below)
    return found - variables


_TELLING = (sp.MatrixSymbol, sp.IndexedBase, sp.Lambda, sp.Sum)


def _described(symbol: Any) -> str:
    if isinstance(symbol, (sp.MatrixSymbol, sp.IndexedBase)):
        return f"{type(symbol).__name__} of shape {symbol.shape}"
    assumed = ", ".join(f"{k}={v}" for k, v in sorted(getattr(symbol, "_assumptions_orig", {}).items()))
    return f"{type(symbol).__name__} with {assumed}" if assumed else f"a plain {type(symbol).__name__}"
