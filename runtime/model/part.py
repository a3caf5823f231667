"""Some outputs of a model as one program that is called with a dict of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ONE
from sympile.compiler.passes.built import Built
from sympile.compiler.pipeline import GRADIENT, OBJECTIVE, Work, build, inputs_of, signature
from sympile.compiler.program import Signature
from sympile.runtime.arguments import Binder, Bound
from sympile.runtime.model.notation import with_ones
from sympile.runtime.model.quickly import quick_way
from sympile.runtime.native import NativeProgram
from sympile.runtime.shortcut import Shortcuts, Way, plain_shapes, taken_as_they_are

Array = npt.NDArray[Any]
Values = Mapping[Any, Any]


class Part:
    """A program, and what its callers give and get."""

    def __init__(self, work: Work, outputs: Mapping[str, Definition], dtype: str) -> None:
        names = inputs_of(work, list(outputs.values()))
        self.built: Built = build(work, outputs, [work.scope.symbols[n].tensor for n in names], dtype)
        self.signature: Signature = signature(work, names, outputs, dtype)
        self.native = NativeProgram(self.built.program, self.built.large)
        others = [n for n in (*work.scope.symbols, *work.scope.parameters, *work.scope.constants) if n not in names]
        self.binder = Binder(self.signature, ignored=others)
        self._outputs = {array.name: array for array in self.built.program.outputs}
        self._labels = tuple(outputs)
        symbols = {GRADIENT + name: symbol for name, symbol in work.scope.symbols.items()}
        self._declared = {k: [int(n is ONE) for n in symbols[k].declared] for k in outputs if k in symbols}
        self._shortcuts = Shortcuts()

    def __call__(self, values: Values) -> dict[str, Any]:
        """The results by label; see `results`."""
        return dict(zip(self._labels, self.results(values), strict=True))

    def results(self, values: Values) -> list[Any]:
        """New arrays in the order of the outputs: gradients in declared shapes, the objective as a NumPy scalar."""
        found = self.binder.found(values)
        given = tuple(found)
        for way in self._shortcuts.ways:
            results = way(given, None)
            if results is not None:
                return results  # type: ignore[no-any-return]
        return self._general(given, self.binder.bind_found(found))

    def _general(self, given: tuple[Any, ...], bound: Bound) -> list[Any]:
        results = self.native.run(bound.by_name(), bound.sizes)
        shapes = [self._shape(label, bound.sizes) for label in self._labels]
        if self._shortcuts.due(plain_shapes(given, self.binder.dtypes)):
            self._shortcuts.add(self._shortcut(given, bound, shapes))
        shaped: list[Any] = [results[label].reshape(shape) for label, shape in zip(self._labels, shapes, strict=True)]
        return [a[()] if label == OBJECTIVE else a for label, a in zip(self._labels, shaped, strict=True)]

    def _shape(self, label: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
        shape = self.native.shape(self._outputs[label], sizes)
        return with_ones(self._declared[label], shape) if label in self._declared else shape

    def _shortcut(self, given: tuple[Any, ...], bound: Bound, shapes: Sequence[tuple[int, ...]]) -> Way | None:
        if not taken_as_they_are(given, bound.arrays):
            return None
        values = dict(zip(bound.names, given, strict=True))
        targets = dict(zip(self._labels, shapes, strict=True))
        dtypes: tuple[np.dtype[Any], ...] = self.binder.dtypes
        return quick_way(self.native, self.signature, bound.sizes, values, dtypes, targets, False, (OBJECTIVE,))
