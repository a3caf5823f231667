"""`sm.lambdify`: broadcasting, matrices, sizes, `out=`, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import (
    ArgumentError,
    ArrayShapeError,
    DtypeError,
    DuplicateName,
    MissingValue,
    SympileError,
    ValuesError,
)

Array = npt.NDArray[Any]
RNG = np.random.default_rng(12)
ROOM, WIDE = np.empty(2), np.empty(3)
u, v, w = sp.symbols("u v w")
A3, c3 = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("c", 3, 1)


# ------------------------------------------------------------------------------------------------ scalars

F = sm.lambdify([u, v], sp.exp(u) * v + sp.sin(v))


def f(p: Any, q: Any) -> Any:
    return np.exp(p) * q + np.sin(q)


# fmt: off
BROADCAST = [
    pytest.param((),        (),        id="two numbers"),
    pytest.param((5,),      (5,),      id="two vectors"),
    pytest.param((5,),      (),        id="vector and number"),
    pytest.param((),        (2, 3),    id="number and matrix"),
    pytest.param((4, 1),    (1, 3),    id="column and row"),
    pytest.param((2, 1, 3), (4, 1),    id="three axes and two"),
    pytest.param((0,),      (),        id="nothing"),
    pytest.param((3, 0),    (1,),      id="nothing of two axes"),
    pytest.param((1,),      (1,),      id="one entry is no number"),
    pytest.param((100, 37), (37,),     id="many"),
]
# fmt: on


@pytest.mark.parametrize(("one", "other"), BROADCAST)
def test_scalar_arguments_broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    p, q = np.asarray(RNG.normal(size=one)), np.asarray(RNG.normal(size=other))
    found = F(p, q)
    expected = np.asarray(f(p, q))
    assert np.shape(found) == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


def test_numbers_in_a_number_out() -> None:
    assert type(F(1, 2)) is np.float64 and F(1, 2) == pytest.approx(f(1, 2), rel=1e-15)
    assert type(F(np.float32(1), True)) is np.float64
    assert type(sm.lambdify(u, u + 1, dtype="float32")(1)) is np.float32
    assert isinstance(F([1.0, 2.0], 3), np.ndarray)


def test_one_symbol_or_a_list_of_one() -> None:
    assert sm.lambdify(u, 2 * u)(3) == sm.lambdify([u], 2 * u)(3) == sm.lambdify((u,), 2 * u)(3) == 6


def test_arguments_that_the_expression_does_not_use() -> None:
    g = sm.lambdify([u, v, w], v * 2)
    assert g(1, 2, 3) == 4
    np.testing.assert_array_equal(g(np.zeros((3, 1)), 2.0, np.zeros(2)), np.full((3, 2), 4.0))
    with pytest.raises(SympileError, match="broadcast"):
        g(np.zeros(3), 2.0, np.zeros(2))


def test_a_constant_expression() -> None:
    g = sm.lambdify([u], sp.pi)
    assert g(1.0) == np.pi
    np.testing.assert_array_equal(g(np.zeros(3)), [np.pi] * 3)
    assert sm.lambdify([], sp.Integer(3))() == 3


def test_a_list_of_expressions() -> None:
    """Each has the broadcast shape, also one that does not use what is broadcast."""
    g = sm.lambdify([u, v], [u + v, sp.sin(u), sp.Integer(2), v])
    p, q = np.arange(3.0)[:, None], np.arange(2.0)
    found = g(p, q)
    assert isinstance(found, list)
    for have, want in zip(found, [p + q, np.sin(p) + 0 * q, 2 + 0 * (p + q), q + 0 * p], strict=True):
        assert have.shape == (3, 2)
        np.testing.assert_allclose(have, want, rtol=1e-15)
    have = g(1, 2)
    assert [type(a) for a in have] == [np.float64] * 4 and have[3] == 2


def test_the_same_expression_twice_gives_two_arrays() -> None:
    one, two, given = sm.lambdify([u], [u * 2, u * 2, u])(given_array := np.arange(3.0))
    assert not np.shares_memory(one, two) and not np.shares_memory(given, given_array)


# fmt: off
TRUTHS = [
    #             expression                              at -1, 0, 1, nan
    pytest.param(u > 0,                                  (0, 0, 1, 0),  id="greater"),
    pytest.param(sp.Eq(u, 1),                            (0, 0, 1, 0),  id="equal"),
    pytest.param(sp.Ne(u, 1),                            (1, 1, 0, 1),  id="differs"),
    pytest.param(sp.And(u > -1, u < 1),                  (0, 1, 0, 0),  id="and"),
    pytest.param(sp.Or(u < 0, u > 0),                    (1, 0, 1, 0),  id="or"),
    pytest.param(sp.Piecewise((u, u > 0), (-2, True)),   (-2, -2, 1, -2), id="branches"),
]
# fmt: on


@pytest.mark.parametrize(("expression", "expected"), TRUTHS)
def test_truths_are_ones_and_zeros(expression: Any, expected: tuple[float, ...]) -> None:
    at = np.array([-1.0, 0.0, 1.0, np.nan])
    np.testing.assert_array_equal(sm.lambdify([u], expression)(at), expected)
    model = sm.compile((u - v) ** 2, [v], prediction=expression)
    np.testing.assert_array_equal(model.predict({u: at}), expected)


@pytest.mark.parametrize(
    "make",
    [sp.Idx, lambda name: sp.Symbol(name, integer=True), lambda name: sp.Idx(name, (0, 4))],
    ids=["Idx", "Symbol", "range"],
)
def test_indices_of_every_kind(make: Callable[[str], Any]) -> None:
    n, q, i = sp.Symbol("n"), sp.IndexedBase("q", shape=(sp.Symbol("n"),)), make("i")
    assert sm.lambdify([q], sp.Sum(q[i] * (i + 1), (i, 0, n - 1)))(np.arange(5.0)) == 40.0


def test_a_size_as_an_argument() -> None:
    """Where no array tells it."""
    n, i = sp.symbols("n i", integer=True)
    g = sm.lambdify([n, u], sp.Sum(u**i, (i, 0, n - 1)))
    assert (g(3, 2.0), g(1, 2.0)) == (7.0, 1.0)
    np.testing.assert_array_equal(g(4, np.array([1.0, 2.0])), [4.0, 15.0])
    for wrong in (0, -2, 2.5, [2, 3]):
        with pytest.raises(ArgumentError, match="n is a size"):
            g(wrong, 1.0)
    model = sm.compile(sp.Sum((u * v - i) ** 2, (i, 0, n - 1)), [u])
    with pytest.raises(MissingValue, match="sizes="):
        model.forward({v: [1.0], u: 1.0})


# ------------------------------------------------------------------------------------------------ matrices

G = sm.lambdify([A3, c3, u], u * A3 * c3)

# fmt: off
LEADING = [
    #             A             c            u            result
    pytest.param((3, 3),       (3, 1),      (),          (3, 1),       id="one of each"),
    pytest.param((3, 3),       (3,),        (),          (3, 1),       id="a column given flat"),
    pytest.param((5, 3, 3),    (3, 1),      (),          (5, 3, 1),    id="many matrices"),
    pytest.param((3, 3),       (5, 3, 1),   (),          (5, 3, 1),    id="many columns"),
    pytest.param((3, 3),       (3, 1),      (5,),        (5, 3, 1),    id="many numbers"),
    pytest.param((5, 3, 3),    (5, 3, 1),   (5,),        (5, 3, 1),    id="many of all"),
    pytest.param((4, 1, 3, 3), (5, 3, 1),   (),          (4, 5, 3, 1), id="axes in front broadcast"),
    pytest.param((2, 1, 3, 3), (1, 3, 1),   (4,),        (2, 4, 3, 1), id="three of them"),
    pytest.param((0, 3, 3),    (3, 1),      (),          (0, 3, 1),    id="none"),
]
# fmt: on


@pytest.mark.parametrize(("a_shape", "c_shape", "u_shape", "shape"), LEADING)
def test_matrix_arguments_broadcast_as_in_gufuncs(a_shape: Any, c_shape: Any, u_shape: Any, shape: Any) -> None:
    a, c, number = RNG.normal(size=a_shape), RNG.normal(size=c_shape), np.asarray(RNG.normal(size=u_shape))
    found = G(a, c, number)
    columns = c[:, None] if c.ndim == 1 else c
    expected = number[..., None, None] * (a @ columns)
    assert found.shape == shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_symbolic_sizes() -> None:
    n, m = sp.symbols("n m", integer=True)
    P, q = sp.MatrixSymbol("P", n, m), sp.MatrixSymbol("q", m, 1)
    g = sm.lambdify([P, q], [P * q, P.T])
    for rows, columns in ((2, 3), (1, 1), (7, 2), (9, 16)):
        p, r = RNG.normal(size=(4, rows, columns)), RNG.normal(size=(columns, 1))
        product, turned = g(p, r)
        assert product.shape == (4, rows, 1) and turned.shape == (4, columns, rows)
        np.testing.assert_allclose(product, p @ r, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(turned, p.swapaxes(1, 2))


def test_formulas_of_gradients() -> None:
    formula = sm.grad(c3.T * A3 * c3 / 2, c3)
    a, c = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 1))
    np.testing.assert_allclose(sm.lambdify([A3, c3], formula)(a, c), (a + a.T) @ c / 2, rtol=1e-13)


# fmt: off
JACOBIANS = [
    #             f, by what                                                       shape            values
    pytest.param(lambda: (A3 * c3, c3),                                            (3, 3),          lambda a, c: a,                                   id="vector by vector"),
    pytest.param(lambda: (c3.T * A3 * c3, c3),                                     (1, 3),          lambda a, c: ((a + a.T) @ c).T,                   id="scalar by vector: a row"),
    pytest.param(lambda: (A3 * c3, A3),                                            (3, 3, 3),       lambda a, c: np.einsum("im,k->imk", np.eye(3), c[:, 0]), id="vector by matrix"),
    pytest.param(lambda: (A3 * A3, A3),                                            (3, 3, 3, 3),
                 lambda a, c: np.einsum("im,nj->ijmn", np.eye(3), a) + np.einsum("im,jn->ijmn", a, np.eye(3)),                                       id="matrix by matrix"),
]
# fmt: on


@pytest.mark.parametrize(("of", "shape", "expected"), JACOBIANS)
def test_shapes_of_jacobians(
    of: Callable[[], Any], shape: tuple[int, ...], expected: Callable[[Array, Array], Array]
) -> None:
    expression, by = of()
    formula = sm.jacobian(expression, by)
    a, c = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 1))
    found = sm.lambdify([A3, c3], formula)(a, c)
    assert found.shape == shape == tuple(int(n) for n in formula.shape)
    np.testing.assert_allclose(found, expected(a, c), rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------------------------------------ out=


def test_out_is_written_and_returned() -> None:
    p, q = RNG.normal(size=6), RNG.normal(size=6)
    room = np.full(6, np.nan)
    assert F(p, q, out=room) is room
    np.testing.assert_allclose(room, f(p, q), rtol=1e-14)
    pair = [np.empty((2, 3, 1)), np.empty((2, 3, 3))]
    g = sm.lambdify([A3, c3], [A3 * c3, A3.T])
    a, c = RNG.normal(size=(2, 3, 3)), RNG.normal(size=(2, 3, 1))
    found = g(a, c, out=pair)
    assert found[0] is pair[0] and found[1] is pair[1]
    np.testing.assert_allclose(pair[0], a @ c, rtol=1e-13)
    np.testing.assert_array_equal(pair[1], a.swapaxes(1, 2))


def test_out_may_be_an_argument() -> None:
    """In place, elementwise; and where a result is read after another is written."""
    p = RNG.normal(size=40)
    expected = np.exp(p) * 2.0 + np.sin(2.0)
    F(p, 2.0, out=p)
    np.testing.assert_allclose(p, expected, rtol=1e-14)
    a, c = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 1))
    kept = a.copy()
    sm.lambdify([A3, c3, u], A3.T)(a, c, 1.0, out=a)
    np.testing.assert_array_equal(a, kept.T)


def test_out_where_nothing_is_broadcast() -> None:
    room = np.empty((3, 1))
    a, c = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 1))
    G(a, c, 2.0, out=room)
    np.testing.assert_allclose(room, 2 * a @ c, rtol=1e-13)
    number = np.empty(())
    F(1.0, 2.0, out=number)
    assert number == pytest.approx(f(1.0, 2.0))


# fmt: off
WRONG_OUT = [
    pytest.param(lambda: np.empty(5),                       id="another shape"),
    pytest.param(lambda: np.empty(6, np.float32),           id="another dtype"),
    pytest.param(lambda: np.empty(12)[::2],                 id="not contiguous"),
    pytest.param(lambda: np.broadcast_to(np.empty(6), 6),              id="read-only"),
    pytest.param(lambda: [0.0] * 6,                         id="a list"),
    pytest.param(lambda: np.empty((6, 1)),                  id="another number of axes"),
]
# fmt: on


@pytest.mark.parametrize("make", WRONG_OUT)
def test_wrong_out(make: Callable[[], Any]) -> None:
    room = make()
    with pytest.raises(ArrayShapeError, match="out="):
        F(np.ones(6), np.ones(6), out=room)


# ------------------------------------------------------------------------------------------------ what is wrong

# fmt: off
WRONG_CALLS = [
    pytest.param(lambda: F(1.0),                                  ArgumentError,   "2 arguments", id="too few"),
    pytest.param(lambda: F(1.0, 2.0, 3.0),                        ArgumentError,   "not 3",       id="too many"),
    pytest.param(lambda: F(np.ones(3), np.ones(4)),               ArrayShapeError, "broadcast",   id="shapes that do not broadcast"),
    pytest.param(lambda: F(1j, 2.0),                              DtypeError,      "u",           id="complex"),
    pytest.param(lambda: F("1", 2.0),                             DtypeError,      "u",           id="string"),
    pytest.param(lambda: F(None, 2.0),                            DtypeError,      "u",           id="None"),
    pytest.param(lambda: G(np.ones((2, 3)), np.ones(3), 1),       ArrayShapeError, "A",           id="matrix of another shape"),
    pytest.param(lambda: G(np.ones(3), np.ones(3), 1),            ArrayShapeError, "A",           id="vector for a matrix"),
    pytest.param(lambda: G(np.ones((3, 3)), np.ones(4), 1),       ArrayShapeError, "c",           id="column of another length"),
    pytest.param(lambda: sm.lambdify([u], u + v),                 MissingValue,    "v",           id="symbol without an argument"),
    pytest.param(lambda: sm.lambdify([u], u, dtype="float16"),    ArgumentError,   "dtype",       id="dtype"),
    pytest.param(lambda: sm.lambdify([u, u], u),                  DuplicateName,   "twice",       id="argument twice"),
    pytest.param(lambda: sm.lambdify([u, v], sm.grad(u * v, [u, v])), ArgumentError, "values",    id="a mapping of formulas"),
    pytest.param(lambda: F(np.ma.array([1.0], mask=[1]), 1.0),    ValuesError,     "filled",      id="masked entries"),
    pytest.param(lambda: sm.lambdify(u, [u, 2 * u])([1.0, 2.0], out=[ROOM, ROOM]), ArgumentError, "share memory", id="one array for two results"),
    pytest.param(lambda: sm.lambdify(u, [u, 2 * u])([1.0, 2.0], out=[WIDE[1:], WIDE[:2]]), ArgumentError, "share memory", id="arrays for out that overlap"),
    pytest.param(lambda: F(1.0, 2.0, out=[np.empty(())]),         ArrayShapeError, "out=",        id="a list for one result"),
    pytest.param(lambda: sm.lambdify(u, [u, 2 * u])(1.0, out=[np.empty(())]), ArgumentError, "2 arrays", id="too few arrays for out"),
    pytest.param(lambda: sm.lambdify([u], sp.besselj(0, u)),      SympileError,    "besselj",     id="unknown function"),
]
# fmt: on


@pytest.mark.parametrize(("call", "error", "word"), WRONG_CALLS)
def test_wrong_calls(call: Callable[[], Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        call()


def test_a_singular_matrix_is_numpys_error() -> None:
    inverse = sm.lambdify([A3], A3.I)
    with pytest.raises(np.linalg.LinAlgError):
        inverse(np.zeros((3, 3)))
    np.testing.assert_allclose(inverse(2 * np.eye(3)), np.eye(3) / 2)  # and the next call knows nothing of it


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("function", [sp.cos, sp.cosh, sp.exp], ids=str)
def test_exactly_one_at_zero_and_next_to_it(function: Any, dtype: str) -> None:
    """What a user checks first."""
    at = np.array([0.0, -0.0, 1e-30, -1e-20, 5e-324])
    np.testing.assert_array_equal(sm.lambdify([u], function(u), dtype=dtype)(at), np.ones(5))
