"""What is 0 but at every second place, or read at no other, has no other places.

Every second element of a convolution is a convolution with a stride: h[2 i] has places for i only, and so has the slope
of h, which is 0 elsewhere. A sum over what is 0 elsewhere goes through the places that are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import gcd

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import divides
from sympile.compiler.graph.conditions import conditions_of, when
from sympile.compiler.graph.definition import Definition, computed, define, elementwise, extent_value, read
from sympile.compiler.graph.inline import rewritten
from sympile.compiler.graph.mapping import Mapping, each_formula
from sympile.compiler.graph.node import Node, const, extent, holding, index, number, target
from sympile.compiler.graph.rebuild import substitute, transform
from sympile.compiler.records import dataclass

STRIDES = frozenset({"divides"})
READS = frozenset({"read at"})
ROUNDS = 4  # of tensors below tensors that are read at some places only


@dataclass(frozen=True, slots=True)
class Stride:
    """The places first, first + step, first + 2 step, ... of an axis."""

    step: int
    first: int

    def count(self, length: Node) -> int:
        return -(-(extent_value(length) - self.first) // self.step)

    def place(self, number: Node) -> Node:
        """Where the place with a number lies."""
        return add(mul(const(self.step), number), const(self.first))

    def number(self, place: Node) -> Node:
        return mul(const(Fraction(1, self.step)), sub(place, const(self.first)))


Strides = dict[int, Stride]  # by the position of an axis


def thinned(outputs: list[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, without places that hold 0 or that nobody reads."""
    mapping: dict[Definition, Definition] = _without_zeros(outputs)
    for _ in range(ROUNDS):
        now = [mapping[output] for output in outputs]
        chosen = _read_in_strides(now)
        if not chosen:
            break
        new = _at_strides(now, chosen)
        mapping = Mapping({output: new[mapping[output]] for output in outputs})
    return mapping


# ------------------------------------------------------------------------------------------------ zeros elsewhere


def _without_zeros(outputs: list[Definition]) -> Mapping:
    order = computed(outputs)
    if not any(t.formula.ops >= STRIDES for t in order if t.kind == "formula"):
        return Mapping()
    thin: set[Definition] = set()
    done: dict[Node, Node] = {}

    def changed(tensor: Definition, new: Mapping) -> Definition:
        body = rewritten(tensor.formula, new, lambda t: t not in thin, done)
        if tensor.monoid not in (None, "sum"):
            return define(tensor.axes, tensor.reduced, tensor.monoid, body)
        reduced, body = _over_strides(tensor.reduced, body)
        found = _guarded_strides(tensor.axes, body)
        if not found:
            return define(tensor.axes, reduced, tensor.monoid, body)
        thin.add(tensor)
        return _spread(tensor, found, reduced, body)

    return each_formula(outputs, changed)


def _over_strides(reduced: Sequence[Node], body: Node) -> tuple[tuple[Node, ...], Node]:
    """A sum over the places that are not 0."""
    found = list(reduced)
    for at, stride in _guarded_strides(reduced, body).items():
        some = index(const(stride.count(extent(reduced[at]))))
        body = substitute(body, {reduced[at]: stride.place(some)})
        found[at] = some
    return tuple(found), body


def _guarded_strides(indices: Sequence[Node], body: Node) -> Strides:
    """The indices outside of whose strides a body is 0."""
    found: Strides = {}
    for condition in conditions_of(body):
        for at, own in enumerate(indices):
            if condition.op == "divides" and condition.free == {own} and extent(own).op == "const":
                stride = _solved(condition, own)
                if stride is not None and stride.count(extent(own)) > 0:
                    found.setdefault(at, stride)
    return found


def _solved(condition: Node, own: Node) -> Stride | None:
    """Where [divisor divides c own + constant] holds."""
    divisor, form = int(number(condition)), affine(condition.args[0])
    if form is None or len(form.terms) != 1 or form.terms[0][0] is not own:
        return None
    factor = form.terms[0][1]
    if not isinstance(factor, int) or not isinstance(form.constant, int) or gcd(factor, divisor) != 1:
        return None
    return Stride(divisor, -form.constant * pow(factor, -1, divisor) % divisor)


