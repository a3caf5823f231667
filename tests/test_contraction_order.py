"""Products of several matrices in the order that costs least in all; affine maps of affine maps as one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.definition import EXAMPLES, Definition, computed, extent_value
from sympile.compiler.graph.node import extent
from sympile.compiler.pipeline import Work
from sympile.runtime.model.model import Model

BATCH = 1000


def multiplications(work: Work, label: str) -> float:
    """What all sums below an output cost, at 1000 examples."""

    def cost(tensor: Definition) -> float:
        lengths = [extent(i) for i in (*tensor.axes, *tensor.reduced)]
        return math.prod(float(BATCH if n is EXAMPLES else extent_value(n)) for n in lengths)

    return sum(cost(t) for t in computed([work.outputs[label]]) if t.monoid == "sum")


ORDERS = [
    # (sizes of a chain of matrices from left to right, the cost of the best order for the forward part)
    pytest.param((784, 10, 784), BATCH * (784 * 10 * 2 + 784), id="a bottleneck: never the large product"),
    pytest.param((10, 100, 784), 10 * 100 * 784 + BATCH * (10 * 784 + 10), id="a wide middle: the matrices first"),
    pytest.param((3, 50, 2, 40), 50 * 2 * 3 + BATCH * (2 * 40 + 3 * 2 + 3), id="three matrices"),
]


@pytest.mark.parametrize("sizes, best", ORDERS)
def test_order_of_a_chain(sizes: tuple[int, ...], best: float) -> None:
    matrices = [sp.MatrixSymbol(f"W{k}", a, b) for k, (a, b) in enumerate(itertools.pairwise(sizes))]
    x = sp.MatrixSymbol("x", sizes[-1], 1)
    product = sp.MatMul(*matrices, x)
    model = sm.compile(sm.sum(sp.HadamardProduct(product, product)), matrices)
    assert multiplications(model._work, "objective") == pytest.approx(best, rel=0.02)


# ------------------------------------------------------------------------------------------------ affine maps

x = sp.MatrixSymbol("x", 20, 1)
A, C = sp.MatrixSymbol("A", 30, 25), sp.MatrixSymbol("C", 25, 20)
d, b = sp.MatrixSymbol("d", 25, 1), sp.MatrixSymbol("b", 30, 1)
V, W = sp.MatrixSymbol("V", 20, 20), sp.MatrixSymbol("W", 5, 30)
y = sp.MatrixSymbol("y", 5, 1)
CONSTANTS = [A, C, d, b]


def affine_model(inner: sp.Expr, parameters: list[sp.Expr], constants: list[sp.Expr] = CONSTANTS) -> Model:
    return sm.compile(sm.mse(W * (A * (C * inner + d) + b), y), parameters, constants=constants)


def values() -> dict[sp.Expr, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {s: rng.normal(size=s.shape) for s in (A, C, d, b, W, V)}
    return {**arrays, x: rng.normal(size=(7, 20)), y: rng.normal(size=(7, 5))}


def test_affine_map_of_an_affine_map_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    model = affine_model(sm.tanh(V * x), [W, V])
    model.explain("rewrites")
    assert "A*(C*x + d) → (A*C)*x + A*d" in capsys.readouterr().out
    arrays = values()
    hidden = np.tanh(arrays[x] @ arrays[V].T)
    middle = (hidden @ arrays[C].T + arrays[d].T) @ arrays[A].T + arrays[b].T
    expected = ((middle @ arrays[W].T - arrays[y]) ** 2).mean()
    assert model.forward(arrays) == pytest.approx(expected, rel=1e-13)
    assert model.check(arrays).error < 1e-6
    sums = [t for t in computed([model._work.outputs["objective"]]) if t.batched and t.monoid == "sum"]
    assert not any(extent_value(n) == 25 for t in sums for n in t.shape), "C*x + d is not computed any more"


def test_the_same_model_twice_is_the_same_program() -> None:
    """Indices get new names each time: no order, and no sign of a difference, may depend on them."""
    S, q = sp.MatrixSymbol("S", 3, 3), sp.MatrixSymbol("q", 3, 1)
    loss = (q.T * S.inv() * q)[0] + sp.log(sp.Determinant(S))
    first, second = (sm.compile(loss, [S])._work.outputs for _ in range(2))
    assert first == second


def test_parameters_are_not_multiplied_together(capsys: pytest.CaptureFixture[str]) -> None:
    affine_model(x, [W, A, C, d, b], constants=[]).explain("rewrites")
    assert "A*C" not in capsys.readouterr().out


def test_a_bottleneck_stays_one() -> None:
    """A(Cx + d) through 2 numbers costs less than one map of 100 x 100."""
    x, narrow, wide = sp.MatrixSymbol("x", 100, 1), sp.MatrixSymbol("C", 2, 100), sp.MatrixSymbol("A", 100, 2)
    d, w = sp.MatrixSymbol("d", 2, 1), sp.MatrixSymbol("w", 1, 100)
    model = sm.compile(sm.scalar(w * sm.tanh(wide * (narrow * x + d))) ** 2, [w], constants=[wide, narrow, d])
    assert multiplications(model._work, "objective") < BATCH * 100 * 10
