"""Every row of rules/derivatives.py against mpmath; the kinks as docs/conventions.md says."""


from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from judge import exact, floats
from reference import evaluate

from sympile.compiler.errors import NotDifferentiable
from sympile.compiler.graph.arithmetic import power
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import elementwise, input_tensor, read
from sympile.compiler.graph.node import HALF, ZERO, Node, const, hole, index
from sympile.compiler.graph.rebuild import function, maximum, minimum
from sympile.compiler.graph.reduce import reduce
from sympile.compiler.passes.derive import gradient
from sympile.compiler.rules.derivatives import PARTIALS, a, b, y
from sympile.compiler.rules.functions import FUNCTIONS

WITHOUT = {"trigamma"}                               # its derivative, polygamma(2), is no operation of ours

REAL = (-3.75, -1.25, -0.3, 0.2, 0.8, 1.5, 4.25)
POSITIVE = (0.01, 0.2, 0.8, 1.5, 4.0, 60.0)
INSIDE = (-0.95, -0.5, -0.1, 0.3, 0.9)               # of (-1, 1)

# Where a function is defined and smooth; everywhere, if it has no line here.
WHERE: dict[str, tuple[float, ...]] = {
    "log": POSITIVE, "log1p": (-0.9, -0.2, *POSITIVE), "log2": POSITIVE, "log10": POSITIVE, "sqrt": POSITIVE, "root_square": POSITIVE,
    "cbrt": POSITIVE, "asin": INSIDE, "acos": INSIDE, "atanh": INSIDE, "acosh": (1.1, 2.0, 30.0), "loggamma": POSITIVE, "digamma": POSITIVE, "xlogx": POSITIVE,
    "power": POSITIVE, "xlogy": POSITIVE, "log_power": POSITIVE,
}  # fmt: skip
SECOND: dict[str, tuple[float, ...]] = {"power": REAL, "log_power": REAL, "xlogy": POSITIVE, "leaky_relu": (0.01, 0.3), "heaviside": (0.0, 0.5)}

ROWS = [
    pytest.param(op, k, point, id=f"{op}, operand {k}, at {', '.join(map(str, point))}")
    for op, row in PARTIALS.items()
    for k in range(len(row))
    for point in ([(v,) for v in WHERE.get(op, REAL)] if FUNCTIONS[op].arity == 1 else
                  [(v, w) for v in WHERE.get(op, REAL) for w in SECOND.get(op, REAL)])
]  # fmt: skip


@pytest.mark.parametrize(("op", "k", "point"), ROWS)
def test_row_is_the_derivative(op: str, k: int, point: tuple[float, ...]) -> None:
    row = FUNCTIONS[op]
    with mpmath.workdps(50):
        numbers = [mpmath.mpf(v) for v in point]
        holes = {a: numbers[0], b: numbers[-1], y: row.exact(*numbers)}
        want = mpmath.diff(row.exact, tuple(numbers), tuple(int(j == k) for j in range(len(numbers))))
        got = exact(PARTIALS[op][k], holes)
        assert abs(got - want) <= mpmath.mpf("1e-15") * (abs(want) + mpmath.mpf("1e-8")), (got, want)


def test_every_operation_has_a_row_or_is_known_to_have_none() -> None:
    assert set(FUNCTIONS) - set(PARTIALS) == WITHOUT
    assert set(PARTIALS) <= set(FUNCTIONS)


def test_every_row_has_a_partial_for_each_operand() -> None:
    short = {op for op, row in PARTIALS.items() if len(row) != FUNCTIONS[op].arity}
    assert short == set()


def test_every_point_tests_something() -> None:
    assert set(WHERE) <= set(FUNCTIONS)
    assert set(SECOND) <= set(FUNCTIONS)


