"""Hessians that something takes up, a vector, a trace or a solver: right, and not formed where they need not be."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler import pipeline
from sympile.compiler.code.target import TARGETS
from sympile.compiler.graph.definition import extent_value
from sympile.compiler.graph.node import extent
from sympile.compiler.passes.fusing.group import Fused
from sympile.compiler.passes.schedule import schedule

Array = npt.NDArray[Any]
N = 200
x, v, c = (sp.MatrixSymbol(name, N, 1) for name in "xvc")
SQUARE, DOT = sm.dot(x, x), sm.dot(c, x)
SCALAR = SQUARE**2 / 4 + sm.exp(-SQUARE / N) + sm.sin(DOT) + sm.sum(sm.cos(x))


def hessian(x: Array, c: Array) -> Array:
    """Of SCALAR, in closed form."""
    square, dot = x @ x, c @ x
    bell = np.exp(-square / N)
    found = (2 + 4 * bell / N**2) * np.outer(x, x) - np.sin(dot) * np.outer(c, c)
    return found + np.diag(square - 2 * bell / N - np.cos(x))


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Fused]:
    """What is computed by the programs of a test, as it is made."""
    made: list[Fused] = []
    fuse = pipeline.fuse

    def kept(*given: Any, **named: Any) -> Fused:
        made.append(fuse(*given, **named))
        return made[-1]

    monkeypatch.setattr(pipeline, "fuse", kept)
    return made


def numbers_stored(plan: Fused) -> int:
    return sum(prod(map(extent_value, tensor.shape)) for tensor in plan.stored)


def turns(plan: Fused) -> int:
    """How often the bodies of all loops are gone through."""
    return sum(prod(extent_value(extent(index)) for index in group.domain) for group in plan.groups)


CONSUMED = {
    "hvp": (lambda: sm.hvp(SCALAR, x, v), lambda H, v: (H @ v)[:, None]),
    "times a vector": (lambda: sm.hessian(SCALAR, x).expanded() * v, lambda H, v: (H @ v)[:, None]),
    "between vectors": (lambda: v.T * sm.hessian(SCALAR, x).expanded() * v, lambda H, v: v @ H @ v),
    "trace": (lambda: sp.Trace(sm.hessian(SCALAR, x).expanded()), lambda H, v: np.trace(H)),
}


@pytest.mark.parametrize("name", CONSUMED)
def test_nothing_of_two_axes_is_formed(name: str, plans: list[Fused]) -> None:
    """n = 200: a few loops over n, not one over n², and no room for n² numbers."""
    written, by_numpy = CONSUMED[name]
    evaluate = sm.lambdify([x, c, v], written())
    rng = np.random.default_rng(0)
    at, by, along = (rng.normal(size=N) / 4 for _ in range(3))
    found = evaluate(at[:, None], by[:, None], along[:, None])
    want = by_numpy(hessian(at, by), along)
    np.testing.assert_allclose(np.reshape(found, np.shape(want)), want, rtol=1e-12, atol=1e-12)
    (plan,) = plans
    assert numbers_stored(plan) <= 2 * N and turns(plan) <= 4 * N


def test_the_whole_hessian_is_seen_by_these_counts(plans: list[Fused]) -> None:
    """What judges must be judged: a program that does form it exceeds both."""
    evaluate = sm.lambdify([x, c], sm.hessian(SCALAR, x))
    at, by = np.random.default_rng(0).normal(size=(2, N)) / 4
    np.testing.assert_allclose(evaluate(at[:, None], by[:, None]), hessian(at, by), rtol=1e-12, atol=1e-12)
    (plan,) = plans
    assert numbers_stored(plan) >= N**2 and turns(plan) >= N**2


def test_one_half_of_a_curvature_is_computed_and_solved_with(plans: list[Fused]) -> None:
    """Newton's step of logistic regression: X'DX on one side of the diagonal, then a solve."""
    X, y, w = (sp.MatrixSymbol(name, *shape) for name, shape in (("X", (300, 40)), ("y", (300, 1)), ("w", (40, 1))))
    loss = sm.sum(sm.softplus(X * w)) - sm.dot(y, X * w) + sm.dot(w, w) / 2
    newton = w - sp.Inverse(sm.hessian(loss, w).expanded()) * sm.grad(loss, w).expanded()
    step = sm.lambdify([X, y, w], newton)
    rng = np.random.default_rng(0)
    data, classes, weights = rng.normal(size=(300, 40)), rng.integers(0, 2, (300, 1)) * 1.0, rng.normal(size=(40, 1))
    s = 1 / (1 + np.exp(-data @ weights))
    curvature = data.T @ (s * (1 - s) * data) + np.eye(40)
    want = weights - np.linalg.solve(curvature, data.T @ (s - classes) + weights)
    np.testing.assert_allclose(step(data, classes, weights), want, rtol=1e-10, atol=1e-10)
    (plan,) = plans
    loops = schedule(plan, TARGETS["avx512"].core("double"))
    assert [each.half for each in loops.values()].count(True) == 1
