"""Hessians and Jacobians as arrays: by lists of scalars in one loop, by arrays with the structure of their formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import FormulaTooLarge
from sympile.compiler.graph.definition import definitions
from sympile.compiler.passes.fusing.cells import written_out
from sympile.runtime.model import derivatives

Array = npt.NDArray[Any]
RNG = np.random.default_rng(5)


def rosenbrock(x: Sequence[Any], m: Any) -> Any:
    return sum(100 * (x[k + 1] - x[k] ** 2) ** 2 + (1 - x[k]) ** 2 for k in range(len(x) - 1))


def rosenbrock_hessian(x: Array) -> Array:
    """In closed form, for one point or many."""
    n = x.shape[-1]
    result = np.zeros((*x.shape, n))
    for k in range(n - 1):
        result[..., k, k] += 1200 * x[..., k] ** 2 - 400 * x[..., k + 1] + 2
        result[..., k + 1, k + 1] += 200
        result[..., k, k + 1] = result[..., k + 1, k] = -400 * x[..., k]
    return result


def radial(x: Sequence[Any], m: Any) -> Any:
    return m.log(1 + sum(v**2 for v in x))


def radial_hessian(x: Array) -> Array:
    s = 1 + np.sum(x**2, axis=-1)[..., None, None]
    return 2 * np.eye(x.shape[-1]) / s - 4 * x[..., :, None] * x[..., None, :] / s**2


def product(x: Sequence[Any], m: Any) -> Any:
    return m.exp(sum((k + 1) * m.sin(v) for k, v in enumerate(x)) / len(x))


def product_hessian(x: Array) -> Array:
    k = np.arange(1, x.shape[-1] + 1) / x.shape[-1]
    value, slope = np.exp(np.sum(k * np.sin(x), axis=-1)), k * np.cos(x)
    diagonal = np.eye(x.shape[-1]) * (-k * np.sin(x))[..., None, :]
    return value[..., None, None] * (slope[..., :, None] * slope[..., None, :] + diagonal)


# fmt: off
SCALARS = [
    pytest.param(rosenbrock, rosenbrock_hessian, 2,  id="banded, 2"),
    pytest.param(rosenbrock, rosenbrock_hessian, 10, id="banded, 10"),
    pytest.param(radial,     radial_hessian,     7,  id="diagonal and rank one, 7"),
    pytest.param(product,    product_hessian,    5,  id="dense, 5"),
]
# fmt: on


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("value", "closed", "n"), SCALARS)
def test_by_a_list_of_scalars(value: Callable[..., Any], closed: Callable[[Array], Array], n: int, dtype: str) -> None:
    x = sp.symbols(f"x0:{n}")
    points = RNG.uniform(-1, 1, (21, n)).astype(dtype)
    hessian = sm.lambdify(x, sm.hessian(value(x, sp), list(x)), dtype=dtype)
    out = np.empty((21, n, n), dtype)
    hessian(*np.ascontiguousarray(points.T), out=out)
    expected = closed(points.astype(np.float64))
    rtol, atol = (3e-13 if dtype == "float64" else 2e-4), np.abs(expected).max() * np.finfo(dtype).eps * 8
    np.testing.assert_allclose(out, expected, rtol=rtol, atol=atol)
    np.testing.assert_allclose(hessian(*points[3]), out[3], rtol=1e-13 if dtype == "float64" else 1e-5, atol=1e-4)
    np.testing.assert_array_equal(out, np.swapaxes(out, 1, 2))  # the same number at both places


def test_long_lists_are_one_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derivatives, "MOST_ROWS", 3)
    x = sp.symbols("x0:5")
    points = RNG.uniform(-1, 1, (9, 5))
    found = sm.lambdify(x, sm.hessian(product(x, sp), list(x)))(*np.ascontiguousarray(points.T))
    np.testing.assert_allclose(found, product_hessian(points), rtol=1e-12, atol=1e-13)


def test_entries_on_both_sides_are_one_formula() -> None:
    x = sp.symbols("x0:6")
    cells = written_out(sm.hessian(product(x, sp), list(x)).definition).args
    assert all(cells[6 * i + j] is cells[6 * j + i] for i in range(6) for j in range(6))


def test_jacobian_of_a_list() -> None:
    x = sp.symbols("x0:4")
    values = [sp.sin(x[k % 4] * x[(k + 1) % 4]) + sp.exp(x[k % 4]) * sum(x) for k in range(6)]
    points = RNG.uniform(-1, 1, (13, 4))
    found = sm.lambdify(x, list(sm.jacobian(values, list(x)).values()))(*np.ascontiguousarray(points.T))
    expected = np.zeros((13, 6, 4))
    for k in range(6):
        a, b = k % 4, (k + 1) % 4
        slope, grown = np.cos(points[:, a] * points[:, b]), np.exp(points[:, a])
        expected[:, k, :] = grown[:, None]
        expected[:, k, a] += slope * points[:, b] + grown * points.sum(axis=1)
        expected[:, k, b] += slope * points[:, a]
    np.testing.assert_allclose(np.stack(found, axis=-1).reshape(13, 6, 4), expected, rtol=1e-13, atol=1e-13)


# ------------------------------------------------------------------------------------------------ by arrays

n = sp.Symbol("n", integer=True, positive=True)
i = sp.Symbol("i", integer=True)
w = sp.IndexedBase("w", shape=(n,))
t = sp.IndexedBase("t_w", shape=(n,))
EACH = (i, 0, n - 1)


def banded() -> Any:
    return sp.Sum(100 * (w[i + 1] - w[i] ** 2) ** 2 + (1 - w[i]) ** 2, (i, 0, n - 2))


def separate() -> Any:
    return sp.Sum(sp.exp(sp.sin(w[i])), EACH)


def separate_hessian(x: Array) -> Array:
    return np.diag(np.exp(np.sin(x)) * (np.cos(x) ** 2 - np.sin(x)))


def low_rank() -> Any:
    return sp.log(1 + sp.Sum(w[i] ** 2, EACH))


# fmt: off
ARRAYS = [
    pytest.param(banded,   rosenbrock_hessian, id="banded"),
    pytest.param(separate, separate_hessian,   id="diagonal"),
    pytest.param(low_rank, radial_hessian,     id="diagonal and rank one"),
]
# fmt: on


@pytest.mark.parametrize(("value", "closed"), ARRAYS)
def test_by_an_array(value: Callable[[], Any], closed: Callable[[Array], Array]) -> None:
    hessian = sm.lambdify(w, sm.hessian(value(), w))
    for length in (2, 9, 40):
        x = RNG.uniform(-1, 1, length)
        np.testing.assert_allclose(hessian(x), closed(x), rtol=3e-13, atol=1e-11)


@pytest.mark.parametrize(("value", "closed"), ARRAYS)
def test_products_with_a_vector_never_see_a_matrix(value: Callable[[], Any], closed: Callable[[Array], Array]) -> None:
    """All that is computed has one index: the work is n, not n²."""
    formula = sm.hvp(value(), w)
    assert all(len(d.axes) + len(d.reduced) <= 1 for d in definitions([formula.definition]))
    product_with = sm.lambdify([w, t], formula)
    for length in (2, 9, 40):
        x, direction = RNG.uniform(-1, 1, (2, length))
        np.testing.assert_allclose(product_with(x, direction), closed(x) @ direction, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize(("value", "closed"), ARRAYS)
def test_filling_a_matrix_costs_no_sum_for_each_entry(value: Callable[[], Any], closed: Callable[[Array], Array]) -> None:
    """Sums in a Hessian that is diagonal plus low rank do not depend on both of its indices."""
    below = definitions([sm.hessian(value(), w).definition])
    assert all(len(d.axes) + len(d.reduced) <= 2 for d in below)


def test_logistic_regression() -> None:
    N, d = sp.symbols("N d", integer=True, positive=True)
    X, W = sp.MatrixSymbol("X", N, d), sp.MatrixSymbol("W", d, 1)
    hessian = sm.hessian(sm.mean((X * W).applyfunc(sm.softplus)), W)
    assert "diag(" in str(hessian)
    data, at = RNG.normal(size=(50, 6)), RNG.normal(size=(6, 1))
    s = 1 / (1 + np.exp(-data @ at))
    found = sm.lambdify([X, W], hessian)(data, at)
    np.testing.assert_allclose(found, data.T @ (s * (1 - s) * data) / 50, rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------------------------------------ too large to be read


def test_a_hessian_that_nobody_could_read_is_computed() -> None:
    x = sp.symbols("x0:24")
    value = product(x, sp) + sum(sp.tanh(a * b) for k, a in enumerate(x) for b in x[:k])
    hessian = sm.hessian(value, list(x))
    assert "more than can be read" in str(hessian)
    with pytest.raises(FormulaTooLarge, match="operations"):
        _ = hessian.expr
    with pytest.raises(FormulaTooLarge, match="operations"):
        hessian.expanded()
    point = RNG.uniform(-1, 1, 24)
    outer = np.outer(point, point)
    first, second = 1 / np.cosh(outer) ** 2, -2 * np.tanh(outer) / np.cosh(outer) ** 2
    mixed = first + second * outer
    own = second * point**2  # [i, k]: d²/dx_i² of tanh(x_i x_k)
    np.fill_diagonal(own, 0.0)
    np.fill_diagonal(mixed, own.sum(axis=1))
    expected = mixed + product_hessian(point)
    np.testing.assert_allclose(sm.lambdify(x, hessian)(*point), expected, rtol=1e-11, atol=1e-12)
