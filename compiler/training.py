"""What runs in a fit: what is computed once before it, its step, its update, and the loops of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace

from sympile.compiler.code.underflow import flush_bits
from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.built import Built, Shelf
from sympile.compiler.passes.emitting.chosen import may_be_chosen
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.passes.training.in_place import all_packed, in_place
from sympile.compiler.passes.training.invariant import prepare
from sympile.compiler.passes.training.least_squares import columns_of, least_squares
from sympile.compiler.passes.training.loop import training_loop
from sympile.compiler.passes.training.powers import with_powers_kept
from sympile.compiler.passes.training.reciprocals import with_near_quotients, with_reciprocals
from sympile.compiler.passes.training.row_update import leaves_alone, row_update
from sympile.compiler.passes.training.update import EPOCH, STEP, Rule, Update, read_update
from sympile.compiler.passes.training.update import GRADIENT as UPDATE_GRADIENT
from sympile.compiler.pipeline import Request, Work, build, build_rather, inputs_below, this_machine
from sympile.compiler.program import ORDER, Code, Program
from sympile.compiler.records import dataclass

Write = Callable[[Work, Mapping[str, Definition], str, bool], dict[str, Definition] | None]


@dataclass(frozen=True, slots=True)
class Training:
    """What runs for every batch of a fit, and what runs once before: programs in order, each gives inputs of the next.

    Attributes:
        step: the program of the objective and its gradient.
        before: programs whose outputs are inputs of the later ones, by name.
        prepared: those inputs, and how they are computed.
        columns: the inputs to be replaced by their R factor, name → name of the array that holds them; else None.
        outputs: what the step computes.
    """

    step: Built
    before: tuple[Built, ...]
    prepared: dict[Definition, Definition]
    columns: dict[str, str] | None = None
    outputs: Mapping[str, Definition] = field(default_factory=dict)

    @property
    def in_place(self) -> bool:
        """Whether the step finds rows of a shuffled batch in all data, by their order (passes/training/in_place.py)."""
        return any(array.name == ORDER for array in self.step.program.inputs)


def build_training(
    work: Work,
    labels: Sequence[str],
    dtype: str,
    whole: bool,
    squares: bool = False,
    written: Write | None = None,
    ordered: bool = False,
) -> Training | None:
    """The step of a fit, other than as `value_and_grad` runs it: without what is the same in every step, say.

    None where there is nothing of that kind.

    Args:
        work: a loss and its gradient.
        labels: the outputs of a step.
        dtype: of all numbers.
        whole: every step sees all examples.
        squares: as formulas of columns of data, if it is a sum of squares that are linear in them.
        written: makes outputs with all axes but the examples' written out, if the model is a network of a few numbers.
        ordered: examples are chosen by an order, through which a step may read them.
    """
    first = prepare({label: work.outputs[label] for label in labels}, whole)
    rounds, outputs, columns = [first.values], first.outputs, None
    if squares:
        found = least_squares(first.outputs)
        if found is None:
            return None
        rounds.append({i: value for i, value in found.values.items() if value.kind != "input"})
        outputs = found.outputs
        columns = columns_of(found)
    before = tuple(_build_alone(work, {i.name: v for i, v in values.items()}, dtype) for values in rounds if values)
    prepared = {i: value for values in rounds for i, value in values.items()}
    now = outputs if written is None else written(work, outputs, dtype, whole)
    if now is None:
        return None
    placed = in_place(outputs) if ordered and written is None else None
    if placed is None:
        step = build(work, now, inputs_below(now), dtype, ordered=ordered)
    else:
        step = build_rather(work, placed, all_packed, now, dtype)
    if prepared or columns is not None or written is not None or placed is not None:
        return Training(step, before, prepared, columns, outputs)
    return Training(step, (), {}) if ordered and may_be_chosen(inputs_below(now)) else None


def _build_alone(work: Work, outputs: Mapping[str, Definition], dtype: str) -> Built:
    """A program whose inputs are whatever it reads."""
    return build(work, outputs, inputs_below(outputs), dtype)


def build_update(
    rule: Rule, dtype: str, one_by_one: bool = False, rewrites: str = "stable", shelf: Shelf | None = None
) -> Built:
    """The program that moves all parameters by an optimizer's rule.

    `one_by_one` is for few numbers: a vector that is read where single numbers were just written must wait for them.
    """
    work = Work(Request({}, Scope(batched=False), rewrites=rewrites, shelf=shelf))
    target = replace(this_machine(), lanes64=1, lanes32=1) if one_by_one else None
    outputs, inputs = _as_computed(read_update(rule), rewrites)
    gradient = next(tensor for tensor in inputs if tensor.name == UPDATE_GRADIENT)
    return build(work, outputs, inputs, dtype, target, gradient)


def build_row_update(rule: Rule, dtype: str, rewrites: str = "stable") -> Program | None:
    """The program that moves rows which data have chosen, after all else; None where a rule moves others, too."""
    update = read_update(rule)
    if not leaves_alone(update):
        return None
    outputs, inputs = _as_computed(update, rewrites)
    return row_update(outputs, inputs, dtype, this_machine(), rewrites == "exact")


def _as_computed(update: Update, rewrites: str) -> tuple[dict[str, Definition], list[Definition]]:
    """The new values as code has them, and all inputs."""
    outputs, inputs = update.outputs, list(update.inputs)
    if rewrites == "exact":
        return outputs, inputs
    outputs = {name: with_near_quotients(with_reciprocals(tensor)) for name, tensor in outputs.items()}
    new, cells = with_powers_kept(outputs.values(), [t for t in inputs if t.name in (STEP, EPOCH)])
    return {name: new.get(tensor, tensor) for name, tensor in outputs.items()}, [*inputs, *cells]


def build_loop(dtype: str) -> Code:
    """The native training loop."""
    return training_loop(dtype, this_machine())


def underflow_bits() -> int:
    """The job's word that makes 0 of what underflows in a fit, as far as the processor can do that."""
    return flush_bits(this_machine())
