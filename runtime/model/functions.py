"""`sm.lambdify`: expressions as compiled functions of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import (
    ArgumentError,
    ArrayShapeError,
    DtypeError,
    DuplicateName,
    MissingValue,
    did_you_mean,
    listed,
)
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node
from sympile.compiler.passes.assemble import polynomial
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.pipeline import Request, Work, analyse, build, inputs_of, signature
from sympile.compiler.program import BATCH
from sympile.compiler.show.numbers import shown_size
from sympile.runtime.arguments import Binder
from sympile.runtime.byname import name_of
from sympile.runtime.convert import INTEGER, refuse_masked
from sympile.runtime.model.compiling import DTYPES, MATH
from sympile.runtime.model.given import as_given, demand_formula, demand_one_symbol_per_name
from sympile.runtime.model.notation import with_ones
from sympile.runtime.model.quickly import quick_way
from sympile.runtime.model.shelf import SHELF
from sympile.runtime.native import NativeProgram
from sympile.runtime.shortcut import Shortcuts, Way, plain_shapes, taken_as_they_are

Array = npt.NDArray[Any]


def lambdify(args: Any, expr: Any, *, dtype: str = "float64", math: str = "accurate") -> Function:
    """Compiles expressions to a function of NumPy arrays.

    Args:
        args: the symbol, or the symbols in the order in which the function takes their values.
        expr: a scalar, matrix, index or tensor expression, a Formula, or a list of them.
        dtype: "float64" (default: what SymPy users expect of a number) or "float32" (half the memory traffic).
        math: "accurate" (default: each function within 2 units in the last place; of float32, 2.2) or "fast" (within
            4; of float32, 4.5), which takes less time for tanh, sigmoid, tan, log10 and erfc.

    Returns:
        A function of as many arrays. Arrays of a scalar symbol broadcast as in NumPy; further axes in front of a matrix
        symbol's own are broadcast too. The result has the broadcast shape followed by the shape of `expr`; of a list,
        a list. `out=` takes an array (or a list of them) to write to.

    Raises:
        UnknownFunction: `expr` uses a function without a row; the message points at it.
        MissingValue: `expr` has a symbol that is not among `args`.
        ArrayShapeError: arrays disagree with the symbols, when called.

    Example:
        >>> x = sp.Symbol("x")
        >>> f = lambdify([x], sp.sin(x) / x)
        >>> f(np.array([1.0, 2.0]))
        array([0.84147098, 0.45464871])
    """
    if dtype not in DTYPES:
        raise ArgumentError(f"dtype must be one of {listed(DTYPES)}, not {dtype!r}")
    if math not in MATH:
        raise ArgumentError(f"math must be one of {listed(MATH)}, not {math!r}")
    symbols = tuple(args) if isinstance(args, (list, tuple)) else (args,)
    _demand_distinct([name_of(a) for a in symbols])
    if isinstance(expr, Mapping):
        raise ArgumentError("lambdify takes an expression or a list of them, no mapping; write list(expr.values())")
    single = not isinstance(expr, (list, tuple))
    several = [expr] if single else list(expr)
    formulas = [as_given(e) for e in several]
    for k, formula in enumerate(formulas):
        demand_formula(f"expression {k}", formula)
    demand_one_symbol_per_name([*formulas, *symbols])
    return Function(symbols, several, single, dtype, math)


def _demand_distinct(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DuplicateName(f"{listed(twice)} stands twice among the arguments")


class Function:
    """What `sm.lambdify` returns; code is compiled for each combination of arguments with and without axes in front."""

    def __init__(
        self, args: tuple[Any, ...], expressions: list[Any], single: bool, dtype: str, math: str = "accurate"
    ) -> None:
        self._args = args
        self._expressions = expressions
        self._single = single
        self._dtype = dtype
        self._math = math
        self._names = [name_of(a) for a in args]
        self._variants: dict[tuple[bool, ...], _Variant] = {}
        self._shortcuts = Shortcuts()
        shapes = self._variant((False,) * len(args)).shapes  # mistakes in the formula show at once
        self._shapes = [shapes.get(name, _declared(a)) for name, a in zip(self._names, args, strict=True)]
        self._ranks = [len(shape) for shape in self._shapes]

    def __call__(self, *values: Any, out: Any = None) -> Any:
        for way in self._shortcuts.ways:
            results = way(values, out)
            if results is not None:
                return results
        return self._general(values, out)

    def _general(self, values: tuple[Any, ...], out: Any) -> Any:
        """Whatever NumPy makes arrays of, broadcast; all mistakes are found here."""
        if len(values) != len(self._args):
            raise ArgumentError(
                f"the function takes {len(self._args)} arguments ({', '.join(self._names)}), not {len(values)}"
            )
        arrays = [self._array(name, value) for name, value in zip(self._names, values, strict=True)]
        leading = [a.shape[: a.ndim - rank] for a, rank in zip(arrays, self._ranks, strict=True)]
        try:
            shape = np.broadcast_shapes(*leading)
        except ValueError:
            shapes = ", ".join(f"{n}: {a.shape}" for n, a in zip(self._names, arrays, strict=True))
            raise ArrayShapeError(f"the arrays do not broadcast together ({shapes})") from None
        batched = tuple(bool(lead) for lead in leading)
        variant = self._variant(batched)
        count = int(np.prod(shape, dtype=np.int64))
        flat = {
            n: _flattened(a, rank, shape, count) if b else a
            for n, a, rank, b in zip(self._names, arrays, self._ranks, batched, strict=True)
        }
        results = variant.run(flat, shape, count, None if out is None else [out] if self._single else list(out))
        if self._shortcuts.due(plain_shapes(values, variant.dtypes)):
            self._shortcuts.add(variant.shortcut(values, flat, shape, count, self._single))
        return results[0] if self._single else results

    def _array(self, name: str, value: Any) -> Array:
        refuse_masked(name, value)
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise DtypeError(f"{name} must be real numbers, not {array.dtype}")
        declared = self._shapes[self._names.index(name)]
        rank = len(declared)
        if array.ndim < rank and sum(1 for n in declared if n != 1) == array.ndim:
            array = array.reshape(with_ones(declared, array.shape))
        if array.ndim < rank:
            raise ArrayShapeError(f"{name} has shape {declared}, but an array of shape {array.shape} is given")
        return array

    def _variant(self, batched: tuple[bool, ...]) -> _Variant:
        variant = self._variants.get(batched)
        if variant is None:
            variant = _Variant(self._args, self._expressions, batched, self._dtype, self._math)
            self._variants[batched] = variant
        return variant

    def __repr__(self) -> str:
        return f"<compiled function of {', '.join(self._names)}; {self._dtype}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Function, (self._args, self._expressions, self._single, self._dtype, self._math)


def _declared(arg: Any) -> tuple[Any, ...]:
    return tuple(getattr(arg, "shape", ()) or ())


def _flattened(array: Array, rank: int, shape: tuple[int, ...], count: int) -> Array:
    """The array with one axis for all that stands in front of its symbol's own."""
    own = array.shape[array.ndim - rank :]
    return np.broadcast_to(array, (*shape, *own)).reshape((count, *own))