def _spread(tensor: Definition, strides: Strides, reduced: Sequence[Node], body: Node) -> Definition:
    """The tensor, 0 but where the thin one has a place."""
    narrow = _narrowed(tensor.axes, strides, reduced, tensor.monoid, body)
    at = [strides[k].number(axis) if k in strides else axis for k, axis in enumerate(tensor.axes)]
    where = [divides(s.step, sub(tensor.axes[k], const(s.first))) for k, s in strides.items()]
    return elementwise(tensor.axes, when(read(narrow, *at), *where))


def _narrowed(
    axes: Sequence[Node], strides: Strides, reduced: Sequence[Node], monoid: str | None, body: Node
) -> Definition:
    """A tensor at some places of its axes."""
    some = {k: index(const(stride.count(extent(axes[k])))) for k, stride in strides.items()}
    places = {axes[k]: strides[k].place(number) for k, number in some.items()}
    return define([some.get(k, axis) for k, axis in enumerate(axes)], reduced, monoid, substitute(body, places))


# ------------------------------------------------------------------------------------------------ read at strides


def _read_in_strides(outputs: list[Definition]) -> dict[Definition, Strides]:
    """Tensors of which nobody reads more than some places of an axis."""
    order = computed(outputs)
    kept = {*outputs, *[operand for tensor in order if tensor.kind == "call" for operand in tensor.operands]}
    narrow = {t for t in order if t.kind == "formula" and t not in kept and any(n.op == "const" for n in t.shape)}
    bodies: dict[tuple[Node, ...], list[Node]] = {}  # by the strides that guard all of them
    for tensor in order:
        if tensor.kind == "formula" and not narrow.isdisjoint(tensor.formula.below):
            guards = tuple(c for c in conditions_of(tensor.formula) if c.op == "divides")
            bodies.setdefault(guards, []).append(tensor.formula)
    places: dict[Definition, list[list[Stride | None]]] = {}
    for guards, formulas in bodies.items():
        for node in holding(formulas, READS):
            if node.op == "read" and target(node) in narrow:
                places.setdefault(target(node), []).append([_stride_of(at, guards) for at in node.args])
    found = {tensor: _strides_of(tensor, at) for tensor, at in places.items()}
    return {tensor: strides for tensor, strides in found.items() if strides}


def _strides_of(tensor: Definition, places: Iterable[Sequence[Stride | None]]) -> Strides:
    found: Strides = {}
    for k, column in enumerate(zip(*places, strict=True)):
        stride = _common(column)
        if tensor.shape[k].op == "const" and stride is not None and stride.count(tensor.shape[k]) > 0:
            found[k] = stride
    return found


def _common(strides: Iterable[Stride | None]) -> Stride | None:
    """The stride in which some strides lie; a step of 0 is a single place."""
    step, first = 0, None
    for stride in strides:
        if stride is None:
            return None
        first = stride.first if first is None else first
        step = gcd(step, stride.step, stride.first - first)
        if step == 1:
            return None
    return Stride(step, first % step) if step and first is not None else None


def _stride_of(place: Node, guards: Sequence[Node]) -> Stride | None:
    """Where a place lies, whatever its indices are, be it inside of its axis or not."""
    own = _residue(place, 0) if place.op != "index" else None
    for guard in guards:
        divisor = int(number(guard))
        for other in (sub(place, guard.args[0]), add(place, guard.args[0])):
            found = _residue(other, divisor)
            if found is not None and found.step == divisor and (own is None or own.step % divisor):
                own = found
    return own


def _residue(place: Node, divisor: int) -> Stride | None:
    """The stride of an affine place, as far as a divisor tells."""
    form = affine(place)
    if form is None or any(not isinstance(c, int) for c in (form.constant, *[c for _, c in form.terms])):
        return None
    step = gcd(divisor, *[int(c) for _, c in form.terms])
    return None if step == 1 else Stride(step, int(form.constant) % step if step else int(form.constant))


def _at_strides(outputs: list[Definition], chosen: dict[Definition, Strides]) -> Mapping:
    done: dict[Node, Node] = {}

    def changed(tensor: Definition, new: Mapping) -> Definition:
        def moved(node: Node) -> Node:
            if node.op != "read":
                return node
            strides = chosen.get(target(node), {})
            at = [strides[k].number(place) if k in strides else place for k, place in enumerate(node.args)]
            return read(new[target(node)], *at)

        (body,) = transform([tensor.formula], moved, done)
        return _narrowed(tensor.axes, chosen.get(tensor, {}), tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, changed)
