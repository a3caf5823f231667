"""Rewrites that take a whole definition to see, not only a part of its formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.simplifying.affine_maps import AffineMaps
from sympile.compiler.passes.simplifying.deviations import without_deviations
from sympile.compiler.passes.simplifying.places import without_places
from sympile.compiler.passes.simplifying.rewriting import Rewriting
from sympile.compiler.passes.simplifying.solving import solved
from sympile.compiler.records import dataclass

Names = Mapping[Definition, str]


@dataclass(frozen=True, slots=True)
class Way:
    """How it is reported, and what makes of a definition another one that is the same tensor, or None."""

    report: Rewriting
    rewrite: Callable[[Definition, Names], Definition | None]


# fmt: off
WAYS = (
    Way(Rewriting("solve",      "inv(A)*b",         "solve(A, b)", "more accurate than the inverse, and cheaper"),
        lambda tensor, names: solved(tensor)),
    Way(Rewriting("deviations", "sum(x - mean(x))", "0",           "deviations from a mean add up to nothing"),
        without_deviations),
    Way(Rewriting("everywhere", "x at every place", "x",           "no place has to be asked for"),
        lambda tensor, names: without_places(tensor)),
)
# fmt: on


def affine_maps(names: Names) -> Way:
    """The way for programs with constants; what it knows of them holds for one run."""
    maps = AffineMaps(names)
    return Way(
        Rewriting("affine map", "A*(C*x + d)", "(A*C)*x + A*d", "constants are multiplied once"),
        lambda tensor, _: maps.merged(tensor),
    )
