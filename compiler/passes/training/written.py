"""Steps of small networks with all axes but the examples' written out: one loop over examples, which lie in the lanes.

A product with a matrix of a few numbers leaves most lanes of its rows empty, and each is a nest of its own. Written
out, every entry is a number of an example, all of them are made in one loop, and nothing between is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from math import prod

from sympile.compiler.graph.arithmetic import add, power
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import (
    EXAMPLE,
    EXAMPLES,
    Definition,
    computed,
    elementwise,
    extent_value,
    read,
)
from sympile.compiler.graph.node import ONE, Node, const, extent, make, postorder
from sympile.compiler.graph.rebuild import function, substitute
from sympile.compiler.passes.fuse import lowered_operations
from sympile.compiler.passes.fusing.keep import inlined_around_windows
from sympile.compiler.passes.training.entries import Entries, NotSmall
from sympile.compiler.passes.training.resident import MOST_PARAMETERS as RESIDENT

MOST_PARAMETERS = 64  # numbers
MOST_OPERATIONS = 600  # of all formulas, once they are written out
LAYERS = 2  # products with matrices: with one, rows are turned over in registers as it is (emitting/narrow_block.py)


def written_out(
    outputs: Mapping[str, Definition], objective: str, lanes: int, whole: bool, math: str
) -> dict[str, Definition] | None:
    """The outputs of a step as formulas of single entries; None where that is not small, or would be no quicker.

    Args:
        outputs: the objective and its gradients, by label.
        objective: the label of the first.
        lanes: of one register; axes as long as that fill it.
        whole: every step sees all examples, and very small models step in registers (passes/training/resident.py).
        math: how accurate functions are.
    """
    gradients = [tensor for label, tensor in outputs.items() if label != objective]
    count = _numbers(gradients)
    if not (RESIDENT if whole else 0) < count <= MOST_PARAMETERS:
        return None
    flat = inlined_around_windows(list(outputs.values()))
    low = lowered_operations(math, False, flat.values())
    tensors = computed(low.values())
    if sum(map(_is_layer, tensors)) < LAYERS or not all(_is_short(tensor, lanes) for tensor in tensors):
        return None
    try:
        entries = Entries(keeps_parameters=True)
        made = {label: _listed(entries, low[flat[tensor]]) for label, tensor in outputs.items()}
    except NotSmall:
        return None
    operations = sum(1 for _ in postorder([t.formula for t in computed(made.values())]))
    return made if operations <= MOST_OPERATIONS else None


def _numbers(tensors: Iterable[Definition]) -> int:
    """How many numbers tensors of known sizes hold; 0 of others."""
    shapes = [tensor.shape for tensor in tensors]
    known = all(n.op == "const" for shape in shapes for n in shape)
    return sum(prod(map(extent_value, shape)) for shape in shapes) if known else 0


def _is_layer(tensor: Definition) -> bool:
    """Whether each example has sums over an axis of its own."""
    return tensor.kind == "formula" and tensor.batched and tensor.monoid == "sum"


def _is_short(tensor: Definition, lanes: int) -> bool:
    """Whether axes and sums leave lanes empty."""
    lengths = [extent(i) for i in (*tensor.axes, *tensor.reduced) if i is not EXAMPLE]
    return all(n.op == "const" and extent_value(n) < lanes for n in lengths)


def _listed(entries: Entries, tensor: Definition) -> Definition:
    """A result entry by entry (passes/fusing/cells.py); a mean over the examples divides once for all of them."""
    if not tensor.axes:
        return entries.tensor(tensor, ())
    terms: list[Node] = []
    for at in product(*[range(extent_value(n)) for n in tensor.shape]):
        places = [make("eq", axis, const(k)) for axis, k in zip(tensor.axes, at, strict=True)]
        terms.append(when(read(entries.tensor(tensor, at)), *places))
    share = {power(EXAMPLES, -1): function("divide", ONE, EXAMPLES)}
    return elementwise(tensor.axes, substitute(add(*terms), share))
