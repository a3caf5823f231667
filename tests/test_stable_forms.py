"""Naive formulas, as one writes them, with their gradients: accurate where the naive form overflows or cancels."""


from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from reference import evaluate

from sympile.compiler.graph.arithmetic import add, div, mul, neg, sqrt, square
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, call, elementwise, input_tensor, read
from sympile.compiler.graph.node import ONE, Node, const, index
from sympile.compiler.graph.rebuild import function
from sympile.compiler.graph.reduce import reduce, total
from sympile.compiler.passes.derive import gradient
from sympile.compiler.passes.read import Scope, read_all
from sympile.compiler.passes.simplify import simplify

x, y, z = sp.symbols("x y z")
e = sp.exp


def prepared(tensor: Definition, wrt: list[Definition], names: dict[Definition, str] | None = None) -> list[Definition]:
    """The value and its gradients, as the pipeline makes them: simplify, derive, simplify."""
    own = {} if names is None else names
    first, _ = simplify([tensor], names=own, last=False)
    gradients = gradient(first[tensor], wrt, own)
    outputs = [first[tensor], *[gradients[w] for w in wrt]]
    second, _ = simplify(outputs, names=own)
    return [second[o] for o in outputs]


# ------------------------------------------------------------------------------------------------ one number

FORMULAS = {
    "softplus": sp.log(1 + e(x)),
    "logistic loss": sp.log(1 + e(-y * x)),
    "softplus by shift": x + sp.log(1 + e(-x)),
    "sigmoid": 1 / (1 + e(-x)),
    "sigmoid by exp": e(x) / (1 + e(x)),
    "log sigmoid": sp.log(1 / (1 + e(-x))),
    "log of one minus sigmoid": sp.log(1 - 1 / (1 + e(-x))),
    "one minus sigmoid": 1 - 1 / (1 + e(-x)),
    "cross entropy": -y * sp.log(1 / (1 + e(-x))) - (1 - y) * sp.log(1 - 1 / (1 + e(-x))),
    "tanh": (e(x) - e(-x)) / (e(x) + e(-x)),
    "tanh by one exp": (e(2 * x) - 1) / (e(2 * x) + 1),
    "tanh by sigmoid": 2 / (1 + e(-2 * x)) - 1,
    "log of two": sp.log(e(x) + e(y)),
    "log of three": sp.log(e(x) + e(y) + e(z)),
    "log of three with factors": sp.log(3 * e(x) + e(y) / 2 + e(z)),
    "log of a mean": sp.log((e(x) + e(y) + e(z)) / 3),
    "softmax of two": e(x) / (e(x) + e(y)),
    "softmax of three": e(x) / (e(x) + e(y) + e(z)),
    "log softmax of three": sp.log(e(x) / (e(x) + e(y) + e(z))),
    "odds": (1 / (1 + e(-x))) / (1 - 1 / (1 + e(-x))),
    "log odds": sp.log((1 / (1 + e(-x))) / (1 - 1 / (1 + e(-x)))),
    "root of a square": sp.sqrt((x - y) ** 2),
    "log cosh": sp.log(sp.cosh(x)),
    "log of a product": sp.log(z * e(x)),
    "expm1": e(x) - 1,
    "entropy": -x**2 * sp.log(x**2),
}
# The naive form cancels here too, at a scale of 1 or of x: 1 - tanh(x)^2, and a probability next to 1 less 1.
ABSOLUTE = {name for name in FORMULAS if name.startswith(("tanh", "log cosh", "softmax of three", "log softmax of three"))}
AT = (-1000.0, -700.5, -40.0, -1.0, -1e-9, 1e-9, 1.0, 40.0, 700.5, 1000.0)


@pytest.mark.parametrize("name", FORMULAS)
def test_naive_formula_and_its_gradient(name: str) -> None:
    expression = FORMULAS[name]
    symbols = sorted(expression.free_symbols, key=str)
    scope = Scope(parameters={str(s): 0 for s in symbols}, batched=False)
    value = read_all({"loss": expression}, scope)["loss"]
    outputs = prepared(value.tensor, [scope.symbols[str(s)].tensor for s in symbols])
    truths = [sp.lambdify(symbols, f, "mpmath") for f in (expression, *[sp.diff(expression, s) for s in symbols])]
    for point in AT:
        others = {"y": 0.75, "z": 2.0}
        values = {str(s): others.get(str(s), point) for s in symbols}
        got = evaluate(outputs, values)
        for k, truth in enumerate(truths):
            scale = max(1.0, *map(abs, values.values())) if name in ABSOLUTE else 0.0
            assert_close(float(got[k]), exactly(truth, list(values.values())), f"{name}, output {k} at {values}", scale)


