"""The engine of reading: one explicit stack, a table row per SymPy class, one memo per scope of bound indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import sympy as sp

from sympile.compiler.errors import ShapeError, UnknownFunction, UnsupportedNode, pointed
from sympile.compiler.graph.affine import never_at_least_zero
from sympile.compiler.graph.arithmetic import sub
from sympile.compiler.graph.node import ONE, Node, postorder
from sympile.compiler.graph.ranges import largest, smallest
from sympile.compiler.language.protocol import Ours
from sympile.compiler.passes.reading.scope import Scope, shape_text
from sympile.compiler.passes.reading.values import Value, broadcast_shape, elementwise_of, lifted
from sympile.compiler.passes.reading.words import size_text
from sympile.compiler.records import dataclass


@dataclass(slots=True)
class Bindings:
    """The indices bound around an expression, innermost first, and what has been read under them."""

    indices: dict[Any, Node] = field(default_factory=dict)
    holes: dict[Any, Value] = field(default_factory=dict)  # variables of a Lambda
    done: dict[int, tuple[Any, Value]] = field(default_factory=dict)
    outer: Bindings | None = None
    own: frozenset[Any] = frozenset()  # what is bound here and not outside

    def inner(self, indices: Mapping[Any, Node] | None = None, holes: Mapping[Any, Value] | None = None) -> Bindings:
        own = with_labels([*(indices or ()), *(holes or ())])
        return Bindings({**self.indices, **(indices or {})}, {**self.holes, **(holes or {})}, {}, self, own)

    def home(self, item: Any) -> Bindings:
        """The outermost bindings under which a node of ours means the same as under these: it is read there, once."""
        at = self
        while at.outer is not None and isinstance(item, Ours) and at.own.isdisjoint(item.free_symbols):
            at = at.outer
        return at


def with_labels(indices: Sequence[Any]) -> frozenset[Any]:
    """The indices, and the symbols that go with them: an Idx's label."""
    return frozenset([*indices, *(index.label for index in indices if isinstance(index, sp.Idx))])


@dataclass(frozen=True, slots=True)
class Row:
    """How one class is read: which parts first, and what they make."""

    parts: Callable[[Any], Sequence[Any]]
    build: Callable[[Reader, Any, list[Value], Bindings], Value]
    binds: bool = False  # the row reads its formula itself, under bindings of its own


Table = Mapping[str, Row]


