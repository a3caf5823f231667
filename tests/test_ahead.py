"""Lines of large results are asked for ahead where a processor's stores wait for them; nothing else changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from definition_world import World, f
from test_code_generation import assert_same, compiled, run, wanted

from sympile.compiler.code.target import MESHES, TARGETS, host
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import Definition, define, elementwise, read

Build = Callable[[World, str], Definition]
ASKING, SILENT = (replace(host(), asks=asks) for asks in (True, False))
TO_WRITE = re.compile(r"call void @llvm\.prefetch\.p0\(ptr %\w+, i32 1, i32 3, i32 1\)")


def _plain(w: World, n: str) -> Definition:
    i = w.index(n)
    return elementwise([i], f("exp", read(w.input("x", n), i)))


def _matrix(w: World, n: str) -> Definition:
    e, i = w.index(n), w.index("11")
    return elementwise([e, i], mul(read(w.input("x", n), e), add(read(w.input("b", "11"), i), read(w.input("x", n), e))))


def _rows(w: World, n: str) -> Definition:
    e, i = w.index(n), w.index("19")
    x = w.input("y", f"{n} 19")
    total = define([e], [i], "sum", read(x, e, i))
    return elementwise([e, i], mul(read(x, e, i), power(read(total, e), -1)))


def _narrow_rows(w: World, n: str) -> Definition:
    e, i = w.index(n), w.index("9")
    x = w.input("z", f"{n} 9")
    total = define([e], [i], "sum", read(x, e, i))
    return elementwise([e, i], mul(read(x, e, i), power(read(total, e), -1)))


def _sum(w: World, n: str) -> Definition:
    e, i = w.index(n), w.index("33")
    return define([i], [e], "sum", read(w.input("m", f"{n} 33"), e, i))


BUILDS = [_plain, _matrix, _rows, _narrow_rows]


@pytest.mark.skipif(host().name != "avx512", reason="registers of a line")
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("n", "symbolic", "asked"), [("n", True, True), ("20000", False, True), ("20", False, False)])
def test_who_asks(build: Build, n: str, symbolic: bool, asked: bool) -> None:
    """For results that may not fit the first-level cache, on processors whose stores wait."""
    for target, asks in ((ASKING, asked), (SILENT, False)):
        w = World({"n": 50}, symbolic)
        text = compiled(w, [build(w, n)], "float64", target).code.text
        assert bool(TO_WRITE.search(text)) == asks


def test_sums_ask_for_nothing() -> None:
    w = World({"n": 50}, True)
    assert not TO_WRITE.search(compiled(w, [_sum(w, "n")], "float64", ASKING).code.text)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_results_are_the_same(build: Build, count: int) -> None:
    w = World({"n": count}, True)
    outputs = [build(w, "n")]
    asking, silent = (run(compiled(w, outputs, "float64", target), w) for target in (ASKING, SILENT))
    np.testing.assert_array_equal(asking[0], silent[0])
    assert_same(asking, wanted(w, outputs, "float64"), "float64")


def test_which_processors_ask() -> None:
    assert host().asks == (host().cpu in MESHES)
    assert not any(target.asks for target in TARGETS.values())
    assert "znver5" not in MESHES
