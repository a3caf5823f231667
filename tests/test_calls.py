"""Models and functions called with arrays of all kinds: what goes in, what comes out, and what stays untouched."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
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
    UnknownKey,
    ValuesError,
)
from sympile.runtime import native as native_module

Array = npt.NDArray[Any]
N, D, K = 11, 4, 3
RNG = np.random.default_rng(11)
X, T = RNG.normal(size=(N, D)), RNG.normal(size=(N, K))
W0, B0 = RNG.normal(size=(K, D)), RNG.normal(size=(K, 1))

x, t = sp.MatrixSymbol("x", D, 1), sp.MatrixSymbol("t", K, 1)
W, b = sp.MatrixSymbol("W", K, D), sp.MatrixSymbol("b", K, 1)
u, v, w = sp.symbols("u v w")
A3, c3 = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("c", 3, 1)


def layer(**options: Any) -> sm.Model:
    e = sm.tanh(W * x + b) - t
    return sm.compile(sm.scalar(e.T * e), [W, b], prediction=e + t, metrics={"worst": sm.max(sm.abs(e))}, **options)


MODEL = layer()
VALUES = {x: X, t: T, W: W0, b: B0}


def truth(xs: Array = X, ts: Array = T, weights: Array = W0, bias: Array = B0) -> tuple[float, dict[str, Array]]:
    h = np.tanh(xs @ weights.T + bias.T)
    back = 2 * (h - ts) * (1 - h * h) / len(xs)
    return float(((h - ts) ** 2).sum(1).mean()), {"W": back.T @ xs, "b": back.sum(0)[:, None]}


# ------------------------------------------------------------------------------------------------ what goes in

# fmt: off
GIVEN = [
    #             what becomes of each array                                                       id
    pytest.param(lambda a: a,                                                          id="arrays that fit"),
    pytest.param(lambda a: a.tolist(),                                                 id="lists"),
    pytest.param(lambda a: tuple(map(tuple, a)),                                       id="tuples"),
    pytest.param(lambda a: np.asfortranarray(a),                                       id="Fortran order"),
    pytest.param(lambda a: np.repeat(a, 2, axis=0)[::2],                               id="every other row"),
    pytest.param(lambda a: np.ascontiguousarray(a[::-1])[::-1],                        id="negative strides"),
    pytest.param(lambda a: np.ascontiguousarray(np.hstack([a, a]))[:, :a.shape[1]],    id="columns of a wider array"),
    pytest.param(lambda a: a.astype(">f8"),                                            id="the other byte order"),
    pytest.param(lambda a: a.astype(np.longdouble),                                    id="long double"),
    pytest.param(lambda a: _frozen(a),                                                 id="read-only"),
    pytest.param(lambda a: _misaligned(a),                                             id="misaligned"),
    pytest.param(lambda a: a.view(_Subclass),                                          id="a subclass"),
    pytest.param(lambda a: _AsArray(a),                                                id="an object with __array__"),
]
# fmt: on


def _frozen(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


def _misaligned(a: Array) -> Array:
    raw = np.zeros(a.nbytes + 1, np.uint8)
    shifted: Array = raw[1:].view(a.dtype).reshape(a.shape)
    shifted[...] = a
    assert not shifted.flags.aligned
    return shifted


class _Subclass(np.ndarray[Any, Any]):
    pass


class _AsArray:
    def __init__(self, array: Array) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.array if dtype is None else self.array.astype(dtype)


@pytest.mark.parametrize("make", GIVEN)
def test_every_way_to_give_arrays(make: Callable[[Array], Any]) -> None:
    loss, gradient = truth()
    values = {k: make(a) for k, a in VALUES.items()}
    found, slopes = MODEL.value_and_grad(values)
    assert found == pytest.approx(loss, rel=1e-13)
    for name in ("W", "b"):
        np.testing.assert_allclose(slopes[name], gradient[name], rtol=1e-12)
        assert type(slopes[name]) is np.ndarray


@pytest.mark.parametrize("kind", ["float32", "float16", "int64", "int8", "uint16", "bool"])
def test_other_numbers_are_converted(kind: str) -> None:
    xs = (X * 3).astype(kind)
    assert MODEL.forward({**VALUES, x: xs}) == pytest.approx(truth(xs.astype(float))[0], rel=1e-13)


def test_keys_are_symbols_or_names() -> None:
    assert MODEL.forward({"x": X, t: T, "W": W0, b: B0}) == MODEL.forward(VALUES)
    assert MODEL.backward(VALUES)["W"] is not MODEL.backward(VALUES)[W]
    np.testing.assert_array_equal(MODEL.backward(VALUES)["W"], MODEL.backward(VALUES)[W])


# fmt: off
COLUMNS = [
    #             x              t               b
    pytest.param((N, D),        (N, K),         (K, 1), id="rows of numbers"),
    pytest.param((N, D, 1),     (N, K, 1),      (K,),   id="columns"),
    pytest.param((N, 1, D),     (N, K),         (K, 1), id="rows"),
    pytest.param((N, D),        (N, 1, K),      (K,),   id="mixed"),
]
# fmt: on


@pytest.mark.parametrize(("xs", "ts", "bias"), COLUMNS)
def test_shapes_of_columns(xs: tuple[int, ...], ts: tuple[int, ...], bias: tuple[int, ...]) -> None:
    """k×1 symbols take (N, k) and relatives; gradients and predictions have one shape whatever was given."""
    values = {x: X.reshape(xs), t: T.reshape(ts), W: W0, b: B0.reshape(bias)}
    loss, gradient = MODEL.value_and_grad(values)
    assert loss == MODEL.forward(VALUES) and gradient[b].shape == (K, 1) and gradient[W].shape == (K, D)
    assert MODEL.predict(values).shape == (N, K)


def test_rows_scalars_and_one_by_one() -> None:
    """A 1×k parameter keeps its shape; a 1×1 prediction is one number per example; so is a scalar one."""
    row = sp.MatrixSymbol("r", 1, D)
    model = sm.compile(
        sm.scalar(row * x) ** 2, [row], prediction={"product": row * x, "number": u * sm.scalar(row * x)}, constants=[u]
    )
    values = {x: X, row: W0[0], "u": 2.0}
    assert model.backward(values)[row].shape == (1, D)
    assert {k: a.shape for k, a in model.predict(values).items()} == {"product": (N,), "number": (N,)}
    np.testing.assert_allclose(model.predict(values)["number"], 2 * X @ W0[0], rtol=1e-13)


def test_one_example() -> None:
    assert MODEL.forward({**VALUES, x: X[:1], t: T[:1]}) == pytest.approx(truth(X[:1], T[:1])[0], rel=1e-13)
    assert MODEL.predict({x: X[:1], W: W0, b: B0}).shape == (1, K)


# ------------------------------------------------------------------------------------------------ what comes out


def test_results_are_numpy_numbers_and_arrays() -> None:
    loss, gradient = MODEL.value_and_grad(VALUES)
    assert type(loss) is np.float64 and loss == pytest.approx(truth()[0], rel=1e-13)
    scalar = sm.compile((u * v - w) ** 2, [u])
    slope = scalar.backward({u: 2.0, v: [1.0, 2.0], w: [0.0, 1.0]})[u]
    assert slope.shape == () and slope == pytest.approx((2 * 2 * 1 + 2 * 3 * 2) / 2)
    assert layer(dtype="float32").forward(VALUES).dtype == np.float32
    assert [str(k) for k in gradient] == ["W", "b"]


def test_float32_models() -> None:
    model = layer(dtype="float32")
    loss, gradient = model.value_and_grad(VALUES)
    expected, slopes = truth()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert gradient[W].dtype == np.float32 and model.predict(VALUES).dtype == np.float32
    np.testing.assert_allclose(gradient[W], slopes["W"], rtol=1e-3, atol=1e-5)


def test_results_are_new_arrays() -> None:
    first = MODEL.backward(VALUES)
    kept = first[W].copy()
    prediction = MODEL.predict(VALUES)
    MODEL.backward({**VALUES, x: 2 * X})
    MODEL.predict({**VALUES, x: 2 * X})
    np.testing.assert_array_equal(first[W], kept)
    np.testing.assert_array_equal(prediction, MODEL.predict(VALUES))


def test_a_prediction_that_is_an_input_is_a_copy() -> None:
    """Neither the user's array nor one output handed out twice."""
    model = sm.compile((u - v) ** 2, [u], prediction={"same": v, "again": v, "parameter": u})
    xs = np.arange(5.0)
    found = model.predict({v: xs, u: 2.0})
    arrays = list(found.values())
    assert not any(np.shares_memory(a, xs) for a in arrays) and not np.shares_memory(arrays[0], arrays[1])
    np.testing.assert_array_equal(found["same"], xs)
    found["same"][:] = 7
    np.testing.assert_array_equal(found["again"], xs)
    assert found["parameter"].ravel()[0] == 2.0


