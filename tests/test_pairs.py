"""Sums over parts of a square that guards say: pairs j < i, triangles, bands; values and slopes, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp
from truth import complex_step_of

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul, power, sub
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import define, elementwise, input_tensor, read
from sympile.compiler.graph.node import const, index, make, postorder
from sympile.compiler.passes.fusing.powers import quotients_shared
from sympile.compiler.passes.fusing.ranges import joined_ranges

Array = npt.NDArray[Any]
i, j, k, d = sm.indices("i j k d")
n = sp.Symbol("n", integer=True, positive=True)
RNG = np.random.default_rng(7)
LENGTHS = (1, 2, 3, 7, 8, 9, 16, 21, 50)

# which pairs, as a condition of SymPy and of NumPy
PAIRS: dict[str, tuple[Any, Callable[[Any, Any, int], Any]]] = {
    "below": (j < i, lambda i, j, n: j < i),
    "below or equal": (j <= i, lambda i, j, n: j <= i),
    "above": (j > i, lambda i, j, n: j > i),
    "above or equal": (j >= i, lambda i, j, n: j >= i),
    "three below": (j <= i - 3, lambda i, j, n: j <= i - 3),
    "at most four above": (j < i + 5, lambda i, j, n: j < i + 5),
    "a band": ((j <= i + 2) & (j >= i - 2), lambda i, j, n: abs(i - j) <= 2),
    "a wide band": ((j <= i + 9) & (j >= i - 11), lambda i, j, n: (j <= i + 9) & (j >= i - 11)),
    "a corner": (i + j < n - 1, lambda i, j, n: i + j < n - 1),
    "the other corner": (i + j >= n, lambda i, j, n: i + j >= n),
    "steep": (j < 2 * i, lambda i, j, n: j < 2 * i),
    "flat": (2 * j < i, lambda i, j, n: 2 * j < i),
    "none": (j < i - 100, lambda i, j, n: j < i - 100),
    "all": (j < i + 100, lambda i, j, n: j < i + 100),
    "both sides": (sp.Or(j < i - 1, j > i + 1), lambda i, j, n: abs(i - j) > 1),
}


def guarded(value: Any, condition: Any) -> Any:
    return sp.Piecewise((value, condition), (0, True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", ["symmetric", "not symmetric"])
@pytest.mark.parametrize("name", PAIRS)
def test_energy_of_pairs(name: str, shape: str, dtype: str) -> None:
    condition, by_hand = PAIRS[name]
    x, a = sm.Tensor("x", (n,)), sm.Tensor("a", (n,))
    difference = x[i] - x[j] if shape == "symmetric" else 2 * x[i] - x[j]
    term = a[i] * a[j] / (1 + difference**2) + sp.exp(-(difference**2))
    energy = sp.Sum(guarded(term, condition), (i, 0, n - 1), (j, 0, n - 1))
    model = sm.compile(energy, x, constants=[a], dtype=dtype)
    for length in LENGTHS:
        points, weights = RNG.normal(size=length), RNG.normal(size=length)
        rows, columns = np.meshgrid(np.arange(length), np.arange(length), indexing="ij")
        there = np.broadcast_to(by_hand(rows, columns, length), rows.shape)

        def whole(x: Array, weights: Array = weights, there: Array = there) -> Any:
            first = 1 if shape == "symmetric" else 2
            u = first * x[:, None] - x[None]
            return np.where(there, weights[:, None] * weights / (1 + u**2) + np.exp(-(u**2)), 0).sum()

        value, gradient = model.value_and_grad({x: points, a: weights})
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        scale = max(1.0, float(np.abs(weights).max() ** 2)) * length
        np.testing.assert_allclose(value, whole(points.astype(complex)).real, rtol=tolerance, atol=tolerance * scale)
        want = complex_step_of(whole, points)
        np.testing.assert_allclose(gradient[x], want, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_of_rows_and_products_of_matrices(name: str, dtype: str) -> None:
    """What is left out is nan in the matrix, and stays out."""
    condition, by_hand = PAIRS[name]
    A, B = sm.Tensor("A", (n, n)), sm.Tensor("B", (n, 3))
    rows = sm.comprehension(sp.Sum(guarded(A[i, j], condition), (j, 0, n - 1)), (i, n))
    columns = sm.comprehension(sp.Sum(guarded(A[i, j], condition), (i, 0, n - 1)), (j, n))
    product = sm.comprehension(sp.Sum(guarded(A[i, j] * B[j, d], condition), (j, 0, n - 1)), (i, n), (d, 3))
    turned = sm.comprehension(sp.Sum(guarded(A[i, j] * B[i, d], condition), (i, 0, n - 1)), (j, n), (d, 3))
    function = sm.lambdify([A, B], [rows, columns, product, turned], dtype=dtype)
    for length in LENGTHS:
        a, b = RNG.normal(size=(length, length)), RNG.normal(size=(length, 3))
        own, other = np.meshgrid(np.arange(length), np.arange(length), indexing="ij")
        there = np.broadcast_to(by_hand(own, other, length), a.shape)
        kept = np.where(there, a, 0)
        with_nan = np.where(there, a, np.nan)
        found = function(with_nan.astype(dtype), b.astype(dtype))
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        for mine, want in zip(found, (kept.sum(1), kept.sum(0), kept @ b, kept.T @ b), strict=True):
            np.testing.assert_allclose(mine, want, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("size", [5, 16, 40])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_of_triangles(size: int, dtype: str) -> None:
    """Known sizes, lanes and rows along all three indices: L U, L Lᵀ and a band times a matrix."""
    A, B = sm.Tensor("A", (size, size)), sm.Tensor("B", (size, size))
    low, high = guarded(A[i, k], k <= i), guarded(B[k, j], k >= j)
    wanted = [
        sp.Sum(low * B[k, j], (k, 0, size - 1)),
        sp.Sum(low * high, (k, 0, size - 1)),
        sp.Sum(guarded(A[i, k] * A[j, k], (k <= i) & (k <= j)), (k, 0, size - 1)),
        sp.Sum(guarded(A[i, k] * B[k, j], (k <= i + 3) & (k >= i - 3)), (k, 0, size - 1)),
    ]
    function = sm.lambdify([A, B], [sm.comprehension(one, (i, size), (j, size)) for one in wanted], dtype=dtype)
    a, b = RNG.normal(size=(size, size)), RNG.normal(size=(size, size))
    lower, upper = np.tril(a), np.tril(b)
    band = np.where(abs(np.subtract.outer(np.arange(size), np.arange(size))) <= 3, a, 0)
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for mine, want in zip(function(a, b), (lower @ b, lower @ upper, lower @ lower.T, band @ b), strict=True):
        np.testing.assert_allclose(mine, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("monoid", ["Maximum", "Minimum", "LogSumExp"])
def test_other_reductions_see_the_zeros(monoid: str) -> None:
    """The largest of negative numbers, and of zeros where the guard does not hold, is 0."""
    A = sm.Tensor("A", (4, n, n))
    body = guarded(A[d, j, k], k < i)
    formula = sm.comprehension(getattr(sm, monoid)(body, (k, 0, n - 1)), (i, n), (d, 4), (j, n))
    function = sm.lambdify([A], formula)
    for length in (1, 3, 9, 17):
        a = -1 - RNG.random((4, length, length))
        below = np.arange(length)[None] < np.arange(length)[:, None]
        entries = np.where(below[:, None, None], a[None], 0)
        with np.errstate(all="ignore"):
            reduced = {
                "Maximum": lambda e: e.max(-1),
                "Minimum": lambda e: e.min(-1),
                "LogSumExp": lambda e: np.log(np.exp(e).sum(-1)),
            }
        np.testing.assert_allclose(function(a), reduced[monoid](entries), rtol=1e-13, atol=1e-13)


# ------------------------------------------------------------------------------------------------ particles

POTENTIALS: dict[str, Callable[[Any], Any]] = {
    "coulomb": lambda q: q ** sp.Rational(-1, 2),
    "lennard-jones": lambda q: q**-6 - q**-3,
    "springs": lambda q: (sp.sqrt(q) - 1) ** 2,
    "morse": lambda q: (1 - sp.exp(-sp.sqrt(q))) ** 2,
}
EXACT: dict[str, Callable[[Any], Any]] = {
    "coulomb": lambda q: 1 / mpmath.sqrt(q),
    "lennard-jones": lambda q: q**-6 - q**-3,
    "springs": lambda q: (mpmath.sqrt(q) - 1) ** 2,
    "morse": lambda q: (1 - mpmath.exp(-mpmath.sqrt(q))) ** 2,
}
SLOPES: dict[str, Callable[[Any], Any]] = {
    "coulomb": lambda q: -(q ** mpmath.mpf(-1.5)) / 2,
    "lennard-jones": lambda q: -6 * q**-7 + 3 * q**-4,
    "springs": lambda q: (mpmath.sqrt(q) - 1) / mpmath.sqrt(q),
    "morse": lambda q: (1 - mpmath.exp(-mpmath.sqrt(q))) * mpmath.exp(-mpmath.sqrt(q)) / mpmath.sqrt(q),
}


@pytest.mark.parametrize("form", ["three vectors", "one matrix", "half of all"])
@pytest.mark.parametrize("name", POTENTIALS)
def test_particles(name: str, form: str) -> None:
    """Against mpmath: a particle's distance to itself, at which energy or slope is not finite, is no pair."""
    size = 11
    if form == "three vectors":
        parameters = [sp.IndexedBase(f"r{axis}", shape=(size,)) for axis in range(3)]
        q = sum((r[i] - r[j]) ** 2 for r in parameters)
    else:
        parameters = [sm.Tensor("r", (size, 3))]
        q = sp.Sum((parameters[0][i, d] - parameters[0][j, d]) ** 2, (d, 0, 2))
    term = POTENTIALS[name](q)
    energy = sp.Sum(term, (j, 0, i - 1), (i, 0, size - 1))
    if form == "half of all":
        energy = sp.Sum(guarded(term, sp.Ne(i, j)), (j, 0, size - 1), (i, 0, size - 1)) / 2
    points = RNG.normal(size=(size, 3))
    given = dict(zip(parameters, points.T, strict=True)) if len(parameters) == 3 else {parameters[0]: points}
    value, gradient = sm.compile(energy, parameters).value_and_grad(given)
    mine = np.stack([gradient[p] for p in parameters], -1) if len(parameters) == 3 else gradient[parameters[0]]
    want, slopes = mpmath.mpf(0), np.full((size, 3), mpmath.mpf(0))
    for one, other in ((a, b) for a in range(size) for b in range(a)):
        apart = [mpmath.mpf(p) - mpmath.mpf(q) for p, q in zip(points[one], points[other], strict=True)]
        square = sum(u * u for u in apart)
        want += EXACT[name](square)
        pull = np.array([2 * SLOPES[name](square) * u for u in apart])
        slopes[one], slopes[other] = slopes[one] + pull, slopes[other] - pull
    np.testing.assert_allclose(value, float(want), rtol=1e-13)
    largest = float(np.abs(slopes.astype(float)).max())
    np.testing.assert_allclose(mine, slopes.astype(float), rtol=1e-13, atol=1e-14 * largest)


