"""Reads that a guard keeps inside of their array, across the lanes: against NumPy, one element after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.code.target import host

Array = npt.NDArray[Any]
i, j, p, q = sm.indices("i j p q")
n, m = sp.symbols("n m", integer=True, positive=True)
x, y = sm.Tensor("x", (n,)), sm.Tensor("y", (n, m))
RNG = np.random.default_rng(11)
LENGTHS = (1, 2, 3, 7, 8, 9, 16, 17, 33, 50)


def guarded(*pieces: tuple[Any, Any]) -> Any:
    return sp.Piecewise(*pieces, (0, True))


# place along an axis of n that is read for element i, and the conditions under which it is
PLACES: dict[str, tuple[Any, Callable[[int, int], int]]] = {
    "the one before": (i - 1, lambda i, n: i - 1),
    "the one behind": (i + 1, lambda i, n: i + 1),
    "five before": (i - 5, lambda i, n: i - 5),
    "eleven behind": (i + 11, lambda i, n: i + 11),
    "every second": (2 * i, lambda i, n: 2 * i),
    "every second, ahead": (2 * i + 3, lambda i, n: 2 * i + 3),
    "from the end": (n - 3 - i, lambda i, n: n - 3 - i),
    "mirrored at the front": (2 - i, lambda i, n: 2 - i),
    "threes from the end": (n - 3 * i, lambda i, n: n - 3 * i),
    "never inside": (i - 1000, lambda i, n: i - 1000),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PLACES)
def test_one_axis(name: str, dtype: str) -> None:
    place, by_hand = PLACES[name]
    formula = sm.comprehension(guarded((x[place] * 2, (place >= 0) & (place < n))) + x[i], (i, n))
    function = sm.lambdify([x], formula, dtype=dtype)
    for length in LENGTHS:
        values = RNG.normal(size=length).astype(dtype)
        want = values.copy()
        for k in range(length):
            at = by_hand(k, length)
            want[k] += 2 * values[at] if 0 <= at < length else 0
        np.testing.assert_allclose(function(values), want, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (9, 2), (7, 16), (12, 17), (24, 24)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_a_guard_excludes_is_not_read(shape: tuple[int, int], dtype: str) -> None:
    """A laplacian with zeros around; beyond each row stands a nan, in the array that holds it."""
    around = [(i - 1, j, i >= 1), (i + 1, j, i < n - 1), (i, j - 1, j >= 1), (i, j + 1, j < m - 1)]
    formula = sm.comprehension(sum(guarded((y[a, b], c)) for a, b, c in around) - 4 * y[i, j], (i, n), (j, m))
    function = sm.lambdify([y], formula, dtype=dtype)
    values = RNG.normal(size=shape).astype(dtype)
    wide = np.pad(values, 1)
    want = wide[2:, 1:-1] + wide[:-2, 1:-1] + wide[1:-1, 2:] + wide[1:-1, :-2] - 4 * values
    np.testing.assert_allclose(function(values), want, rtol=2e-5, atol=2e-5)


def test_nan_where_the_guard_excludes_stays_out() -> None:
    """y[i, j + 1] is read where j + 1 is even only, and odd columns are nan."""
    formula = sm.comprehension(guarded((y[i, j + 1], (j < m - 1) & sp.Eq(sp.Mod(j, 2), 1)), (1, True)), (i, n), (j, m))
    for columns in (1, 2, 9, 20):
        values = RNG.normal(size=(3, columns))
        values[:, 1::2] = np.nan
        want = np.ones_like(values)
        want[:, 1:-1:2] = values[:, 2::2]
        np.testing.assert_array_equal(sm.lambdify([y], formula)(values), want)


@pytest.mark.parametrize("length", LENGTHS)
def test_data_read_at_a_guarded_place(length: int) -> None:
    """The index of a gather is itself read at a shifted place."""
    table, token = sm.Tensor("table", (5,)), sp.IndexedBase("token", shape=(n,))
    formula = sm.comprehension(guarded((table[token[i + 2]], i < n - 2)), (i, n))
    values, at = RNG.normal(size=5), RNG.integers(0, 5, length)
    want = np.zeros(length)
    want[: max(0, length - 2)] = values[at[2:]]
    np.testing.assert_array_equal(sm.lambdify([table, token], formula)(values, at), want)


@pytest.mark.parametrize("border", ["zero", "mirror", "kept"])
@pytest.mark.parametrize("size", [3, 8, 11, 24])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_three_steps_of_heat_with_a_border(border: str, size: int, dtype: str) -> None:
    """Value, and slope by the rate of each place, by a complex step."""
    u0, rate = sp.IndexedBase("u0", shape=(size, size)), sp.IndexedBase("rate", shape=(size, size))
    u: Any = u0
    for _ in range(3):
        sides = [(u[i + 1, j], i < size - 1), (u[i - 1, j], i >= 1), (u[i, j + 1], j < size - 1), (u[i, j - 1], j >= 1)]
        beyond = u[i, j] if border == "mirror" else 0
        flow = rate[i, j] * (sum(sp.Piecewise((side, c), (beyond, True)) for side, c in sides) - 4 * u[i, j])
        inner = (i >= 1) & (i < size - 1) & (j >= 1) & (j < size - 1)
        u = sm.comprehension(u[i, j] + (guarded((flow, inner)) if border == "kept" else flow), (i, size), (j, size))
    model = sm.compile(sm.comprehension(u[i, j] ** 2, (i, size), (j, size)).sum(), rate, constants=[u0], dtype=dtype)
    start, rates = RNG.normal(size=(size, size)), np.full((size, size), 0.1) + RNG.normal(size=(size, size)) * 0.01

    def by_hand(rates: Array) -> Any:
        u = start.astype(complex)
        for _ in range(3):
            wide = np.pad(u, 1, mode="edge" if border == "mirror" else "constant")
            flow = rates * (wide[2:, 1:-1] + wide[:-2, 1:-1] + wide[1:-1, 2:] + wide[1:-1, :-2] - 4 * u)
            if border == "kept":
                flow[[0, -1]], flow[:, [0, -1]] = 0, 0
            u = u + flow
        return (u**2).sum()

    value, gradient = model.value_and_grad({u0: start, rate: rates})
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(value, by_hand(rates).real, rtol=tolerance)
    want = np.zeros_like(start)
    for at in np.ndindex(size, size):
        moved = rates.astype(complex)
        moved[at] += 1e-30j
        want[at] = by_hand(moved).imag / 1e-30
    np.testing.assert_allclose(gradient[rate], want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("shape", [(1, 3, 3), (2, 5, 9), (3, 8, 17), (1, 28, 28)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_convolution_of_the_same_size(shape: tuple[int, int, int], dtype: str) -> None:
    """Zeros around the image are a guard; slopes by image and filters against sums by hand."""
    channels, height, width = shape
    image, filters = sm.Tensor("image", shape), sm.Tensor("filters", (4, channels, 3, 3))
    c, k = sm.indices("c k")
    inside = (i + p >= 1) & (i + p <= height) & (j + q >= 1) & (j + q <= width)
    element = guarded((filters[k, c, p, q] * image[c, i + p - 1, j + q - 1], inside))
    total = sp.Sum(element, (c, 0, channels - 1), (p, 0, 2), (q, 0, 2))
    result = sm.comprehension(total**2, (k, 4), (i, height), (j, width)).sum()
    a, b = RNG.normal(size=shape).astype(dtype), RNG.normal(size=(4, channels, 3, 3)).astype(dtype)
    model = sm.compile(result, [image, filters], dtype=dtype)
    value, gradient = model.value_and_grad({image: a, filters: b})
    padded, sums = np.pad(a.astype("float64"), ((0, 0), (1, 1), (1, 1))), np.zeros((4, height, width))
    for u, v in np.ndindex(3, 3):
        sums += np.einsum("kc,cij->kij", b[:, :, u, v], padded[:, u : u + height, v : v + width])
    by_image, by_filters = np.zeros_like(padded), np.zeros(b.shape)
    for u, v in np.ndindex(3, 3):
        by_image[:, u : u + height, v : v + width] += 2 * np.einsum("kc,kij->cij", b[:, :, u, v], sums)
        by_filters[:, :, u, v] = 2 * np.einsum("kij,cij->kc", sums, padded[:, u : u + height, v : v + width])
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(value, (sums**2).sum(), rtol=tolerance)
    for mine, want in ((gradient[image], by_image[:, 1:-1, 1:-1]), (gradient[filters], by_filters)):
        np.testing.assert_allclose(mine, want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.skipif(not host().masked, reason="this machine reads single numbers where a mask says")
def test_neighbours_are_no_gathers(capsys: pytest.CaptureFixture[str]) -> None:
    """Lanes that lie side by side are loaded together, those outside of the array left out."""
    sides = guarded((y[i, j - 1], j >= 1)) + guarded((y[i, j + 1], j < m - 1))
    sm.compile(sm.comprehension(sides**2, (i, n), (j, m)).sum(), y).explain("llvm")
    text = capsys.readouterr().out
    assert "llvm.masked.load" in text and "llvm.masked.gather" not in text
