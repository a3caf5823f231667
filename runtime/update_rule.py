"""What an optimizer is: assignments of SymPy expressions, and the values of their hyperparameters, all checked."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError, DuplicateName, MissingValue, UnknownKey, did_you_mean, listed
from sympile.compiler.records import dataclass
from sympile.runtime.byname import name_of

GLOBAL_NORM = sp.Symbol("global_norm")    # root of the sum of squares of all parameters' gradients, for clipping
CLIP = sp.Symbol("clip_by_global_norm")

Assignments = tuple[tuple[sp.Symbol, sp.Expr], ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The symbols that every rule may use without giving them a value."""

    gradient: sp.Symbol
    parameter: sp.Symbol
    step: sp.Symbol
    epoch: sp.Symbol

    @property
    def schedule(self) -> tuple[sp.Symbol, ...]:
        """What a hyperparameter may depend on."""
        return (self.step, self.epoch)

    @property
    def by_name(self) -> dict[str, sp.Symbol]:
        return {symbol.name: symbol for symbol in (self.gradient, self.parameter, self.step, self.epoch)}


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An update rule: assignments done in order for each entry of each parameter.

    Attributes:
        name: what it is called when printed.
        state: numbers kept per entry from step to step: the symbol, and its first value in hyperparameters.
        update: symbol and new value, in order; an assignment sees the results of those before it.
        numbers: hyperparameters that are run-time values of the compiled code, by name.
        schedules: hyperparameters that are expressions in `sm.step` and `sm.epoch`, compiled in.
        clip: done first: `sm.gradient` in terms of itself, GLOBAL_NORM and CLIP (one of `numbers`); or nothing.
    """

    name: str
    state: Assignments
    update: Assignments
    numbers: tuple[tuple[str, float], ...] = ()
    schedules: Assignments = ()
    clip: Assignments = ()

    @property
    def rule(self) -> tuple[object, ...]:
        """All that the compiled code depends on: equal rules share code, whatever their numbers."""
        names = tuple(name for name, _ in self.numbers)
        return (self.state, self.update, names, self.schedules, self.clip)

    def first_state(self) -> dict[str, float]:
        """The first value of each state, by name."""
        plain = all(first.is_Number for _, first in self.state)
        values = {} if plain else {sp.Symbol(name): sp.Float(number) for name, number in self.numbers}
        return {symbol.name: float(first if plain else first.subs(values)) for symbol, first in self.state}

    def __repr__(self) -> str:
        given = [f"{name}={number!r}" for name, number in self.numbers]
        given += [f"{symbol.name}={expression}" for symbol, expression in self.schedules]
        return f"{self.name}({', '.join(given)})"

    def __str__(self) -> str:
        return repr(self) + "".join(f"\n  {symbol} = {value}" for symbol, value in (*self.clip, *self.update))


def checked_rule(
    name: str,
    state: Mapping[Any, Any],
    update: Mapping[Any, Any],
    hyperparameters: Mapping[str, Any],
    clip_by_global_norm: float | None,
    words: Vocabulary,
) -> Optimizer:
    """An Optimizer of these parts; its symbols go by their names, whatever their assumptions.

    Raises:
        MissingValue, UnknownKey, DuplicateName, ArgumentError: as `sympile.runtime.optimizers.optimizer`.
    """
    _demand_own_names(state, hyperparameters, words)
    assigned_state, assigned = _assignments(state, words), _assignments(update, words)
    values = {key: hyperparameter(key, value, words) for key, value in hyperparameters.items()}
    numeric = tuple((key, value) for key, value in values.items() if isinstance(value, float))
    schedules = tuple((sp.Symbol(key), value) for key, value in values.items() if not isinstance(value, float))
    _demand_targets(assigned_state, assigned, words)
    _demand_values(assigned_state, assigned, values, words)
    clip: Assignments = ()
    if clip_by_global_norm is not None:
        numeric += ((CLIP.name, _positive(CLIP.name, clip_by_global_norm)),)
        clip = ((words.gradient, _clipped(words.gradient)),)
    return Optimizer(name, assigned_state, assigned, numeric, schedules, clip)


def _clipped(gradient: sp.Symbol) -> sp.Expr:
    """Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks", algorithm 1."""
    return sp.Piecewise((gradient, GLOBAL_NORM < CLIP), (gradient / GLOBAL_NORM * CLIP, True))


# ------------------------------------------------------------------------------------------------------- the symbols


def _assignments(pairs: Mapping[Any, Any], words: Vocabulary) -> Assignments:
    return tuple((_symbol(key, words), _expression(key, value, words)) for key, value in pairs.items())