def test_a_fit_of_particles() -> None:
    """Steps along the slope of an energy of pairs end where those by NumPy do."""
    size = 9
    x = sp.IndexedBase("x", shape=(size,))
    energy = sp.Sum((abs(x[i] - x[j]) - (i - j)) ** 2 / (1 + (x[i] - x[j]) ** 2), (j, 0, i - 1), (i, 0, size - 1))
    start = np.sort(RNG.normal(size=size)) * 3
    result = sm.compile(energy, x).fit({}, start={x: start}, optimizer=sm.sgd(1e-3), epochs=50)
    rows = np.arange(size)

    def whole(x: Array) -> Any:
        u = x[:, None] - x[None]
        size_of = np.where(u.real < 0, -u, u)
        return np.where(rows[:, None] > rows, (size_of - np.subtract.outer(rows, rows)) ** 2 / (1 + u**2), 0).sum()

    now = start
    for _ in range(50):
        now = now - 1e-3 * complex_step_of(whole, now)
    np.testing.assert_allclose(result.parameters[x], now, rtol=1e-11)


# ------------------------------------------------------------------------------------------------ passes


def halves(first_length: int, apart: int, same: bool = True) -> Any:
    """Sums over j < i and over j >= i + apart, j up to `first_length` in the first one, of 20."""
    x = input_tensor("x", (const(20),))
    a, b, c = index(const(20), "a"), index(const(first_length), "b"), index(const(20), "c")

    def term(one: Any, other: Any, factor: int = 1) -> Any:
        return power(sub(mul(const(factor), read(x, one)), read(x, other)), 4)

    def least(node: Any, number: int) -> Any:
        return make("ge", sub(node, const(number)))

    below = define((a,), (b,), "sum", when(term(a, b), least(sub(a, b), 1)))
    above = define((a,), (c,), "sum", when(term(a, c, 1 if same else 2), least(sub(c, a), apart)))
    return elementwise((a,), add(read(below, a), read(above, a)))


