"""Small steps with all parameters side by side in one register: against JAX and optax, the general loop, and bit by bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sympy as sp
from test_steps import EPOCHS, RULES, by_jax, fitted
from vector_kernels import ELEMENT, HOST

import sympile as sm
from sympile.compiler.code.halving import packed
from sympile.compiler.code.jit import compile_text
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.node import ONE, ZERO, Node, const, hole
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.training import steps
from sympile.compiler.passes.training.joint import apart
from sympile.runtime.model import training

x, y = sp.symbols("x y")
AT = np.linspace(-1.0, 2.0, 29)

# One term of a model for each parameter: p is its own one, q the one before.
TERMS: tuple[Callable[..., Any], ...] = (
    lambda p, q, c, x, m: p,
    lambda p, q, c, x, m: p * x**2,
    lambda p, q, c, x, m: p * m.sin(c * x),
    lambda p, q, c, x, m: m.tanh(p * x + c),
    lambda p, q, c, x, m: q * m.exp(-(p**2) * (x + 1.5)),
    lambda p, q, c, x, m: q * x / (2 + c + x + p**2),
)


@pytest.fixture(autouse=True)
def _short_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LONG", 1)


def random_model(seed: int, count: int) -> tuple[Callable[..., Any], np.ndarray, np.ndarray]:
    """A curve with so many parameters, its start, and values near it."""
    rng = np.random.default_rng(seed)
    kinds, numbers = rng.permutation((np.arange(count) + 4) % len(TERMS)), rng.uniform(0.5, 2.0, count)

    def curve(p: Any, x: Any, m: Any) -> Any:
        return sum(TERMS[kind](p[k], p[k - 1], c, x, m) for k, (kind, c) in enumerate(zip(kinds, numbers, strict=True)))

    start = rng.uniform(0.3, 1.2, count)
    return curve, start, curve(start + 0.2, AT, np) + 0.01 * rng.normal(size=AT.size)


def carried(model: sm.Model) -> set[str]:
    """The types of what the loop carries from step to step, without its counter."""
    (_, built), *_ = model._steps.loops
    lines = iter(built.program.code.text.splitlines())
    phis = next(block for block in _blocks(lines) if any("load atomic" in line for line in block))
    return {line.split(" phi ")[1].split(" [")[0] for line in phis if " phi " in line} - {"i64"}


def _blocks(lines: Iterator[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if line.endswith(":"):
            yield block
            block = []
        block.append(line)
    yield block


def vector(count: int, element: str) -> str:
    return f"<{1 << (count - 1).bit_length()} x {element}>"


@pytest.mark.parametrize("count", [2, 5, 8])
def test_random_models_move_as_optax_does(count: int) -> None:
    curve, start, values = random_model(count, count)
    parameters = sp.symbols(f"p0:{count}")
    model = sm.compile((curve(parameters, x, sp) - y) ** 2, parameters=parameters)
    for name in ("sgd", "momentum", "adam", "clipped"):
        rule, theirs = RULES[name]
        result = fitted(model, parameters, start, AT, values, optimizer=rule())
        last, losses = by_jax(curve, start, AT, values, theirs)
        np.testing.assert_allclose([result.parameters[p] for p in parameters], last, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-8, atol=1e-13)
    if count <= HOST.lanes("double"):
        assert vector(count, "double") in carried(model)


@pytest.mark.parametrize("rule", [sm.sgd(1e-2), sm.sgd(1e-3, 0.9, True), sm.rmsprop(1e-3), sm.adam(1e-3)])
@pytest.mark.parametrize("count", [4, 9])
def test_the_general_loop_comes_to_the_same(count: int, rule: Any) -> None:
    curve, start, values = random_model(110 + count, count)
    parameters = sp.symbols(f"p0:{count}")
    penalty = 0.1 * sum(p**2 for p in parameters[1:])
    found = []
    for rewrites in ("stable", "exact"):
        model = sm.compile((curve(parameters, x, sp) - y) ** 2 + penalty, parameters=parameters, rewrites=rewrites)
        result = fitted(model, parameters, start, AT, values, optimizer=rule)
        found.append([result.parameters[p] for p in parameters])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("count", [3, 12])
def test_float32(count: int) -> None:
    curve, start, values = random_model(200 + count, count)
    parameters = sp.symbols(f"p0:{count}")
    model = sm.compile((curve(parameters, x, sp) - y) ** 2, parameters=parameters, dtype="float32")
    given = AT.astype("f4"), values.astype("f4")
    for name in ("sgd", "adam"):
        rule, theirs = RULES[name]
        result = fitted(model, parameters, start.astype("f4"), *given, optimizer=rule())
        last, _ = by_jax(curve, start, AT, values, theirs)
        np.testing.assert_allclose([result.parameters[p] for p in parameters], last, rtol=3e-4)
    if count <= HOST.lanes("float"):
        assert vector(count, "float") in carried(model)


def test_slices_and_a_second_fit_give_the_same_bits() -> None:
    curve, start, values = random_model(5, 5)
    parameters = sp.symbols("p0:5")
    model = sm.compile((curve(parameters, x, sp) - y) ** 2, parameters=parameters)
    options = {"optimizer": sm.adam(1e-2)}
    whole = fitted(model, parameters, start, AT, values, **options)
    sliced = fitted(model, parameters, start, AT, values, callbacks=lambda report: None, **options)
    recorded = fitted(model, parameters, start, AT, values, record=parameters, **options)
    for other in (sliced, recorded):
        assert [other.parameters[p].tobytes() for p in parameters] == [whole.parameters[p].tobytes() for p in parameters]
        assert other.history["loss"].tobytes() == whole.history["loss"].tobytes()


def test_what_is_no_sum_times_a_number_stays_apart() -> None:
    a, b = sp.symbols("a b")
    loss = sp.sqrt(sm.batch_mean((a * sp.exp(-b * x) - y) ** 2))
    model = sm.compile(loss, parameters=[a, b])
    values = 2 * np.exp(-0.5 * AT)
    result = fitted(model, (a, b), (1.0, 0.2), AT, values, optimizer=sm.sgd(1e-2))

    def step(p: Any) -> Any:
        return jnp.sqrt(jnp.mean((p[0] * jnp.exp(-p[1] * AT) - values) ** 2))

    p, slope = np.array([1.0, 0.2]), jax.jit(jax.grad(step))
    for _ in range(EPOCHS):
        p = p - 1e-2 * np.array(slope(p))
    np.testing.assert_allclose([result.parameters[s] for s in (a, b)], p, rtol=1e-9)
    assert carried(model) == {"double"}


def test_a_guard_hides_a_sum_that_is_nan() -> None:
    """The branch of b is not taken, and its slope is 0, though log(x + 1) is infinite at the first point."""
    a, b = sp.symbols("a b")
    curve = a * sp.exp(-a * x) + sp.Piecewise((b * sp.log(x + 1), b > 0), (0, True))
    model = sm.compile((curve - y) ** 2, parameters=[a, b])
    values = 0.8 * np.exp(-0.8 * AT)
    result = fitted(model, (a, b), (0.5, -0.5), AT, values, optimizer=sm.sgd(1e-2))
    p = 0.5
    for _ in range(EPOCHS):
        now = np.exp(-p * AT)
        p -= 1e-2 * np.mean(2 * (p * now - values) * (now - p * AT * now))
    np.testing.assert_allclose([result.parameters[a], result.parameters[b]], [p, -0.5], rtol=1e-12)


@pytest.mark.parametrize("start", [0.7, 0.0])
def test_slopes_of_powers_are_guarded(start: float) -> None:
    """Of (x + b)**c by b, where c is 0 there is none."""
    parameters, first = sp.symbols("a b c"), (0.9, 1.6, start)
    model = sm.compile((power_law(parameters, x, sp) - y) ** 2, parameters=parameters)
    values = power_law((1.0, 1.5, 0.5), AT, np)
    result = fitted(model, parameters, first, AT, values, optimizer=sm.sgd(1e-2))
    last, _ = by_jax(power_law, first, AT, values, optax.sgd(1e-2))
    np.testing.assert_allclose([result.parameters[p] for p in parameters], last, rtol=1e-9)
    if HOST.lanes("double") >= 4:
        assert vector(3, "double") in carried(model)


def power_law(p: Any, x: Any, m: Any) -> Any:
    return p[0] * (x + p[1]) ** p[2]


def test_few_sums_are_added_up_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "FEWEST_SUMS", 99)
    curve, start, values = random_model(5, 5)
    parameters = sp.symbols("p0:5")
    model = sm.compile((curve(parameters, x, sp) - y) ** 2, parameters=parameters)
    result = fitted(model, parameters, start, AT, values, optimizer=sm.sgd(1e-2))
    last, _ = by_jax(curve, start, AT, values, optax.sgd(1e-2))
    np.testing.assert_allclose([result.parameters[p] for p in parameters], last, rtol=1e-9)
    assert carried(model) == {"double"}


# ------------------------------------------------------------------------------------------------ parts

LATE, A, B = hole("late"), hole("a"), hole("b")


@pytest.mark.parametrize(
    ("formula", "scale", "rest"),
    [
        pytest.param(LATE, ONE, ZERO, id="itself"),
        pytest.param(A, ZERO, A, id="nothing of it"),
        pytest.param(add(mul(A, LATE), B), A, B, id="one term"),
        pytest.param(mul(A, add(B, mul(const(2), LATE))), mul(const(2), A), mul(A, B), id="within a sum"),
        pytest.param(add(LATE, mul(A, LATE)), add(ONE, A), ZERO, id="twice"),
        pytest.param(mul(power(A, -1), LATE), power(A, -1), ZERO, id="divided"),
    ],
)
def test_multiples_are_taken_apart(formula: Node, scale: Node, rest: Node) -> None:
    assert apart(formula, LATE) == (scale, rest)


@pytest.mark.parametrize(
    "formula",
    [power(LATE, 2), power(LATE, -1), function("exp", LATE), mul(LATE, add(LATE, A)), add(B, function("sin", LATE))],
)
def test_others_are_not(formula: Node) -> None:
    assert apart(formula, LATE) is None


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_sums_side_by_side_have_the_bits_of_each_alone(count: int, bits: int) -> None:
    element, kind = ELEMENT[bits], np.dtype(f"f{bits // 8}")
    wide = 8
    module = Module(HOST)
    f = Function(module, "sums", [("ptr", "given"), ("ptr", "together"), ("ptr", "alone")])
    k = Lanes(f, element, wide, HOST)
    given, together, alone = f.arguments
    vectors = [k.load(f.gep(element, given, wide * n)) for n in range(count)]
    k.narrowed(count).store(packed(k, vectors, Lanes.add), together)
    for n, each in enumerate(vectors):
        k.narrowed(1).store(k.reduce_add(each), f.gep(element, alone, n))
    f.ret()
    loaded = compile_text(module.text(), ["sums"])
    numbers = np.random.default_rng(3).normal(size=(count, wide)).astype(kind)
    results = np.zeros((2, count), kind)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(loaded.address("sums"))
    call(numbers.ctypes.data, results[0].ctypes.data, results[1].ctypes.data)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_allclose(results[0], numbers.sum(axis=1), rtol=1e-5)
