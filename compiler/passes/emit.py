"""Groups → LLVM IR text: one internal function a group, one entry that calls them in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import Target
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ZERO, Node, brief, extent, holding
from sympile.compiler.passes.emitting.alike import Alike, repeated
from sympile.compiler.passes.emitting.calls import IMPORTS, write_call
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.extents import Run, run_of
from sympile.compiler.passes.emitting.joined_axes import joined
from sympile.compiler.passes.emitting.layout import ORDER, Frame, Layout
from sympile.compiler.passes.emitting.mirror import Mirror
from sympile.compiler.passes.emitting.nest import Nest
from sympile.compiler.passes.emitting.region import (
    PART_PARAMETERS,
    Region,
    blocks_of_turns,
    enter_part,
    unfinished,
)
from sympile.compiler.passes.emitting.routines import FEW_ROUTINES, routines
from sympile.compiler.passes.emitting.rows import RowNest
from sympile.compiler.passes.emitting.scatter import Scatter, chosen_by_data, write_zeros
from sympile.compiler.passes.emitting.watch import watched_read
from sympile.compiler.passes.fusing.group import Fused, Group, contents_of, domain_of, scatter_axis
from sympile.compiler.passes.schedule import Loops, loops_of
from sympile.compiler.passes.scheduling.abreast import Abreast, operands_of, taking_turns
from sympile.compiler.passes.scheduling.lifetimes import guests
from sympile.compiler.passes.scheduling.regions import Split, split_of
from sympile.compiler.program import POOL_SYMBOL
from sympile.compiler.records import dataclass

ELEMENT = {"float64": "double", "float32": "float"}
ENTRY = "sympile_run"
APART = "nounwind noinline"
DESCRIBED = 400  # operations of a group whose formulas stand in a comment
SMALL, FEW = 200, 8  # operations and groups of a program that is written as one function
LARGE = 2500  # operations in one function above which code is generated without optimisation


@dataclass(frozen=True, slots=True)
class Emitted:
    """IR text with its entry, the symbols it needs, and how carefully to generate code."""

    text: str
    imports: tuple[str, ...]
    level: int
    together: bool  # whether all is one function, which no threads share


def emit(
    fused: Fused,
    loops: Mapping[Definition, Loops],
    layout: Layout,
    copies: Sequence[tuple[Definition, int]],
    dtype: str,
    target: Target,
    entry: str = ENTRY,
    large: bool = False,
) -> Emitted:
    """The code of all groups, then of the copies: outputs that are another tensor once more.

    Small programs are one function, unless they are written for `large` data.
    """
    module = Module(target)
    element = ELEMENT[dtype]
    main = Function(module, entry, [("ptr noalias", "table")])
    operations = [group.contents.operations for group in fused.groups]
    quick = max(operations, default=0) > LARGE
    small = sum(operations) <= SMALL and len(operations) <= FEW
    together = small and not large and not any(nest.block for nest in loops.values())  # panels: one stack at a time
    together = together and not any(map(joined, fused.groups))
    if together:
        _write_together(main, fused, loops, layout, Lanes(main, element, 1, target), {tensor for tensor, _ in copies})
    else:
        _write_apart(main, fused, loops, layout, Lanes(main, element, 1, target), quick)
    for tensor, slot in copies:
        name = f"{entry}.copy.{slot}"
        _write_copy(module, name, tensor, slot, layout, element)
        main.call("void", f"@{name}", main.arguments[0])
    main.ret()
    outside = {**module.declarations, **module.tables}
    used = tuple(sorted(name for name in (*IMPORTS, POOL_SYMBOL) if f"@{name}" in outside))
    return Emitted(module.text(), used, 0 if quick else 1, together)


def _write_together(
    main: Function,
    fused: Fused,
    loops: Mapping[Definition, Loops],
    layout: Layout,
    scalar: Lanes,
    copied: Set[Definition],
) -> None:
    """Small programs: everything in one function, scalars handed on in registers."""
    unstored = _handed_on(fused) - copied
    frame = Frame(main, layout, main.arguments[0], keeps=True, unstored=unstored)
    tensors = dict.fromkeys(t for group in fused.groups for t in _tensors(group) if t not in unstored)
    frame.enter(tensors, sorted(set().union(*[sizes_of(group) for group in fused.groups])))
    for group in fused.groups:
        own = loops.get(group.members[0])
        write_group(frame, group, own, scalar)
        _write_mirror(frame, group, own, scalar)


def _handed_on(fused: Fused) -> frozenset[Definition]:
    """Numbers that nobody looks for in memory: no outputs, and neither made nor read by routines or scatters."""
    others = [group for group in fused.groups if group.members[0].kind == "call" or scatter_axis(group.members[0])]
    read = {tensor for group in others for tensor in _tensors(group)}
    made = {tensor for group in fused.groups for tensor in group.results if not tensor.axes}
    return frozenset(made - read - set(fused.outputs.values()))


def _write_apart(
    main: Function, fused: Fused, loops: Mapping[Definition, Loops], layout: Layout, scalar: Lanes, quick: bool
) -> None:
    """Larger ones: a function for each group, or several that are alike; the code generator takes them one by one."""
    watching = {number for number, group in enumerate(fused.groups) if watched_read(group, layout.watched) is not None}
    alike = {number: one for number, one in repeated(fused.groups).items() if number not in watching}
    for number, group in enumerate(fused.groups):
        one = None if number in alike or number in watching else joined(group)
        alike |= {} if one is None else {number: one}
    shared: dict[object, str] = {}
    room = max([len(each.views) for each in alike.values()], default=0) + len(layout.sizes)
    tables = _Tables(main, layout, scalar.element, main.alloca("i64", room) if alike else main.arguments[0])
    turns = taking_turns(fused.groups, loops, set(fused.outputs.values()))
    inside = {number for each in turns.values() for number in each.numbers}
    for number, group in enumerate(fused.groups):
        name, one = f"{main.name}.{number}", alike.get(number)
        if number in turns:
            write_turns(main.module, name, fused.groups, loops, turns[number], layout, scalar, quick)
            main.call("void", f"@{name}", main.arguments[0])
        if number in inside:
            continue
        if one is None:
            _write_function(main.module, name, group, loops.get(group.members[0]), layout, scalar, quick)
            main.call("void", f"@{name}", main.arguments[0])
            continue
        own, same = tables.layout_of(one), shared.setdefault(one.key, name)
        if same is name:
            again = loops_of(one.group, scalar.target.core(scalar.element))
            _write_function(main.module, name, one.group, again, own, scalar, quick)
        main.call("void", f"@{same}", tables.table_of(one, own))


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables that functions take which several groups share: of the group's own pointers, and of all sizes."""

    main: Function
    layout: Layout
    element: str
    room: Value

    def layout_of(self, alike: Alike) -> Layout:
        found = Layout()
        for tensor in alike.views:
            found.add_tensor(tensor)
        for name in sorted(sizes_of(alike.group)):
            found.add_size(name)
        return found

    def table_of(self, alike: Alike, own: Layout) -> Value:
        """Filled just before the call."""
        main, table = self.main, self.main.arguments[0]
        for tensor, slot in own.tensors.items():
            view = alike.views[tensor]
            pointer = main.load("ptr", main.gep("i64", table, self.layout.tensors[view.tensor]), 8)
            element = "i64" if view.tensor.integer else self.element
            main.store(main.gep(element, pointer, view.start), main.gep("i64", self.room, slot), 8)
        for name, slot in own.sizes.items():
            length = main.load("i64", main.gep("i64", table, self.layout.sizes[name]), 8)
            main.store(length, main.gep("i64", self.room, slot), 8)
        return self.room


