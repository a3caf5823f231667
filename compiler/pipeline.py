"""Read this first: the order of the passes, each with its reason. What they hand on prints itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import cache
from typing import Any

from sympile.compiler.code.target import Target, host
from sympile.compiler.collection import collection_paused
from sympile.compiler.errors import UnusedParameter
from sympile.compiler.graph.arithmetic import mul, power
from sympile.compiler.graph.definition import (
    EXAMPLE,
    EXAMPLES,
    Definition,
    computed,
    definitions,
    elementwise,
    read,
    used,
)
from sympile.compiler.graph.node import ONE, Node, extent, holding
from sympile.compiler.graph.reduce import total
from sympile.compiler.graph.verify import verify
from sympile.compiler.passes import derive as derivation
from sympile.compiler.passes.adopt import Derived
from sympile.compiler.passes.assemble import assemble
from sympile.compiler.passes.built import Built, Shelf, Stages, description
from sympile.compiler.passes.call import python_call
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.group import Fused
from sympile.compiler.passes.read import Output, demand_number, range_constraints, read_all, scalar_output
from sympile.compiler.passes.reading.scope import Constraint, Scope
from sympile.compiler.passes.schedule import Loops, schedule
from sympile.compiler.passes.simplify import Rewriting, simplify
from sympile.compiler.program import BATCH, Code, Extent, Signature, Slot
from sympile.compiler.records import dataclass

Accept = Callable[[Fused, Mapping[Definition, Loops]], bool]
LOSS, OBJECTIVE = "loss", "objective"
GRADIENT = "gradient of "
PREDICTION = "prediction of "
METRIC = "metric "


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be compiled: labelled expressions, which of them is a loss, and what to derive."""

    expressions: Mapping[str, Any]
    scope: Scope
    wrt: tuple[str, ...] = ()  # parameters by name
    summed: bool = False  # the objective is the sum over examples, not the mean
    rewrites: str = "stable"
    math: str = "accurate"  # which rows of the vector math
    allow_unused: tuple[str, ...] = ()
    shelf: Shelf | None = None  # where programs are kept for later processes


