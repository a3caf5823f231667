"""A program as a graph in Graphviz' language: a box for each tensor, arrows from what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympile.compiler.graph.definition import Definition, definitions, depends_on
from sympile.compiler.graph.node import brief, extent, index_name

_LONGEST = 60


def dot(outputs: Sequence[Definition], names: Mapping[Definition, str] | None = None) -> str:
    """The definitions below the outputs as a directed graph.

    Args:
        outputs: tensors; drawn with a double border.
        names: what tensors are called; others are called by their labels.

    Returns:
        The text of a DOT file.
    """
    known = dict(names or {})
    order = definitions(outputs)
    identities = {tensor: f"n{k}" for k, tensor in enumerate(order)}
    lines = ["digraph program {", "  rankdir=BT;", '  node [shape=box, fontname="monospace"];']
    lines += [f"  {identities[t]} [{_attributes(t, known, t in outputs)}];" for t in order]
    lines += [f"  {identities[source]} -> {identities[t]};" for t in order for source in depends_on(t)]
    return "\n".join([*lines, "}"])


def _attributes(tensor: Definition, names: Mapping[Definition, str], is_output: bool) -> str:
    style = ", style=rounded" if tensor.kind == "input" else ""
    border = ", peripheries=2" if is_output else ""
    return f'label="{_escaped(_label(tensor, names))}"{style}{border}'


def _label(tensor: Definition, names: Mapping[Definition, str]) -> str:
    name = names.get(tensor, tensor.name)
    axes = f"[{', '.join(index_name(a) for a in tensor.axes)}]" if tensor.axes else ""
    if tensor.kind == "input":
        return f"{name} ({', '.join(brief(extent(a)) for a in tensor.axes)})" if tensor.axes else name
    if tensor.kind == "call":
        return f"{name} = {tensor.routine}({', '.join(names.get(o, o.name) for o in tensor.operands)})"
    over = f"{tensor.monoid} over {', '.join(index_name(r) for r in tensor.reduced)} of " if tensor.monoid else ""
    formula = brief(tensor.formula)
    return f"{name}{axes} = {over}{formula if len(formula) <= _LONGEST else formula[:_LONGEST] + '...'}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"')
