"""A tensor defined by a scalar formula over indices: T[i, …] = reduce over k, … of body(i, …, k, …)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from fractions import Fraction
from math import prod
from weakref import WeakValueDictionary

from sympile.compiler.graph.node import (
    INFINITY,
    INTERNING,
    NEGATIVE_INFINITY,
    ONE,
    ZERO,
    Node,
    const,
    extent,
    index,
    index_name,
    make,
    number,
    postorder,
    size,
    target,
    word_key,
)
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.program import BATCH
from sympile.compiler.records import dataclass

EXAMPLES = size(BATCH)  # how many examples there are
EXAMPLE = index(EXAMPLES, "e")  # the example index: in front of the axes of all that depends on data

NEUTRAL = {"sum": ZERO, "prod": ONE, "max": NEGATIVE_INFINITY, "min": INFINITY, "lse": NEGATIVE_INFINITY}  # of nothing
MONOIDS = tuple(NEUTRAL)


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Definition:
    """One tensor: an input, a formula, or a call of a linear-algebra routine. Interned: equal means identical."""

    kind: str  # "input" | "formula" | "call"
    name: str  # of an input; of others only a label for debugging, never part of the key
    axes: tuple[Node, ...]  # one index per axis, canonical
    monoid: str | None  # a formula's reduction
    reduced: tuple[Node, ...]  # the indices it runs over
    body: Node | None
    operands: tuple[Definition, ...]  # of a call
    routine: str  # of a call: a row of rules/linalg.py; of an input: its role
    integer: bool  # an input of class numbers or indices
    key: int
    below: tuple[Definition, ...]  # the tensors that it reads, each once, inputs aside, in the order of their keys

    @property
    def shape(self) -> tuple[Node, ...]:
        return tuple(extent(axis) for axis in self.axes)

    @property
    def formula(self) -> Node:
        assert self.body is not None
        return self.body

    @property
    def batched(self) -> bool:
        return bool(self.axes) and extent(self.axes[0]) is EXAMPLES

    def __repr__(self) -> str:
        return self.name


_made: WeakValueDictionary[object, Definition] = WeakValueDictionary()
_labels = itertools.count()


def interned(
    kind: str,
    name: str,
    axes: tuple[Node, ...],
    monoid: str | None = None,
    reduced: tuple[Node, ...] = (),
    body: Node | None = None,
    operands: tuple[Definition, ...] = (),
    routine: str = "",
    integer: bool = False,
) -> Definition:
    named = name if kind == "input" else None
    identity = (kind, named, axes, monoid, reduced, body, operands, routine, integer)
    made = _made.get(identity)
    if made is None:
        parts = [
            word_key(f"{kind}/{named}/{monoid}/{routine}"),
            *[a.key for a in axes],
            -1,
            *[r.key for r in reduced],
            -1,
        ]
        key = hash((*parts, body.key if body else 0, *[o.key for o in operands]))
        label = name if kind == "input" else f"{name}{next(_labels)}"
        below = _below(body, operands)
        fresh = Definition(kind, label, axes, monoid, reduced, body, operands, routine, integer, key, below)
        with INTERNING:
            made = _made.setdefault(identity, fresh)
    return made


def _below(body: Node | None, operands: tuple[Definition, ...]) -> tuple[Definition, ...]:
    if body is None:
        return tuple(dict.fromkeys([o for o in operands if o.kind != "input"]))
    return tuple(sorted(body.below, key=_by_key)) if len(body.below) > 1 else tuple(body.below)


def _by_key(tensor: Definition) -> int:
    return tensor.key


def axis(position: int, length: Node) -> Node:
    """The canonical index of an axis."""
    return index(length, f"i{position}")


def _axes(shape: Iterable[Node]) -> tuple[Node, ...]:
    lengths = tuple(shape)
    batched = bool(lengths) and lengths[0] is EXAMPLES
    return tuple(EXAMPLE if batched and k == 0 else axis(k, n) for k, n in enumerate(lengths))


def input_tensor(name: str, shape: Iterable[Node], role: str = "data", integer: bool = False) -> Definition:
    """A symbol's array; literal axes of size 1 are dropped by the reader, not here."""
    return interned("input", name, _axes(shape), routine=role, integer=integer)


def call(routine: str, operands: Sequence[Definition], shape: Iterable[Node]) -> Definition:
    """The result of a linear-algebra routine."""
    return interned("call", f"{routine}_", _axes(shape), operands=tuple(operands), routine=routine)


