"""Operands whose rows lie apart from turn to turn, and do not fit the caches: their rows are packed, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from contraction_cases import Case, Values, assert_right, by_numpy, finish, product, sizes
from definition_world import World
from edge import in_a_child, run_at_the_edge
from symmetric_sums import gram, gram_by_numpy, outer_gram, ridge, ridge_by_numpy
from test_code_generation import DTYPES, compiled, run
from test_contractions import HERE

from sympile.compiler.code.caches import Caches
from sympile.compiler.code.target import TARGETS, Target
from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, read
from sympile.compiler.passes import assemble
from sympile.compiler.passes.emitting import hand_out
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.compiler.passes.scheduling import regions
from sympile.compiler.passes.scheduling.row_panels import grain_of
from sympile.runtime import pool
from sympile.runtime.native import NativeProgram

NEAR, FAR = (Caches(1024, 1 << 14, times << 14) for times in (8, 64))


def rows_of(shape: str, *names: str) -> Callable[[World], Definition]:
    """The sum over k, and maybe others, of a[.., i] b[k, j], where names say the axes of a."""

    def build(w: World) -> Definition:
        own = dict(zip("ijkle", w.indices("m n k 3 4"), strict=True))
        others = [own[name] for name in "kl" if name in names]
        a = read(w.input("a", shape), *[own[name] for name in names])
        b = read(w.input("b", "k n"), own["k"], own["j"])
        return define((*[own["e"]] * ("e" in names), own["i"], own["j"]), tuple(others), "sum", mul(a, b))

    return build


def convolved(w: World) -> Definition:
    """a[k + p, i] for three places p."""
    i, j, k, p = w.indices("m n k 3")
    a, b = w.input("a", "k m", extra=2), w.input("b", "k 3 n")
    return define((i, j), (k, p), "sum", mul(read(a, add(k, p), i), read(b, k, p, j)))


def convolved_by_numpy(v: Values) -> Any:
    return sum(v["a"][p : len(v["a"]) - 2 + p].T @ v["b"][:, p] for p in range(3))


def chosen(w: World) -> Definition:
    """Rows that data choose."""
    i, j, k = w.indices("m n k")
    a, c, b = w.input("a", "90 m"), w.classes("c", "k", "90"), w.input("b", "k n")
    return define((i, j), (k,), "sum", mul(read(a, read(c, k), i), read(b, k, j)))


def triangular(w: World) -> Definition:
    """A guard bounds the loop over the turns in each row."""
    i, j, k = w.indices("m n k")
    body = mul(read(w.input("a", "k m"), k, i), read(w.input("b", "k n"), k, j))
    return define((i, j), (k,), "sum", when(body, at_least_zero(sub(k, i))))


def shifted(w: World) -> Definition:
    """What the guard excludes lies outside of the operand."""
    i, j, k = w.indices("m n k")
    body = mul(read(w.input("a", "k m"), sub(k, i), i), read(w.input("b", "k n"), k, j))
    return define((i, j), (k,), "sum", when(body, at_least_zero(sub(k, i))))


def shifted_by_numpy(v: Values) -> Any:
    a, b = v["a"], v["b"]
    return np.array([a[: len(a) - i, i] @ b[i:] for i in range(a.shape[1])])


ODD = sizes(71, 93, 701)
CASES = {
    "TN": Case(product("TN"), ODD, by_numpy("TN")),
    "TT": Case(product("TT"), ODD, by_numpy("TT")),
    "whole tiles": Case(product("TN"), sizes(96, 96, 512), by_numpy("TN")),
    "few rows": Case(product("TN"), sizes(9, 93, 1400), by_numpy("TN")),
    "a bias": Case(lambda w: finish(w, "TN"), ODD, lambda v: np.maximum(2 * (v["a"].T @ v["b"]) + v["bias"], 0)),
    "a symmetric one": Case(gram, sizes(1, 77, 901), gram_by_numpy),
    "a symmetric one, finished": Case(ridge, sizes(1, 77, 901), ridge_by_numpy),
    "several": Case(rows_of("4 k m", "e", "k", "i"), ODD, lambda v: v["a"].swapaxes(1, 2) @ v["b"]),
    "two sums": Case(rows_of("k 3 m", "k", "l", "i"), sizes(71, 93, 301), lambda v: v["a"].sum(1).T @ v["b"]),
    "convolved": Case(convolved, sizes(71, 93, 301), convolved_by_numpy),
    "chosen by data": Case(chosen, ODD, lambda v: v["a"][v["c"].astype(int)].T @ v["b"]),
    "a guard bounds the turns": Case(triangular, ODD, lambda v: np.tril(v["a"]).T @ v["b"]),
    "a guard keeps them inside": Case(shifted, sizes(41, 203, 301), shifted_by_numpy),
}
IN_PLACE = {
    "few turns": Case(product("TN"), sizes(70, 90, 10), by_numpy("TN")),
    "rows along the sum": Case(product("NN"), ODD, by_numpy("NN")),
    "one column of tiles": Case(product("TN"), sizes(70, 3, 700), by_numpy("TN")),
    "symmetric ones along the sum": Case(outer_gram, sizes(1, 66, 90), lambda v: v["a"] @ v["a"].swapaxes(1, 2)),
}


def loops_of(case: Case, caches: Caches) -> Loops:
    w = World(case.lengths, symbolic=False)
    fused = fuse([case.build(w)])
    target: Target = replace(TARGETS["avx512"], caches=caches)
    return schedule(fused, target.core("double"))[fused.groups[-1].members[0]]


@pytest.mark.parametrize("name", CASES)
def test_which_rows_are_packed(name: str) -> None:
    found = loops_of(CASES[name], FAR)
    assert found.packed_rows and found.row_block % found.rows == 0 and found.block
    assert not loops_of(CASES[name], NEAR).packed_rows


@pytest.mark.parametrize("name", IN_PLACE)
def test_which_are_not(name: str) -> None:
    assert not loops_of(IN_PLACE[name], FAR).packed_rows


def narrow(row: str) -> Target:
    """This machine with the registers of another one, and with small caches that are far away."""
    other = TARGETS[row]
    registers = {"lanes64": other.lanes64, "lanes32": other.lanes32, "registers": other.registers}
    return replace(HERE, **registers, masked=other.masked, caches=FAR)


@pytest.mark.parametrize(
    ("row", "dtype"), [("avx512", "float64"), ("avx512", "float32"), ("avx2", "float64"), ("neon", "float32")]
)
@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name: str, dtype: str, row: str) -> None:
    case = CASES[name]
    w = World(case.lengths, symbolic=False)
    (found,) = run(compiled(w, [case.build(w)], dtype, narrow(row)), w)
    assert_right(case, w, np.asarray(found), dtype)


@pytest.mark.parametrize("columns", [1, 7, 8, 33, 200])
def test_any_number_of_columns(columns: int) -> None:
    """Rows and turns are known, how many columns there are is told at run time."""
    w = World({"n": columns}, symbolic=True)
    i, j, k = w.indices("71 n 701")
    tensor = define((i, j), (k,), "sum", mul(read(w.input("a", "701 71"), k, i), read(w.input("b", "701 n"), k, j)))
    (group,) = fuse([tensor]).groups
    target = replace(HERE, caches=FAR)
    assert schedule(fuse([tensor]), target.core("double"))[group.members[0]].packed_rows
    (found,) = run(compiled(w, [tensor], "float64", target), w)
    np.testing.assert_allclose(found, w.values["a"].T @ w.values["b"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row(bad: float) -> None:
    """Rows beyond the end, and those of the next turn, never mix with results."""
    w = World(ODD, symbolic=False)
    tensor = product("TN")(w)
    w.values["a"][-1, -1] = w.values["a"][5, 30] = bad
    (found,) = run(compiled(w, [tensor], "float64", narrow("avx512")), w)
    assert sorted(set(np.argwhere(~np.isfinite(found))[:, 0])) == [30, 70]


# ------------------------------------------------------------------------------------------------ threads


@pytest.fixture
def everything_is_split(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks as small as their grain, for any work at all."""
    for module in (regions, hand_out, assemble):
        monkeypatch.setattr(module, "WORTH", 1)
    monkeypatch.setattr(hand_out, "CHUNK", 1)
    yield
    pool.stop()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_same_bits_for_any_number_of_threads(everything_is_split: None, name: str, dtype: str) -> None:
    """One thread does all at once, several do some rows each, of whole tiles."""
    case = CASES[name]
    w = World(case.lengths, symbolic=False)
    native = NativeProgram(compiled(w, [case.build(w)], dtype, narrow("avx512")))
    results = []
    for threads in (1, 2, 3):
        pool.stop()
        pool.start(threads)
        (found,) = run(native.program, w, native)
        results.append(found)
    assert_right(case, w, np.asarray(results[0]), dtype)
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


@pytest.mark.parametrize(
    ("length", "rows", "panel", "grain"),
    [(512, 14, 266, 126), (100, 8, 104, 32), (1024, 6, 258, 252), (5, 5, 5, 5), (40, 26, 52, 26), (9, 14, 14, 14)],
)
def test_chunks_of_rows(length: int, rows: int, panel: int, grain: int) -> None:
    assert grain_of(length, rows, panel) == grain


# ------------------------------------------------------------------------------------------------ memory


def _run_all_at_the_edge(progress: Any) -> None:
    for position, (name, case) in enumerate(CASES.items()):
        progress.value = position
        dtype = DTYPES[position % 2]
        w = World(CASES[name].lengths, symbolic=False)
        native = NativeProgram(compiled(w, [case.build(w)], dtype, narrow("avx512")))
        run_at_the_edge(native, w, dtype)


def test_nothing_is_read_or_written_behind_an_operand() -> None:
    """In a child process, since what fails here is killed."""
    exit_code, position = in_a_child(_run_all_at_the_edge)
    assert exit_code == 0, list(CASES)[position]