def _write_function(
    module: Module, name: str, group: Group, loops: Loops | None, layout: Layout, scalar: Lanes, quick: bool
) -> None:
    """The function of a group, and that of one chunk where threads may share it."""
    split = None if loops is None else split_of(group, loops)
    if split is not None:
        _write_part(module, f"{name}.part", group, loops, split, layout, scalar, quick)
    function = Function(module, name, [("ptr noalias", "table")], linkage="internal", attributes=APART)
    frame = Frame(function, layout, function.arguments[0], fuses=not quick)
    frame.enter(_tensors(group), sorted(sizes_of(group)))
    lanes = Lanes(function, scalar.element, 1, scalar.target)
    if split is None:
        write_group(frame, group, loops, lanes)
    else:
        region = Region(frame, group, split, lanes, f"{name}.part")
        region.write(partial(_write_finish, group, lanes))
    _write_mirror(frame, group, loops, lanes)
    function.ret()


def _write_part(
    module: Module,
    name: str,
    group: Group,
    loops: Loops | None,
    split: Split,
    layout: Layout,
    scalar: Lanes,
    quick: bool,
) -> None:
    """The function for one chunk of a split group."""
    function = Function(module, name, PART_PARAMETERS, linkage="internal", attributes=APART)
    frame = Frame(function, layout, function.arguments[0], fuses=not quick)
    frame.enter(_tensors(group), sorted(sizes_of(group)))
    parts = enter_part(frame, group, split, scalar.element)
    own = unfinished(group) if split.summed else group
    write_group(frame, own, loops, Lanes(function, scalar.element, 1, scalar.target), parts)
    function.ret()


