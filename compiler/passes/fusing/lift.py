"""What is stored: subexpressions that bodies would compute again and again get definitions of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import field
from math import prod

from sympile.compiler.graph.arithmetic import factors_of, mul, power, split
from sympile.compiler.graph.brackets import BRACKETS
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, computed, define, define_free, extent_value, read
from sympile.compiler.graph.mapping import Mapping, each_formula, redirected
from sympile.compiler.graph.node import ZERO, Node, Number, const, extent, index, postorder, target
from sympile.compiler.graph.rebuild import rebuild, transform
from sympile.compiler.passes.fusing.group import costly, domain_of
from sympile.compiler.passes.fusing.inside import Places, may_leave_range, unguarded_places
from sympile.compiler.passes.fusing.powers import times_unit, unit_power
from sympile.compiler.records import dataclass


def lift(outputs: list[Definition], exact: bool = False) -> dict[Definition, Definition]:
    """Costly work that many would do again, and the operands of contractions, become definitions."""
    shared = _shared(computed(outputs), exact)
    run = _Run(shared)
    new = run.all(outputs)
    if run.wanted & run.held:  # somebody could have read what was held only later
        new = _Run(shared, run.held).all(outputs)
    signs = by_signs([new[o] for o in outputs])
    return {o: signs[new[o]] for o in outputs}


@dataclass(slots=True)
class _Run:
    """One walk over all formulas."""

    shared: Shared
    held: set[Definition] = field(default_factory=set)
    wanted: set[Definition] = field(default_factory=set)  # would be read if it were held
    done: dict[Node, Node] = field(default_factory=dict)

    def all(self, outputs: list[Definition]) -> Mapping:
        return each_formula(outputs, self._lifted)

    def _lifted(self, tensor: Definition, new: Mapping) -> Definition:
        domain = frozenset(domain_of(tensor))
        if len(domain) <= 1:
            body = redirected(tensor.formula, new, self.done)
        else:
            body = _lift_costly(tensor, new, domain, self.shared)
            body = self._operands(body, domain) if tensor.monoid == "sum" else body
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    def _operands(self, body: Node, domain: frozenset[Node]) -> Node:
        """Each operand of a contraction is one read: factors over the same indices become one definition."""
        coefficient, rest = split(unguarded(body))
        groups: dict[frozenset[Node], list[Node]] = {}
        for factor in factors_of(rest):
            groups.setdefault(factor.free, []).append(factor)
        alone = len([free for free in groups if free]) < 2
        products = {free: mul(*factors) for free, factors in groups.items()}
        if alone:
            return self._alone(coefficient, products, conditions_of(body))
        conditions = _into_operands(products, conditions_of(body), domain, self.shared.places)
        operands = [self._operand(product, domain) for product in products.values()]
        return when(mul(const(coefficient), *operands), *conditions)

    def _alone(self, coefficient: Number, products: dict[frozenset[Node], Node], conditions: Sequence[Node]) -> Node:
        """A sum of one operand reads it with its mask where that is held; nothing is held for it."""
        scalars = [product for free, product in products.items() if not free]
        varying = [product for free, product in products.items() if free]
        masked = when(varying[0], *conditions) if varying else None
        if masked is None or any(may_leave_range(n, self.shared.places) for n in postorder([masked])):
            return when(mul(const(coefficient), *products.values()), *conditions)
        if masked.op == "read":
            return mul(const(coefficient), *scalars, masked)
        tensor, axes = define_free(masked.free, (), None, masked)
        if tensor in self.held:
            return mul(const(coefficient), *scalars, read(tensor, *axes))
        self.wanted.add(tensor)
        return when(mul(const(coefficient), *products.values()), *conditions)

    def _operand(self, node: Node, domain: frozenset[Node]) -> Node:
        """An operand as one read; one that spans everything only if it is held already."""
        if not node.free or node.op in ("table", "read"):
            return node
        if node.free != domain:
            result = _held(node, self.shared.places)
            if result.op == "read":
                self.held.add(target(result))
            return result
        tensor, axes = define_free(node.free, (), None, node)
        if tensor in self.held:
            return read(tensor, *axes)
        self.wanted.add(tensor)
        return node


def _into_operands(
    products: dict[frozenset[Node], Node], conditions: Sequence[Node], domain: frozenset[Node], places: Places
) -> list[Node]:
    """Conditions on data go into the operand that has all their indices, or that has a part of them, which then grows.

    A mask is part of the operand then, as in dW = dz xᵀ, and no select stands in the loops of the contraction.
    Conditions on indices stay, since they say what may be read. Returns those that stay.
    """
    staying = []
    masks: dict[frozenset[Node], list[Node]] = {}
    for condition in conditions:
        home = _home(condition, products)
        if home is None:
            staying.append(condition)
        else:
            masks.setdefault(home, []).append(condition)
    for home, own in masks.items():
        masked = _stored(when(products[home], *own), domain, places)
        grows = any(not condition.free <= home for condition in own)
        if masked is None or (grows and not _is_less(masked, domain)):
            staying += own
        else:
            products[home] = masked
    return staying


def _home(condition: Node, products: Iterable[frozenset[Node]]) -> frozenset[Node] | None:
    """The operand that has all indices of a condition on data; of one on values, else the largest without others."""
    operations = {node.op for node in postorder([condition])}
    if "read" not in operations:
        return None
    wider = [free for free in products if free and condition.free <= free]
    if wider or not operations.isdisjoint(BRACKETS):
        return min(wider, key=len, default=None)
    return max([free for free in products if free and free < condition.free], key=_entries, default=None)


def _stored(node: Node, domain: frozenset[Node], places: Places) -> Node | None:
    """A masked operand as one read; what data choose in it is read where that is known to be in range."""
    everywhere = at_all_places(node)
    if everywhere is not None or node.free == domain or any(may_leave_range(n, places) for n in postorder([node])):
        return everywhere
    tensor, axes = define_free(node.free, (), None, node)
    return read(tensor, *axes)


def _is_less(operand: Node, domain: frozenset[Node]) -> bool:
    """Whether an operand, as it would be stored, has fewer entries than the loops that read it."""
    return operand.free < domain or 2 * _entries(target(operand).axes) <= _entries(domain)


def at_all_places(node: Node) -> Node | None:
    """An operand, under its mask perhaps, computed at all places and read where it is wanted; None where data say."""
    places: dict[Node, Node] = {}
    for item in postorder([node]):
        for at, length in zip(item.args, target(item).shape, strict=True) if item.op == "read" else ():
            if any(n.op == "read" for n in postorder([at])):
                return None  # data say where
            if at.op != "index" and extent(places.setdefault(at, index(length))) is not length:
                return None
    plain = transform([node], lambda n: _moved(n, places))[0]
    if not plain.free.isdisjoint(set().union(*[at.free for at in places])):
        return None  # an index stands alone, too: there would be more places than are read
    back = {new: at for at, new in places.items()}
    tensor, axes = define_free(plain.free, (), None, plain)
    return read(tensor, *[back.get(axis, axis) for axis in axes])


def _moved(node: Node, places: dict[Node, Node]) -> Node:
    return read(target(node), *[places.get(at, at) for at in node.args]) if node.op == "read" else node


# ------------------------------------------------------------------------------------------------ signs


def by_signs(outputs: list[Definition]) -> Mapping:
    """0 < u is asked of max(0, u) where that is stored: u need not be."""
    known: dict[Definition, tuple[Definition, tuple[int, ...]]] = {}
    for tensor in computed(outputs):
        operand = _rectified(tensor)
        if operand is not None and operand.free == set(tensor.axes):
            plain, at = define_free(operand.free, (), None, operand)
            known[plain] = tensor, tuple(at.index(axis) for axis in tensor.axes)
    if not known:
        return Mapping()
    done: dict[Node, Node] = {}

    def asked(tensor: Definition, new: Mapping) -> Definition:
        body = tensor.formula if tensor in ends else _asked_elsewhere(tensor.formula, known, new)
        return define(tensor.axes, tensor.reduced, tensor.monoid, redirected(body, new, done))

    ends = {tensor for tensor, _ in known.values()}
    return each_formula(outputs, asked)


def _rectified(tensor: Definition) -> Node | None:
    """u, of a stored max(0, u)."""
    if tensor.kind != "formula" or tensor.reduced or tensor.formula.op != "max" or len(tensor.formula.args) != 2:
        return None
    others = [arg for arg in tensor.formula.args if arg is not ZERO]
    return others[0] if len(others) == 1 else None


def _asked_elsewhere(body: Node, known: dict[Definition, tuple[Definition, tuple[int, ...]]], new: Mapping) -> Node:
    done: dict[Node, Node] = {}
    for node in postorder([body]):
        args = tuple([done[arg] for arg in node.args])
        done[node] = node if args == node.args else rebuild(node, args)
        if node.op == "less" and node.args[0] is ZERO and node.args[1].free:
            plain, at = define_free(node.args[1].free, (), None, node.args[1])
            if plain in known:
                tensor, order = known[plain]
                done[node] = rebuild(node, (ZERO, read(tensor, *[at[k] for k in order])))
    return done[body]


# ------------------------------------------------------------------------------------------------ what is costly


@dataclass(frozen=True, slots=True)
class Shared:
    """Structural keys of costly operations that more than one nest of loops would compute."""

    keys: frozenset[int] = frozenset()
    units: frozenset[int] = frozenset()  # of quotients of which others are powers
    places: Places = frozenset()

    def part(self, node: Node) -> Node:
        """What is held of a costly operation: all of it, or the quotient of which it is a power."""
        unit = unit_power(node) if self.units else None
        return node if unit is None or _key(unit) not in self.units else unit


def _shared(order: Iterable[Definition], exact: bool) -> Shared:
    known = list(order)
    found = [{n for n in postorder([t.formula]) if costly(n) and n.free} for t in known if _has_loops(t)]
    powers: dict[int, set[object]] = {}
    for node in set().union(*found) if not exact else ():
        unit = unit_power(node)
        if unit is not None:
            powers.setdefault(_key(unit), set()).add(node.data)
    first = Shared(units=frozenset(key for key, exponents in powers.items() if len(exponents) > 1))
    counts: Counter[int] = Counter()
    for nodes in found:
        counts.update({_key(first.part(node)) for node in nodes})
    return Shared(frozenset(key for key, count in counts.items() if count > 1), first.units, unguarded_places(known))


def _has_loops(tensor: Definition) -> bool:
    return tensor.kind == "formula" and len(domain_of(tensor)) > 1


def _key(node: Node) -> int:
    return define_free(node.free, (), None, node)[0].key


def _held(node: Node, places: Places) -> Node:
    """The node as a read of a definition, unless it is one: of all places that are read, if there are fewer of them."""
    if node.op == "read":  # be it shifted, or of rows that data choose: to store it would be a copy
        return node
    if any(n.op == "read" and any(at.op != "index" for at in n.args) for n in postorder([node])):
        everywhere = at_all_places(node)
        if everywhere is not None and _entries(target(everywhere).axes) <= _entries(node.free):
            return everywhere
    if any(may_leave_range(n, places) for n in postorder([node])):
        return node
    tensor, axes = define_free(node.free, (), None, node)
    return read(tensor, *axes)


def _entries(indices: Iterable[Node]) -> int:
    return prod(extent_value(extent(i)) for i in indices)


def _lift_costly(
    tensor: Definition, new: dict[Definition, Definition], domain: frozenset[Node], shared: Shared
) -> Node:
    """Costly subexpressions that need fewer indices than the loops have, or that several nests need, are held."""
    done: dict[Node, Node] = {}
    root = tensor.formula if tensor.monoid is None else None
    for node in postorder([tensor.formula]):
        args = tuple([done[arg] for arg in node.args])
        if node.op == "read":
            done[node] = read(new[target(node)], *args)
            continue
        now = node if args == node.args else rebuild(node, args)
        if costly(node) and node.free and node is not root:
            part = shared.part(node)
            if now.free < domain or _key(part) in shared.keys:
                now = _held_part(now, part is not node, shared.places) if now.free else now
        done[node] = now
    return done[tensor.formula]


def _held_part(node: Node, is_power: bool, places: Places) -> Node:
    """A costly operation that is held, or the power of a quotient that is."""
    unit = unit_power(node) if is_power else None
    return _held(node, places) if unit is None else power(_held(unit, places), times_unit(node))
