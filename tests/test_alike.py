"""Groups that differ only in their tensors are one function: found whatever the tensors are called, and right for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from definition_cases import CASES
from definition_world import World
from test_code_generation import DTYPES, assert_same, compiled, run, sizes_of, wanted
from test_recurrences import CELLS, model_of

from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import Node, const
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes import emit
from sympile.compiler.passes.emitting.alike import in_other_tensors, repeated
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.group import Group


@dataclass(slots=True)
class Renamed(World):
    """Inputs by other names, and so with other values and other hashes."""

    mark: str = ""

    def input(self, name: str, shape: str = "", extra: int = 0) -> Definition:
        return World.input(self, name + self.mark, shape, extra)

    def doubled(self, name: str, shape: str) -> Definition:
        return World.doubled(self, name + self.mark, shape)

    def classes(self, name: str, shape: str, limit: str) -> Definition:
        return World.classes(self, name + self.mark, shape, limit)


def eligible(group: Group) -> bool:
    """Alone it is no repetition; beside itself it is, unless it is of a kind that is never looked at."""
    return bool(repeated([group, group]))


@pytest.mark.parametrize("name", CASES)
def test_other_tensors_change_nothing(name: str) -> None:
    """A group in other tensors, whose operands that commute stand in another order, is told to be the same."""
    w = World(sizes_of(5, 3), symbolic=True)
    for group in filter(eligible, fuse(CASES[name](w)).groups):
        once = in_other_tensors(group)
        assert in_other_tensors(once.group).key == once.key


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_twice_in_one_program(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each half reads and writes its own tensors."""
    monkeypatch.setattr(emit, "SMALL", 0)
    w = Renamed(sizes_of(7, 4), symbolic=name < "m", mark="_one")
    outputs = CASES[name](w)
    w.mark = "_two"
    outputs += CASES[name](w)
    outputs = list(dict.fromkeys(outputs))
    assert_same(run(compiled(w, outputs, dtype), w), wanted(w, outputs, dtype), dtype)


def functions(text: str) -> int:
    return len(re.findall(r"^define", text, re.MULTILINE))


@pytest.mark.parametrize("cell", CELLS)
def test_longer_recurrences_have_no_more_functions(cell: str) -> None:
    """A step more was some forty functions more; which of two computed terms has the sign may change with each step."""
    four, six = (functions(model_of(cell, steps, every=True).stages["llvm"]) for steps in (4, 6))
    assert six <= four + (1 if cell in ("GRU", "LSTM") else 10)


@pytest.mark.parametrize("name", "abcdefgh")
def test_residuals_have_one_sign(name: str) -> None:
    """prediction - target, whatever the target is called: the groups of steps differed by a sign."""
    w = World({"n": 6}, symbolic=True)
    (i,) = w.indices("n")
    target, first, second = (read(w.input(each, "n"), i) for each in (name, "u", "v"))
    prediction = mul(first, second)
    assert sub(prediction, target).op == "add"
    assert sub(target, prediction) == mul(const(-1), sub(prediction, target))
    assert mul(const(3), sub(target, prediction)).args[0] == const(-3)


# ------------------------------------------------------------------------------------------------ rows that numbers choose


def layer(w: World, number: int, weights: Definition, x: Definition) -> Definition:
    """T[i] = sum over j of W[number, i, j] x[j]."""
    i, j = w.indices("n n")
    return define((i,), (j,), "sum", mul(read(weights, const(number), i, j), read(x, j)))


@pytest.mark.parametrize("symbolic", [False, True], ids=["numbers", "symbols"])
def test_rows_that_numbers_choose(symbolic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lengths are known, the three layers are one function, which begins at another row each time."""
    monkeypatch.setattr(emit, "SMALL", 0)
    w = World({"n": 9}, symbolic)
    weights, x = w.input("W", "3 n n"), w.input("x", "n")
    outputs = []
    for number in (2, 0, 1):
        outputs.append(layer(w, number, weights, outputs[-1] if outputs else x))
    alike = repeated(fuse(outputs).groups)
    assert len({each.key for each in alike.values()}) == (0 if symbolic else 1)
    for dtype in DTYPES:
        assert_same(run(compiled(w, outputs, dtype), w), wanted(w, outputs, dtype), dtype)


@pytest.mark.parametrize(("steps", "kinds"), [(2, 2), (6, 1)])
def test_sums_of_many_steps_are_alike(steps: int, kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slope is the sum of its steps': were one of them finished with all others, it would wait for them, and be unlike."""
    monkeypatch.setattr(emit, "SMALL", 0)
    w = World({"n": 9, "m": 5}, symbolic=False)
    i, j, k = w.indices("n m m")
    parts = []
    for number in range(steps):
        x, y = w.input(f"x{number}", "n m"), w.input(f"y{number}", "n m")
        parts.append(define((j, k), (i,), "sum", mul(read(x, i, j), read(y, i, k))))
    total = elementwise((j, k), add(*[read(part, j, k) for part in parts]))
    groups = fuse([total]).groups
    assert len({in_other_tensors(group).key for group in groups if group.members[0].reduced}) == kinds
    for dtype in DTYPES:
        assert_same(run(compiled(w, [total], dtype), w), wanted(w, [total], dtype), dtype)


# ------------------------------------------------------------------------------------------------ what is not alike


def of_two(w: World, body: Callable[[Node, Node, Node], Node], names: str, after: Sequence[Definition] = ()) -> Definition:
    """An outer product, so that each has its own group: of a, b and c it says which stands where."""
    i, j = w.indices("n n")
    a, b, c = (w.input(name, "n") for name in names)
    return elementwise((i, j), body(read(a, i), read(b, j), read(c, i)))


DIFFERENT: dict[str, tuple[Callable[[Node, Node, Node], Node], Callable[[Node, Node, Node], Node], int]] = {
    "the same": (lambda a, b, c: add(mul(a, b), c), lambda a, b, c: add(mul(a, b), c), 1),
    "what commutes": (lambda a, b, c: add(mul(a, b), c), lambda a, b, c: add(mul(c, b), a), 1),
    "another sign": (lambda a, b, c: add(mul(a, b), c), lambda a, b, c: sub(mul(a, b), c), 2),
    "another number": (lambda a, b, c: mul(const(2), a, b), lambda a, b, c: mul(const(3), a, b), 2),
    "who divides": (
        lambda a, b, c: function("arctan2", mul(a, b), c), lambda a, b, c: function("arctan2", c, mul(a, b)), 2,
    ),
    "read once or twice": (lambda a, b, c: add(mul(a, b), c), lambda a, b, c: add(mul(a, b), a), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_alike(name: str) -> None:
    first, second, kinds = DIFFERENT[name]
    w = World({"n": 6}, symbolic=True)
    groups = [fuse([of_two(w, first, "abc")]).groups[0], fuse([of_two(w, second, "uvw")]).groups[0]]
    assert len({in_other_tensors(group).key for group in groups}) == kinds
    assert len(repeated(groups)) == (2 if kinds == 1 else 0)
