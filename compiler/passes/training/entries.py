"""Small axes written out: every entry along them is a tensor of its own, and sums over them are sums of terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from itertools import product
from math import prod

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import (
    EXAMPLES,
    Definition,
    define,
    elementwise,
    extent_value,
    input_tensor,
    read,
)
from sympile.compiler.graph.node import ONE, ZERO, Node, const, extent, number, postorder, target
from sympile.compiler.graph.rebuild import maximum, minimum, rebuild, substitute
from sympile.compiler.passes.training.invariant import PREFIX
from sympile.compiler.records import dataclass

MOST_ENTRIES = 8  # along an axis that is written out
MOST_ALONE = 16  # where there is one example, and nothing else fills the lanes of a register
MOST_TERMS = 64  # of a sum that is written out
MOST_TENSORS = 256  # in all
COMBINED: Mapping[str, Callable[..., Node]] = {"sum": add, "prod": mul, "max": maximum, "min": minimum}


class NotSmall(Exception):
    """A tensor has an axis that is too long, or is no formula."""


@dataclass(slots=True)
class Entries:
    """Writes tensors out.

    Attributes:
        rows: where the examples are the few rows of an upper triangle: the place of each input's first column in it.
        keeps_parameters: they are read entry by entry; else each of their numbers is an input of its own.
        alone: there is one example, another one in each step: its data are no numbers that stay.
    """

    rows: Mapping[str, int] | None = None
    keeps_parameters: bool = False
    alone: bool = False
    tensors: dict[tuple[Definition, tuple[int, ...]], Definition] = field(default_factory=dict)

    def is_written(self, index: Node) -> bool:
        """Whether every step of an index is written."""
        return extent(index) is not EXAMPLES or self.rows is not None or self.alone

    def range(self, index: Node) -> range:
        """The steps of an index that is written out."""
        length = extent(index)
        if length is EXAMPLES and (self.rows is not None or self.alone):
            return range(self.count)
        if length.op != "const" or extent_value(length) > (MOST_ALONE if self.alone else MOST_ENTRIES):
            raise NotSmall
        return range(extent_value(length))

    @property
    def count(self) -> int:
        """The rows of the triangle, or the one example."""
        if self.alone:
            return 1
        assert self.rows is not None
        return self.rows[""]

    def number(self, tensor: Definition, at: tuple[int, ...]) -> Definition:
        """One number of a parameter."""
        if not at:
            return tensor
        return input_tensor(f"{PREFIX}{tensor.name}{list(at)}", (), tensor.routine)

    def tensor(self, tensor: Definition, at: tuple[int, ...]) -> Definition:
        """The tensor at positions along the axes that are written out."""
        key = (tensor, at)
        if key not in self.tensors:
            if len(self.tensors) >= MOST_TENSORS:
                raise NotSmall
            self.tensors[key] = self._made(tensor, at)
        return self.tensors[key]

    def _made(self, tensor: Definition, at: tuple[int, ...]) -> Definition:
        if tensor.kind == "input" and not tensor.axes:
            return tensor
        if tensor.kind != "formula" or (tensor.reduced and tensor.monoid not in COMBINED):
            raise NotSmall
        written = [a for a in tensor.axes if self.is_written(a)]
        body = substitute(tensor.formula, dict(zip(written, map(const, at), strict=True)))
        axes = [a for a in tensor.axes if not self.is_written(a)]
        inner = [r for r in tensor.reduced if self.is_written(r)]
        reduced = [r for r in tensor.reduced if not self.is_written(r)]
        ranges = [self.range(r) for r in inner]
        if prod(map(len, ranges)) > MOST_TERMS:
            raise NotSmall
        parts = [
            self._formula(substitute(body, dict(zip(inner, map(const, steps), strict=True))))
            for steps in product(*ranges)
        ]
        whole = COMBINED[tensor.monoid](*parts) if inner and tensor.monoid else parts[0]
        return define(axes, reduced, tensor.monoid, whole) if reduced else elementwise(axes, whole)

    def _formula(self, root: Node) -> Node:
        done: dict[Node, Node] = {}
        for node in postorder([root]):
            args = tuple([done[a] for a in node.args])
            if node.op == "read":
                done[node] = self._read(target(node), args)
            elif node is EXAMPLES and self.alone:
                done[node] = ONE
            else:
                done[node] = node if args == node.args else rebuild(node, args)
        return done[root]

    def _read(self, tensor: Definition, args: tuple[Node, ...]) -> Node:
        if tensor.kind != "input":
            pairs = list(zip(tensor.axes, args, strict=True))
            at = tuple(_position(arg) for axis, arg in pairs if self.is_written(axis))
            return read(self.tensor(tensor, at), *[arg for axis, arg in pairs if not self.is_written(axis)])
        if tensor.routine == "parameter" and not self.keeps_parameters:
            return read(self.number(tensor, tuple(map(_position, args))))
        if self.alone and tensor.batched:
            return read(self.row(tensor), *args)
        if self.rows is None or not tensor.batched:
            return read(tensor, *args)
        if tensor.name in self.rows and self._is_below(tensor, args):
            return ZERO
        return read(input_tensor(tensor.name, (const(self.count), *tensor.shape[1:]), tensor.routine), *args)

    def row(self, tensor: Definition) -> Definition:
        """The data of the one example."""
        return input_tensor(tensor.name, (ONE, *tensor.shape[1:]), "parameter", tensor.integer)

    def _is_below(self, tensor: Definition, args: tuple[Node, ...]) -> bool:
        """Whether a read of the triangle is one of its zeros."""
        assert self.rows is not None
        column = 0
        for axis, arg in zip(tensor.axes[1:], args[1:], strict=True):
            column = column * extent_value(extent(axis)) + _position(arg)
        return _position(args[0]) > self.rows[tensor.name] + column


def _position(arg: Node) -> int:
    if arg.op != "const":
        raise NotSmall
    return int(number(arg))
