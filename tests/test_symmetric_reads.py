"""Distances read as d[i, j] and as d[j, i]: what is made of both is one, in values, slopes and what is added up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, computed, define, elementwise, input_tensor, read
from sympile.compiler.graph.node import ONE, const, index, reads
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.symmetric import read_in_one_order

Array = np.ndarray[Any, Any]
PARTICLES = 9
i, j, k = sm.indices("i j k")
x, q = sp.IndexedBase("x", shape=(PARTICLES, 3)), sp.IndexedBase("q", shape=(PARTICLES,))
same = sp.KroneckerDelta(i, j)
square = sp.Sum((x[i, k] - x[j, k]) ** 2, (k, 0, 2))


def lennard_jones(d: Array) -> tuple[Array, Array]:
    """A pair's energy, and its slope by the square of the distance."""
    return d**-6 - 2 * d**-3, -6 * d**-7 + 6 * d**-4


def coulomb(d: Array) -> tuple[Array, Array]:
    charges = CHARGES[:, None] * CHARGES
    return charges / np.sqrt(d), -charges / 2 * d**-1.5


def near(d: Array) -> tuple[Array, Array]:
    """Only pairs at a distance below 2."""
    return np.where(d < 4, (d - 4) ** 2, 0), np.where(d < 4, 2 * (d - 4), 0)


CHARGES = np.where(np.arange(PARTICLES) % 2, 1.0, -1.5)
PAIRS = {
    "powers": (lennard_jones, (square + same) ** -6 - 2 * (square + same) ** -3),
    "charges": (coulomb, q[i] * q[j] / sp.sqrt(square + same)),
    "a cut": (near, sp.Piecewise(((square - 4) ** 2, square < 4), (0, True))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_energy_and_forces(name: str) -> None:
    """By hand, and with two sums at most for the forces: one for what is read in both orders, not one for each."""
    by_hand, pair = PAIRS[name]
    energy = sp.Sum((1 - same) * pair, (i, 0, PARTICLES - 1), (j, 0, PARTICLES - 1)) / 2
    charged = name == "charges"
    model = sm.compile(energy, [x], constants=[q] if charged else [])
    rng = np.random.default_rng(7)
    at = 1.5 * np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3)[::3] + 0.2 * rng.normal(size=(9, 3))
    found, slopes = model.value_and_grad({x: at} | ({q: CHARGES} if charged else {}))
    apart = at[:, None] - at
    energies, forces = by_hand((apart**2).sum(2) + np.eye(PARTICLES))
    others = 1 - np.eye(PARTICLES)
    assert found == pytest.approx((others * energies).sum() / 2, rel=1e-12)
    want = ((others * forces)[:, :, None] * 2 * apart).sum(1)
    np.testing.assert_allclose(slopes[x], want, rtol=1e-11, atol=1e-11 * np.abs(want).max())
    outputs = fuse(list(model._work.outputs.values())).outputs
    sums = [tensor for tensor in computed(list(outputs.values())) if tensor.reduced and len(tensor.axes) == 2]
    assert len([tensor for tensor in sums if 3 in tensor_shape(tensor)]) <= 2


def tensor_shape(tensor: Definition) -> list[Any]:
    return [extent.data for extent in tensor.shape]


# ------------------------------------------------------------------------------------------------ which are in order

n = const(5)
a, b, c, r = index(n, "a"), index(n, "b"), index(n, "c"), index(n, "r")
X, Y = input_tensor("X", (n, n)), input_tensor("Y", (n,))


def gram(left: Definition, right: Definition) -> Definition:
    return define((a, b), (r,), "sum", mul(read(left, a, r), read(right, b, r)))


SYMMETRIC = {
    "a product with its transpose": gram(X, X),
    "sums of two": elementwise((a, b), add(read(Y, a), read(Y, b))),
    "of another one": elementwise((a, b), function("exp", read(gram(X, X), b, a))),
    "the same on the diagonal": elementwise(
        (a, b), add(read(gram(X, X), a, b), when(read(gram(X, X), a, a), function("eq", a, b)))
    ),
    "two axes of three": elementwise((a, b, c), mul(read(Y, a), read(Y, b), function("exp", read(Y, c)))),
}
OTHER = {
    "an input": X,
    "a product of two": gram(X, input_tensor("Z", (n, n))),
    "differences": elementwise((a, b), add(read(Y, a), mul(const(-1), read(Y, b)))),
    "one side of the diagonal": elementwise(
        (a, b), when(read(gram(X, X), a, b), function("ge", add(a, mul(const(-1), b))))
    ),
    "not on the diagonal": elementwise((a, b), add(read(X, a, b), when(ONE, function("eq", a, b)))),
}


def orders_that_are_read(tensor: Definition) -> set[tuple[str, ...]]:
    """In which orders a sum of both, over all further axes, reads a tensor."""
    more = tensor.axes[2:]
    both = [read(tensor, *pair, *more) for pair in ((a, b), (b, a))]
    output = elementwise((a, b, *more), mul(function("exp", both[0]), function("tanh", both[1])))
    new = read_in_one_order([output])[output]
    below = [node for node in reads(new.formula) if node.args[2:] == new.axes[2:]]
    return {tuple("ab"[new.axes.index(at)] for at in node.args[:2]) for node in below}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_ones_are_read_in_one_order(name: str) -> None:
    assert len(orders_that_are_read(SYMMETRIC[name])) == 1


@pytest.mark.parametrize("name", OTHER)
def test_others_are_read_as_they_stand(name: str) -> None:
    assert len(orders_that_are_read(OTHER[name])) == 2
