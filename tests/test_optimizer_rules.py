"""Optimizers: their formulas against optax, PyTorch and plain NumPy, and what a rule of the user's own may be."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sympy as sp
from optimizer_reference import ReferenceStepper

from sympile.compiler.errors import ArgumentError, DuplicateName, MissingValue, UnknownKey
from sympile.compiler.language.symbols import epoch, gradient, parameter, step
from sympile.runtime.optimizers import adagrad, adam, adamw, optimizer, rmsprop, sgd
from sympile.runtime.update_rule import Optimizer

# fmt: off: the tables below are aligned by hand

START = {"W": np.array([[1.0, -2.0], [0.5, 3.0]]), "b": np.array(0.25)}
STEPS = 6


def gradients(seed: int = 0) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Some steep, some flat, some exactly zero."""
    rng = np.random.default_rng(seed)
    for i in range(STEPS):
        W = rng.normal(size=(2, 2)) * 10.0 ** rng.integers(-3, 3, (2, 2))
        W[0, 1] = 0.0
        yield {"W": W, "b": np.asarray(0.0 if i == 0 else rng.normal())}


def ours(rule: Optimizer) -> list[dict[str, np.ndarray[Any, Any]]]:
    stepper = ReferenceStepper(rule, START)
    return [stepper.step(given) for given in gradients()]


def assert_same_path(path: list[dict[str, Any]], want: list[dict[str, Any]]) -> None:
    for i, (have, wanted) in enumerate(zip(path, want, strict=True)):
        for name in START:
            np.testing.assert_allclose(have[name], wanted[name], rtol=1e-13, atol=1e-14, err_msg=f"{name}, step {i}")


# ----------------------------------------------------------------------------------------------------- against optax

CASES = [
    pytest.param("sgd", sgd, (0.1,), {}, {}, id="sgd"),
    pytest.param("sgd", sgd, (0.1,), {"momentum": 0.9}, {}, id="sgd, momentum"),
    pytest.param("sgd", sgd, (0.1,), {"momentum": 0.9, "nesterov": True}, {}, id="sgd, Nesterov"),
    pytest.param("adam", adam, (1e-2,), {}, {}, id="adam"),
    pytest.param("adam", adam, (1e-2,), {"b1": 0.5, "b2": 0.8, "eps": 1e-3, "eps_root": 1e-4}, {},
                 id="adam, other numbers"),
    pytest.param("adam", adam, (1e-2,), {"nesterov": True}, {}, id="adam, Nesterov"),
    pytest.param("adamw", adamw, (1e-2,), {}, {}, id="adamw"),
    pytest.param("adamw", adamw, (1e-2,), {"weight_decay": 0.1, "nesterov": True}, {},
                 id="adamw, strong decay, Nesterov"),
    pytest.param("rmsprop", rmsprop, (1e-2,), {}, {}, id="rmsprop"),
    pytest.param("rmsprop", rmsprop, (1e-2,), {"eps_in_sqrt": False, "initial_scale": 0.5}, {},
                 id="rmsprop, eps outside"),
    pytest.param("rmsprop", rmsprop, (1e-2,), {"centered": True, "eps": 1e-2}, {}, id="rmsprop, centered"),
    pytest.param("rmsprop", rmsprop, (1e-2,), {"momentum": 0.9}, {}, id="rmsprop, momentum"),
    pytest.param("rmsprop", rmsprop, (1e-2,), {"momentum": 0.9, "nesterov": True}, {}, id="rmsprop, Nesterov"),
    pytest.param("adagrad", adagrad, (0.5,), {}, {}, id="adagrad"),
    pytest.param("adagrad", adagrad, (0.5,), {"initial_accumulator_value": 0.0, "eps": 0.0}, {},
                 id="adagrad, from nothing"),
    pytest.param("sgd", sgd, (0.1,), {}, {"clip_by_global_norm": 1.0}, id="sgd, clipped"),
    pytest.param("adam", adam, (1e-2,), {}, {"clip_by_global_norm": 5.0}, id="adam, clipped now and then"),
]


@pytest.mark.parametrize(("name", "make", "positional", "keywords", "clip"), CASES)
def test_formulas_are_those_of_optax(
    name: str,
    make: Callable[..., Optimizer],
    positional: tuple[float, ...],
    keywords: dict[str, Any],
    clip: dict[str, float],
) -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    with jax.enable_x64(True):
        theirs = getattr(optax, name)(*positional, **keywords)
        if clip:
            theirs = optax.chain(optax.clip_by_global_norm(clip["clip_by_global_norm"]), theirs)
        values = {key: jax.numpy.asarray(value) for key, value in START.items()}
        state, want = theirs.init(values), []
        for given in gradients():
            updates, state = theirs.update(jax.tree.map(jax.numpy.asarray, given), state, values)
            values = optax.apply_updates(values, updates)
            want.append({key: np.asarray(value) for key, value in values.items()})
    assert_same_path(ours(make(*positional, **keywords, **clip)), want)


