"""Recurrences of numbers: a state is computed once, whatever sums it stands in, and with whatever factor."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import Definition, elementwise, input_tensor, read
from sympile.compiler.graph.node import Node, const, index
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.fusing.keep import shared_numbers

alpha, beta, gamma, delta = rates = sp.symbols("alpha beta gamma delta")
RATES = {alpha: 1.1, beta: 0.4, gamma: 0.4, delta: 0.1}


def predators(steps: int, dtype: str = "float64") -> tuple[Any, Any, Any]:
    """Lotka and Volterra's equations by Euler's method, compared with data at each step."""
    U, V = sp.IndexedBase("U", shape=(steps,)), sp.IndexedBase("V", shape=(steps,))
    u, v, terms = sp.Float(1), sp.Float(0.75), []
    for k in range(steps):
        du, dv = alpha * u - beta * u * v, delta * u * v - gamma * v
        u, v = sm.named(f"u{k}", u + du / 32), sm.named(f"v{k}", v + dv / 32)
        terms += [(u - U[k]) ** 2, (v - V[k]) ** 2]
    return sm.compile(sp.Add(*terms) / steps, list(rates), constants=[U, V], dtype=dtype), U, V


def by_hand(a: Any, b: Any, c: Any, d: Any, U: Any, V: Any) -> Any:
    u, v, total = 1.0, 0.75, 0.0
    for x, y in zip(U, V, strict=True):
        u, v = u + (a * u - b * u * v) / 32, v + (d * u * v - c * v) / 32
        total = total + (u - x) ** 2 + (v - y) ** 2
    return total / len(U)


def slopes(values: dict[Any, float], U: Any, V: Any) -> list[float]:
    at = list(values.values())
    return [by_hand(*(x + 1e-30j * (k == n) for k, x in enumerate(at)), U, V).imag / 1e-30 for n in range(len(at))]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("steps", [1, 2, 7, 60])
def test_values_slopes_and_fits(steps: int, dtype: str) -> None:
    model, U, V = predators(steps, dtype)
    rng = np.random.default_rng(steps)
    data = {U: 1 + 0.1 * rng.normal(size=steps), V: 0.8 + 0.1 * rng.normal(size=steps)}
    value, gradient = model.value_and_grad(data | RATES)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(value, by_hand(*RATES.values(), data[U], data[V]), rtol=tolerance)
    want = slopes(RATES, data[U], data[V])
    np.testing.assert_allclose([gradient[r] for r in rates], want, rtol=tolerance, atol=tolerance * max(map(abs, want)))
    result = model.fit(data, start=RATES, optimizer=sm.sgd(1e-3), epochs=100)
    now = dict(RATES)
    for _ in range(100):
        now = {r: x - 1e-3 * s for (r, x), s in zip(now.items(), slopes(now, data[U], data[V]), strict=True)}
    np.testing.assert_allclose([result.parameters[r] for r in rates], list(now.values()), rtol=tolerance)


def test_operations_grow_with_the_steps() -> None:
    """Flattened, a step took 150 multiplications; by hand it takes some 25."""

    def multiplications(steps: int) -> int:
        model, _, _ = predators(steps)
        return len(re.findall(r"fmul|fma\.", model.stages["llvm"]))

    assert (multiplications(50) - multiplications(30)) / 20 < 45


def test_which_numbers_are_shared() -> None:
    a, b, x = input_tensor("a", (), "parameter"), input_tensor("b", (), "parameter"), input_tensor("x", (const(8),), "data")

    def number(body: Node) -> Definition:
        return elementwise((), body)

    total = number(add(read(a), read(b)))
    term = number(add(mul(const(3), read(total)), read(a)))
    other = number(function("exp", read(total)))
    assert shared_numbers([term, other]) == {total}
    assert shared_numbers([term]) == set()                       # one reader
    assert shared_numbers([other, number(function("log", read(total)))]) == set()    # of none is it a term
    product = number(mul(read(a), read(b)))
    assert shared_numbers([number(add(read(product), read(a))), number(function("exp", read(product)))]) == set()
    k = index(const(8), "k")
    row = elementwise((k,), add(read(x, k), read(a)))
    assert shared_numbers([elementwise((k,), add(read(row, k), read(b))), elementwise((k,), function("exp", read(row, k)))]) == set()
