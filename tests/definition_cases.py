"""Definitions of every kind as a table: what the code generator must be able to compute. Each row builds itself for any sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np

from sympile.compiler.graph.arithmetic import add, div, mul, power, sqrt, sub
from sympile.compiler.graph.brackets import at_least_zero, divides, equal
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import Definition, define, elementwise, input_tensor, read
from sympile.compiler.graph.node import HALF, NAN, ONE, TWO, ZERO, Node, const, index, make, size
from sympile.compiler.graph.rebuild import function, maximum, minimum
from sympile.compiler.graph.reduce import total

Outputs = list[Definition]


@dataclass(slots=True)
class World:
    """Sizes and inputs of one case: extents are numbers or symbols, values are drawn as the inputs are declared."""

    lengths: Mapping[str, int]
    symbolic: bool
    seed: int = 0
    special: bool = False  # nan, inf and signed zeros among the values
    values: dict[str, Any] = field(default_factory=dict)
    inputs: list[Definition] = field(default_factory=list)

    def extent(self, name: str) -> Node:
        """The extent of this name; "3" is the number."""
        if name.isdigit():
            return const(int(name))
        return size(name) if self.symbolic else const(self.lengths[name])

    def index(self, name: str) -> Node:
        return index(self.extent(name))

    def indices(self, names: str) -> list[Node]:
        return [self.index(name) for name in names.split()]

    def input(self, name: str, shape: str = "", extra: int = 0) -> Definition:
        """An input; `extra` numbers are added to its first axis."""
        extents = [self.extent(n) for n in shape.split()]
        lengths = [int(n) if n.isdigit() else self.lengths[n] for n in shape.split()]
        if extra:
            extents[0], lengths[0] = add(extents[0], const(extra)), lengths[0] + extra
        return self._declare(name, extents, self._numbers(name, lengths))

    def doubled(self, name: str, shape: str) -> Definition:
        """An input whose first axis is 2n + 1 long."""
        extents = [self.extent(n) for n in shape.split()]
        lengths = [self.lengths[n] for n in shape.split()]
        extents[0], lengths[0] = add(mul(TWO, extents[0]), ONE), 2 * lengths[0] + 1
        return self._declare(name, extents, self._numbers(name, lengths))

    def classes(self, name: str, shape: str, limit: str) -> Definition:
        """Integers below a limit."""
        lengths = [self.lengths[n] for n in shape.split()]
        bound = int(limit) if limit.isdigit() else self.lengths[limit]
        numbers = np.random.default_rng([self.seed, *name.encode()]).integers(0, bound, lengths)
        return self._declare(name, [self.extent(n) for n in shape.split()], numbers, integer=True)

    def _declare(self, name: str, extents: list[Node], numbers: Any, integer: bool = False) -> Definition:
        tensor = input_tensor(name, extents, integer=integer)
        self.values[name] = numbers
        self.inputs.append(tensor)
        return tensor

    def _numbers(self, name: str, lengths: list[int]) -> Any:
        rng = np.random.default_rng([self.seed, *name.encode()])
        numbers = np.asarray(rng.uniform(-2.0, 2.0, lengths))
        if self.special and numbers.size:
            for value in (np.nan, np.inf, -np.inf, 0.0, -0.0):
                numbers.flat[rng.integers(0, numbers.size)] = value
        return numbers


def f(op: str, *args: Node) -> Node:
    return function(op, *args)


def _at(tensor: Definition, *at: Node) -> Node:
    return read(tensor, *at)


# ------------------------------------------------------------------------------------------------ elementwise


def _one_axis(w: World) -> Outputs:
    i = w.index("n")
    x, y = w.input("x", "n"), w.input("y", "n")
    return [elementwise((i,), add(mul(f("exp", _at(x, i)), _at(y, i)), TWO))]


def _two_axes(w: World) -> Outputs:
    i, j = w.indices("n m")
    x, y, z = w.input("x", "n"), w.input("y", "m"), w.input("z", "n m")
    return [elementwise((i, j), sub(mul(_at(x, i), _at(y, j)), f("tanh", _at(z, i, j))))]


def _three_axes(w: World) -> Outputs:
    i, j, k = w.indices("n m 3")
    x, y = w.input("x", "n m 3"), w.input("y", "3 n")
    return [elementwise((i, j, k), mul(_at(x, i, j, k), f("sin", _at(y, k, i))))]


def _four_axes(w: World) -> Outputs:
    i, j, k, q = w.indices("2 n 3 m")
    x, y = w.input("x", "2 n 3 m"), w.input("y", "n m")
    return [elementwise((i, j, k, q), add(_at(x, i, j, k, q), div(_at(y, j, q), const(3))))]


def _transposed(w: World) -> Outputs:
    i, j = w.indices("n m")
    x, y = w.input("x", "m n"), w.input("y", "n m")
    return [elementwise((i, j), sub(_at(x, j, i), _at(y, i, j)))]


def _permuted(w: World) -> Outputs:
    i, j, k = w.indices("n m 4")
    x = w.input("x", "4 m n")
    return [elementwise((i, j, k), f("abs", _at(x, k, j, i)))]


def _positions(w: World) -> Outputs:
    i, j = w.indices("n m")
    return [elementwise((i, j), add(mul(i, const(Fraction(1, 4))), mul(w.extent("n"), j), const(-3)))]


def _strided(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.doubled("x", "n m")
    return [elementwise((i, j), sub(_at(x, add(mul(TWO, i), ONE), j), _at(x, mul(TWO, i), j)))]


def _strided_last(w: World) -> Outputs:
    i = w.index("n")
    x = w.doubled("x", "n")
    return [elementwise((i,), mul(_at(x, add(mul(TWO, i), ONE)), _at(x, mul(TWO, i))))]


def _reversed(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n m")
    return [elementwise((i, j), _at(x, sub(sub(w.extent("n"), ONE), i), sub(sub(w.extent("m"), ONE), j)))]


def _diagonal(w: World) -> Outputs:
    i = w.index("n")
    x, y = w.input("x", "n n"), w.input("y", "n n")
    return [elementwise((i,), sub(_at(x, i, i), _at(y, i, sub(sub(w.extent("n"), ONE), i))))]


def _shifted(w: World) -> Outputs:
    i = w.index("n")
    x = w.input("x", "n", extra=3)
    return [elementwise((i,), add(_at(x, i), mul(TWO, _at(x, add(i, const(1)))), _at(x, add(i, const(3)))))]


def _stencil(w: World) -> Outputs:
    """Neighbours that exist; the guards are what keeps the reads inside."""
    i = w.index("n")
    x = w.input("x", "n")
    left = when(_at(x, sub(i, ONE)), at_least_zero(sub(i, ONE)))
    right = when(_at(x, add(i, ONE)), at_least_zero(sub(sub(w.extent("n"), TWO), i)))
    return [elementwise((i,), add(left, mul(const(-2), _at(x, i)), right))]


def _stencil_2d(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n m")
    up = when(_at(x, sub(i, ONE), j), at_least_zero(sub(i, ONE)))
    right = when(_at(x, i, add(j, const(2))), at_least_zero(sub(sub(w.extent("m"), const(3)), j)))
    return [elementwise((i, j), add(up, right, f("exp", _at(x, i, j))))]


def _dilated(w: World) -> Outputs:
    """x[i/2] at even places: an index that is a fraction elsewhere."""
    i, half = w.index("n"), const(HALF.data)  # type: ignore[arg-type]
    x = w.input("x", "n")
    return [elementwise((i,), when(_at(x, mul(half, i)), divides(2, i)))]


def _unit(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n")
    return [elementwise((i, j), when(_at(x, i), equal(i, j)))]


def _gathered(w: World) -> Outputs:
    e, d = w.indices("n m")
    table, token = w.input("table", "5 m"), w.classes("token", "n", "5")
    return [elementwise((e, d), mul(TWO, _at(table, _at(token, e), d)))]


def _gathered_last(w: World) -> Outputs:
    e = w.index("n")
    logits, label = w.input("logits", "n m"), w.classes("label", "n", "m")
    return [elementwise((e,), f("exp", _at(logits, e, _at(label, e))))]


def _gathered_twice(w: World) -> Outputs:
    e = w.index("n")
    x, first, second = w.input("x", "7"), w.classes("first", "n", "m"), w.classes("second", "m", "7")
    return [elementwise((e,), _at(x, _at(second, _at(first, e))))]


def _gathered_shifted(w: World) -> Outputs:
    """A gather with an offset, and a class number as a number."""
    e = w.index("n")
    x, token = w.input("x", "m", extra=2), w.classes("token", "n", "m")
    return [elementwise((e,), add(_at(x, add(_at(token, e), TWO)), _at(x, _at(token, e))))]


def _branches(w: World) -> Outputs:
    i = w.index("n")
    x, y = w.input("x", "n"), w.input("y", "n")
    a, b = _at(x, i), _at(y, i)
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
    positive = add(f("abs", _at(x, i)), const(Fraction(1, 2)))
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
    a, b = _at(x), _at(y)
    first = elementwise((), mul(a, f("sin", b)))
    return [first, elementwise((), add(_at(first), f("exp", _at(first)))), elementwise((), div(a, add(ONE, mul(b, b))))]


# ------------------------------------------------------------------------------------------------ reductions


def _reduction(monoid: str, reduced: tuple[int, ...]) -> Callable[[World], Outputs]:
    def build(w: World) -> Outputs:
        every = w.indices("n 3 m")
        x, y = w.input("x", "n 3 m"), w.input("y", "m 3")
        i, j, k = every
        body = add(_at(x, i, j, k), mul(HALF, _at(y, k, j)))
        body = add(ONE, mul(const(Fraction(1, 50)), body)) if monoid == "prod" else body
        kept = [a for at, a in enumerate(every) if at not in reduced]
        return [define(kept, [every[at] for at in reduced], monoid, body)]

    return build


def _product(left: str, right: str, result: str, monoid: str = "sum") -> Callable[[World], Outputs]:
    """einsum over letters n, m, k (5 long), b (2 long)."""

    def build(w: World) -> Outputs:
        of = {letter: w.index(letter) for letter in dict.fromkeys(left + right)}
        x, y = w.input("x", " ".join(left)), w.input("y", " ".join(right))
        body = mul(_at(x, *[of[a] for a in left]), _at(y, *[of[a] for a in right]))
        return [define([of[a] for a in result], [i for a, i in of.items() if a not in result], monoid, body)]

    return build


def _bilinear(w: World) -> Outputs:
    i, j = w.indices("n m")
    x, y, a = w.input("x", "n"), w.input("y", "m"), w.input("a", "n m")
    return [define((), (i, j), "sum", mul(_at(x, i), _at(a, i, j), _at(y, j)))]


def _triangular(w: World) -> Outputs:
    i, j = w.indices("n n")
    a, x = w.input("a", "n n"), w.input("x", "n")
    return [define((i,), (j,), "sum", when(mul(_at(a, i, j), _at(x, j)), at_least_zero(sub(i, j))))]


def _constants_by_position(w: World) -> Outputs:
    """A vector and a matrix of numbers, entry by entry, beside sums over what they stand at."""
    e, i, j, k = w.indices("n 5 7 5")
    x, y = w.input("x", "n 5"), w.input("y", "n 7")
    vector = {at: add(*[when(const(r - 2), equal(at, const(r))) for r in range(5)]) for at in (i, k)}
    matrix = add(*[when(const(r * c - 3), equal(i, const(r)), equal(j, const(c))) for r in range(5) for c in range(7)])
    return [
        define((e,), (i,), "sum", mul(vector[i], _at(x, e, i))),
        define((e, i), (j,), "sum", mul(matrix, _at(y, e, j))),
        elementwise((e, i, j), add(mul(matrix, _at(x, e, i)), mul(vector[i], f("sin", _at(y, e, j))))),
        elementwise((e, k), mul(vector[k], total([j], mul(_at(y, e, j), _at(x, e, k))))),
    ]


def _rows_that_share(w: World) -> Outputs:
    """Rows of known and of unknown number, which have a vector of their matrix in common."""
    e, i, j, k, m = w.indices("n 5 11 m 40")
    x, y, z, a = w.input("x", "n 5"), w.input("y", "n 11"), w.input("z", "n 40"), w.input("a", "m")
    return [
        elementwise((e, i, j), add(mul(_at(x, e, i), _at(y, e, j)), when(_at(y, e, j), equal(i, j)))),
        elementwise((e, m, i), mul(_at(z, e, m), _at(x, e, i), f("exp", _at(x, e, i)))),
        elementwise((k, j), add(_at(a, k), f("sin", j))),
        elementwise((e, k), mul(_at(a, k), _at(x, e, const(4)))),
    ]


def _triangular_max(w: World) -> Outputs:
    i, j = w.indices("n n")
    x = w.input("x", "n")
    return [define((i,), (j,), "max", select(at_least_zero(sub(i, j)), _at(x, j), const(-9)))]


def _convolution(w: World) -> Outputs:
    i, p, c = w.indices("n 4 m")
    x, k = w.input("x", "n", extra=3), w.input("k", "4 m")
    return [define((c, i), (p,), "sum", mul(_at(x, add(i, p)), _at(k, p, c)))]


def _padded_convolution(w: World) -> Outputs:
    i, p = w.indices("n 3")
    x, k = w.input("x", "n"), w.input("k", "3")
    at = sub(add(i, p), ONE)
    inside = (at_least_zero(at), at_least_zero(sub(sub(w.extent("n"), ONE), at)))
    return [define((i,), (p,), "sum", when(mul(_at(x, at), _at(k, p)), *inside))]


def _guarded_sum(w: World) -> Outputs:
    """What the guard excludes may be nan: log of a negative number."""
    e, k = w.indices("n m")
    x = w.input("x", "n m")
    a = _at(x, e, k)
    return [
        define((), (e, k), "sum", when(f("log", a), f("less", ZERO, a))),
        define((k,), (e,), "sum", when(f("log", a), f("less", ZERO, a))),
        define((e,), (k,), "sum", when(f("sqrt", a), f("less_equal", ZERO, a))),
    ]


def _constant_sum(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n")
    return [
        define((i,), (j,), "sum", _at(x, i)),
        define((i,), (j,), "sum", ONE),
        define((), (i,), "sum", i),
        define((i,), (j,), "max", mul(i, j)),
        define((), (i, j), "prod", ONE),
    ]


# ------------------------------------------------------------------------------------------------ several definitions


def _layer(activation: str) -> Callable[[World], Outputs]:
    def build(w: World) -> Outputs:
        e, i, k = w.indices("n 6 m")
        x, a, b = w.input("x", "n m"), w.input("w", "6 m"), w.input("b", "6")
        product = define((e, i), (k,), "sum", mul(_at(x, e, k), _at(a, i, k)))
        return [elementwise((e, i), f(activation, add(_at(product, e, i), _at(b, i))))]

    return build


def _finish_transposed(w: World) -> Outputs:
    e, i, k = w.indices("n 6 m")
    x, a, b = w.input("x", "n m"), w.input("w", "6 m"), w.input("b", "6 n")
    product = define((e, i), (k,), "sum", mul(_at(x, e, k), _at(a, i, k)))
    return [elementwise((i, e), sub(_at(b, i, e), _at(product, e, i)))]


def _finish_twice(w: World) -> Outputs:
    """One reduction, read by two others: no finish may swallow it."""
    e, k = w.indices("n m")
    x = w.input("x", "n m")
    row = define((e,), (k,), "sum", _at(x, e, k))
    return [elementwise((e,), add(ONE, _at(row, e))), elementwise((e,), mul(_at(row, e), _at(row, e))), row]


def _softmax(w: World) -> Outputs:
    e, k, q = w.indices("n m m")
    z, t = w.input("z", "n m"), w.input("t", "n m")
    norm = define((e,), (q,), "lse", _at(z, e, q))
    probability = elementwise((e, k), f("exp", sub(_at(z, e, k), _at(norm, e))))
    loss = define((e,), (k,), "sum", mul(_at(t, e, k), sub(_at(norm, e), _at(z, e, k))))
    return [probability, loss, define((k,), (e,), "sum", sub(_at(probability, e, k), _at(t, e, k)))]


def _two_layers(w: World) -> Outputs:
    e, i, k, o = w.indices("n 6 m 3")
    x, a, c = w.input("x", "n m"), w.input("a", "6 m"), w.input("c", "3 6")
    first = define((e, i), (k,), "sum", mul(_at(x, e, k), _at(a, i, k)))
    hidden = elementwise((e, i), f("tanh", _at(first, e, i)))
    out = define((e, o), (i,), "sum", mul(_at(hidden, e, i), _at(c, o, i)))
    back = define((i, k), (e,), "sum", mul(sub(ONE, power(_at(hidden, e, i), 2)), _at(x, e, k)))
    return [out, back, hidden, define((), (e, o), "max", _at(out, e, o))]


def _line(w: World) -> Outputs:
    """Scalars and an array in one loop; two share a residual."""
    e = w.index("n")
    x, y, a, b = w.input("x", "n"), w.input("y", "n"), w.input("a"), w.input("b")
    residual = sub(add(mul(_at(a), _at(x, e)), _at(b)), _at(y, e))
    return [
        define((), (e,), "sum", mul(residual, residual)),
        define((), (e,), "sum", mul(TWO, residual, _at(x, e))),
        define((), (e,), "max", residual),
        define((), (e,), "prod", add(ONE, mul(const(Fraction(1, 100)), residual))),
        elementwise((e,), f("exp", residual)),
    ]


def _many_sums(count: int) -> Callable[[World], Outputs]:
    """More accumulators than registers hold."""

    def build(w: World) -> Outputs:
        e = w.index("n")
        x, y = w.input("x", "n"), w.input("y", "n")
        return [
            define((), (e,), ("sum", "max", "min")[k % 3], f("sin", add(mul(const(k + 1), _at(x, e)), _at(y, e))))
            for k in range(count)
        ]

    return build


def _same_twice(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n m")
    double = elementwise((i, j), mul(TWO, _at(x, i, j)))
    total_of = define((), (i, j), "sum", _at(x, i, j))
    return [double, x, double, x, total_of, total_of]


def _scalar_input_again(w: World) -> Outputs:
    a = w.input("a")
    return [a, a, elementwise((), add(_at(a), ONE))]


def _chain(w: World) -> Outputs:
    """A reduction of a reduction of a reduction, each used again."""
    i, j, k = w.indices("n m 3")
    x = w.input("x", "n m 3")
    one = define((i, j), (k,), "sum", _at(x, i, j, k))
    two = define((i,), (j,), "max", f("abs", _at(one, i, j)))
    three = define((), (i,), "sum", f("log1p", _at(two, i)))
    return [
        three,
        elementwise((i,), div(_at(two, i), add(ONE, f("abs", _at(three))))),
        elementwise((i, j), mul(_at(one, i, j), _at(two, i))),
    ]


def _centred(w: World) -> Outputs:
    """Mean and variance over the leading axis, as batch normalisation has them."""
    e, q, d = w.indices("n n m")
    x = w.input("x", "n m")
    n = w.extent("n")
    mean = define((d,), (e,), "sum", div(_at(x, e, d), n))
    variance = define((d,), (q,), "sum", div(power(sub(_at(x, q, d), _at(mean, d)), 2), n))
    return [
        elementwise((e, d), div(sub(_at(x, e, d), _at(mean, d)), sqrt(add(_at(variance, d), const(Fraction(1, 100))))))
    ]


# ------------------------------------------------------------------------------------------------ scatters


def _scattered_scalar(w: World) -> Outputs:
    e, v = w.indices("n 5")
    g, token = w.input("g", "n"), w.classes("token", "n", "5")
    return [define((v,), (e,), "sum", when(f("exp", _at(g, e)), equal(v, _at(token, e))))]


def _scattered_rows(w: World) -> Outputs:
    e, v, d = w.indices("n 5 m")
    g, token = w.input("g", "n m"), w.classes("token", "n", "5")
    return [define((v, d), (e,), "sum", when(mul(TWO, _at(g, e, d)), equal(v, _at(token, e))))]


def _scattered_columns(w: World) -> Outputs:
    e, v, d = w.indices("n 5 m")
    g, token = w.input("g", "n m"), w.classes("token", "n", "5")
    return [define((d, v), (e,), "sum", when(_at(g, e, d), equal(v, _at(token, e))))]


def _scattered_twice(w: World) -> Outputs:
    """Two scatters, one from the side, and a term that is none, scaled; beside work that needs nothing of them."""
    e, v, d = w.indices("n 5 m")
    g, token, other = w.input("g", "n m"), w.classes("token", "n", "5"), w.classes("other", "n", "5")
    b = w.input("b", "5 m")
    first = define((v, d), (e,), "sum", when(_at(g, e, d), equal(v, _at(token, e))))
    second = define((d, v), (e,), "sum", when(f("exp", _at(g, e, d)), equal(v, _at(other, e))))
    both = add(_at(first, v, d), mul(const(-3), _at(second, d, v)), f("tanh", _at(b, v, d)))
    return [elementwise((v, d), f("exp", _at(b, v, d))), elementwise((v, d), mul(HALF, both))]


def _scattered_beside_product(w: World) -> Outputs:
    """Only one of the two can have the other's place to finish in."""
    e, v, d = w.indices("n 5 m")
    g, h, token = w.input("g", "n m"), w.input("h", "n 5"), w.classes("token", "n", "5")
    scatter = define((v, d), (e,), "sum", when(_at(g, e, d), equal(v, _at(token, e))))
    product = define((v, d), (e,), "sum", mul(_at(h, e, v), _at(g, e, d)))
    return [elementwise((v, d), add(mul(HALF, _at(product, v, d)), _at(scatter, v, d)))]


