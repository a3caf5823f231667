"""One small layer, compiled; its data, and the same in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import sympy as sp

import sympile as sm

Array = npt.NDArray[Any]
N, D, K = 11, 4, 3
RNG = np.random.default_rng(11)
X, T = RNG.normal(size=(N, D)), RNG.normal(size=(N, K))
W0, B0 = RNG.normal(size=(K, D)), RNG.normal(size=(K, 1))

x, t = sp.MatrixSymbol("x", D, 1), sp.MatrixSymbol("t", K, 1)
W, b = sp.MatrixSymbol("W", K, D), sp.MatrixSymbol("b", K, 1)
u, v, w = sp.symbols("u v w")


def layer(**options: Any) -> sm.Model:
    e = sm.tanh(W * x + b) - t
    return sm.compile(sm.scalar(e.T * e), [W, b], prediction=e + t, metrics={"worst": sm.max(sm.abs(e))}, **options)


MODEL = layer()
VALUES = {x: X, t: T, W: W0, b: B0}


def truth(xs: Array = X, ts: Array = T, weights: Array = W0, bias: Array = B0) -> tuple[float, dict[str, Array]]:
    h = np.tanh(xs @ weights.T + bias.T)
    back = 2 * (h - ts) * (1 - h * h) / len(xs)
    return float(((h - ts) ** 2).sum(1).mean()), {"W": back.T @ xs, "b": back.sum(0)[:, None]}
