"""Who is what: sizes, indices, parameters, constants and data, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Any

import sympy as sp

from sympile.compiler.errors import DuplicateName, ShapeError, UnsupportedNode
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, Definition, input_tensor
from sympile.compiler.graph.node import ONE, Node, const, size
from sympile.compiler.language import Index
from sympile.compiler.passes.reading.words import size_text
from sympile.compiler.records import dataclass

BOTH = "{} is used both as an integer index and as a real number; use two symbols"
_OF_PARTS = (sp.Basic._hashable_content, sp.Expr._hashable_content)  # of classes whose parts say all


@dataclass(frozen=True, slots=True)
class Symbol:
    """One input as the user declared it."""

    name: str
    given: Any  # the SymPy object
    role: str  # "data" | "parameter" | "constant"
    declared: tuple[Node, ...]  # the shape as written
    tensor: Definition
    limit: Node | None = None  # an integer input's values lie in low … limit-1-short
    low: int = 0
    short: int = 0

    @property
    def batched(self) -> bool:
        return self.tensor.batched


@dataclass(frozen=True, slots=True)
class Constraint:
    """An affine expression in sizes that must not be negative, and what is wrong where it is."""

    expression: Node
    message: str


@dataclass(slots=True)
class Scope:
    """All symbols of one model, filled while reading."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    batched: bool = True  # data symbols have an example axis
    examples: str | None = None  # the size that is the number of examples, where formulas state it themselves
    pinned: Mapping[str, int] = field(default_factory=dict)
    sizes: set[str] = field(default_factory=set)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    names: dict[Definition, str] = field(default_factory=dict)
    bound: set[Any] = field(default_factory=set)  # every symbol that some binder binds
    constraints: list[Constraint] = field(default_factory=list)  # what formulas that are read or taken over demand
    same: dict[int, Any] = field(default_factory=dict)  # id of an expression → the first that was written like it
    written: dict[Any, Any] = field(default_factory=dict)  # how it was written → that first one
    shared: set[int] = field(default_factory=set)  # ids of first ones that stand in more than one place
    kept: list[Any] = field(default_factory=list)  # all expressions, so that ids stay true

    def role(self, name: str) -> str:
        return "parameter" if name in self.parameters else "constant" if name in self.constants else "data"

    def enter(self, item: Any) -> Any:
        """The first expression that was written like this one; its parts have been entered."""
        self.kept.append(item)
        kind, args, same = type(item), item.args, self.same
        plain = args and kind._hashable_content in _OF_PARTS
        parts = tuple([id(same.get(id(a), a)) for a in args]) if plain else item
        same[id(item)] = first = self.written.setdefault((kind, parts), item)
        return first

    def the_one(self, item: Any) -> Any:
        """SymPy copies what it puts together: of equal expressions the first, of those made while reading itself."""
        return self.same.get(id(item), item)

    def is_index(self, item: Any) -> bool:
        """Whether a symbol was made to be an index: sp.Idx, or one of sm.indices."""
        return isinstance(item, (sp.Idx, Index))

    def size(self, name: str) -> Node:
        if name == self.examples:
            return EXAMPLES
        return const(self.pinned[name]) if name in self.pinned else size(name)

    def extent(self, written: Any) -> Node:
        """A shape entry as written: an int, a Symbol, or affine in Symbols."""
        expression = sp.sympify(written)
        if expression.is_Integer:
            return const(int(expression))
        if expression.is_Symbol:
            return self.size(str(expression.name))
        if expression.is_Add:
            return add(*[self.extent(a) for a in expression.args])
        if expression.is_Mul:
            return mul(*[self.extent(a) for a in expression.args])
        if expression.is_Pow and expression.exp.is_Integer:
            return power(self.extent(expression.base), int(expression.exp))
        raise UnsupportedNode(f"{written} cannot be a size; write an integer, a Symbol, or a sum of them")

    def declare(
        self, given: Any, name: str, declared: Iterable[Any], integer: bool = False, limit: Node | None = None
    ) -> Symbol:
        """The input of this name; made at its first use, the same ever after."""
        shape = tuple(n if isinstance(n, Node) else self.extent(n) for n in declared)
        if any(n.op not in ("const", "size") for n in shape):
            raise ShapeError(
                f"{name} has shape {_shown(shape)}: a size of an array must be an integer or a Symbol of its own; "
                "write a new Symbol for it"
            )
        known = self.symbols.get(name)
        if known is not None and not shape and getattr(given, "shape", ()) is None:
            return known  # an IndexedBase without shape: the ranges of its indices have told it
        if known is not None:
            return self._checked(known, given, shape, integer, limit)
        role = self.role(name)
        inner = [n for n in shape if n is not ONE]
        own_examples = self.examples is not None and EXAMPLES in inner
        batched = role == "data" and self.batched and self.examples is None
        axes = [EXAMPLES, *inner] if batched else inner
        if own_examples and inner[0] is not EXAMPLES:
            raise ShapeError(
                f"{name} has shape {_shown(shape)}: the axis of the examples, {self.examples}, must be its first"
            )
        symbol = Symbol(name, given, role, shape, input_tensor(name, axes, role, integer), limit)
        self.symbols[name] = symbol
        return symbol

    def _checked(self, known: Symbol, given: Any, shape: tuple[Node, ...], integer: bool, limit: Node | None) -> Symbol:
        if known.declared != shape:
            raise DuplicateName(
                f"two symbols are called {known.name}: one has shape {_shown(known.declared)}, "
                f"the other {_shown(shape)}; give one of them another name"
            )
        if integer and not known.tensor.integer:
            raise DuplicateName(BOTH.format(known.name))
        return known if limit is None else self.narrow(known.name, limit)

    def narrow(self, name: str, limit: Node, low: int = 0, short: int = 0) -> Symbol:
        """Demands of an integer input that low <= value < limit - short."""
        known = self.symbols[name]
        if known.limit is not None and known.limit is not limit:
            raise ShapeError(
                f"{name} indexes axes of two different lengths, {size_text(known.limit)} and {size_text(limit)}; "
                "write a symbol for each"
            )
        if known.limit is not None:
            low, short = max(known.low, low), max(known.short, short)
        self.symbols[name] = replace(known, limit=limit, low=low, short=short)
        return self.symbols[name]

    def element(self, symbol: Symbol, at: Iterable[Node]) -> tuple[Definition, tuple[Node, ...]]:
        """The tensor, and the full index list of one element: the example index in front where it has one."""
        inner = tuple(p for p, n in zip(at, symbol.declared, strict=True) if n is not ONE)
        own = symbol.batched and self.examples is None
        return symbol.tensor, (EXAMPLE, *inner) if own else inner


def shape_text(shape: Iterable[Node]) -> str:
    return _shown(tuple(shape))


def _shown(shape: tuple[Node, ...]) -> str:
    return "(" + ", ".join(map(size_text, shape)) + ("," if len(shape) == 1 else "") + ")"
