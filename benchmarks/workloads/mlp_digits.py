"""A network 64-100-10 with tanh on scikit-learn's digits: 20 epochs of shuffled batches of 64, SGD with momentum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy as sp
from harness import Parameters, Run
from peers import Array, arrays, finished, jax, shuffled_epochs, tensors, torch
from sklearn.datasets import load_digits

import sympile as sm

TITLE = "mlp-digits: 64-100-10 tanh, N = 1,797, batch 64 shuffled, 20 epochs, momentum"
GOAL = 0.65
GOAL_PEER = "JAX"
RTOL = 1e-9
EPOCHS, BATCH, LEARNING_RATE, MOMENTUM = 20, 64, 0.05, 0.9
INPUTS, HIDDEN, CLASSES = 64, 100, 10


@dataclass(frozen=True, slots=True)
class Data:
    """Images (N, 64) in 0 … 1, one-hot classes (N, 10), orders (20, N), and W1 (100, 64), b1, W2 (10, 100), b2."""

    x: np.ndarray
    t: np.ndarray
    orders: np.ndarray
    start: Parameters


def make_data() -> Data:
    rng = np.random.default_rng(0)
    digits = load_digits()
    orders = np.stack([rng.permutation(len(digits.target)) for _ in range(EPOCHS)])
    W1, W2 = glorot(rng, HIDDEN, INPUTS), glorot(rng, CLASSES, HIDDEN)
    start = (W1, np.zeros(HIDDEN), W2, np.zeros(CLASSES))
    return Data(digits.data / 16.0, np.eye(CLASSES)[digits.target], orders, start)


def glorot(rng: np.random.Generator, outputs: int, inputs: int) -> np.ndarray:
    limit = np.sqrt(6.0 / (inputs + outputs))
    return rng.uniform(-limit, limit, size=(outputs, inputs))


def final_loss(data: Data, parameters: Parameters) -> float:
    W1, b1, W2, b2 = parameters
    z = np.tanh(data.x @ W1.T + b1) @ W2.T + b2
    return float(np.mean(np.logaddexp.reduce(z, axis=1) - (data.t * z).sum(axis=1)))


def ours(data: Data) -> Run:
    x, t = sp.MatrixSymbol("x", INPUTS, 1), sp.MatrixSymbol("t", CLASSES, 1)
    W1, b1 = sp.MatrixSymbol("W1", HIDDEN, INPUTS), sp.MatrixSymbol("b1", HIDDEN, 1)
    W2, b2 = sp.MatrixSymbol("W2", CLASSES, HIDDEN), sp.MatrixSymbol("b2", CLASSES, 1)
    z = W2 * sm.tanh(W1 * x + b1) + b2
    parameters = [W1, b1, W2, b2]
    model = sm.compile(sm.cross_entropy(z, t), parameters=parameters, prediction=sm.softmax(z))

    def run() -> Parameters:
        result = model.fit(
            {x: data.x, t: data.t},
            start=dict(zip(parameters, data.start, strict=True)),
            optimizer=sm.sgd(LEARNING_RATE, momentum=MOMENTUM),
            epochs=EPOCHS,
            batch_size=BATCH,
            shuffle=data.orders,
            verbose=False,
        )
        first = zip(parameters, data.start, strict=True)
        return tuple(result.parameters[each].reshape(value.shape) for each, value in first)

    return run


def peers(data: Data) -> dict[str, Run]:
    runs: dict[str, Run] = {"NumPy by hand": lambda: by_hand(data)}
    if jax is not None:
        runs |= jax_runs(data)
    if torch is not None:
        runs["PyTorch eager"] = torch_run(data)
    return runs


def by_hand(data: Data) -> Parameters:
    parameters = [value.copy() for value in data.start]
    traces = [np.zeros_like(value) for value in data.start]
    for order in data.orders:
        x, t = data.x[order], data.t[order]
        for begin in range(0, len(x), BATCH):
            slopes = slopes_by_hand(parameters, x[begin : begin + BATCH], t[begin : begin + BATCH])
            for value, trace, slope in zip(parameters, traces, slopes, strict=True):
                trace *= MOMENTUM
                trace += slope
                value -= LEARNING_RATE * trace
    return tuple(parameters)


def slopes_by_hand(parameters: list[np.ndarray], x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, ...]:
    W1, b1, W2, b2 = parameters
    h = np.tanh(x @ W1.T + b1)
    z = h @ W2.T + b2
    e = np.exp(z - z.max(axis=1, keepdims=True))
    dz = (e / e.sum(axis=1, keepdims=True) - t) / len(x)
    dv = (dz @ W2) * (1.0 - h * h)
    return dv.T @ x, dv.sum(axis=0), dz.T @ h, dz.sum(axis=0)


def jax_runs(data: Data) -> dict[str, Run]:
    examples, parameters, orders = jax.device_put(((data.x, data.t), data.start, data.orders))
    start = (parameters, jax.tree.map(lambda value: 0.0 * value, parameters))

    def loss(parameters: Array, x: Array, t: Array) -> Array:
        W1, b1, W2, b2 = parameters
        z = jax.numpy.tanh(x @ W1.T + b1) @ W2.T + b2
        return (jax.nn.logsumexp(z, axis=1) - (t * z).sum(axis=1)).mean()

    def step(state: Array, batch: Array) -> Array:
        parameters, traces = state
        slopes = jax.grad(loss)(parameters, *batch)
        traces = jax.tree.map(lambda trace, slope: MOMENTUM * trace + slope, traces, slopes)
        return jax.tree.map(lambda value, trace: value - LEARNING_RATE * trace, parameters, traces), traces

    def parameters_of(way: Callable[..., Array]) -> Callable[..., Array]:
        return lambda *arguments: way(*arguments)[0]

    ways = shuffled_epochs(step, BATCH)
    return {name: finished(parameters_of(way), start, examples, orders) for name, way in ways.items()}


def torch_run(data: Data) -> Run:
    x, t, orders = (torch.from_numpy(each) for each in (data.x, data.t, data.orders))

    def run() -> Parameters:
        parameters = W1, b1, W2, b2 = tensors(data.start)
        optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM, foreach=True)
        for order in orders:
            for batch in order.split(BATCH):
                z = torch.tanh(x[batch] @ W1.T + b1) @ W2.T + b2
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(z, t[batch]).backward()
                optimizer.step()
        return arrays(parameters)

    return run
