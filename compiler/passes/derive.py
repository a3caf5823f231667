"""Appends adjoints: dS[m] = sum over (i, k) of partial(body by read) * dT[i] * product of [a_j(i, k) == m_j]."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from itertools import accumulate

from sympile.compiler.errors import NotDifferentiable
from sympile.compiler.graph.arithmetic import add, mul, power, sub
from sympile.compiler.graph.conditions import both, counted, negation, select, when
from sympile.compiler.graph.definition import (
    NEUTRAL,
    Definition,
    computed,
    define,
    elementwise,
    is_whole,
    read,
    reads_any,
)
from sympile.compiler.graph.implied import demanded
from sympile.compiler.graph.node import HALF, ONE, ZERO, Node, const, extent, index, number, postorder, target
from sympile.compiler.graph.rebuild import function, substitute
from sympile.compiler.graph.reduce import contribution, total
from sympile.compiler.passes.deriving.wider import summed_up, wider_reads
from sympile.compiler.records import dataclass
from sympile.compiler.rules.derivatives import PARTIALS, a, b, y
from sympile.compiler.rules.linalg import ADJOINTS, TANGENTS

Names = dict[Definition, str]


# ------------------------------------------------------------------------------------------------ inside one body


def partials(body: Node, wanted: Callable[[Definition], bool], result: Node | None = None) -> dict[Node, list[Node]]:
    """For every wanted read in the body, what each use of it contributes; reverse mode over the body's nodes.

    `result` stands for the body's own value where a row speaks of y: the definition that holds it.
    """
    nodes = postorder([body])
    relevant = _relevant(nodes, wanted)
    adjoints: dict[Node, list[Node]] = {body: [ONE]}
    found: dict[Node, list[Node]] = {}
    for node in reversed([n for n in nodes if n in relevant]):
        parts = adjoints.pop(node, None)
        if parts is None:
            continue
        if node.op == "read":
            found[node] = parts
            continue
        adjoint = parts[0] if len(parts) == 1 else add(*parts)
        if adjoint is ZERO:
            continue
        value = result if node is body and result is not None else node
        for operand, factor in _operand_adjoints(node, value, adjoint, relevant):
            adjoints.setdefault(operand, []).append(factor)
    return found


def _relevant(nodes: Iterable[Node], wanted: Callable[[Definition], bool]) -> set[Node]:
    """The nodes through which a wanted read is reached; indices and conditions carry no derivative."""
    relevant: set[Node] = set()
    for node in nodes:
        if node.op == "read":
            if wanted(target(node)):
                relevant.add(node)
        elif not relevant.isdisjoint(carriers(node)):
            relevant.add(node)
    return relevant


def carriers(node: Node) -> tuple[Node, ...]:
    """The operands through which a derivative passes."""
    if node.op == "when":
        return node.args[:1]
    if node.op == "select":
        return node.args[1:]
    return () if node.op in _CONDITIONS else node.args


_CONDITIONS = frozenset({"eq", "ge", "divides", "less", "less_equal", "equals", "differs", "and", "or", "not"})


def _operand_adjoints(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> list[tuple[Node, Node]]:
    structural = _STRUCTURAL.get(node.op)
    if structural is not None:
        return [(arg, factor) for arg, factor in structural(node, value, adjoint, relevant) if arg in relevant]
    row = PARTIALS.get(node.op)
    if row is None:
        raise NotDifferentiable(
            f"{node.op} has no derivative row in compiler/rules/derivatives.py; the gradient needs it"
        )
    filled = {hole: arg for hole, arg in zip((a, b), node.args, strict=False)} | {y: value}
    return [
        (arg, mul(adjoint, substitute(partial, filled)))
        for arg, partial in zip(node.args, row, strict=True)
        if arg in relevant
    ]


Parts = Iterable[tuple[Node, Node]]


def _add_parts(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> Parts:
    return ((arg, adjoint) for arg in node.args)


LONG_PRODUCT = 16  # factors beyond which the products of all others share their parts


def _mul_parts(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> Parts:
    args = node.args
    if len(args) > LONG_PRODUCT:
        before = [*accumulate(args[:-1], mul, initial=ONE)]
        after = [*accumulate(args[:0:-1], lambda right, arg: mul(arg, right), initial=ONE)][::-1]
        return ((arg, mul(adjoint, before[k], after[k])) for k, arg in enumerate(args) if arg in relevant)
    return ((arg, mul(adjoint, *args[:k], *args[k + 1 :])) for k, arg in enumerate(args) if arg in relevant)


def _pow_parts(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> Parts:
    exponent = number(const(node.data))  # type: ignore[arg-type]
    return [(node.args[0], mul(adjoint, const(exponent), power(node.args[0], exponent - 1)))]


def _when_parts(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> Parts:
    return [(node.args[0], when(adjoint, *node.args[1:]))]


def _select_parts(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> Parts:
    condition, yes, no = node.args
    return [(yes, when(adjoint, condition)), (no, when(adjoint, negation(condition)))]


def _max_parts(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> Parts:
    return _extreme_parts(node, value, adjoint, 1)


def _min_parts(node: Node, value: Node, adjoint: Node, relevant: set[Node]) -> Parts:
    return _extreme_parts(node, value, adjoint, -1)


def _extreme_parts(node: Node, value: Node, adjoint: Node, sign: int) -> Parts:
    """Of two operands the larger takes all, one half each at a tie; of more, those that equal the result share."""
    if len(node.args) == 2:
        difference = mul(const(sign), sub(node.args[0], node.args[1]))
        return [
            (arg, mul(adjoint, function("heaviside", mul(const(s), difference), HALF)))
            for arg, s in zip(node.args, (1, -1), strict=True)
        ]
    hits = [when(ONE, function("equals", arg, value)) for arg in node.args]
    return [(arg, mul(adjoint, hit, power(add(*hits), -1))) for arg, hit in zip(node.args, hits, strict=True)]


_STRUCTURAL: Mapping[str, Callable[[Node, Node, Node, set[Node]], Parts]] = {
    "add": _add_parts,
    "mul": _mul_parts,
    "pow": _pow_parts,
    "when": _when_parts,
    "select": _select_parts,
    "max": _max_parts,
    "min": _min_parts,
}


# --------------------------------------------------------------------------------------------- through one definition


def _local_partials(tensor: Definition, wanted: Callable[[Definition], bool]) -> dict[Node, list[Node]]:
    """d tensor[axes] / d read, before the sum over the reduced indices, in the definition's own indices."""
    own = read(tensor, *tensor.axes)
    body = tensor.formula
    if tensor.monoid in (None, "sum"):
        return partials(body, wanted, own if tensor.monoid is None else None)
    weight = _MONOID_WEIGHTS[tensor.monoid](tensor, body, own)
    return {r: [mul(weight, p) for p in parts] for r, parts in partials(body, wanted).items()}


