"""Sums that land where class numbers say."""

from __future__ import annotations

from collections.abc import Callable

from definition_world import Outputs, World, f

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import define, elementwise, read
from sympile.compiler.graph.node import HALF, TWO, const


def _scattered_scalar(w: World) -> Outputs:
    e, v = w.indices("n 5")
    g, token = w.input("g", "n"), w.classes("token", "n", "5")
    return [define((v,), (e,), "sum", when(f("exp", read(g, e)), equal(v, read(token, e))))]


def _scattered_rows(w: World) -> Outputs:
    e, v, d = w.indices("n 5 m")
    g, token = w.input("g", "n m"), w.classes("token", "n", "5")
    return [define((v, d), (e,), "sum", when(mul(TWO, read(g, e, d)), equal(v, read(token, e))))]


def _scattered_columns(w: World) -> Outputs:
    e, v, d = w.indices("n 5 m")
    g, token = w.input("g", "n m"), w.classes("token", "n", "5")
    return [define((d, v), (e,), "sum", when(read(g, e, d), equal(v, read(token, e))))]


def _scattered_twice(w: World) -> Outputs:
    """Two scatters, one from the side, and a term that is none, scaled; beside work that needs nothing of them."""
    e, v, d = w.indices("n 5 m")
    g, token, other = w.input("g", "n m"), w.classes("token", "n", "5"), w.classes("other", "n", "5")
    b = w.input("b", "5 m")
    first = define((v, d), (e,), "sum", when(read(g, e, d), equal(v, read(token, e))))
    second = define((d, v), (e,), "sum", when(f("exp", read(g, e, d)), equal(v, read(other, e))))
    both = add(read(first, v, d), mul(const(-3), read(second, d, v)), f("tanh", read(b, v, d)))
    return [elementwise((v, d), f("exp", read(b, v, d))), elementwise((v, d), mul(HALF, both))]


def _scattered_beside_product(w: World) -> Outputs:
    """Only one of the two can have the other's place to finish in."""
    e, v, d = w.indices("n 5 m")
    g, h, token = w.input("g", "n m"), w.input("h", "n 5"), w.classes("token", "n", "5")
    scatter = define((v, d), (e,), "sum", when(read(g, e, d), equal(v, read(token, e))))
    product = define((v, d), (e,), "sum", mul(read(h, e, v), read(g, e, d)))
    return [elementwise((v, d), add(mul(HALF, read(product, v, d)), read(scatter, v, d)))]


def _scattered_sequences(w: World) -> Outputs:
    e, s, v, d = w.indices("n 3 5 m")
    g, token = w.input("g", "n 3 m"), w.classes("token", "n m", "5")
    return [define((v,), (e, s, d), "sum", when(read(g, e, s, d), equal(v, read(token, e, d))))]


# fmt: off
SCATTERS: dict[str, Callable[[World], Outputs]] = {
    "scatter to numbers":               _scattered_scalar,
    "scatter to rows":                  _scattered_rows,
    "scatter to columns":               _scattered_columns,
    "scatters to one place":            _scattered_twice,
    "a scatter beside a product":       _scattered_beside_product,
    "scatter over three indices":       _scattered_sequences,
}
# fmt: on
