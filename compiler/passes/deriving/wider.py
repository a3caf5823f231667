"""Reads with the same slope: what one with fewer indices gets is a sum of what the other one gets in any case."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import split
from sympile.compiler.graph.node import Node, Number, extent, index, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.graph.reduce import total


def wider_reads(own: Mapping[Node, list[Node]]) -> dict[Node, tuple[Node, Number]]:
    """Read → one with the same slope but for a factor, and more indices, as b[k] has z[i + p, k] in relu(z/4 + b).

    What z gets is computed in any case, each element once; added up, it is what b would collect over each i and p anew.
    """
    found: dict[Node, tuple[Node, Number]] = {}
    if len({len(r.args) for r in own}) < 2:
        return found
    widest: dict[Node, dict[frozenset[Node], tuple[Node, Number]]] = {}  # of those with one slope, by their indices
    for r in sorted(own, key=lambda r: -len(r.args)):
        factor, rest = split(own[r][0])
        if len(own[r]) > 1 or isinstance(factor, float) or not _follows_from_indices(r):
            continue
        others = widest.setdefault(rest, {})
        other = next((each for each in others.values() if _has_all_indices(each[0], r)), None)
        if other is not None:
            found[r] = other[0], Fraction(factor) / Fraction(other[1])
        elif r.args:
            others.setdefault(frozenset(r.args), (r, factor))
    return found


def summed_up(r: Node, wide: Node, passed: Node) -> Node:
    """What a read gets of what a wider one passes back: the sum over all axes that it does not have."""
    fresh = {axis: index(extent(axis)) for axis in target(wide).axes}
    axes = [*fresh.values()]
    own = {axes[wide.args.index(at)]: axis for at, axis in zip(r.args, target(r).axes, strict=True)}
    summed = total([axis for axis in axes if axis not in own], substitute(passed, fresh))
    return substitute(summed, own)


def _follows_from_indices(r: Node) -> bool:
    forms = [affine(at) for at in r.args]
    return all(form is not None and all(leaf.op == "index" for leaf, _ in form.terms) for form in forms)


def _has_all_indices(wide: Node, r: Node) -> bool:
    """Whether a read has each index of another one, alone, and more axes."""
    plain = len(set(r.args)) == len(r.args) and all(at.op == "index" for at in r.args)
    return plain and len(wide.args) > len(r.args) and set(r.args) <= set(wide.args)
