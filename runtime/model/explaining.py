"""Every stage from formula to machine code as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from sympile.compiler.code.jit import emit_assembly
from sympile.compiler.graph.definition import Definition
from sympile.compiler.pipeline import GRADIENT, METRIC, OBJECTIVE, PASSES, PREDICTION
from sympile.compiler.show.batched import batched_names, batched_scope
from sympile.compiler.show.formula import formula
from sympile.compiler.show.listing import listing
from sympile.compiler.show.nests import nests_text
from sympile.runtime.byname import name_of
from sympile.runtime.model.memory import memory_plan
from sympile.runtime.model.notation import kind_of
from sympile.runtime.model.training import ALONE, LONG

if TYPE_CHECKING:
    from sympile.runtime.model.model import Model


def _formula(model: Model) -> str:
    return f"loss = {model.loss}" if not model.loss.where else str(model.loss)


def _rewrites(model: Model) -> str:
    made = model._work.rewritings
    return "\n".join(f"{r}" for r in made) or "(none)"


def _gradient(model: Model) -> str:
    parts = []
    for symbol in model.parameters:
        shown = model.gradient[symbol]
        parts.append(str(shown) if shown.where else f"{shown.label} = {shown}")
    return "\n".join(parts)


def _batched(model: Model) -> str:
    """The gradients over all examples, as they are computed."""
    work = model._work
    scope = batched_scope(work.scope)
    names = batched_names(work.names, work.scope)
    parts = []
    for symbol in model.parameters:
        name = name_of(symbol)
        if name not in work.scope.symbols:
            continue
        shown = formula(
            work.outputs[GRADIENT + name],
            f"d{name}",
            scope,
            names,
            work.scope.symbols[name].declared,
            kind_of(symbol),
            adjoint_of=work.adjoint_of,
            letter="V",
        )
        parts.append(str(shown) if shown.where else f"{shown.label} = {shown}")
    return "\n".join(parts)


def _graph(model: Model) -> str:
    return listing(model._work.roots(), _names(model))


def _loops(model: Model) -> str:
    built = model._step.built
    names = _names(model)
    outputs = {now: names[label] for label, now in built.fused.outputs.items() if label in names}
    return nests_text(built.fused, built.loops, {**names, **outputs})


def _names(model: Model) -> dict[Definition, str]:
    """What the values are called: as the user named them, outputs by what they are."""
    work = model._work
    outputs = {tensor: _output_name(label) for label, tensor in work.outputs.items()}
    return {**outputs, **work.names}


def _output_name(label: str) -> str:
    if label.startswith(GRADIENT):
        return f"d{OBJECTIVE}/d{label.removeprefix(GRADIENT)}"
    return label.removeprefix(PREDICTION).removeprefix(METRIC)


def _once(model: Model) -> str:
    """What a fit computes once, before its first step."""
    lines = []
    for title, training in model._steps.kinds().items():
        if training is None:
            continue
        lines.append(f"{title}:")
        for made, value in training.prepared.items():
            lines += [f"  {made.name} is", listing([value], {**model._work.names, value: made.name})]
        if training.columns:
            lines.append(f"  R factor of the columns {', '.join(sorted(training.columns))} instead of all examples")
    return "\n".join(lines) or "(nothing)"


def _steps(model: Model) -> str:
    """The loops of whole steps that fits of a small model have asked for, the update in them."""
    parts = []
    for made, built in model._steps.loops:
        names = {tensor: label for label, tensor in made.labelled.items()}
        if made.once:
            parts.append("before the first step:\n" + listing(list(made.once.values()), names))
        if made.powers:
            parts.append("carried by multiplications:\n" + listing(made.values_of_powers, names))
        parts += [nests_text(built.fused, built.loops, names), built.stages.program.code.text]
    none = f"(none: no fit of a small model so far has had {LONG} full batches, or {ALONE} of few examples)"
    return "\n\n".join(parts) or none


def _memory(model: Model) -> str:
    return str(memory_plan(model))


def _llvm(model: Model) -> str:
    return model._step.built.stages.program.code.text


def _assembly(model: Model) -> str:
    code = model._step.built.stages.program.code
    return emit_assembly(code.text, level=code.level)


def _times(model: Model) -> str:
    times = {**model._work.times, **model._step.built.times}
    reasons = {p.name: p.reason for p in PASSES}
    return "\n".join(
        f"{name:<24}{seconds * 1e3:8.2f} ms   {reasons.get(name, '')}".rstrip() for name, seconds in times.items()
    )


_STAGES: Mapping[str, Callable[[Model], str]] = {
    "formula": _formula,
    "rewrites": _rewrites,
    "gradient": _gradient,
    "batched": _batched,
    "graph": _graph,
    "once": _once,
    "loops": _loops,
    "memory": _memory,
    "llvm": _llvm,
    "asm": _assembly,
    "steps": _steps,
    "times": _times,
}


class Stages(Mapping[str, str]):
    """The stages of one model; each is computed when it is asked for."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __getitem__(self, name: str) -> str:
        return _STAGES[name](self._model)

    def __iter__(self) -> Iterator[str]:
        return iter(_STAGES)

    def __len__(self) -> int:
        return len(_STAGES)
