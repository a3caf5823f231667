"""Sums of products large enough to be packed and blocked, in every lay of their operands, against NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from contraction_cases import CASES, assert_right, guarded, product, sizes
from definition_world import World
from edge import in_a_child, run_at_the_edge
from test_code_generation import DTYPES, compiled, run

import sympile as sm
from sympile.compiler.code.caches import Caches
from sympile.compiler.code.jit import emit_assembly
from sympile.compiler.code.target import TARGETS, Target, host
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.runtime.native import NativeProgram


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_known_sizes(name: str, dtype: str) -> None:
    case = CASES[name]
    w = World(case.lengths, symbolic=False)
    (found,) = run(compiled(w, [case.build(w)], dtype), w)
    assert_right(case, w, found, dtype)


REMAINDERS = [(1, 1, 1), (3, 9, 2), (8, 24, 64), (17, 25, 5), (37, 70, 130), (141, 33, 1500)]


def for_all_sizes(name: str, dtype: str) -> NativeProgram:
    w = World(sizes(2, 2, 2), symbolic=True)
    return NativeProgram(compiled(w, [CASES[name].build(w)], dtype))


@pytest.mark.parametrize("name", CASES)
def test_one_program_for_all_sizes(name: str) -> None:
    """Tiles are fixed, how many there are is told at run time; what is left over is computed, too."""
    native = for_all_sizes(name, "float64")
    for lengths in REMAINDERS if "two axes" not in name else REMAINDERS[:4]:
        w = World(sizes(*lengths), symbolic=True)
        CASES[name].build(w)
        (found,) = run(native.program, w, native)
        assert_right(CASES[name], w, found, "float64", f"at {lengths}")


def loops_of(name: str, target: Target) -> Loops:
    """The loops of the sum, which is computed last."""
    w = World(CASES[name].lengths, symbolic=False)
    fused = fuse([CASES[name].build(w)])
    return schedule(fused, target.core("double"))[fused.groups[-1].members[0]]


@pytest.mark.parametrize("name", CASES)
def test_the_way_it_is_meant_to_go(name: str) -> None:
    """A row that is here for packing must be packed, on the machine with the widest vectors."""
    loops = loops_of(name, TARGETS["avx512"])
    assert CASES[name].shows(loops), loops


HERE = host()
TINY = Caches(1024, 8192, 65536)


def narrow(row: str) -> Target:
    """This machine with the registers of another one, and with caches so small that everything is large."""
    other = TARGETS[row]
    registers = {"lanes64": other.lanes64, "lanes32": other.lanes32, "registers": other.registers}
    return replace(HERE, **registers, masked=other.masked, caches=TINY)


@pytest.mark.parametrize(("row", "dtype"), [("avx512", "float32"), ("avx2", "float64"), ("neon", "float32")])
@pytest.mark.parametrize("symbolic", [False, True], ids=["known", "symbolic"])
@pytest.mark.parametrize("name", CASES)
def test_tiny_caches(name: str, symbolic: bool, row: str, dtype: str) -> None:
    """Panels and blocks of a few turns, whose borders fall anywhere, for other registers than this machine has."""
    case = CASES[name]
    w = World(case.lengths, symbolic=symbolic)
    (found,) = run(compiled(w, [case.build(w)], dtype, narrow(row)), w)
    assert_right(case, w, found, dtype)


def test_small_caches_take_small_blocks() -> None:
    """The sizes of panels follow the second-level cache, and square tiles those operands that are far away."""
    usual, tiny = (loops_of("NN large", target) for target in (TARGETS["avx512"], narrow("avx512")))
    assert usual.block > tiny.block > 0
    assert usual.rows > tiny.rows and usual.vectors < tiny.vectors


@pytest.mark.parametrize("name", ["NN large", "NT in blocks", "a bias, in blocks", "one row", "ten columns"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_belongs(name: str, bad: float) -> None:
    """Lanes beyond the end, and rows of other tiles, never mix with results."""
    case = CASES[name]
    w = World(case.lengths, symbolic=False)
    tensor = case.build(w)
    w.values["a"].flat[w.values["a"].size // 2] = bad
    w.values["b"].flat[-1] = bad
    (found,) = run(compiled(w, [tensor], "float64"), w)
    with np.errstate(invalid="ignore"):
        want = case.numpy(w.values)
    np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lengths", [(0, 5, 7), (5, 0, 7), (5, 7, 0), (0, 0, 0)], ids=str)
def test_nothing_of_something(lengths: tuple[int, int, int]) -> None:
    """A product with an empty side is empty; one with nothing to sum is 0."""
    w = World(sizes(*lengths), symbolic=True)
    (found,) = run(compiled(w, [product("NN")(w)], "float64"), w)
    assert found.shape == lengths[:2] and (found == 0).all()


@pytest.mark.parametrize("row", ["avx512", "avx2", "neon"])
@pytest.mark.parametrize("name", ["NN large", "NT in blocks", "a bias, in blocks", "guards bound a loop", "batched"])
def test_every_target_has_code(name: str, row: str) -> None:
    """LLVM accepts what is written for machines that this one is not, and no tile has more sums than registers."""
    target = TARGETS[row]
    w = World(CASES[name].lengths, symbolic=False)
    program = compiled(w, [CASES[name].build(w)], "float64", target)
    assert emit_assembly(program.code.text, target, program.code.level)
    loops = loops_of(name, target)
    assert loops.rows * loops.seconds * loops.vectors < target.registers


def _run_all_at_the_edge(progress: Any) -> None:
    for position, name in enumerate(CASES):
        progress.value = position
        dtype = DTYPES[position % 2]
        w = World(CASES[name].lengths, symbolic=False)
        native = NativeProgram(compiled(w, [CASES[name].build(w)], dtype))
        run_at_the_edge(native, w, dtype)


def test_nothing_is_read_or_written_behind_an_operand() -> None:
    """In a child process, since what fails here is killed."""
    exit_code, position = in_a_child(_run_all_at_the_edge)
    assert exit_code == 0, list(CASES)[position]


def test_what_a_guard_excludes_may_be_nan() -> None:
    """A guard that became a bound of a loop excludes as before: nothing is multiplied by 0."""
    w = World(sizes(3, 5, 4), symbolic=False)
    tensor = guarded(w)
    w.values["b"][2] = np.nan  # what is read from position 2 on only
    (found,) = run(compiled(w, [tensor], "float64"), w)
    assert np.isnan(found[:, 2:]).all() and np.isfinite(found[:, :2]).all()


def test_a_sum_of_what_none_of_its_indices_changes() -> None:
    i, j, k = sm.indices("i j k")
    M = sp.IndexedBase("M", shape=(5, 6))
    model = sm.compile(sp.Sum(sm.LogSumExp(M[i, j], (k, 0, 5)), (j, 0, 5), (i, 0, 4)), [M])
    value, slopes = model.value_and_grad({M: np.ones((5, 6))})
    assert value == pytest.approx(30 * (1 + np.log(6)))
    np.testing.assert_allclose(slopes[M], np.ones((5, 6)), rtol=1e-14)
