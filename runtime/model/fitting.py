"""`model.fit`: arguments checked, first values chosen, the native loop run, the result put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArgumentError, EmptyData, StationaryStart, did_you_mean, listed
from sympile.compiler.pipeline import GRADIENT, OBJECTIVE
from sympile.compiler.program import BATCH, ORDER
from sympile.compiler.records import dataclass
from sympile.runtime.arguments import Bound
from sympile.runtime.bench import is_data
from sympile.runtime.byname import ByName, name_of
from sympile.runtime.initializers import first_parameters
from sympile.runtime.job import Job
from sympile.runtime.model.course import Course, asked_for, course_of, orders_of, plan_of, wants_reports
from sympile.runtime.model.slots import as_declared
from sympile.runtime.model.training import Ready
from sympile.runtime.optimizers import adam
from sympile.runtime.report import EpochReport
from sympile.runtime.result import Result
from sympile.runtime.stopping import stopping_rules
from sympile.runtime.train import Outcome, Watch, run
from sympile.runtime.update_rule import Optimizer

if TYPE_CHECKING:
    from sympile.runtime.model.model import Model

Array = npt.NDArray[Any]
NO_START = Bound((), [], {})


@cache
def usual() -> Optimizer:
    """The optimizer of a fit that names none."""
    return adam()


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `fit`, as given."""

    epochs: int
    start: Any
    optimizer: Any
    batch_size: int | None
    shuffle: Any
    seed: int
    validation_data: Any
    validation_split: float | None
    stop: Any
    callbacks: Any
    record: Any
    drop_last: bool
    verbose: bool | int | None


def fit(model: Model, data: Mapping[Any, Any], options: Options) -> Result:
    """Trains a model; see `Model.fit`."""
    optimizer = usual() if options.optimizer is None else options.optimizer
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"optimizer must be one such as sm.adam(1e-3), not {optimizer!r}")
    bound = model._data_binder.bind(data)
    arrays, validation = _split(model, bound, options)
    sizes = bound.sizes.copy()
    sizes.pop(BATCH, None)
    examples = len(arrays[model._slots.batched[0]]) if model._slots.batched else 1
    asked = asked_for(options, examples, sizes, optimizer)
    plan, course = model._courses.known(asked) or (plan_of(model, examples, options), None)
    orders = orders_of(options.shuffle, plan) if plan.ordered else None
    given = model._slots.start.bind(options.start, sizes) if options.start else NO_START
    start = _start(model, given, options, sizes)
    sizes = _all_sizes(model, arrays, validation, start, sizes)
    ready = model._steps.ready(plan, arrays, sizes)
    everything = {**arrays, **ready.prepared}
    _demand_motion(model, ready, everything, given, start)
    if course is None or course.way != ready.way:
        course = course_of(model, ready, optimizer, start, plan, wants_reports(options))
        model._courses.keep(asked, plan, course)
    model._circumstances = course.circumstances
    record = _recorded(model, options.record)
    bench = model._benches.take(course.shape, course.loop, GRADIENT, OBJECTIVE)
    job = bench.begin(course.settings, start, everything, orders, bool(record))
    watch = _watch(model, job, course, arrays, validation, options)
    outcome = run(job, plan, watch, options.verbose)
    result = _result(model, job, course, outcome, record)
    model._benches.give_back(bench)
    return result


# ------------------------------------------------------------------------------------------------ the data


def _split(model: Model, bound: Bound, options: Options) -> tuple[dict[str, Array], dict[str, Array] | None]:
    """Training arrays, and validation arrays where there are any."""
    arrays = bound.by_name()
    if options.validation_data is not None:
        if options.validation_split is not None:
            raise ArgumentError("give validation_data or validation_split, not both")
        if not isinstance(options.validation_data, Mapping):
            kind = type(options.validation_data).__name__
            raise ArgumentError(f"validation_data come as a dict from symbols or names to arrays, not as {kind}")
        given = {name_of(key) for key in options.validation_data}
        shared = {s.name for s in model._training.slots if s.role == "constant"} - given
        constants = as_declared(model._training, {name: arrays[name] for name in shared})
        return arrays, model._data_binder.bind({**constants, **dict(options.validation_data.items())}).by_name()
    if options.validation_split is None or _part("validation_split", options.validation_split) == 0:
        return arrays, None
    names = model._slots.batched
    count = len(arrays[names[0]]) if names else 0
    kept = count - max(1, round(count * options.validation_split))
    if kept < 1:
        raise EmptyData(f"validation_split={options.validation_split} leaves no example of {count} to train on")
    first = {n: a[:kept] if n in names else a for n, a in arrays.items()}
    return first, {n: a[kept:] if n in names else a for n, a in arrays.items()}