class _Variant:
    """Code for one choice of which arguments have axes in front."""

    def __init__(
        self,
        args: tuple[Any, ...],
        expressions: list[Any],
        batched: tuple[bool, ...],
        dtype: str,
        math: str,
    ) -> None:
        constants = {name_of(a): a for a, b in zip(args, batched, strict=True) if not b}
        scope = Scope(constants=constants, batched=any(batched))
        formulas = {f"expression {k}": as_given(e) for k, e in enumerate(expressions)}
        work = analyse(Request(formulas, scope, math=math, shelf=SHELF))
        self._demand_arguments(work, args)
        self.shapes = {n: tuple(shown_size(length) for length in s.declared) for n, s in scope.symbols.items()}
        self.outputs: dict[str, Definition] = work.outputs
        self.declared: dict[str, tuple[Node, ...]] = work.declared
        names = self._inputs(work, args)
        built = build(work, self.outputs, [scope.symbols[n].tensor for n in names], dtype)
        self.native = NativeProgram(built.program, built.large)
        self.signature = signature(work, names, self.outputs, dtype)
        self.binder = Binder(self.signature, ignored=[name_of(a) for a in args if name_of(a) not in names])
        integers = {slot.name for slot in self.signature.slots if slot.integer}
        self.names = [name_of(a) for a in args]
        self.dtypes = [INTEGER if name in integers else np.dtype(dtype) for name in self.names]

    def _inputs(self, work: Work, args: tuple[Any, ...]) -> list[str]:
        """The names of the arguments that the outputs depend on, be it for the sizes that only their arrays tell."""
        used = inputs_of(work, list(self.outputs.values()))
        for arg in args:
            if name_of(arg) not in work.scope.symbols and any(getattr(n, "is_Symbol", False) for n in _declared(arg)):
                work.scope.declare(arg, name_of(arg), _declared(arg))
        tellers = [
            n for n, symbol in work.scope.symbols.items() if any(length.op == "size" for length in symbol.declared)
        ]
        return [name for name in work.scope.symbols if name in used or name in tellers]

    @staticmethod
    def _demand_arguments(work: Work, args: tuple[Any, ...]) -> None:
        known = [name_of(a) for a in args]
        missing = [name for name in work.scope.symbols if name not in known]
        if missing:
            raise MissingValue(
                f"the expression uses {listed(missing)}{did_you_mean(missing[0], known)}; "
                f"name every symbol in args, which has {listed(known)}"
            )

    def run(self, arrays: dict[str, Array], shape: tuple[int, ...], count: int, out: list[Array] | None) -> list[Any]:
        if count == 0:  # one example tells the sizes, and is not computed
            arrays = {n: np.zeros((1, *a.shape[1:])) if a.ndim and not len(a) else a for n, a in arrays.items()}
        bound = self.binder.bind(arrays, self._told(arrays))
        sizes = {**bound.sizes, BATCH: bound.sizes.get(BATCH, count)}
        shapes = {label: (*shape, *[_length(n, sizes) for n in self.declared[label]]) for label in self.outputs}
        if out is not None:
            self._demand_targets(out, shapes)
        if count == 0:
            return out or [np.empty(wanted, self.signature.dtype) for wanted in shapes.values()]
        direct = {} if out is None else self._direct(out, bound.arrays, shape, sizes)
        results = self.native.run(bound.by_name(), sizes, direct)
        shaped = [self._shaped(label, results[label], shape, sizes) for label in self.outputs]
        if out is None:
            return shaped
        for label, array, result in zip(self.outputs, out, shaped, strict=True):
            if label not in direct:
                array[...] = result
        return out

    def shortcut(
        self, values: tuple[Any, ...], arrays: dict[str, Array], shape: tuple[int, ...], count: int, single: bool
    ) -> Way | None:
        """A quick way for calls like this one; None where values are converted, repeated, or sizes themselves."""
        repeated = shape and not all(output.batched for output in self.outputs.values())
        if count == 0 or repeated or self._told(arrays):
            return None
        bound, given = self.binder.bind(arrays), dict(zip(self.names, values, strict=True))
        if not taken_as_they_are([given[name] for name in bound.names], bound.arrays):
            return None
        sizes = {**bound.sizes, BATCH: bound.sizes.get(BATCH, count)}
        targets = {label: (*shape, *[_length(n, sizes) for n in self.declared[label]]) for label in self.outputs}
        return quick_way(self.native, self.signature, sizes, given, self.dtypes, targets, single, tuple(targets))

    def _told(self, arrays: dict[str, Array]) -> dict[str, int]:
        """Sizes that are arguments themselves."""
        sizes = {}
        for name in self.signature.sizes:
            if name in arrays:
                value = arrays[name]
                if value.ndim or value != int(value) or value < 1:
                    raise ArgumentError(f"{name} is a size: its value must be one integer of at least 1, not {value}")
                sizes[name] = int(value)
        return sizes

    def _shaped(self, label: str, result: Array, shape: tuple[int, ...], sizes: dict[str, int]) -> Any:
        """The result in front of which the broadcast axes stand, and behind them the formula's own with their 1s."""
        own = tuple(_length(n, sizes) for n in self.declared[label])
        if not self.outputs[label].batched:
            result = np.broadcast_to(result.reshape(own), (*shape, *own)).copy() if shape else result
        shaped = result.reshape((*shape, *own))
        return shaped[()] if shaped.ndim == 0 else shaped

    def _demand_targets(self, out: list[Array], shapes: dict[str, tuple[int, ...]]) -> None:
        if len(out) != len(shapes):
            raise ArgumentError(f"out= must hold {len(shapes)} arrays, one for each expression, not {len(out)}")
        for array, wanted in zip(out, shapes.values(), strict=True):
            good = (
                isinstance(array, np.ndarray)
                and array.shape == wanted
                and array.dtype == np.dtype(self.signature.dtype)
            )
            if not good or not array.flags.carray:
                raise ArrayShapeError(
                    f"out= must be a C-contiguous writable array of shape {wanted} and dtype {self.signature.dtype}"
                )
        spans = sorted((a.__array_interface__["data"][0], a.nbytes) for a in out if a.nbytes)
        if any(start + size > following for (start, size), (following, _) in pairwise(spans)):
            raise ArgumentError("two arrays in out= share memory; each expression needs memory of its own")

    def _direct(
        self, out: list[Array], given: list[Array], shape: tuple[int, ...], sizes: dict[str, int]
    ) -> dict[str, Array]:
        """The arrays that the code itself may write to: none that it reads, and no broadcast ones."""
        found = {}
        for output, array in zip(self.native.program.outputs, out, strict=True):
            shared = any(np.may_share_memory(array, other) for other in given)
            if not shared and (self.outputs[output.name].batched or not shape):
                found[output.name] = array.reshape(self.native.shape(output, sizes))
        return found


def _length(node: Node, sizes: dict[str, int]) -> int:
    return polynomial(node).value(sizes)
