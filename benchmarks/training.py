"""One training, done by every tool: the same examples, first parameters, batches and update rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import Parameters, Run
from peers import Array, arrays, finished, full_batches, jax, shuffled_epochs, tensors, torch

import sympile as sm

B1, B2, EPSILON = 0.9, 0.999, 1e-8
Loss = Callable[..., Any]  # of the parameters (a tuple) and the arrays of a batch: the mean over its examples


@dataclass(frozen=True, slots=True)
class Training:
    """Examples (N in front of each array); so many epochs of full batches, or of batches in the order of `orders`."""

    examples: tuple[np.ndarray, ...]
    start: Parameters
    epochs: int
    rate: float
    rule: str = "sgd"  # or "adam"
    batch: int | None = None
    orders: np.ndarray | None = None  # (epochs, N)

    @property
    def dtype(self) -> Any:
        return self.start[0].dtype


def orders(rng: np.random.Generator, epochs: int, examples: int) -> np.ndarray:
    """A fresh order of the examples for each epoch."""
    return np.stack([rng.permutation(examples) for _ in range(epochs)])


def ours(model: sm.Model, data: Sequence[Any], parameters: Sequence[Any], training: Training) -> Run:
    """The model's fit; `data` and `parameters` are its symbols, in the order of the training's arrays."""
    rule = {"sgd": sm.sgd, "adam": sm.adam}[training.rule](training.rate)
    values = dict(zip(data, training.examples, strict=True))
    start = dict(zip(parameters, training.start, strict=True))
    shuffle = False if training.orders is None else training.orders

    def run() -> Parameters:
        result = model.fit(
            values,
            start=start,
            optimizer=rule,
            epochs=training.epochs,
            batch_size=training.batch,
            shuffle=shuffle,
            verbose=False,
        )
        return tuple(result.parameters[each].reshape(value.shape) for each, value in start.items())

    return run


def by_hand(slopes: Callable[..., Sequence[np.ndarray]], training: Training) -> Run:
    """NumPy, with slopes derived by hand."""

    def run() -> Parameters:
        parameters = [value.copy() for value in training.start]
        moments = [(np.zeros_like(value), np.zeros_like(value)) for value in parameters]
        for number, batch in enumerate(batches(training), start=1):
            found = slopes(tuple(parameters), *batch)
            for value, slope, (m, v) in zip(parameters, found, moments, strict=True):
                value -= change(training, slope, m, v, number)
        return tuple(parameters)

    return run


def batches(training: Training) -> Any:
    """The arrays of each batch in turn, of NumPy or PyTorch."""
    if training.orders is None or training.batch is None:
        yield from (training.examples for _ in range(training.epochs))
        return
    for order in training.orders:
        for begin in range(0, len(order), training.batch):
            rows = order[begin : begin + training.batch]
            yield tuple(each[rows] for each in training.examples)


def change(training: Training, slope: np.ndarray, m: np.ndarray, v: np.ndarray, number: int) -> np.ndarray:
    """What the rule subtracts; m and v are Adam's moments, changed in place."""
    if training.rule == "sgd":
        return training.rate * slope
    m += (1.0 - B1) * (slope - m)
    v += (1.0 - B2) * (slope * slope - v)
    return training.rate / (1.0 - B1**number) * m / (np.sqrt(v / (1.0 - B2**number)) + EPSILON)


def by_jax(loss: Loss, training: Training) -> dict[str, Run]:
    """All epochs in one jitted call, written in several ways."""
    examples, start = jax.device_put((training.examples, training.start))
    step, state = (sgd_step(loss, training.rate), start) if training.rule == "sgd" else adam(loss, training.rate, start)
    if training.orders is None or training.batch is None:
        ways, given = full_batches(step, training.epochs), (state, examples)
    else:
        ways, given = shuffled_epochs(step, training.batch), (state, examples, jax.device_put(training.orders))
    return {name: first(way, training, *given) for name, way in ways.items()}


def first(way: Callable[..., Array], training: Training, *arguments: Array) -> Run:
    """The run that keeps of the last state the parameters."""
    if training.rule == "sgd":
        return finished(way, *arguments)
    return finished(lambda *given: way(*given)[0], *arguments)


def sgd_step(loss: Loss, rate: float) -> Callable[[Array, Array], Array]:
    def step(parameters: Array, batch: Array) -> Array:
        slopes = jax.grad(loss)(parameters, *batch)
        return jax.tree.map(lambda value, slope: value - rate * slope, parameters, slopes)

    return step


def adam(loss: Loss, rate: float, start: Array) -> tuple[Callable[[Array, Array], Array], Array]:
    """The step, and its first state: parameters, both moments, and the numbers 1 - b1**t and 1 - b2**t's powers."""

    def step(state: Array, batch: Array) -> Array:
        parameters, m, v, b1, b2 = state
        b1, b2 = b1 * B1, b2 * B2
        slopes = jax.grad(loss)(parameters, *batch)
        m = jax.tree.map(lambda m, g: m + (1.0 - B1) * (g - m), m, slopes)
        v = jax.tree.map(lambda v, g: v + (1.0 - B2) * (g * g - v), v, slopes)
        scale, shrink = (each.astype(start[0].dtype) for each in (rate / (1.0 - b1), 1.0 / (1.0 - b2)))
        update = lambda p, m, v: p - scale * m / (jax.numpy.sqrt(v * shrink) + EPSILON)  # noqa: E731
        return jax.tree.map(update, parameters, m, v), m, v, b1, b2

    zeros = jax.tree.map(lambda value: 0 * value, start)
    one = jax.numpy.ones(())  # in float64 for all: 1 - b2 has few digits in float32
    return step, (start, zeros, zeros, one, one)


def by_torch(loss: Loss, training: Training) -> Run:
    """Eager, or whatever `loss` was compiled to; Adam in its fused form."""
    examples = tuple(torch.from_numpy(each) for each in training.examples)
    order = None if training.orders is None else torch.from_numpy(training.orders)
    given = Training(examples, (), training.epochs, training.rate, training.rule, training.batch, order)

    def run() -> Parameters:
        parameters = tensors(training.start)
        rule = torch_rule(parameters, training)
        for batch in batches(given):
            rule.zero_grad()
            loss(tuple(parameters), *batch).backward()
            rule.step()
        return arrays(parameters)

    return run


def torch_rule(parameters: list[Array], training: Training) -> Any:
    if training.rule == "sgd":
        return torch.optim.SGD(parameters, lr=training.rate, foreach=True)
    return torch.optim.Adam(parameters, lr=training.rate, betas=(B1, B2), eps=EPSILON, fused=True)