def _scattered_sequences(w: World) -> Outputs:
    e, s, v, d = w.indices("n 3 5 m")
    g, token = w.input("g", "n 3 m"), w.classes("token", "n m", "5")
    return [define((v,), (e, s, d), "sum", when(_at(g, e, s, d), equal(v, _at(token, e, d))))]


# ------------------------------------------------------------------------------------------------ the table

# fmt: off
CASES: dict[str, Callable[[World], Outputs]] = {
    "constants by position":            _constants_by_position,
    "rows that share":                  _rows_that_share,
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
    "layer with relu":                  _layer("relu"),
    "layer with tanh":                  _layer("tanh"),
    "finish, transposed":               _finish_transposed,
    "finish, shared":                   _finish_twice,
    "softmax":                          _softmax,
    "two layers and back":              _two_layers,
    "line":                             _line,
    "5 sums in one loop":               _many_sums(5),
    "25 sums in one loop":              _many_sums(25),
    "same output twice":                _same_twice,
    "scalar input as output":           _scalar_input_again,
    "chain of reductions":              _chain,
    "centred":                          _centred,
    "scatter to numbers":               _scattered_scalar,
    "scatter to rows":                  _scattered_rows,
    "scatter to columns":               _scattered_columns,
    "scatters to one place":            _scattered_twice,
    "a scatter beside a product":       _scattered_beside_product,
    "scatter over three indices":       _scattered_sequences,
    **{f"{monoid} over {' '.join('ijk'[a] for a in axes)}": _reduction(monoid, axes)
       for monoid in ("sum", "prod", "max", "min", "lse") for count in (1, 2, 3) for axes in combinations(range(3), count)},
}
# fmt: on

PAIRS = ((1, 1), (2, 9), (7, 64), (8, 3), (9, 17), (16, 2), (17, 7), (63, 8), (64, 1), (65, 16), (3, 65), (1, 33))


def large_sum(count: int) -> tuple[World, Outputs]:
    """A straight-line formula of many operations of two scalars."""
    w = World({}, symbolic=False)
    x, y = _at(w.input("x")), _at(w.input("y"))
    value: Node = x
    for k in range(count):
        value = f("sin", add(mul(value, y), const(Fraction(k + 1, count))))
    return w, [elementwise((), value), elementwise((), total([], mul(value, x)))]
