"""Update rules of parameters, written as SymPy expressions and compiled with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, ParamSpec

import sympy as sp

from sympile.compiler.errors import ArgumentError

# Against the list of layers: users write rules in sm.gradient and sm.step, and a second definition would not be theirs.
from sympile.compiler.language.symbols import epoch, gradient, parameter, step
from sympile.runtime.update_rule import Optimizer, Vocabulary, checked_rule

WORDS = Vocabulary(gradient, parameter, step, epoch)
Arguments = ParamSpec("Arguments")


def remembered(make: Callable[Arguments, Optimizer]) -> Callable[Arguments, Optimizer]:
    """The same optimizer for the same arguments: writing and checking a rule takes longer than many a fit."""
    kept = lru_cache(maxsize=256, typed=True)(make)

    @wraps(make)
    def again(*args: Arguments.args, **given: Arguments.kwargs) -> Optimizer:
        try:
            hash((args, tuple(given.values())))
        except TypeError:
            return make(*args, **given)  # which says what is wrong
        return kept(*args, **given)  # type: ignore[arg-type]   # they have been hashed

    return again


def optimizer(
    state: Mapping[Any, Any],
    update: Mapping[Any, Any],
    *,
    clip_by_global_norm: float | None = None,
    **hyperparameters: Any,
) -> Optimizer:
    """An update rule of the user's own.

    Args:
        state: numbers that each entry of each parameter keeps from step to step: symbol to first value (a number, or
            an expression in hyperparameters).
        update: symbol to new value, executed in order. The symbols are the states and `sm.parameter`; the values may
            use them, `sm.gradient`, `sm.step` (counts updates from 0), `sm.epoch` and the hyperparameters.
        clip_by_global_norm: the largest norm of all gradients together, more than 0; larger ones are scaled down.
        **hyperparameters: the value of each other symbol, by its name: a number (a run-time value: another number needs
            no new compile) or an expression in `sm.step` and `sm.epoch`.

    Returns:
        An optimizer for `fit`.

    Raises:
        MissingValue: the rule uses a symbol without a value.
        UnknownKey: a hyperparameter that the rule does not use.
        DuplicateName: two different symbols of one name.
        ArgumentError: the rule assigns to something else, or never changes `sm.parameter`.

    Example:
        >>> lr, mu, m = sp.symbols("lr mu m")
        >>> heavy_ball = optimizer({m: 0}, {m: mu * m + gradient, parameter: parameter - lr * m}, lr=0.01, mu=0.9)
        >>> print(heavy_ball)
        optimizer(lr=0.01, mu=0.9)
          m = gradient + m*mu
          parameter = -lr*m + parameter
    """
    return checked_rule("optimizer", state, update, hyperparameters, clip_by_global_norm, WORDS)


# ------------------------------------------------------------------------------------------------- the usual rules


@remembered
def sgd(
    learning_rate: Any, momentum: Any = 0, nesterov: bool = False, *, clip_by_global_norm: float | None = None
) -> Optimizer:
    """Gradient descent, with momentum if wanted.

    Args:
        learning_rate: a number, or an expression in `sm.step` and `sm.epoch`.
        momentum: the part of the last step that goes into the next, 0 (none, and no memory for it) to less than 1.
        nesterov: whether the momentum looks one step ahead; it must not be 0 then.
        clip_by_global_norm: the largest norm of all gradients together.

    Source:
        optax.sgd; Sutskever et al. (2013), "On the importance of initialization and momentum in deep learning".

    Example:
        >>> sgd(0.1)
        sgd(learning_rate=0.1)
    """
    lr, mu, m = sp.symbols("learning_rate momentum m")
    values, state, update, move = {"learning_rate": learning_rate}, {}, {}, gradient
    _demand_momentum(momentum, nesterov)
    if not _is_off(momentum):
        values["momentum"], state[m], update[m] = momentum, 0, gradient + mu * m
        move = gradient + mu * m if nesterov else m
    update[parameter] = parameter - lr * move
    return _usual("sgd", state, update, values, clip_by_global_norm)


@remembered
def adam(
    learning_rate: Any = 1e-3,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    *,
    nesterov: bool = False,
    clip_by_global_norm: float | None = None,
) -> Optimizer:
    """Steps scaled by running means of the gradient and of its square.

    Args:
        learning_rate: a number, or an expression in `sm.step` and `sm.epoch`.
        b1: decay of the mean of gradients, 0 to less than 1.
        b2: decay of the mean of squares, 0 to less than 1.
        eps: added outside the root, against division by zero.
        eps_root: added under the root.
        nesterov: whether the mean looks one step ahead.
        clip_by_global_norm: the largest norm of all gradients together.

    Source:
        optax.adam; Kingma and Ba (2015), algorithm 1; nesterov: Dozat (2016).

    Example:
        >>> adam(1e-3)
        adam(learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
    """
    values = {"learning_rate": learning_rate, "b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return _adam("adam", sp.S.Zero, nesterov, clip_by_global_norm, values)


@remembered
def adamw(
    learning_rate: Any = 1e-3,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    weight_decay: Any = 1e-4,
    *,
    nesterov: bool = False,
    clip_by_global_norm: float | None = None,
) -> Optimizer:
    """Adam that also shrinks the parameters.

    Args:
        learning_rate: a number, or an expression in `sm.step` and `sm.epoch`.
        b1: decay of the mean of gradients, 0 to less than 1.
        b2: decay of the mean of squares, 0 to less than 1.
        eps: added outside the root, against division by zero.
        eps_root: added under the root.
        weight_decay: the part of a parameter that a step takes away, times the learning rate (as optax and PyTorch).
        nesterov: whether the mean looks one step ahead.
        clip_by_global_norm: the largest norm of all gradients together.

    Source:
        optax.adamw; Loshchilov and Hutter (2019), "Decoupled weight decay regularization".

    Example:
        >>> adamw(1e-3).first_state()
        {'m': 0.0, 'v': 0.0}
    """
    values = {"learning_rate": learning_rate, "b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    decay = sp.Symbol("weight_decay") * parameter
    return _adam("adamw", decay, nesterov, clip_by_global_norm, values | {"weight_decay": weight_decay})


def _adam(name: str, decay: sp.Expr, nesterov: bool, clip: float | None, values: dict[str, Any]) -> Optimizer:
    lr, b1, b2, eps, eps_root, m, v = sp.symbols("learning_rate b1 b2 eps eps_root m v")
    mean = m / (1 - b1 ** (step + 1))
    if nesterov:
        mean = b1 * m / (1 - b1 ** (step + 2)) + (1 - b1) * gradient / (1 - b1 ** (step + 1))
    scaled = mean / (sp.sqrt(v / (1 - b2 ** (step + 1)) + eps_root) + eps)
    update = {
        m: b1 * m + (1 - b1) * gradient,
        v: b2 * v + (1 - b2) * gradient**2,
        parameter: parameter - lr * (scaled + decay),
    }
    return _usual(name, {m: 0, v: 0}, update, values, clip)


@remembered
def rmsprop(
    learning_rate: Any,
    decay: Any = 0.9,
    eps: Any = 1e-8,
    initial_scale: Any = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Any = 0,
    nesterov: bool = False,
    *,
    clip_by_global_norm: float | None = None,
) -> Optimizer:
    """Steps scaled by a running mean of the gradient's square.

    Args:
        learning_rate: a number, or an expression in `sm.step` and `sm.epoch`.
        decay: of the mean of squares, 0 to less than 1.
        eps: added under the root, against division by zero.
        initial_scale: the first mean of squares, 0 or more.
        eps_in_sqrt: False adds `eps` outside the root, as PyTorch does.
        centered: whether the mean is taken off the squares (a variance).
        momentum: the part of the last step that goes into the next; 0: none, and no memory for it.
        nesterov: whether the momentum looks one step ahead; it must not be 0 then.
        clip_by_global_norm: the largest norm of all gradients together.

    Source:
        optax.rmsprop; Hinton (2012), lecture 6e; centered: Graves (2013), eq. 38-45.

    Example:
        >>> rmsprop(1e-3).first_state()
        {'v': 0.0}
    """
    lr, d, e, scale, mu, g, v, m = sp.symbols("learning_rate decay eps initial_scale momentum g v m")
    values = {"learning_rate": learning_rate, "decay": decay, "eps": eps, "initial_scale": initial_scale}
    state, update = {v: scale}, {v: d * v + (1 - d) * gradient**2}
    if centered:
        state[g], update[g] = sp.S.Zero, d * g + (1 - d) * gradient
    spread = v - g**2 if centered else v
    move = lr * gradient / (sp.sqrt(spread + e) if eps_in_sqrt else sp.sqrt(spread) + e)
    _demand_momentum(momentum, nesterov)
    if not _is_off(momentum):
        state[m], update[m], values["momentum"] = sp.S.Zero, mu * m + move, momentum
        move = mu * m + move if nesterov else m
    update[parameter] = parameter - move
    return _usual("rmsprop", state, update, values, clip_by_global_norm)


@remembered
def adagrad(
    learning_rate: Any,
    initial_accumulator_value: Any = 0.1,
    eps: Any = 1e-7,
    *,
    clip_by_global_norm: float | None = None,
) -> Optimizer:
    """Steps scaled by the sum of all squared gradients so far.

    Args:
        learning_rate: a number, or an expression in `sm.step` and `sm.epoch`.
        initial_accumulator_value: the first sum, 0 or more.
        eps: added under the root, against division by zero.
        clip_by_global_norm: the largest norm of all gradients together.

    Source:
        optax.adagrad; Duchi, Hazan and Singer (2011), "Adaptive subgradient methods".

    Example:
        >>> adagrad(0.1).first_state()
        {'s': 0.1}
    """
    lr, e, s, first = sp.symbols("learning_rate eps s initial_accumulator_value")
    scaled = sp.Piecewise((gradient / sp.sqrt(s + e), s > 0), (0, True))    # no nan where all is 0, eps too
    values = {"learning_rate": learning_rate, "initial_accumulator_value": initial_accumulator_value, "eps": eps}
    update = {s: s + gradient**2, parameter: parameter - lr * scaled}
    return _usual("adagrad", {s: first}, update, values, clip_by_global_norm)


def _is_off(momentum: Any) -> bool:
    return momentum is None or momentum == 0


def _demand_momentum(momentum: Any, nesterov: bool) -> None:
    """Raises where a step would look ahead with nothing to carry it there, which would be plain descent."""
    if nesterov and _is_off(momentum):
        raise ArgumentError(f"nesterov=True looks ahead by the momentum, which is {momentum}; write momentum=0.9")


PARTS = frozenset({"momentum", "b1", "b2", "decay"})  # of what was, that stay


def _usual(
    name: str, state: Mapping[Any, Any], update: Mapping[Any, Any], values: Mapping[str, Any], clip: float | None
) -> Optimizer:
    """One of the usual rules, whose numbers are in their ranges; a negative rate climbs."""
    for word, value in values.items():
        part = word in PARTS
        if word != "learning_rate" and isinstance(value, (int, float)) and (value < 0 or (part and value >= 1)):
            raise ArgumentError(f"{name}: {word} is {'0 to less than 1' if part else '0 or more'}, not {value}")
    return checked_rule(name, state, update, values, clip, WORDS)
