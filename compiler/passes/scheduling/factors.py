"""Products of three and more factors in a tile: what varies along the same of its indices is multiplied first, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.node import MINUS_ONE, Node, make


def shared_first(body: Node, axes: Sequence[Node], steps: Iterable[tuple[Node | None, int]]) -> Node:
    """The product of a body with its factors together that have the same copies in a tile.

    x[k, i] d[k] x[k, j] is x[k, i] (d[k] x[k, j]): d is multiplied once for each of the few vectors of a tile, not for
    each of its sums. No normal form: for the code generator only.

    Args:
        body: what is summed, guarded or not.
        axes: of the result.
        steps: indices that may differ within a tile, and how many steps of each stand in it.
    """
    product, copies = unguarded(body), {axis: count for axis, count in steps if axis in axes}
    if product.op != "mul" or len(product.args) < 3:
        return body
    signs = [factor for factor in product.args if factor is MINUS_ONE]
    classes: dict[frozenset[Node], list[Node]] = {}
    for factor in product.args:
        if factor is not MINUS_ONE:
            classes.setdefault(factor.free & frozenset(copies), []).append(factor)
    if len(classes) > 2 and frozenset() in classes:
        same = classes.pop(frozenset())
        fewest = min(classes, key=lambda own: prod(copies[axis] for axis in own))
        classes[fewest] = [*same, *classes[fewest]]
    if len(classes) == 1:
        return body
    groups = [group[0] if len(group) == 1 else make("mul", *group) for group in classes.values()]
    return when(make("mul", *signs, *groups), *conditions_of(body))