def _softmax_weight(tensor: Definition, body: Node, own: Node) -> Node:
    return function("exp", sub(counted(body, NEUTRAL["lse"])[0], own))


def _tie_weight(tensor: Definition, body: Node, own: Node) -> Node:
    """Every index whose value equals the extreme shares equally; what a guard leaves out is none of them."""
    value, conditions = counted(body, NEUTRAL[str(tensor.monoid)])
    hit = when(ONE, function("equals", value, own), *conditions)
    return mul(hit, power(total(tensor.reduced, hit), -1))


def _other_factors(tensor: Definition, body: Node, own: Node) -> Node:
    """The product of all other factors: y / body would be nan at a factor of 0."""
    if len(tensor.reduced) == 1:
        return mul(_factors_beside(tensor, body, 1), _factors_beside(tensor, body, -1))
    others = tuple(index(extent(r)) for r in tensor.reduced)
    same = when(ONE, *[function("eq", r, o) for r, o in zip(tensor.reduced, others, strict=True)])
    factor = add(
        when(ONE, *same.args[1:]), mul(substitute(body, dict(zip(tensor.reduced, others, strict=True))), sub(ONE, same))
    )
    axes = tensor.axes + tensor.reduced
    return read(define(axes, others, "prod", factor), *axes)


def _factors_beside(tensor: Definition, body: Node, sign: int) -> Node:
    """The product of all factors before that of the reduced index (sign 1), or of all after it (sign -1)."""
    (r,) = tensor.reduced
    k = index(extent(r))
    value, conditions = counted(body, ONE)
    beside = function("ge", sub(mul(const(sign), sub(r, k)), ONE))
    known = (beside, *conditions)  # of the factor that is left out, too
    own = [substitute(condition, {r: k}) for condition in conditions]
    left = [c for c in own if c.op != "ge" or demanded(c.args[0], known) is not ZERO]
    factor = select(both(beside, *left), substitute(value, {r: k}), ONE)
    axes = tuple(axis for axis in (*tensor.axes, r) if axis in factor.free)
    return read(define(axes, (k,), "prod", factor), *axes)


