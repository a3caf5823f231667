"""Directions of derivatives: symbols of the right shapes, constant also where they are what one derives by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympile.compiler.errors import ArgumentError, ShapeError
from sympile.compiler.graph.definition import Definition, input_tensor
from sympile.compiler.graph.mapping import Mapping
from sympile.compiler.graph.node import ONE, Node
from sympile.compiler.graph.transfer import Transfer
from sympile.compiler.passes.reading.scope import Scope, Symbol, shape_text
from sympile.runtime.byname import name_of
from sympile.runtime.model.given import OWN, as_symbols


def directions(what: str, given: Any, shapes: Iterable[tuple[Node, ...]], scope: Scope) -> list[Symbol]:
    """The symbols given as directions, one for each shape; axes of size 1 may differ."""
    listed, wanted = as_symbols(what, given), list(shapes)
    if len(listed) != len(wanted):
        raise ArgumentError(f"{len(wanted)} directions are needed, one for each symbol, not {len(listed)} {what}")
    found = [scope.declare(d, name_of(d), getattr(d, "shape", ()) or ()) for d in listed]
    for symbol, shape in zip(found, wanted, strict=True):
        if [n for n in symbol.declared if n is not ONE] != [n for n in shape if n is not ONE]:
            words = f"{what} have the shapes of what they belong to: {shape_text(shape)}"
            raise ShapeError(f"{words}, but {symbol.name} has shape {shape_text(symbol.declared)}")
    return found


class Held:
    """Stand-ins of directions that are derived by themselves: hvp(f, x, x) is H x, not the slope of x.T*grad(f)."""

    def __init__(self, given: Iterable[Definition], wrt: Iterable[Definition]) -> None:
        derived = set(wrt)
        self.tensors = [_stand_in(t) if t in derived else t for t in given]
        self._originals = Mapping(zip(self.tensors, given, strict=True))

    def released(
        self, found: dict[Definition, Definition], named: Iterable[Definition]
    ) -> tuple[dict[Definition, Definition], Mapping]:
        """What was found, with the directions in place again; and what became of the tensors that have names."""
        if all(stand_in is original for stand_in, original in self._originals.items()):
            return found, Mapping()
        transfer = Transfer(self._originals, {}, open_source=True, open_target=True)
        moved = transfer.run([*found.values(), *[t for t in named if t.kind != "input"]])
        return dict(zip(found, moved, strict=False)), Mapping(transfer.tensors)


def _stand_in(tensor: Definition) -> Definition:
    return input_tensor(f"{OWN}{tensor.name}", tensor.shape, tensor.routine, tensor.integer)
