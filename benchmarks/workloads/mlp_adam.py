"""A network 784-128-64-10 with relu on random images of MNIST's shape: 2 epochs of shuffled batches, Adam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
import training
from harness import Parameters, Run
from peer_pytensor import network, pytensor
from peers import compiled, jax, torch
from training import Training

import sympile as sm


@dataclass(frozen=True, slots=True)
class Network:
    """All sizes of one race; layers from the inputs to the classes."""

    batch: int
    dtype: str = "float64"
    layers: tuple[int, ...] = (784, 128, 64, 10)
    examples: int = 10_000
    epochs: int = 2
    rate: float = 1e-3
    GOAL: float = 0.7
    GOAL_PEER: str = "JAX"

    @property
    def TITLE(self) -> str:
        sizes = "-".join(map(str, self.layers))
        work = f"N = {self.examples:,}, batch {self.batch} shuffled, {self.epochs} epochs"
        return f"MLP {sizes} relu, {work}, Adam, {self.dtype}"

    @property
    def RTOL(self) -> float:
        return 1e-8 if self.dtype == "float64" else 1e-4

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        x = rng.random((self.examples, self.layers[0]))
        t = np.eye(self.layers[-1])[rng.integers(0, self.layers[-1], self.examples)]
        start: list[np.ndarray] = []
        for inputs, outputs in zip(self.layers[:-1], self.layers[1:], strict=True):
            start += [rng.normal(size=(outputs, inputs)) * np.sqrt(2.0 / inputs), np.zeros(outputs)]
        x, t, *start = (each.astype(self.dtype) for each in (x, t, *start))
        order = training.orders(rng, self.epochs, self.examples)
        return Training((x, t), tuple(start), self.epochs, self.rate, "adam", self.batch, order)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        x, t = data.examples
        z = forward(parameters, x)[-1]
        return float(np.mean(np.logaddexp.reduce(z, axis=1) - (t * z).sum(axis=1), dtype=float))

    def ours(self, data: Training) -> Run:
        x, t = sp.MatrixSymbol("x", self.layers[0], 1), sp.MatrixSymbol("t", self.layers[-1], 1)
        parameters: list[Any] = []
        z: Any = x
        for number, (inputs, outputs) in enumerate(zip(self.layers[:-1], self.layers[1:], strict=True), start=1):
            W, b = sp.MatrixSymbol(f"W{number}", outputs, inputs), sp.MatrixSymbol(f"b{number}", outputs, 1)
            parameters += [W, b]
            z = W * (sm.relu(z) if number > 1 else z) + b
        model = sm.compile(sm.cross_entropy(z, t), parameters=parameters, dtype=self.dtype)
        return training.ours(model, [x, t], parameters, data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes, data)}
        if jax is not None:
            runs |= training.by_jax(jax_loss, data)
        if torch is not None:
            runs["PyTorch eager"] = training.by_torch(torch_loss, data)
            runs |= {name: training.by_torch(loss, data) for name, loss in compiled(torch_loss).items()}
        if pytensor is not None:
            runs["PyTensor"] = network(data)
        return runs


WORKLOADS = {
    "mlp_adam_64": Network(64),
    "mlp_adam_512": Network(512, GOAL=0.75),
    "mlp_adam_64_float32": Network(64, "float32"),
    "mlp_adam_512_float32": Network(512, "float32", GOAL=0.75),
}


def forward(parameters: Any, x: Any) -> list[Any]:
    """The layers' results, each before its relu; of NumPy and JAX alike."""
    found: list[Any] = []
    for W, b in zip(parameters[::2], parameters[1::2], strict=True):
        found.append((found[-1] * (found[-1] > 0) if found else x) @ W.T + b)
    return found


def slopes(parameters: Parameters, x: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
    """One backward sweep by hand."""
    results = forward(parameters, x)
    z = results[-1]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    adjoint = (e / e.sum(axis=1, keepdims=True) - t) / z.dtype.type(len(x))
    found: list[np.ndarray] = []
    for number in reversed(range(len(results))):
        given = np.maximum(results[number - 1], 0) if number else x
        found += [adjoint.sum(axis=0), adjoint.T @ given]
        if number:
            adjoint = (adjoint @ parameters[2 * number]) * (results[number - 1] > 0)
    return found[::-1]


def jax_loss(parameters: Any, x: Any, t: Any) -> Any:
    for W, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = jax.nn.relu(x @ W.T + b)
    z = x @ parameters[-2].T + parameters[-1]
    return (jax.nn.logsumexp(z, axis=1) - (t * z).sum(axis=1)).mean()


def torch_loss(parameters: Any, x: Any, t: Any) -> Any:
    for W, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = torch.nn.functional.linear(x, W, b).relu()
    return torch.nn.functional.cross_entropy(torch.nn.functional.linear(x, parameters[-2], parameters[-1]), t)
