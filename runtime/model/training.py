"""Before a fit: what every step would compute anew is computed once, and long columns of least squares become short."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.locks import once
from sympile.compiler.passes.built import Built
from sympile.compiler.passes.training.invariant import PREFIX
from sympile.compiler.passes.training.least_squares import COUNT
from sympile.compiler.pipeline import GRADIENT, OBJECTIVE
from sympile.compiler.program import BATCH, ROWS
from sympile.compiler.records import dataclass
from sympile.compiler.training import Training, build_training
from sympile.runtime.bench import Together
from sympile.runtime.job import Plan
from sympile.runtime.native import NativeProgram
from sympile.runtime.triangle import triangle
from sympile.runtime.update_rule import Optimizer

if TYPE_CHECKING:
    from sympile.compiler.passes.training.resident import Resident
    from sympile.runtime.model.model import Model

Array = npt.NDArray[Any]
SMALL_STEPS = "sympile.compiler.small_steps"
FEWER = 4  # the R factor must have so many times fewer rows than there are examples
STEPS = 100  # and save so many steps their work
FULL = 4  # examples in a batch from which on they fill enough lanes
MANY = 1000  # steps from which on one loop for all of a small network is worth its compilation
LONG = 100  # epochs from which on a loop of its own is worth its compilation
ALONE = 10_000  # steps of one example, or a small batch, each from which on it is
MOST_TOGETHER = 16  # examples in a batch: with more, what is left of the general loop is little
WIDEST = 256  # columns: the factorisation costs the square of their number
FEW = 4  # so many rows of an R factor are written out, without its zeros
MOST = 2  # what is prepared may take so many times the memory of the data, or
ALWAYS = 1 << 26  # so many bytes
REMEMBERED = 1 << 16  # bytes of data that are compared with those of the fit before


@dataclass(frozen=True, slots=True)
class Ready:
    """The step of a fit, and what was computed for it."""

    native: NativeProgram
    prepared: Mapping[str, Array]
    sizes: dict[str, int]
    plan: Plan
    training: Training | None = None  # None: the step as `value_and_grad` runs it
    rows: Mapping[str, int] | None = None  # of an R factor that is written out (passes/training/resident.py)

    @property
    def all_sizes(self) -> dict[str, int]:
        return {**self.sizes, BATCH: self.plan.batch}

    @property
    def way(self) -> tuple[object, ...]:
        """What is run, on arrays of which shapes."""
        return (self.native, self.plan, self.rows, self.sizes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the arrays that were computed for the fit."""
        return {name: array.shape for name, array in self.prepared.items() if name.startswith(PREFIX)}