def test_nothing_of_the_users_is_changed() -> None:
    values = {k: a.copy() for k, a in VALUES.items()}
    MODEL.value_and_grad(values)
    MODEL.predict(values)
    MODEL.evaluate(values)
    MODEL.check(values)
    for k, a in VALUES.items():
        np.testing.assert_array_equal(values[k], a)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Array]]]:
    """The arrays that native code was called with."""
    calls: list[dict[str, Array]] = []
    original = native_module.NativeProgram.run

    def spy(self: Any, inputs: Any, *rest: Any) -> Any:
        calls.append(dict(inputs))
        return original(self, inputs, *rest)

    monkeypatch.setattr(native_module.NativeProgram, "run", spy)
    yield calls


def test_arrays_that_fit_are_not_copied(seen: list[dict[str, Array]]) -> None:
    MODEL.forward(VALUES)
    assert all(np.shares_memory(seen[-1][k.name], a) for k, a in VALUES.items())
    MODEL.forward({**VALUES, x: X[:, :, None], b: B0[:, 0]})
    assert np.shares_memory(seen[-1]["x"], X) and np.shares_memory(seen[-1]["b"], B0), "only axes of size 1 differ"


def test_evaluate_and_check() -> None:
    found = MODEL.evaluate({x: X, t: T}, {W: W0, b: B0})
    h = np.tanh(X @ W0.T + B0.T)
    assert found == {"loss": pytest.approx(truth()[0]), "worst": pytest.approx(np.abs(h - T).max(1).mean())}
    assert all(type(value) is float for value in found.values())
    report = MODEL.check(VALUES)
    assert report.error < 1e-7 and set(report) == {"W", "b"} and report[W].entries == K * D
    assert layer(dtype="float32").check(VALUES).error < 1e-7, "differences are taken in float64"


