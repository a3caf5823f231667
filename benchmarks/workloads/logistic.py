"""Logistic regression, 10 features, 10,000 examples: 20 epochs of shuffled batches of 64, the last one smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from by_c import c_function
from harness import Parameters, Run
from peers import Array, arrays, finished, gradient_step, jax, shuffled_epochs, tensors, torch

import sympile as sm

TITLE = "logistic: 10 features, N = 10,000, batch 64 shuffled, 20 epochs"
GOAL = 0.3
GOAL_PEER = "JAX"
RTOL = 1e-11
EPOCHS, BATCH, LEARNING_RATE = 20, 64, 0.1
FEATURES, EXAMPLES = 10, 10_000


@dataclass(frozen=True, slots=True)
class Data:
    """Features (N, 10), labels 0 or 1 (N,), the orders of all epochs (20, N), first weights (10,) and bias."""

    x: np.ndarray
    y: np.ndarray
    orders: np.ndarray
    start: Parameters


def make_data() -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, FEATURES))
    chance = 1.0 / (1.0 + np.exp(-(x @ rng.normal(size=FEATURES) + 0.5)))
    y = (rng.random(EXAMPLES) < chance).astype(float)
    orders = np.stack([rng.permutation(EXAMPLES) for _ in range(EPOCHS)])
    return Data(x, y, orders, (np.zeros(FEATURES), np.array(0.0)))


def final_loss(data: Data, parameters: Parameters) -> float:
    w, b = parameters
    z = data.x @ w + b
    return float(np.mean(np.logaddexp(0.0, z) - data.y * z))


def ours(data: Data) -> Run:
    x, w = sp.MatrixSymbol("x", FEATURES, 1), sp.MatrixSymbol("w", FEATURES, 1)
    y, b = sp.symbols("y b")
    z = sm.dot(w, x) + b
    model = sm.compile(sm.binary_cross_entropy(z, y), parameters=[w, b], prediction=sm.sigmoid(z))

    def run() -> Parameters:
        result = model.fit(
            {x: data.x, y: data.y},
            start={w: data.start[0], b: data.start[1]},
            optimizer=sm.sgd(LEARNING_RATE),
            epochs=EPOCHS,
            batch_size=BATCH,
            shuffle=data.orders,
            verbose=False,
        )
        return result.parameters[w].reshape(-1), result.parameters[b]

    return run


def peers(data: Data) -> dict[str, Run]:
    runs: dict[str, Run] = {"NumPy by hand": lambda: by_hand(data)}
    by_c = c_function("logistic")
    if by_c is not None:
        runs["C by hand"] = in_c(by_c, data)
    if jax is not None:
        runs |= jax_runs(data)
    if torch is not None:
        runs["PyTorch eager"] = torch_run(data)
    return runs


def by_hand(data: Data) -> Parameters:
    w, b = data.start[0].copy(), float(data.start[1])
    for order in data.orders:
        x, y = data.x[order], data.y[order]
        for begin in range(0, EXAMPLES, BATCH):
            batch, label = x[begin : begin + BATCH], y[begin : begin + BATCH]
            residual = 1.0 / (1.0 + np.exp(-(batch @ w + b))) - label
            w -= LEARNING_RATE / label.size * (residual @ batch)
            b -= LEARNING_RATE / label.size * float(residual.sum())
    return w, np.array(b)


def in_c(function: Any, data: Data) -> Run:
    def run() -> Parameters:
        p = np.append(*data.start)
        function(p, data.x, data.y, data.orders, EXAMPLES, EPOCHS, BATCH, LEARNING_RATE)
        return p[:-1], p[-1]

    return run


def jax_runs(data: Data) -> dict[str, Run]:
    examples, start, orders = jax.device_put(((data.x, data.y), data.start, data.orders))

    def loss(parameters: Array, x: Array, y: Array) -> Array:
        z = x @ parameters[0] + parameters[1]
        return (jax.nn.softplus(z) - y * z).mean()

    def step(parameters: Array, batch: Array) -> Array:
        slopes = jax.grad(loss)(parameters, *batch)
        return jax.tree.map(lambda value, slope: value - LEARNING_RATE * slope, parameters, slopes)

    ways = shuffled_epochs(step, BATCH)
    return {name: finished(way, start, examples, orders) for name, way in ways.items()}


def torch_run(data: Data) -> Run:
    x, y, orders = (torch.from_numpy(each) for each in (data.x, data.y, data.orders))
    loss = torch.nn.functional.binary_cross_entropy_with_logits

    def run() -> Parameters:
        parameters = w, b = tensors(data.start)
        for order in orders:
            for batch in order.split(BATCH):
                gradient_step(loss(x[batch] @ w + b, y[batch]), parameters, LEARNING_RATE)
        return arrays(parameters)

    return run
