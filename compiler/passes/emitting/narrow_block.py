"""A block of rows with few entries: each entry is a value of its own, with the rows of the block in its lanes.

Rows are turned over in registers when they are read and when they are written. Nothing is reduced across lanes but sums
over all rows, once after the last block; no lane is idle, however few entries there are. Where functions such as exp
are computed, whose instructions wait for each other, a block fills two registers: one need not wait for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial, reduce

from sympile.compiler.code.halving import packed
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.pieces import joined, shares
from sympile.compiler.code.transpose import columns_of, transposed
from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.brackets import BRACKETS
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, extent, number, postorder, target
from sympile.compiler.passes.emitting.ahead import ask
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.memory import address
from sympile.compiler.passes.emitting.places import Place, parts
from sympile.compiler.passes.emitting.reduction import ACROSS, COMBINE, IDENTITY, accumulated
from sympile.compiler.passes.emitting.routines import FEW_ROUTINES, routines
from sympile.compiler.passes.emitting.row_block import held
from sympile.compiler.passes.fusing.group import Group
from sympile.compiler.passes.fusing.rowwise import common_index, kind_of, stages_of
from sympile.compiler.records import dataclass
from sympile.compiler.rules.machine import is_routine

MOST_TWICE = 250  # operations of a block whose rows fill two registers: more take LLVM long, and gain less
CHAINS = 2  # sums of a row under way: an addition need not wait for the one before it


def registers_of(group: Group) -> int:
    """How many registers the rows of a block fill: two long chains of instructions take little more time than one."""
    return 2 if is_long(group) and _operations(group) <= MOST_TWICE else 1


def is_long(group: Group) -> bool:
    """Whether functions such as exp are computed for each row."""
    nodes = postorder([group.body(tensor) for tensor in group.members])
    return any(is_routine(node) and group.domain[0] in node.free for node in nodes)


def _operations(group: Group) -> int:
    """Of a block, whose entries are written out."""
    own = {t: sum(bool(n.args) for n in postorder([group.body(t)]) if n.free) for t in group.members}
    return sum(len(entries_of(t)) * count for t, count in own.items())


def entries_of(tensor: Definition) -> range:
    """The entries of a row, or the one result that a row has."""
    index = common_index(tensor)
    return range(1 if index is None else int(number(extent(index))))


@dataclass(slots=True)
class NarrowBlock:
    """Writes what happens to one block of rows."""

    frame: Frame
    group: Group
    down: Lanes  # the rows of the block
    register: Lanes  # as many of them as one register holds
    scalar: Lanes
    end: Integer  # of the rows
    sums: dict[tuple[Definition, int], Value] = field(default_factory=dict)  # over the rows so far; by entry
    slots: dict[tuple[Definition, int], Value] = field(default_factory=dict)  # of those that have no register now
    elements: Elements = field(init=False)
    stages: Mapping[Definition, int] = field(init=False)
    entries: dict[tuple[object, int], Value] = field(default_factory=dict)  # of this block
    examples: dict[int, Value] = field(default_factory=dict)  # the rows of this block, where an order says which
    left: Integer | None = None  # rows, in a block that is not full

    def __post_init__(self) -> None:
        self.elements = Elements(self.frame, self.scalar, self.down, vector=self.row, inlines=self._few_routines())
        self.stages = stages_of(self.group.members)

    @property
    def row(self) -> Node:
        return self.group.domain[0]

    @property
    def rows(self) -> int:
        return self.down.lanes

    def hoist(self) -> None:
        """Writes what no row changes; sums over rows are empty."""
        self.elements.hoist([self.group.body(tensor) for tensor in self.group.members], frozenset())
        for tensor in self.group.members:
            if kind_of(tensor) in ("column", "total"):
                for at in entries_of(tensor) if kind_of(tensor) == "column" else (0,):
                    self.sums[tensor, at] = self.register.constant(IDENTITY[str(tensor.monoid)])

    def last(self) -> NarrowBlock:
        """The same for the rows that are left: one register of them, which adds to the same sums; it runs rarely."""
        rest = replace(self, down=self.register)
        rest.elements.known[0].update(self.elements.known[0])
        rest.elements.inlines = False
        return rest

    def go(self, first: Integer, last: Integer, whole: bool = True) -> None:
        """Blocks from one row to another. Of a block that is not whole some rows are left; it runs rarely.

        Sums stay in registers, unless long functions need those.
        """
        function, lanes = self.frame.function, self.register
        carried = [] if whole and is_long(self.group) else list(self.sums)
        self.slots = {key: function.alloca(lanes.real) for key in self.sums if key not in carried}
        for key, slot in self.slots.items():
            lanes.store(self.sums[key], slot)
        with function.loop(first, last, self.rows, [self.sums[key] for key in carried]) as loop:
            self.sums.update(zip(carried, loop.carried, strict=True))
            self.write(loop.index, None if whole else function.sub(self.end, loop.index))
            loop.next = [self.sums[key] for key in carried]
        self.sums.update(zip(carried, loop.results, strict=True))
        self.sums.update((key, lanes.load(slot)) for key, slot in self.slots.items())

    def _few_routines(self) -> bool:
        """Whether the code of a block stays short with vector math written where it stands."""
        calls = sum(len(entries_of(t)) * routines([self.group.body(t)]) for t in self.group.members)
        return calls <= FEW_ROUTINES

    # ------------------------------------------------------------------------------------------ one block

    def write(self, start: Integer, left: Integer | None = None) -> None:
        """The block that begins at a row; lanes beyond the rows that are left count for nothing."""
        elements = self.elements
        elements.positions[self.row] = start
        elements.push()
        elements.mask = None if left is None else self.down.first(left)
        self.left = left
        self.entries.clear()
        self.examples.clear()
        for node in postorder([self.group.body(tensor) for tensor in self.group.members]):
            if node.op == "read" and self.row in node.free and target(node) not in self.stages:
                if len(node.args) == 2:
                    elements.packed[node] = partial(self._read, node)
                elif target(node) in self.frame.layout.chosen:
                    elements.packed[node] = partial(self._read_whole, node)
        for stage in range(max(self.stages.values()) + 1):
            now = [tensor for tensor in self.group.members if self.stages[tensor] == stage]
            for tensor in now:
                if common_index(tensor) is None:
                    self._write_whole(tensor)
            for index in dict.fromkeys(i for i in map(common_index, now) if i is not None):
                self._write_entries(index, [tensor for tensor in now if common_index(tensor) is index])
        elements.forwarded.clear()
        elements.packed.clear()
        elements.mask = None
        elements.pop()

    @property
    def _place(self) -> Place:
        return Place(masked=self.left is not None)

    def _read(self, node: Node, place: Place) -> Value:
        """An entry of every row of an array."""
        at = self.elements.positions[node.args[1]]
        assert isinstance(at, int)
        if (node, at) not in self.entries:
            for k, value in enumerate(self._turned(target(node), int(number(extent(node.args[1]))))):
                self.entries[node, k] = value
        return self.entries[node, at]

    def _turned(self, tensor: Definition, width: int) -> list[Value]:
        """All entries of the rows of a block."""
        lanes, rows = self.register, [self._row(tensor, row, 0) for row in range(self.rows)]
        parts = [columns_of(lanes, rows[k : k + lanes.lanes], width) for k in range(0, self.rows, lanes.lanes)]
        return [joined(self.down, each) for each in zip(*parts, strict=True)]

    def _read_whole(self, node: Node, place: Place) -> Value:
        """The one number that every row has in an array whose rows lie where an order says."""
        value = Value("poison", self.down.real)
        for row in range(self.rows):
            value = self.down.insert(value, self.scalar.load(self._row(target(node), row, 0)), row)
        return value

    def _row(self, tensor: Definition, row: int, entry: int) -> Value:
        """Where an entry of a row of the block lies."""
        function, element = self.frame.function, self.scalar.element
        first, *_ = self.frame.strides(tensor)
        if self.left is None and isinstance(first, int) and tensor not in self.frame.layout.chosen:
            before = function.mul(self.elements.positions[self.row], first)
            begin = function.gep(element, self.frame.pointer(tensor), before)
            return function.beyond(element, begin, row * first + entry)
        at = function.add(self.elements.positions[self.row], row)
        if self.left is not None:
            at = function.min(at, function.sub(self.end, 1))
        if tensor in self.frame.layout.chosen:
            at = self._example(row, at)
        place = function.add(function.mul(at, first), entry)
        return function.gep(element, self.frame.pointer(tensor), place)

    def _example(self, row: int, at: Integer) -> Value:
        """Which example a row of the block is, where an order says."""
        if row not in self.examples:
            function = self.frame.function
            assert self.frame.order is not None
            self.examples[row] = function.load("i64", function.gep("i64", self.frame.order, at), 8)
        return self.examples[row]

    # ------------------------------------------------------------------------------------------ rows as a whole

    def _write_whole(self, tensor: Definition) -> None:
        body = self.group.body(tensor)
        if kind_of(tensor) == "scalar":
            self._row_value(tensor, self.elements.wide_value(body, self._place))
            return
        self._grow(tensor, 0, body)

    def _grow(self, tensor: Definition, at: int, body: Node) -> None:
        """Adds the rows of the block to what earlier blocks have left."""
        lanes, slot = self.register, self.slots.get((tensor, at))
        before = self.sums[tensor, at] if slot is None else lanes.load(slot)
        after = accumulated(self.elements, tensor, body, self._place, before, self.down, self.elements.mask, lanes)
        if slot is None:
            self.sums[tensor, at] = after
        else:
            lanes.store(after, slot)

    def _row_value(self, tensor: Definition, value: Value) -> None:
        assert self.group.rows is not None
        if tensor not in self.group.rows.local:
            pointer, along, *_ = address(self.elements, tensor, (self.row,), self._place)
            assert along is not None
            self.down.store_strided(value, pointer, along, self.elements.mask)
        self.elements.forwarded[tensor] = partial(held, value)

    # ------------------------------------------------------------------------------------------ entries

    def _write_entries(self, index: Node, members: Sequence[Definition]) -> None:
        """Goes through the entries of a row."""
        elements = self.elements
        self._spread(index, [self.group.body(tensor) for tensor in members])
        chains = min(CHAINS, len(entries_of(members[0])))
        across = [tensor for tensor in members if kind_of(tensor) == "across"]
        sums = {t: [self.down.constant(IDENTITY[str(t.monoid)])] * chains for t in across}
        for tensor in members:
            if kind_of(tensor) == "element":
                elements.forwarded[tensor] = partial(self._entry, tensor, index)
        for at in entries_of(members[0]):
            elements.positions[index] = at
            elements.push()
            for tensor in members:
                body = self.group.body(tensor)
                if tensor in sums:
                    own, k = sums[tensor], at % chains
                    own[k] = accumulated(elements, tensor, body, self._place, own[k], self.down, None)
                elif kind_of(tensor) == "element":
                    self._entry(tensor, index, self._place)
                else:
                    self._grow(tensor, at if kind_of(tensor) == "column" else 0, body)
            elements.pop()
        del elements.positions[index]
        for tensor in members:
            if tensor in sums:
                combine = COMBINE[str(tensor.monoid)]
                self._row_value(tensor, reduce(partial(combine, self.down), sums[tensor]))
            elif kind_of(tensor) == "element" and tensor in self.group.stored:
                self._store(tensor)

    def _spread(self, index: Node, bodies: Iterable[Node]) -> None:
        """What is the same for all entries of a row is computed before them."""
        stack, seen = list(bodies), set[Node]()
        while stack:
            node = stack.pop()
            if node in seen or self.row not in node.free:
                continue
            seen.add(node)
            if index in node.free:
                stack.extend(() if node.op == "read" else parts(node) if node.op in BRACKETS else node.args)
            elif node.args:
                self.elements.value(node, self._place)

    def _entry(self, tensor: Definition, index: Node, place: Place) -> Value:
        """An entry of every row of what is computed here; once."""
        at = self.elements.positions[index]
        assert isinstance(at, int)
        if (tensor, at) not in self.entries:
            self.entries[tensor, at] = self.elements.wide_value(self.group.body(tensor), place)
        return self.entries[tensor, at]

    def _store(self, tensor: Definition) -> None:
        """Turns the entries over, and writes each row."""
        lanes, width = self.register, len(entries_of(tensor))
        entries = [shares(self.down, self.entries[tensor, at], lanes.lanes) for at in range(width)]
        for start in _cut(width, lanes.lanes):
            columns = [entries[min(start + k, width - 1)] for k in range(lanes.lanes)]
            rows = [values for square in zip(*columns, strict=True) for values in transposed(lanes, square)]
            for row, values in enumerate(rows):
                pointer = self._row(tensor, row, start)
                if self.left is None and width >= lanes.lanes:
                    lanes.store(values, pointer)
                    ask(self.frame, lanes, tensor, pointer, 1)
                else:
                    lanes.store_masked(values, pointer, lanes.first(self._stored_of(row, width)))

    def _stored_of(self, row: int, width: int) -> Integer:
        """How many entries of a row are written: none beyond the last row."""
        if self.left is None:
            return width
        function = self.frame.function
        return function.mul(function.min(1, function.max(0, function.sub(self.left, row))), width)

    # ------------------------------------------------------------------------------------------ after the last block

    def total(self, tensor: Definition) -> Value:
        """A number made of all rows."""
        return ACROSS[str(tensor.monoid)](self.register, self.sums[tensor, 0])

    def column(self, tensor: Definition) -> list[tuple[int, int, Value]]:
        """The sums over rows side by side: vectors, where each begins, and how many of its lanes are sums."""
        combine, lanes = COMBINE[str(tensor.monoid)], self.register
        sums, found = [self.sums[tensor, at] for at in entries_of(tensor)], []
        nothing = lanes.constant(IDENTITY[str(tensor.monoid)])
        for start in range(0, len(sums), lanes.lanes):
            part = sums[start : start + lanes.lanes]
            found.append((start, len(part), packed(lanes, part + [nothing] * (lanes.lanes - len(part)), combine)))
        return found


def _cut(width: int, lanes: int) -> list[int]:
    """Where squares begin; the last one may overlap the one before."""
    return [min(start, max(0, width - lanes)) for start in range(0, width, lanes)]
