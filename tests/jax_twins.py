"""Models written twice, for sympile and for JAX: how they are declared, drawn, compiled and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import sympile as sm

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Formula = Callable[..., Any]


def over(index: Any, length: Any) -> tuple[Any, int, Any]:
    return (index, 0, length - 1)


# ============================================================================================= kinds of values


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.5, 1.5, size=shape)


def one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def ones_and_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 2, shape).astype(float)


def plus_minus(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 2 * ones_and_zeros(rng, shape) - 1


def ties(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Few different values, so that a maximum is often attained twice."""
    return rng.integers(0, 3, shape).astype(float)


def spread_out(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A matrix whose determinant is positive and far from 0."""
    return rng.normal(size=shape) / 4 + 2 * np.eye(shape[-1])


def below(bound: int) -> Draw:
    return lambda rng, shape: rng.integers(0, bound, shape)


def zeros_at(*places: int) -> Draw:
    """Normal numbers, with zeros at these places of the last axis."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        values = rng.normal(size=shape)
        values[..., list(places)] = 0.0
        return values

    return draw


# ============================================================================================= a model


@dataclass(frozen=True, slots=True, eq=False)
class Twin:
    """One model for both; whoever is neither trained nor constant is data."""

    shapes: Mapping[str, tuple[Any, ...]]
    trained: str
    jax: Formula  # of one example; of arrays with all examples where `whole`
    written: Mapping[str, Formula]  # notation → formula
    constants: str = ""
    draws: Mapping[str, Draw] = field(default_factory=dict)
    whole: bool = False

    @property
    def data(self) -> list[str]:
        return [name for name in self.shapes if name not in (*self.trained.split(), *self.constants.split())]

    def compiled(self, notation: str, **options: Any) -> sm.Model:
        symbols = {name: SYMBOLS[notation](name, shape) for name, shape in self.shapes.items()}
        trained, constants = (
            [s for name in names.split() for s in flat(symbols[name])] for names in (self.trained, self.constants)
        )
        return sm.compile(self.written[notation](**symbols), parameters=trained, constants=constants, **options)

    def values(self, examples: int, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        shapes = {name: (examples, *shape) if name in self.data else shape for name, shape in self.shapes.items()}
        return {name: self.draws.get(name, normal)(rng, shape) for name, shape in shapes.items()}

    def first(self, values: Mapping[str, np.ndarray], examples: int) -> dict[str, np.ndarray]:
        return {name: value[:examples] if name in self.data else value for name, value in values.items()}

    def losses(self, values: Mapping[str, Any]) -> Any:
        """Every example's loss, in JAX; of a model without data, one."""
        if self.whole:
            return self.jax(**values)
        if not self.data:
            return jnp.reshape(self.jax(**values), 1)
        given = {name: value for name, value in values.items() if name not in self.data}
        return jax.vmap(lambda one: self.jax(**given, **one))({name: values[name] for name in self.data})


def _scalars(name: str, shape: tuple[int, ...]) -> Any:
    """Separate symbols: an array of them, which formulas index."""
    if not shape:
        return sp.Symbol(name)
    made = np.empty(shape, dtype=object)
    for at in np.ndindex(*shape):
        made[at] = sp.Symbol("_".join((name, *map(str, at))))
    return made


def _matrix(name: str, shape: tuple[Any, ...]) -> Any:
    return sp.MatrixSymbol(name, *(*shape, 1)[:2]) if shape else sp.Symbol(name)


# fmt: off
SYMBOLS: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "matrix": _matrix,
    "index":  lambda name, shape: sp.IndexedBase(name, shape=shape) if shape else sp.Symbol(name),
    "tensor": lambda name, shape: sm.Tensor(name, shape) if shape else sp.Symbol(name),
    "scalar": _scalars,
}
# fmt: on


def flat(symbol: Any) -> list[Any]:
    return list(symbol.ravel()) if isinstance(symbol, np.ndarray) else [symbol]


# ============================================================================================= comparing

UNOPTIMIZED = {"xla_backend_optimization_level": 0}  # JAX spends its time on compiling, not on these few numbers
CANCELLED = 1e-14  # of sums of numbers around 1 that are exactly 0, as those of one example normalised by itself


def close(found: Any, wanted: Any, rtol: float, label: str) -> None:
    """Relative to the largest entry: one that cancels has the error of its terms, and so have all, if all cancel."""
    scale = float(np.max(np.abs(wanted), initial=0))
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * scale + CANCELLED, err_msg=label)
