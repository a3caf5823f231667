"""Places that go around an axis, x[Mod(i + 1, n)]: against NumPy's roll, in every notation, slopes included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm

i, j, k = sm.indices("i j k")
n, D = sp.Symbol("n"), sp.Symbol("D")
SIDE = 5
# fmt: off
SQUARES: dict[str, Any] = {
    "an indexed base": sp.IndexedBase("G", shape=(SIDE, SIDE)),
    "a matrix":        sp.MatrixSymbol("G", SIDE, SIDE),
    "a tensor":        sm.Tensor("G", (SIDE, SIDE)),
}
# fmt: on


@pytest.mark.parametrize("notation", SQUARES)
def test_energy_on_a_torus(notation: str) -> None:
    G = SQUARES[notation]
    ends = [(index, 0, SIDE - 1) for index in (i, j)]
    beside = G[i, sp.Mod(j + 1, SIDE)] + G[sp.Mod(i + 1, SIDE), sp.Mod(j - 2, SIDE)]
    energy = sp.Sum(-G[i, j] * beside, *ends)
    values = np.random.default_rng(0).normal(size=(SIDE, SIDE))

    def neighbours(turns: Any) -> Any:
        return sum(np.roll(values, turn, (0, 1)) for turn in turns)

    found, slopes = sm.lambdify([G], [energy, sm.grad(energy, G)])(values)
    there = [(0, -1), (-1, 2)]
    np.testing.assert_allclose(found, -(values * neighbours(there)).sum(), rtol=1e-13)
    back = [(-rows, -columns) for rows, columns in there]
    np.testing.assert_allclose(slopes, -neighbours(there + back), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 16, 33])
def test_heat_in_a_ring_of_any_length(length: int) -> None:
    now = u = sp.IndexedBase("u", shape=(n,))
    for _ in range(3):
        change = now[sp.Mod(i + 1, n)] - 2 * now[i] + now[sp.Mod(i - 1, n)]
        now = sm.comprehension(now[i] + D * change, (i, n))
    model = sm.compile(sp.Sum(now[k] ** 2, (k, 0, n - 1)), [D], constants=[u])
    first = np.random.default_rng(length).normal(size=length)

    def after(heat: Any) -> Any:
        u = first
        for _ in range(3):
            u = u + heat * (np.roll(u, -1) - 2 * u + np.roll(u, 1))
        return (u**2).sum()

    value, slope = model.value_and_grad({u: first, D: 0.1})
    np.testing.assert_allclose(value, after(0.1), rtol=1e-13)
    np.testing.assert_allclose(slope[D], after(0.1 + 1e-30j).imag / 1e-30, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("place", [sp.Mod(3 * i + 1, 6), sp.Mod(i**2, 6), sp.Mod(sp.Symbol("c"), 6)], ids=str)
def test_what_may_lie_further_away_is_refused(place: Any) -> None:
    x = sm.Tensor("x", (6,))
    with pytest.raises(sm.SympileError, match="cannot be an index"):
        sm.grad(sp.Sum(x[place], (i, 0, 5)), x)
