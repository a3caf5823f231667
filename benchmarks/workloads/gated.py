"""Gated recurrent networks, GRU and LSTM, written step by step as users do, no state named; slopes through all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
import training
from harness import Parameters, Run
from peers import jax, torch
from training import Training

import sympile as sm

GATES = {"GRU": "zrc", "LSTM": "ifgo"}  # each with parameters W (units, inputs), U (units, units), b (units, 1)


@dataclass(frozen=True, slots=True)
class Gated:
    """All sizes of one race. Parameters: W, U, b of each gate in turn, then v (1, units), which reads the states."""

    kind: str
    every: bool = False  # whether every state has a target, not the last one only
    dtype: str = "float64"
    length: int = 20
    inputs: int = 4
    units: int = 16
    examples: int = 1024
    batch: int = 32
    epochs: int = 2
    rate: float = 0.1
    GOAL: float = 1.0
    GOAL_PEER: str = "JAX"

    @property
    def TITLE(self) -> str:
        goals = "a target each step" if self.every else "a target at the end"
        return f"{self.kind}: {self.length} steps of {self.units} units, {goals}, N = {self.examples:,}, {self.dtype}"

    @property
    def RTOL(self) -> float:
        return 1e-9 if self.dtype == "float64" else 1e-4

    def make_data(self) -> Training:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.examples, self.length, self.inputs))
        target = np.tanh(x.sum(axis=2).cumsum(axis=1) / 8)
        gate = (self.units, self.inputs), (self.units, self.units), (self.units, 1)
        shapes = [*gate * len(GATES[self.kind]), (1, self.units)]
        start = [rng.normal(size=shape) / np.sqrt(shape[1] + 1) for shape in shapes]
        x, target, *start = (each.astype(self.dtype) for each in (x, target if self.every else target[:, -1:], *start))
        orders = training.orders(rng, self.epochs, self.examples)
        return Training((x, target), tuple(start), self.epochs, self.rate, batch=self.batch, orders=orders)

    def final_loss(self, data: Training, parameters: Parameters) -> float:
        return float(written_out(self.kind, self.every, np, logistic)(parameters, *data.examples))

    def ours(self, data: Training) -> Run:
        x, target = sp.MatrixSymbol("x", self.length, self.inputs), sp.MatrixSymbol("t", data.examples[1].shape[1], 1)
        names = [f"{letter}{gate}" for gate in GATES[self.kind] for letter in "WUb"] + ["v"]
        parameters = [sp.MatrixSymbol(name, *value.shape) for name, value in zip(names, data.start, strict=True)]
        cell = {"GRU": gru, "LSTM": lstm}[self.kind]
        states = cell(parameters, [x[step, :].T for step in range(self.length)])
        found = [parameters[-1] * state for state in (states if self.every else states[-1:])]
        loss: Any = sum((sm.scalar(f) - target[step, 0]) ** 2 for step, f in enumerate(found))
        return training.ours(sm.compile(loss, parameters, dtype=self.dtype), [x, target], parameters, data)

    def peers(self, data: Training) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": training.by_hand(slopes(self.kind, self.every), data)}
        if jax is not None:
            runs |= training.by_jax(scanned(self.kind, self.every), data)
            other = training.by_jax(written_out(self.kind, self.every, jax.numpy, jax.nn.sigmoid), data)
            runs["JAX scan, written out"] = other["JAX scan"]
        if torch is not None:
            loss = written_out(self.kind, self.every, torch, torch.sigmoid)
            runs["PyTorch eager"] = training.by_torch(loss, data)
        return runs


WORKLOADS = {
    "gated": Gated("GRU"),
    "gated_lstm": Gated("LSTM", every=True),
    "gated_float32": Gated("GRU", dtype="float32"),
}


def gru(parameters: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Every state: h = (1 - z) h + z c."""
    Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc, _ = parameters
    h: Any = sp.ZeroMatrix(*bz.shape)
    one, states = sp.OneMatrix(*bz.shape), []
    for x in inputs:
        z, r = sm.sigmoid(Wz * x + Uz * h + bz), sm.sigmoid(Wr * x + Ur * h + br)
        c = sm.tanh(Wc * x + Uc * sp.HadamardProduct(r, h) + bc)
        h = sp.HadamardProduct(one - z, h) + sp.HadamardProduct(z, c)
        states.append(h)
    return states


