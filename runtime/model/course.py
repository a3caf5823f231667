"""What of a fit follows from its options and the sizes alone: found once, kept for the fits that come again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArgumentError, EmptyData
from sympile.compiler.pipeline import GRADIENT
from sympile.compiler.program import BATCH
from sympile.compiler.records import dataclass
from sympile.compiler.training import build_loop, build_row_update, build_update, underflow_bits
from sympile.runtime.bench import Settings, Shape, Together
from sympile.runtime.flat import FlatLayout
from sympile.runtime.job import Plan
from sympile.runtime.load import Native, load
from sympile.runtime.model.memory import Circumstances
from sympile.runtime.model.notation import with_ones
from sympile.runtime.model.shelf import SHELF
from sympile.runtime.model.training import Ready
from sympile.runtime.native import NativeProgram
from sympile.runtime.rows import Rows, worth_choosing
from sympile.runtime.update_rule import Optimizer

if TYPE_CHECKING:
    from sympile.runtime.model.fitting import Options
    from sympile.runtime.model.model import Model

Array = npt.NDArray[Any]
MOST_COURSES = 4  # that are kept for one model
# Of options that can be compared; 1, 1.0 and True are equal, and not the same.
PLAIN = frozenset((int, size, order, int, bool) for size in (int, type(None)) for order in (bool, type(None)))


@dataclass(frozen=True, slots=True)
class Part:
    """A parameter."""

    shape: tuple[int, ...]  # as declared
    place: slice | int  # in the flat array

    def taken(self, flat: Array) -> Array:
        """A copy of its numbers, or of those in each row of an array of rows."""
        numbers: Array = flat[..., self.place]
        return numbers.reshape((*flat.shape[:-1], *self.shape)).copy() if self.shape else numbers.copy()


@dataclass(frozen=True, slots=True)
class Course:
    """How a fit runs.

    Attributes:
        way: what the step is, of the steps that there are (`Ready.way`).
        parts: of all parameters, in their order.
    """

    way: tuple[object, ...]
    shape: Shape
    loop: Native
    settings: Settings
    parts: tuple[Part, ...]
    circumstances: Circumstances


class Courses:
    """The courses of a model's fits, the latest first."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: tuple[tuple[Asked, Plan, Course], ...] = ()

    def known(self, asked: Asked | None) -> tuple[Plan, Course] | None:
        """The plan and the course of the last fit that asked for the same."""
        for before, plan, course in self._kept:
            if before == asked:
                return plan, course
        return None

    def keep(self, asked: Asked | None, plan: Plan, course: Course) -> Course:
        """Keeps a course, and forgets the oldest of too many, or what the same question led to before."""
        if asked is not None:
            others = [one for one in self._kept if one[0] != asked]
            self._kept = ((asked, plan, course), *others[: MOST_COURSES - 1])
        return course


# ------------------------------------------------------------------------------------------------ what is asked for

Asked = tuple[tuple[Any, ...], int, dict[str, int], Optimizer, bool]


def asked_for(options: Options, examples: int, sizes: dict[str, int], optimizer: Optimizer) -> Asked | None:
    """All that decides a course, but the step; None where that is written in an unusual way."""
    shuffle = None if is_ordered(options) else options.shuffle
    numbers = (options.epochs, options.batch_size, shuffle, options.seed, options.drop_last)
    plain = tuple(map(type, numbers)) in PLAIN
    return (numbers, examples, sizes, optimizer, wants_reports(options)) if plain else None


def wants_reports(options: Options) -> bool:
    """Whether somebody looks at the gradient at the end of epochs."""
    return options.stop is not None or not (isinstance(options.callbacks, tuple) and not options.callbacks)


def is_ordered(options: Options) -> bool:
    """Whether `shuffle` is an array of orders."""
    return not isinstance(options.shuffle, (bool, np.bool_))


def plan_of(model: Model, examples: int, options: Options) -> Plan:
    """How to go through the data.

    Raises:
        ArgumentError: an option is no number of its kind.
        EmptyData: there would be no batch.
    """
    epochs = _whole("epochs", options.epochs)
    batch = examples if options.batch_size is None else min(examples, _whole("batch_size", options.batch_size))
    if options.drop_last and options.batch_size is not None and examples < options.batch_size:
        raise EmptyData(
            f"drop_last=True leaves nothing: there are {examples} examples, and a batch has {options.batch_size}"
        )
    ordered = is_ordered(options)
    summed = model._arguments["reduction"] == "sum" and model._work.outputs["loss"].batched
    return Plan(
        examples,
        batch,
        epochs,
        ordered or bool(options.shuffle),
        ordered,
        _seed(options.seed),
        bool(options.drop_last),
        0 if model._arguments["rewrites"] == "exact" else underflow_bits(),
        float(summed),
    )


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"{name} must be an integer of at least 1, not {value!r}")
    return int(value)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ArgumentError(f"seed must be an integer from 0, not {value!r}")
    return int(value)


