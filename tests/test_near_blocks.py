"""Blocks of turns for rows that lie apart: so short that they stay near, where the third-level cache is far away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from contraction_cases import Case, assert_right, by_numpy, product, sizes, weighted
from definition_world import World
from symmetric_sums import gram, gram_by_numpy, ridge, ridge_by_numpy
from test_code_generation import compiled, run
from test_contractions import HERE

from sympile.compiler.code.caches import Caches
from sympile.compiler.code.target import TARGETS, Target
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.compiler.passes.scheduling.packing import LEAST

NEAR, FAR = (Caches(4096, 1 << 19, times << 19) for times in (8, 64))
CASES = {
    "TN": Case(product("TN"), sizes(70, 90, 700), by_numpy("TN")),
    "a symmetric one": Case(gram, sizes(1, 77, 2100), gram_by_numpy),
    "a symmetric one, finished": Case(ridge, sizes(1, 77, 901), ridge_by_numpy),
    "rows along the sum": Case(product("NN"), sizes(150, 203, 451), by_numpy("NN")),
    "few turns": Case(product("TN"), sizes(70, 90, 40), by_numpy("TN")),
    "weighted": Case(weighted, sizes(150, 203, 451), lambda v: (v["a"] * v["d"]) @ v["b"]),
}
SHORTER = {"TN", "a symmetric one", "a symmetric one, finished"}


def block_of(name: str, caches: Caches, symbolic: bool = False) -> int:
    w = World(CASES[name].lengths, symbolic=symbolic)
    fused = fuse([CASES[name].build(w)])
    target: Target = replace(TARGETS["avx512"], caches=caches)
    loops: Loops = schedule(fused, target.core("double"))[fused.groups[-1].members[0]]
    return loops.block


@pytest.mark.parametrize("name", CASES)
def test_which_blocks_are_short(name: str) -> None:
    near, far = block_of(name, NEAR), block_of(name, FAR)
    if name in SHORTER:
        assert 0 < far < near
        assert far <= LEAST
    else:
        assert far == near


def test_blocks_of_any_number_of_turns_stay() -> None:
    assert block_of("TN", FAR, symbolic=True) == block_of("TN", NEAR, symbolic=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name: str, dtype: str) -> None:
    case = CASES[name]
    w = World(case.lengths, symbolic=False)
    (found,) = run(compiled(w, [case.build(w)], dtype, replace(HERE, caches=FAR)), w)
    assert_right(case, w, np.asarray(found), dtype)
