"""Gradients of gathered rows: scatters in the parameter's own order, scaled, several added in one place; against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from definition_world import World

import sympile as sm
from sympile.compiler.graph.arithmetic import add
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import define, read
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.fusing.group import grouped

USERS, ITEMS, EXAMPLES = 7, 5, 23
rng = np.random.default_rng(3)
k, j = sm.indices("k j")
u, v, y, mu, penalty = sp.symbols("u v y mu penalty")
DATA: dict[Any, Any] = {
    u: rng.integers(0, USERS, EXAMPLES),
    v: rng.integers(0, ITEMS, EXAMPLES),
    y: rng.normal(size=EXAMPLES),
}


def ratings(width: int, penalised: bool) -> tuple[Any, list[Any], dict[Any, Any]]:
    """(loss, parameters, their values) of a matrix factorisation with a bias for each row."""
    P, Q = sp.IndexedBase("P", shape=(USERS, width)), sp.IndexedBase("Q", shape=(ITEMS, width))
    p, q = sp.IndexedBase("p", shape=(USERS,)), sp.IndexedBase("q", shape=(ITEMS,))
    loss = (sp.Sum(P[u, k] * Q[v, k], (k, 0, width - 1)) + p[u] + q[v] + mu - y) ** 2
    if penalised:
        loss += penalty * sp.Sum(P[j, k] ** 2, (j, 0, USERS - 1), (k, 0, width - 1))
    parameters = [P, Q, p, q, mu]
    shapes = [(USERS, width), (ITEMS, width), (USERS,), (ITEMS,), ()]
    return loss, parameters, {each: rng.normal(size=s) for each, s in zip(parameters, shapes, strict=True)}


def by_numpy(P: Any, Q: Any, p: Any, q: Any, mu: Any, weight: float) -> list[np.ndarray]:
    users, items = DATA[u], DATA[v]
    slope = 2 * ((P[users] * Q[items]).sum(axis=1) + p[users] + q[items] + mu - DATA[y]) / EXAMPLES
    found = [2 * weight * P, np.zeros_like(Q), np.zeros_like(p), np.zeros_like(q), np.asarray(slope.sum())]
    np.add.at(found[0], users, slope[:, None] * Q[items])
    np.add.at(found[1], items, slope[:, None] * P[users])
    np.add.at(found[2], users, slope)
    np.add.at(found[3], items, slope)
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("penalised", [False, True], ids=["plain", "with a penalty beside the scatter"])
@pytest.mark.parametrize("width", [1, 3, 8, 19])
def test_matrix_factorisation(width: int, penalised: bool, dtype: Any) -> None:
    loss, parameters, start = ratings(width, penalised)
    model = sm.compile(loss, parameters, constants=[penalty] if penalised else [], dtype=dtype)
    found = model.backward(DATA | start | ({penalty: 0.3} if penalised else {}))
    for each, want in zip(parameters, by_numpy(*start.values(), 0.3 * penalised), strict=True):
        np.testing.assert_allclose(found[each], want, rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-6, err_msg=each)


def test_gradients_are_written_once() -> None:
    """No second array of a parameter's shape, none in another order of axes, and the residual once."""
    loss, parameters, _ = ratings(16, penalised=True)
    model = sm.compile(loss, parameters, constants=[penalty])
    stored = [tensor for tensor in model._step.built.fused.stored if len(tensor.axes) == 2]
    assert len(stored) == 2, [str(tensor.formula) for tensor in stored]
    assert {tuple(n.data for n in tensor.shape) for tensor in stored} == {(USERS, 16), (ITEMS, 16)}


def test_rows_of_one_parameter_gathered_three_ways() -> None:
    """E[u] with two others of itself: one gradient, into which three scatters add; a cubed penalty is added to all."""
    width = 4
    E = sp.IndexedBase("E", shape=(ITEMS, width))
    w, near = sp.Symbol("w"), sp.IndexedBase("near", shape=(3,))
    pairs = sp.Sum(E[v, k] * E[w, k], (k, 0, width - 1))
    loss = sm.softplus(-pairs) + sp.Sum(sp.tanh(sp.Sum(E[v, k] * E[near[j], k], (k, 0, width - 1))), (j, 0, 2))
    loss += sp.Sum(E[j, k] ** 3, (j, 0, ITEMS - 1), (k, 0, width - 1))
    others, several = rng.integers(0, ITEMS, EXAMPLES), rng.integers(0, ITEMS, (EXAMPLES, 3))
    value = rng.normal(size=(ITEMS, width))
    model = sm.compile(loss, [E])
    found = model.backward({v: DATA[v], w: others, near: several, E: value})[E]
    want = 3 * value**2
    for here, there, many in zip(DATA[v], others, several, strict=True):
        slope = -1 / (1 + np.exp(value[here] @ value[there])) / EXAMPLES
        want[here] += slope * value[there]
        want[there] += slope * value[here]
        for each in many:
            slope = (1 - np.tanh(value[here] @ value[each]) ** 2) / EXAMPLES
            want[here] += slope * value[each]
            want[each] += slope * value[here]
    np.testing.assert_allclose(found, want, rtol=1e-11)
    assert sum(len(tensor.axes) == 2 and tensor.shape[0].data == ITEMS for tensor in model._step.built.fused.stored) == 1



def test_what_reads_a_sum_of_scatters_waits_for_it() -> None:
    """Elementwise work over the same axes, beside work that needs nothing and stands first."""
    w = World({"n": 9}, symbolic=False)
    e, i = w.indices("n 4")
    g, b = read(w.input("g", "n"), e), read(w.input("b", "4"), i)
    scatters = [define((i,), (e,), "sum", when(g, equal(i, read(w.classes(name, "n", "4"), e)))) for name in "st"]
    total = define((i,), (), None, add(*[read(scatter, i) for scatter in scatters]))
    early = define((i,), (), None, function("exp", b))
    late = define((i,), (), None, function("exp", read(total, i)))
    groups = grouped([early, total, late])
    places = {tensor: place for place, group in enumerate(groups) for tensor in group.stored}
    assert set(places) == {early, total, late}
    assert places[total] < places[late]