def elementwise(axes: Sequence[Node], body: Node) -> Definition:
    """T[axes] = body; a body that only reads another tensor at these axes is that tensor."""
    if body.op == "read" and body.args == tuple(axes) and is_whole(body):
        return target(body)
    return define(axes, (), None, body)


def is_whole(node: Node) -> bool:
    """Whether a read runs once over every element of its tensor: by one index per axis, of that axis's length."""
    lengths = target(node).shape
    whole = all(at.op == "index" and extent(at) is n for at, n in zip(node.args, lengths, strict=True))
    return whole and len(set(node.args)) == len(node.args)


def define(axes: Sequence[Node], reduced: Sequence[Node], monoid: str | None, body: Node) -> Definition:
    """The one definition of this formula; its indices get their canonical names, the axes keep their order."""
    renamed: dict[Node, Node] = {}
    for k, old in enumerate(axes):
        renamed[old] = EXAMPLE if k == 0 and extent(old) is EXAMPLES else axis(k, extent(old))
    free_example = EXAMPLE not in renamed.values()
    for k, old in enumerate(reduced):
        if free_example and extent(old) is EXAMPLES:
            renamed[old], free_example = EXAMPLE, False
        else:
            renamed[old] = index(extent(old), f"r{k}")
    new_axes = tuple(renamed[old] for old in axes)
    new_reduced = tuple(renamed[old] for old in reduced)
    return interned("formula", "t", new_axes, monoid, new_reduced, substitute(body, renamed))


def define_free(
    free: Iterable[Node], reduced: Iterable[Node], monoid: str | None, body: Node
) -> tuple[Definition, tuple[Node, ...]]:
    """As define, the order of the axes canonical too. Returns the definition, and the given indices in its order."""
    axes = _canonical_order(list(free), body)
    inner = _canonical_order(list(reduced), body)
    return define(axes, inner, monoid, body), tuple(axes)


def _canonical_order(indices: list[Node], body: Node) -> list[Node]:
    """Example index first, the others by how the body uses them, whatever they are called."""
    first = [i for i in indices if extent(i) is EXAMPLES][:1]
    others = [i for i in indices if i not in first]
    if len(others) > 1:
        marks = {i: key_without_names(body, i) for i in others}
        others.sort(key=lambda i: (marks[i], index_name(i)))
    return first + others


def key_without_names(body: Node, marked: Node | None = None) -> int:
    """The body's structural hash, blind to the names of indices, except that one of them may be marked.

    Which sign a difference has in front, a - b or -(b - a), follows from the names: a node's key is that of both, with
    a sign of its own beside it (0 where both are alike).
    """
    keys: dict[Node, tuple[int, int]] = {}
    for node in postorder([body]):
        if node.op == "const" and number(node) < 0:
            keys[node] = const(-number(node)).key, -1
        elif node.op == "index":
            keys[node] = hash((extent(node).key, node is marked)), 1
        elif node.op in _SIGNED:
            keys[node] = _signed_key(node, [keys[a] for a in node.args])
        elif not node.free:
            keys[node] = node.key, 1
        else:
            operands = [_with_sign(keys[a]) for a in node.args]
            if node.op in ("eq", "max", "min"):
                operands.sort()
            data = target(node).key if node.op == "read" else word_key(repr(node.data))
            keys[node] = hash((word_key(node.op), data, *operands)), 1
    return keys[body][0]


_SIGNED = frozenset(("add", "mul", "when", "pow"))  # what has its operands' signs


def _signed_key(node: Node, operands: list[tuple[int, int]]) -> tuple[int, int]:
    """Key and sign of a sum, a product, a guarded value or a power."""
    data = word_key(repr(node.data))
    if node.op == "add":
        same = sorted(_with_sign(operand) for operand in operands)
        turned = sorted(_with_sign((key, -sign)) for key, sign in operands)
        return hash((word_key("add"), data, *min(same, turned))), (same < turned) - (turned < same)
    if node.op == "mul":
        kept = sorted(key for key, _ in operands if key != ONE.key)
        sign = prod(sign for _, sign in operands)
        return (kept[0], sign) if len(kept) == 1 else (hash((word_key("mul"), data, *kept)), sign)
    (key, sign), *others = operands
    if node.op == "pow":
        assert isinstance(node.data, (int, Fraction))
        known = key if node.data.denominator == 1 else _with_sign((key, sign))
        return hash((word_key("pow"), data, known)), sign if node.data.denominator == 1 and node.data % 2 else 1
    return hash((word_key("when"), data, key, *[_with_sign(other) for other in others])), sign


