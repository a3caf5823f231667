"""The update of rows that the data of a batch have chosen: all other gradients are 0, and the rule leaves them alone.

A table of thousands of rows, of which a batch meets some, need neither be gone through for its gradient nor for its
update. What is written is what the update of everything would write, to the bit; afterwards the gradient holds zeros
again, so that a row which was chosen twice is met a second time with a gradient of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import Target
from sympile.compiler.code.value import Integer, Value, i64
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.graph.definition import Definition, elementwise
from sympile.compiler.graph.node import ZERO, postorder, size, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.assemble import as_array
from sympile.compiler.passes.emit import ELEMENT, write_group
from sympile.compiler.passes.emitting.layout import Frame, Layout
from sympile.compiler.passes.emitting.watch import watched_read
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.group import Fused, Group
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.compiler.passes.training.update import COUNT, GRADIENT, SQUARES, Update
from sympile.compiler.program import ROW_UPDATE_WORDS, ROW_WORDS, ZEROS, Code, Program
from sympile.compiler.records import dataclass

ENTRY = "sympile_rows"


def leaves_alone(update: Update) -> bool:
    """Whether numbers with a gradient of 0 stay as they are, and so does what the rule keeps for them."""
    for name, tensor in update.outputs.items():
        if tensor.body is None or update.reads[SQUARES] in set(postorder([tensor.formula])):
            return False
        still = elementwise(tensor.axes, substitute(tensor.formula, {update.reads[GRADIENT]: ZERO}))
        if still is not target(update.reads[name]):
            return False
    return True


def row_update(
    outputs: Mapping[str, Definition], inputs: Sequence[Definition], dtype: str, target: Target, exact: bool
) -> Program | None:
    """The update of chosen rows by formulas over the axis of all parameters; None where it is more than one loop."""
    (axis,) = next(iter(outputs.values())).axes
    finals = {**outputs, ZEROS: elementwise((axis,), ZERO)}
    fused = fuse(list(finals.values()), exact=exact, in_place=True)
    loops = {t: replace(own, vectors=1) for t, own in schedule(fused, target.core(ELEMENT[dtype])).items()}
    gradient = next(tensor for tensor in inputs if tensor.name == GRADIENT)
    if sum(bool(group.domain) for group in fused.groups) != 1 or watched_read(fused.groups[-1], gradient) is None:
        return None
    if any(tensor.axes and tensor not in fused.outputs.values() for tensor in fused.stored):
        return None
    places = {name: fused.outputs[tensor] for name, tensor in finals.items()}
    return _RowUpdate(fused, loops, places, inputs, gradient, dtype, target).program()


@dataclass(slots=True)
class _RowUpdate:
    """Writes the function."""

    fused: Fused
    loops: Mapping[Definition, Loops]
    outputs: Mapping[str, Definition]
    inputs: Sequence[Definition]
    gradient: Definition
    dtype: str
    target: Target

    def program(self) -> Program:
        layout = Layout(watched=self.gradient)
        for word in ROW_UPDATE_WORDS:
            layout.add_extra(word)
        for tensor in (*self.inputs, *self.outputs.values()):
            layout.add_tensor(tensor)
        layout.add_extra("status")
        layout.add_extra("scratch")
        module = Module(self.target)
        function = Function(module, ENTRY, [("ptr noalias", "table")])
        numbers = frozenset(tensor for tensor in self.fused.stored if not tensor.axes)
        frame = Frame(function, layout, function.arguments[0], keeps=True, unstored=numbers)
        self._write(frame, Lanes(function, ELEMENT[self.dtype], 1, self.target))
        function.ret()
        return Program(
            code=Code(module.text(), ENTRY),
            dtype=self.dtype,
            length=layout.length,
            inputs=tuple(as_array(t.name, layout.tensors[t], t) for t in self.inputs),
            outputs=tuple(as_array(name, layout.tensors[t], t) for name, t in self.outputs.items()),
            rooms=(),
            sizes={},
            status=layout.extra["status"],
            scratch=layout.extra["scratch"],
            watches=True,
        )

    def _write(self, frame: Frame, scalar: Lanes) -> None:
        """First the update of everything else; then row after row."""
        function = frame.function
        other, table = frame.extra("update_function"), frame.extra("update_table")
        function.do(f"call void {other.text}(ptr {table.text})")
        frame.enter(frame.layout.tensors, ())
        *before, rows = self.fused.groups
        for group in before:
            write_group(frame, group, self.loops.get(group.members[0]), scalar)
        batch = function.load("i64", frame.extra("batch_word"), 8)
        lists, starts = frame.extra("lists"), dict(frame.pointers)
        with function.loop(0, frame.word("list_count")) as loop:
            words = function.gep("i64", lists, function.mul(loop.index, len(ROW_WORDS)))
            word = {name: function.load("i64", function.gep("i64", words, k), 8) for k, name in enumerate(ROW_WORDS)}
            place = function.load("ptr", words, 8)
            numbers = function.load("ptr", place, 8)
            frame.lengths[COUNT] = word["width"]
            with function.loop(0, function.mul(batch, word["each"])) as turn:
                row = function.load("i64", function.gep("i64", numbers, turn.index), 8)
                with function.when(function.compare("ult", row, word["rows"])):
                    first = function.add(word["first"], function.mul(row, word["width"]))
                    self._row(frame, rows, scalar, starts, first)

    def _row(
        self, frame: Frame, group: Group, scalar: Lanes, starts: Mapping[Definition, Value], first: Integer
    ) -> None:
        """One row: its numbers are all that there are."""
        for tensor, start in starts.items():
            if tensor.shape == (size(COUNT),):
                frame.pointers[tensor] = frame.function.gep(scalar.element, start, i64(first))
        write_group(frame, group, self.loops.get(group.members[0]), scalar)
