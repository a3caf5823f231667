"""Puts a program together: slots, shapes as plain numbers and size names, code. What comes out knows no graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sympile.compiler.code.target import Target
from sympile.compiler.errors import InternalError
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, const, extent, number
from sympile.compiler.passes.emit import ENTRY, Emitted, emit, make_layout
from sympile.compiler.passes.emitting.calls import numbered_calls, scratch_words
from sympile.compiler.passes.emitting.chosen import chosen_rows
from sympile.compiler.passes.emitting.layout import ORDER, Layout
from sympile.compiler.passes.emitting.scatter import chosen_by_data
from sympile.compiler.passes.emitting.watch import watched_read
from sympile.compiler.passes.fusing.group import Fused
from sympile.compiler.passes.reading.scope import Constraint
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.passes.scheduling.lifetimes import Stay, stays
from sympile.compiler.passes.scheduling.regions import WORTH, split_of
from sympile.compiler.program import Array, Code, Demand, Polynomial, Program, Room, Scattered


def polynomial(node: Node) -> Polynomial:
    """An extent as plain data."""
    return Polynomial(tuple(sorted((c, names) for names, c in _expanded(node).items() if c)))


def _expanded(node: Node) -> dict[tuple[str, ...], int]:
    if node.op == "const":
        return {(): int(number(node))}
    if node.op == "size":
        return {(str(node.data),): 1}
    if node.op == "add":
        total: dict[tuple[str, ...], int] = {}
        for term in node.args:
            for names, c in _expanded(term).items():
                total[names] = total.get(names, 0) + c
        return total
    if node.op == "mul":
        return _product([_expanded(a) for a in node.args])
    if node.op == "pow" and isinstance(node.data, int) and node.data > 0:
        return _product([_expanded(node.args[0])] * node.data)
    raise InternalError(f"an extent that is no polynomial in sizes: {node}")


def _product(factors: Sequence[Mapping[tuple[str, ...], int]]) -> dict[tuple[str, ...], int]:
    total: dict[tuple[str, ...], int] = {(): 1}
    for factor in factors:
        grown: dict[tuple[str, ...], int] = {}
        for names, c in total.items():
            for more, d in factor.items():
                key = tuple(sorted((*names, *more)))
                grown[key] = grown.get(key, 0) + c * d
        total = grown
    return total


def assemble(
    outputs: Mapping[str, Definition],
    inputs: Iterable[Definition],
    fused: Fused,
    loops: Mapping[Definition, Loops],
    dtype: str,
    target: Target,
    constraints: Sequence[Constraint] = (),
    large: bool = False,
    watched: Definition | None = None,
    ordered: bool = False,
) -> Program:
    """The program that computes named outputs.

    Args:
        large: as for heavy sizes, whose work threads share.
        watched: an input of which the status is to tell whether all its numbers are finite; of an update, whose results
            may lie where its operands do.
        ordered: where that is worth it, examples of data are read through an order, which the program takes, too.
    """
    given = list(dict.fromkeys(inputs))
    finals = {name: fused.outputs[tensor] for name, tensor in outputs.items()}
    chosen = chosen_rows(given, finals.values(), fused, loops) if ordered else frozenset()
    layout = make_layout(given, fused, list(finals.values()), watched, chosen)
    slots, copies = _placed(finals, given, layout)
    emitted = emit(fused, loops, layout, copies, dtype, target, large=large)
    return Program(
        code=_code(emitted),
        heavy=_heavy(fused, loops),
        together=emitted.together,
        dtype=dtype,
        length=layout.length,
        inputs=tuple(as_array(t.name, layout.tensors[t], t) for t in given),
        outputs=tuple(as_array(name, slots[name], tensor) for name, tensor in finals.items()),
        rooms=_rooms(given, slots, fused, layout),
        sizes=dict(layout.sizes),
        status=layout.extra["status"],
        scratch=layout.extra["scratch"],
        watches=any(watched_read(group, watched) is not None for group in fused.groups),
        scratch_words=tuple(polynomial(scratch_words(t)) for t in fused.stored if t.kind == "call"),
        scratch_use=_scratch_use(fused),
        demands=demands_of(constraints),
        calls=tuple(t.operands[0].name for t in numbered_calls(layout)),
        order=layout.extra.get(ORDER),
        chosen=tuple(t.name for t in given if t in chosen),
        scattered=_scattered(finals, slots, fused, layout),
    )


def _placed(
    finals: Mapping[str, Definition], given: Iterable[Definition], layout: Layout
) -> tuple[dict[str, int], list[tuple[Definition, int]]]:
    """The slot of every output; and those that are copies, since an input or another output has the tensor's own."""
    slots: dict[str, int] = {}
    copies: list[tuple[Definition, int]] = []
    taken = set(given)
    for name, tensor in finals.items():
        if tensor in taken:
            layout.add_extra(f"copy of {name}")
            slots[name] = layout.extra[f"copy of {name}"]
            copies.append((tensor, slots[name]))
        else:
            taken.add(tensor)
            slots[name] = layout.tensors[tensor]
    return slots, copies


def _scattered(
    finals: Mapping[str, Definition], slots: Mapping[str, int], fused: Fused, layout: Layout
) -> tuple[Scattered, ...]:
    """The outputs whose rows data choose."""
    made = []
    names = {tensor: name for name, tensor in finals.items() if slots[name] == layout.tensors[tensor]}
    for group in fused.groups:
        found = chosen_by_data(group)
        if found is not None and found[0] in layout.spared:
            slot = layout.extra[layout.spared[found[0]]]
            made.append(Scattered(names[found[0]], slot, tuple(t.name for t in found[1])))
    return tuple(made)


def _rooms(
    given: Iterable[Definition], slots: Mapping[str, int], fused: Fused, layout: Layout
) -> tuple[Room, ...]:
    """The memory of what is neither given nor a result."""
    own = {*[layout.tensors[t] for t in given], *slots.values()}
    others = {t for t, slot in layout.tensors.items() if slot in own}
    return tuple(as_room(stay, layout) for stay in stays(fused.groups, others))


def demands_of(constraints: Sequence[Constraint]) -> tuple[Demand, ...]:
    """What sizes must satisfy, as plain data."""
    return tuple(Demand(polynomial(c.expression), c.message) for c in constraints)


def _code(emitted: Emitted) -> Code:
    return Code(emitted.text, ENTRY, emitted.imports, emitted.level)


def _heavy(fused: Fused, loops: Mapping[Definition, Loops]) -> tuple[Polynomial, ...]:
    """What must exceed 0 for one of the groups to be worth several threads."""
    found = []
    for group in fused.groups:
        split = split_of(group, loops[group.members[0]]) if group.members[0] in loops else None
        if split is not None:
            found.append(polynomial(add(const(1 - WORTH), mul(const(split.cost), *[extent(i) for i in split.indices]))))
    return tuple(found)


def as_array(name: str, slot: int, tensor: Definition) -> Array:
    """A tensor as plain data."""
    return Array(name, slot, tuple(polynomial(n) for n in tensor.shape), tensor.integer)


def as_room(stay: Stay, layout: Layout) -> Room:
    """The memory of work arrays as plain data."""
    return Room(tuple(as_array(t.name, layout.tensors[t], t) for t in stay.tensors), stay.first, stay.last)


def _scratch_use(fused: Fused) -> tuple[int, int]:
    """The first and the last group that calls a routine."""
    calling = [number for number, group in enumerate(fused.groups) if group.members[0].kind == "call"]
    return (calling[0], calling[-1]) if calling else (0, 0)
