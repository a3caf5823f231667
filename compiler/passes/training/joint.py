"""All parameters of a small step side by side in one register, and so its sums, its gradient and the optimizer's state.

The lanes of all sums are added up by one tree, and each new value is one operation for all entries. That needs a
gradient whose every entry is one sum over the examples, times a number that is ready before, plus such a number. What
of a new value does not depend on the gradient is ready before, too, so that mostly one multiply-add comes after the
sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import Definition, elementwise, extent_value, input_tensor, read
from sympile.compiler.graph.node import ONE, ZERO, Node, const, extent, postorder
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.training.invariant import PREFIX
from sympile.compiler.passes.training.update import GRADIENT, SQUARES
from sympile.compiler.records import dataclass

NAME = f"{PREFIX}joint "  # and what is side by side: the names of the inputs


@dataclass(frozen=True, slots=True)
class After:
    """A new value of all entries: `scale` times the gradient plus `rest`; the rest alone where that is not the form."""

    scale: Definition | None
    rest: Definition

    @property
    def parts(self) -> list[Definition]:
        return [self.rest] if self.scale is None else [self.scale, self.rest]


@dataclass(frozen=True, slots=True)
class Joint:
    """A step over an axis of as many lanes as there are entries, or a few more.

    Attributes:
        sums: by entry, the sum over the examples in its slope.
        scales, shifts: by entry, by what that is multiplied, and what is added.
        opened: by entry 0 where a guard says that nothing of the sum is to be seen, be it nan; else 1.
        slope, squares: the gradient (an input), and the sum of its squares where a rule reads that.
        registers: the parameters and each state (inputs), by kind; `after` their new values.
    """

    axis: Node
    sums: tuple[Definition | None, ...]
    scales: tuple[Definition, ...]
    shifts: tuple[Definition, ...]
    opened: tuple[Definition, ...]
    slope: Definition
    squares: Definition | None
    registers: dict[str, Definition]
    after: dict[str, After]

    @property
    def lanes(self) -> int:
        return extent_value(extent(self.axis))

    @property
    def numbers(self) -> list[Definition]:
        """What is computed as numbers without axes."""
        return [*dict.fromkeys([*filter(None, self.sums), *self.scales, *self.shifts, *self.opened])]

    @property
    def parts(self) -> list[Definition]:
        """All formulas."""
        return [*self.numbers, *[part for after in self.after.values() for part in after.parts]]

    def renamed(self, now: Callable[[Definition], Definition]) -> Joint:
        """The same of what the formulas have become."""
        after = {
            kind: After(None if old.scale is None else now(old.scale), now(old.rest))
            for kind, old in self.after.items()
        }
        sums = tuple([None if total is None else now(total) for total in self.sums])
        scales, shifts, opened = (tuple(map(now, part)) for part in (self.scales, self.shifts, self.opened))
        return replace(self, sums=sums, scales=scales, shifts=shifts, opened=opened, after=after)


@dataclass(frozen=True, slots=True)
class Rule:
    """The optimizer's formulas over the lanes."""

    axis: Node
    inputs: dict[str, Definition]  # by what they are
    bodies: dict[str, Definition]  # new values, by kind


def side_by_side(
    bodies: Mapping[str, Node], reads: Mapping[str, Node], numbers: Mapping[str, Definition], entries: int
) -> Rule:
    """The rule for as many entries as there are.

    Args:
        bodies: new values, by kind; `reads`: what stands in them for what.
        numbers: the rule's, which are the same for all entries.
    """
    lanes = const(1 << (entries - 1).bit_length())
    inputs = {kind: input_tensor(NAME + kind, (lanes,), "parameter") for kind in (GRADIENT, *bodies)}
    (axis,) = inputs[GRADIENT].axes
    values = {name: read(tensor) for name, tensor in numbers.items()}
    values |= {kind: read(tensor, axis) for kind, tensor in inputs.items()}
    inputs[SQUARES] = input_tensor(NAME + SQUARES, (), "parameter")
    values[SQUARES] = read(inputs[SQUARES])
    places = {node: values[name] for name, node in reads.items()}
    return Rule(axis, inputs, {kind: elementwise((axis,), substitute(body, places)) for kind, body in bodies.items()})


def joint(slopes: Sequence[Definition], rule: Rule, bodies: Mapping[str, Definition]) -> Joint | None:
    """The step of these slopes, if they have the form; `bodies`: the rule's new values."""
    found = [_of_one_sum(slope) for slope in slopes]
    shares = [share for share in found if share is not None]
    if len(shares) < len(found):
        return None
    inputs = rule.inputs
    slope = read(inputs[GRADIENT], rule.axis)
    formulas = {kind: body_of(tensor) for kind, tensor in bodies.items()}
    split = {kind: apart(formula, slope) for kind, formula in formulas.items()}
    squared = any(read(inputs[SQUARES]) in postorder([formula]) for formula in formulas.values())
    straight = not squared and all(part is not None for part in split.values())
    after = {
        kind: _after(rule.axis, split[kind] if straight else None, formula) for kind, formula in formulas.items()
    }
    scales, shifts, opened = [tuple([elementwise((), numbers[k]) for _, numbers in shares]) for k in range(3)]
    return Joint(
        rule.axis,
        tuple([total for total, _ in shares]),
        scales,
        shifts,
        opened,
        inputs[GRADIENT],
        inputs[SQUARES] if squared else None,
        {kind: inputs[kind] for kind in bodies},
        after,
    )


def _after(axis: Node, split: tuple[Node, Node] | None, formula: Node) -> After:
    if split is None:
        return After(None, elementwise((axis,), formula))
    scale, rest = split
    return After(elementwise((axis,), scale), elementwise((axis,), rest))


def _of_one_sum(slope: Definition) -> tuple[Definition | None, list[Node]] | None:
    """The sum, and [scale, shift, opened], of slope = scale * sum + shift, within a guard or none."""
    whole = read(slope) if slope.reduced else body_of(slope)
    computed = list(whole.below)
    if not computed:
        return None, [ZERO, whole, ONE]
    guards = conditions_of(whole)
    if len(computed) > 1 or computed[0].monoid != "sum" or any(guard.below for guard in guards):
        return None
    parts = apart(unguarded(whole), read(computed[0]))
    return None if parts is None else (computed[0], [when(part, *guards) for part in (*parts, ONE)])


def body_of(tensor: Definition) -> Node:
    """A formula, or a read of an input."""
    return tensor.formula if tensor.kind == "formula" else read(tensor, *tensor.axes)


def apart(root: Node, late: Node) -> tuple[Node, Node] | None:
    """(a, b) of root = a * late + b, which do not read `late`; None where that is not the form."""
    done: dict[Node, tuple[Node, Node] | None] = {}
    for node in postorder([root]):
        done[node] = (ONE, ZERO) if node is late else _apart(node, done)
    return done[root]


def _apart(node: Node, done: Mapping[Node, tuple[Node, Node] | None]) -> tuple[Node, Node] | None:
    parts = [done[arg] for arg in node.args]
    if all(part is not None and part[0] is ZERO for part in parts):
        return ZERO, node
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if node.op == "add":
        return add(*[scale for scale, _ in known]), add(*[rest for _, rest in known])
    with_it = [k for k, (scale, _) in enumerate(known) if scale is not ZERO]
    if node.op != "mul" or len(with_it) > 1:
        return None
    others = [arg for k, arg in enumerate(node.args) if k not in with_it]
    scale, rest = known[with_it[0]]
    return mul(*others, scale), ZERO if rest is ZERO else mul(*others, rest)