# ------------------------------------------------------------------------------------------------ kinks

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(("op", "point", "k", "want"), [
    pytest.param("relu", (0.0,), 0, 0.0, id="relu'(0) = 0"),
    pytest.param("relu", (-0.0,), 0, 0.0, id="relu'(-0) = 0"),
    pytest.param("abs", (0.0,), 0, 0.0, id="abs'(0) = 0"),
    pytest.param("sign", (0.0,), 0, 0.0, id="sign'(0) = 0"),
    pytest.param("floor", (2.0,), 0, 0.0, id="floor' = 0"),
    pytest.param("ceiling", (2.0,), 0, 0.0, id="ceiling' = 0"),
    pytest.param("root_square", (0.0,), 0, 0.0, id="norm'(0) = 0"),
    pytest.param("sqrt", (0.0,), 0, INF, id="sqrt'(0) is truly infinite"),
    pytest.param("leaky_relu", (0.0, 0.01), 0, 0.01, id="leaky_relu'(0) from the left"),
    pytest.param("leaky_relu", (0.0, 0.01), 1, 0.0, id="leaky_relu at 0 by the slope"),
    pytest.param("elu", (0.0,), 0, 1.0, id="elu'(0): both sides agree"),
    pytest.param("hard_tanh", (-1.0,), 0, 0.0, id="hard_tanh'(-1) from the left"),
    pytest.param("hard_tanh", (1.0,), 0, 1.0, id="hard_tanh'(1) from the left"),
    pytest.param("heaviside", (0.0, 0.5), 0, 0.0, id="heaviside' = 0"),
    pytest.param("heaviside", (0.0, 0.5), 1, 1.0, id="heaviside at 0 is h0"),
    pytest.param("heaviside", (1.0, 0.5), 1, 0.0, id="heaviside elsewhere does not know h0"),
    pytest.param("xlogy", (0.0, 0.0), 0, 0.0, id="0 log 0 by x"),
    pytest.param("log_power", (0.0, 0.0), 0, 0.0, id="log of 0^0 by the base"),
    pytest.param("log_power", (-2.0, 4.0), 0, -2.0, id="log of (-2)^4 by the base"),
    pytest.param("log_power", (0.0, 2.0), 1, -INF, id="log of 0^b by the exponent: its limit"),
    pytest.param("xlogx", (0.0,), 0, -INF, id="x log x is steep at 0"),
    pytest.param("power", (0.0, 2.0), 0, 0.0, id="0^2 by the base"),
    pytest.param("power", (0.0, 2.0), 1, 0.0, id="0^b by the exponent"),
    pytest.param("power", (-2.0, 3.0), 0, 12.0, id="a negative base"),
])  # fmt: skip
def test_kinks(op: str, point: tuple[float, ...], k: int, want: float) -> None:
    with np.errstate(all="ignore"):
        value = float(FUNCTIONS[op].numpy(*point))
    partial = PARTIALS[op][k]
    got = float(floats(partial, {a: point[0], b: point[-1], y: value})[partial])
    assert got == want


P, Q, S = (input_tensor(name, ()) for name in "pqs")
p, q, s = read(P), read(Q), read(S)
TIE = {"p": 1.0, "q": 1.0, "s": 1.0}


@pytest.mark.parametrize(("body", "values", "want"), [
    pytest.param(maximum(p, q), TIE, (0.5, 0.5, 0.0), id="a tie of two: one half each"),
    pytest.param(minimum(p, q), TIE, (0.5, 0.5, 0.0), id="a tie of two minima"),
    pytest.param(maximum(p, q, s), TIE, (1 / 3, 1 / 3, 1 / 3), id="a tie of three: shared equally"),
    pytest.param(maximum(p, q), {"p": 2.0, "q": 1.0, "s": 0.0}, (1.0, 0.0, 0.0), id="no tie"),
    pytest.param(select(function("less", ZERO, p), power(p, HALF.data), q), {"p": -1.0, "q": 3.0, "s": 0.0}, (0.0, 1.0, 0.0),
                 id="an untaken branch contributes nothing, not even nan"),
    pytest.param(when(function("log", p), function("less", ZERO, p)), {"p": -1.0, "q": 0.0, "s": 0.0}, (0.0, 0.0, 0.0), id="nor does a guard"),
    pytest.param(power(p, 3), {"p": -2.0, "q": 0.0, "s": 0.0}, (12.0, 0.0, 0.0), id="an odd power"),
])  # fmt: skip
def test_structure(body: Node, values: dict[str, float], want: tuple[float, ...]) -> None:
    slopes = gradient(elementwise((), body), [P, Q, S], {})
    got = evaluate([slopes[t] for t in (P, Q, S)], values)
    assert [float(g) for g in got] == list(want)


@pytest.mark.parametrize(("monoid", "values", "want"), [
    pytest.param("max", [1.0, 3.0, 3.0, 2.0], [0, 0.5, 0.5, 0], id="max: ties share"),
    pytest.param("min", [1.0, 3.0, 1.0, 1.0], [1 / 3, 0, 1 / 3, 1 / 3], id="min: ties share"),
    pytest.param("prod", [2.0, 0.0, 3.0, 4.0], [0, 24, 0, 0], id="product with a factor of 0"),
    pytest.param("lse", [1000.0, 1000.0, 0.0, -1000.0], [0.5, 0.5, 0, 0], id="softmax of large numbers"),
])  # fmt: skip
def test_reductions(monoid: str, values: list[float], want: list[float]) -> None:
    vector, k = input_tensor("v", (const(4),)), index(const(4))
    out = elementwise((), reduce(monoid, [k], read(vector, k)))
    (got,) = evaluate([gradient(out, [vector], {})[vector]], {"v": values})
    np.testing.assert_allclose(got, want, rtol=1e-13)    # of numbers near 1000


def test_what_has_no_row_is_an_error_that_names_it() -> None:
    with pytest.raises(NotDifferentiable, match="trigamma"):
        gradient(elementwise((), function("trigamma", p)), [P], {})


def test_the_comparison_can_fail() -> None:
    """A row that is off in the 14th digit would be seen."""
    with mpmath.workdps(50):
        x = mpmath.mpf("0.8")
        want = mpmath.diff(mpmath.tanh, x)
        off = exact(PARTIALS["tanh"][0], {y: mpmath.tanh(x) * (1 + mpmath.mpf("1e-13"))})
        assert abs(off - want) > mpmath.mpf("1e-15") * abs(want)
    assert hole("y") is y
