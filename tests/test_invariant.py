"""What is computed once per fit: values of data and constants alone, and the R factor of least squares."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import DuplicateName
from sympile.compiler.graph.definition import computed
from sympile.compiler.graph.node import postorder
from sympile.runtime.model.model import Model
from sympile.runtime.triangle import triangle

x, y, w, a, b, c, s = sp.symbols("x y w a b c s")
rng = np.random.default_rng(7)
N = 200
XS = rng.uniform(0.5, 2, N)
YS = 3 * XS - 1 + rng.normal(size=N)
DATA: dict[Any, Any] = {x: XS, y: YS, w: rng.uniform(0.5, 2, N)}


def operations(model: Model, kind: str) -> set[str]:
    """Every operation of the step of a fit of that kind."""
    training = next(t for title, t in model._steps.kinds().items() if title == kind)
    assert training is not None
    formulas = [t.formula for t in computed(training.step.fused.outputs.values()) if t.kind == "formula"]
    return {node.op for node in postorder(formulas)}


# ------------------------------------------------------------------------------------------------ data alone

PREPARED = [
    # (a loss, the operations on data alone that no step must contain)
    pytest.param((a * sp.exp(-(x**2)) + b - y) ** 2, {"exp"}, id="a function of data"),
    pytest.param((a * sp.log(x) * sp.sin(x) + b - y) ** 2, {"log", "sin"}, id="several in one product"),
    pytest.param((a * sp.exp(-(x**2) / s) + b - y) ** 2, {"exp"}, id="data and a constant"),
]


@pytest.mark.parametrize("loss, gone", PREPARED)
@pytest.mark.parametrize("kind", ["full batch", "batches"])
def test_functions_of_data_leave_the_step(loss: sp.Expr, gone: set[str], kind: str) -> None:
    model = sm.compile(loss, [a, b], constants=[s] if loss.has(s) else [])
    assert not operations(model, kind) & gone


@pytest.mark.parametrize("batch_size", [None, 32])
@pytest.mark.parametrize("loss, gone", PREPARED)
def test_the_fit_is_the_same(loss: sp.Expr, gone: set[str], batch_size: int | None) -> None:
    """Against steps by hand with `value_and_grad`, which prepares nothing."""
    given = {k: v for k, v in DATA.items() if loss.has(k)} | ({s: 1.3} if loss.has(s) else {})
    model = sm.compile(loss, [a, b], constants=[s] if loss.has(s) else [])
    start = {a: 0.3, b: 0.1}
    order = np.random.default_rng(0).permutation(N)
    result = model.fit(
        given, epochs=2, start=start, optimizer=sm.sgd(0.05), batch_size=batch_size, shuffle=np.array([order, order])
    )
    at = dict(start)
    for _ in range(2):
        for first in range(0, N, batch_size or N):
            rows = order[first : first + (batch_size or N)]
            gradient = model.backward({**{k: v[rows] if k in DATA else v for k, v in given.items()}, **at})
            at = {p: at[p] - 0.05 * float(gradient[p]) for p in at}
    assert result.parameters[a] == pytest.approx(at[a], rel=1e-12)
    assert result.parameters[b] == pytest.approx(at[b], rel=1e-12)


def gated(steps: int) -> Model:
    """h = (1 - z) h + z c, of logarithms of the data."""
    X, U, V = sp.MatrixSymbol("X", steps, 4), sp.MatrixSymbol("U", 4, 4), sp.MatrixSymbol("V", 4, 4)
    h: Any = sp.ZeroMatrix(4, 1)
    for step in range(steps):
        u = sm.log(X[step, :].T)
        z, c = sm.sigmoid(U * h + u), sm.tanh(V * h + u)
        h = sp.HadamardProduct(sp.OneMatrix(4, 1) - z, h) + sp.HadamardProduct(z, c)
    return sm.compile(sm.sum(sp.HadamardProduct(h, h)), [U, V])


def work_of_step(model: Model, kind: str) -> int:
    """How many operations stand in the loops of the step of a fit of that kind."""
    training = next(t for title, t in model._steps.kinds().items() if title == kind)
    assert training is not None
    return sum(group.contents.operations for group in training.step.fused.groups)


@pytest.mark.parametrize("kind", ["full batch", "batches"])
def test_states_stay_when_functions_of_data_leave(kind: str) -> None:
    """A state that is written out where it is read holds all states before it, and its slopes hold them again."""
    assert "log" not in operations(gated(3), kind)
    assert work_of_step(gated(12), kind) < 8 * work_of_step(gated(3), kind)


def test_what_mixes_examples_stays_in_the_step_of_batches() -> None:
    model = sm.compile((a * (x - sm.batch_mean(x)) - y) ** 2, [a])
    data = {x: XS, y: YS}
    result = model.fit(data, epochs=1, start={a: 0.0}, optimizer=sm.sgd(0.1), batch_size=100, shuffle=False)
    at = 0.0
    for rows in (slice(0, 100), slice(100, 200)):
        centred = XS[rows] - XS[rows].mean()
        at -= 0.1 * float(np.mean(2 * centred * (at * centred - YS[rows])))
    assert result.parameters[a] == pytest.approx(at, rel=1e-12)


def test_explain_once(capsys: pytest.CaptureFixture[str]) -> None:
    sm.compile((a * sp.exp(x) - y) ** 2, [a]).explain("once")
    printed = capsys.readouterr().out
    assert "exp(x[e])" in printed and "R factor of the columns" in printed
    sm.compile((sp.exp(a * x) - y) ** 2, [a]).explain("once")
    assert capsys.readouterr().out == "(nothing)\n"


def test_names_of_our_own_are_refused() -> None:
    """A symbol "#0" would be taken for the first value that a fit prepares."""
    with pytest.raises(DuplicateName, match="'#0'"):
        sm.compile((a * sp.exp(x) + sp.Symbol("#0") - y) ** 2, [a])


def test_nan_in_data_shows() -> None:
    model = sm.compile((a * sp.exp(x) - y) ** 2, [a])
    result = model.fit({x: np.where(XS < 0.6, np.nan, XS), y: YS}, epochs=200, start={a: 1.0})
    assert "nan" in result.stopped


# ------------------------------------------------------------------------------------------------ the R factor


def test_triangle_against_mpmath() -> None:
    matrix = rng.normal(size=(30, 4)) * [1, 1e6, 1e-6, 1]
    found = triangle(matrix)
    with mpmath.workdps(40):
        exact = mpmath.matrix(matrix.tolist())
        gram = exact.T * exact
        for i in range(4):
            for j in range(4):
                own = sum(mpmath.mpf(found[k, i]) * mpmath.mpf(found[k, j]) for k in range(4))
                assert abs(own - gram[i, j]) <= 1e-14 * mpmath.sqrt(gram[i, i] * gram[j, j])
    assert np.array_equal(found, np.triu(found))


X, W = sp.MatrixSymbol("X", 3, 1), sp.MatrixSymbol("W", 2, 3)
B, Y = sp.MatrixSymbol("B", 2, 1), sp.MatrixSymbol("Y", 2, 1)
VECTORS = {X: rng.normal(size=(N, 3)), Y: rng.normal(size=(N, 2))}

SQUARES = [
    pytest.param((a * x + b - y) ** 2, [a, b], {}, id="a line"),
    pytest.param((a * x**2 + b * sp.sin(x) * x + c - y) ** 2, [a, b, c], {}, id="functions of data"),
    pytest.param((a * x + b - y) ** 2 + s * a**2, [a, b], {s: 0.1}, id="with a penalty"),
    pytest.param(((a * x + b - y) / w) ** 2, [a, b], {}, id="with errors of the data"),
    pytest.param(w * (a * x + b - y) ** 2, [a, b], {}, id="weighted"),
    pytest.param((a * x + a * b - y) ** 2, [a, b], {}, id="linear in data, not in parameters"),
    pytest.param(sm.mse(W * X + B, Y), [W, B], {}, id="matrices"),
]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss, parameters, constants", SQUARES)
def test_the_way_down_is_the_same(
    loss: sp.Expr, parameters: list[Any], constants: dict[Any, float], reduction: str
) -> None:
    """Every loss on the way, with the R factor and (rewrites="exact") without."""
    names = {str(v) for v in loss.free_symbols}
    data = {k: v for k, v in {**DATA, **VECTORS}.items() if str(k) in names}
    rate = 1e-2 if reduction == "mean" else 1e-2 / N
    start = {p: np.full(getattr(p, "shape", ()), 0.1) for p in parameters}
    histories = []
    for rewrites in ("stable", "exact"):
        model = sm.compile(loss, parameters, constants=list(constants), reduction=reduction, rewrites=rewrites)
        assert (model._steps._squares is not None) == (rewrites == "stable")
        result = model.fit({**data, **constants}, epochs=150, start=start, optimizer=sm.sgd(rate))
        histories.append(result.history["loss"])
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-11)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param((sp.exp(a * x) - y) ** 2, id="not linear"),
        pytest.param(sp.Abs(a * x - y), id="no square"),
        pytest.param((a * x - y) ** 4, id="fourth power"),
        pytest.param((a * (x - sm.batch_mean(sp.Max(x, a))) - y) ** 2, id="a mean of what is not linear"),
    ],
)
def test_other_losses_have_no_r_factor(loss: sp.Expr) -> None:
    assert sm.compile(loss, [a])._steps._squares is None


@pytest.mark.parametrize("linear", [0, -0.5])
@pytest.mark.parametrize("features", [1, 3])
def test_weights_beside_sums_over_features(features: int, linear: float) -> None:
    """The weight went into a whole sum, as one of three columns: products of three are not those of R's rows."""
    x, v, y = sm.Tensor("x", (features,)), sm.Tensor("v", (features,)), sp.Symbol("y")
    data = {"x": VECTORS[X][:, :features], "y": YS, "w": DATA[w]}
    error = v @ x - y
    start = np.full(features, 0.1)
    model = sm.compile(w * error**2 + linear * error, v)
    found = model.fit(data, epochs=120, start={v: start}, optimizer=sm.sgd(1e-2), verbose=False)
    at, losses = start, []
    for _ in range(120):
        errors = data["x"] @ at - YS
        losses.append((data["w"] * errors**2 + linear * errors).mean())
        at = at - 1e-2 * (2 * data["w"] * errors + linear) @ data["x"] / N
    np.testing.assert_allclose(found.history["loss"], losses, rtol=1e-11)
    np.testing.assert_allclose(found.parameters[v], at, rtol=1e-9)


