"""Several definitions together: layers, softmax, chains of reductions, sums in one loop."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from definition_world import Outputs, World, f

from sympile.compiler.graph.arithmetic import add, div, mul, power, sqrt, sub
from sympile.compiler.graph.definition import define, elementwise, read
from sympile.compiler.graph.node import ONE, TWO, const


def _layer(activation: str) -> Callable[[World], Outputs]:
    def build(w: World) -> Outputs:
        e, i, k = w.indices("n 6 m")
        x, a, b = w.input("x", "n m"), w.input("w", "6 m"), w.input("b", "6")
        product = define((e, i), (k,), "sum", mul(read(x, e, k), read(a, i, k)))
        return [elementwise((e, i), f(activation, add(read(product, e, i), read(b, i))))]

    return build


def _finish_transposed(w: World) -> Outputs:
    e, i, k = w.indices("n 6 m")
    x, a, b = w.input("x", "n m"), w.input("w", "6 m"), w.input("b", "6 n")
    product = define((e, i), (k,), "sum", mul(read(x, e, k), read(a, i, k)))
    return [elementwise((i, e), sub(read(b, i, e), read(product, e, i)))]


def _finish_twice(w: World) -> Outputs:
    """One reduction, read by two others: no finish may swallow it."""
    e, k = w.indices("n m")
    x = w.input("x", "n m")
    row = define((e,), (k,), "sum", read(x, e, k))
    return [elementwise((e,), add(ONE, read(row, e))), elementwise((e,), mul(read(row, e), read(row, e))), row]


def _softmax(w: World) -> Outputs:
    e, k, q = w.indices("n m m")
    z, t = w.input("z", "n m"), w.input("t", "n m")
    norm = define((e,), (q,), "lse", read(z, e, q))
    probability = elementwise((e, k), f("exp", sub(read(z, e, k), read(norm, e))))
    loss = define((e,), (k,), "sum", mul(read(t, e, k), sub(read(norm, e), read(z, e, k))))
    return [probability, loss, define((k,), (e,), "sum", sub(read(probability, e, k), read(t, e, k)))]


def _two_layers(w: World) -> Outputs:
    e, i, k, o = w.indices("n 6 m 3")
    x, a, c = w.input("x", "n m"), w.input("a", "6 m"), w.input("c", "3 6")
    first = define((e, i), (k,), "sum", mul(read(x, e, k), read(a, i, k)))
    hidden = elementwise((e, i), f("tanh", read(first, e, i)))
    out = define((e, o), (i,), "sum", mul(read(hidden, e, i), read(c, o, i)))
    back = define((i, k), (e,), "sum", mul(sub(ONE, power(read(hidden, e, i), 2)), read(x, e, k)))
    return [out, back, hidden, define((), (e, o), "max", read(out, e, o))]


def _line(w: World) -> Outputs:
    """Scalars and an array in one loop; two share a residual."""
    e = w.index("n")
    x, y, a, b = w.input("x", "n"), w.input("y", "n"), w.input("a"), w.input("b")
    residual = sub(add(mul(read(a), read(x, e)), read(b)), read(y, e))
    return [
        define((), (e,), "sum", mul(residual, residual)),
        define((), (e,), "sum", mul(TWO, residual, read(x, e))),
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
            define((), (e,), ("sum", "max", "min")[k % 3], f("sin", add(mul(const(k + 1), read(x, e)), read(y, e))))
            for k in range(count)
        ]

    return build


def _same_twice(w: World) -> Outputs:
    i, j = w.indices("n m")
    x = w.input("x", "n m")
    double = elementwise((i, j), mul(TWO, read(x, i, j)))
    total_of = define((), (i, j), "sum", read(x, i, j))
    return [double, x, double, x, total_of, total_of]


def _scalar_input_again(w: World) -> Outputs:
    a = w.input("a")
    return [a, a, elementwise((), add(read(a), ONE))]


def _chain(w: World) -> Outputs:
    """A reduction of a reduction of a reduction, each used again."""
    i, j, k = w.indices("n m 3")
    x = w.input("x", "n m 3")
    one = define((i, j), (k,), "sum", read(x, i, j, k))
    two = define((i,), (j,), "max", f("abs", read(one, i, j)))
    three = define((), (i,), "sum", f("log1p", read(two, i)))
    return [
        three,
        elementwise((i,), div(read(two, i), add(ONE, f("abs", read(three))))),
        elementwise((i, j), mul(read(one, i, j), read(two, i))),
    ]


def _centred(w: World) -> Outputs:
    """Mean and variance over the leading axis, as batch normalisation has them."""
    e, q, d = w.indices("n n m")
    x = w.input("x", "n m")
    n = w.extent("n")
    mean = define((d,), (e,), "sum", div(read(x, e, d), n))
    variance = define((d,), (q,), "sum", div(power(sub(read(x, q, d), read(mean, d)), 2), n))
    return [
        elementwise(
            (e, d), div(sub(read(x, e, d), read(mean, d)), sqrt(add(read(variance, d), const(Fraction(1, 100)))))
        )
    ]


# fmt: off
SEVERAL: dict[str, Callable[[World], Outputs]] = {
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
}
# fmt: on
