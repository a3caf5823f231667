"""Large formulas, for compile_time.py beside this file and for tests/test_big_formulas.py."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp


def deep_chain(x: sp.Symbol, a: sp.Symbol, levels: int) -> sp.Expr:
    """sin(…)/2 + a in each other, `levels` operations deep (two a turn); evaluating, SymPy would recurse."""
    expression: sp.Expr = x
    for _ in range(levels // 2):
        expression = sp.Add(
            sp.Mul(sp.Rational(1, 2), sp.sin(expression, evaluate=False), evaluate=False), a, evaluate=False
        )
    return expression


@dataclass(frozen=True)
class Network:
    """(v · tanh(W x) - y)² in separate symbols."""

    loss: sp.Expr
    weights: tuple[tuple[sp.Symbol, ...], ...]
    heads: tuple[sp.Symbol, ...]
    inputs: tuple[sp.Symbol, ...]
    target: sp.Symbol

    @property
    def parameters(self) -> list[sp.Symbol]:
        return [w for row in self.weights for w in row] + list(self.heads)

    @property
    def data(self) -> list[sp.Symbol]:
        return [*self.inputs, self.target]

    def in_numpy(
        self, values: Mapping[sp.Symbol, float], data: Mapping[sp.Symbol, np.ndarray]
    ) -> tuple[float, dict[sp.Symbol, float]]:
        """The mean loss and its gradient."""
        W = np.array([[values[w] for w in row] for row in self.weights])
        v = np.array([values[h] for h in self.heads])
        X = np.array([data[i] for i in self.inputs])
        h = np.tanh(W @ X)
        e = v @ h - data[self.target]
        dv = 2 * (h * e).mean(1)
        dW = 2 * ((v[:, None] * (1 - h * h) * e)[:, None, :] * X[None]).mean(2)
        slopes = {w: dW[r, c] for r, row in enumerate(self.weights) for c, w in enumerate(row)}
        return float((e * e).mean()), {**slopes, **dict(zip(self.heads, dv, strict=True))}


def scalar_network(inputs: int, hidden: int) -> Network:
    """A network with inputs*hidden + hidden parameters, each a Symbol."""
    X = sp.symbols(f"x:{inputs}")
    W = tuple(sp.symbols(f"w{r}_:{inputs}") for r in range(hidden))
    v = sp.symbols(f"v:{hidden}")
    y = sp.Symbol("y")
    layer = [sp.tanh(sp.Add(*[w * x for w, x in zip(row, X, strict=True)])) for row in W]
    return Network((sp.Add(*[a * h for a, h in zip(v, layer, strict=True)]) - y) ** 2, W, v, X, y)


def ten_thousand_operations() -> tuple[sp.Expr, list[sp.Symbol]]:
    """A bounded recursion with 10,000 multiplications, additions and sines over 50 symbols."""
    return many_operations(3334)


def many_operations(turns: int) -> tuple[sp.Expr, list[sp.Symbol]]:
    """The recursion with three operations a turn."""
    symbols = list(sp.symbols("s:50"))
    state = list(symbols)
    for turn in range(turns):
        k = turn % 50
        product = sp.Mul(state[k], state[(7 * k + 3) % 50], evaluate=False)
        state[k] = sp.sin(sp.Add(product, symbols[(k + 11) % 50], evaluate=False), evaluate=False)
    return sp.Add(*state, evaluate=False), symbols


def ten_thousand_in_numpy(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The value of `ten_thousand_operations` by NumPy."""
    given = [values[f"s{k}"] for k in range(50)]
    state = list(given)
    for turn in range(3334):
        k = turn % 50
        state[k] = np.sin(state[k] * state[(7 * k + 3) % 50] + given[(k + 11) % 50])
    return np.sum(state)


def random_graph(count: int) -> tuple[sp.Expr, list[sp.Symbol]]:
    """Sums and products of two of fifty numbers each; nearly all of them are terms and factors of several."""
    symbols = list(sp.symbols("s:50"))
    state = list(symbols)
    for own, other, is_sum in _draws(count):
        state[own] = (sp.Add if is_sum else sp.Mul)(state[own], state[other], evaluate=False)
    return sp.Add(*state, evaluate=False), symbols


def random_graph_in_numpy(values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """The value of `random_graph` by NumPy."""
    state = [values[f"s{k}"] for k in range(50)]
    for own, other, is_sum in _draws(count):
        state[own] = state[own] + state[other] if is_sum else state[own] * state[other]
    return np.sum(state)


def _draws(count: int) -> Iterator[tuple[int, int, bool]]:
    draw = random.Random(0)
    for turn in range(count):
        yield turn % 50, (turn + draw.randrange(1, 50)) % 50, draw.random() < 0.5


def euler_decay(k: sp.Symbol, u: sp.Symbol, start: sp.Symbol, steps: int) -> sp.Expr:
    """The end of y' = -k y + u over one unit of time, by explicit Euler steps written one into the other."""
    y: sp.Expr = start
    with sp.evaluate(False):  # SymPy's own sorting would walk the whole tree at every step
        for _ in range(steps):
            y = y + (u - k * y) / steps
    return y