@pytest.mark.parametrize(("rule", "name", "keywords"), [
    pytest.param(sgd(0.1, 0.9), "SGD", {"lr": 0.1, "momentum": 0.9}, id="sgd"),
    pytest.param(sgd(0.1, 0.9, True), "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, id="sgd, Nesterov"),
    pytest.param(adam(1e-2), "Adam", {"lr": 1e-2}, id="adam"),
    pytest.param(adamw(1e-2, weight_decay=0.1), "AdamW", {"lr": 1e-2, "weight_decay": 0.1}, id="adamw"),
    pytest.param(rmsprop(1e-2, eps_in_sqrt=False), "RMSprop", {"lr": 1e-2, "alpha": 0.9}, id="rmsprop"),
])
def test_formulas_are_those_of_pytorch(rule: Optimizer, name: str, keywords: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    values = {key: torch.tensor(value, requires_grad=True) for key, value in START.items()}
    theirs, want = getattr(torch.optim, name)(list(values.values()), **keywords), []
    for given in gradients():
        for key, value in values.items():
            value.grad = torch.tensor(given[key])
        theirs.step()
        want.append({key: value.detach().numpy().copy() for key, value in values.items()})
    assert_same_path(ours(rule), want)


def test_adam_written_out() -> None:
    """Kingma and Ba (2015), algorithm 1, as the paper has it; needs no other library."""
    p, m, v, want = START["W"], np.zeros((2, 2)), np.zeros((2, 2)), []
    for t, given in enumerate(gradients(), start=1):
        g = given["W"]
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        p = p - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        want.append(p)
    for have, wanted in zip(ours(adam(0.01)), want, strict=True):
        np.testing.assert_allclose(have["W"], wanted, rtol=1e-12)


def test_clipping_leaves_a_small_gradient_alone() -> None:
    assert ours(sgd(0.1, clip_by_global_norm=1e9))[-1]["W"].tolist() == ours(sgd(0.1))[-1]["W"].tolist()


def test_clipping_by_the_norm_of_all_parameters() -> None:
    stepper = ReferenceStepper(sgd(1.0, clip_by_global_norm=1.0), {"a": 0.0, "b": 0.0})
    after = stepper.step({"a": 3.0, "b": 4.0})
    assert (float(after["a"]), float(after["b"])) == pytest.approx((-0.6, -0.8))


# ------------------------------------------------------------------------------------------------- schedules, states


def test_learning_rate_in_step_and_epoch() -> None:
    rule = sgd(0.1 * sp.cos(step) / (1 + epoch))
    stepper, want = ReferenceStepper(rule, {"a": 0.0}), 0.0
    for i in range(5):
        want -= 0.1 * math.cos(i) / (1 + i // 2)
        assert float(stepper.step({"a": 1.0}, epoch=i // 2)["a"]) == pytest.approx(want, rel=1e-14)
    assert rule.numbers == () and rule.schedules[0][0].name == "learning_rate"


def test_step_counts_from_zero() -> None:
    assert float(ReferenceStepper(sgd(step), {"a": 1.0}).step({"a": 5.0})["a"]) == 1.0


@pytest.mark.parametrize(("rule", "states"), [
    pytest.param(sgd(0.1),                           [],              id="sgd"),
    pytest.param(sgd(0.1, momentum=0.0),             [],              id="momentum 0"),
    pytest.param(sgd(0.1, momentum=None),            [],              id="momentum None, as optax"),
    pytest.param(sgd(0.1, sp.Integer(0)),            [],              id="a SymPy zero"),
    pytest.param(sgd(0.1, 0.5),                      ["m"],           id="momentum"),
    pytest.param(sgd(0.1, 1 - 1 / (step + 2)),       ["m"],           id="momentum that varies"),
    pytest.param(rmsprop(0.1),                       ["v"],           id="rmsprop"),
    pytest.param(rmsprop(0.1, centered=True, momentum=0.5), ["v", "g", "m"], id="rmsprop, all of it"),
    pytest.param(adam(),                             ["m", "v"],      id="adam"),
    pytest.param(adamw(),                            ["m", "v"],      id="adamw"),
    pytest.param(adagrad(0.1),                       ["s"],           id="adagrad"),
])
def test_no_state_without_need(rule: Optimizer, states: list[str]) -> None:
    assert [symbol.name for symbol, _ in rule.state] == states == list(rule.first_state())


@pytest.mark.parametrize(("rule", "want"), [
    pytest.param(adagrad(0.1),                                 {"s": 0.1}, id="default"),
    pytest.param(adagrad(0.1, initial_accumulator_value=0.7),  {"s": 0.7}, id="another"),
    pytest.param(rmsprop(0.1, initial_scale=1),                {"v": 1.0}, id="an int"),
])
def test_first_state(rule: Optimizer, want: dict[str, float]) -> None:
    assert rule.first_state() == want


@pytest.mark.parametrize(("one", "other", "same"), [
    pytest.param(adam(1e-3),  adam(1e-2, b1=0.5),                True,  id="other numbers"),
    pytest.param(adam(1e-3),  adam(sp.Float(0.01)),              True,  id="a SymPy number is a number"),
    pytest.param(adam(1e-3),  adam(1e-3 * sp.cos(step)),         False, id="a schedule"),
    pytest.param(adam(1e-3),  adam(1e-3, clip_by_global_norm=1), False, id="clipping"),
    pytest.param(sgd(0.1, clip_by_global_norm=1), sgd(0.1, clip_by_global_norm=2.5), True, id="another norm"),
    pytest.param(sgd(0.1),    sgd(0.1, 0.9),                     False, id="momentum"),
    pytest.param(adam(1e-3),  adamw(1e-3),                       False, id="decay"),
])
def test_numbers_need_no_new_code(one: Optimizer, other: Optimizer, same: bool) -> None:
    assert (one.rule == other.rule) is same
    assert (hash(one.rule) == hash(other.rule)) is same


@pytest.mark.parametrize("rule", [sgd, rmsprop])
@pytest.mark.parametrize("momentum", [0, 0.0, None, sp.Integer(0)])
def test_nesterov_needs_a_momentum(rule: Any, momentum: Any) -> None:
    """It would be plain descent, and nobody would know."""
    with pytest.raises(ArgumentError, match="looks ahead by the momentum"):
        rule(0.1, momentum=momentum, nesterov=True)


# --------------------------------------------------------------------------------------------------- the user's own

lr, mu, m, q = sp.symbols("lr mu m q")
HEAVY = {m: mu * m + gradient, parameter: parameter - lr * m}


def test_heavy_ball_is_momentum() -> None:
    assert_same_path(ours(optimizer({m: 0}, HEAVY, lr=0.1, mu=0.9)), ours(sgd(0.1, 0.9)))


def test_order_matters() -> None:
    swapped = {parameter: parameter - lr * m, m: mu * m + gradient}
    stepper = ReferenceStepper(optimizer({m: 0}, swapped, lr=0.1, mu=0.9), {"a": 0.0})
    assert [float(stepper.step({"a": 1.0})["a"]) for _ in range(2)] == pytest.approx([0.0, -0.1])


def test_symbols_go_by_name() -> None:
    bold = sp.Symbol("m", positive=True)
    assert optimizer({bold: 0}, HEAVY, lr=0.1, mu=0.9).rule == optimizer({m: 0}, HEAVY, lr=0.1, mu=0.9).rule
    assert optimizer({"m": 0}, HEAVY, lr=0.1, mu=0.9).rule == optimizer({m: 0}, HEAVY, lr=0.1, mu=0.9).rule
    plain = {sp.Symbol("parameter"): sp.Symbol("parameter") - sp.Symbol("gradient")}
    assert optimizer({}, plain).update == ((parameter, parameter - gradient),)


@pytest.mark.parametrize(("state", "update", "values", "error", "words"), [
    pytest.param({m: 0}, HEAVY, {"lr": 0.1}, MissingValue, "uses 'mu', which has no value", id="no value"),
    pytest.param({m: 0}, HEAVY, {"lr": 0.1, "mu_": 1.0}, MissingValue, "did you mean 'mu_'?", id="mistyped"),
    pytest.param({m: 0}, HEAVY, {"lr": 0.1, "mu": 1, "nu": 1},         UnknownKey, "does not use 'nu'", id="unused"),
    pytest.param({m: 0}, {m: gradient}, {}, ArgumentError, "never changes sm.parameter", id="idle rule"),
    pytest.param({m: 0}, {parameter: m}, {}, ArgumentError, "never changes the state 'm'", id="idle state"),
    pytest.param({}, {m: 0, parameter: parameter}, {}, ArgumentError, "write state={m: 0}", id="no such state"),
    pytest.param({}, {gradient: 0, parameter: parameter}, {}, ArgumentError, "assigns to 'gradient'", id="gradient"),
    pytest.param({m: 0}, HEAVY, {"lr": 0.1, "mu": 1, "m": 1}, DuplicateName, "'m' names a hyperparameter and a state",
                 id="twice"),
    pytest.param({step: 0}, {step: 1, parameter: step}, {},            DuplicateName, "sm.step", id="taken name"),
    pytest.param({m: q}, HEAVY, {"lr": 0.1, "mu": 1},                  MissingValue, "uses 'q'", id="first value"),
    pytest.param({m: q}, HEAVY, {"lr": 0.1, "mu": 1, "q": step}, ArgumentError, "plain number",
                 id="first value varies"),
    pytest.param({m: 0}, HEAVY | {m: "mu*m"}, {"lr": 0.1, "mu": 1},    ArgumentError, "not 'mu*m'", id="a string"),
    pytest.param({m: 0}, HEAVY | {m: m > 0}, {"lr": 0.1, "mu": 1},     ArgumentError, "not m > 0", id="a relation"),
    pytest.param({m: 0}, HEAVY | {m: m + sp.Dummy("m")}, {"lr": 0.1}, DuplicateName, "the name 'm'",
                 id="two of one name"),
    pytest.param({m**2: 0}, HEAVY, {}, ArgumentError, "to symbols, not to m**2", id="no symbol"),
    pytest.param({}, {parameter: parameter - sp.MatrixSymbol("A", 2, 2)[0, 0]}, {}, ArgumentError, "not to A",
                 id="matrix"),
])
def test_rules_refused(state: Any, update: Any, values: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        optimizer(state, update, **values)
    assert words in str(caught.value)


@pytest.mark.parametrize(("value", "error", "words"), [
    pytest.param(True,               ArgumentError, "not True", id="a boolean"),
    pytest.param("0.1",              ArgumentError, "not '0.1'", id="a string"),
    pytest.param(math.nan,           ArgumentError, "finite", id="nan"),
    pytest.param(sp.oo,              ArgumentError, "finite", id="infinity"),
    pytest.param(sp.I,               ArgumentError, "finite", id="imaginary"),
    pytest.param(10**400,            ArgumentError, "finite", id="a huge int"),
    pytest.param(lambda count: 0.1,  ArgumentError, "expression in sm.step", id="an optax schedule"),
    pytest.param(0.1 * q,            MissingValue, "learning_rate uses 'q'", id="a strange symbol"),
    pytest.param(gradient,           MissingValue, "learning_rate uses 'gradient'", id="the gradient"),
])
def test_learning_rates_refused(value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        sgd(value)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, True, "1", step])
def test_norms_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="clip_by_global_norm must be a"):
        sgd(0.1, clip_by_global_norm=value)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(2), sp.Rational(1, 2), sp.pi, -0.1])
def test_numbers_accepted(value: Any) -> None:
    assert sgd(value).numbers == (("learning_rate", float(value)),)


# ---------------------------------------------------------------------------------------------------------- display


def test_repr() -> None:
    assert repr(adam(1e-3)) == "adam(learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)"
    assert repr(sgd(0.1 / (1 + epoch))) == "sgd(learning_rate=0.1/(epoch + 1))"


def test_str_shows_the_rule() -> None:
    lines = str(sgd(0.1, 0.9, clip_by_global_norm=1)).splitlines()
    assert lines[1].startswith("  gradient = Piecewise((gradient, clip_by_global_norm > global_norm)")
    assert lines[2:] == ["  m = gradient + m*momentum", "  parameter = -learning_rate*m + parameter"]


@pytest.mark.parametrize("rule", [
    pytest.param(adam(1e-3, clip_by_global_norm=1),    id="numbers"),
    pytest.param(sgd(sp.cos(step)),                    id="a schedule"),
    pytest.param(optimizer({m: 0}, HEAVY, lr=1, mu=1), id="the user's own"),
])
def test_copies(rule: Optimizer) -> None:
    assert pickle.loads(pickle.dumps(rule)) == rule == copy.deepcopy(rule)
    assert hash(copy.copy(rule)) == hash(rule)


@pytest.mark.parametrize(("make", "message"), [
    pytest.param(lambda: sgd(0.1, 1.0),              "sgd: momentum is 0 to less than 1, not 1.0",            id="momentum"),
    pytest.param(lambda: adam(b2=1),                 "adam: b2 is 0 to less than 1, not 1",                   id="b2"),
    pytest.param(lambda: adamw(weight_decay=-1e-4),  "adamw: weight_decay is 0 or more, not -0.0001", id="weight decay"),
    pytest.param(lambda: rmsprop(0.1, decay=1.5),    "rmsprop: decay is 0 to less than 1, not 1.5",           id="decay"),
])  # fmt: skip
def test_numbers_of_the_usual_rules_have_their_ranges(make: Callable[[], Optimizer], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    assert str(caught.value) == message


def test_rates_that_change_are_taken_as_they_are() -> None:
    assert "learning_rate=0.1/(step + 1)" in str(sgd(0.1 / (step + 1)))