def exactly(truth: Any, values: list[float]) -> Any:
    with mpmath.workdps(1000):
        return +truth(*[mpmath.mpf(v) for v in values])


def assert_close(got: float, want: Any, where: str, scale: float = 0.0) -> None:
    if abs(want) > mpmath.mpf("1.7e308"):
        assert np.isinf(got), f"{where}: {got!r} where the value overflows"
        return
    allowed = 4e-12 * abs(want) + 1e-15 * scale + mpmath.mpf("1e-300")
    assert abs(mpmath.mpf(got) - want) <= allowed, f"{where}: {got!r} is not {mpmath.nstr(want, 17)}"


# ------------------------------------------------------------------------------------------------ over an axis

N = const(4)
U, T = input_tensor("u", (N,)), input_tensor("t", (N,))
I, K = index(N), index(N)
TARGET = np.array([0.25, 0.5, 0.0, 0.25])
SCORES = {"ordinary": [0.5, -1.0, 2.0, 0.0], "large": [1000.0, -1000.0, 999.0, 0.0], "all low": [-1000.0, -1001.0, -2000.0, -1000.0]}


def exp(a: Node) -> Node:
    return function("exp", a)


def log(a: Node) -> Node:
    return function("log", a)


def scalar(body: Node) -> Definition:
    return elementwise((), body)


SUM_EXP = total([K], exp(read(U, K)))
EXPS = elementwise((I,), exp(read(U, I)))
SOFTMAX = elementwise((I,), div(exp(read(U, I)), SUM_EXP))
SOFTMAX_OF_NAMED = elementwise((I,), div(read(EXPS, I), total([K], read(EXPS, K))))
SHIFTED = add(read(U, I), neg(reduce("max", [K], read(U, K))))
SOFTMAX_BY_SHIFT = elementwise((I,), div(exp(SHIFTED), total([I], exp(SHIFTED))))


def entropy_of(p: Definition) -> Definition:
    return scalar(neg(total([I], mul(read(T, I), log(read(p, I))))))


def exact_lse(u: list[Any]) -> Any:
    return mpmath.log(mpmath.fsum(mpmath.exp(v) for v in u))


def exact_entropy(u: list[Any]) -> Any:
    return mpmath.fsum(mpmath.mpf(t) * (exact_lse(u) - v) for t, v in zip(TARGET, u, strict=True))


AXES = [
    pytest.param(scalar(log(SUM_EXP)), {}, exact_lse, id="log sum exp"),
    pytest.param(scalar(log(mul(const(3), SUM_EXP))), {}, lambda u: mpmath.log(3) + exact_lse(u), id="log of three times"),
    pytest.param(scalar(log(div(SUM_EXP, N))), {}, lambda u: exact_lse(u) - mpmath.log(4), id="log mean exp"),
    pytest.param(entropy_of(SOFTMAX), {}, exact_entropy, id="log softmax"),
    pytest.param(entropy_of(SOFTMAX), {SOFTMAX: "p"}, exact_entropy, id="log of a named softmax"),
    pytest.param(entropy_of(SOFTMAX_OF_NAMED), {EXPS: "e", SOFTMAX_OF_NAMED: "p"}, exact_entropy, id="log softmax of named exps"),
    pytest.param(entropy_of(SOFTMAX_BY_SHIFT), {SOFTMAX_BY_SHIFT: "p"}, exact_entropy, id="softmax shifted by hand"),
    pytest.param(scalar(read(SOFTMAX, const(2))), {}, lambda u: mpmath.exp(u[2] - exact_lse(u)), id="softmax itself"),
]


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize(("naive", "names", "exact"), AXES)
def test_over_an_axis(naive: Definition, names: dict[Definition, str], exact: Any, scores: str) -> None:
    u = SCORES[scores]
    value, slope = evaluate(prepared(naive, [U], dict(names)), {"u": u, "t": TARGET})
    with mpmath.workdps(2500):
        numbers = [mpmath.mpf(v) for v in u]
        assert_close(float(value), exact(numbers), "value")
        for k in range(4):
            step = mpmath.mpf(10) ** -1100
            moved = [v + step * (j == k) for j, v in enumerate(numbers)]
            back = [v - step * (j == k) for j, v in enumerate(numbers)]
            want = (exact(moved) - exact(back)) / (2 * step)
            assert abs(slope[k] - want) <= 4e-12 * max(abs(want), TARGET[k]) + mpmath.mpf("1e-300"), f"slope {k}: {slope[k]!r}, {mpmath.nstr(want, 17)}"