def _symbol(key: object, words: Vocabulary) -> sp.Symbol:
    if not isinstance(key, sp.Symbol | str):
        raise ArgumentError(f"an update rule assigns to symbols, not to {key}")
    return words.by_name.get(name_of(key), sp.Symbol(name_of(key)))


def _expression(key: object, value: Any, words: Vocabulary) -> sp.Expr:
    """The value with bare symbols, so that Symbol("m", positive=True) is the m of the state."""
    if isinstance(value, str | bool) or not isinstance(value, sp.Expr | numbers.Number):
        raise ArgumentError(f"the value of {key} must be a SymPy expression or a number, not {value!r}")
    expression = sp.sympify(value)
    symbols = sorted(expression.free_symbols, key=lambda symbol: (symbol.name, str(symbol.assumptions0)))
    for one, other in itertools.pairwise(symbols):
        if one.name == other.name:
            raise DuplicateName(f"two different symbols in the value of {key} have the name {one.name!r}")
    return expression.xreplace({symbol: _symbol(symbol, words) for symbol in symbols})


# ---------------------------------------------------------------------------------------------------------- checks


def _demand_own_names(state: Iterable[Any], hyperparameters: Iterable[str], words: Vocabulary) -> None:
    """One meaning for each name."""
    taken = {name: f"sm.{name}" for name in words.by_name} | {GLOBAL_NORM.name: "the norm that clipping looks at"}
    for kind, names in (("a state", map(name_of, state)), ("a hyperparameter", hyperparameters)):
        for name in names:
            if name in taken:
                raise DuplicateName(f"{name!r} names {kind} and {taken[name]}: rename the first")
            taken[name] = kind


def _demand_targets(state: Assignments, update: Assignments, words: Vocabulary) -> None:
    targets = [symbol for symbol, _ in update]
    states = [symbol for symbol, _ in state]
    strange = [symbol.name for symbol in targets if symbol not in (*states, words.parameter)]
    if strange:
        known = [symbol.name for symbol in (*states, words.parameter)]
        raise ArgumentError(
            f"the rule assigns to {listed(strange)}, which is no state{did_you_mean(strange[0], known)}; "
            f"write state={{{strange[0]}: 0}}"
        )
    if words.parameter not in targets:
        raise ArgumentError("the rule never changes sm.parameter; write update={..., sm.parameter: sm.parameter - ...}")
    idle = [symbol.name for symbol in states if symbol not in targets]
    if idle:
        raise ArgumentError(f"the rule never changes the state {listed(idle)}; make it a hyperparameter")


def _demand_values(
    state: Assignments, update: Assignments, values: Mapping[str, float | sp.Expr], words: Vocabulary
) -> None:
    """Every symbol has a value, every value is used."""
    first, used = _names(state), _names(update)
    known = {*words.by_name, *(symbol.name for symbol, _ in state), *values}
    for missing in sorted(used - known) + sorted(first - values.keys()):
        raise MissingValue(
            f"the rule uses {missing!r}, which has no value{did_you_mean(missing, values.keys() - used - first)}; "
            f"write optimizer(..., {missing}=...)"
        )
    for unused in sorted(values.keys() - used - first):
        raise UnknownKey(f"the rule does not use {unused!r}{did_you_mean(unused, used | first)}")
    varying = sorted(name for name in first if not isinstance(values[name], float))
    if varying:
        raise ArgumentError(f"the first value of a state uses {listed(varying)}, which must be a plain number")


def _names(assignments: Assignments) -> set[str]:
    return {symbol.name for _, value in assignments for symbol in value.free_symbols}


# -------------------------------------------------------------------------------------------------- hyperparameters


def hyperparameter(name: str, value: Any, words: Vocabulary) -> float | sp.Expr:
    """A number as a finite float; an expression in `sm.step` and `sm.epoch` as it is."""
    if isinstance(value, bool) or not isinstance(value, sp.Expr | numbers.Real):
        raise ArgumentError(f"{name} must be a number or an expression in sm.step and sm.epoch, not {value!r}")
    if isinstance(value, sp.Expr) and value.free_symbols:
        expression = _expression(name, value, words)
        strange = sorted(expression.free_symbols - set(words.schedule), key=str)
        if strange:
            raise MissingValue(f"{name} uses {listed(map(str, strange))}; it may use numbers, sm.step and sm.epoch")
        return expression
    return _finite(name, value)


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, OverflowError):    # a complex SymPy number; an int beyond all floats
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentError(f"{name} must be a finite number, not {value!r}")
    return number


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real | sp.Number) or not _finite(name, value) > 0:
        raise ArgumentError(f"{name} must be a number more than 0, not {value!r}")
    return float(value)
