"""A scalar formula at a place in its loops → instructions; what a loop does not change is written before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.errors import UnknownFunction
from sympile.compiler.graph.brackets import BRACKETS
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.operations import WRITERS
from sympile.compiler.passes.emitting.places import FIRST, Place, as_tuple, parts
from sympile.compiler.records import dataclass
from sympile.compiler.rules.machine import VECTOR_MATH, call_or_inline, inline

CONDITIONS = frozenset({"eq", "ge", "divides", "less", "less_equal", "equals", "differs", "and", "or", "not"})
_FLOAT_PREDICATES = {"less": "olt", "less_equal": "ole", "equals": "oeq", "differs": "une"}


@dataclass(slots=True)
class Elements:
    """Writes elements of one nest of loops."""

    frame: Frame
    scalar: Lanes
    wide: Lanes
    vector: Node | None = None  # the index that lies across the lanes
    row: Node | None = None  # the index whose steps are unrolled
    second: Node | None = None  # another one
    positions: dict[Node, Integer] = field(default_factory=dict)
    mask: Value | None = None
    known: list[dict[object, Value]] = field(default_factory=lambda: [{}])
    forwarded: dict[Definition, Callable[[Place], Value]] = field(default_factory=dict)
    packed: dict[Node, Callable[[Place], Value]] = field(default_factory=dict)  # operands that lie ready in a panel
    columns: dict[object, tuple[Value, list[Value]]] = field(default_factory=dict)  # of narrow arrays (columns.py)
    decided: Mapping[Node, bool] = field(default_factory=dict)  # conditions on indices that are known (interior.py)
    inlines: bool = False  # whether vector math on wide lanes is written where it stands

    # ------------------------------------------------------------------------------------------ scopes

    def push(self) -> None:
        """Enters a loop: what is written from now on is forgotten when it ends."""
        self.known.append({})

    def pop(self) -> None:
        self.known.pop()

    @contextmanager
    def elsewhere(self, positions: Mapping[Node, Integer]) -> Iterator[None]:
        """What stands inside is written for single numbers, with some indices at other places."""
        before = self.vector, self.positions, self.known
        self.vector, self.positions, self.known = None, {**self.positions, **positions}, [{}]
        yield
        self.vector, self.positions, self.known = before

    def find(self, key: object) -> Value | None:
        if len(self.known) == 1:
            return self.known[0].get(key)
        for layer in reversed(self.known):
            value = layer.get(key)
            if value is not None:
                return value
        return None

    def hoist(self, bodies: Iterable[Node], bound: frozenset[Node], place: Place = FIRST) -> None:
        """Writes now whatever the loops that are still to be entered do not change."""
        for node in self._largest_invariant(bodies, bound):
            if node.op not in CONDITIONS:
                self.value(node, place)

    @staticmethod
    def _largest_invariant(bodies: Iterable[Node], bound: frozenset[Node]) -> list[Node]:
        found, stack, seen = [], list(bodies), set()
        while stack:
            node = stack.pop()
            if node in seen or (not node.args and node.op != "read"):
                continue
            seen.add(node)
            if node.free <= bound:
                found.append(node)
            elif node.op in BRACKETS:
                stack.extend(parts(node))  # integers, which are written where they are compared
            elif node.op not in ("read", "table"):
                stack.extend(node.args[:1] if node.op == "when" else node.args)
        return found

    # ------------------------------------------------------------------------------------------ values

    def is_wide(self, node: Node) -> bool:
        return self.vector is not None and self.vector in node.free

    def lanes_of(self, node: Node) -> Lanes:
        return self.wide if self.is_wide(node) else self.scalar

    def key_of(self, node: Node, place: Place) -> object:
        if not (place.row or place.vector or place.second):
            return node
        row = place.row if place.row and self.row in node.free else 0
        vector = place.vector if place.vector and self.is_wide(node) else 0
        second = place.second if place.second and self.second in node.free else 0
        return (node, row, vector, second) if row or vector or second else node

    def value(self, node: Node, place: Place) -> Value:
        """The value at a place: a scalar if the node does not vary across the lanes. Iterative."""
        single = place is FIRST or not (place.row or place.vector or place.second)  # each node is its own key
        key = node if single else self.key_of(node, place)
        find = self.known[0].get if len(self.known) == 1 else self.find
        found = find(key)
        if found is not None:
            return found
        stack = [(node, key, False)]
        while stack:
            item, own, ready = stack.pop()
            needs = () if ready or item in self.packed else self._parts(item)
            missing: list[tuple[Node, object, bool]]
            if single:
                missing = [(p, p, False) for p in needs if find(p) is None]
            else:
                missing = [(p, k, False) for p in needs if find(k := self.key_of(p, place)) is None]
            if missing:
                stack.append((item, own, True))
                stack.extend(reversed(missing))
            elif find(own) is None:
                self.known[-1][own] = self._write(item, place)
                if not self.frame.fuses:
                    self.frame.function.divide()
        result = find(key)
        assert result is not None
        return result

    def _parts(self, node: Node) -> tuple[Node, ...]:
        """What must be written before a node; of a choice that is known, what is chosen."""
        if self.decided and node.op in ("when", "select"):
            conditions = node.args[1:] if node.op == "when" else node.args[:1]
            truths = [self.truth(condition) for condition in conditions]
            if node.op == "select" and truths[0] is not None:
                return (node.args[1 if truths[0] else 2],)
            if node.op == "when" and False in truths:
                return ()
            if node.op == "when":
                return (node.args[0], *[c for c, truth in zip(conditions, truths, strict=True) if truth is None])
        return parts(node)

    def truth(self, condition: Node) -> bool | None:
        """What is known of a condition."""
        if condition.op in ("ge", "eq"):
            return self.decided.get(condition)
        if condition.op == "not":
            inner = self.truth(condition.args[0])
            return None if inner is None else not inner
        if condition.op in ("and", "or"):
            ends = condition.op == "or"  # the truth of one operand that tells that of all
            truths = {self.truth(arg) for arg in condition.args}
            return ends if ends in truths else None if None in truths else not ends
        return None

    def wide_value(self, node: Node, place: Place) -> Value:
        """The value in every lane."""
        value = self.value(node, place)
        if self.is_wide(node) or self.wide.lanes == 1:
            return value
        key = ("splat", *as_tuple(self.key_of(node, place)))
        found = self.find(key)
        if found is None:
            found = self.known[-1][key] = self.wide.splat(value)
        return found

    def operand(self, lanes: Lanes, node: Node, place: Place) -> Value:
        return self.wide_value(node, place) if lanes is self.wide else self.value(node, place)

    def _write(self, node: Node, place: Place) -> Value:
        if node in self.packed:
            return self.packed[node](place)
        writer = WRITERS.get(node.op)
        if writer is not None:
            return writer(self, node, place)
        lanes = self.lanes_of(node)
        if node.op in _FLOAT_PREDICATES:
            left, right = (self.operand(lanes, a, place) for a in node.args)
            return lanes.compare(_FLOAT_PREDICATES[node.op], left, right)
        if node.op not in VECTOR_MATH:
            raise UnknownFunction(f"{node.op} has no machine code: it has no row in compiler/rules/machine.py")
        write = inline if (self.inlines or self.frame.inlines) and lanes is self.wide else call_or_inline
        return write(lanes, node.op, *[self.operand(lanes, a, place) for a in node.args])

    # ------------------------------------------------------------------------------------------ conditions

    def condition(self, node: Node, place: Place, lanes: Lanes) -> Value:
        """A truth, in every lane where wide lanes are asked for."""
        known = self.truth(node) if self.decided else None
        if known is not None:
            return lanes.truth_constant(known)
        own = self.value(node, place)
        return own if self.is_wide(node) or lanes is not self.wide else lanes.splat(own)