def _with_sign(key: tuple[int, int]) -> int:
    return key[0] if key[1] >= 0 else hash((key[0], -1))


def read(tensor: Definition, *at: Node) -> Node:
    """The element of a tensor at index expressions."""
    assert len(at) == len(tensor.axes), (tensor, at)
    return make("read", *at, data=tensor)


def instance(tensor: Definition, at: Sequence[Node] | None = None) -> tuple[tuple[Node, ...], tuple[Node, ...], Node]:
    """The formula at other indices (fresh ones by default): (axes, reduced, body), no canonical name in it."""
    axes = tuple(at) if at is not None else tuple(index(extent(a)) for a in tensor.axes)
    reduced = tuple(index(extent(r)) for r in tensor.reduced)
    names = dict(zip(tensor.axes + tensor.reduced, axes + reduced, strict=True))
    return axes, reduced, substitute(tensor.formula, names)


# ------------------------------------------------------------------------------------------------ walks


def depends_on(tensor: Definition) -> tuple[Definition, ...]:
    """The tensors that a definition reads, each once, in a fixed order."""
    if tensor.kind == "call":
        return tuple(dict.fromkeys(tensor.operands))
    if tensor.kind == "input":
        return ()
    found = {target(n): None for n in postorder([tensor.formula]) if n.op == "read"}
    return tuple(found)


def definitions(outputs: Iterable[Definition]) -> list[Definition]:
    """All tensors below the outputs, operands before users: first the inputs, then what is computed."""
    wanted = list(outputs)
    found = computed(wanted)
    return [*_inputs([*wanted, *found]), *found]


def computed(outputs: Iterable[Definition]) -> list[Definition]:
    """As `definitions` without the inputs; no formula is entered."""
    seen: set[Definition] = set()
    found: list[Definition] = []
    for output in outputs:
        if output in seen or output.kind == "input":
            continue
        seen.add(output)
        tensor, operands = output, iter(output.below)  # the tensor being entered, and those below it still to be seen
        stack: list[tuple[Definition, Iterator[Definition]]] = []
        while True:
            for operand in operands:
                if operand not in seen:
                    seen.add(operand)
                    stack.append((tensor, operands))
                    tensor, operands = operand, iter(operand.below)
                    break
            else:
                found.append(tensor)
                if not stack:
                    break
                tensor, operands = stack.pop()
    return found


def reads_any(tensor: Definition, wanted: AbstractSet[Definition]) -> bool:
    """Whether a tensor itself reads one of some others; the walk ends at the first."""
    if tensor.body is None or not wanted.isdisjoint(tensor.below):
        return not wanted.isdisjoint((*tensor.operands, *tensor.below))
    seen, stack = {tensor.body}, [tensor.body]
    while stack:
        node = stack.pop()
        if node.op == "read" and target(node) in wanted:
            return True
        for operand in node.args:
            if operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return False


def used(outputs: Iterable[Definition], inputs: Iterable[Definition]) -> set[Definition]:
    """Those of some inputs that are read at or below the outputs; the walk ends where all of them have been met."""
    wanted, given = list(outputs), set(inputs)
    missing = given.difference(wanted)
    bodies: list[Node] = []
    for tensor in computed(wanted):
        missing.difference_update(tensor.operands)
        bodies += [] if tensor.body is None else [tensor.body]
    seen = set(bodies)
    while bodies and missing:
        node = bodies.pop()
        if node.op == "read":
            missing.discard(target(node))
        for operand in node.args:
            if operand not in seen:
                seen.add(operand)
                bodies.append(operand)
    return given - missing


def _inputs(tensors: Iterable[Definition]) -> list[Definition]:
    """The inputs among tensors, and those that they read, each once."""
    found: dict[Definition, None] = {}
    bodies = []
    for tensor in tensors:
        if tensor.kind == "input":
            found[tensor] = None
        elif tensor.kind == "call":
            found.update((o, None) for o in tensor.operands if o.kind == "input")
        else:
            bodies.append(tensor.formula)
    for node in postorder(bodies):
        if node.op == "read" and target(node).kind == "input":
            found[target(node)] = None
    return list(found)


def extent_value(length: Node, assumed: int = 64) -> int:
    """An extent as a number for cost decisions; a symbolic size counts as `assumed`."""
    if length.op == "const":
        return int(length.data)  # type: ignore[call-overload, no-any-return]
    return assumed
