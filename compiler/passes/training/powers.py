"""Powers whose exponent counts the steps are carried from step to step: one multiplication instead of a logarithm.

power(c, step + k) is c times its value of the step before. Each multiplication adds half a unit in the last place, so
every EVERY steps the power is computed anew. Of Adam's 1 - c**t, no step is less accurate than the first one: what c**t
is off by grows as t does, and so does 1 - c**t as long as that counts. Below what jumps (rules/jumps.py) every power is
computed as it is written. In the loop for every model, an update keeps its powers in memory
instead (emitting/kept_power.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from sympile.compiler.graph.arithmetic import terms_of
from sympile.compiler.graph.definition import Definition, computed, define, elementwise, input_tensor, read
from sympile.compiler.graph.mapping import Mapping, each_formula, redirected
from sympile.compiler.graph.node import ZERO, Node, const, number, postorder
from sympile.compiler.graph.rebuild import function, substitute
from sympile.compiler.passes.training.invariant import PREFIX, Fixed
from sympile.compiler.program import KEPT_POWER_WORDS, KEPT_POWERS
from sympile.compiler.records import dataclass
from sympile.compiler.rules.jumps import below_jumps

EVERY = KEPT_POWERS
NAME = f"{PREFIX}power "  # and a number: the names of the new inputs


@dataclass(frozen=True, slots=True)
class Power:
    """A number without axes: its value in any step, and by what it grows from one step to the next."""

    value: Definition
    factor: Definition


def with_powers_carried(
    outputs: Iterable[Definition], counters: Iterable[Definition]
) -> tuple[dict[Definition, Definition], dict[Definition, Power]]:
    """Old → new tensors, and the new inputs with what each stands for.

    Args:
        outputs: what a step computes.
        counters: the inputs that grow by one with every step.
    """
    outputs = list(outputs)
    powers = _found(computed(outputs), {read(counter) for counter in counters})
    moving = _replaced(outputs, {node: read(made) for node, made in powers.items()})
    return moving, {made: Power(elementwise((), node), elementwise((), node.args[0])) for node, made in powers.items()}


def with_powers_kept(
    outputs: Iterable[Definition], counters: Iterable[Definition]
) -> tuple[dict[Definition, Definition], list[Definition]]:
    """Old → new tensors, and the new inputs: memory that is nan before the first step."""
    outputs = list(outputs)
    found = [n for n in _found(computed(outputs), {read(counter) for counter in counters}) if _rises(n.args[1])]
    cells = [input_tensor(f"{NAME}{k}", (const(KEPT_POWER_WORDS),), "constant") for k in range(len(found))]
    kept = {node: function("kept_power", *node.args, read(cell, ZERO)) for node, cell in zip(found, cells, strict=True)}
    return _replaced(outputs, kept), cells


def _rises(exponent: Node) -> bool:
    """Whether a counter and a whole number are never below 0."""
    return all(number(term) >= 0 for term in terms_of(exponent) if term.op == "const")


def _replaced(outputs: list[Definition], reads: dict[Node, Node]) -> dict[Definition, Definition]:
    done: dict[Node, Node] = {}

    def carried(tensor: Definition, new: Mapping) -> Definition:
        body = redirected(substitute(tensor.formula, reads), new, done)
        return define(tensor.axes, tensor.reduced, tensor.monoid, body)

    return each_formula(outputs, carried)


def _found(tensors: Iterable[Definition], counters: Iterable[Node]) -> dict[Node, Definition]:
    """Every power of a number that no step changes by a counter and a whole number."""
    formulas, fixed = [tensor.formula for tensor in tensors], Fixed(whole=True)
    exact = set(below_jumps(formulas))
    found = [
        node
        for node in postorder(formulas)
        if node.op == "power"
        and node not in exact
        and not (node.free or node.below)
        and fixed.of(node.args[0])
        and _counts(node.args[1], counters)
    ]
    return {node: input_tensor(f"{NAME}{k}", (), "parameter") for k, node in enumerate(found)}


def _counts(exponent: Node, counters: Iterable[Node]) -> bool:
    """Whether a formula is a counter, or a counter and a whole number."""
    counted, *others = sorted(terms_of(exponent), key=lambda term: term.op == "const")
    whole = all(term.op == "const" and number(term) % 1 == 0 for term in others)
    return counted in counters and len(others) <= 1 and whole
