"""A formula over all examples at once: data are matrices whose rows are the examples, named by capitals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sympy as sp

from sympile.compiler import language
from sympile.compiler.graph.definition import EXAMPLES, Definition
from sympile.compiler.graph.node import ONE, Node
from sympile.compiler.passes.reading.scope import Scope, Symbol
from sympile.compiler.show.numbers import shown_size

COUNT = "N"


def batched_scope(scope: Scope) -> Scope:
    """The same symbols, data with an axis of N examples in front, unless the formula has that axis already."""
    if scope.examples is not None:
        return scope
    taken = {*scope.symbols, *scope.names.values(), COUNT}
    count = COUNT if COUNT not in scope.symbols and COUNT not in scope.sizes else "n_examples"
    symbols = {name: _batched(s, taken, count) if s.batched else s for name, s in scope.symbols.items()}
    return replace(scope, examples=count, symbols=symbols)


def _batched(symbol: Symbol, taken: set[str], count: str) -> Symbol:
    name = capital(symbol.name, taken)
    inner = tuple(n for n in symbol.declared if n is not ONE)
    declared: tuple[Node, ...] = (EXAMPLES, *(inner or (ONE,)))
    sizes = [shown_size(n, count) for n in declared]
    given: Any = sp.MatrixSymbol(name, *sizes) if len(sizes) == 2 else language.Tensor(name, tuple(sizes))
    return replace(symbol, name=name, given=given, declared=declared)


def capital(name: str, taken: set[str]) -> str:
    """X for x, dZ for dz; `xs` where the capital stands for something else."""
    raised = (
        f"d{name[1:2].upper()}{name[2:]}" if name.startswith("d") and len(name) > 1 else name[:1].upper() + name[1:]
    )
    return f"{name}s" if raised in taken or raised == name else raised


def batched_names(names: Mapping[Definition, str], scope: Scope) -> dict[Definition, str]:
    """Names of intermediate values, those of all examples by capitals."""
    if scope.examples is not None:
        return dict(names)
    taken = {*scope.symbols, *names.values(), COUNT}
    return {t: capital(n, taken) if t.batched else n for t, n in names.items()}
