"""Full-batch fits of small models, whose numbers stay in registers: against JAX and optax, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sympy as sp

import sympile as sm
from sympile.runtime.model import training

jax.config.update("jax_enable_x64", True)
x, y = sp.symbols("x y")
EPOCHS = 120  # more than 100, so that least squares step over their R factor


@pytest.fixture(autouse=True)
def _short_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LONG", 1)


def line(p: Any, x: Any, m: Any) -> Any:
    return p[0] * x + p[1]


def damped(p: Any, x: Any, m: Any) -> Any:
    return p[0] * m.exp(-p[1] * x) * m.sin(p[2] * x + p[3])


def peak(p: Any, x: Any, m: Any) -> Any:
    return p[0] * m.exp(-(((x - p[1]) / p[2]) ** 2)) + p[3] + p[4] * x


def rational(p: Any, x: Any, m: Any) -> Any:
    return (p[0] + x * (p[1] + x * (p[2] + x * p[3]))) / (1 + x * (p[4] + x * (p[5] + x * p[6])))


MODELS = {
    "line": (line, (0.1, 0.2)),
    "damped oscillation": (damped, (1.0, 0.3, 2.0, 0.1)),
    "peak": (peak, (1.0, 0.5, 0.7, 0.1, 0.1)),
    "rational": (rational, (1.0, 1.0, 0.4, 0.04, 0.7, 0.3, 0.03)),
}
RULES: dict[str, tuple[Callable[[], Any], Any]] = {
    "sgd": (lambda: sm.sgd(1e-2), optax.sgd(1e-2)),
    "momentum": (lambda: sm.sgd(1e-3, 0.9), optax.sgd(1e-3, 0.9)),
    "nesterov": (lambda: sm.sgd(1e-3, 0.9, True), optax.sgd(1e-3, 0.9, True)),
    "adam": (lambda: sm.adam(1e-3), optax.adam(1e-3)),
    "adamw": (lambda: sm.adamw(1e-3), optax.adamw(1e-3)),
    "clipped": (
        lambda: sm.adam(1e-3, clip_by_global_norm=0.1),
        optax.chain(optax.clip_by_global_norm(0.1), optax.adam(1e-3)),
    ),
    "scheduled": (lambda: sm.sgd(1e-2 / (1 + sm.step)), optax.sgd(lambda t: 1e-2 / (1 + t))),
}


def data(function: Callable[..., Any], start: Sequence[float], count: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.linspace(-1.0, 2.0, count)
    return at, function(np.array(start) * 1.3 + 0.1, at, np) + 0.01 * np.random.default_rng(1).normal(size=count)


def by_jax(function: Any, start: Any, at: Any, values: Any, rule: Any) -> tuple[np.ndarray, np.ndarray]:
    """The parameters after EPOCHS steps, and the losses before each."""

    def step(state: Any, _: Any) -> Any:
        p, own = state
        loss, slope = jax.value_and_grad(lambda q: jnp.mean((function(q, at, jnp) - values) ** 2))(p)
        change, own = rule.update(slope, own, p)
        return (optax.apply_updates(p, change), own), loss

    first = jnp.array(start)
    (last, _), losses = jax.lax.scan(step, (first, rule.init(first)), None, length=EPOCHS)
    return np.array(last), np.array(losses)


def fitted(model: sm.Model, parameters: Any, start: Any, at: Any, values: Any, **options: Any) -> Any:
    given = {"epochs": EPOCHS, "shuffle": False, "verbose": False} | options
    return model.fit({x: at, y: values}, start=dict(zip(parameters, start, strict=True)), **given)


def in_registers(model: sm.Model) -> bool:
    """Whether every fit of the model so far had the loop of its own."""
    found = list(model._steps._together.values())
    return bool(found) and all(found)


@pytest.mark.parametrize("count", [3, 37])
@pytest.mark.parametrize("name", MODELS)
def test_every_rule_moves_as_optax_does(name: str, count: int) -> None:
    function, start = MODELS[name]
    parameters = sp.symbols(f"p0:{len(start)}")
    model = sm.compile((function(parameters, x, sp) - y) ** 2, parameters=parameters)
    at, values = data(function, start, count)
    for rule, theirs in RULES.values():
        result = fitted(model, parameters, start, at, values, optimizer=rule())
        last, losses = by_jax(function, start, at, values, theirs)
        np.testing.assert_allclose([result.parameters[p] for p in parameters], last, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-8, atol=1e-13)
    assert in_registers(model)


@pytest.mark.parametrize("name", MODELS)
def test_float32(name: str) -> None:
    function, start = MODELS[name]
    parameters = sp.symbols(f"p0:{len(start)}")
    model = sm.compile((function(parameters, x, sp) - y) ** 2, parameters=parameters, dtype="float32")
    at, values = data(function, start, 37)
    result = fitted(model, parameters, start, at.astype("f4"), values.astype("f4"), optimizer=sm.sgd(1e-2))
    last, _ = by_jax(function, start, at, values, optax.sgd(1e-2))
    np.testing.assert_allclose([result.parameters[p] for p in parameters], last, rtol=2e-5)
    assert in_registers(model)


def test_matrices_of_a_few_numbers_are_written_out() -> None:
    features, target = sp.MatrixSymbol("F", 1, 3), sp.MatrixSymbol("T", 1, 2)
    weights, bias = sp.MatrixSymbol("W", 3, 2), sp.MatrixSymbol("b", 1, 2)
    residual = sm.tanh(features * weights + bias) - target
    model = sm.compile(sp.Trace(residual * residual.T), parameters=[weights, bias])
    rng = np.random.default_rng(2)
    given, wanted = rng.normal(size=(20, 1, 3)), rng.normal(size=(20, 1, 2))
    w, b = rng.normal(size=(3, 2)), rng.normal(size=(1, 2))
    result = model.fit(
        {features: given, target: wanted},
        start={weights: w, bias: b},
        optimizer=sm.sgd(0.05),
        epochs=30,
        shuffle=False,
        verbose=False,
    )
    for _ in range(30):
        out = np.tanh(given[:, 0] @ w + b)
        slope = 2 * (out - wanted[:, 0]) * (1 - out**2) / 20
        w, b = w - 0.05 * given[:, 0].T @ slope, b - 0.05 * slope.sum(axis=0, keepdims=True)
    np.testing.assert_allclose(result.parameters[weights], w, rtol=1e-12)
    np.testing.assert_allclose(result.parameters[bias], b, rtol=1e-12)
    assert in_registers(model)


def test_slices_of_one_step_give_the_same_bits() -> None:
    """With a callback, Python looks in after every step: parameters, state and counters go through memory."""
    function, start = MODELS["peak"]
    parameters = sp.symbols("p0:5")
    model = sm.compile((function(parameters, x, sp) - y) ** 2, parameters=parameters)
    at, values = data(function, start, 37)
    rule = sm.adam(1e-2 / (1 + sm.epoch))
    reports: list[Any] = []
    whole = fitted(model, parameters, start, at, values, optimizer=rule, record=parameters)
    sliced = fitted(model, parameters, start, at, values, optimizer=rule, callbacks=reports.append)
    assert [sliced.parameters[p].tobytes() for p in parameters] == [whole.parameters[p].tobytes() for p in parameters]
    assert sliced.history["loss"].tobytes() == whole.history["loss"].tobytes()
    assert whole.path is not None
    for p, first in zip(parameters, start, strict=True):
        assert whole.path[p].shape == (EPOCHS + 1,)
        assert whole.path[p][0] == first
        assert [float(r.parameters[p]) for r in reports] == whole.path[p][1:].tolist()


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    a = sp.Symbol("a")
    model = sm.compile((sp.log(a) - y) ** 2, parameters=[a])
    result = model.fit({y: np.full(3, -4.0)}, start={a: 1.0}, optimizer=sm.adam(2.0), epochs=50, verbose=False)
    assert in_registers(model)
    assert result.failed
    assert result.steps == 1    # Adam's first step is 2 long: the logarithm of -1 ends the second
    assert result.parameters[a] == pytest.approx(-1.0, rel=1e-7)
    assert result.history["loss"].tolist() == [16.0]


def test_the_sum_over_examples_is_reported_as_their_mean() -> None:
    a = sp.Symbol("a")
    given = np.array([1.0, 2.0, 4.0])
    model = sm.compile((a - y) ** 2, parameters=[a], reduction="sum")
    result = model.fit({y: given}, start={a: 0.0}, optimizer=sm.sgd(0.01), epochs=1, verbose=False)
    assert result.history["loss"][0] == pytest.approx(np.mean(given**2), rel=1e-15)
    assert result.parameters[a] == pytest.approx(0.02 * given.sum(), rel=1e-15)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        pytest.param({"batch_size": 10}, {}, id="batches are gathered by the general loop"),
        pytest.param({}, {"rewrites": "exact"}, id="exact: no factor is computed before"),
    ],
)
def test_others_take_the_general_loop(options: dict[str, Any], arguments: dict[str, Any]) -> None:
    parameters = sp.symbols("p0:2")
    model = sm.compile((line(parameters, x, sp) - y) ** 2, parameters=parameters, **arguments)
    at, values = data(line, (0.1, 0.2), 40)
    fitted(model, parameters, (0.1, 0.2), at, values, optimizer=sm.sgd(1e-2), **options)
    assert not in_registers(model)


def test_what_threads_share_is_left_to_them() -> None:
    parameters = sp.symbols("p0:4")
    model = sm.compile((damped(parameters, x, sp) - y) ** 2, parameters=parameters)
    at, values = data(damped, (1.0, 0.3, 2.0, 0.1), 200_000)
    fitted(model, parameters, (1.0, 0.3, 2.0, 0.1), at, values, optimizer=sm.sgd(1e-2), epochs=2)
    assert not in_registers(model)


def test_a_rule_may_name_a_number_as_a_symbol_of_the_model() -> None:
    """The rule's learning rate and a constant of the model of that name are two things."""
    a, rate = sp.Symbol("a"), sp.Symbol("learning_rate")
    model = sm.compile((a * rate - y) ** 2, parameters=[a], constants=[rate])
    given = {y: np.array([1.0, 3.0]), rate: 2.0}
    result = model.fit(given, start={a: 0.0}, optimizer=sm.sgd(0.125), epochs=1, verbose=False)
    assert result.parameters[a] == 0.125 * 2 * 2 * 2.0


