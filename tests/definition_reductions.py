"""Definitions that sum, multiply or compare over indices: products of matrices, guards, convolutions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations

from definition_world import Outputs, World, f

from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import at_least_zero, equal
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import define, elementwise, read
from sympile.compiler.graph.node import HALF, ONE, ZERO, const
from sympile.compiler.graph.reduce import total


def _reduction(monoid: str, reduced: tuple[int, ...]) -> Callable[[World], Outputs]:
    def build(w: World) -> Outputs:
        every = w.indices("n 3 m")
        x, y = w.input("x", "n 3 m"), w.input("y", "m 3")
        i, j, k = every
        body = add(read(x, i, j, k), mul(HALF, read(y, k, j)))
        body = add(ONE, mul(const(Fraction(1, 50)), body)) if monoid == "prod" else body
        kept = [a for at, a in enumerate(every) if at not in reduced]
        return [define(kept, [every[at] for at in reduced], monoid, body)]

    return build


def _product(left: str, right: str, result: str, monoid: str = "sum") -> Callable[[World], Outputs]:
    """einsum over letters n, m, k (5 long), b (2 long)."""

    def build(w: World) -> Outputs:
        of = {letter: w.index(letter) for letter in dict.fromkeys(left + right)}
        x, y = w.input("x", " ".join(left)), w.input("y", " ".join(right))
        body = mul(read(x, *[of[a] for a in left]), read(y, *[of[a] for a in right]))
        return [define([of[a] for a in result], [i for a, i in of.items() if a not in result], monoid, body)]

    return build


def _bilinear(w: World) -> Outputs:
    i, j = w.indices("n m")
    x, y, a = w.input("x", "n"), w.input("y", "m"), w.input("a", "n m")
    return [define((), (i, j), "sum", mul(read(x, i), read(a, i, j), read(y, j)))]


def _triangular(w: World) -> Outputs:
    i, j = w.indices("n n")
    a, x = w.input("a", "n n"), w.input("x", "n")
    return [define((i,), (j,), "sum", when(mul(read(a, i, j), read(x, j)), at_least_zero(sub(i, j))))]


def _constants_by_position(w: World) -> Outputs:
    """A vector and a matrix of numbers, entry by entry, beside sums over what they stand at."""
    e, i, j, k = w.indices("n 5 7 5")
    x, y = w.input("x", "n 5"), w.input("y", "n 7")
    vector = {at: add(*[when(const(r - 2), equal(at, const(r))) for r in range(5)]) for at in (i, k)}
    matrix = add(*[when(const(r * c - 3), equal(i, const(r)), equal(j, const(c))) for r in range(5) for c in range(7)])
    return [
        define((e,), (i,), "sum", mul(vector[i], read(x, e, i))),
        define((e, i), (j,), "sum", mul(matrix, read(y, e, j))),
        elementwise((e, i, j), add(mul(matrix, read(x, e, i)), mul(vector[i], f("sin", read(y, e, j))))),
        elementwise((e, k), mul(vector[k], total([j], mul(read(y, e, j), read(x, e, k))))),
    ]


def _rows_that_share(w: World) -> Outputs:
    """Rows of known and of unknown number, which have a vector of their matrix in common."""
    e, i, j, k, m = w.indices("n 5 11 m 40")
    x, y, z, a = w.input("x", "n 5"), w.input("y", "n 11"), w.input("z", "n 40"), w.input("a", "m")
    return [
        elementwise((e, i, j), add(mul(read(x, e, i), read(y, e, j)), when(read(y, e, j), equal(i, j)))),
        elementwise((e, m, i), mul(read(z, e, m), read(x, e, i), f("exp", read(x, e, i)))),
        elementwise((k, j), add(read(a, k), f("sin", j))),
        elementwise((e, k), mul(read(a, k), read(x, e, const(4)))),
    ]


def _triangular_max(w: World) -> Outputs:
    i, j = w.indices("n n")
    x = w.input("x", "n")
    return [define((i,), (j,), "max", select(at_least_zero(sub(i, j)), read(x, j), const(-9)))]


def _convolution(w: World) -> Outputs:
    i, p, c = w.indices("n 4 m")
    x, k = w.input("x", "n", extra=3), w.input("k", "4 m")
    return [define((c, i), (p,), "sum", mul(read(x, add(i, p)), read(k, p, c)))]


def _padded_convolution(w: World) -> Outputs:
    i, p = w.indices("n 3")
    x, k = w.input("x", "n"), w.input("k", "3")
    at = sub(add(i, p), ONE)
    inside = (at_least_zero(at), at_least_zero(sub(sub(w.extent("n"), ONE), at)))
    return [define((i,), (p,), "sum", when(mul(read(x, at), read(k, p)), *inside))]


def _guarded_sum(w: World) -> Outputs:
    """What the guard excludes may be nan: log of a negative number."""
    e, k = w.indices("n m")
    x = w.input("x", "n m")
    a = read(x, e, k)
    return [
        define((), (e, k), "sum", when(f("log", a), f("less", ZERO, a))),
        define((k,), (e,), "sum", when(f("log", a), f("less", ZERO, a))),
        define((e,), (k,), "sum", when(f("sqrt", a), f("less_equal", ZERO, a))),
    ]


def _constant_sum(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n")
    return [
        define((i,), (j,), "sum", read(x, i)),
        define((i,), (j,), "sum", ONE),
        define((), (i,), "sum", i),
        define((i,), (j,), "max", mul(i, j)),
        define((), (i, j), "prod", ONE),
    ]


# fmt: off
REDUCTIONS: dict[str, Callable[[World], Outputs]] = {
    "constants by position":            _constants_by_position,
    "rows that share":                  _rows_that_share,
    "vector times vector":              _product("n", "n", ""),
    "outer product":                    _product("n", "m", "nm"),
    "A x":                              _product("nm", "m", "n"),
    "A.T x":                            _product("nm", "n", "m"),
    "A B":                              _product("n5", "5m", "nm"),
    "A B, long inside":                 _product("3n", "nm", "3m"),
    "A.T B":                            _product("5n", "5m", "nm"),
    "A B.T":                            _product("n5", "m5", "nm"),
    "A.T B.T":                          _product("5n", "m5", "nm"),
    "(A B).T":                          _product("n5", "5m", "mn"),
    "batched product":                  _product("2n5", "25m", "2nm"),
    "two summed axes":                  _product("nm5", "5m3", "n3"),
    "max of products":                  _product("nm", "m3", "n3", "max"),
    "min of products":                  _product("nm", "nm", "m", "min"),
    "bilinear form":                    _bilinear,
    "triangular product":               _triangular,
    "triangular maximum":               _triangular_max,
    "convolution":                      _convolution,
    "padded convolution":               _padded_convolution,
    "guarded sums":                     _guarded_sum,
    "sums of what does not vary":       _constant_sum,
    **{f"{monoid} over {' '.join('ijk'[a] for a in axes)}": _reduction(monoid, axes)
       for monoid in ("sum", "prod", "max", "min", "lse") for count in (1, 2, 3) for axes in combinations(range(3), count)},
}
# fmt: on
