"""Update rules divide by numbers that are the same for every entry by multiplying; where that could show, they divide."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import elementwise, input_tensor, read
from sympile.compiler.graph.node import ONE, Node, const, index, size
from sympile.compiler.graph.rebuild import function as f
from sympile.compiler.passes.training.reciprocals import with_near_quotients, with_reciprocals
from sympile.compiler.training import build_update
from sympile.runtime.optimizers import adam, adamw, optimizer, rmsprop
from sympile.runtime.update_rule import Optimizer

HALF = Fraction(1, 2)
AXIS = index(size("n"), "i0")
u, v = (read(input_tensor(name, [size("n")], "data"), AXIS) for name in "uv")
c, d = (read(input_tensor(name, [], "constant")) for name in "cd")


def over(above: Node, below: Node) -> Node:
    return mul(above, power(below, -1))


def by(above: Node, below: Node) -> Node:
    return mul(above, f("divide", ONE, below))


@pytest.mark.parametrize(("written", "want"), [
    pytest.param(over(u, c),                                   by(u, c),                                   id="a quotient"),
    pytest.param(over(u, mul(c, d)),                           by(by(u, c), d),                            id="two scalars"),
    pytest.param(over(over(u, v), c),                          by(over(u, v), c),                          id="the entries' own stays below the line"),
    pytest.param(over(u, add(v, over(v, c))),                  over(u, add(v, by(v, c))),                  id="below the line"),
    pytest.param(power(over(u, c), HALF),         power(by(u, c), HALF),         id="in a root"),
    pytest.param(over(c, d),                                   over(c, d),                                 id="a number for all entries is computed once"),
    pytest.param(add(u, over(c, d)),                           add(u, over(c, d)),                         id="added to entries"),
    pytest.param(f("floor", over(u, c)),                       f("floor", over(u, c)),                     id="floor would jump"),
    pytest.param(f("exp", over(u, c)),                         f("exp", over(u, c)),                       id="unknown functions see what is written"),
    pytest.param(when(over(u, c), f("less", over(u, c), ONE)), when(by(u, c), f("less", over(u, c), ONE)), id="a condition would jump"),
    pytest.param(select(f("less", over(u, c), ONE), over(u, c), u),
                 select(f("less", over(u, c), ONE), by(u, c), u),                                          id="a choice, and what it chooses"),
    pytest.param(select(over(u, c), over(u, c), u),            select(over(u, c), by(u, c), u),            id="the same quotient, as condition and as value"),
    pytest.param(mul(const(3), u),                             mul(const(3), u),                           id="no quotient"),
])  # fmt: skip
def test_which_quotients_become_products(written: Node, want: Node) -> None:
    assert with_reciprocals(elementwise((AXIS,), written)).formula is elementwise((AXIS,), want).formula


def near(above: Node, below: Node) -> Node:
    return f("divide_nearly", above, below)


def by_root(above: Node, below: Node) -> Node:
    return f("divide_by_root", above, below)


@pytest.mark.parametrize(("written", "want"), [
    pytest.param(over(u, v),                                   near(u, v),                                 id="a quotient"),
    pytest.param(mul(c, u, power(v, -1), power(add(u, c), -1)), near(mul(c, u), mul(v, add(u, c))),        id="two divisors"),
    pytest.param(power(v, -1),                                 near(ONE, v),                               id="a reciprocal"),
    pytest.param(mul(u, power(v, -HALF)),                      by_root(u, v),                              id="by a root"),
    pytest.param(power(add(v, c), -HALF),                      by_root(ONE, add(v, c)),                    id="by a root alone"),
    pytest.param(mul(u, power(c, -HALF), power(v, -HALF)),     by_root(mul(u, power(c, -HALF)), v),        id="a root for all entries"),
    pytest.param(mul(u, power(v, -HALF), power(add(u, c), -1)), near(u, mul(power(v, HALF), add(u, c))),   id="by a root and more"),
    pytest.param(mul(c, power(v, -HALF), power(add(u, c), -HALF)), near(c, mul(power(v, HALF), power(add(u, c), HALF))), id="by two roots"),
    pytest.param(over(u, add(v, over(u, v))),                  near(u, add(v, near(u, v))),                id="below the line"),
    pytest.param(over(c, d),                                   over(c, d),                                 id="a number for all entries"),
    pytest.param(f("floor", over(u, v)),                       f("floor", over(u, v)),                     id="floor would jump"),
    pytest.param(when(over(u, v), f("less", over(u, v), ONE)), when(near(u, v), f("less", over(u, v), ONE)), id="a condition would jump"),
])  # fmt: skip
def test_which_quotients_may_be_wrong_by_a_bit(written: Node, want: Node) -> None:
    assert with_near_quotients(elementwise((AXIS,), written)).formula is elementwise((AXIS,), want).formula


def updated(rule: Optimizer, start: Any, rewrites: str, dtype: str = "float64") -> np.ndarray[Any, Any]:
    """Parameters after one step with a gradient of 1."""
    w = sp.MatrixSymbol("w", len(start), 1)
    model = sm.compile(sm.dot(w, sp.ones(len(start), 1)), [w], dtype=dtype, rewrites=rewrites)
    result = model.fit(epochs=1, optimizer=rule, start={w: start})
    return np.asarray(result.parameters[w]).reshape(-1)


p, n, eps = sm.parameter, sp.Symbol("n"), {"float64": 2.0**-53, "float32": 2.0**-24}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_quotient_in_a_rule(dtype: str) -> None:
    """Exact where asked for; else within 1.5 units in the last place."""
    start = np.random.default_rng(0).uniform(1, 2, 1000).astype(dtype)
    rule = optimizer({}, {p: p / n}, n=np.asarray(49, dtype).item())
    want = start / np.asarray(49, dtype)
    np.testing.assert_array_equal(updated(rule, start, "exact", dtype), want)
    np.testing.assert_allclose(updated(rule, start, "stable", dtype), want, rtol=3 * eps[dtype], atol=0)


@pytest.mark.parametrize("count", [3, 40])
def test_steps_do_not_jump(count: int) -> None:
    """49·(1/49) is less than 1."""
    assert 49 * (1 / 49) < 1
    for update in ({p: sp.floor(p / n)}, {p: sp.Piecewise((1.0, p / n >= 1), (0.0, True))}):
        assert updated(optimizer({}, update, n=49.0), np.full(count, 49.0), "stable").tolist() == [1.0] * count


@pytest.mark.parametrize(("rule", "divisions", "exactly"), [
    pytest.param(adam(),                        1, 2, id="adam"),
    pytest.param(adamw(clip_by_global_norm=1),  1, 2, id="adamw, clipped"),
    pytest.param(rmsprop(0.1),                  1, 1, id="rmsprop"),
    pytest.param(optimizer({}, {p: p - sm.gradient / (1 + n * sm.step)}, n=0.1), 0, 1, id="a falling rate"),
])  # fmt: skip
def test_divisions_of_an_entry(rule: Optimizer, divisions: int, exactly: int) -> None:
    for rewrites, want in (("stable", divisions), ("exact", exactly)):
        text = build_update(rule, "float64", rewrites=rewrites).program.code.text
        lines = [line for line in text.splitlines() if " x double>" in line]
        stacked = {line.split()[0] for line in lines if " alloca " in line}  # sums that tell what is not finite
        written = [line for line in lines if " store <" in line or "call void @llvm.masked.store" in line]
        stores = sum(stacked.isdisjoint(line.replace(",", " ").split()) for line in written)
        if stores:  # of whole vectors, which not every machine has
            assert sum(" fdiv <" in line for line in lines) == want * stores / (1 + len(rule.state)), rewrites
