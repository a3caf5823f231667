"""`sm.compile`: from a loss and its parameters to a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError, DuplicateName, listed
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.pipeline import LOSS, METRIC, PREDICTION, Request, analyse
from sympile.runtime.byname import name_of
from sympile.runtime.model.given import as_given, as_symbols, demand_formula, demand_one_symbol_per_name
from sympile.runtime.model.model import Model
from sympile.runtime.model.shelf import SHELF

DTYPES = ("float64", "float32")
REWRITES = ("exact", "stable", "finite")
REDUCTIONS = ("mean", "sum")
MATH = ("accurate", "fast")


def compile_model(
    loss: Any,
    parameters: Any,
    *,
    prediction: Any = None,
    constants: Any = (),
    dtype: str = "float64",
    rewrites: str = "stable",
    math: str = "accurate",
    reduction: str = "mean",
    examples: Any = None,
    sizes: Mapping[Any, int] | None = None,
    metrics: Mapping[str, Any] | None = None,
    allow_unused: Any = (),
) -> Model:
    """Derives the gradient of a loss and makes a model of it; machine code follows at the first use.

    Args:
        loss: one example's loss, a scalar expression in any notation. Without data symbols it is the objective itself.
        parameters: the symbol, or a list of those, that training changes.
        prediction: an expression, or a dict from names to expressions, for `predict`.
        constants: symbols whose values have no example axis and are not trained; None for none.
        dtype: "float64" (default: what SymPy users expect of a number) or "float32" (half the memory traffic).
        rewrites: "exact" (the same bits), "stable" (default: never less accurate; overflow inside a formula may
            vanish), "finite" (as if every value were finite).
        math: "accurate" (default: each function within 2 units in the last place; of float32, 2.2) or "fast" (within
            4; of float32, 4.5), which takes less time for tanh, sigmoid, tan, log10 and erfc.
        reduction: "mean" or "sum" of the examples' losses is the objective.
        examples: the size (a Symbol) that is the number of examples, for formulas over a whole design matrix.
        sizes: values of symbolic sizes that no array tells.
        metrics: names and per-example expressions, averaged over the examples by `evaluate` and `fit`.
        allow_unused: parameters that the loss need not depend on.

    Returns:
        A `Model`.

    Raises:
        FormulaError: the loss cannot be read; the message points at the spot and says what to write instead.
        ArgumentError: an argument has a value that means nothing.

    Example:
        >>> x, y, a, b = sp.symbols("x y a b")
        >>> model = compile_model((a*x + b - y)**2, parameters=[a, b], prediction=a*x + b)
        >>> model.gradient[a]
        2*x*(a*x + b - y)
    """
    _one_of("dtype", dtype, DTYPES)
    _one_of("rewrites", rewrites, REWRITES)
    _one_of("math", math, MATH)
    _one_of("reduction", reduction, REDUCTIONS)
    wanted, fixed = as_symbols("parameters", parameters), _optional("constants", constants)
    _demand_distinct(wanted, fixed)
    written = {LOSS: loss, **_labelled(PREDICTION, prediction, "prediction"), **_labelled(METRIC, metrics, "")}
    expressions = _formulas(written, wanted, fixed)
    scope = Scope(
        parameters={name_of(s): s for s in wanted},
        constants={name_of(s): s for s in fixed},
        examples=None if examples is None else _size_name(examples),
        pinned={name_of(s): int(n) for s, n in (sizes or {}).items()},
    )
    request = Request(
        expressions,
        scope,
        wrt=tuple(scope.parameters),
        summed=reduction == "sum",
        rewrites=rewrites,
        math=math,
        allow_unused=tuple(name_of(s) for s in _optional("allow_unused", allow_unused)),
        shelf=SHELF,
    )
    arguments = {
        "loss": loss,
        "parameters": list(wanted),
        "prediction": prediction,
        "constants": list(fixed),
        "dtype": dtype,
        "rewrites": rewrites,
        "math": math,
        "reduction": reduction,
        "examples": examples,
        "sizes": sizes,
        "metrics": metrics,
        "allow_unused": allow_unused,
    }
    return Model(analyse(request), dtype, arguments, rebuild=compile_again)


def compile_again(arguments: Mapping[str, Any]) -> Model:
    """A model from the arguments of an earlier `compile`: what copy and pickle do."""
    return compile_model(**arguments)


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ArgumentError(f"{name} must be one of {listed(choices)}, not {value!r}")


def _formulas(written: Mapping[str, Any], wanted: tuple[Any, ...], fixed: tuple[Any, ...]) -> dict[str, Any]:
    """What was written, by its label, as expressions in which each name stands for one symbol."""
    expressions = {label: as_given(expression) for label, expression in written.items()}
    for label, expression in expressions.items():
        demand_formula(label, expression)
    demand_one_symbol_per_name([*expressions.values(), *wanted, *fixed])
    return expressions


def _optional(name: str, given: Any) -> tuple[Any, ...]:
    """As `as_symbols`, and None for no symbol at all."""
    return () if given is None else as_symbols(name, given)


def _demand_distinct(parameters: tuple[Any, ...], constants: tuple[Any, ...]) -> None:
    counts = Counter(name_of(s) for s in (*parameters, *constants))
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DuplicateName(f"{listed(twice)} stands twice among parameters and constants")


def _labelled(prefix: str, given: Any, single: str) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {f"{prefix}{name}": expression for name, expression in given.items()}
    return {f"{prefix}{single}": given}


def _size_name(examples: Any) -> str:
    if not getattr(sp.sympify(examples), "is_Symbol", False):
        raise ArgumentError(f"examples must be the Symbol that stands in the shapes of the data, not {examples!r}")
    return name_of(examples)
