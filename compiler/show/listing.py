"""A program as a table of values and formulas, for reading while it is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sympile.compiler.graph.definition import Definition, definitions
from sympile.compiler.show.plain import PlainText, letters_for, shape_text, table


def listing(outputs: Iterable[Definition], names: Mapping[Definition, str]) -> str:
    """One line a definition, operands before users: `h[e, i]  examples×32  tanh(t1[e, i])`."""
    below = definitions(outputs)
    taken = [*names.values(), *[t.name for t in below]]
    rows = [_row(tensor, names, taken) for tensor in below if tensor.kind != "input"]
    return table([("value", "shape", "formula"), *rows])


def _row(tensor: Definition, names: Mapping[Definition, str], taken: Iterable[str]) -> tuple[str, str, str]:
    words = PlainText(names, letters_for((*tensor.axes, *tensor.reduced), taken))
    return words.value(tensor), shape_text(tensor), words.formula(tensor)
