"""Axes of which every second place is 0, or is all that is read: they have no other places; against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp
from truth import complex_step_of

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import divides
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, computed, define, elementwise, input_tensor, read
from sympile.compiler.graph.node import ONE, ZERO, Node, const, index, make
from sympile.compiler.passes.fusing.thinned import thinned

Array = npt.NDArray[Any]
i, j, k, c, p, q = sm.indices("i j k c p q")
RNG = np.random.default_rng(2)


def S(body: Any, *ranges: tuple[Any, int]) -> Any:
    return sp.Sum(body, *[(index, 0, length - 1) for index, length in ranges])


# ------------------------------------------------------------------------------------------------ as formulas


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("step", "first"), [(2, 0), (2, 1), (3, 0), (3, 2), (5, 1)])
@pytest.mark.parametrize("length", [7, 16, 33])
def test_some_elements_of_a_convolution(length: int, step: int, first: int, dtype: str) -> None:
    """Value, and slopes by filter and line, of what follows every `step`-th element of a convolution."""
    x, F, G = sm.Tensor("x", (2, length)), sm.Tensor("F", (3, 2, 3)), sm.Tensor("G", (3, 2))
    inner = length - 2
    h = sm.comprehension(sm.tanh(S(F[k, c, p] * x[c, i + p], (c, 2), (p, 3))), (k, 3), (i, inner))
    count = len(range(first, inner, step))
    some = sm.comprehension(h[k, step * i + first], (k, 3), (i, count))
    again = sm.comprehension(S(G[k, p] * some[k, i + p], (k, 3), (p, 2)) ** 2, (i, max(count - 1, 1)))
    if count < 2:
        pytest.skip("one element has no neighbour")
    model = sm.compile(again.sum(), [F, G, x], dtype=dtype)
    given = {x: RNG.normal(size=(2, length)), F: RNG.normal(size=(3, 2, 3)), G: RNG.normal(size=(3, 2))}

    def whole(x: Array, F: Array, G: Array) -> Any:
        sums = sum(F[:, :, p] @ x[:, p : p + inner] for p in range(3))
        h = np.tanh(sums)[:, first::step]
        return ((G[:, 0] @ h[:, :-1] + G[:, 1] @ h[:, 1:]) ** 2).sum()

    value, gradient = model.value_and_grad(given)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(value, whole(given[x], given[F], given[G]), rtol=tolerance)
    wanted = {
        x: complex_step_of(lambda a: whole(a, given[F], given[G]), given[x]),
        F: complex_step_of(lambda a: whole(given[x], a, given[G]), given[F]),
        G: complex_step_of(lambda a: whole(given[x], given[F], a), given[G]),
    }
    for symbol, want in wanted.items():
        np.testing.assert_allclose(gradient[symbol], want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(5, 6), (9, 8), (13, 20)])
def test_every_second_row_and_column(shape: tuple[int, int], dtype: str) -> None:
    height, width = shape
    x, F, b = sm.Tensor("x", shape), sm.Tensor("F", (4, 3, 3)), sm.Tensor("b", (4,))
    h = sm.comprehension(
        sm.relu(S(F[k, p, q] * x[i + p, j + q], (p, 3), (q, 3)) + b[k]), (k, 4), (i, height - 2), (j, width - 2)
    )
    rows, columns = len(range(0, height - 2, 2)), len(range(1, width - 2, 2))
    some = sm.comprehension(h[k, 2 * i, 2 * j + 1] ** 2, (k, 4), (i, rows), (j, columns))
    given = {x: RNG.normal(size=shape), F: RNG.normal(size=(4, 3, 3)), b: RNG.normal(size=4)}
    value, gradient = sm.compile(some.sum(), [x, F, b], dtype=dtype).value_and_grad(given)
    sums = np.zeros((4, height - 2, width - 2)) + given[b][:, None, None]
    for u, v in np.ndindex(3, 3):
        sums += given[F][:, u, v, None, None] * given[x][u : u + height - 2, v : v + width - 2]
    slopes = np.zeros_like(sums)
    slopes[:, ::2, 1::2] = 2 * np.maximum(sums, 0)[:, ::2, 1::2]
    by_image, by_filters = np.zeros(shape), np.zeros((4, 3, 3))
    for u, v in np.ndindex(3, 3):
        by_image[u : u + height - 2, v : v + width - 2] += np.einsum("k,kij->ij", given[F][:, u, v], slopes)
        by_filters[:, u, v] = np.einsum("kij,ij->k", slopes, given[x][u : u + height - 2, v : v + width - 2])
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(value, (np.maximum(sums, 0)[:, ::2, 1::2] ** 2).sum(), rtol=tolerance)
    for symbol, want in ((x, by_image), (F, by_filters), (b, slopes.sum((1, 2)))):
        np.testing.assert_allclose(gradient[symbol], want, rtol=tolerance, atol=10 * tolerance * np.abs(want).max())


@pytest.mark.parametrize("length", [1, 4, 9, 20])
def test_zeros_between_elements(length: int) -> None:
    """A transposed convolution: elements stand two apart, and a filter goes over them."""
    x, F = sm.Tensor("x", (length,)), sm.Tensor("F", (3,))
    wide = 2 * length + 1
    spread = sm.comprehension(S(sm.tanh(x[p]) * sp.KroneckerDelta(2 * p + 1, i), (p, length)), (i, wide))
    result = sm.comprehension(S(F[p] * spread[i + p], (p, 3)) ** 2, (i, wide - 2))
    given = {x: RNG.normal(size=length), F: RNG.normal(size=3)}

    def whole(x: Array, F: Array) -> Any:
        line = np.zeros(wide, dtype=complex)
        line[1::2] = np.tanh(x)
        return (sum(F[p] * line[p : p + wide - 2] for p in range(3)) ** 2).sum()

    value, gradient = sm.compile(result.sum(), [x, F]).value_and_grad(given)
    np.testing.assert_allclose(value, whole(given[x], given[F]).real, rtol=1e-12)
    for symbol, function in ((x, lambda a: whole(a, given[F])), (F, lambda a: whole(given[x], a))):
        want = complex_step_of(function, given[symbol])
        np.testing.assert_allclose(gradient[symbol], want, rtol=1e-11, atol=1e-12)


def test_nan_between_the_elements_that_are_read() -> None:
    x = sm.Tensor("x", (9,))
    root = sm.comprehension(sp.sqrt(x[i]), (i, 9))
    function = sm.lambdify([x], sm.comprehension(S(root[2 * i + p * 2], (p, 2)), (i, 4)))
    values = np.where(np.arange(9) % 2, -1.0, np.arange(9) ** 2.0)
    np.testing.assert_array_equal(function(values), [0 + 2, 2 + 4, 4 + 6, 6 + 8])


# ------------------------------------------------------------------------------------------------ the pass


def line(length: int = 20) -> tuple[Definition, Node, Node]:
    """A stored sum over p of x[i + p], and indices of 9 and 3."""
    x = input_tensor("x", (const(length + 2),))
    own, inner = index(const(length), "own"), index(const(3), "inner")
    return define((own,), (inner,), "sum", read(x, add(own, inner))), index(const(9), "a"), index(const(3), "b")


def lengths(output: Definition) -> list[tuple[Any, ...]]:
    return [tuple(n.data for n in t.shape) for t in computed([thinned([output])[output]])]


def twice(*terms: Node) -> Node:
    return mul(const(2), add(*terms))


@pytest.mark.parametrize(
    ("places", "length"),
    [
        pytest.param(lambda a, b: [twice(a)], 10, id="every second"),
        pytest.param(lambda a, b: [add(twice(a), ONE)], 10, id="the others"),
        pytest.param(lambda a, b: [twice(a), add(twice(a), const(2))], 10, id="two of them"),
        pytest.param(lambda a, b: [mul(const(4), a), add(mul(const(2), a), const(2))], 10, id="fours and twos"),
        pytest.param(lambda a, b: [twice(a), a], 20, id="also all"),
        pytest.param(lambda a, b: [twice(a), add(twice(a), ONE)], 20, id="both halves"),
        pytest.param(lambda a, b: [mul(const(6), b), mul(const(9), b)], 7, id="threes"),
        pytest.param(lambda a, b: [const(4)], 20, id="one place"),
    ],
)
def test_what_is_read(places: Callable[[Node, Node], list[Node]], length: int) -> None:
    tensor, a, b = line()
    output = elementwise((a, b), add(*[mul(const(k + 1), read(tensor, at)) for k, at in enumerate(places(a, b))]))
    assert (length,) in lengths(output)


def test_what_is_zero_elsewhere() -> None:
    """Σ over p of [2 divides i + 1] x[i + p] has odd places only; so has a sum over i of it."""
    x = input_tensor("x", (const(22),))
    own, inner = index(const(20), "own"), index(const(3), "inner")
    body = when(read(x, add(own, inner)), divides(2, add(own, ONE)))
    tensor = define((own,), (inner,), "sum", body)
    total = define((), (index(const(20), "k"),), "sum", read(tensor, index(const(20), "k")))
    assert lengths(total) == [(10,), ()]
    assert lengths(elementwise((own,), read(tensor, own))) == [(10,), (20,)]
    assert lengths(define((own,), (inner,), "max", body)) == [(20,)]  # of which 0 is no neutral element


@pytest.mark.parametrize(
    ("divisor", "place", "want"),
    [
        (2, lambda a, b: twice(a), ONE),
        (2, lambda a, b: add(twice(a), ONE), ZERO),
        (3, lambda a, b: add(mul(const(3), a), b, const(-1)), "b + 2"),
        (2, lambda a, b: add(a, mul(const(-2), b)), "a"),
    ],
)
def test_what_a_divisor_divides_anyway(divisor: int, place: Callable[[Node, Node], Node], want: object) -> None:
    _, a, b = line()
    forms = {"b + 2": add(b, const(2)), "a": a}
    wanted = make("divides", forms[want], data=divisor) if isinstance(want, str) else want
    assert divides(divisor, place(a, b)) is wanted
