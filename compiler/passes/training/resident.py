"""A step and the optimizer's update as formulas of single numbers, which one loop keeps in registers.

In: the outputs of a step that sees all examples, and a rule. Out: the objective, the gradient and every new value, each
a tensor without axes; the parameters and the optimizer's state are inputs without axes, an entry each. Small axes are
written out, so that matrices of a few numbers are no other case than numbers. None where that is no small program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from math import prod

from sympile.compiler.graph.arithmetic import add, power
from sympile.compiler.graph.definition import (
    Definition,
    computed,
    definitions,
    elementwise,
    extent_value,
    input_tensor,
    read,
)
from sympile.compiler.graph.inline import inlined
from sympile.compiler.graph.node import Node, postorder
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.passes.fusing.keep import inlined_around_windows
from sympile.compiler.passes.training.entries import Entries, NotSmall
from sympile.compiler.passes.training.invariant import PREFIX
from sympile.compiler.passes.training.joint import Joint, joint, side_by_side
from sympile.compiler.passes.training.joint import Rule as RuleJoint
from sympile.compiler.passes.training.powers import Power, with_powers_carried
from sympile.compiler.passes.training.reciprocals import with_reciprocals
from sympile.compiler.passes.training.settled import settled
from sympile.compiler.passes.training.update import EPOCH, GRADIENT, PARAMETER, SQUARES, STEP, Rule, read_update
from sympile.compiler.records import dataclass

MOST_PARAMETERS = 16  # numbers
MOST_OPERATIONS = 600  # of all formulas, once they are written out
MOST_WRITTEN = 4 * MOST_OPERATIONS  # before: not worth writing them out to see


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a parameter, of its gradient, or of the optimizer's state."""

    kind: str  # PARAMETER, GRADIENT, or the name of a state
    parameter: str
    position: int  # in the parameter, row by row

    def __str__(self) -> str:
        return f"{self.kind} {self.position} of {self.parameter}"


@dataclass(frozen=True, slots=True)
class Parts:
    """Steps of a part of the examples each: the next ones as they lie, or in an order that is drawn or given."""

    ordered: bool
    single: bool  # each step sees one example; else a batch


@dataclass(frozen=True, slots=True)
class Resident:
    """A step and its update; every output is a number.

    Attributes:
        objective: the loss of the step.
        gradient: by entry.
        carried: the number of an entry (an input) → its new value.
        numbers: the rule's numbers (inputs) by name, STEP and EPOCH among them.
        once: inputs that are computed before the first step.
        powers: inputs that follow from their values in the step before.
        joint: the same step with all entries side by side, where it has that form.
        parts: where steps do not see all examples, and `rows` the inputs that hold data.
    """

    objective: Definition
    gradient: dict[Entry, Definition]
    carried: dict[Definition, Definition]
    entries: dict[Definition, Entry]
    numbers: dict[str, Definition]
    once: dict[Definition, Definition]
    powers: dict[Definition, Power]
    joint: Joint | None
    parts: Parts | None = None
    rows: tuple[Definition, ...] = ()

    @property
    def outputs(self) -> list[Definition]:
        """All that a step computes."""
        return [self.objective, *self.gradient.values(), *self.carried.values()]

    @property
    def inputs(self) -> list[Definition]:
        """All that is read, save what is computed once."""
        below = definitions([*self.outputs, *self.once.values(), *self.values_of_powers, *self.factors])
        own = {*self.once, *self.powers}
        return list(dict.fromkeys([*[t for t in below if t.kind == "input" and t not in own], *self.carried]))

    @property
    def values_of_powers(self) -> list[Definition]:
        """What the powers are in any step."""
        return [power.value for power in self.powers.values()]

    @property
    def factors(self) -> list[Definition]:
        """By what the powers grow."""
        return [power.factor for power in self.powers.values()]

    @property
    def labelled(self) -> dict[str, Definition]:
        """All formulas, by what they are."""
        gradient = {f"{entry}": tensor for entry, tensor in self.gradient.items()}
        after = {f"next {number.name}": value for number, value in self.carried.items()}
        powers = {t.name: power.value for t, power in self.powers.items()}
        factors = {f"factor of {t.name}": power.factor for t, power in self.powers.items()}
        once = {t.name: value for t, value in self.once.items()}
        wide = {f"joint {k}": part for k, part in enumerate(self.joint.parts if self.joint else ())}
        return {"objective": self.objective, **gradient, **after, **once, **powers, **factors, **wide}


