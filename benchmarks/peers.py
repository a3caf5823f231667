"""The other tools, loaded only where they are installed, and what the workloads share in using them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np

Array = Any    # of JAX or PyTorch, whichever is installed


def installed(name: str) -> ModuleType | None:
    """The module, or None where it is not installed; an installed module that fails to load still fails."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def missing() -> list[str]:
    """The peers that are not here."""
    packages = ("jax", "torch", "casadi", "pytensor", "heyoka")
    compilers = [] if shutil.which("gcc") else ["gcc (CasADi's loops)"]
    return [name for name in packages if importlib.util.find_spec(name) is None] + compilers


jax: Any = installed("jax")
torch: Any = installed("torch")

if jax is not None:
    jax.config.update("jax_enable_x64", True)
if torch is not None:
    torch.set_num_threads(1)


def gradient_step(loss: Array, parameters: list[Array], learning_rate: float) -> None:
    """PyTorch's own way of one plain step: backward, update in place, clear."""
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            parameter -= learning_rate * parameter.grad
            parameter.grad = None


def compiled(loss: Callable[..., Array]) -> dict[str, Callable[..., Array]]:
    """PyTorch's compiled form of a loss and its gradient; only on request (run.py --compiled), as it takes a minute."""
    return {"PyTorch compiled": torch.compile(loss)} if os.environ.get("BENCHMARK_COMPILED") else {}


def tensors(parameters: tuple[np.ndarray, ...]) -> list[Array]:
    """PyTorch parameters with these first values."""
    return [torch.tensor(value, requires_grad=True) for value in parameters]


def arrays(parameters: Iterable[Array]) -> tuple[np.ndarray, ...]:
    """NumPy arrays of the parameters of either tool; waits until they are computed."""
    return tuple(np.asarray(each.detach() if hasattr(each, "detach") else each) for each in parameters)


def finished(way: Callable[..., Array], *arguments: Array) -> Callable[[], tuple[np.ndarray, ...]]:
    """The run that calls `way` and waits for the parameters it returns."""
    return lambda: arrays(way(*arguments))


def shuffled_epochs(step: Callable[[Array, Array], Array], batch_size: int) -> dict[str, Callable[..., Array]]:
    """JAX's ways through all epochs of shuffled batches in one jitted call; the smaller last batch is a step too.

    Each way takes the first state, the examples (a tuple of arrays) and the orders (epochs, N).
    """

    def split(order: Array) -> tuple[Array, Array]:
        whole = len(order) // batch_size * batch_size
        return order[:whole].reshape(-1, batch_size), order[whole:]

    def last(state: Array, examples: Array, rest: Array) -> Array:
        return step(state, taken(examples, rest)) if len(rest) else state

    def by_scan(state: Array, examples: Array, orders: Array) -> Array:
        """Shuffles the examples once an epoch, then scans over the batches."""

        def epoch(state: Array, order: Array) -> tuple[Array, None]:
            batches, rest = split(order)
            state = jax.lax.scan(lambda state, batch: (step(state, batch), None), state, taken(examples, batches))[0]
            return last(state, examples, rest), None

        return jax.lax.scan(epoch, state, orders)[0]

    def by_fori(state: Array, examples: Array, orders: Array) -> Array:
        """Gathers each batch when its turn comes."""

        def epoch(number: Array, state: Array) -> Array:
            batches, rest = split(orders[number])
            return last(jax.lax.fori_loop(0, len(batches), visit(batches), state), examples, rest)

        def visit(batches: Array) -> Callable[[Array, Array], Array]:
            return lambda turn, state: step(state, taken(examples, batches[turn]))

        return jax.lax.fori_loop(0, len(orders), epoch, state)

    def by_gathering_scan(state: Array, examples: Array, orders: Array) -> Array:
        """Scans over the indices and gathers each batch when its turn comes."""

        def epoch(state: Array, order: Array) -> tuple[Array, None]:
            batches, rest = split(order)
            visit = lambda state, batch: (step(state, taken(examples, batch)), None)    # noqa: E731
            return last(jax.lax.scan(visit, state, batches)[0], examples, rest), None

        return jax.lax.scan(epoch, state, orders)[0]

    ways = {"JAX scan": by_scan, "JAX fori_loop": by_fori, "JAX scan, gathering": by_gathering_scan}
    return {name: jax.jit(way) for name, way in ways.items()}


def full_batches(step: Callable[[Array, Array], Array], steps: int) -> dict[str, Callable[..., Array]]:
    """JAX's ways through so many steps, each on all examples, in one jitted call of first state and examples."""

    def by_fori(state: Array, examples: Array) -> Array:
        return jax.lax.fori_loop(0, steps, lambda _, current: step(current, examples), state)

    def by_scan(state: Array, examples: Array) -> Array:
        return jax.lax.scan(lambda current, _: (step(current, examples), None), state, length=steps)[0]

    return {"JAX fori_loop": jax.jit(by_fori), "JAX scan": jax.jit(by_scan)}


def taken(examples: Array, rows: Array) -> Array:
    """These rows of each array."""
    return tuple(each[rows] for each in examples)
