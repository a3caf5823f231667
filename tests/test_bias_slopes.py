"""Slopes of biases below windows: sums over places of a slope that is there; against NumPy, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.fuse import fuse

Array = npt.NDArray[Any]
i, j, k, c, p, q = sm.indices("i j k c p q")
EXAMPLES, CHANNELS = 3, 4
KINDS = {"relu": sm.relu, "tanh": sm.tanh}


def S(body: Any, *ranges: tuple[Any, int]) -> Any:
    return sp.Sum(body, *[(index, 0, length - 1) for index, length in ranges])


def network(length: int, steps: tuple[int, int], kind: str) -> tuple[Any, list[Any], Any]:
    """Two convolutions of a line with biases between, the sum of squares of what comes out."""
    x, F, G = sm.Tensor("x", (length,)), sm.Tensor("F", (CHANNELS, 3)), sm.Tensor("G", (5, CHANNELS, 3))
    b, d = sm.Tensor("b", (CHANNELS,)), sm.Tensor("d", (5,))
    inner = (length - 3) // steps[0] + 1
    last = (inner - 3) // steps[1] + 1
    h = sm.comprehension(KINDS[kind](S(F[k, p] * x[steps[0] * i + p], (p, 3)) + b[k]), (k, CHANNELS), (i, inner))
    y = sm.comprehension(S(G[k, c, p] * h[c, steps[1] * i + p], (c, CHANNELS), (p, 3)) + d[k], (k, 5), (i, last))
    return S(sm.tanh(y[k, i]), (k, 5), (i, last)), [F, b, G, d], x


def by_hand(x: Array, F: Array, b: Array, G: Array, d: Array, steps: tuple[int, int], kind: str) -> list[Array]:
    """Slopes of the mean over the examples."""
    inner = (x.shape[1] - 3) // steps[0] + 1
    last = (inner - 3) // steps[1] + 1
    first = [slice(q, q + steps[0] * (inner - 1) + 1, steps[0]) for q in range(3)]
    second = [slice(q, q + steps[1] * (last - 1) + 1, steps[1]) for q in range(3)]
    z = sum(np.einsum("k,ni->nki", F[:, q], x[:, first[q]]) for q in range(3)) + b[:, None]
    h = np.maximum(z, 0) if kind == "relu" else np.tanh(z)
    y = sum(np.einsum("kc,nci->nki", G[:, :, q], h[:, :, second[q]]) for q in range(3)) + d[:, None]
    dy = (1 - np.tanh(y) ** 2) / len(x)
    dh = np.zeros_like(h)
    for q in range(3):
        dh[:, :, second[q]] += np.einsum("kc,nki->nci", G[:, :, q], dy)
    dz = np.where(z > 0, dh, 0) if kind == "relu" else dh * (1 - h**2)
    return [
        np.stack([np.einsum("nki,ni->k", dz, x[:, first[q]]) for q in range(3)], 1),
        dz.sum((0, 2)),
        np.stack([np.einsum("nki,nci->kc", dy, h[:, :, second[q]]) for q in range(3)], 2),
        dy.sum((0, 2)),
    ]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [(1, 1), (1, 2), (2, 3), (3, 1)])
def test_slopes_of_a_line_of_windows(steps: tuple[int, int], kind: str, dtype: str) -> None:
    length = 23
    loss, parameters, x = network(length, steps, kind)
    rng = np.random.default_rng(length)
    given = {t: rng.normal(size=tuple(map(int, t.shape))) * 0.5 for t in parameters}
    data = rng.normal(size=(EXAMPLES, length))
    _, gradient = sm.compile(loss, parameters, dtype=dtype).value_and_grad({x: data, **given})
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for symbol, want in zip(parameters, by_hand(data, *given.values(), steps, kind), strict=True):
        np.testing.assert_allclose(gradient[symbol], want, rtol=tolerance, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 2])
def test_no_sum_goes_over_windows_twice(step: int, kind: str) -> None:
    """The bias of images: no sum over examples, channels, windows and places in them is left."""
    x, F, G = sm.Tensor("x", (9, 9)), sm.Tensor("F", (4, 3, 3)), sm.Tensor("G", (5, 4, 3, 3))
    b, last = sm.Tensor("b", (4,)), (7 - 3) // step + 1
    h = sm.comprehension(KINDS[kind](S(F[k, p, q] * x[i + p, j + q], (p, 3), (q, 3)) + b[k]), (k, 4), (i, 7), (j, 7))
    windows = S(G[k, c, p, q] * h[c, step * i + p, step * j + q], (c, 4), (p, 3), (q, 3))
    y = sm.comprehension(windows, (k, 5), (i, last), (j, last))
    model = sm.compile(S(sm.tanh(y[k, i, j]), (k, 5), (i, last), (j, last)), [F, b, G])
    groups: list[Definition] = [t for group in fuse(list(model._work.outputs.values())).groups for t in group.members]
    assert max(len(t.reduced) for t in groups) <= 4