def lstm(parameters: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Every state: s = f s + i g, h = o tanh(s)."""
    Wi, Ui, bi, Wf, Uf, bf, Wg, Ug, bg, Wo, Uo, bo, _ = parameters
    h: Any = sp.ZeroMatrix(*bi.shape)
    s, states = h, []
    for x in inputs:
        i, f, o = (sm.sigmoid(W * x + U * h + b) for W, U, b in ((Wi, Ui, bi), (Wf, Uf, bf), (Wo, Uo, bo)))
        g = sm.tanh(Wg * x + Ug * h + bg)
        s = sp.HadamardProduct(f, s) + sp.HadamardProduct(i, g)
        h = sp.HadamardProduct(o, sm.tanh(s))
        states.append(h)
    return states


# ------------------------------------------------------------------------------------------------ peers


def logistic(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def stepped(kind: str, functions: Any, sigmoid: Callable[[Any], Any]) -> Callable[..., tuple[Any, Any]]:
    """One step of a batch: the new state and the memory, which a GRU has not; of what x gives to each gate."""

    def gru(gates: Sequence[Any], given: Sequence[Any], h: Any, s: Any) -> tuple[Any, Any]:
        (z, r), c = [sigmoid(a + h @ U.T) for a, U in zip(given[:2], gates[:2], strict=True)], gates[2]
        return (1 - z) * h + z * functions.tanh(given[2] + (r * h) @ c.T), s

    def lstm(gates: Sequence[Any], given: Sequence[Any], h: Any, s: Any) -> tuple[Any, Any]:
        i, f, g, o = [a + h @ U.T for a, U in zip(given, gates, strict=True)]
        s = sigmoid(f) * s + sigmoid(i) * functions.tanh(g)
        return sigmoid(o) * functions.tanh(s), s

    return {"GRU": gru, "LSTM": lstm}[kind]


def written_out(kind: str, every: bool, functions: Any, sigmoid: Callable[[Any], Any]) -> training.Loss:
    """Step by step, of NumPy, JAX and PyTorch alike."""
    step = stepped(kind, functions, sigmoid)

    def mean(parameters: Any, x: Any, target: Any) -> Any:
        W, U, b, v = parameters[:-1:3], parameters[1:-1:3], parameters[2:-1:3], parameters[-1]
        h = s = 0 * (x[:, 0, :1] + b[0][:, 0])
        losses = []
        for number in range(x.shape[1]):
            h, s = step(U, [x[:, number] @ w.T + a[:, 0] for w, a in zip(W, b, strict=True)], h, s)
            losses.append((h @ v[0] - target[:, number if every else 0]) ** 2)
        return (sum(losses) if every else losses[-1]).mean()

    return mean


def scanned(kind: str, every: bool) -> training.Loss:
    """JAX at its best: what the inputs give to all steps is computed at once, and the steps are one loop."""
    step = stepped(kind, jax.numpy, jax.nn.sigmoid)

    def mean(parameters: Any, x: Any, target: Any) -> Any:
        W, U, b, v = parameters[:-1:3], parameters[1:-1:3], parameters[2:-1:3], parameters[-1]
        given = [x.swapaxes(0, 1) @ w.T + a[:, 0] for w, a in zip(W, b, strict=True)]
        zeros = jax.numpy.zeros((x.shape[0], len(b[0])), x.dtype)

        def turn(state: Any, entered: Any) -> tuple[Any, Any]:
            state = step(U, entered, *state)
            return state, state[0] if every else None

        (last, _), states = jax.lax.scan(turn, (zeros, zeros), given)
        return ((((states if every else last) @ v[0]).T - (target if every else target[:, 0])) ** 2).sum() / len(x)

    return mean


def slopes(kind: str, every: bool) -> Callable[..., list[np.ndarray]]:
    """NumPy's way back through the steps, by hand."""
    cell = {"GRU": GRUBack, "LSTM": LSTMBack}[kind]

    def found(parameters: Parameters, x: np.ndarray, target: np.ndarray) -> list[np.ndarray]:
        v = parameters[-1]
        h = np.zeros((len(x), v.shape[1]), v.dtype)
        steps, s = [], h
        for number in range(x.shape[1]):
            steps.append(cell(parameters, x[:, number], h, s))
            h, s = steps[-1].h, steps[-1].s
        sums = [np.zeros_like(value) for value in parameters]
        dh = ds = np.zeros_like(h)
        for number in reversed(range(x.shape[1])):
            if every or number == x.shape[1] - 1:
                error = 2 * (steps[number].h @ v[0] - target[:, number if every else 0]) / len(x)
                sums[-1] += error[None] @ steps[number].h
                dh = dh + error[:, None] * v
            dh, ds = steps[number].back(sums, dh, ds)
        return sums

    return found


def added(sums: list[np.ndarray], gate: int, da: np.ndarray, x: np.ndarray, h: np.ndarray) -> None:
    """The slope of a gate's operand W x + U h + b, passed on to its parameters."""
    for value, slope in zip(sums[3 * gate : 3 * gate + 3], (da.T @ x, da.T @ h, da.sum(axis=0)[:, None]), strict=True):
        value += slope


class GRUBack:
    """One step of a GRU, and the way back through it."""

    def __init__(self, parameters: Parameters, x: np.ndarray, h: np.ndarray, s: np.ndarray) -> None:
        Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc, _ = parameters
        self.U, self.x, self.before, self.s = (Uz, Ur, Uc), x, h, s
        self.z = logistic(x @ Wz.T + h @ Uz.T + bz[:, 0])
        self.r = logistic(x @ Wr.T + h @ Ur.T + br[:, 0])
        self.c = np.tanh(x @ Wc.T + (self.r * h) @ Uc.T + bc[:, 0])
        self.h = (1 - self.z) * h + self.z * self.c

    def back(self, sums: list[np.ndarray], dh: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dc = dh * self.z * (1 - self.c**2)
        dz = dh * (self.c - self.before) * self.z * (1 - self.z)
        inner = dc @ self.U[2]
        dr = inner * self.before * self.r * (1 - self.r)
        added(sums, 0, dz, self.x, self.before)
        added(sums, 1, dr, self.x, self.before)
        added(sums, 2, dc, self.x, self.r * self.before)
        return dh * (1 - self.z) + inner * self.r + dz @ self.U[0] + dr @ self.U[1], ds


class LSTMBack:
    """One step of an LSTM, and the way back through it."""

    def __init__(self, parameters: Parameters, x: np.ndarray, h: np.ndarray, s: np.ndarray) -> None:
        W, self.U, b = parameters[:-1:3], parameters[1:-1:3], parameters[2:-1:3]
        self.x, self.before, self.memory = x, h, s
        i, f, g, o = (x @ w.T + h @ u.T + a[:, 0] for w, u, a in zip(W, self.U, b, strict=True))
        self.i, self.f, self.g, self.o = logistic(i), logistic(f), np.tanh(g), logistic(o)
        self.s = self.f * s + self.i * self.g
        self.h = self.o * np.tanh(self.s)

    def back(self, sums: list[np.ndarray], dh: np.ndarray, ds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bent = np.tanh(self.s)
        ds = ds + dh * self.o * (1 - bent**2)
        di, df = ds * self.g * self.i * (1 - self.i), ds * self.memory * self.f * (1 - self.f)
        dg, do = ds * self.i * (1 - self.g**2), dh * bent * self.o * (1 - self.o)
        for gate, da in enumerate((di, df, dg, do)):
            added(sums, gate, da, self.x, self.before)
        return sum(da @ u for da, u in zip((di, df, dg, do), self.U, strict=True)), ds * self.f
