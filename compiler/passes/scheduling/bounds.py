"""Guards of a reduction that bound a loop: [i - k >= 0] inside a loop over i says where the loop over k stops.

Where i differs within a tile, it says so for the last of the tile: beyond, the guard holds nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.conditions import conditions_of
from sympile.compiler.graph.node import Node


def bounding(body: Node, outer: Iterable[Node], inner: tuple[Node, ...]) -> dict[Node, tuple[Node, ...]]:
    """Reduced index → the conditions that hold exactly for a range of its values, once the loops around it are entered.

    Args:
        body: what is summed.
        outer: indices of the loops around, each at one position for a whole tile.
        inner: the reduced indices from the outside in.
    """
    found: dict[Node, tuple[Node, ...]] = {}
    fixed = set(outer)
    for index in inner:
        fixed.add(index)
        found[index] = tuple(c for c in conditions_of(body) if _bounds(c, index) and c.free <= fixed)
    return found


def reaching(
    body: Node, outer: Iterable[Node], inner: tuple[Node, ...], tile: frozenset[Node]
) -> dict[Node, tuple[Node, ...]]:
    """Reduced index → the conditions that hold somewhere in a tile for a range of its values.

    Args:
        body: what is summed.
        outer: indices of the loops around.
        inner: the reduced indices from the outside in.
        tile: indices that differ within a tile.
    """
    within = bounding(body, (*outer, *tile), inner)
    return {index: tuple(c for c in found if _differs_evenly(c, tile)) for index, found in within.items()}


def _differs_evenly(condition: Node, tile: frozenset[Node]) -> bool:
    """Whether a condition differs within a tile, and not by a quotient, whose steps are uneven."""
    form = affine(condition.args[0])
    leaves = [leaf for leaf, _ in form.terms if not tile.isdisjoint(leaf.free)] if form is not None else []
    return bool(leaves) and all(leaf.op == "index" for leaf in leaves)


def _bounds(condition: Node, index: Node) -> bool:
    if condition.op != "ge" or index not in condition.free:
        return False
    form = affine(condition.args[0])
    if form is None or any(leaf.op == "read" or not isinstance(c, int) for leaf, c in form.terms):
        return False
    return isinstance(form.constant, int) and all(leaf is index or index not in leaf.free for leaf, _ in form.terms)