@dataclass(slots=True)
class Reader:
    """Reads expressions of one model; every expression under the same bindings once."""

    scope: Scope
    table: Table
    label: str = "expr"
    whole: Any = None
    rows: dict[type, Row] = field(default_factory=dict)  # as found in the table, by class

    def read(self, expression: Any, bindings: Bindings) -> Value:
        """The value of an expression; iterative, so that depth is no matter."""
        done, same, shared = bindings.done, self.scope.same, self.scope.shared
        expression = self.scope.the_one(expression)
        stack: list[tuple[Any, list[Any] | None]] = [(expression, None)]  # and its parts, when they have been read
        while stack:
            item, parts = stack.pop()
            if id(item) in done:
                continue
            row = self.rows.get(type(item)) or self._row(item)
            if parts is None:
                home = bindings if bindings.outer is None else bindings.home(item)
                if home is not bindings:
                    done[id(item)] = (item, self.read(item, home))
                    continue
                below = self._settled_below(item) if row.binds else row.parts(item)
                parts = [same.get(id(part), part) for part in below]
                missing = [(part, None) for part in parts if id(part) not in done]
                if missing:
                    stack.append((item, parts))
                    stack.extend(reversed(missing))
                    continue
            value = row.build(self, item, [done[id(part)][1] for part in parts], bindings)
            done[id(item)] = (item, self._held(value) if id(item) in shared else value)
        return done[id(expression)][1]

    def _settled_below(self, binder: Any) -> list[Any]:
        """The nodes of ours below a binder that no index bound on the way concerns: read before, they cost no depth."""
        found: list[Any] = []
        seen: set[tuple[int, frozenset[Any]]] = set()
        stack: list[tuple[Any, frozenset[Any]]] = [(binder, frozenset())]
        while stack:
            item, bound = stack.pop()
            if (id(item), bound) in seen:
                continue
            seen.add((id(item), bound))
            row = self._row(item)
            if item is not binder and isinstance(item, Ours) and bound.isdisjoint(item.free_symbols):
                found.append(item)
            elif row.binds:
                stack.append((item.function, bound | with_labels([limit[0] for limit in item.limits])))
            else:
                stack += [(part, bound) for part in row.parts(item)]
        return found

    def _held(self, value: Value) -> Value:
        """An array that stands in several places gets a definition, which all of them read; one of numbers does not."""
        body = value.body
        if not value.indices or body.op == "read":
            return value
        return lifted(value)[0] if any(node.op == "read" for node in postorder([body])) else value

    def _row(self, item: Any) -> Row:
        for kind in type(item).__mro__:
            row = self.table.get(kind.__name__)
            if row is not None:
                self.rows[type(item)] = row
                return row
        raise self._unknown(item)

    def _unknown(self, item: Any) -> Exception:
        if isinstance(item, sp.Function):
            name = type(item).__name__
            return UnknownFunction(
                f"the {self.label} uses {name}, which has no row in compiler/rules/functions.py\n\n"
                f"{self.pointing(item)}\n\n"
                "  write it with known functions (exp, log, tanh, ...)"
            )
        return UnsupportedNode(f"{type(item).__name__} has no meaning here\n\n{self.pointing(item)}")

    def pointing(self, item: Any) -> str:
        """The expression in text, with carets under one part of it."""
        if not (_is_printable(self.whole) and _is_printable(item)):
            return f"    {self.label} = ... (too large to print)"
        return pointed(self.label, str(self.whole), str(item))

    def refuse(self, item: Any, why: str, kind: type[Exception] = UnsupportedNode) -> Exception:
        """An error that says why and points at the spot."""
        return kind(f"{why}\n\n{self.pointing(item)}")

    def elementwise(self, item: Any, values: Sequence[Value], build: Callable[..., Node]) -> Value:
        """build at every position of the broadcast shape; an error that names both shapes where they disagree."""
        if not any([value.axes for value in values]):
            return Value(build(*[value.body for value in values]))
        shape = broadcast_shape(values)
        if shape is None:
            shapes = " and ".join(shape_text(v.shape) for v in values if v.axes)
            named = ", ".join(f"{n} has shape {s}" for n, s in self.shapes_in(item))
            raise self.refuse(item, f"shapes {shapes} do not fit together ({named})", ShapeError)
        return elementwise_of(values, shape, build)

    def check_range(self, item: Any, point: Node, length: Node) -> None:
        """Refuses a position that is outside of its axis whatever the indices are."""
        if never_at_least_zero(point) or never_at_least_zero(sub(sub(length, ONE), point)):
            words = f"{_positions(point)} outside of an axis of length {size_text(length)}"
            raise self.refuse(item, words, ShapeError)

    def shapes_in(self, item: Any) -> list[tuple[str, str]]:
        """Names and shapes of the array symbols in an expression, for messages."""
        found = sorted(n for n in self.scope.symbols if any(str(getattr(s, "name", s)) == n for s in item.free_symbols))
        return [(n, shape_text(self.scope.symbols[n].declared)) for n in found]


def _positions(point: Node) -> str:
    """A position, or where an index that runs is first and last."""
    low, high = smallest(point), largest(point)
    if low is None or high is None or low is high:
        return f"position {size_text(point)} lies"
    return f"positions from {size_text(low)} to {size_text(high)} lie"


_MOST_PRINTED, _DEEPEST_PRINTED = 3000, 60


def _is_printable(whole: Any) -> bool:
    """Whether SymPy can print it: it walks shared parts again and again, and recursively."""
    sizes: dict[int, tuple[int, int]] = {}
    stack = [whole]
    while stack:
        part = stack[-1]
        arguments = [a for a in getattr(part, "args", ()) if isinstance(a, sp.Basic)]
        missing = [a for a in arguments if id(a) not in sizes]
        if missing:
            stack.extend(missing)
            continue
        below = [sizes[id(a)] for a in arguments]
        sizes[id(part)] = 1 + sum(n for n, _ in below), 1 + max((d for _, d in below), default=0)
        stack.pop()
    size, depth = sizes[id(whole)]
    return size <= _MOST_PRINTED and depth <= _DEEPEST_PRINTED
