"""Definitions of one formula for each entry: reads of every kind, branches, powers, constants."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from definition_world import Outputs, World, f

from sympile.compiler.graph.arithmetic import add, div, mul, power, sqrt, sub
from sympile.compiler.graph.brackets import at_least_zero, divides, equal
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import elementwise, read
from sympile.compiler.graph.node import HALF, NAN, ONE, TWO, ZERO, const, make
from sympile.compiler.graph.rebuild import maximum, minimum


def _one_axis(w: World) -> Outputs:
    i = w.index("n")
    x, y = w.input("x", "n"), w.input("y", "n")
    return [elementwise((i,), add(mul(f("exp", read(x, i)), read(y, i)), TWO))]


def _two_axes(w: World) -> Outputs:
    i, j = w.indices("n m")
    x, y, z = w.input("x", "n"), w.input("y", "m"), w.input("z", "n m")
    return [elementwise((i, j), sub(mul(read(x, i), read(y, j)), f("tanh", read(z, i, j))))]


def _three_axes(w: World) -> Outputs:
    i, j, k = w.indices("n m 3")
    x, y = w.input("x", "n m 3"), w.input("y", "3 n")
    return [elementwise((i, j, k), mul(read(x, i, j, k), f("sin", read(y, k, i))))]


def _four_axes(w: World) -> Outputs:
    i, j, k, q = w.indices("2 n 3 m")
    x, y = w.input("x", "2 n 3 m"), w.input("y", "n m")
    return [elementwise((i, j, k, q), add(read(x, i, j, k, q), div(read(y, j, q), const(3))))]


def _transposed(w: World) -> Outputs:
    i, j = w.indices("n m")
    x, y = w.input("x", "m n"), w.input("y", "n m")
    return [elementwise((i, j), sub(read(x, j, i), read(y, i, j)))]


def _permuted(w: World) -> Outputs:
    i, j, k = w.indices("n m 4")
    x = w.input("x", "4 m n")
    return [elementwise((i, j, k), f("abs", read(x, k, j, i)))]


def _positions(w: World) -> Outputs:
    i, j = w.indices("n m")
    return [elementwise((i, j), add(mul(i, const(Fraction(1, 4))), mul(w.extent("n"), j), const(-3)))]


def _strided(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.doubled("x", "n m")
    return [elementwise((i, j), sub(read(x, add(mul(TWO, i), ONE), j), read(x, mul(TWO, i), j)))]


def _strided_last(w: World) -> Outputs:
    i = w.index("n")
    x = w.doubled("x", "n")
    return [elementwise((i,), mul(read(x, add(mul(TWO, i), ONE)), read(x, mul(TWO, i))))]


def _reversed(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n m")
    return [elementwise((i, j), read(x, sub(sub(w.extent("n"), ONE), i), sub(sub(w.extent("m"), ONE), j)))]


def _diagonal(w: World) -> Outputs:
    i = w.index("n")
    x, y = w.input("x", "n n"), w.input("y", "n n")
    return [elementwise((i,), sub(read(x, i, i), read(y, i, sub(sub(w.extent("n"), ONE), i))))]


def _shifted(w: World) -> Outputs:
    i = w.index("n")
    x = w.input("x", "n", extra=3)
    return [elementwise((i,), add(read(x, i), mul(TWO, read(x, add(i, const(1)))), read(x, add(i, const(3)))))]


def _stencil(w: World) -> Outputs:
    """Neighbours that exist; the guards are what keeps the reads inside."""
    i = w.index("n")
    x = w.input("x", "n")
    left = when(read(x, sub(i, ONE)), at_least_zero(sub(i, ONE)))
    right = when(read(x, add(i, ONE)), at_least_zero(sub(sub(w.extent("n"), TWO), i)))
    return [elementwise((i,), add(left, mul(const(-2), read(x, i)), right))]


def _stencil_2d(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n m")
    up = when(read(x, sub(i, ONE), j), at_least_zero(sub(i, ONE)))
    right = when(read(x, i, add(j, const(2))), at_least_zero(sub(sub(w.extent("m"), const(3)), j)))
    return [elementwise((i, j), add(up, right, f("exp", read(x, i, j))))]


def _dilated(w: World) -> Outputs:
    """x[i/2] at even places: an index that is a fraction elsewhere."""
    i, half = w.index("n"), const(HALF.data)  # type: ignore[arg-type]
    x = w.input("x", "n")
    return [elementwise((i,), when(read(x, mul(half, i)), divides(2, i)))]


def _unit(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n")
    return [elementwise((i, j), when(read(x, i), equal(i, j)))]


def _gathered(w: World) -> Outputs:
    e, d = w.indices("n m")
    table, token = w.input("table", "5 m"), w.classes("token", "n", "5")
    return [elementwise((e, d), mul(TWO, read(table, read(token, e), d)))]


def _gathered_last(w: World) -> Outputs:
    e = w.index("n")
    logits, label = w.input("logits", "n m"), w.classes("label", "n", "m")
    return [elementwise((e,), f("exp", read(logits, e, read(label, e))))]


def _gathered_twice(w: World) -> Outputs:
    e = w.index("n")
    x, first, second = w.input("x", "7"), w.classes("first", "n", "m"), w.classes("second", "m", "7")
    return [elementwise((e,), read(x, read(second, read(first, e))))]


def _gathered_shifted(w: World) -> Outputs:
    """A gather with an offset, and a class number as a number."""
    e = w.index("n")
    x, token = w.input("x", "m", extra=2), w.classes("token", "n", "m")
    return [elementwise((e,), add(read(x, add(read(token, e), TWO)), read(x, read(token, e))))]


def _branches(w: World) -> Outputs:
    i = w.index("n")
    x, y = w.input("x", "n"), w.input("y", "n")
    a, b = read(x, i), read(y, i)
    both = f("and", f("less", a, b), f("less_equal", ZERO, b))
    either = f("or", f("equals", a, b), f("not", f("less", a, ZERO)))
    return [
        elementwise((i,), select(both, f("exp", a), mul(const(3), b))),
        elementwise((i,), when(sqrt(a), f("less", ZERO, a), f("differs", a, b))),
        elementwise((i,), select(either, maximum(a, b, ZERO), minimum(a, b, TWO))),
    ]


def _powers(w: World) -> Outputs:
    i = w.index("n")
    x = w.input("x", "n")
    positive = add(f("abs", read(x, i)), const(Fraction(1, 2)))
    exponents: list[int | Fraction] = [
        -3,
        -2,
        -1,
        2,
        3,
        5,
        17,
        Fraction(1, 2),
        Fraction(-3, 2),
        Fraction(5, 2),
        Fraction(1, 3),
    ]
    return [elementwise((i,), power(positive, p)) for p in exponents]


def _constants(w: World) -> Outputs:
    i, j = w.indices("n m")
    return [
        elementwise((i,), const(3)),
        elementwise((i, j), const(Fraction(1, 3))),
        elementwise((), make("constant", data="pi")),
        elementwise((i,), ZERO),
        elementwise((i,), NAN),
    ]


def _scalars(w: World) -> Outputs:
    x, y = w.input("x"), w.input("y")
    a, b = read(x), read(y)
    first = elementwise((), mul(a, f("sin", b)))
    return [
        first,
        elementwise((), add(read(first), f("exp", read(first)))),
        elementwise((), div(a, add(ONE, mul(b, b)))),
    ]


# fmt: off
ELEMENTWISE: dict[str, Callable[[World], Outputs]] = {
    "one axis":                         _one_axis,
    "two axes, broadcast":              _two_axes,
    "three axes, permuted operand":     _three_axes,
    "four axes":                        _four_axes,
    "transposed read":                  _transposed,
    "permuted read":                    _permuted,
    "positions and sizes as numbers":   _positions,
    "strided rows":                     _strided,
    "strided lanes":                    _strided_last,
    "reversed":                         _reversed,
    "diagonals":                        _diagonal,
    "shifted":                          _shifted,
    "stencil":                          _stencil,
    "stencil in two axes":              _stencil_2d,
    "dilated":                          _dilated,
    "delta":                            _unit,
    "gather rows":                      _gathered,
    "gather along the last axis":       _gathered_last,
    "gather by gathered numbers":       _gathered_twice,
    "gather with an offset":            _gathered_shifted,
    "branches":                         _branches,
    "powers":                           _powers,
    "constants":                        _constants,
    "scalars":                          _scalars,
}
# fmt: on
