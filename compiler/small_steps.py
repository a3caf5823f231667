"""Steps of small models: the loop of steps over all examples, batches or one by one, and networks written out.

It stands apart, since other fits do without the passes that make it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.built import Built, description
from sympile.compiler.passes.emit import ELEMENT
from sympile.compiler.passes.training.resident import Parts, Resident, resident
from sympile.compiler.passes.training.steps import steps_in_batches, steps_stages
from sympile.compiler.passes.training.update import Rule
from sympile.compiler.passes.training.written import written_out
from sympile.compiler.pipeline import GRADIENT, OBJECTIVE, Work, rows_of, this_machine


def build_steps(
    work: Work,
    outputs: Mapping[str, Definition],
    parameters: Sequence[str],
    rule: Rule,
    dtype: str,
    rows: Mapping[str, int] | None = None,
    parts: Parts | None = None,
) -> tuple[Resident, Built] | None:
    """The loop of steps and their update; None where they are not small.

    `rows` and `parts` as `resident` has them.
    """
    if work.request.rewrites == "exact":
        return None
    made = resident(outputs[OBJECTIVE], {name: outputs[GRADIENT + name] for name in parameters}, rule, rows, parts)
    target, request = this_machine(), work.request
    if made is None:
        return None
    if parts is not None and not parts.single and not steps_in_batches(made, dtype, target, request.math):
        return None
    how = "" if parts is None else f", {'one by one' if parts.single else 'batches'}, {parts.ordered}"
    return made, Built(
        lambda: steps_stages(made, dtype, target, request.math, work.constraints),
        lambda: description(made.labelled, made.inputs, work.constraints, dtype, target, f"{rows_of(request)}{how}"),
        request.shelf,
    )


def write_out(
    work: Work, outputs: Mapping[str, Definition], dtype: str, whole: bool
) -> dict[str, Definition] | None:
    """The outputs of a step of a small network with all axes but the examples' written out; None of others."""
    return written_out(outputs, OBJECTIVE, this_machine().lanes(ELEMENT[dtype]), whole, work.request.math)
