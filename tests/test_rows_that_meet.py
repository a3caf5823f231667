"""Rows of one distance may begin at few places of a page, and drive each other out of a cache: tiles then have fewer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contraction_cases import Case, by_numpy, product, sizes
from definition_world import World

from sympile.compiler.code.caches import Caches
from sympile.compiler.code.target import TARGETS
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.compiler.passes.scheduling.places import crowd, ways

CORE = TARGETS["avx512"].core("double")
LARGE = replace(TARGETS["avx512"], caches=Caches(48 << 10, 2 << 20, 64 << 20))


@pytest.mark.parametrize(
    ("stride", "met"),
    [
        pytest.param(512, 64, id="a page: all begin at one line of it"),
        pytest.param(256, 32, id="half a page"),
        pytest.param(8 * 12, 4, id="twelve lines have a factor of four in common with the page's 64"),
        pytest.param(8 * 49, 1, id="an odd number of lines: everywhere"),
        pytest.param(511, 8, id="a number less than a page: eight at a time"),
        pytest.param(1, 8, id="side by side"),
    ],
)
def test_rows_that_meet(stride: int, met: int) -> None:
    assert crowd(64, stride, CORE) == met
    assert ways(CORE.first, CORE) == 12


def loops(ways: str, turns: int, dtype: str) -> Loops:
    w = World(sizes(512, 512, turns), symbolic=False)
    fused = fuse([Case(product(ways), w.lengths, by_numpy(ways)).build(w)])
    return schedule(fused, LARGE.core(dtype))[fused.groups[-1].members[0]]


@pytest.mark.parametrize("ways", ["NN", "NT"])
@pytest.mark.parametrize(
    ("turns", "dtype", "many"),
    [
        pytest.param(512, "double", False, id="a page apart"),
        pytest.param(511, "double", True, id="nearly a page"),
        pytest.param(504, "double", True, id="a page less a line"),
        pytest.param(512, "float", True, id="half a page: only every second begins at one place"),
    ],
)
def test_tiles_have_no_more_rows_than_stay(ways: str, turns: int, dtype: str, many: bool) -> None:
    """Those that lie a page apart must leave lines of their place to all else; others need not."""
    assert (loops(ways, turns, dtype).rows > 8) == many
