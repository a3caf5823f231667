"""The flat form of a sum of products: nested sums are one sum, whatever order they were contracted in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympile.compiler.graph.arithmetic import add, factors_of, mul, split, terms_of
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import EXAMPLES, Definition, define, instance, read
from sympile.compiler.graph.node import ONE, Node, Number, const, extent, make, number, postorder, target, word_key

_MOST_TERMS = 16
_MOST_FACTORS = 64  # longer products stay nested: flattening a tensor that is read twice copies it


def flat_sum(reduced: Sequence[Node], body: Node) -> Node:
    """sum over reduced of body, as a product of sums none of which can be split, nested or scaled."""
    indices = list(reduced)
    coefficient, factors = _opened(indices, body)
    conditions = conditions_of(body)
    terms = _distributed(factors)
    if len(terms) > 1:
        return add(*[flat_sum(indices, when(mul(const(coefficient), *term), *conditions)) for term in terms])
    outer = [c for c in conditions if c.free.isdisjoint(indices)]
    inner = [c for c in conditions if c not in outer]
    parts: list[Node] = [const(coefficient)]
    for own, group in _components(indices, factors, inner):
        held = [c for c in inner if not c.free.isdisjoint(own)]
        if own and not group and not held:
            parts.extend(extent(i) for i in own)
        else:
            parts.append(_defined(own, group, held) if own else mul(*group))
    return when(mul(*parts), *outer)


def _distributed(factors: Sequence[Node]) -> list[list[Node]]:
    """The product as a sum of products: sum of a + b is sum of a + sum of b, however it was written. Long ones stay."""
    terms: list[list[Node]] = [[]]
    for factor in factors:
        parts = terms_of(factor)
        if len(terms) * len(parts) > _MOST_TERMS:
            return [list(factors)]
        terms = [[*term, part] for term in terms for part in parts]
    return terms


def _opened(indices: list[Node], body: Node) -> tuple[Number, list[Node]]:
    """The constant and the other factors; sums among them are replaced by their factors, which adds their indices."""
    coefficient: Number = 1
    factors: list[Node] = []
    pending = [unguarded(body)]
    while pending:
        own, rest = split(pending.pop())
        coefficient = coefficient * own
        for factor in factors_of(rest):
            if factor.op == "read" and _is_plain_sum(target(factor)) and len(factors) + len(pending) < _MOST_FACTORS:
                _, inner, formula = instance(target(factor), factor.args)
                indices.extend(inner)
                pending.append(formula)
            elif factor is not ONE:
                factors.append(factor)
    return coefficient, factors


def _is_plain_sum(tensor: Definition) -> bool:
    return tensor.kind == "formula" and tensor.monoid == "sum" and not conditions_of(tensor.formula)


def _components(
    indices: Sequence[Node], factors: Sequence[Node], conditions: Sequence[Node]
) -> list[tuple[list[Node], list[Node]]]:
    """Factors that share summed indices, directly or by way of others; those without any are a group of their own."""
    left = list(indices)
    groups: list[tuple[list[Node], list[Node]]] = []
    while left:
        own = {left[0]}
        grown = True
        while grown:
            linked = [n for n in (*factors, *conditions) if not n.free.isdisjoint(own)]
            wider = {i for i in left if any(i in n.free for n in linked)} | own
            grown, own = wider != own, wider
        groups.append(([i for i in left if i in own], [f for f in factors if not f.free.isdisjoint(own)]))
        left = [i for i in left if i not in own]
    groups.append(([], [f for f in factors if f.free.isdisjoint(indices)]))
    return groups


def _defined(reduced: list[Node], factors: Sequence[Node], conditions: Sequence[Node]) -> Node:
    """One sum, its indices in an order that names do not influence, its constant outside."""
    body = when(mul(*factors), *conditions)
    axes = _ordered(sorted(body.free - set(reduced), key=lambda i: i.key), body)
    tensor = define(axes, _ordered(reduced, body), "sum", body)
    coefficient, rest = split(tensor.formula)
    if coefficient != 1:  # renaming the indices may have turned the sign of a difference
        tensor = define(tensor.axes, tensor.reduced, "sum", rest)
    return mul(const(coefficient), read(tensor, *axes))


def _ordered(indices: Iterable[Node], body: Node) -> list[Node]:
    """The example index first, the others by how the body uses them."""
    marks = {i: _mark(body, i) for i in indices}
    return sorted(marks, key=lambda i: (extent(i) is not EXAMPLES, marks[i]))


def _mark(body: Node, marked: Node) -> int:
    """A hash of the body that sees which index is marked, but neither their names nor the signs of constants."""
    keys: dict[Node, int] = {}
    for node in postorder([body]):
        if node.op == "const":
            keys[node] = hash(abs(number(node)))
        elif node.op == "index":
            keys[node] = hash((extent(node).key, node is marked))
        elif not node.free:
            keys[node] = node.key
        else:
            operands = [keys[a] for a in node.args if a is not make("const", data=-1)]
            if node.op in ("add", "mul", "eq", "max", "min", "when"):
                operands.sort()
            data = target(node).key if node.op == "read" else word_key(repr(node.data))
            keys[node] = (
                operands[0] if node.op == "mul" and len(operands) == 1 else hash((word_key(node.op), data, *operands))
            )
    return keys[body]
