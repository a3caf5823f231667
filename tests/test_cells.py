"""Tensors given entry by entry: which axes have no loop, and that every entry is where it belongs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from definition_world import World, f
from test_code_generation import DTYPES, assert_same, compiled, run, wanted

from sympile.compiler.code.target import TARGETS, Target, host
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import at_least_zero, equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import ONE, ZERO, Node, const
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.cells import MOST, listed_axes, written_out
from sympile.compiler.program import BATCH as N

Build = Callable[[World], list[Definition]]


def at(value: Node, **places: tuple[Node, int]) -> Node:
    """A value where indices have certain values."""
    return when(value, *[equal(index, const(number)) for index, number in places.values()])


def _matrix(w: World, rows: int, columns: int) -> Definition:
    """Examples in front, every third entry 0, some entries twice."""
    e, i, j = w.index(N), w.index(str(rows)), w.index(str(columns))
    x, y = read(w.input("x", N), e), read(w.input("y", N), e)
    kinds = [mul(x, y), f("exp", x), None, add(x, const(2)), f("exp", x)]
    parts = [
        at(kind, row=(i, r), column=(j, c))
        for r in range(rows)
        for c in range(columns)
        if (kind := kinds[(r * columns + c) % 5]) is not None
    ]
    return elementwise((e, i, j), mul(const(3), y, add(*parts)))


def _few(w: World) -> list[Definition]:
    return [_matrix(w, 2, 1)]


def _vector(w: World) -> list[Definition]:
    return [_matrix(w, 2, 4)]


def _many(w: World) -> list[Definition]:
    return [_matrix(w, 5, 7)]


def _beyond_the_room(w: World) -> list[Definition]:
    return [_matrix(w, 30, 40)]


def _with_others(w: World) -> list[Definition]:
    """A value and a sum over the examples in the same loop, and somebody who reads an entry."""
    e = w.index(N)
    x = read(w.input("x", N), e)
    matrix = _matrix(w, 3, 3)
    entry = read(matrix, e, const(1), const(2))
    total = define((), (e,), "sum", f("exp", x))
    held = define((), (e,), "max", add(entry, x))
    return [elementwise((e,), f("exp", x)), matrix, total, held]


def _without_examples(w: World) -> list[Definition]:
    i, j = w.index("3"), w.index("3")
    x = read(w.input("x", ""))
    return [elementwise((i, j), add(at(x, a=(i, 0), b=(j, 2)), at(f("exp", x), a=(i, 2), b=(j, 0))))]


def _in_front(w: World) -> list[Definition]:
    """The listed axis in front of the one that lies across the lanes."""
    i, j = w.index("3"), w.index("n")
    x = read(w.input("x", "n"), j)
    return [elementwise((i, j), add(at(x, a=(i, 0)), at(mul(x, x), a=(i, 2))))]


def _two_loops(w: World) -> list[Definition]:
    e, k, i = w.index(N), w.index("n"), w.index("3")
    x = read(w.input("z", f"{N} n"), e, k)
    return [elementwise((e, k, i), add(at(x, a=(i, 0)), at(f("tanh", x), a=(i, 1)), at(mul(x, x), a=(i, 2))))]


def _conditions(w: World) -> list[Definition]:
    """A diagonal and a guard along listed axes, a choice by data, and a term for a whole row."""
    e, i, j = w.index(N), w.index("4"), w.index("4")
    x, y = read(w.input("x", N), e), read(w.input("y", N), e)
    terms = [
        when(y, equal(i, j)),
        when(ONE, at_least_zero(add(i, mul(const(-1), j)))),
        when(f("log", x), f("less", ZERO, x), equal(i, const(1)), equal(j, const(2))),
        at(mul(x, y), a=(i, 3)),
    ]
    return [elementwise((e, i, j), add(*terms))]


# fmt: off
CASES: dict[str, Build] = {
    "fewer cells than lanes":               _few,
    "as many as lanes":                     _vector,
    "the last block overlaps":              _many,
    "more than the stack has room for":     _beyond_the_room,
    "with a value, a sum and a reader":     _with_others,
    "no examples":                          _without_examples,
    "listed in front of the lanes":         _in_front,
    "two loops":                            _two_loops,
    "conditions of several kinds":          _conditions,
}
# fmt: on
COUNTS = (1, 7, 8, 9, 33)
WIDTHS = [host(), *[t for t in (TARGETS["avx2"],) if host().name == "avx512"]]


@pytest.mark.parametrize("target", WIDTHS, ids=lambda target: target.name)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_every_entry_is_where_it_belongs(name: str, dtype: str, target: Target) -> None:
    for count in COUNTS if name != "more than the stack has room for" else (9,):
        w = World({N: count, "n": count}, symbolic=True, seed=count)
        outputs = CASES[name](w)
        program = compiled(w, outputs, dtype, target)
        assert_same(run(program, w), wanted(w, outputs, dtype), dtype, f"at {count} examples")


def test_one_loop_for_all() -> None:
    """A value, its derivatives and a sum over examples go through the examples once."""
    w = World({N: 5}, symbolic=True)
    fused = fuse(_with_others(w)[:3])
    assert [len(group.domain) for group in fused.groups] == [1]


def _reads_along(w: World) -> Definition:
    i = w.index("5")
    return elementwise((i,), add(read(w.input("x", "5"), i), at(ONE, a=(i, 2))))


def _unknown_length(w: World) -> Definition:
    i = w.index("n")
    return elementwise((i,), add(at(ONE, a=(i, 0)), at(read(w.input("s")), a=(i, 1))))


def _no_place(w: World) -> Definition:
    i, j = w.index("4"), w.index("4")
    return elementwise((i, j), when(read(w.input("s")), equal(i, j)))


def _too_many(w: World) -> Definition:
    i, j = w.index(str(MOST)), w.index("2")
    return elementwise((i, j), at(read(w.input("s")), a=(i, 0), b=(j, 1)))


# fmt: off
LISTED = [
    pytest.param(lambda w: _matrix(w, 2, 3), (1, 2), id="a matrix for each example"),
    pytest.param(lambda w: _in_front(w)[0],  (0,),   id="in front"),
    pytest.param(_reads_along,               (),     id="an operand is read along the axis"),
    pytest.param(_unknown_length,            (),     id="an axis of unknown length"),
    pytest.param(_no_place,                  (),     id="no entry has a formula of its own"),
    pytest.param(_too_many,                  (),     id="too many cells"),
]
# fmt: on


@pytest.mark.parametrize(("build", "positions"), LISTED)
def test_which_axes_are_listed(build: Callable[[World], Definition], positions: tuple[int, ...]) -> None:
    tensor = build(World({N: 3, "n": 4}, symbolic=True))
    assert listed_axes(tensor) == tuple(tensor.axes[k] for k in positions)


def test_places_that_contradict_each_other_count_nowhere() -> None:
    w = World({}, symbolic=True)
    i = w.index("2")
    s = read(w.input("s"))
    nested = mul(const(2), add(at(add(at(s, a=(i, 1)), at(f("exp", s), a=(i, 0))), a=(i, 0)), at(ONE, a=(i, 1))))
    assert written_out(elementwise((i,), nested)).args == (mul(const(2), f("exp", s)), const(2))
