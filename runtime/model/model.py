"""A compiled model: its gradient to read, its forward and backward parts to call, its training loop to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArgumentError, listed
from sympile.compiler.graph.definition import elementwise
from sympile.compiler.graph.node import ZERO
from sympile.compiler.locks import once
from sympile.compiler.passes.reading.scope import Symbol
from sympile.compiler.passes.roles import only_added
from sympile.compiler.pipeline import GRADIENT, METRIC, OBJECTIVE, PREDICTION, Work, inputs_of, signature
from sympile.compiler.program import Signature
from sympile.compiler.show.shown import Formula
from sympile.runtime.arguments import Binder
from sympile.runtime.byname import ByName, Keys
from sympile.runtime.model.gradients import Gradients
from sympile.runtime.model.notation import dims, kind_of
from sympile.runtime.model.part import Part

if TYPE_CHECKING:  # what training, looking and checking need is loaded at their first use
    from sympile.runtime.bench import Benches
    from sympile.runtime.model.checking import CheckReport
    from sympile.runtime.model.course import Courses
    from sympile.runtime.model.memory import Circumstances
    from sympile.runtime.model.slots import TrainingSlots
    from sympile.runtime.model.training import Steps
    from sympile.runtime.result import Result

Array = npt.NDArray[Any]
Values = Mapping[Any, Any]
FITTING = "sympile.runtime.model.fitting"
PER_EXAMPLE = {"mean": "per example; the objective is the mean", "sum": "per example; the objective is the sum"}


class Model:
    """What `sm.compile` returns.

    Attributes:
        gradient: symbol (or name) → Formula, d loss / d parameter of one example.
        loss: the loss as a Formula.
        parameters: the parameters' symbols.
        dtype: "float64" or "float32".
    """

    def __init__(
        self, work: Work, dtype: str, arguments: Mapping[str, Any], rebuild: Callable[[Mapping[str, Any]], Model]
    ) -> None:
        self._work = work
        self._arguments = dict(arguments)
        self._rebuild = rebuild
        self._parts: dict[tuple[str, ...], Part] = {}
        self.dtype = dtype
        self.parameters: tuple[Any, ...] = tuple(work.scope.parameters.values())
        self._used = list(work.request.wrt)
        self._keys = Keys(self.parameters)
        self._circumstances: Circumstances | None = None  # of the last fit

    # ------------------------------------------------------------------------------------------ formulas

    @once
    def gradient(self) -> Gradients:
        """The gradient formulas of one example, by parameter; each is made when it is asked for."""
        return Gradients(self._keys, self._gradient_formula)

    @once
    def loss(self) -> Formula:
        """The loss of one example as it was understood."""
        from sympile.compiler.show.formula import formula  # optional: not every model is looked at

        return formula(
            self._work.outputs["loss"],
            "loss",
            self._work.scope,
            self._work.names,
            (),
            "scalar",
            adjoint_of=self._work.adjoint_of,
        )

    def _gradient_formula(self, name: str) -> Formula:
        from sympile.compiler.show.formula import formula  # optional: not every model is looked at
        from sympile.compiler.show.per_example import per_example  # optional: as above

        work = self._work
        given = work.scope.parameters[name]
        symbol = work.scope.declare(given, name, getattr(given, "shape", ()) or ())
        shown = work.shown.get(GRADIENT + name) or elementwise(symbol.tensor.axes, ZERO)
        batched = work.outputs["loss"].batched  # else the loss is the objective, and no example has a share of it
        note = PER_EXAMPLE[self._arguments["reduction"]] if batched else ""
        share = per_example(shown, "sum") if batched else shown
        return formula(
            share,
            f"dloss/d{name}",
            work.scope,
            work.names,
            symbol.declared,
            kind_of(symbol.given),
            note,
            adjoint_of=work.adjoint_of,
        )

    # ------------------------------------------------------------------------------------------ calls

    def _part(self, *labels: str) -> Part:
        """The program of some outputs; compiled at its first use."""
        part = self._parts.get(labels)
        if part is None:
            outputs = {label: self._work.outputs[label] for label in labels}
            part = self._parts[labels] = Part(self._work, outputs, self.dtype)
        return part

    @once
    def _value(self) -> Part:
        return self._part(OBJECTIVE)

    @once
    def _step(self) -> Part:
        return self._part(OBJECTIVE, *[GRADIENT + name for name in self._used])

    @once
    def _steps(self) -> Steps:
        """The steps of fits."""
        from sympile.runtime.model.training import Steps  # optional: not every model is trained

        return Steps(self)

    @once
    def _training(self) -> Signature:
        """All symbols that a fit takes: those of the loss, of the metrics, and every parameter."""
        outputs = {label: self._work.outputs[label] for label in (OBJECTIVE, *self._metrics)}
        needed = {*inputs_of(self._work, list(outputs.values())), *self._used}
        return signature(self._work, [n for n in self._work.scope.symbols if n in needed], outputs, self.dtype)

    @once
    def _data_binder(self) -> Binder:
        """Data and constants of a fit; data of the prediction alone are not wanted, and not an error either."""
        own = self._training
        others = [n for n in self._work.scope.symbols if n not in {s.name for s in own.slots}]
        return Binder(own, roles=("data", "constant"), ignored=others)

    @once
    def _slots(self) -> TrainingSlots:
        from sympile.runtime.model.slots import TrainingSlots  # optional: not every model is trained

        return TrainingSlots.of(self._training)

    @once
    def _benches(self) -> Benches:
        from sympile.runtime.bench import Benches  # optional: not every model is trained

        return Benches()

    @once
    def _courses(self) -> Courses:
        from sympile.runtime.model.course import Courses  # optional: not every model is trained

        return Courses()

    @once
    def _added(self) -> set[str]:
        """The parameters that start at 0."""
        work = self._work
        return only_added([work.outputs["loss"]], [work.scope.symbols[n].tensor for n in self._used])

    def forward(self, values: Values) -> np.floating[Any]:
        """The objective: the mean (or sum) of the examples' losses.

        Args:
            values: arrays and numbers for all symbols of the loss, keyed by symbols or names; data have an example
                axis in front.

        Returns:
            A NumPy scalar of the model's dtype.

        Raises:
            ValuesError: a value is missing, unknown, or of the wrong shape or kind.
        """
        return cast("np.floating[Any]", self._value.results(values)[0])

    def value_and_grad(self, values: Values) -> tuple[np.floating[Any], ByName[Array]]:
        """The objective and its gradient in one native call.

        Args:
            values: as for `forward`.

        Returns:
            The objective, and d objective / d parameter by symbol or name, in the parameters' declared shapes.
        """
        value, *gradients = self._step.results(values)
        return value, ByName(gradients, self._keys)

    def backward(self, values: Values) -> ByName[Array]:
        """The gradient of the objective by parameter (symbol or name), in the parameters' declared shapes."""
        return self.value_and_grad(values)[1]

    def predict(self, data: Values, parameters: Values | None = None) -> Any:
        """The prediction for some data.

        Args:
            data: arrays of the data symbols that the prediction uses, N examples each; others are ignored.
            parameters: values of the parameters; they may also stand in `data`.

        Returns:
            An array whose first axis is the examples, or a dict of them where `prediction` was a dict.
        """
        results = self._prediction.results(_merged(data, parameters))
        if isinstance(self._arguments["prediction"], Mapping):
            return dict(zip(map(str, self._arguments["prediction"]), results, strict=True))
        return results[0]

    @once
    def _prediction(self) -> Part:
        labels = [label for label in self._work.outputs if label.startswith(PREDICTION)]
        if not labels:
            raise ArgumentError(
                "this model was compiled without `prediction=`; write sm.compile(loss, parameters, prediction=...)"
            )
        return self._part(*labels)

    def evaluate(self, data: Values, parameters: Values | None = None) -> dict[str, float]:
        """The objective ("loss") and the metrics on some data.

        Args:
            data: arrays of all data symbols.
            parameters: values of the parameters; they may also stand in `data`.

        Returns:
            A dict of numbers by name.
        """
        results = self._part(OBJECTIVE, *self._metrics)(_merged(data, parameters))
        return {"loss" if k == OBJECTIVE else k.removeprefix(METRIC): float(v) for k, v in results.items()}

    @once
    def _metrics(self) -> list[str]:
        return [label for label in self._work.outputs if label.startswith(METRIC)]

    def check(self, values: Values) -> CheckReport:
        """Compares the gradient with central differences in float64.

        Args:
            values: as for `forward`.

        Returns:
            Per parameter the largest relative error, and at which entry; prints as a table.
        """
        from sympile.runtime.model.checking import checked  # optional: not every model is checked

        model = self if self.dtype == "float64" else self._rebuild({**self._arguments, "dtype": "float64"})
        return checked(model, values)

    # ------------------------------------------------------------------------------------------ training

    def fit(
        self,
        data: Values | None = None,
        *,
        epochs: int,
        start: Values | None = None,
        optimizer: Any = None,
        batch_size: int | None = None,
        shuffle: Any = True,
        seed: int = 0,
        validation_data: Values | None = None,
        validation_split: float | None = None,
        stop: Any = None,
        callbacks: Any = (),
        record: Any = (),
        drop_last: bool = False,
        verbose: bool | int | None = None,
    ) -> Result:
        """Trains the parameters: batches, forward, backward and update run in one native loop.

        Args:
            data: arrays of all data symbols, N examples each, and the constants' values; keyed by symbols or names.
            epochs: how often to go through the data.
            start: first values of parameters; others start at 0 where they are only added, else Glorot uniform.
            optimizer: `sm.adam()` by default.
            batch_size: examples per update; None takes all of them.
            shuffle: True (a fresh seeded order each epoch), False, or an integer array (epochs, N) of orders.
            seed: of first values and orders; the same seed gives the same bits.
            validation_data: data whose loss (and metrics) are reported after each epoch.
            validation_split: the part of the data, from the end, that is kept for validation instead: 0 to less than 1.
            stop: rules such as `sm.no_improvement(patience=5)`.
            callbacks: functions of an EpochReport, called after each epoch; one that returns False ends the fit.
            record: parameters whose values after each step are kept in `result.path`.
            drop_last: whether a smaller last batch is left out.
            verbose: None shows a progress bar in a terminal; True always; False never.

        Returns:
            A `Result`.

        Raises:
            ValuesError: the data do not fit the formula.
            StationaryStart: every gradient is exactly 0 at the start.
        """
        fitting = import_module(FITTING)  # optional: not every model is trained
        options = fitting.Options(
            epochs=epochs,
            start=start,
            optimizer=optimizer,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            validation_data=validation_data,
            validation_split=validation_split,
            stop=stop,
            callbacks=callbacks,
            record=record,
            drop_last=drop_last,
            verbose=verbose,
        )
        result: Result = fitting.fit(self, data or {}, options)
        return result

    # ------------------------------------------------------------------------------------------ looking inside

    def explain(self, stage: str | None = None) -> None:
        """Prints the way from formula to machine code, or one stage of it.

        Args:
            stage: "formula", "rewrites", "gradient", "batched", "graph", "once", "loops", "memory", "llvm",
                "asm", "steps" (the loops of whole steps that fits of a small model have used) or "times"; all by
                default.
        """
        known = tuple(self.stages)
        for name in known if stage is None else (stage,):
            if name not in known:
                raise ArgumentError(f"no stage is called {name!r}; there are {listed(known)}")
            print(f"--- {name}\n{self.stages[name]}\n" if stage is None else self.stages[name])

    @property
    def stages(self) -> Mapping[str, str]:
        """Every stage as text, computed when asked for."""
        from sympile.runtime.model.explaining import Stages  # optional: not every model is looked at

        return Stages(self)

    def _repr_latex_(self) -> str | None:
        return self.loss._repr_latex_()

    def __repr__(self) -> str:
        own = self._keys.names()
        symbols = self._work.scope.symbols
        by_role = {r: [s for _, s in sorted(symbols.items()) if s.role == r] for r in ("data", "constant")}
        groups = {"parameters": [symbols[n] for n in own if n in symbols], "data": by_role["data"]}
        groups |= {"constants": by_role["constant"]} if by_role["constant"] else {}
        shown = "; ".join(f"{role}: {self._shown(members) or 'none'}" for role, members in groups.items())
        return f"Model({shown}; {self.dtype})"

    def _shown(self, symbols: list[Symbol]) -> str:
        return ", ".join(f"{s.name}{dims(s.declared, self._work.scope.examples)}" for s in symbols)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._rebuild, (self._arguments,)


def _merged(data: Values, parameters: Values | None) -> Values:
    """One dict; ByName and dict alike."""
    return data if parameters is None else {**dict(data.items()), **dict(parameters.items())}
