"""Lines that the next column of tiles reads of a large operand are asked for while this one is packed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from contraction_cases import Case, assert_right, by_numpy, product, sizes
from definition_cases import World
from symmetric_sums import gram, gram_by_numpy
from test_code_generation import compiled, run
from test_contractions import HERE

from sympile.compiler.code.caches import Caches
from sympile.compiler.code.target import TARGETS

NEAR, FAR = (Caches(4096, 1 << 18, times << 18) for times in (8, 64))
INTO_THE_SECOND = ["@llvm.prefetch.p0(ptr ", ", i32 0, i32 2, i32 1)"][1]

CASES = {
    "rows of an odd length": (Case(product("TN"), sizes(150, 203, 320), by_numpy("TN")), True),
    "a symmetric one": (Case(gram, sizes(1, 203, 640), gram_by_numpy), True),
    "an operand that stays near": (Case(product("TN"), sizes(90, 47, 150), by_numpy("TN")), False),
    "rows a page apart": (Case(product("TN"), sizes(150, 512, 320), by_numpy("TN")), False),
}


def asks(name: str, caches: Caches) -> bool:
    w = World(CASES[name][0].lengths, symbolic=False)
    target = replace(TARGETS["avx512"], caches=caches)
    return INTO_THE_SECOND in compiled(w, [CASES[name][0].build(w)], "float64", target).code.text


@pytest.mark.parametrize("name", CASES)
def test_who_asks(name: str) -> None:
    assert asks(name, FAR) == CASES[name][1]
    assert not asks(name, NEAR)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name: str, symbolic: bool, dtype: str) -> None:
    case = CASES[name][0]
    w = World(case.lengths, symbolic=symbolic)
    (found,) = run(compiled(w, [case.build(w)], dtype, replace(HERE, caches=FAR)), w)
    assert_right(case, w, np.asarray(found), dtype)
