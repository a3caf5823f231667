"""Groups that go through the examples in turns: who may, right results at awkward sizes, memory that nobody else has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from definition_world import World, f
from test_code_generation import DTYPES, assert_same, run, wanted

from sympile.compiler.code.target import host
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import Definition, define, definitions, elementwise, read
from sympile.compiler.graph.node import const
from sympile.compiler.passes.assemble import assemble
from sympile.compiler.passes.emitting import hand_out as emitted
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import schedule
from sympile.compiler.passes.scheduling import abreast as scheduled
from sympile.compiler.passes.scheduling.abreast import NEAR, ROWS, abreast, taking_turns
from sympile.compiler.passes.scheduling.lifetimes import stays
from sympile.compiler.program import BATCH as N
from sympile.compiler.program import Program
from sympile.runtime import pool
from sympile.runtime.native import NativeProgram

Array = npt.NDArray[Any]
Build = Callable[[World, str], list[Definition]]


def _parts(w: World, k: str) -> tuple[Definition, Definition, Definition]:
    """Data, a sum across each row, and what is costly for each of its entries."""
    e, i = w.index(N), w.index(k)
    x = w.input("x", f"{N} {k}")
    return x, define([e], [i], "sum", mul(read(x, e, i), read(x, e, i))), elementwise([e, i], f("cos", read(x, e, i)))


def _matrices(w: World, k: str) -> list[Definition]:
    e, i, j = w.index(N), w.index(k), w.index(k)
    x, size, cosine = _parts(w, k)
    scale = f("exp", mul(const(-1), read(size, e)))
    return [elementwise([e, i, j], add(mul(scale, read(x, e, i), read(x, e, j)), read(cosine, e, j)))]


def _with_the_parts(w: World, k: str) -> list[Definition]:
    """What is between is wanted, too."""
    _x, size, cosine = _parts(w, k)
    e, i, j = w.index(N), w.index(k), w.index(k)
    return [cosine, size, elementwise([e, i, j], mul(read(cosine, e, i), read(cosine, e, j), read(size, e)))]


def _with_a_total(w: World, k: str) -> list[Definition]:
    """Every matrix needs a sum over all examples."""
    _x, size, cosine = _parts(w, k)
    e, i, j = w.index(N), w.index(k), w.index(k)
    total = define([], [e], "sum", read(size, e))
    return [elementwise([e, i, j], mul(read(cosine, e, i), read(cosine, e, j), read(total)))]


def _with_columns(w: World, k: str) -> list[Definition]:
    _x, _size, cosine = _parts(w, k)
    e, i, j = w.index(N), w.index(k), w.index(k)
    column = define([i], [e], "sum", read(cosine, e, i))
    return [elementwise([e, i, j], mul(read(cosine, e, i), read(column, j)))]


def _used_again(w: World, k: str) -> list[Definition]:
    """A later group reads what was between, of all examples."""
    _x, _size, cosine = _parts(w, k)
    matrices = _matrices(w, k)[0]
    d, i, j = w.index(N), w.index(k), w.index(k)
    return [matrices, define([i, j], [d], "sum", mul(read(cosine, d, i), read(matrices, d, i, j)))]


def program(w: World, outputs: list[Definition], dtype: str) -> Program:
    """As for heavy sizes."""
    named = {f"out{k}": tensor for k, tensor in enumerate(outputs)}
    below, fused = set(definitions(outputs)), fuse(outputs)
    loops = schedule(fused, host().core({"float64": "double", "float32": "float"}[dtype]))
    return assemble(named, [t for t in w.inputs if t in below], fused, loops, dtype, host(), large=True)


def turns_of(outputs: list[Definition]) -> list[int]:
    """How many groups take turns, of each run; all that may also do."""
    fused = fuse(outputs)
    loops = schedule(fused, host().core("double"))
    found = taking_turns(fused.groups, loops, set(fused.outputs.values()))
    assert [each.numbers for each in found.values()] == abreast(fused.groups)
    return [len(each.numbers) for each in found.values()]


@pytest.mark.parametrize(("build", "want"), [
    pytest.param(_matrices,       [2], id="rows, then a matrix of each"),
    pytest.param(_with_the_parts, [2], id="parts are results"),
    pytest.param(_with_a_total,   [],  id="a total is complete after all examples"),
    pytest.param(_with_columns,   [],  id="sums over examples"),
    pytest.param(_used_again,     [2], id="and a sum over examples later"),
])  # fmt: skip
def test_who_takes_turns(build: Build, want: list[int]) -> None:
    assert turns_of(build(World({N: 3}, symbolic=True), "10")) == want


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks as small as their grain, which two threads share."""
    for name in ("WORTH", "CHUNK"):
        monkeypatch.setattr(emitted, name, 1)
    pool.stop()
    pool.start(2)
    yield
    pool.stop()


BUILDS = [_matrices, _with_the_parts, _with_a_total, _with_columns, _used_again]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", ["6", "10", "19"])
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__[1:])
def test_results(build: Build, width: str, dtype: str) -> None:
    """Examples that fill no block, some blocks, and some chunks."""
    native = None
    for count in (1, 7, ROWS - 1, ROWS, ROWS + 1, 5 * ROWS + 3):
        w = World({N: count}, symbolic=True, seed=count)
        outputs = build(w, width)
        native = native or NativeProgram(program(w, outputs, dtype))
        assert_same(run(native.program, w, native), wanted(w, outputs, dtype), dtype, f"{count} examples")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_in_turns_and_one_after_the_other(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = World({N: 3 * ROWS + 5}, symbolic=True)
    outputs = _matrices(w, "10")
    together = run(program(w, outputs, dtype), w)
    monkeypatch.setattr(scheduled, "WIDE", 1 << 40)
    assert abreast(fuse(outputs).groups) == []
    for have, want in zip(together, run(program(w, outputs, dtype), w), strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__[1:])
def test_what_is_stored_on_the_way_has_its_place_alone(build: Build) -> None:
    """While some take turns, none of them may write where another one reads: all are at work at any time."""
    outputs = build(World({N: 3}, symbolic=True), "10")
    fused = fuse(outputs)
    runs = abreast(fused.groups)
    for stay in stays(fused.groups, set(outputs)):
        for run_ in runs:
            assert not (stay.first in run_ and stay.first != run_.start)
            assert not (stay.last in run_ and stay.last != run_[-1])


def test_wide_rows_stay_in_memory() -> None:
    """What waits on the stack is small."""
    for width, count in ((10, 3), (NEAR + 1, 1)):
        fused = fuse(_matrices(World({N: 3}, symbolic=True), str(width)))
        (turns,) = taking_turns(fused.groups, schedule(fused, host().core("double")), ()).values()
        assert len(turns.near) <= count
        assert sum(map(scheduled.words_of_row, turns.near)) <= NEAR