def test_recurrences_are_given_up_at_once() -> None:
    """The degree of 60 steps of x → r x (1 - x) is 2**60: as many factors would be written before it was refused."""
    steps = 60
    value = x
    for _ in range(steps):
        value = value - a * value * (1 - value)
    first = XS / 3  # between the fixed points 0 and 1
    data = {x: first, y: YS}
    result = sm.compile((value - y) ** 2, [a]).fit(data, epochs=120, start={a: 0.1}, optimizer=sm.sgd(1e-3))
    expected = 0.1
    for _ in range(120):
        values, slopes = first, np.zeros(N)
        for _ in range(steps):
            slopes = slopes - values * (1 - values) - expected * slopes * (1 - 2 * values)
            values = values - expected * values * (1 - values)
        expected -= 1e-3 * np.mean(2 * (values - YS) * slopes)
    assert result.parameters[a] == pytest.approx(expected, rel=1e-9)
    assert abs(expected - 0.1) > 1e-4


def test_error_at_the_optimum() -> None:
    """Noise of 1e-6: the loss there is 1e-12, and expanded squares would leave 1e-16 of 1."""
    noise = 1e-6 * rng.normal(size=N)
    line = 3 * XS - 1
    data = {x: XS, y: line + noise}
    with mpmath.workdps(50):
        columns = mpmath.matrix([[mpmath.mpf(v), 1] for v in XS])
        target = mpmath.matrix([mpmath.mpf(v) for v in data[y]])
        best = mpmath.lu_solve(columns, target)
        residual = columns * best - target
        exact = sum(r**2 for r in residual) / N
    errors = {}
    for rewrites in ("stable", "exact"):
        model = sm.compile((a * x + b - y) ** 2, [a, b], rewrites=rewrites)
        result = model.fit(data, epochs=30_000, start={a: 0.0, b: 0.0}, optimizer=sm.sgd(0.3))
        errors[rewrites] = abs(float(mpmath.mpf(result.history["loss"][-1]) / exact - 1))
    assert errors["stable"] <= max(100 * errors["exact"], 1e-9)


def test_few_examples_are_stepped_over_as_they_stand() -> None:
    model = sm.compile((a * x + b - y) ** 2, [a, b])
    given = {x: XS[:6], y: YS[:6]}
    result = model.fit(given, epochs=120, start={a: 0.0, b: 0.0}, optimizer=sm.sgd(0.1))
    ((training, _, rows, _),) = model._steps._together
    assert training == id(None)  # no R factor
    assert rows == ()
    p, losses = np.zeros(2), []
    for _ in range(120):
        residual = p[0] * given[x] + p[1] - given[y]
        losses.append(np.mean(residual**2))
        p -= 0.1 * 2 * np.array([np.mean(residual * given[x]), np.mean(residual)])
    np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-13)


def test_few_epochs_stay_as_they_are() -> None:
    """The same bits as with rewrites="exact"."""
    losses = []
    for rewrites in ("stable", "exact"):
        model = sm.compile((a * x + b - y) ** 2, [a, b], rewrites=rewrites)
        result = model.fit({x: XS, y: YS}, epochs=99, start={a: 0.0, b: 0.0}, optimizer=sm.sgd(0.1))
        losses.append(result.history["loss"])
    np.testing.assert_array_equal(*losses)
