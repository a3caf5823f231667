"""Reads SymPy expressions in any notation into definitions; finds out who is what, and checks shapes on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sympy as sp
from sympy.matrices.expressions.slice import MatrixSlice

from sympile.compiler.errors import DuplicateName, NonScalarLoss, ShapeError
from sympile.compiler.graph.arithmetic import sub
from sympile.compiler.graph.conditions import negation, when
from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, Definition, computed, elementwise
from sympile.compiler.graph.implied import demanded
from sympile.compiler.graph.node import ONE, READ_AT, Node, extent, number, postorder, target
from sympile.compiler.graph.ranges import largest, smallest, stays_inside
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.language.intake import is_relation
from sympile.compiler.language.reductions import over_everything
from sympile.compiler.passes.adopt import Derived, adopted, learn_sizes
from sympile.compiler.passes.reading.engine import Bindings, Reader, Table
from sympile.compiler.passes.reading.indices import INDICES
from sympile.compiler.passes.reading.matrices import MATRICES
from sympile.compiler.passes.reading.ours import OURS
from sympile.compiler.passes.reading.scalars import SCALARS
from sympile.compiler.passes.reading.scope import BOTH, Constraint, Scope, shape_text
from sympile.compiler.passes.reading.values import Value
from sympile.compiler.passes.reading.words import size_text
from sympile.compiler.records import dataclass

CONDITIONS = frozenset({"eq", "ge", "divides", "less", "less_equal", "equals", "differs", "and", "or", "not"})
Guards = frozenset[Node]
UNGUARDED: Guards = frozenset()
_OF_SIZES = frozenset({"const", "size", "add", "mul"})
MOST_WAYS = 32  # to one read
TABLE: Table = {**SCALARS, **MATRICES, **INDICES, **OURS}


@dataclass(frozen=True, slots=True)
class Output:
    """One expression as read: its tensor, and the shape as written (columns keep their 1)."""

    tensor: Definition
    declared: tuple[Node, ...]


PLACES = frozenset({"read", "eq", "ge", "divides", "quotient"})  # whose operands are places


def read_all(expressions: Mapping[str, Any], scope: Scope) -> dict[str, Output]:
    """Every expression (by label) as a definition; the scope learns the symbols."""
    derived = [e for e in expressions.values() if isinstance(e, Derived)]
    survey([e for e in expressions.values() if not isinstance(e, Derived)], scope)
    learn_sizes(derived, scope)
    bindings = Bindings()
    outputs = {label: _read(label, expression, scope, bindings) for label, expression in expressions.items()}
    _check_names(scope)
    _check_integers([output.tensor for output in outputs.values()], scope)
    return outputs


def _read(label: str, expression: Any, scope: Scope, bindings: Bindings) -> Output:
    if isinstance(expression, Derived):
        return Output(*adopted(expression, scope))
    given = sp.sympify(expression)
    return _output(Reader(scope, TABLE, label, given).read(given, bindings))


def _output(value: Value) -> Output:
    own = value.indices
    free = [i for i in value.body.free if i not in own]
    assert all(i is EXAMPLE for i in free), free
    body = when(ONE, value.body) if value.body.op in CONDITIONS else value.body  # true is 1, false is 0
    return Output(elementwise((*free, *own), body), value.shape)


def demand_number(label: str, expression: Any) -> None:
    """Refuses x > 0 as a loss: its gradient would be 0 everywhere."""
    if not isinstance(expression, Derived) and is_relation(sp.sympify(expression)):
        raise NonScalarLoss(
            f"the {label} {expression} is true or false, not a number; write sp.Piecewise((1, {expression}), (0, True))"
        )


def scalar_output(label: str, output: Output, expression: Any) -> Definition:
    """The definition of a loss: one number per example."""
    if any(n is not ONE for n in output.declared):
        raise NonScalarLoss(
            f"the {label} must be one number per example, but {expression} has shape {shape_text(output.declared)}; "
            f"{over_everything(expression)}"
        )
    return output.tensor


# ------------------------------------------------------------------------------------------------ survey


def survey(expressions: Iterable[Any], scope: Scope) -> None:
    """Finds, before anything is read, which symbols are sizes, which are bound somewhere, and what is written twice."""
    held: set[int] = set()  # what stands somewhere already
    tells: dict[type, bool] = {}
    same, given = scope.same, [sp.sympify(e) for e in expressions]
    scope.kept.extend(given)
    stack: list[tuple[Any, list[Any] | None]] = [(e, None) for e in given]  # and its parts, when they have been entered
    while stack:
        item, parts = stack.pop()
        if id(item) in same:
            continue
        if parts is None:
            parts = [a for a in item.args if isinstance(a, sp.Basic)]
            missing = [(a, None) for a in parts if id(a) not in same]
            if missing:
                stack.append((item, parts))
                stack.extend(reversed(missing))
                continue
        if scope.enter(item) is item:
            kind = type(item)
            if kind not in tells:
                tells[kind] = _may_tell(kind)
            if tells[kind]:
                _learn(item, scope)
            for part in parts:
                first = id(same[id(part)])
                (scope.shared if first in held else held).add(first)
    scope.sizes.difference_update(str(getattr(b, "name", b)) for b in scope.bound)
    scope.sizes.update(scope.pinned)
    if scope.examples is not None:
        scope.sizes.add(scope.examples)


def _may_tell(kind: type) -> bool:
    """Whether expressions of a class may declare sizes, or bind indices."""
    return issubclass(kind, _SIZED) or any(hasattr(kind, name) for name in ("shape", "limits", "operation"))


def _learn(item: Any, scope: Scope) -> None:
    """The sizes that an expression declares, and the indices that it binds."""
    for written in _written_sizes(item):
        scope.sizes.update(str(s.name) for s in sp.sympify(written).free_symbols)
    for limit in _limits(item):
        scope.bound.add(limit[0])
        for end in limit[1:]:
            scope.sizes.update(str(s.name) for s in sp.sympify(end).free_symbols if s.is_Symbol)


_SIZED = (sp.MatrixSymbol, sp.Identity, sp.ZeroMatrix, sp.OneMatrix, MatrixSlice)


def _written_sizes(item: Any) -> tuple[Any, ...]:
    """The shape entries that a symbol of an array declares."""
    if isinstance(item, _SIZED) or type(item).__name__ == "Tensor":
        return tuple(item.shape)
    if isinstance(item, sp.IndexedBase):
        return tuple(item.shape or ())
    return ()


def _limits(item: Any) -> tuple[Any, ...]:
    if getattr(item, "operation", None) == "comprehension" and hasattr(item, "operands"):  # its head has none
        return tuple(item.operands[1:])
    found = getattr(item, "limits", ())
    return tuple(found) if isinstance(found, tuple) else ()


def _check_names(scope: Scope) -> None:
    for name in scope.names.values():
        if name in scope.symbols:
            raise DuplicateName(f"{name} names both a symbol and an intermediate value; give one of them another name")


def _check_integers(outputs: Iterable[Definition], scope: Scope) -> None:
    """Integer data stand where places are counted, and are no numbers to compute with."""
    if not any(symbol.tensor.integer for symbol in scope.symbols.values()):
        return
    bodies = [tensor.formula for tensor in computed(outputs) if tensor.kind == "formula"]
    seen: set[Node] = set()
    while bodies:
        node = bodies.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "read" and target(node).integer:
            raise DuplicateName(BOTH.format(target(node).name))
        if node.op not in PLACES:
            bodies.extend(node.args)


# ------------------------------------------------------------------------------------------------ ranges


def range_constraints(outputs: Iterable[Definition], derived: Iterable[Definition] = ()) -> list[Constraint]:
    """What sizes must satisfy so that every read stays inside; an error where it may not.

    Conditions on indices around a read are believed, others are not; a sum that is read under such a condition alone
    reads under it itself. In derived formulas a guard holds for all that what it guards reads, whatever it says.
    """
    found: dict[Node, Constraint] = {}
    guarded = _all_reads(outputs)
    below = [tensor.formula for tensor in _reached_unguarded(derived) if tensor.kind == "formula"]
    for node, guards in [*guarded, *((node, UNGUARDED) for body in below for node in _unguarded_reads(body))]:
        for at, length in zip(node.args, target(node).shape, strict=True):
            if not stays_inside(at, length) and not any(n.op == "read" for n in postorder([at])):
                for constraint in _constraints(node, at, length, guards):
                    found[constraint.expression] = constraint
    for constraint in _of_small_sizes(outputs):
        found.setdefault(constraint.expression, constraint)
    return list(found.values())


def _of_small_sizes(outputs: Iterable[Definition]) -> Iterator[Constraint]:
    """What sizes of 0 must not be: lengths below 0, or those of arrays of which a fixed element is read."""
    for tensor in computed(outputs):
        for length in tensor.shape:
            if length.op not in ("const", "size"):
                yield Constraint(length, f"an axis would have {size_text(length)} elements")
        if tensor.body is None or READ_AT not in tensor.body.ops:
            continue
        runs = {extent(i) for i in (*tensor.axes, *tensor.reduced)}
        for node in postorder([tensor.body]):
            for at, length in zip(node.args, target(node).shape, strict=True) if node.op == "read" else ():
                if length.op == "size" and length not in runs and length is not EXAMPLES and not at.ops - _OF_SIZES:
                    message = f"an index of {target(node).name} runs outside of its axis"
                    yield from (Constraint(e, message) for e in (at, sub(sub(length, ONE), at)) if e.op != "const")


def _reached_unguarded(outputs: Iterable[Definition]) -> list[Definition]:
    """The tensors below the outputs that are read somewhere without a guard."""
    reached: dict[Definition, None] = {}
    stack = list(outputs)
    while stack:
        tensor = stack.pop()
        if tensor not in reached:
            reached[tensor] = None
            below = [] if tensor.body is None else [target(node) for node in _unguarded_reads(tensor.body)]
            stack += [*tensor.operands, *below]
    return list(reached)


def _constraints(node: Node, at: Node, length: Node, guards: Guards) -> list[Constraint]:
    low, high = smallest(at), largest(at)
    assert low is not None and high is not None
    result = []
    for expression in (at, sub(sub(length, ONE), at)):
        message = f"an index of {target(node).name} runs outside of its axis"
        demand = demanded(expression, guards)
        if demand is None or (demand.op == "const" and number(demand) < 0):
            raise ShapeError(
                f"{message}, from {size_text(low)} to {size_text(high)} "
                f"where 0 to {size_text(sub(length, ONE))} is allowed"
                + "; the conditions around it do not say that it stays inside" * bool(guards)
            )
        if demand.op != "const":
            result.append(Constraint(demand, message))
    return result


def _all_reads(outputs: Iterable[Definition]) -> list[tuple[Node, Guards]]:
    """Every read in all tensors, with the conditions on indices under which somebody needs it."""
    wanted = list(outputs)
    ways: dict[Definition, set[Guards]] = {tensor: {UNGUARDED} for tensor in wanted}
    found: list[tuple[Node, Guards]] = []
    for tensor in reversed(computed(wanted)):
        own = _weakest(ways.get(tensor, {UNGUARDED}))
        for operand in tensor.operands:
            ways.setdefault(operand, set()).add(UNGUARDED)
        for node, guards in _reads(tensor.body):
            every = [guards | way for way in own]
            found += [(node, way) for way in every]
            ways.setdefault(target(node), set()).update(_in_its_indices(node, way) for way in every)
    return found


def _in_its_indices(node: Node, guards: Guards) -> Guards:
    """What conditions around a read say of the indices of the tensor that is read."""
    own = dict(zip(node.args, target(node).axes, strict=True))
    known = {at: axis for at, axis in own.items() if at.op == "index"}
    if len(own) < len(node.args):  # one index in two places: a diagonal
        return UNGUARDED
    return frozenset(substitute(g, known) for g in guards if g.free and g.free.issubset(known))


def _reads(body: Node | None) -> list[tuple[Node, Guards]]:
    """Every read with the conditions on indices under which it is evaluated, for each way to it."""
    if body is None or READ_AT not in body.ops:  # scalars are read at no index
        return []
    order = postorder([body])
    plain: set[Node] = set()  # what reads nothing
    for node in order:
        if node.op != "read" and plain.issuperset(node.args):
            plain.add(node)
    ways: dict[Node, set[Guards]] = {body: {UNGUARDED}}
    found: list[tuple[Node, Guards]] = []
    for node in reversed(order):
        own = _weakest(ways[node])
        if node.op == "read":
            found += [(node, guards) for guards in own]
        for part, conditions in _guarded(node):
            more = _on_indices(conditions, plain)
            ways.setdefault(part, set()).update(guards.union(more) for guards in own)
    return found


def _on_indices(conditions: list[Node], plain: set[Node]) -> list[Node]:
    """The conditions, and parts of them, that hold and read nothing."""
    found, stack = [], list(conditions)
    while stack:
        condition = stack.pop()
        negated = condition.op == "not"
        inner = condition.args[0] if negated else condition
        if inner in plain:
            found.append(condition)
        elif inner.op == ("or" if negated else "and"):
            stack += [negation(part) for part in inner.args] if negated else inner.args
    return found


def _weakest(ways: set[Guards]) -> list[Guards]:
    """Those that no other one is part of; of very many, what all have in common."""
    least = [way for way in ways if not any(other < way for other in ways)]
    return least if len(least) <= MOST_WAYS else [frozenset.intersection(*least)]


def _guarded(node: Node) -> list[tuple[Node, list[Node]]]:
    """The operands, each with what holds where it matters."""
    if node.op == "select":
        condition, yes, no = node.args
        return [(condition, []), (yes, [condition]), (no, [negation(condition)])]
    if node.op in ("when", "and"):
        conditions = node.args[1:] if node.op == "when" else node.args
        return [(part, [c for c in conditions if c is not part]) for part in node.args]
    if node.op == "or":
        return [(part, [negation(c) for c in node.args if c is not part]) for part in node.args]
    return [(part, []) for part in node.args]


def _unguarded_reads(body: Node) -> list[Node]:
    """The reads that are evaluated whatever the conditions around them say."""
    found, seen, stack = [], set(), [body]
    while stack:
        node = stack.pop()
        if node in seen or node.op in ("when", "select"):
            continue
        seen.add(node)
        if node.op == "read":
            found.append(node)
        stack.extend(node.args)
    return found