def write_turns(
    module: Module,
    name: str,
    groups: Sequence[Group],
    loops: Mapping[Definition, Loops],
    turns: Abreast,
    layout: Layout,
    scalar: Lanes,
    quick: bool,
) -> None:
    """The function of several groups that go through the examples in turns, and that of one chunk."""
    own = [groups[number] for number in turns.numbers]
    tensors = list(dict.fromkeys(t for group in own for t in _tensors(group) if t not in turns.near))
    sizes = sorted(set().union(*map(sizes_of, own)))
    part = Function(module, f"{name}.part", PART_PARAMETERS, linkage="internal", attributes=APART)
    frame = Frame(part, layout, part.arguments[0], fuses=not quick)
    frame.enter(tensors, sizes)
    lanes = Lanes(part, scalar.element, 1, scalar.target)
    for parts in blocks_of_turns(frame, turns, scalar.element):
        for group in own:
            write_group(frame, group, loops[group.members[0]], lanes, parts)
    part.ret()
    function = Function(module, name, [("ptr noalias", "table")], linkage="internal", attributes=APART)
    frame = Frame(function, layout, function.arguments[0], fuses=not quick)
    frame.enter((), sizes)
    region = Region(frame, own[0], turns.split, Lanes(function, scalar.element, 1, scalar.target), f"{name}.part")
    replace(region, beside=turns.splits[1:]).write(_nothing_is_finished)
    function.ret()


def _nothing_is_finished(frame: Frame, tensor: Definition) -> None:
    """No sum over the examples is among those that take turns."""


def _write_mirror(frame: Frame, group: Group, loops: Loops | None, scalar: Lanes) -> None:
    """After all chunks of a symmetric matrix of which they computed one half: the other one."""
    if loops is not None and loops.half:
        Mirror(frame, group, loops, scalar.narrowed(loops.lanes)).write()


def _write_finish(group: Group, scalar: Lanes, frame: Frame, finish: Definition) -> None:
    """What is made of sums that chunks have left, once they are added up."""
    last = Group((finish,), finish.axes, contents=contents_of((finish,)), bodies=group.bodies)
    write_group(frame, last, loops_of(last, scalar.target.core(scalar.element)), scalar)


def write_group(
    frame: Frame, group: Group, loops: Loops | None, scalar: Lanes, parts: Mapping[Node, Run] | None = None
) -> None:
    """The loops of one group."""
    if group.contents.operations <= DESCRIBED:
        known: dict[Node, str] = {}
        for tensor in group.results:
            frame.function.comment(_described(tensor, known))
    first = group.members[0]
    if first.kind == "call":
        write_call(frame, first, scalar)
        return
    assert loops is not None
    wide = Lanes(frame.function, scalar.element, loops.width, scalar.target)
    elements = Elements(frame, scalar, wide, loops.vector, loops.row, loops.second)
    if loops.registers > 1 or group.way is not None:
        elements.inlines = routines([group.body(tensor) for tensor in group.results]) <= FEW_ROUTINES
    if group.rows is not None:
        rows = (parts or {}).get(group.domain[0]) or run_of(frame.extent(extent(group.domain[0])))
        RowNest(frame, group, scalar, loops.lanes, rows).write()
    elif scatter_axis(first) is not None:
        _write_scatters(frame, group, scalar)
    else:
        Nest(elements, group, loops, parts or {}).write()