def test_what_is_remembered_of_a_fit_is_the_content_of_its_data() -> None:
    """The R factor of small data is kept for the next fit; arrays that were changed in place are other data."""
    parameters = sp.symbols("p0:2")

    def made() -> sm.Model:
        return sm.compile((line(parameters, x, sp) - y) ** 2, parameters=parameters)

    def after(model: sm.Model, at: np.ndarray, values: np.ndarray) -> list[bytes]:
        result = fitted(model, parameters, (0.1, 0.2), at, values, optimizer=sm.sgd(1e-2))
        return [result.parameters[p].tobytes() for p in parameters]

    model = made()
    at, values = data(line, (0.1, 0.2), 50)
    kept, again = values.copy(), values.copy()
    first = after(model, at, values)
    values += 1.0
    second = after(model, at, values)
    assert second == after(made(), at, values) != first
    assert after(model, at, kept) == first
    kept += 1.0    # was in the data that are remembered
    assert after(model, at, again) == first == after(model, at.copy(), again)
    assert after(model, at[:40], values[:40]) == after(made(), at[:40], values[:40])


def test_short_fits_compile_no_loop_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    a = sp.Symbol("a")
    model = sm.compile((a * x - y) ** 2, parameters=a)
    for epochs in (training.LONG - 1, training.LONG):
        model.fit({x: [1.0, 2.0], y: [2.0, 4.0]}, start={a: 1.0}, optimizer=sm.sgd(0.1), epochs=epochs, verbose=False)
        assert in_registers(model) == (epochs >= training.LONG)


def test_the_loop_that_runs_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    a = sp.Symbol("a")
    model = sm.compile((sp.exp(a * x) - y) ** 2, parameters=a)
    model.explain("steps")
    assert "none" in capsys.readouterr().out
    model.fit({x: [1.0, 2.0], y: [2.0, 4.0]}, start={a: 1.0}, optimizer=sm.sgd(0.1), epochs=1, verbose=False)
    model.explain("steps")
    shown = capsys.readouterr().out
    for part in ("before the first step", "next a", "exp(x[e]*a)", "define void @sympile_steps"):
        assert part in shown
