"""Gated recurrent networks without names for their states: right, and no longer than the number of their steps demands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from definition_world import World
from truth import complex_step

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.group import grouped
from sympile.compiler.passes.fusing.keep import kept
from sympile.compiler.program import BATCH

UNITS, INPUTS = 3, 2
Step = Callable[..., tuple[Any, Any]]  # gates (W, U, b of each), x, h, s → the next h and s

# ------------------------------------------------------------------------------------------------ cells


def gru(f: Any, gates: list[Any], x: Any, h: Any, s: Any) -> tuple[Any, Any]:
    (W, U, a), (V, R, b), (C, D, c) = gates
    z, r = f.sigmoid(W @ x + U @ h + a), f.sigmoid(V @ x + R @ h + b)
    return f.times(f.ones - z, h) + f.times(z, f.tanh(C @ x + D @ f.times(r, h) + c)), s


def gru_by_difference(f: Any, gates: list[Any], x: Any, h: Any, s: Any) -> tuple[Any, Any]:
    (W, U, a), (V, R, b), (C, D, c) = gates
    z, r = f.sigmoid(W @ x + U @ h + a), f.sigmoid(V @ x + R @ h + b)
    return h + f.times(z, f.tanh(C @ x + D @ f.times(r, h) + c) - h), s


def lstm(f: Any, gates: list[Any], x: Any, h: Any, s: Any) -> tuple[Any, Any]:
    i, j, k, g = (W @ x + U @ h + b for W, U, b in gates)
    s = f.times(f.sigmoid(i), s) + f.times(f.sigmoid(j), f.tanh(g))
    return f.times(f.sigmoid(k), f.tanh(s)), s


def highway(f: Any, gates: list[Any], x: Any, h: Any, s: Any) -> tuple[Any, Any]:
    """A state that is added to, and read by one gate only."""
    (W, U, b), (V, R, c) = gates
    return h + f.times(f.sigmoid(W @ x + U @ h + b), f.tanh(V @ x + c)) - f.times(h, f.sigmoid(R @ h)), s


CELLS: dict[str, tuple[int, Step]] = {
    "GRU": (3, gru),
    "GRU by a difference": (3, gru_by_difference),
    "LSTM": (4, lstm),
    "highway": (2, highway),
}


class InMatrices:
    """Columns, as SymPy writes them."""

    sigmoid, tanh, times = staticmethod(sm.sigmoid), staticmethod(sm.tanh), staticmethod(sp.HadamardProduct)
    ones, zeros = sp.OneMatrix(UNITS, 1), sp.ZeroMatrix(UNITS, 1)
    scalar = staticmethod(sm.scalar)


class InNumPy:
    tanh, times = staticmethod(np.tanh), staticmethod(np.multiply)
    ones, zeros = np.ones((UNITS, 1)), np.zeros((UNITS, 1))

    @staticmethod
    def scalar(a: Any) -> Any:
        return a[0, 0]

    @staticmethod
    def sigmoid(a: Any) -> Any:
        return 1 / (1 + np.exp(-a))


def shapes_of(gates: int, steps: int) -> dict[str, tuple[int, int]]:
    """Parameters by name, and x and t."""
    found = {"v": (1, UNITS), "x": (INPUTS, steps), "t": (steps, 1)}
    for gate in range(gates):
        found |= {f"W{gate}": (UNITS, INPUTS), f"U{gate}": (UNITS, UNITS), f"b{gate}": (UNITS, 1)}
    return found


def loss(f: Any, cell: str, steps: int, every: bool, of: Mapping[str, Any], named: bool = False) -> list[Any]:
    """The residuals of the states that have a target."""
    gates, step = CELLS[cell]
    given = [(of[f"W{k}"], of[f"U{k}"], of[f"b{k}"]) for k in range(gates)]
    h = s = f.zeros
    residuals = []
    for number in range(steps):
        h, s = step(f, given, of["x"][:, number : number + 1], h, s)
        if named:
            h = sm.named(f"h{number}", h)
        residuals.append(f.scalar(of["v"] @ h) - of["t"][number, 0])
    return residuals if every else residuals[-1:]


def model_of(cell: str, steps: int, every: bool = False, named: bool = False) -> sm.Model:
    symbols = {name: sp.MatrixSymbol(name, *shape) for name, shape in shapes_of(CELLS[cell][0], steps).items()}
    squares = [r**2 for r in loss(InMatrices, cell, steps, every, symbols, named)]
    return sm.compile(sum(squares), [symbol for name, symbol in symbols.items() if name not in ("x", "t")])


@pytest.mark.parametrize("every", [False, True], ids=["a target at the end", "a target each step"])
@pytest.mark.parametrize("cell", CELLS)
def test_value_and_slopes(cell: str, every: bool) -> None:
    steps, examples = 4, 5
    rng = np.random.default_rng(3)
    shapes = shapes_of(CELLS[cell][0], steps)
    values = {name: rng.normal(size=shape) for name, shape in shapes.items() if name not in ("x", "t")}
    data = {name: rng.normal(size=(examples, *shapes[name])) for name in ("x", "t")}

    def mean(of: Mapping[str, Any]) -> Any:
        each = [{**of, "x": x, "t": t} for x, t in zip(data["x"], data["t"], strict=True)]
        return sum(sum(r**2 for r in loss(InNumPy, cell, steps, every, one)) for one in each) / examples

    model = model_of(cell, steps, every)
    found, slopes = model.value_and_grad({**values, **data})
    assert found == pytest.approx(mean(values), rel=1e-13)
    for name in values:
        wanted = complex_step(mean, values, name)
        np.testing.assert_allclose(slopes[name], wanted, rtol=1e-11, atol=1e-13 * np.abs(wanted).max(), err_msg=name)


def test_both_directions() -> None:
    """States that come from both ends: what finishes a contraction was read before it was there."""
    steps, examples = 4, 3
    rng = np.random.default_rng(5)
    shapes = {f"{name}_{way}": shape for name, shape in shapes_of(3, steps).items() for way in "fb" if name not in "xt"}
    values = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    data = {"x": rng.normal(size=(examples, INPUTS, steps)), "t": rng.normal(size=(examples, steps, 1))}
    symbols = {name: sp.MatrixSymbol(name, *shape) for name, shape in shapes.items()}
    given = {name: sp.MatrixSymbol(name, *array.shape[1:]) for name, array in data.items()}

    def residuals(f: Any, of: Mapping[str, Any]) -> list[Any]:
        sums: list[Any] = [-of["t"][number, 0] for number in range(steps)]
        for way, order in (("f", range(steps)), ("b", reversed(range(steps)))):
            gates = [tuple(of[f"{letter}{k}_{way}"] for letter in "WUb") for k in range(3)]
            h = f.zeros
            for number in order:
                h, _ = gru(f, gates, of["x"][:, number : number + 1], h, None)
                sums[number] += f.scalar(of[f"v_{way}"] @ h)
        return sums

    def mean(of: Mapping[str, Any]) -> Any:
        each = [{**of, "x": x, "t": t} for x, t in zip(data["x"], data["t"], strict=True)]
        return sum(sum(r**2 for r in residuals(InNumPy, one)) for one in each) / examples

    squares = [r**2 for r in residuals(InMatrices, {**symbols, **given})]
    found, slopes = sm.compile(sum(squares), list(symbols.values())).value_and_grad({**values, **data})
    assert found == pytest.approx(mean(values), rel=1e-13)
    for name in values:
        wanted = complex_step(mean, values, name)
        np.testing.assert_allclose(slopes[name], wanted, rtol=1e-11, atol=1e-13 * np.abs(wanted).max(), err_msg=name)


def test_what_finishes_a_contraction_is_waited_for() -> None:
    """Also by what could run in the loops of others that are ready before the contraction is."""
    w = World({BATCH: 4, "n": 5}, symbolic=True)
    first = state(w, SUMS["a sum of many reads"][0])
    e, i = first.axes
    product = contracted(w, w.input("o", f"{BATCH} n"))
    finish = elementwise(first.axes, add(read(product, e, i), read(w.input("b", "n"), i)))
    after = beside(w, finish, w.input("u", f"{BATCH} n"))
    there: set[Definition] = set()
    for group in grouped([first, after, finish]):
        assert all(there.union(group.results) >= set(tensor.below) for tensor in group.results)
        there |= set(group.results)


@pytest.mark.parametrize("cell", CELLS)
def test_work_grows_with_the_steps(cell: str) -> None:
    """Each step adds the same, but for a few factors that meet or do not; it grew with the square of the steps (by 1.28), or doubled with each."""
    three, four, five = (work(model_of(cell, steps)) for steps in (3, 4, 5))
    assert five - four <= 1.05 * (four - three)


@pytest.mark.parametrize("cell", CELLS)
def test_names_change_little(cell: str) -> None:
    """What is left is that SymPy writes h + (z - h) as one sum: the state that was is no part of it any more."""
    assert work(model_of(cell, 5)) <= 1.2 * work(model_of(cell, 5, named=True))


def work(model: sm.Model) -> int:
    """Operations in the formulas of a step."""
    groups = fuse(list(model._work.outputs.values())).groups
    return sum(group.contents.operations for group in groups)


def test_what_is_written_alike_is_read_once() -> None:
    """SymPy copies what it puts together: the definitions are those of a formula whose parts are the same objects."""
    a, b, A = sp.MatrixSymbol("a", 3, 1), sp.MatrixSymbol("b", 3, 1), sp.MatrixSymbol("A", 3, 3)
    product = sp.HadamardProduct(a, b)
    copy = sp.HadamardProduct(*product.args)
    assert copy is not product
    one, two = (sm.sum(sm.exp(A * product) + sm.tanh(A * right)) for right in (product, copy))
    assert sm.compile(one, [A])._work.outputs["loss"] is sm.compile(two, [A])._work.outputs["loss"]


def test_arrays_of_numbers_stay_in_formulas() -> None:
    """A matrix of ones that stands twice is no array that somebody stores: 1 - z is seen."""
    x, v = sp.MatrixSymbol("x", 3, 1), sp.MatrixSymbol("v", 3, 1)
    ones = sp.OneMatrix(3, 1)
    model = sm.compile(sm.sum(sp.HadamardProduct(ones - sm.sigmoid(v), ones - sm.sigmoid(x + v))), [v])
    assert any(each.name == "one-minus-sigmoid" for each in model._work.rewritings)


# ------------------------------------------------------------------------------------------------ what is stored first


def state(w: World, body: Callable[[list[Node], list[Node]], Node]) -> Definition:
    """T[e, i] = body, of the elements of four inputs at e, i and the indices."""
    e, i = at = w.indices(f"{BATCH} n")
    elements = [read(w.input(name, f"{BATCH} n"), e, i) for name in "pqrs"]
    return elementwise(at, body(elements, at))


def contracted(w: World, tensor: Definition) -> Definition:
    e, i, j = w.indices(f"{BATCH} n n")
    return define((e, i), (j,), "sum", mul(read(w.input("A", "n n"), i, j), read(tensor, e, j)))


def beside(w: World, tensor: Definition, other: Definition) -> Definition:
    e, i = w.indices(f"{BATCH} n")
    return elementwise((e, i), mul(read(tensor, e, i), read(other, e, i)))


SUMS: dict[str, tuple[Callable[[list[Node], list[Node]], Node], bool]] = {
    "a sum of many reads": (lambda p, at: add(mul(p[0], p[1]), mul(p[2], p[3])), True),
    "a product of many reads": (lambda p, at: mul(p[0], p[1], p[2]), True),
    "two reads are no more than one": (lambda p, at: add(p[0], p[1]), False),
    "a term lacks an index": (lambda p, at: add(mul(p[0], p[1], p[2]), at[0]), False),
    "a bracket chooses places": (lambda p, at: add(mul(p[0], p[1], p[2]), when(p[3], equal(at[1], at[0]))), False),
}


@pytest.mark.parametrize(("body", "want"), SUMS.values(), ids=SUMS)
def test_what_a_contraction_reads_is_stored(body: Callable[[list[Node], list[Node]], Node], want: bool) -> None:
    w = World({BATCH: 4, "n": 5}, symbolic=True)
    tensor = state(w, body)
    assert (tensor in kept([contracted(w, tensor)])) is want


def test_only_what_is_wanted_later_is_stored() -> None:
    """Beside what is ready at the same time it stays in registers; what waits for a contraction reads it again."""
    w = World({BATCH: 4, "n": 5}, symbolic=True)
    tensor = state(w, SUMS["a sum of many reads"][0])
    other = w.input("o", f"{BATCH} n")
    assert kept([beside(w, tensor, other)]) == set()
    assert kept([beside(w, tensor, contracted(w, other))]) == {tensor}
    through = beside(w, elementwise(tensor.axes, mul(read(tensor, *tensor.axes), read(tensor, *tensor.axes))), contracted(w, other))
    assert kept([through]) == {tensor}, "what is inlined where it is wanted later"