class Steps:
    """The steps of one model, compiled at their first use."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._natives: dict[int, NativeProgram] = {}
        self._before: dict[int, list[NativeProgram]] = {}
        self._together: dict[object, Together | None] = {}
        self.loops: list[tuple[Resident, Built]] = []  # of step and update together, as fits have asked for them
        self._last: _Last | None = None

    def ready(self, plan: Plan, arrays: Mapping[str, Array], sizes: dict[str, int]) -> Ready:
        """What this plan needs: the step, with all that is computed once."""
        last = self._last
        if last is not None and last.fits(plan, arrays, sizes):
            return last.ready
        given = _Given(dict(arrays), dict(sizes), plan)
        squares, training = self._trainings(plan)
        found = self._computed(given, squares, training)
        if squares is None and (training is None or not training.prepared):
            self._last = _Last(found, given, None)
        elif given.bytes <= REMEMBERED:
            self._last = _Last(found, given, given.content)
        return found

    def _trainings(self, plan: Plan) -> tuple[Training | None, Training | None]:
        """The step over an R factor, where that is worth a try, and the step without what is the same in every one."""
        whole = not plan.gathers and plan.batch == plan.examples
        many = plan.batch >= FULL and plan.epochs * plan.steps_per_epoch >= MANY
        written = None if not many else self._whole_written if whole else self._batches_written
        squares = self._squares if whole and plan.epochs >= STEPS else None
        return squares, written or (self._whole if whole else self._ordered if plan.gathers else self._batches)

    def _computed(self, given: _Given, squares: Training | None, training: Training | None) -> Ready:
        found = None if squares is None else self._by_triangle(squares, given)
        if found is not None:
            return found
        if training is None or self._bytes(training, given) > max(ALWAYS, MOST * given.bytes):
            return Ready(self._model._step.native, {}, given.sizes, given.plan)
        made, sizes = self._prepared(training, given), given.sizes
        if training.in_place:
            sizes = {**sizes, ROWS: given.plan.examples}
        return Ready(self._native(training), made, sizes, given.plan, training)

    def together(self, ready: Ready, optimizer: Optimizer) -> Together | None:
        """The loop that does the many steps of a plan and their updates at once, where both are small."""
        plan, program = ready.plan, ready.native.program
        whole = plan.batch == plan.examples
        if (whole and plan.gathers) or plan.batch > (plan.examples if whole else MOST_TOGETHER):
            return None
        if plan.epochs * plan.steps_per_epoch < (LONG if whole else ALONE):
            return None
        if program.calls or program.heavy_for(ready.all_sizes):
            return None
        parts = None if whole else (plan.gathers, plan.batch == 1)
        key = (id(ready.training), optimizer.rule, tuple((ready.rows or {}).items()), parts)
        if key not in self._together:
            self._together[key] = self._joined(ready, optimizer, parts)
        return self._together[key]

    def _joined(self, ready: Ready, optimizer: Optimizer, parts: tuple[bool, bool] | None) -> Together | None:
        outputs = (ready.training and ready.training.outputs) or self._model._work.outputs
        names = list(self._model._used)
        steps = import_module(SMALL_STEPS)  # optional: for many steps
        found = steps.build_steps(
            self._model._work, outputs, names, optimizer, self._model.dtype, ready.rows, parts and steps.Parts(*parts)
        )
        if found is None:
            return None
        self.loops.append(found)
        made, built = found
        places = {t.name: (e.kind, e.parameter, e.position) for t, e in made.entries.items()}
        places |= {f"{e}": (e.kind, e.parameter, e.position) for e in made.gradient}
        numbers = {tensor.name: name for name, tensor in made.numbers.items()}
        return Together(NativeProgram(built.program), places, numbers)

    def kinds(self) -> dict[str, Training | None]:
        """The steps that there are, by when they are taken."""
        long = f"full batch, {STEPS} epochs or more, {FEWER} times more examples than columns"
        kinds = {long: self._squares, "full batch": self._whole, "batches": self._batches}
        shuffled = self._ordered
        return kinds if shuffled is None or not shuffled.in_place else {**kinds, "shuffled batches": shuffled}

    @once
    def _whole(self) -> Training | None:
        return self._built(whole=True)

    @once
    def _batches(self) -> Training | None:
        return self._built(whole=False)

    @once
    def _ordered(self) -> Training | None:
        return self._built(whole=False, ordered=True)

    @once
    def _whole_written(self) -> Training | None:
        return self._written(whole=True)

    @once
    def _batches_written(self) -> Training | None:
        return self._written(whole=False)

    def _written(self, whole: bool) -> Training | None:
        """With small axes written out; sums are added in another order, and divided by way of a reciprocal."""
        return None if self._model._arguments["rewrites"] == "exact" else self._built(whole, written=True)

    @once
    def _squares(self) -> Training | None:
        if self._model._arguments["rewrites"] == "exact":
            return None
        found = self._built(whole=True, squares=True)
        return found if found is not None and found.columns else None

    def _built(
        self, whole: bool, squares: bool = False, written: bool = False, ordered: bool = False
    ) -> Training | None:
        labels = [OBJECTIVE, *[GRADIENT + name for name in self._model._used]]
        write = import_module(SMALL_STEPS).write_out if written else None  # optional: for many steps
        return build_training(self._model._work, labels, self._model.dtype, whole, squares, write, ordered)

    def _native(self, training: Training) -> NativeProgram:
        if id(training) not in self._natives:
            self._natives[id(training)] = NativeProgram(training.step.program, training.step.large)
        return self._natives[id(training)]

    def _prepared(self, training: Training, given: _Given) -> dict[str, Array]:
        """What is computed from the arrays."""
        made: dict[str, Array] = {}
        if id(training) not in self._before:
            self._before[id(training)] = [NativeProgram(built.program, built.large) for built in training.before]
        for program in self._before[id(training)]:
            made |= program.run({**given.arrays, **made}, given.all_sizes)
        return made

    def _by_triangle(self, training: Training, given: _Given) -> Ready | None:
        """The columns replaced by the rows of their R factor, where those are few."""
        assert training.columns is not None
        count = given.plan.examples
        widths = self._widths(training, given)
        width = sum(widths.values())
        if width > WIDEST or count < FEWER * width:
            return None
        made = self._prepared(training, given)
        arrays = {**given.arrays, **made}
        matrix, at, first = np.empty((count, width)), 0, {"": width}
        for name, source in training.columns.items():
            first[name] = at
            matrix[:, at : at + widths[name]] = arrays[source].reshape(count, -1)
            at += widths[name]
        factor = triangle(matrix).astype(self._model.dtype)
        if not np.isfinite(factor).all():
            return None
        at = 0
        for name, source in training.columns.items():
            part = np.ascontiguousarray(factor[:, at : at + widths[name]])
            made[name] = part.reshape(width, *arrays[source].shape[1:])
            at += widths[name]
        made[COUNT] = np.array(count, factor.dtype)
        weight = given.plan.sum_weight * width / count
        plan = replace(given.plan, examples=width, batch=width, sum_weight=weight)
        rows = first if width <= FEW else None
        return Ready(self._native(training), made, given.sizes, plan, training, rows)

    def _widths(self, training: Training, given: _Given) -> dict[str, int]:
        """How many numbers of one example each input holds that is to be replaced."""
        inputs = {array.name: array for array in training.step.program.inputs}
        shapes = {name: inputs[name].shape[1:] for name in training.columns or ()}
        return {name: math.prod(n.value(given.sizes) for n in shape) for name, shape in shapes.items()}

    def _bytes(self, training: Training, given: _Given) -> int:
        """The memory of what is prepared."""
        item = np.dtype(self._model.dtype).itemsize
        outputs = [array for built in training.before for array in built.program.outputs]
        return item * sum(math.prod(n.value(given.all_sizes) for n in array.shape) for array in outputs)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a fit was given."""

    arrays: dict[str, Array]
    sizes: dict[str, int]
    plan: Plan

    @property
    def all_sizes(self) -> dict[str, int]:
        return {**self.sizes, BATCH: self.plan.examples}

    @property
    def content(self) -> list[bytes]:
        """All numbers from which something is computed before a fit."""
        return [array.tobytes() for array in self.arrays.values()]

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())


class _Last:
    """The step that the last fit needed, for one that comes again."""

    __slots__ = ("_content", "_plan", "_sizes", "ready")

    def __init__(self, ready: Ready, given: _Given, content: list[bytes] | None) -> None:
        """Takes what was found; the content of the data is None where nothing depends on it."""
        self.ready = ready
        self._plan, self._sizes, self._content = given.plan, given.sizes, content

    def fits(self, plan: Plan, arrays: Mapping[str, Array], sizes: Mapping[str, int]) -> bool:
        """Whether the same would be found again. Of equal plans and sizes the data have equal shapes."""
        if (self._plan is not plan and self._plan != plan) or self._sizes != sizes:
            return False
        return self._content is None or self._content == [array.tobytes() for array in arrays.values()]