@pytest.mark.parametrize(
    ("length", "apart", "same", "op"),
    [
        pytest.param(20, 1, True, "not", id="all but the diagonal"),
        pytest.param(19, 1, True, "not", id="the first one ends where its guard does"),
        pytest.param(20, 0, True, None, id="everything"),
        pytest.param(20, 2, True, "two", id="a gap of two"),
        pytest.param(15, 1, True, "two", id="the first one ends before"),
        pytest.param(20, -1, True, "two", id="they overlap"),
        pytest.param(20, 1, False, "two", id="other terms"),
    ],
)
def test_which_sums_are_halves_of_one(length: int, apart: int, same: bool, op: str | None) -> None:
    output = halves(length, apart, same)
    found = joined_ranges([output])[output]
    sums = [t for t in (found, *found.formula.below) if t.monoid == "sum"]
    assert len(sums) == (2 if op == "two" else 1)
    if op != "two":
        conditions = sums[0].formula.args[1:] if sums[0].formula.op == "when" else ()
        assert [c.op for c in conditions] == ([] if op is None else [op])


def test_powers_of_one_quotient() -> None:
    x, at = input_tensor("x", (const(9),)), index(const(9), "at")
    own, rounded = read(x, at), make("exp", read(x, at))
    for base, quotients in ((own, 2), (rounded, 1)):
        bodies = quotients_shared([power(base, -7), power(base, -4)])
        assert len([n for n in postorder(bodies) if n.op == "pow" and n.data < 0]) == quotients
    assert quotients_shared([power(rounded, -7)]) == [power(rounded, -7)]
    assert quotients_shared([power(rounded, -70), power(rounded, -1)]) == [power(rounded, -70), power(rounded, -1)]


@pytest.mark.parametrize("distance", [-1, 0, 1, 2])
def test_a_sum_that_ends_before_its_guard(distance: int) -> None:
    """j < n - 1 is no part of j <= i + distance, unless the guard says so."""
    size = 12
    x = sm.Tensor("x", (size,))
    formula = sp.Sum(guarded((x[i] - x[j]) ** 2, j <= i + distance), (i, 0, size - 1), (j, 0, size - 2))
    value, gradient = sm.compile(formula, x).value_and_grad({x: (points := RNG.normal(size=size))})
    there = np.arange(size - 1) <= np.arange(size)[:, None] + distance

    def whole(x: Array) -> Any:
        return np.where(there, (x[:, None] - x[None, :-1]) ** 2, 0).sum()

    np.testing.assert_allclose(value, whole(points), rtol=1e-13)
    np.testing.assert_allclose(gradient[x], complex_step_of(whole, points), rtol=1e-12, atol=1e-12)