def orders_of(given: Any, plan: Plan) -> npt.NDArray[np.int64]:
    """The orders of `shuffle` as the loop reads them.

    Raises:
        ArgumentError: they are of another shape, or no indices of examples.
    """
    try:
        orders = np.asarray(given)
    except ValueError:  # lists of unequal lengths
        orders = np.asarray(None)
    if orders.dtype.kind not in "iu" or orders.shape != (plan.epochs, plan.examples):
        raise ArgumentError(
            "shuffle must be True, False, or an integer array of shape "
            f"(epochs, N) = ({plan.epochs}, {plan.examples}), not {orders.dtype} {orders.shape}"
        )
    orders = np.ascontiguousarray(orders, np.int64)
    if orders.view(np.uint64).max() >= plan.examples:  # negative ones are large ones
        raise ArgumentError(f"the orders given by shuffle= must lie in 0 … {plan.examples - 1}")
    return orders


# ------------------------------------------------------------------------------------------------ what follows


def course_of(
    model: Model, ready: Ready, optimizer: Optimizer, start: Mapping[str, Array], plan: Plan, reports: bool
) -> Course:
    """How a fit with this step runs; `reports`: somebody wants to know the gradient at the end of epochs."""
    shapes = {name: start[name].shape for name in model._used}
    rows = None if reports else _rows(model, ready, optimizer, shapes)
    layout = FlatLayout.of(shapes if rows is None else _with_last(shapes, rows.names))
    shape = model._benches.shape(_shape(model, ready, optimizer, layout, rows))
    loop = shape.update.native.native if isinstance(shape.update, Together) else _loop(model.dtype)
    numbers = tuple(number for _, number in optimizer.numbers)
    settings = Settings(ready.plan, tuple(optimizer.first_state().values()), numbers)
    around = _circumstances(plan, ready, optimizer)
    return Course(ready.way, shape, loop, settings, tuple(_parts(model, layout)), around)


def _with_last(shapes: Mapping[str, Sequence[int]], names: Collection[str]) -> dict[str, Sequence[int]]:
    """The same with some names behind all others."""
    return {name: shapes[name] for name in sorted(shapes, key=lambda name: name in names)}


def _rows(
    model: Model, ready: Ready, optimizer: Optimizer, shapes: Mapping[str, Sequence[int]]
) -> Rows | None:
    """The update of chosen rows, where batches choose few and the rule leaves the others alone."""
    program = ready.native.program
    if not program.scattered or model._steps.together(ready, optimizer) is not None:
        return None
    names = worth_choosing(program, GRADIENT, shapes, ready.plan.batch, ready.sizes)
    native = _row_update(optimizer, model.dtype, model._arguments["rewrites"]) if names else None
    return None if native is None else Rows(native, names)


def _shape(
    model: Model, ready: Ready, optimizer: Optimizer, layout: FlatLayout, rows: Rows | None
) -> Shape:
    """What decides which memory the fit needs."""
    plan = ready.plan
    return Shape(
        ready.native,
        model._steps.together(ready, optimizer)
        or _update(optimizer, model.dtype, layout.few, model._arguments["rewrites"]),
        layout,
        tuple(ready.sizes.items()),
        plan.batch,
        plan.gathers,
        plan.examples if plan.gathers and not plan.ordered else 0,
        tuple(symbol.name for symbol, _ in optimizer.state),
        tuple(name for name, _ in optimizer.numbers),
        rows,
    )


def _circumstances(plan: Plan, ready: Ready, optimizer: Optimizer) -> Circumstances:
    sizes = {**ready.sizes, BATCH: ready.plan.batch}
    states = tuple(symbol.name for symbol, _ in optimizer.state)
    return Circumstances(sizes, plan.examples, plan.gathers, states, ready.native.program, ready.shapes)


def _parts(model: Model, layout: FlatLayout) -> list[Part]:
    declared, shapes = model._slots.declared, layout.shapes
    return [Part(with_ones(declared[name], shapes[name]), layout.place(name)) for name in model._keys.names()]


# ------------------------------------------------------------------------------------------------ the code


@lru_cache(maxsize=4)
def _loop(dtype: str) -> Native:
    return load(build_loop(dtype))


@lru_cache(maxsize=64)
def _update_of(
    rule: object, dtype: str, few: bool, rewrites: str, shape: Callable[[], Optimizer]
) -> NativeProgram:
    built = build_update(shape(), dtype, few, rewrites, SHELF)
    return NativeProgram(built.program, built.large)


class _Rule:
    """Hands an optimizer through the cache without being part of the key."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def __call__(self) -> Optimizer:
        return self.optimizer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rule)

    def __hash__(self) -> int:
        return 0


def _update(optimizer: Optimizer, dtype: str, few: bool, rewrites: str) -> NativeProgram:
    """The compiled update; rules that differ in their numbers only share it."""
    return _update_of(optimizer.rule, dtype, few, rewrites, _Rule(optimizer))


@lru_cache(maxsize=64)
def _row_update_of(rule: object, dtype: str, rewrites: str, shape: Callable[[], Optimizer]) -> NativeProgram | None:
    program = build_row_update(shape(), dtype, rewrites)
    return None if program is None else NativeProgram(program)


def _row_update(optimizer: Optimizer, dtype: str, rewrites: str) -> NativeProgram | None:
    """The compiled update of chosen rows, where the rule has one."""
    return _row_update_of(optimizer.rule, dtype, rewrites, _Rule(optimizer))