def test_a_masked_softmax_ignores_what_is_masked() -> None:
    """Attention: sum over k <= i only; what is left out may be nan without harm."""
    mask = function("less_equal", K, I)
    scores = input_tensor("s", (N, N))
    summed = reduce("sum", [K], when(exp(read(scores, I, K)), mask))
    weights = elementwise((I, K), when(div(exp(read(scores, I, K)), summed), mask))
    out = elementwise((I,), log(summed))
    s = np.random.default_rng(0).normal(size=(4, 4)) * 500
    new, made = simplify([weights, out])
    got, low = evaluate([new[weights], new[out]], {"s": s})
    masked = np.where(np.tril(np.ones((4, 4))) > 0, s, -np.inf)
    largest = masked.max(1, keepdims=True)
    want = np.exp(masked - largest) / np.exp(masked - largest).sum(1, keepdims=True)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(low, (largest[:, 0] + np.log(np.exp(masked - largest).sum(1))), rtol=1e-12)
    assert {m.name for m in made} >= {"softmax-masked", "log-sum-exp-masked"}


def test_the_norm_has_slope_zero_at_zero() -> None:
    outputs = prepared(scalar(sqrt(total([K], square(read(U, K))))), [U])
    value, slope = evaluate(outputs, {"u": np.zeros(4)})
    assert value == 0
    assert slope.tolist() == [0.0] * 4
    value, slope = evaluate(outputs, {"u": [3.0, 0.0, 4.0, 0.0]})
    assert value == 5
    np.testing.assert_allclose(slope, [0.6, 0, 0.8, 0])


def test_entropy_is_zero_at_zero() -> None:
    (value,) = evaluate([simplified(scalar(total([I], mul(read(T, I), log(read(T, I))))))], {"t": TARGET})
    np.testing.assert_allclose(value, -1.5 * np.log(2))


def simplified(tensor: Definition) -> Definition:
    new, _ = simplify([tensor])
    return new[tensor]


def test_relu_has_slope_zero_at_zero() -> None:
    scope = Scope(parameters={"x": 0}, batched=False)
    value = read_all({"loss": sp.Max(0, x)}, scope)["loss"]
    outputs = prepared(value.tensor, [scope.symbols["x"].tensor])
    assert [float(evaluate(outputs, {"x": v})[1]) for v in (-1.0, 0.0, 1.0)] == [0.0, 0.0, 1.0]


# ------------------------------------------------------------------------------------------------ matrices

M = const(3)
A, L, B = input_tensor("A", (M, M)), input_tensor("L", (M, M)), input_tensor("b", (M,))
P, Q, R = index(M), index(M), index(M)
GRAM = elementwise((P, Q), total([R], mul(read(L, P, R), read(L, Q, R))))
DET, INV = call("det", [A], ()), call("inv", [A], (M, M))
RNG = np.random.default_rng(1)
MATRIX = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
VECTOR = RNG.normal(size=3)


def of(value: Node) -> Definition:
    return scalar(value)


def ordinary(matrix: np.ndarray) -> float:
    return float(np.linalg.slogdet(matrix)[1])


MATRICES = [
    pytest.param(of(log(read(DET))), {"log-det"}, lambda a: ordinary(a), id="log det"),
    pytest.param(of(log(function("abs", read(DET)))), {"log-abs-det"}, ordinary, id="log |det|"),
    pytest.param(of(log(mul(const(2), read(DET)))), {"log-product-det"}, lambda a: np.log(2) + ordinary(a), id="log 2 det"),
    pytest.param(of(read(call("det", [INV], ()))), {"det-inverse"}, lambda a: 1 / np.linalg.det(a), id="det of an inverse"),
    pytest.param(of(read(call("logdet", [INV], ()))), {"logdet-inverse"}, lambda a: -ordinary(a), id="logdet of an inverse"),
    pytest.param(of(read(call("logabsdet", [INV], ()))), {"logabsdet-inverse"}, lambda a: -ordinary(a), id="log |det| of an inverse"),
    pytest.param(of(read(call("inv", [INV], (M, M)), const(0), const(1))), {"inverse-inverse"}, lambda a: a[0, 1], id="inverse twice"),
    pytest.param(of(log(read(call("det", [GRAM], ())))), {"log-det-gram"}, lambda a: 2 * ordinary(a), id="log det L L.T"),
    pytest.param(of(read(call("logdet", [GRAM], ()))), {"logdet-gram"}, lambda a: 2 * ordinary(a), id="logdet L L.T"),
]


