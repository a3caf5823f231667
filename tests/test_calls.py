"""Calls of models: what may be given, what comes out, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sympy as sp
from one_layer import B0, MODEL, VALUES, W0, Array, D, K, N, T, W, X, b, layer, t, truth, u, v, w, x

import sympile as sm
from sympile.compiler.errors import ArgumentError, ArrayShapeError, DtypeError, MissingValue, SympileError, UnknownKey
from sympile.runtime import native as native_module

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
    model = layer()  # of its first call; the later ones with these shapes do not come this way
    model.forward(VALUES)
    assert all(np.shares_memory(seen[-1][k.name], a) for k, a in VALUES.items())
    model.forward({**VALUES, x: X[:, :, None], b: B0[:, 0]})
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


def test_a_models_gradient_as_a_function() -> None:
    """A formula with intermediate values, which stand in its own."""
    one = sm.lambdify([x, t, W, b], MODEL.gradient[W])(X[0], T[0], W0, B0)
    np.testing.assert_allclose(one, truth(X[:1], T[:1])[1]["W"], rtol=1e-12)


def test_predict_without_a_prediction() -> None:
    with pytest.raises(ArgumentError, match="prediction="):
        sm.compile((u - v) ** 2, [u]).predict({v: [1.0], u: 1.0})
