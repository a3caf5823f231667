"""b beside z in tanh(z + b) gets a sum of what z gets; what data scatter is summed before; in numbers and in sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import factors_of, split
from sympile.compiler.graph.conditions import unguarded
from sympile.compiler.graph.definition import Definition, computed
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.group import scatter_axis

Array = np.ndarray[Any, Any]
i, j, k, l = sm.indices("i j k l")
WORDS, LENGTH, WIDTH, HIDDEN, EXAMPLES = 11, 3, 4, 6, 13
E, b = sm.Tensor("E", (WORDS, WIDTH)), sm.Tensor("b", (HIDDEN,))
W, V = sm.Tensor("W", (HIDDEN, LENGTH, WIDTH)), sm.Tensor("V", (WORDS, HIDDEN))
near, word = sp.IndexedBase("near", shape=(LENGTH,)), sp.Symbol("word", integer=True)
rng = np.random.default_rng(4)
VALUES = {each: rng.normal(size=tuple(map(int, each.shape))) / 2 for each in (E, W, b, V)}
DATA = {near: rng.integers(0, WORDS, (EXAMPLES, LENGTH)), word: rng.integers(0, WORDS, EXAMPLES)}


def language_model() -> Any:
    """The next word of three, by a network with one hidden layer; nothing named."""
    z = sp.Sum(W[k, l, j] * E[near[l], j], (l, 0, LENGTH - 1), (j, 0, WIDTH - 1)) + b[k]
    return sm.cross_entropy(V @ sm.comprehension(sm.tanh(z), (k, HIDDEN)), word)


def by_hand() -> tuple[float, dict[Any, Array]]:
    rows = VALUES[E][DATA[near]]
    h = np.tanh(np.einsum("klj,nlj->nk", VALUES[W], rows) + VALUES[b])
    z = h @ VALUES[V].T
    loss = np.logaddexp.reduce(z, axis=1) - z[np.arange(EXAMPLES), DATA[word]]
    dz = np.exp(z - np.logaddexp.reduce(z, axis=1)[:, None])
    dz[np.arange(EXAMPLES), DATA[word]] -= 1
    dz /= EXAMPLES
    dh = dz @ VALUES[V] * (1 - h**2)
    dE = np.zeros_like(VALUES[E])
    np.add.at(dE, DATA[near], np.einsum("nk,klj->nlj", dh, VALUES[W]))
    return loss.mean(), {E: dE, W: np.einsum("nk,nlj->klj", dh, rows), b: dh.sum(0), V: dz.T @ h}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_language_model(dtype: str) -> None:
    model = sm.compile(language_model(), list(VALUES), dtype=dtype)
    found, slopes = model.value_and_grad(DATA | VALUES)
    want, wanted = by_hand()
    near_enough = 1e-12 if dtype == "float64" else 1e-5
    assert found == pytest.approx(want, rel=near_enough)
    for each, slope in wanted.items():
        np.testing.assert_allclose(
            slopes[each], slope, rtol=0, atol=near_enough * np.abs(slope).max(), err_msg=str(each)
        )


def sums(model: sm.Model) -> list[Definition]:
    outputs = fuse(list(model._work.outputs.values())).outputs
    return [tensor for tensor in computed(list(outputs.values())) if tensor.monoid == "sum"]


def test_each_product_is_there_once() -> None:
    """Two forward, and for the slopes of W, V, the hidden layer and the rows of E one each."""
    found = [t for t in sums(sm.compile(language_model(), list(VALUES))) if len(t.axes) > 1]
    products = [t for t in found if sum(len(f.free) > 1 for f in factors_of(split(unguarded(t.formula))[1])) > 1]
    assert len(products) == 6, [str(t.formula) for t in products]


def test_what_is_scattered_has_been_summed() -> None:
    """Into E, over examples and words of each."""
    scattered = [t for t in sums(sm.compile(language_model(), list(VALUES))) if scatter_axis(t) is not None]
    assert [len(t.reduced) for t in scattered if len(t.axes) == 2] == [2, 1], [str(t.formula) for t in scattered]


a, c = sp.Symbol("a"), sp.IndexedBase("c", shape=(HIDDEN,))
x = sp.IndexedBase("x", shape=(5,))
U = sp.IndexedBase("U", shape=(HIDDEN, 5))
D = sp.IndexedBase("D", shape=(5, 5))
z = sp.Sum(U[k, j] * x[j], (j, 0, 4))
CASES = {
    "a row's bias and a number": sp.Sum(sp.tanh(z / 3 + c[k] / 2 - 2 * a), (k, 0, HIDDEN - 1)) ** 2,
    "with another sign": sp.Sum(sm.sigmoid(c[k] - z) * c[k], (k, 0, HIDDEN - 1)) ** 2,
    "a factor that is no fraction": sp.Sum(sp.exp(sp.Float(0.3) * z + c[k]), (k, 0, HIDDEN - 1)),
    "parameters beside each other": sp.Sum(sp.exp(U[k, j] + c[k] + a) * x[j], (k, 0, HIDDEN - 1), (j, 0, 4)),
    "on the diagonal": sp.Sum(sp.exp(D[i, j] + D[i, i] / 2) * x[j], (i, 0, 4), (j, 0, 4)),
    "a largest one": sm.Maximum(z + c[k] + a, (k, 0, HIDDEN - 1)) ** 2,
    "log of a sum": sm.LogSumExp(z + c[k] + a, (k, 0, HIDDEN - 1)),
    "a choice": sp.Sum(sp.Piecewise((sp.tanh(z + c[k]), k > 2), (0, True)), (k, 0, HIDDEN - 1)) ** 2 + a * z.subs(k, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_against_central_differences(name: str) -> None:
    loss = CASES[name]
    parameters = [each for each in (a, c, U, D) if str(each) in {str(s) for s in loss.free_symbols}]
    model = sm.compile(loss, parameters)
    rng = np.random.default_rng(8)
    shapes = {a: (), c: (HIDDEN,), U: (HIDDEN, 5), D: (5, 5)}
    values = {each: rng.normal(size=shapes[each]) / 2 for each in parameters} | {x: rng.normal(size=(7, 5))}
    assert max(float(found.error) for found in model.check(values).values()) < 1e-6
