"""Fits of small models by single examples, whose numbers stay in registers: against JAX and optax, step by step."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
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
N, D, EPOCHS = 37, 5, 4
i = sm.indices("i")
x, w = sp.IndexedBase("x", shape=(D,)), sp.IndexedBase("w", shape=(D,))
b, y, scale = sp.symbols("b y scale")
z = sp.Sum(w[i] * x[i], (i, 0, D - 1)) + b
rng = np.random.default_rng(4)
X = rng.normal(size=(N, D))
TARGET = X @ np.arange(1.0, D + 1) + 0.3 * rng.normal(size=N)
START: dict[Any, Any] = {w: 0.1 * rng.normal(size=D), b: 0.2}


@pytest.fixture(autouse=True)
def _short_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ALONE", 1)


@dataclass(frozen=True)
class Case:
    """A loss of one example, in SymPy and in JAX, and what y is."""

    loss: Any
    by_jax: Callable[[Any, Any], Any]
    values: np.ndarray[Any, Any]


CASES = {
    "linear": Case((z - y) ** 2, lambda z, y: (z - y) ** 2, TARGET),
    "logistic": Case(sm.softplus(z) - y * z, lambda z, y: jax.nn.softplus(z) - y * z, 1.0 * (TARGET > 0)),
    "Poisson": Case(sp.exp(z / 9) - y * z, lambda z, y: jnp.exp(z / 9) - y * z, np.round(np.abs(TARGET))),
    "Huber": Case(
        sp.Piecewise(((z - y) ** 2 / 2, sp.Abs(z - y) < 1), (sp.Abs(z - y) - 0.5, True)),
        lambda z, y: jnp.where(jnp.abs(z - y) < 1, (z - y) ** 2 / 2, jnp.abs(z - y) - 0.5),
        TARGET,
    ),
    "logarithm of data": Case(  # prepared once for each example
        (z - sp.log(1 + y**2)) ** 2, lambda z, y: (z - jnp.log(1 + y**2)) ** 2, TARGET
    ),
}
RULES: dict[str, tuple[Callable[[], Any], Any]] = {
    "sgd": (lambda: sm.sgd(1e-3), optax.sgd(1e-3)),
    "momentum": (lambda: sm.sgd(1e-3, 0.9), optax.sgd(1e-3, 0.9)),
    "adam": (lambda: sm.adam(1e-3), optax.adam(1e-3)),
    "clipped": (lambda: sm.sgd(1e-2, clip_by_global_norm=0.1),
                optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1e-2))),
    "by the step": (lambda: sm.sgd(1e-2 / (1 + sm.step)), optax.sgd(lambda t: 1e-2 / (1 + t))),
    "by the epoch": (lambda: sm.sgd(1e-3 * 0.5**sm.epoch), optax.sgd(lambda t: 1e-3 * 0.5 ** (t // N))),
}  # fmt: skip


def orders(epochs: int = EPOCHS) -> np.ndarray[Any, Any]:
    return np.stack([np.random.default_rng(k).permutation(N) for k in range(epochs)])


def by_jax(case: Case, rule: Any, order: Any, dtype: str = "float64") -> tuple[np.ndarray[Any, Any], Any]:
    """The parameters after all steps, and the mean loss of each epoch."""
    rows, values = jnp.asarray(X, dtype), jnp.asarray(case.values, dtype)

    def step(state: Any, at: Any) -> Any:
        p, own = state
        loss, slope = jax.value_and_grad(lambda p: case.by_jax(rows[at] @ p[:D] + p[D], values[at]))(p)
        change, own = rule.update(slope, own, p)
        return (optax.apply_updates(p, change), own), loss

    first = jnp.asarray(np.append(START[w], START[b]), dtype)
    (last, _), losses = jax.lax.scan(step, (first, rule.init(first)), jnp.asarray(order).reshape(-1))
    return np.array(last), np.array(losses).reshape(-1, N).mean(axis=1)


def fitted(model: Any, values: Any, **options: Any) -> Any:
    given = {"epochs": EPOCHS, "batch_size": 1, "optimizer": sm.sgd(1e-3), "verbose": False} | options
    return model.fit({x: X, y: values}, start=START, **given)


def numbers(result: Any) -> Any:
    return np.append(result.parameters[w], result.parameters[b])


def in_registers(model: Any) -> bool:
    """Whether every fit of the model so far had the loop of its own."""
    found = list(model._steps._together.values())
    return bool(found) and all(found)


@pytest.mark.parametrize("name", CASES)
def test_every_rule_moves_as_optax_does(name: str) -> None:
    case = CASES[name]
    model = sm.compile(case.loss, [w, b])
    for rule, theirs in RULES.values():
        for order in (orders(), None) if name == "linear" else (orders(),):
            result = fitted(model, case.values, optimizer=rule(), shuffle=False if order is None else order)
            last, losses = by_jax(case, theirs, np.tile(np.arange(N), EPOCHS) if order is None else order)
            np.testing.assert_allclose(numbers(result), last, rtol=1e-9, atol=1e-11)
            np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-9)
            assert result.steps == EPOCHS * N
    assert in_registers(model)


def test_float32() -> None:
    case = CASES["logistic"]
    model = sm.compile(case.loss, [w, b], dtype="float32")
    result = fitted(model, case.values, shuffle=orders())
    last, _ = by_jax(case, optax.sgd(1e-3), orders(), "float32")
    np.testing.assert_allclose(numbers(result), last, rtol=2e-5)
    assert in_registers(model)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_orders_are_drawn(seed: int) -> None:
    """As the loop for every model draws, which `rewrites="exact"` has."""
    one, other = (sm.compile(CASES["linear"].loss, [w, b], rewrites=rewrites) for rewrites in ("stable", "exact"))
    mine, theirs = (fitted(model, TARGET, seed=seed, epochs=9) for model in (one, other))
    np.testing.assert_allclose(numbers(mine), numbers(theirs), rtol=1e-11)
    np.testing.assert_allclose(mine.history["loss"], theirs.history["loss"], rtol=1e-11)
    assert in_registers(one)
    assert not in_registers(other)


def test_orders_are_part_of_what_is_kept_on_disk() -> None:
    """Examples as they lie and by an order: the formulas are the same, the programs are not."""
    model = sm.compile(CASES["linear"].loss, [w, b])
    for shuffle in (True, False):
        fitted(model, TARGET, shuffle=shuffle)
    first, second = [built for _, built in model._steps.loops]
    assert first._describe() != second._describe()


def test_sums_over_examples() -> None:
    """The loss of a batch is a sum; that of an epoch is a mean in both."""
    model = sm.compile(CASES["linear"].loss, [w, b], reduction="sum")
    result = fitted(model, TARGET, shuffle=orders())
    last, losses = by_jax(CASES["linear"], optax.sgd(1e-3), orders())
    np.testing.assert_allclose(numbers(result), last, rtol=1e-10)
    np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-10)
    assert in_registers(model)


def test_the_path_of_parameters() -> None:
    model = sm.compile(CASES["linear"].loss, [w, b])
    result = fitted(model, TARGET, shuffle=orders(), record=[w, b])
    at = np.append(START[w], START[b])
    for step, row in enumerate(orders().reshape(-1)):
        slope = 2 * (X[row] @ at[:D] + at[D] - TARGET[row])
        at -= 1e-3 * slope * np.append(X[row], 1)
        np.testing.assert_allclose(np.append(result.path[w][step + 1], result.path[b][step + 1]), at, rtol=1e-10)


def test_callbacks_see_every_epoch() -> None:
    """A fit that pauses after each epoch takes the same steps, and may be ended."""
    model = sm.compile(CASES["linear"].loss, [w, b])
    whole = fitted(model, TARGET, seed=3)
    seen: list[Any] = []
    paused = fitted(model, TARGET, seed=3, callbacks=lambda report: seen.append((report.epoch, report.loss)))
    np.testing.assert_array_equal(numbers(paused), numbers(whole))
    assert [epoch for epoch, _ in seen] == list(range(EPOCHS))
    np.testing.assert_array_equal([loss for _, loss in seen], whole.history["loss"])
    ended = fitted(model, TARGET, seed=3, callbacks=lambda report: report.epoch < 1)
    assert (ended.epochs, ended.steps) == (2, 2 * N)


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps handed out a few at a time, Adam's powers among what is carried on: the same bits."""
    model = sm.compile(CASES["linear"].loss, [w, b])
    whole = fitted(model, TARGET, seed=3, optimizer=sm.adam(1e-3))
    monkeypatch.setattr("sympile.runtime.job.SLICE", 0.0)
    pieces = fitted(model, TARGET, seed=3, optimizer=sm.adam(1e-3))
    np.testing.assert_array_equal(numbers(pieces), numbers(whole))
    np.testing.assert_array_equal(pieces.history["loss"], whole.history["loss"])


