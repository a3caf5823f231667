"""Symmetric matrices of sums: one half is computed, the other one is its copy, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from contraction_cases import CASES, halved, sizes
from definition_world import World
from test_code_generation import DTYPES, compiled, run

import sympile as sm
from sympile.compiler.graph.arithmetic import mul
from sympile.compiler.graph.definition import Definition, define, read
from sympile.compiler.passes.scheduling.halves import is_symmetric
from sympile.runtime import pool

SYMMETRIC = [name for name, case in CASES.items() if case.shows is halved]


@pytest.mark.parametrize("symbolic", [False, True], ids=["known", "symbolic"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SYMMETRIC)
def test_both_halves_have_the_same_bits(name: str, dtype: str, symbolic: bool) -> None:
    """A product of three numbers is rounded otherwise where two of them are exchanged: a copy is not."""
    w = World(CASES[name].lengths, symbolic=symbolic)
    (found,) = run(compiled(w, [CASES[name].build(w)], dtype), w)
    first = 0 if "across" in name else -2
    np.testing.assert_array_equal(found, found.swapaxes(first, -1))


def product(first: str, second: str, weight: str = "") -> Definition:
    """The sum over k of first[k, i] weight[k] second[k, j], at symbolic sizes."""
    w = World(sizes(5, 5, 7), symbolic=True)
    i, j, k = w.indices("n n k")
    inputs = {name: w.input(name, "k n") for name in (first, second)}
    factors = [read(inputs[first], k, i), read(inputs[second], k, j)]
    return define((i, j), (k,), "sum", mul(*factors, *[read(w.input(name, "k"), k) for name in weight]))


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [(product("a", "a"), True), (product("a", "a", "d"), True), (product("a", "b"), False), (product("a", "b", "d"), False)],
    ids=["XX", "XDX", "XY", "XDY"],
)
def test_what_is_symmetric(tensor: Definition, expected: bool) -> None:
    assert is_symmetric(tensor, frozenset(tensor.axes)) is expected


@pytest.mark.parametrize("shape", [(900, 201), (201, 900), (70_001, 24)], ids=str)
def test_same_bits_for_any_number_of_threads(shape: tuple[int, int]) -> None:
    """Chunks write tiles above the diagonal, too: the copy comes when all of them are done."""
    n, p = shape
    X, d = sp.MatrixSymbol("X", n, p), sp.MatrixSymbol("d", n, 1)
    weighted = sm.lambdify([X, d], X.T * sp.DiagMatrix(d) * X)
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(n, p)), rng.normal(size=(n, 1))
    found = []
    for threads in (1, 2, 3):
        pool.stop()
        pool.start(threads)
        found.append(weighted(x, weights))
    pool.stop()
    np.testing.assert_allclose(found[0], x.T @ (weights * x), rtol=0, atol=1e-12 * n)
    np.testing.assert_array_equal(found[0], found[0].T)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