_MONOID_WEIGHTS: Mapping[str, Callable[[Definition, Node, Node], Node]] = {
    "lse": _softmax_weight,
    "max": _tie_weight,
    "min": _tie_weight,
    "prod": _other_factors,
}


def _passed_back(
    tensor: Definition, adjoint: Node, wanted: Callable[[Definition], bool]
) -> Iterable[tuple[Definition, Node]]:
    """What a definition passes back to each tensor it reads, in that tensor's own axes."""
    if tensor.kind == "call":
        yield from _call_passed_back(tensor, adjoint, wanted)
        return
    own = _local_partials(tensor, wanted)
    wider = wider_reads(own)
    passed: dict[Node, list[Node]] = {}
    for r in sorted(own, key=lambda r: r in wider):
        if r in wider:
            other, times = wider[r]
            yield target(r), summed_up(r, other, mul(const(times), *passed[other]))
            continue
        terms = [mul(adjoint, part) for part in own[r]]
        passed[r] = [_gathered(tensor, r, body) for body in _grouped(terms, tensor.axes + tensor.reduced)]
        yield from ((target(r), contribution) for contribution in passed[r])


def _grouped(parts: list[Node], indices: Sequence[Node]) -> list[Node]:
    """Uses that span the same indices are summed together; one without data stays outside the sum over examples."""
    groups: dict[frozenset[Node], list[Node]] = {}
    for part in parts:
        groups.setdefault(part.free.intersection(indices), []).append(part)
    return [add(*group) for group in groups.values()]


def _gathered(tensor: Definition, r: Node, body: Node) -> Node:
    """The sum over all indices of a definition, seen from one element of the tensor that it reads."""
    indices = tensor.axes + tensor.reduced
    if is_whole(r) and all(at in indices for at in r.args):
        summed = total([i for i in indices if i not in r.args], body)
        return substitute(summed, dict(zip(r.args, target(r).axes, strict=True)))
    fresh = {i: index(extent(i)) for i in indices}
    at = [substitute(argument, fresh) for argument in r.args]
    return contribution(list(fresh.values()), substitute(body, fresh), at, target(r).axes)


def _call_passed_back(
    tensor: Definition, adjoint: Node, wanted: Callable[[Definition], bool]
) -> Iterable[tuple[Definition, Node]]:
    def adjoint_at(*at: Node) -> Node:
        return substitute(adjoint, dict(zip(tensor.axes, at, strict=True)))

    for position, operand in enumerate(tensor.operands):
        if wanted(operand):
            yield operand, ADJOINTS[tensor.routine](tensor, position, adjoint_at)


# ------------------------------------------------------------------------------------------------ the sweep


