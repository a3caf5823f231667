"""The protocol of every SymPy class of ours, and the interned base that SymPy's recursion cannot slow down.

SymPy's `*` and `+` call `doit` and compare trees recursively and unmemoised. So a node of ours is interned (one object
per operation, operands and options), compares by identity, hashes and sorts by its serial number, and `doit` returns it
as it is; its `args` are kept, so that `subs`, `xreplace`, `atoms` and pickle still work.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Hashable
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

import sympy as sp
from sympy.core.traversal import iterargs

from sympile.compiler.errors import NotDifferentiable
from sympile.compiler.language import printing
from sympile.compiler.language.protocol import Ours as Ours
from sympile.compiler.language.walking import (
    Memo,
    Replacement,
    flattened,
    low_parts,
    nested,
    parts_of,
    restored,
    substitute_around,
)


class Head(sp.Atom):  # type: ignore[misc]
    """The first of a node's `args`: its operation and its options, in one atom."""

    __slots__ = ("operation", "options")
    operation: str
    options: tuple[Hashable, ...]

    def __new__(cls, operation: str, options: tuple[Hashable, ...] = ()) -> Head:
        """The head of a node; equal heads need not be the same object."""
        made = sp.Basic.__new__(cls)
        made.operation, made.options = operation, options
        return made  # type: ignore[no-any-return]

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.operation, self.options

    def _hashable_content(self) -> tuple[str, str]:
        return self.operation, repr(self.options)  # repr: 1, 1.0 and True stay three options

    def _sympystr(self, printer: Any) -> str:
        return self.operation

    def _sympyrepr(self, printer: Any) -> str:
        return f"Head({self.operation!r}, {self.options!r})"