def resident(
    objective: Definition,
    gradients: Mapping[str, Definition],
    rule: Rule,
    rows: Mapping[str, int] | None = None,
    parts: Parts | None = None,
) -> Resident | None:
    """The step of these outputs with its update, if that is small.

    Args:
        objective, gradients: what a step computes; the gradients by parameter.
        rule: the optimizer's.
        rows: where the examples are the rows of an R factor: the place of each input's first column; else None.
        parts: where a step does not see all examples.
    """
    outputs = [objective, *gradients.values()]
    if not _few(t for t in definitions(outputs) if t.kind == "input" and t.routine == PARAMETER):
        return None
    if sum(1 for _ in postorder([t.formula for t in computed(outputs) if t.kind == "formula"])) > MOST_WRITTEN:
        return None
    flat = inlined_around_windows(outputs)
    parameters = {t.name: t for t in definitions(flat[g] for g in gradients.values()) if t.routine == PARAMETER}
    parameters |= {t.name: t for t in definitions([flat[objective]]) if t.kind == "input" and t.routine == PARAMETER}
    if not set(gradients) <= set(parameters) or not _few(parameters.values()):
        return None
    try:
        entries = Entries(rows, alone=parts is not None and parts.single)
        (whole,) = [entries.tensor(flat[objective], ())]
        slopes = {
            Entry(GRADIENT, name, k): entries.tensor(flat[gradients[name]], at)
            for name in gradients
            for k, at in enumerate(_positions(parameters[name]))
        }
    except NotSmall:
        return None
    made = _updated(whole, slopes, rule, {name: parameters[name] for name in gradients}, entries, parts is None)
    if not _is_small(made):
        return None
    batched = [t for t in definitions(flat.values()) if t.kind == "input" and t.batched]
    read_ones = {entries.row(t) if entries.alone else t for t in batched} & set(made.inputs)
    return made if parts is None else replace(made, parts=parts, rows=tuple(t for t in made.inputs if t in read_ones))


def _few(parameters: Iterable[Definition]) -> bool:
    shapes = [t.shape for t in parameters]
    known = all(n.op == "const" for shape in shapes for n in shape)
    return known and sum(prod(extent_value(n) for n in shape) for shape in shapes) <= MOST_PARAMETERS


def _positions(tensor: Definition) -> Iterator[tuple[int, ...]]:
    return product(*[range(extent_value(n)) for n in tensor.shape])


def _is_small(made: Resident) -> bool:
    outputs = [t for t in computed([*made.outputs, *made.once.values(), *made.values_of_powers])]
    if any(t.kind == "call" for t in outputs):
        return False
    return sum(1 for _ in postorder([t.formula for t in outputs])) <= MOST_OPERATIONS


# ------------------------------------------------------------------------------------------------ the update


def _updated(
    objective: Definition,
    slopes: Mapping[Entry, Definition],
    rule: Rule,
    parameters: Mapping[str, Definition],
    entries: Entries,
    whole: bool,
) -> Resident:
    """The rule's formulas, for each number of the parameters; `whole`: every step sees all examples."""
    update = read_update(rule)
    numbers = {name: input_tensor(f"{PREFIX}rule {name}", (), "parameter" if name in (STEP, EPOCH) else "constant")
               for name in (STEP, EPOCH, *[name for name, _ in rule.numbers])}
    plain = {entry: read(tensor) for entry, tensor in slopes.items()}
    bodies = {name: _body(tensor) for name, tensor in update.outputs.items()}
    squares = add(*[power(slope, 2) for slope in plain.values()])
    names = [PARAMETER, *[str(state) for state, _ in rule.state]]
    carried: dict[Definition, Definition] = {}
    known: dict[Definition, Entry] = {}
    for entry, slope in plain.items():
        at = list(_positions(parameters[entry.parameter]))[entry.position]
        own = {
            name: entries.number(parameters[entry.parameter], at)
            if name == PARAMETER
            else input_tensor(f"{PREFIX}{name} {entry.position} of {entry.parameter}", (), "parameter")
            for name in names
        }
        values = {GRADIENT: slope, SQUARES: squares} | {n: read(t) for n, t in (*own.items(), *numbers.items())}
        places = {node: values[name] for name, node in update.reads.items()}
        for name, tensor in own.items():
            known[tensor] = Entry(name, entry.parameter, entry.position)
            carried[tensor] = elementwise((), substitute(bodies[name], places))
    wide = side_by_side(bodies, update.reads, numbers, len(plain))
    return _settled(objective, slopes, carried, known, numbers, wide, whole)


def _body(tensor: Definition) -> Node:
    """A new value as the rule's formula says."""
    now = with_reciprocals(tensor)
    return now.formula if now.kind == "formula" else read(now, *now.axes)


def _settled(
    objective: Definition,
    slopes: Mapping[Entry, Definition],
    carried: Mapping[Definition, Definition],
    known: dict[Definition, Entry],
    numbers: dict[str, Definition],
    wide: RuleJoint,
    whole: bool,
) -> Resident:
    """What no step changes is computed once."""
    outputs = [objective, *slopes.values(), *carried.values(), *wide.bodies.values()]
    flat = inlined(outputs)
    counters = [numbers[STEP], numbers[EPOCH]] if whole else [numbers[STEP]]
    moving, powers = with_powers_carried([flat[t] for t in outputs], counters)
    now = {old: moving.get(flat[old], flat[old]) for old in outputs}
    parts = [part for power in powers.values() for part in (power.value, power.factor)]
    side = joint([now[slope] for slope in slopes.values()], wide, {k: now[t] for k, t in wide.bodies.items()})
    new, once = settled([*now.values(), *parts, *(side.parts if side else ())], whole)
    now = {old: new.get(tensor, tensor) for old, tensor in now.items()}
    return Resident(
        now[objective],
        {entry: now[slope] for entry, slope in slopes.items()},
        {tensor: now[value] for tensor, value in carried.items()},
        known,
        numbers,
        once,
        {made: Power(new[power.value], _plain(new.get(power.factor, power.factor))) for made, power in powers.items()},
        side and side.renamed(lambda tensor: new.get(tensor, tensor)),
    )


def _plain(tensor: Definition) -> Definition:
    """An input itself, instead of what only reads it."""
    return tensor if tensor.kind == "input" else elementwise((), tensor.formula)