@dataclass(frozen=True, slots=True)
class Work:
    """A formula on its way: every pass fills in its part."""

    request: Request
    outputs: dict[str, Definition] = field(default_factory=dict)
    declared: dict[str, tuple[Node, ...]] = field(default_factory=dict)
    names: dict[Definition, str] = field(default_factory=dict)
    adjoint_of: dict[Definition, Definition] = field(default_factory=dict)
    shown: dict[str, Definition] = field(default_factory=dict)  # gradients before the factor 1/N, as formulas show them
    rewritings: tuple[Rewriting, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    times: dict[str, float] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        return self.request.scope

    def roots(self) -> list[Definition]:
        return list(dict.fromkeys([*self.outputs.values(), *self.shown.values()]))


@dataclass(frozen=True, slots=True)
class Pass:
    """One step of the way."""

    name: str
    run: Callable[[Work], Work]
    reason: str


# ------------------------------------------------------------------------------------------------ the passes


def _read(work: Work) -> Work:
    request = work.request
    found = read_all(request.expressions, request.scope)
    outputs = {label: output.tensor for label, output in found.items()}
    if LOSS in found:
        demand_number(LOSS, request.expressions[LOSS])
        outputs[LOSS] = scalar_output(LOSS, found[LOSS], request.expressions[LOSS])
    derived = {label for label, expression in request.expressions.items() if isinstance(expression, Derived)}
    written = [tensor for label, tensor in outputs.items() if label not in derived]
    request.scope.constraints += range_constraints(written, [outputs[label] for label in outputs if label in derived])
    return replace(
        work,
        outputs=outputs,
        declared={k: o.declared for k, o in found.items()},
        names=dict(request.scope.names),
        constraints=tuple({known.expression: known for known in request.scope.constraints}.values()),
    )


def _simplify_first(work: Work) -> Work:
    return _simplified(work, last=LOSS not in work.outputs)


def _simplify_last(work: Work) -> Work:
    return _simplified(work, last=True) if LOSS in work.outputs else work


def _simplified(work: Work, last: bool) -> Work:
    mapping, made = simplify(work.roots(), work.request.rewrites, work.names, last)
    names: dict[Definition, str] = {}
    for tensor, name in work.names.items():
        names.setdefault(mapping.get(tensor, tensor), name)
    return replace(
        work,
        outputs={label: mapping[t] for label, t in work.outputs.items()},
        shown={label: mapping[t] for label, t in work.shown.items()},
        names=names,
        adjoint_of={mapping.get(a, a): mapping.get(b, b) for a, b in work.adjoint_of.items()},
        rewritings=(*work.rewritings, *made),
    )


def _average(work: Work) -> Work:
    """Metrics are per example; what is reported is their mean."""
    outputs = dict(work.outputs)
    for label, tensor in work.outputs.items():
        if label.startswith(METRIC):
            tensor = scalar_output(label, Output(tensor, work.declared[label]), work.request.expressions[label])
            mean = mul(power(EXAMPLES, -1), total([EXAMPLE], read(tensor, EXAMPLE))) if tensor.batched else read(tensor)
            outputs[label] = elementwise((), mean)
    return replace(work, outputs=outputs)


def _derive(work: Work) -> Work:
    if LOSS not in work.outputs:
        return work
    work = _average(work)
    loss = work.outputs[LOSS]
    scale = ONE if work.request.summed or not loss.batched else power(EXAMPLES, -1)
    names = dict(work.names)
    adjoint_of = dict(work.adjoint_of)
    inputs = {name: work.scope.symbols[name].tensor for name in work.request.wrt if name in work.scope.symbols}
    _check_used(work, loss, inputs)
    inputs |= _unread(work)
    wanted = [inputs[name] for name in work.request.wrt if name in inputs]
    sums = derivation.gradient(loss, wanted, names, adjoint_of=adjoint_of)
    outputs = dict(work.outputs)
    shown = dict(work.shown)
    for name, tensor in inputs.items():
        shown[GRADIENT + name] = sums[tensor]
        outputs[GRADIENT + name] = elementwise(tensor.axes, mul(scale, read(sums[tensor], *tensor.axes)))
    summed = total([EXAMPLE], read(loss, EXAMPLE)) if loss.batched else read(loss)
    outputs[OBJECTIVE] = elementwise((), mul(scale, summed))
    return replace(work, outputs=outputs, names=names, shown=shown, adjoint_of=adjoint_of)


def _unread(work: Work) -> dict[str, Definition]:
    """Parameters that stand in no formula; values are still given for them, and stay what they are."""
    scope = work.scope
    given = {name: scope.parameters[name] for name in work.request.wrt if name not in scope.symbols}
    return {name: scope.declare(one, name, getattr(one, "shape", ()) or ()).tensor for name, one in given.items()}


def _check_used(work: Work, loss: Definition, inputs: Mapping[str, Definition]) -> None:
    below = used([loss], inputs.values())
    unused = [n for n in work.request.wrt if n not in work.request.allow_unused and inputs.get(n) not in below]
    if unused:
        raise UnusedParameter(
            f"the loss does not depend on {', '.join(unused)}; remove it from parameters, or write allow_unused=[...]"
        )


PASSES = (
    Pass(
        "read",
        _read,
        "SymPy expressions become definitions; shapes are checked, indices bound, symbols sorted into roles",
    ),
    Pass("simplify", _simplify_first, "fewer and steadier operations, before the gradient inherits what is unsteady"),
    Pass("derive", _derive, "append the gradient, sharing the forward values"),
    Pass(
        "simplify the gradient",
        _simplify_last,
        "what the chain rule wrote out becomes steady and short; this is what is shown",
    ),
)


@collection_paused()
def analyse(request: Request, show: Callable[[str], None] | None = None) -> Work:
    """Runs the passes up to what is shown: formulas and gradients in normal form."""
    work = Work(request)
    verified: set[Node] = set()
    for step in PASSES:
        started = time.perf_counter()
        after = step.run(work)
        verify(after.roots(), after=step.name, known=verified)
        times = {**work.times, step.name: time.perf_counter() - started}
        _show(step.name, work, after, times)
        work = replace(after, times=times)
    return work


# ------------------------------------------------------------------------------------------------ to code


@cache
def this_machine() -> Target:
    return host()


def build(
    work: Work,
    outputs: Mapping[str, Definition],
    inputs: Iterable[Definition],
    dtype: str,
    target: Target | None = None,
    watched: Definition | None = None,
    ordered: bool = False,
) -> Built:
    """The program that computes some of the outputs, and the stages it comes through; see `assemble`."""
    target, given = target or this_machine(), list(inputs)
    return Built(
        lambda: _accepted(_stages(work, outputs, given, dtype, target, watched, ordered)),
        lambda: description(outputs, given, work.constraints, dtype, target, rows_of(work.request, watched, ordered)),
        work.request.shelf,
        lambda made: assemble(
            outputs, given, made.fused, made.loops, dtype, target, work.constraints, True, watched, ordered
        ),
    )


def build_rather(
    work: Work, rather: Mapping[str, Definition], accept: Accept, outputs: Mapping[str, Definition], dtype: str
) -> Built:
    """The step of batches in an order with outputs of another form, if its loops are accepted, else as they are."""
    target, rows = this_machine(), f"{rows_of(work.request, ordered=True)}, rather"
    first, second = inputs_below(rather), inputs_below(outputs)
    return Built(
        lambda: (
            _stages(work, rather, first, dtype, target, ordered=True, accept=accept)
            or _accepted(_stages(work, outputs, second, dtype, target, ordered=True))
        ),
        lambda: description(rather, first, work.constraints, dtype, target, rows),
        work.request.shelf,
        lambda made: assemble(
            outputs, second, made.fused, made.loops, dtype, target, work.constraints, True, ordered=True
        ),
    )


def inputs_below(outputs: Mapping[str, Definition]) -> list[Definition]:
    """Whatever outputs read."""
    return [tensor for tensor in definitions(outputs.values()) if tensor.kind == "input"]


def rows_of(request: Request, watched: Definition | None = None, ordered: bool = False) -> str:
    """What decides, beside the formulas, how they are computed."""
    rows = f"{request.math}, exact" if request.rewrites == "exact" else request.math
    rows += ", ordered" if ordered else ""
    return rows if watched is None else f"{rows}, watched: {watched.name}"


def _accepted(made: Stages | None) -> Stages:
    """Stages of loops that nobody could refuse."""
    assert made is not None
    return made


@collection_paused()
def _stages(
    work: Work,
    outputs: Mapping[str, Definition],
    inputs: Sequence[Definition],
    dtype: str,
    target: Target,
    watched: Definition | None = None,
    ordered: bool = False,
    accept: Accept | None = None,
) -> Stages | None:
    """Fuse, schedule, emit; None where the loops are not accepted."""
    times: dict[str, float] = {}
    started = time.perf_counter()
    exact = work.request.rewrites == "exact"
    fused = fuse(list(outputs.values()), work.request.math, exact, in_place=watched is not None)
    times["fuse"] = time.perf_counter() - started
    loops = schedule(fused, target.core({"float64": "double", "float32": "float"}[dtype]))
    times["schedule"] = time.perf_counter() - started - times["fuse"]
    if accept is not None and not accept(fused, loops):
        return None
    program = assemble(outputs, inputs, fused, loops, dtype, target, work.constraints, False, watched, ordered)
    times["emit"] = time.perf_counter() - started - sum(times.values())
    if _asked("fuse"):
        print(f"--- fuse\n{_listing(fused.stored, work.names)}", file=sys.stderr)
    if _asked("emit") or _asked("llvm"):
        print(f"--- emit\n{program.code.text}", file=sys.stderr)
    return Stages(program, fused, loops, times)


def build_call() -> Code:
    """The way from Python into any program."""
    return python_call(this_machine())


# ------------------------------------------------------------------------------------------------ signatures


def _extent(node: Node) -> Extent:
    if node is EXAMPLES:
        return BATCH
    if node.op == "const":
        return int(node.data)  # type: ignore[call-overload, no-any-return]
    return str(node.data)


def signature(work: Work, names: Iterable[str], outputs: Mapping[str, Definition], dtype: str) -> Signature:
    """Names, shapes and roles of the symbols that outputs need."""
    slots = []
    sizes: dict[str, None] = {}
    for name in names:
        symbol = work.scope.symbols[name]
        shape = tuple(_extent(n) for n in symbol.tensor.shape)
        limit = None if symbol.limit is None else _extent(symbol.limit)
        slots.append(
            Slot(
                name,
                symbol.role,
                tuple(_extent(n) for n in symbol.declared),
                shape,
                symbol.batched,
                symbol.tensor.integer,
                limit,
                symbol.low,
                symbol.short,
            )
        )
        sizes.update((n, None) for n in shape if isinstance(n, str))
    sizes.update((n, None) for n in _sizes_below(outputs.values()))
    results = tuple(
        Slot(label, "output", tuple(_extent(n) for n in work.declared.get(label, ())), ()) for label in outputs
    )
    return Signature(tuple(slots), results, tuple(sizes), dtype, dict(work.scope.pinned))


_SIZE = frozenset(("size",))


def _sizes_below(outputs: Iterable[Definition]) -> list[str]:
    """The names of the sizes in formulas and shapes of what is computed, whether an array tells them or not."""
    roots: list[Node] = []
    for tensor in computed(outputs):
        roots += [*tensor.shape, *[extent(r) for r in tensor.reduced], *([] if tensor.body is None else [tensor.body])]
    return [str(node.data) for node in holding(roots, _SIZE) if node.op == "size" and node is not EXAMPLES]


def inputs_of(work: Work, outputs: Sequence[Definition]) -> list[str]:
    """The names of the symbols that outputs depend on, in the order of reading."""
    below = used(outputs, [symbol.tensor for symbol in work.scope.symbols.values()])
    return [name for name, symbol in work.scope.symbols.items() if symbol.tensor in below]


# ------------------------------------------------------------------------------------------------ showing the way


def _asked(stage: str) -> bool:
    wanted = os.environ.get("SYMPILE_SHOW", "")
    return stage in wanted.split(",") or wanted == "all"


def _show(name: str, before: Work, after: Work, times: Mapping[str, float]) -> None:
    """SYMPILE_SHOW=simplify prints what that pass did; SYMPILE_SHOW=times how long each took."""
    if _asked("times"):
        print(f"--- {name}: {times[name] * 1e3:.2f} ms", file=sys.stderr)
    if _asked(name):
        unchanged = before.roots() == after.roots()
        print(f"--- {name}\n{'(unchanged)' if unchanged else _listing(after.roots(), after.names)}", file=sys.stderr)


def _listing(tensors: Sequence[Definition], names: Mapping[Definition, str]) -> str:
    from sympile.compiler.show.listing import listing  # optional: for those who look only

    return listing(tensors, names)