@pytest.mark.parametrize("rewrites", ["stable", "exact"])
def test_a_loss_that_is_not_finite_ends_the_fit(rewrites: str) -> None:
    """In the same step as in the loop for every model, with the parameters before it."""
    values = TARGET.copy()
    values[11] = np.inf
    model = sm.compile(CASES["linear"].loss, [w, b], rewrites=rewrites)
    result = fitted(model, values, shuffle=False)
    assert (result.epochs, result.steps) == (0, 11)
    at = np.append(START[w], START[b])
    for row in range(11):
        at -= 1e-3 * 2 * (X[row] @ at[:D] + at[D] - TARGET[row]) * np.append(X[row], 1)
    np.testing.assert_allclose(numbers(result), at, rtol=1e-10)


def test_constants_and_numbers_of_integers() -> None:
    """What is no data is the same for all examples; classes decide in a condition."""
    kind, weight = sp.Symbol("kind"), sp.IndexedBase("weight", shape=(2,))
    loss = weight[kind] * (z - y) ** 2
    chosen, given = rng.integers(0, 2, N), np.array([0.5, 2.0])
    model = sm.compile(loss, [w, b], constants=[weight])
    result = model.fit({x: X, y: TARGET, kind: chosen, weight: given}, start=START, epochs=2, batch_size=1,
                       shuffle=orders(2), optimizer=sm.sgd(1e-3), verbose=False)  # fmt: skip
    at = np.append(START[w], START[b])
    for row in orders(2).reshape(-1):
        slope = 2 * given[chosen[row]] * (X[row] @ at[:D] + at[D] - TARGET[row])
        at -= 1e-3 * slope * np.append(X[row], 1)
    np.testing.assert_allclose(numbers(result), at, rtol=1e-10)
    assert in_registers(model)


def test_long_sums_are_several_chains() -> None:
    """Of ten terms no one chain, for which every step would wait."""
    v, u = sp.IndexedBase("v", shape=(10,)), sp.IndexedBase("u", shape=(10,))
    model = sm.compile((sp.Sum(v[i] * u[i], (i, 0, 9)) + b - y) ** 2, [v, b])
    model.fit({u: rng.normal(size=(N, 10)), y: TARGET}, start={v: np.zeros(10), b: 0}, epochs=2, batch_size=1,
              optimizer=sm.sgd(1e-3), verbose=False)  # fmt: skip
    ((_, built),) = model._steps.loops
    code = built.stages.program.code.text
    sums = dict(re.findall(r"(%v\d+) = call double @llvm.fma.f64\([^)]*%v\d+, double (%v\d+)\)", code))
    assert 1 <= max(_length(sums, last) for last in sums) <= 4


def _length(sums: dict[str, str], last: str) -> int:
    """Of the chain of multiply-adds that ends here."""
    length = 0
    while last in sums:
        last, length = sums[last], length + 1
    return length