def _part(name: str, value: Any) -> float:
    """A number from 0 to less than 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < 1:
        raise ArgumentError(f"{name} must be from 0 to less than 1, not {value!r}")
    return float(value)


# ------------------------------------------------------------------------------------------------ the start


def _start(model: Model, given: Bound, options: Options, sizes: Mapping[str, int]) -> dict[str, Array]:
    """The first values of all parameters, to be read only."""
    if len(given.names) == len(model._slots.declared):
        return given.by_name()
    return first_parameters(model._training, given, sizes=sizes, seed=options.seed, added=model._added)


def _all_sizes(
    model: Model,
    arrays: Mapping[str, Array],
    validation: Mapping[str, Array] | None,
    start: Mapping[str, Array],
    sizes: dict[str, int],
) -> dict[str, int]:
    """With those that only parameters tell, against which the data are checked."""
    for slot in model._slots.tellers:
        told = zip(slot.shape, start[slot.name].shape, strict=True)
        sizes = {**sizes, **{name: int(length) for name, length in told if isinstance(name, str)}}
    if model._data_binder.has_integers:
        for given in (arrays, validation or {}):
            model._data_binder.check_ranges(Bound(tuple(given), list(given.values()), {}), sizes)
    return sizes


def _demand_motion(
    model: Model, ready: Ready, arrays: Mapping[str, Array], given: Bound, start: Mapping[str, Array]
) -> None:
    """If every gradient is exactly 0 no step would move, unless the user chose that start."""
    free = [name for name in model._used if name not in given.names]
    if not free:
        return
    examples, batch = ready.plan.examples, ready.plan.batch
    if not any(_moves(model, ready, arrays, start, count) for count in dict.fromkeys((batch, examples))):
        raise StationaryStart(
            "every gradient is exactly 0 at the start, so no step would move; "
            f"write start={{{free[0]}: ...}} with other first values"
        )


def _moves(
    model: Model, ready: Ready, arrays: Mapping[str, Array], start: Mapping[str, Array], examples: int
) -> bool:
    """Whether a step over the first examples changes a parameter."""
    inputs = {array.name: array for array in ready.native.program.inputs}
    first = {n: a[:examples] if n in inputs and is_data(inputs[n]) else a for n, a in arrays.items()}
    if ORDER in inputs:
        first[ORDER] = np.arange(examples)
    results = ready.native.run({**first, **start}, {**ready.sizes, BATCH: examples})
    return any(results[GRADIENT + name].any() for name in model._used)


# ------------------------------------------------------------------------------------------------ epochs and the end


def _parameters(model: Model, course: Course, flat: Array) -> ByName[Array]:
    """Copies in the declared shapes, by symbol."""
    return ByName([part.taken(flat) for part in course.parts], model._keys)


def _recorded(model: Model, given: Any) -> list[str]:
    """The names of the parameters whose path is kept."""
    if given is None or (isinstance(given, tuple) and not given):
        return []
    if isinstance(given, str) or hasattr(given, "free_symbols"):
        several = [given]
    elif isinstance(given, Iterable):
        several = list(given)
    else:
        raise ArgumentError(f"record must be a parameter or a list of them, not {given!r}")
    names = [name_of(one) for one in several]
    known = model._keys.names()
    for name in names:
        if name not in known:
            raise ArgumentError(f"record={name!r} is no parameter{did_you_mean(name, known)}; there is {listed(known)}")
    return names


def _callbacks(given: Any) -> tuple[Callable[[EpochReport], object], ...]:
    if given is None or (isinstance(given, tuple) and not given):
        return ()
    callbacks = (given,) if callable(given) or not isinstance(given, Iterable) else tuple(given)
    for callback in callbacks:
        if not callable(callback):
            raise ArgumentError(f"callbacks must be functions of an EpochReport, not {callback!r}")
    return callbacks


NOTHING = Watch(lambda: ByName({}))  # to be done at the end of an epoch


def _watch(
    model: Model,
    job: Job,
    course: Course,
    arrays: Mapping[str, Array],
    validation: Mapping[str, Array] | None,
    options: Options,
) -> Watch:
    callbacks = _callbacks(options.callbacks)
    rules = stopping_rules(options.stop)
    if not (callbacks or rules or model._metrics or validation is not None):
        return NOTHING

    own = as_declared(model._training, arrays)
    others = None if validation is None else as_declared(model._training, validation)

    def now() -> ByName[Array]:
        return _parameters(model, course, job.parameters)

    def evaluate() -> dict[str, float]:
        values: dict[str, float] = {}
        if model._metrics:
            found = model.evaluate(own, now())
            values |= {k: v for k, v in found.items() if k != "loss"}
        if others is not None:
            values |= {f"validation_{k}": v for k, v in model.evaluate(others, now()).items()}
        return values

    return Watch(now, evaluate if model._metrics or validation is not None else None, rules, callbacks)


def _first(array: Array, count: int) -> Array:
    """The first numbers, nothing kept alive behind them."""
    return array if count == len(array) else array[:count].copy()


def _result(model: Model, job: Job, course: Course, outcome: Outcome, record: Iterable[str]) -> Result:
    epochs, steps = job["epoch"], job["step"]
    history: dict[str, Array] = {"loss": _first(job.history, epochs), "seconds": outcome.seconds}
    history |= {name: np.array(values) for name, values in outcome.values.items()}
    path = None
    if job.path is not None:
        whole = _parameters(model, course, job.path[: steps + 1])
        path = ByName({symbol: whole[symbol] for symbol in model.parameters if name_of(symbol) in set(record)})
    parameters = _parameters(model, course, job.parameters)
    return Result(
        parameters, history, outcome.reason, epochs, steps, model.predict, outcome.interrupted, path, outcome.failed
    )
