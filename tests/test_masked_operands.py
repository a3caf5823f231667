"""What relu passed is part of the operand of dW = dz xᵀ, also where dz reads rows that data choose; against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.conditions import conditions_of, unguarded
from sympile.compiler.graph.definition import computed
from sympile.compiler.passes.fuse import fuse

N, D, H, K = 9, 20, 24, 10
rng = np.random.default_rng(5)
x, c = sp.MatrixSymbol("x", D, 1), sp.Symbol("c")
W, V = sp.MatrixSymbol("W", H, D), sp.MatrixSymbol("V", K, H)
b, d = sp.MatrixSymbol("b", H, 1), sp.MatrixSymbol("d", K, 1)
DATA: dict[Any, Any] = {x: rng.normal(size=(N, D, 1)), c: rng.integers(0, K, N)}
START: dict[Any, Any] = {s: rng.normal(size=s.shape) for s in (W, b, V, d)}


def network(dtype: str = "float64") -> Any:
    return sm.compile(sm.cross_entropy(V * sm.relu(W * x + b) + d, c), [W, b, V, d], dtype=dtype)


def test_no_product_asks_for_signs() -> None:
    """dz is stored with its mask, though the row of V that it starts from is chosen by the class."""
    net = network()
    fused = fuse(list(net._work.outputs.values()))
    sums = [t for t in computed(list(fused.outputs.values())) if t.monoid == "sum" and len(t.axes) == 2]
    products = [t for t in sums if len([f for f in factors_of(split(unguarded(t.formula))[1]) if f.free]) > 1]
    assert len(products) >= 4
    assert not [t for t in products if any(condition.op == "less" for condition in conditions_of(t.formula))]


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 1e-4)])
def test_gradient(dtype: str, close: float) -> None:
    net = network(dtype)
    value, slopes = net.value_and_grad({**DATA, **START})
    wanted, by_hand = by_numpy(DATA[x][:, :, 0], DATA[c], *[START[s] for s in (W, b, V, d)])
    np.testing.assert_allclose(value, wanted, rtol=close)
    for symbol, right in zip((W, b, V, d), by_hand, strict=True):
        np.testing.assert_allclose(np.asarray(slopes[symbol]).reshape(right.shape), right, rtol=close, atol=close)


def by_numpy(X: Any, C: Any, W: Any, b: Any, V: Any, d: Any) -> tuple[float, list[Any]]:
    """Mean loss, and slopes of W, b, V, d."""
    u = X @ W.T + b[:, 0]
    h = np.maximum(u, 0)
    z = h @ V.T + d[:, 0]
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    rows = np.arange(len(X))
    loss = -np.mean(z[rows, C] - np.log(np.exp(z).sum(axis=1)))
    p[rows, C] -= 1
    p /= len(X)
    dz = p @ V * (u > 0)
    return float(loss), [dz.T @ X, dz.sum(axis=0), p.T @ h, p.sum(axis=0)]