def _write_scatters(frame: Frame, group: Group, scalar: Lanes) -> None:
    """Zeros, or the terms that are no scatter, in the place of the result; then each scatter adds to it."""
    core = scalar.target.core(scalar.element)
    result = group.finish or group.members[0]
    start = ZERO if group.finish is None else group.body(group.finish)
    if start is ZERO:
        write_zeros(frame, scalar, result)
    else:
        first = Group((result,), result.axes, contents=contents_of((result,), {result: start}), bodies={result: start})
        write_group(frame, first, loops_of(first, core), scalar)
    for tensor in group.members:
        loops = loops_of(Group((tensor,), domain_of(tensor)), core)
        wide = Lanes(frame.function, scalar.element, loops.lanes, scalar.target)
        Scatter(Elements(frame, scalar, wide, loops.vector, loops.row, loops.second), tensor, result, loops).write()


def _write_copy(module: Module, name: str, tensor: Definition, slot: int, layout: Layout, element: str) -> None:
    function = Function(module, name, [("ptr noalias", "table")], linkage="internal", attributes="nounwind noinline")
    frame = Frame(function, layout, function.arguments[0])
    frame.enter([tensor], sorted(size_names(tensor.shape)))
    destination = function.load("ptr", function.gep("i64", frame.table, slot), 8)
    count: Integer = 1
    for length in tensor.shape:
        count = function.mul(count, frame.extent(length))
    with function.loop(0, count) as loop:
        value = function.load(element, function.gep(element, frame.pointer(tensor), loop.index))
        function.store(value, function.gep(element, destination, loop.index))
    function.ret()


def _described(tensor: Definition, known: dict[Node, str]) -> str:
    if tensor.kind == "call":
        return f"{tensor.name} = {tensor.routine}({', '.join(o.name for o in tensor.operands)})"
    reduced = f"{tensor.monoid} over {', '.join(map(brief, tensor.reduced))} of " if tensor.monoid else ""
    return f"{tensor.name}[{', '.join(map(brief, tensor.axes))}] = {reduced}{brief(tensor.formula, 300, known)}"


def _tensors(group: Group) -> list[Definition]:
    """What a group reads and writes."""
    found = dict.fromkeys(operands_of(group))
    inner = set(group.members) - set(group.stored)
    return [t for t in dict.fromkeys([*found, *group.stored]) if t not in inner]


def sizes_of(group: Group) -> set[str]:
    """Every symbolic size in extents and formulas of a group."""
    tensors = [*group.results, *operands_of(group)]
    roots = [n for t in tensors for n in t.shape] + [extent(r) for t in group.results for r in t.reduced]
    return size_names(roots) | group.contents.sizes


_SIZE = frozenset(("size",))


def size_names(roots: Iterable[Node]) -> set[str]:
    """The names of sizes below the nodes, those in extents of indices and of tensors read included."""
    return {str(node.data) for node in holding(roots, _SIZE) if node.op == "size"}


def make_layout(
    inputs: Sequence[Definition],
    fused: Fused,
    outputs: Sequence[Definition],
    watched: Definition | None = None,
    chosen: frozenset[Definition] = frozenset(),
) -> Layout:
    """Slots for inputs, outputs and what is stored between, and every size."""
    layout = Layout(watched=watched, chosen=chosen)
    for tensor in (*inputs, *outputs, *fused.stored):
        layout.add_tensor(tensor)
    if watched is None:  # an update writes where its operands lie
        for guest, output in guests(fused.groups, set(outputs) - set(inputs)).items():
            layout.tensors[guest] = layout.tensors[output]
    sizes: set[str] = set()
    for tensor in layout.tensors:
        sizes |= size_names(tensor.shape)
    for group in fused.groups:
        sizes |= sizes_of(group)
    for name in sorted(sizes):
        layout.add_size(name)
    layout.add_extra("status")
    layout.add_extra("scratch")
    for group in fused.groups:
        found = chosen_by_data(group)
        if found is not None and found[0] in outputs:
            layout.spared[found[0]] = f"zeros of {layout.tensors[found[0]]}"
            layout.add_extra(layout.spared[found[0]])
    if chosen:
        layout.add_extra(ORDER)
    return layout
