"""First values of parameters: what the user gives, zeros for what is only added, Glorot uniform for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArgumentError, MissingValue, listed
from sympile.compiler.program import Signature, Slot
from sympile.runtime.arguments import Binder, Bound
from sympile.runtime.shapes import resolved, shown

Array = npt.NDArray[Any]
Draw: TypeAlias = "Callable[[Sequence[int], np.random.Generator], Array]"  # in words: numpy.random is slow to load
SMALL = 256  # numbers that are kept instead of drawn again


def first_parameters(
    signature: Signature, given: Bound, *, sizes: Mapping[str, int], seed: int, added: Collection[str] = ()
) -> dict[str, Array]:
    """The parameters' values before the first step.

    Args:
        signature: names and shapes; only its parameter slots matter here.
        given: the values for any of the parameters, as `start_binder` takes them.
        sizes: the sizes that the data tell.
        seed: the seed of `fit`, an integer from 0.
        added: names of the parameters that are only ever added to something: they start at 0.

    Returns:
        New C-contiguous arrays of the model's dtype in the shape that the code sees, in the slots' order.

    Raises:
        MissingValue: a parameter without a start value has a size that nothing tells.
        ArgumentError: the seed is no integer from 0.
    """
    values, known = given.by_name(), {**sizes, **given.sizes}
    parameters = [slot for slot in signature.slots if slot.role == "parameter"]
    first = {}
    for slot in parameters:
        if slot.name in values:
            first[slot.name] = values[slot.name].copy()
        else:
            draw = _zeros if slot.name in added else glorot_uniform
            first[slot.name] = _drawn(slot, known, seed, draw).astype(signature.dtype)
    return first


def start_binder(signature: Signature) -> Binder:
    """What takes first values."""
    return Binder(signature, roles=("parameter",), partial=True)


def _drawn(slot: Slot, sizes: Mapping[str, int], seed: int, draw: Draw) -> Array:
    unknown = [extent for extent in dict.fromkeys(slot.declared) if isinstance(extent, str) and extent not in sizes]
    if unknown:
        raise MissingValue(
            f"{slot.name} has the shape {shown(slot.declared)}, and nothing tells {listed(unknown)}\n"
            f"  write start={{{slot.name}: ...}} with an array, or sizes={{{unknown[0]}: ...}} when compiling"
        )
    shape = resolved(slot.declared, sizes)
    small = math.prod(shape) <= SMALL and type(seed) is int
    values: Array = _kept(draw, shape, seed, slot.name) if small else draw(shape, generator(seed, slot.name))
    return values.reshape(resolved(slot.shape, sizes))


@lru_cache(maxsize=256)
def _kept(draw: Draw, shape: tuple[int, ...], seed: int, name: str) -> Array:
    """The same numbers as ever: to set up a generator takes longer than to draw a few of them."""
    return draw(shape, generator(seed, name))


def generator(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one parameter: they depend on the seed and its name, on nothing else of the model."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"seed must be an integer from 0, not {seed!r}")
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=tuple(name.encode())))


def _zeros(shape: Sequence[int], rng: np.random.Generator) -> Array:
    return np.zeros(shape)


def glorot_uniform(shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Uniform numbers in ±sqrt(6 / (fan_in + fan_out)).

    Args:
        shape: the shape as declared: a matrix W of W*x is out × in; of more axes, the further ones are a window, as
            in PyTorch; a vector of k numbers counts as k × 1; a single number as 1 × 1.
        rng: where the numbers come from.

    Returns:
        A float64 array of that shape.

    Source:
        Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
    """
    fan_out, fan_in, *window = (*shape, 1, 1) if len(shape) < 2 else shape
    limit = math.sqrt(6 / max(1, (fan_in + fan_out) * math.prod(window)))
    return rng.uniform(-limit, limit, size=tuple(shape))
