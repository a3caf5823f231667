"""`model.fit`: arguments checked, first values chosen, the native loop run, the result put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArgumentError, EmptyData, StationaryStart, did_you_mean, listed
from sympile.compiler.pipeline import GRADIENT, OBJECTIVE, build_loop, build_update
from sympile.compiler.program import BATCH
from sympile.compiler.records import dataclass
from sympile.runtime.arguments import Bound
from sympile.runtime.bench import Shape, Together, is_data
from sympile.runtime.byname import ByName, name_of
from sympile.runtime.flat import FlatLayout
from sympile.runtime.initializers import first_parameters
from sympile.runtime.job import Job, Plan
from sympile.runtime.load import Native, load
from sympile.runtime.model.memory import Circumstances
from sympile.runtime.model.notation import with_ones
from sympile.runtime.model.shelf import SHELF
from sympile.runtime.model.training import Ready
from sympile.runtime.native import NativeProgram
from sympile.runtime.optimizers import adam
from sympile.runtime.report import EpochReport
from sympile.runtime.result import Result
from sympile.runtime.stopping import stopping_rules
from sympile.runtime.train import Outcome, Watch, run
from sympile.runtime.update_rule import Optimizer

if TYPE_CHECKING:
    from sympile.runtime.model.model import Model

Array = npt.NDArray[Any]


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
    plan = _plan(model, arrays, options)
    sizes = {k: v for k, v in bound.sizes.items() if k != BATCH}
    start = first_parameters(
        model._training,
        sizes=sizes,
        seed=options.seed,
        added=model._added,
        start=options.start,
        binder=model._slots.start,
    )
    sizes |= _sizes_of(model, start)
    for given in (arrays, validation or {}):
        model._data_binder.check_ranges(Bound(tuple(given), list(given.values()), {}), sizes)
    ready = model._steps.ready(plan, arrays, sizes)
    _demand_motion(model, ready, start, options)
    model._circumstances = _circumstances(plan, ready, optimizer)
    layout = FlatLayout.of({name: start[name].shape for name in model._used})
    record = _recorded(model, options.record)
    shape = _shape(model, ready, optimizer, layout, sizes)
    bench = model._benches.take(shape, GRADIENT, OBJECTIVE)
    state, numbers = optimizer.first_state(), dict(optimizer.numbers)
    loop = shape.update.native.native if isinstance(shape.update, Together) else _loop(model.dtype)
    job = bench.job(loop, start, ready.arrays, ready.plan, state, numbers, bool(record))
    watch = _watch(model, job, layout, arrays, validation, start, options)
    outcome = run(job, plan, watch, options.verbose)
    result = _result(model, job, layout, start, plan, outcome, record)
    bench.pace = job.pace
    model._benches.give_back(bench)
    return result


def _shape(model: Model, ready: Ready, optimizer: Optimizer, layout: FlatLayout, sizes: Mapping[str, int]) -> Shape:
    """What decides which memory the fit needs."""
    plan = ready.plan
    return Shape(
        ready.native,
        model._steps.together(ready, optimizer)
        or _update(optimizer, model.dtype, layout.few, model._arguments["rewrites"]),
        layout,
        tuple(sizes.items()),
        plan.batch,
        plan.gathers,
        plan.examples if plan.gathers and plan.orders is None else 0,
        tuple(symbol.name for symbol, _ in optimizer.state),
        tuple(name for name, _ in optimizer.numbers),
    )


# ------------------------------------------------------------------------------------------------ the data


def _split(model: Model, bound: Bound, options: Options) -> tuple[dict[str, Array], dict[str, Array] | None]:
    """Training arrays, and validation arrays where there are any."""
    arrays = bound.by_name()
    if options.validation_data is not None:
        if options.validation_split is not None:
            raise ArgumentError("give validation_data or validation_split, not both")
        given = {name_of(key) for key in options.validation_data}
        constants = {
            s.name: arrays[s.name] for s in model._training.slots if s.role == "constant" and s.name not in given
        }
        return arrays, model._data_binder.bind({**constants, **dict(options.validation_data.items())}).by_name()
    if not options.validation_split:
        return arrays, None
    if not 0 < options.validation_split < 1:
        raise ArgumentError(f"validation_split must be from 0 to less than 1, not {options.validation_split}")
    names = model._slots.batched
    count = len(arrays[names[0]]) if names else 0
    kept = count - max(1, round(count * options.validation_split))
    if kept < 1:
        raise EmptyData(f"validation_split={options.validation_split} leaves no example of {count} to train on")
    first = {n: a[:kept] if n in names else a for n, a in arrays.items()}
    return first, {n: a[kept:] if n in names else a for n, a in arrays.items()}


def _plan(model: Model, arrays: Mapping[str, Array], options: Options) -> Plan:
    names = model._slots.batched
    examples = len(arrays[names[0]]) if names else 1
    epochs = _whole("epochs", options.epochs)
    batch = examples if options.batch_size is None else min(examples, _whole("batch_size", options.batch_size))
    if options.drop_last and options.batch_size is not None and examples < options.batch_size:
        raise EmptyData(
            f"drop_last=True leaves nothing: there are {examples} examples, and a batch has {options.batch_size}"
        )
    orders = None if isinstance(options.shuffle, (bool, np.bool_)) else _orders(options.shuffle, epochs, examples)
    summed = model._arguments["reduction"] == "sum" and model._work.outputs["loss"].batched
    return Plan(
        examples,
        batch,
        epochs,
        bool(options.shuffle) if orders is None else True,
        orders,
        _seed(options.seed),
        bool(options.drop_last),
        float(summed),
    )


def _circumstances(plan: Plan, ready: Ready, optimizer: Optimizer) -> Circumstances:
    prepared = {name: ready.arrays[name].shape for name in ready.own}
    sizes = {**ready.sizes, BATCH: ready.plan.batch}
    states = tuple(symbol.name for symbol, _ in optimizer.state)
    return Circumstances(sizes, plan.examples, plan.gathers, states, ready.native.program, prepared)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ArgumentError(f"{name} must be an integer of at least 1, not {value!r}")
    return int(value)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ArgumentError(f"seed must be an integer from 0, not {value!r}")
    return int(value)


def _orders(given: Any, epochs: int, examples: int) -> npt.NDArray[np.int64]:
    orders = np.asarray(given)
    if orders.dtype.kind not in "iu" or orders.shape != (epochs, examples):
        raise ArgumentError(
            "shuffle must be True, False, or an integer array of shape "
            f"(epochs, N) = ({epochs}, {examples}), not {orders.dtype} {orders.shape}"
        )
    if orders.size and (orders.min() < 0 or orders.max() >= examples):
        raise ArgumentError(f"the orders given by shuffle= must lie in 0 … {examples - 1}")
    return np.ascontiguousarray(orders, np.int64)


# ------------------------------------------------------------------------------------------------ the start


def _sizes_of(model: Model, start: Mapping[str, Array]) -> dict[str, int]:
    """Sizes that only parameters tell."""
    found = {}
    for slot in model._slots.tellers:
        found.update({n: int(k) for n, k in zip(slot.shape, start[slot.name].shape, strict=True) if isinstance(n, str)})
    return found


def _demand_motion(model: Model, ready: Ready, start: Mapping[str, Array], options: Options) -> None:
    """If every gradient is exactly 0 no step would move, unless the user chose that start."""
    given = {name_of(k) for k in (options.start or {})}
    if given >= set(model._used):
        return
    examples, batch = ready.plan.examples, ready.plan.batch
    if not _moves(model, ready, start, batch) and not (batch < examples and _moves(model, ready, start, examples)):
        free = [n for n in model._used if n not in given]
        raise StationaryStart(
            "every gradient is exactly 0 at the start, so no step would move; "
            f"write start={{{free[0]}: ...}} with other first values"
        )


def _moves(model: Model, ready: Ready, start: Mapping[str, Array], examples: int) -> bool:
    """Whether a step over the first examples changes a parameter."""
    inputs = {array.name: array for array in ready.native.program.inputs}
    arrays = {n: a[:examples] if n in inputs and is_data(inputs[n]) else a for n, a in ready.arrays.items()}
    results = ready.native.run({**arrays, **start}, {**ready.sizes, BATCH: examples})
    return any(results[GRADIENT + name].any() for name in model._used)


# ------------------------------------------------------------------------------------------------ the code


@lru_cache(maxsize=4)
def _loop(dtype: str) -> Native:
    return load(build_loop(dtype))


@lru_cache(maxsize=64)
def _update_of(
    rule: object, dtype: str, few: bool, rewrites: str, shape: Callable[[], Optimizer]
) -> NativeProgram:
    return NativeProgram(build_update(shape(), dtype, few, rewrites, SHELF))


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


# ------------------------------------------------------------------------------------------------ epochs and the end


def _parameters(model: Model, layout: FlatLayout, flat: Array, start: Mapping[str, Array]) -> ByName[Array]:
    """Copies in the declared shapes, by symbol."""
    declared = model._slots.declared
    arrays = []
    for symbol in model.parameters:
        name = name_of(symbol)
        if name in layout.offsets:
            shape = with_ones(declared[name], layout.shapes[name]) if declared[name] else ()
            arrays.append(layout.part(flat, name).reshape((*flat.shape[:-1], *shape)).copy())
        else:
            arrays.append(np.zeros(tuple(int(n) for n in getattr(symbol, "shape", ()) or ()), model.dtype))
    return ByName(arrays, model._keys)


def _recorded(model: Model, given: Any) -> list[str]:
    """The names of the parameters whose path is kept."""
    if isinstance(given, tuple) and not given:
        return []
    several = [given] if isinstance(given, str) or hasattr(given, "free_symbols") else list(given)
    names = [name_of(one) for one in several]
    known = model._keys.names()
    for name in names:
        if name not in known:
            raise ArgumentError(f"record={name!r} is no parameter{did_you_mean(name, known)}; there is {listed(known)}")
    return names


def _callbacks(given: Any) -> tuple[Callable[[EpochReport], object], ...]:
    if isinstance(given, tuple) and not given:
        return ()
    callbacks = (given,) if callable(given) or not isinstance(given, Iterable) else tuple(given)
    for callback in callbacks:
        if not callable(callback):
            raise ArgumentError(f"callbacks must be functions of an EpochReport, not {callback!r}")
    return callbacks


def _watch(
    model: Model,
    job: Job,
    layout: FlatLayout,
    arrays: Mapping[str, Array],
    validation: Mapping[str, Array] | None,
    start: Mapping[str, Array],
    options: Options,
) -> Watch:
    callbacks = _callbacks(options.callbacks)
    rules = stopping_rules(options.stop)

    def now() -> ByName[Array]:
        return _parameters(model, layout, job.parameters, start)

    def evaluate() -> dict[str, float]:
        values: dict[str, float] = {}
        if model._metrics:
            found = model.evaluate(arrays, now())
            values |= {k: v for k, v in found.items() if k != "loss"}
        if validation is not None:
            values |= {f"validation_{k}": v for k, v in model.evaluate(validation, now()).items()}
        return values

    return Watch(now, evaluate if model._metrics or validation is not None else None, rules, callbacks)


def _first(array: Array, count: int) -> Array:
    """The first numbers, nothing kept alive behind them."""
    return array if count == len(array) else array[:count].copy()


def _result(
    model: Model,
    job: Job,
    layout: FlatLayout,
    start: Mapping[str, Array],
    plan: Plan,
    outcome: Outcome,
    record: Iterable[str],
) -> Result:
    epochs = job["epoch"]
    history: dict[str, Array] = {"loss": _first(job.history, epochs), "seconds": _first(outcome.seconds, epochs)}
    history |= {name: np.array(values) for name, values in outcome.values.items()}
    path = None
    if job.path is not None:
        whole = _parameters(model, layout, job.path[: job["step"] + 1], start)
        path = ByName({symbol: whole[symbol] for symbol in model.parameters if name_of(symbol) in set(record)})
    parameters = _parameters(model, layout, job.parameters, start)
    return Result(
        parameters,
        history,
        outcome.reason,
        epochs,
        job["step"],
        model.predict,
        outcome.interrupted,
        path,
        outcome.failed,
    )
