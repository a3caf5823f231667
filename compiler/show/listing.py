"""A program as a list of definitions, for reading while it is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sympile.compiler.graph.definition import Definition, definitions
from sympile.compiler.graph.node import brief, extent


def listing(outputs: Iterable[Definition], names: Mapping[Definition, str]) -> str:
    """One line a definition, operands before users: `h[i<32] = tanh(v1[i])`."""
    return "\n".join(f"  {line(tensor, names)}" for tensor in definitions(outputs) if tensor.kind != "input")


def line(tensor: Definition, names: Mapping[Definition, str]) -> str:
    """One definition."""
    label = names.get(tensor, tensor.name)
    if tensor.kind == "call":
        return f"{label} = {tensor.routine}({', '.join(names.get(o, o.name) for o in tensor.operands)})"
    axes = ", ".join(f"{brief(a)}<{brief(extent(a))}" for a in tensor.axes)
    head = f"{label}[{axes}]" if axes else label
    reduced = ", ".join(f"{brief(r)}<{brief(extent(r))}" for r in tensor.reduced)
    return f"{head} = {f'{tensor.monoid} over {reduced} of ' if tensor.monoid else ''}{brief(tensor.formula)}"
