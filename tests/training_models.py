"""Two small models, data for them, and their losses and gradients by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy as sp

import sympile as sm

Array = npt.NDArray[Any]
N, D, H, K = 53, 5, 4, 3

x_, t_ = sp.MatrixSymbol("x", D, 1), sp.MatrixSymbol("t", K, 1)
W1, b1, W2 = sp.MatrixSymbol("W1", H, D), sp.MatrixSymbol("b1", H, 1), sp.MatrixSymbol("W2", K, H)
lx, ly, la, lb = sp.symbols("x y a b")


def network(dtype: str = "float64", **options: Any) -> sm.Model:
    """½|W2 tanh(W1 x + b1) - t|²: a model with matrices, so that the flat array of parameters has gaps."""
    error = W2 * sm.tanh(W1 * x_ + b1) - t_
    return sm.compile(sm.scalar(error.T * error) / 2, [W1, b1, W2], prediction=error + t_, dtype=dtype, **options)


def line(**options: Any) -> sm.Model:
    return sm.compile((la * lx + lb - ly) ** 2, [la, lb], prediction=la * lx + lb, **options)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


X, T = rng().normal(size=(N, D)), rng().normal(size=(N, K))
START = {"W1": rng().normal(size=(H, D)), "b1": rng().normal(size=(H, 1)), "W2": rng().normal(size=(K, H))}
XS = np.linspace(-1.0, 1.0, N)
YS = 3 * XS - 1 + rng().normal(size=N) / 10
DATA, LINE, LINE_X = {x_: X, t_: T}, {lx: XS, ly: YS}, {lx: XS}


def network_loss(p: Mapping[str, Array], rows: Array) -> tuple[float, dict[str, Array]]:
    x, t = X[rows], T[rows]
    h = np.tanh(x @ p["W1"].T + p["b1"].T)
    e = h @ p["W2"].T - t
    back = (e @ p["W2"]) * (1 - h * h)
    n = len(rows)
    return float((e * e).sum() / 2 / n), {"W1": back.T @ x / n, "b1": back.sum(0)[:, None] / n, "W2": e.T @ h / n}


def line_loss(p: Mapping[str, Array], rows: Array) -> tuple[float, dict[str, Array]]:
    r = p["a"] * XS[rows] + p["b"] - YS[rows]
    return float((r * r).mean()), {"a": np.asarray((2 * r * XS[rows]).mean()), "b": np.asarray(2 * r.mean())}


def orders(epochs: int, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(N) for _ in range(epochs)])


_made: dict[str, sm.Model] = {}


def compiled_network(dtype: str) -> sm.Model:
    """Made once for all tests."""
    if dtype not in _made:
        _made[dtype] = network(dtype)
    return _made[dtype]