@dataclass(slots=True)
class Sweep:
    """The reverse sweep from one output: adjoints of all tensors between it and the inputs that are asked for."""

    output: Definition
    wrt: tuple[Definition, ...]
    names: Names
    seed: Node = ONE
    needed: set[Definition] = field(default_factory=set)
    adjoint_of: dict[Definition, Definition] = field(default_factory=dict)  # filled: a held adjoint → its tensor

    def run(self) -> dict[Definition, Node]:
        """For every input asked for, its adjoint in its own axes; missing where the output does not depend on it."""
        order = [*dict.fromkeys(x for x in self.wrt if x.kind == "input"), *computed([self.output])]
        self.needed = needed_for(order, self.wrt)
        collected: dict[Definition, list[Node]] = {self.output: [self.seed]}
        results: dict[Definition, Node] = {}
        wanted = set(self.wrt)
        for tensor in reversed(order):
            if tensor not in self.needed or tensor not in collected:
                continue
            adjoint = add(*collected.pop(tensor))
            if tensor in wanted:
                results[tensor] = adjoint
            if tensor.kind == "input":
                continue
            for operand, part in _passed_back(tensor, self._shared(tensor, adjoint), self.needed.__contains__):
                collected.setdefault(operand, []).append(part)
        return results

    def _shared(self, tensor: Definition, adjoint: Node) -> Node:
        """The adjoint itself where it is small; else a read of a definition that holds it, named after the tensor."""
        if (not adjoint.args and adjoint.op != "read") or tensor is self.output:
            return adjoint
        inner_axes = [axis for axis in tensor.axes if not (tensor.batched and axis is tensor.axes[0])]
        if not inner_axes and tensor not in self.names:
            return adjoint
        free = tuple(sorted(adjoint.free - set(tensor.axes), key=lambda i: i.key))
        held = elementwise(tensor.axes + free, adjoint)
        self.adjoint_of.setdefault(held, tensor)
        if tensor in self.names:
            self.names.setdefault(held, f"d{self.names[tensor]}")
        return read(held, *tensor.axes, *free) if held.axes == tensor.axes + free or held.kind == "formula" else adjoint


def needed_for(order: Iterable[Definition], wrt: Iterable[Definition]) -> set[Definition]:
    """The tensors that depend on one of those asked for."""
    needed = set(wrt)
    for tensor in order:
        if reads_any(tensor, needed):
            needed.add(tensor)
    return needed


def gradient(
    output: Definition,
    wrt: Sequence[Definition],
    names: Names,
    scale: Node = ONE,
    adjoint_of: dict[Definition, Definition] | None = None,
) -> dict[Definition, Definition]:
    """d (scale * sum over examples of output) / d wrt, each a definition with its input's axes."""
    sweep = Sweep(output, tuple(wrt), names, adjoint_of={} if adjoint_of is None else adjoint_of)
    adjoints = sweep.run()
    return {x: elementwise(x.axes, mul(scale, adjoints.get(x, ZERO))) for x in wrt}


def jacobian(output: Definition, wrt: Sequence[Definition], names: Names) -> dict[Definition, Definition]:
    """d output[o] / d wrt[m], axes (o, m): the seed is a delta, eliminated on the way."""
    free = tuple(index(extent(axis), f"o{k}") for k, axis in enumerate(output.axes))
    seed = when(ONE, *[function("eq", axis, o) for axis, o in zip(output.axes, free, strict=True)])
    adjoints = Sweep(output, tuple(wrt), names, seed).run()
    return {x: elementwise(free + x.axes, adjoints.get(x, ZERO)) for x in wrt}


# ------------------------------------------------------------------------------------------------ forward


def tangent(output: Definition, directions: Mapping[Definition, Definition]) -> Node:
    """The directional derivative of output, in its own axes; directions maps inputs to tensors of their shape."""
    order = [*(x for x in directions if x.kind == "input"), *computed([output])]
    needed = needed_for(order, directions)
    tangents: dict[Definition, Callable[..., Node]] = {}
    for tensor in order:
        if tensor in directions:
            tangents[tensor] = lambda *at, d=directions[tensor]: read(d, *at)
        elif tensor in needed:
            held = elementwise(tensor.axes, _tangent_of(tensor, tangents, needed))
            tangents[tensor] = lambda *at, d=held: read(d, *at)
    if output not in tangents:
        return ZERO
    return tangents[output](*output.axes)


def _tangent_of(
    tensor: Definition, tangents: Mapping[Definition, Callable[..., Node]], needed: set[Definition]
) -> Node:
    if tensor.kind == "call":
        known = {k: tangents[operand] for k, operand in enumerate(tensor.operands) if operand in tangents}
        return TANGENTS[tensor.routine](tensor, known)
    own = _local_partials(tensor, needed.__contains__)
    terms = [total(tensor.reduced, mul(add(*parts), tangents[target(r)](*r.args))) for r, parts in own.items()]
    return add(*terms)