def test_a_wrong_gradient_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge itself can say no."""
    original = sm.Model.backward
    monkeypatch.setattr(
        sm.Model, "backward", lambda self, values: {k: a * 1.001 for k, a in original(self, values).items()}
    )
    assert MODEL.check(VALUES).error > 5e-4


# fmt: off
WRONG = [
    pytest.param({x: X, t: T, W: W0},                      MissingValue,    "b",              id="missing parameter"),
    pytest.param({x: X, W: W0, b: B0},                     MissingValue,    "t",              id="missing data"),
    pytest.param({**VALUES, "Wx": 3},                      UnknownKey,      "Wx",             id="unknown key"),
    pytest.param({**VALUES, x: X.T},                       ArrayShapeError, "x",              id="transposed data"),
    pytest.param({**VALUES, x: X[0]},                      ArrayShapeError, "newaxis",        id="one example without an axis"),
    pytest.param({**VALUES, W: W0.T},                      ArrayShapeError, r"W\.T",          id="transposed parameter"),
    pytest.param({**VALUES, t: T[:5]},                     SympileError,    "different num",  id="data of different lengths"),
    pytest.param({**VALUES, x: X[:0], t: T[:0]},           SympileError,    "no example",     id="no example"),
    pytest.param({**VALUES, x: X + 1j},                    DtypeError,      "complex",        id="complex numbers"),
    pytest.param({**VALUES, x: X.astype(object)},          DtypeError,      "object",         id="objects"),
    pytest.param({**VALUES, x: X.astype(str)},             DtypeError,      "string",         id="strings"),
    pytest.param({**VALUES, x: None},                      DtypeError,      "x",              id="None"),
    pytest.param([X, T, W0, B0],                           ArgumentError,   "dict",           id="no dict"),
]
# fmt: on


@pytest.mark.parametrize(("values", "error", "word"), WRONG)
def test_wrong_values(values: Any, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        MODEL.value_and_grad(values)


def test_predict_without_a_prediction() -> None:
    with pytest.raises(ArgumentError, match="prediction="):
        sm.compile((u - v) ** 2, [u]).predict({v: [1.0], u: 1.0})


# ------------------------------------------------------------------------------------------------ lambdify: scalars

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


# ------------------------------------------------------------------------------------------------ lambdify: matrices

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
    named = MODEL.gradient[W]  # with intermediate values
    one = sm.lambdify([x, t, W, b], named)(X[0], T[0], W0, B0)
    np.testing.assert_allclose(one, truth(X[:1], T[:1])[1]["W"], rtol=1e-12)


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
    pytest.param(lambda: _frozen(np.empty(6)),              id="read-only"),
    pytest.param(lambda: [0.0] * 6,                         id="a list"),
    pytest.param(lambda: np.empty((6, 1)),                  id="another number of axes"),
]
# fmt: on


@pytest.mark.parametrize("make", WRONG_OUT)
def test_wrong_out(make: Callable[[], Any]) -> None:
    room = make()
    with pytest.raises(ArrayShapeError, match="out="):
        F(np.ones(6), np.ones(6), out=room)


# ------------------------------------------------------------------------------------------------ lambdify: what is wrong

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


# ------------------------------------------------------------------------------------------------ copies

# fmt: off
COPIES = [
    pytest.param(lambda o: pickle.loads(pickle.dumps(o)),  id="pickle"),
    pytest.param(copy.copy,                                id="copy"),
    pytest.param(copy.deepcopy,                            id="deepcopy"),
]
# fmt: on


@pytest.mark.parametrize("again", COPIES)
def test_copies(again: Callable[[Any], Any]) -> None:
    model = again(MODEL)
    assert model.forward(VALUES) == MODEL.forward(VALUES) and str(model.gradient[W]) == str(MODEL.gradient[W])
    result = MODEL.fit({x: X, t: T}, epochs=2, batch_size=4, record=b)
    twin = again(result)
    np.testing.assert_array_equal(twin.parameters[W], result.parameters[W])
    np.testing.assert_array_equal(twin.path[b], result.path[b])
    np.testing.assert_array_equal(twin.predict({x: X}), result.predict({x: X}))
    assert again(F)(1.0, 2.0) == F(1.0, 2.0)
    assert [float(a) for a in again(sm.lambdify([u], [u, 2 * u]))(3.0)] == [3.0, 6.0]
    gradient = again(MODEL.gradient[W])
    assert str(gradient) == str(MODEL.gradient[W])


def test_a_pickle_is_read_in_another_process() -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(_forward, (pickle.dumps(MODEL),)) == MODEL.forward(VALUES)


def _forward(model: bytes) -> float:
    return float(pickle.loads(model).forward(VALUES))


# ------------------------------------------------------------------------------------------------ threads


def test_one_model_called_from_four_threads() -> None:
    """Different sizes and values at once; every result is that of a call alone."""
    sizes = [5, 11, 64, 200]
    inputs = [{**VALUES, x: np.tile(X, (20, 1))[:n] * (k + 1), t: np.tile(T, (20, 1))[:n]} for k, n in enumerate(sizes)]
    alone = [MODEL.value_and_grad(values) for values in inputs]
    scalars = [F(np.arange(float(n)), 2.0) for n in sizes]
    wrong: list[object] = []

    def work(k: int) -> None:
        try:
            for _ in range(150):
                loss, gradient = MODEL.value_and_grad(inputs[k])
                if loss != alone[k][0] or gradient[W].tobytes() != alone[k][1][W].tobytes():
                    wrong.append((k, loss))
                if F(np.arange(float(sizes[k])), 2.0).tobytes() != scalars[k].tobytes():
                    wrong.append((k, "lambdify"))
        except BaseException as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


# ------------------------------------------------------------------------------------------------ forked processes


def _in_a_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a forked process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def target() -> None:
        try:
            theirs.send(work())
        except BaseException as error:
            theirs.send(repr(error))

    child = context.Process(target=target)
    child.start()
    assert ours.poll(30), "the child hangs"
    answer = ours.recv()
    child.join(10)
    assert child.exitcode == 0
    return answer


def _fitted(model: sm.Model) -> bytes:
    result = model.fit({x: X, t: T}, epochs=30, batch_size=4)
    return b"".join(a.tobytes() for a in result.parameters.values())


def test_compiled_in_the_parent_used_in_a_child() -> None:
    expected = MODEL.forward(VALUES), _fitted(MODEL)
    assert _in_a_child(lambda: (MODEL.forward(VALUES), _fitted(MODEL))) == expected


def test_compiled_in_a_child_then_in_the_parent() -> None:
    scaled = layer(reduction="sum", dtype="float32")
    child = _in_a_child(lambda: (float(scaled.forward(VALUES)), _fitted(scaled)))
    assert (float(scaled.forward(VALUES)), _fitted(scaled)) == child


def test_forked_while_another_thread_compiles() -> None:
    """A lock that the other thread holds must not be waited for in the child."""
    stop = threading.Event()

    def compile_on() -> None:
        k = 0
        while not stop.is_set():
            k += 1
            sm.lambdify([u, v], sp.sin(u * k) + v)(1.0, 2.0)

    thread = threading.Thread(target=compile_on)
    thread.start()
    try:
        for k in range(4):
            answer = _in_a_child(lambda k=k: float(sm.lambdify([u], sp.cos(u) + k)(0.0)))
            assert answer == 1.0 + k
    finally:
        stop.set()
        thread.join()