class Interned(Ours):
    """The base of all node classes: mixed in before a SymPy class."""

    _made: ClassVar[weakref.WeakValueDictionary[tuple[Any, ...], Interned]] = weakref.WeakValueDictionary()
    _serials = itertools.count()
    _lock = threading.Lock()

    _opaque = False  # whether walks leave the parts to the node itself, as a binder must

    _serial: int
    _shape: tuple[Any, ...]
    _free: frozenset[Any]
    args: tuple[Any, ...]

    def __new__(cls, head: Head, *operands: Any) -> Interned:
        """The one node of this class with this head and these operands; raises ShapeError where they do not fit."""
        key = (cls, head, operands)
        with cls._lock:
            known = cls._made.get(key)
        if known is not None:
            return known
        _join_derivatives()
        made: Interned = sp.Basic.__new__(cls, head, *operands)
        made._shape = made._infer_shape()
        made._free = made._find_free_symbols()
        with cls._lock:
            made._serial = next(cls._serials)
            return cls._made.setdefault(key, made)

    def _infer_shape(self) -> tuple[Any, ...]:
        """The shape of the result; raises ShapeError."""
        raise NotImplementedError

    def _find_free_symbols(self) -> frozenset[Any]:
        """The free symbols; a binder takes away those it binds."""
        return frozenset().union(*(operand.free_symbols for operand in self.operands))

    # ------------------------------------------------------------------------------------ what a reader sees

    @property
    def operation(self) -> str:
        """The key under which a table finds what this node means."""
        return self.args[0].operation  # type: ignore[no-any-return]

    @property
    def options(self) -> tuple[Hashable, ...]:
        """Plain hashable Python values, such as the axes of a reduction."""
        return self.args[0].options  # type: ignore[no-any-return]

    @property
    def operands(self) -> tuple[Any, ...]:
        """SymPy objects of any kind: scalars, relations, matrices, tensors, limits."""
        return self.args[1:]

    @property
    def shape(self) -> tuple[Any, ...]:
        """The sizes of the axes: Integers, Symbols, or expressions of them."""
        return self._shape

    @property
    def free_symbols(self) -> set[Any]:
        """The symbols that this value depends on."""
        return set(self._free)

    # ------------------------------------------------------------------------- identity instead of comparing

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return hash(self._serial + 0x5EED)

    def _hashable_content(self) -> tuple[int]:
        return (self._serial,)

    def sort_key(self, order: Any = None) -> tuple[Any, ...]:
        """SymPy's sort key: behind its own classes, in the order of making."""
        return (10, 0, type(self).__name__), (1, (f"{self._serial:015d}",)), sp.S.One.sort_key(), sp.S.One

    def doit(self, **hints: Any) -> Any:
        """Itself: there is nothing that SymPy could evaluate."""
        return self

    def copy(self) -> Any:
        """Itself: nodes are immutable and interned."""
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return restored, (flattened(self),)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    # ------------------------------------------------------------------------------ walking, each node once

    def atoms(self, *types: Any) -> set[Any]:
        """The atoms, or the parts of the given types, as `sympy.Basic.atoms`."""
        wanted = tuple(kind if isinstance(kind, type) else type(kind) for kind in types)
        parts = (part for part in parts_of(self) if not isinstance(part, Head))
        return {part for part in parts if (isinstance(part, wanted) if types else not part.args)}

    @property
    def _argset(self) -> list[Any]:
        """What SymPy's walks in no order go through: what is shared below comes once, not once on every way to it."""
        return [part for part in low_parts(self) if not isinstance(part, Head)]

    def _has(self, walk: Any, *patterns: Any) -> bool:
        return bool(super()._has(parts_of if walk is iterargs else walk, *patterns))  # type: ignore[misc]

    def _xreplace(self, rule: Any) -> tuple[Any, bool]:
        return Replacement.of(rule).result(self)

    def _replaced(self, rule: Replacement) -> Any:
        """This node with its operands replaced; the nodes below have been replaced already."""
        pairs = [operand._xreplace(rule) for operand in self.operands]
        return self._rebuilt(tuple(new for new, _ in pairs)) if any(changed for _, changed in pairs) else self

    def _rebuilt(self, operands: tuple[Any, ...]) -> Any:
        """A node of this operation and these options with other operands."""
        return self.func(self.args[0], *operands)  # type: ignore[attr-defined]

    def _subs(self, old: Any, new: Any, **hints: Any) -> Any:
        memo: dict[Any, Any] = hints.setdefault("_sympile_done", Memo())
        for node in nested(self, memo.__contains__):
            memo[node] = new if node == old else node._substituted(old, new, memo, hints)
        return memo[self]

    def _substituted(self, old: Any, new: Any, memo: dict[Any, Any], hints: dict[str, Any]) -> Any:
        """This node after `subs` of its operands; the nodes below are in `memo`."""
        operands = tuple(substitute_around(operand, old, new, memo) for operand in self.operands)
        unchanged = all(after is before for after, before in zip(operands, self.operands, strict=True))
        return self if unchanged else self._rebuilt(operands)

    # ------------------------------------------------------------------------------------------- refusals

    def diff(self, *symbols: Any, **hints: Any) -> Any:
        """Zero by what does not occur; otherwise an error, for SymPy would answer 0 or recurse."""
        first = sp.sympify(symbols[0][0] if isinstance(symbols[0], (tuple, list)) else symbols[0]) if symbols else None
        if first is not None and not (first.free_symbols & self._free or first == self):
            return 0 * self  # type: ignore[operator]
        raise NotDifferentiable(
            f"SymPy cannot differentiate {printing.short(self)}; write sympile.grad(expr, {first or 'symbol'})"
        )

    def _eval_derivative(self, symbol: Any) -> Any:
        return self.diff(symbol)

    def _eval_derivative_matrix_lines(self, symbol: Any) -> Any:
        return self.diff(symbol)

    # -------------------------------------------------------------------------------------------- printing

    @property
    def precedence(self) -> int:
        """How tightly the printed form binds, in SymPy's numbers."""
        return printing.precedence_of(self)

    def _sympystr(self, printer: Any) -> str:
        return printing.text(self, printer)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return printing.latex(self, printer, exp)

    def _pretty(self, printer: Any) -> Any:
        return printing.pretty(self)


@cache
def _join_derivatives() -> None:
    """Tells SymPy's matrix derivatives to ask our nodes; else they answer 0 for scalars, and for matrices never end."""
    arrays = import_module("sympy.tensor.array.expressions")  # optional: slow to load

    @arrays.array_derive.register(Interned)  # type: ignore[untyped-decorator]
    def _(expr: Any, x: Any) -> Any:
        expr.diff(x)
        return arrays.ZeroArray(*x.shape, *expr._shape)