@pytest.mark.parametrize(("naive", "rows", "want"), MATRICES)
def test_determinants(naive: Definition, rows: set[str], want: Any) -> None:
    new, made = simplify([naive])
    assert {m.name for m in made} == rows
    (got,) = evaluate([new[naive]], {"A": MATRIX, "L": MATRIX})
    np.testing.assert_allclose(got, want(MATRIX), rtol=1e-13)


def test_log_det_of_large_matrices_does_not_overflow() -> None:
    (got,) = evaluate([simplified(of(log(read(DET))))], {"A": 1e200 * np.eye(3)})
    np.testing.assert_allclose(got, 600 * np.log(10))


def test_log_of_a_negative_determinant_stays_nan() -> None:
    (got,) = evaluate([simplified(of(log(read(DET))))], {"A": np.diag([1.0, 1.0, -1.0])})
    assert np.isnan(got)


INVERTED = total([Q], mul(read(INV, P, Q), read(B, Q)))
TRANSPOSED = total([Q], mul(read(INV, Q, P), read(B, Q)))
QUADRATIC = total([P, Q], mul(read(B, P), read(INV, P, Q), read(B, Q)))


@pytest.mark.parametrize(("naive", "want"), [
    pytest.param(elementwise((P,), INVERTED), lambda a, b: np.linalg.solve(a, b), id="inv(A) b"),
    pytest.param(elementwise((P,), TRANSPOSED), lambda a, b: np.linalg.solve(a.T, b), id="inv(A).T b"),
    pytest.param(of(QUADRATIC), lambda a, b: b @ np.linalg.solve(a, b), id="b.T inv(A) b"),
    pytest.param(elementwise((P, R), total([Q], mul(read(INV, P, Q), read(L, Q, R)))), lambda a, b: np.linalg.solve(a, a), id="inv(A) L"),
])  # fmt: skip
def test_an_inverse_that_only_multiplies_is_a_solve(naive: Definition, want: Any) -> None:
    outputs = [simplified(naive)]
    routines = {t.routine for t in _all(outputs) if t.kind == "call"}
    assert routines == {"solve"}
    (got,) = evaluate(outputs, {"A": MATRIX, "b": VECTOR, "L": MATRIX})
    np.testing.assert_allclose(got, want(MATRIX, VECTOR), rtol=1e-12, atol=1e-14)


def test_a_gaussian_process_needs_the_inverse_for_one_thing_only() -> None:
    """log det K + y.T inv(K) y: K is known to be symmetric, so both solves are of K itself."""
    points, width = input_tensor("x", (M,)), input_tensor("w", ())
    i, j = index(M), index(M)
    kernel = exp(neg(mul(square(add(read(points, i), neg(read(points, j)))), read(width))))
    matrix = elementwise((i, j), add(kernel, when(ONE, equal(i, j))))
    inverse = call("inv", [matrix], (M, M))
    naive = scalar(add(log(read(call("det", [matrix], ()))), total([P, Q], mul(read(B, P), read(inverse, P, Q), read(B, Q)))))
    outputs = prepared(naive, [width])
    solves = [t for t in _all(outputs) if t.routine == "solve"]
    assert len({t.operands[0] for t in solves}) == 1
    xs = np.array([0.0, 0.5, 2.0])

    def value(w: float) -> float:
        k = np.exp(-w * (xs[:, None] - xs) ** 2) + np.eye(3)
        return float(np.linalg.slogdet(k)[1] + VECTOR @ np.linalg.solve(k, VECTOR))

    got, slope = evaluate(outputs, {"x": xs, "w": 0.7, "b": VECTOR})
    np.testing.assert_allclose(got, value(0.7), rtol=1e-13)
    np.testing.assert_allclose(slope, (value(0.7 + 1e-5) - value(0.7 - 1e-5)) / 2e-5, rtol=1e-7)


def _all(outputs: list[Definition]) -> list[Definition]:
    new, _ = simplify(outputs)
    return list(new)
