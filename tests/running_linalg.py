"""Calls of linear algebra, compiled and run on arrays: drawn matrices, and what NumPy and differences say of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.code.target import host
from sympile.compiler.graph.arithmetic import mul
from sympile.compiler.graph.definition import Definition, call, definitions, elementwise, input_tensor, read
from sympile.compiler.graph.node import Node, const, size
from sympile.compiler.graph.reduce import total
from sympile.compiler.passes.assemble import assemble, polynomial
from sympile.compiler.passes.emitting import calls
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.factor import factor
from sympile.compiler.passes.schedule import schedule
from sympile.compiler.program import BATCH, Polynomial, Program
from sympile.compiler.rules.linalg import ROUTINES
from sympile.runtime.load import Native, load

Array = npt.NDArray[Any]
N, M, B = size("n"), size("m"), size("b")
CANARY = 0x5CA1AB1E
EPS = {"float64": 2.2e-16, "float32": 1.2e-7}


@dataclass(frozen=True, slots=True)
class Ready:
    """A compiled program, and how to run it on arrays."""

    program: Program
    native: Native
    words: tuple[Polynomial, ...]

    def run(self, values: Mapping[str, Array], **sizes: int) -> tuple[list[Array], int]:
        """The outputs in order, and the status."""
        program, known = self.program, {BATCH: sizes.pop("examples", 1), **sizes}
        words = max((p.value(known) for p in self.words), default=0)
        scratch = np.full(words + 8, CANARY, np.uint64)
        status = np.zeros(1, np.int32)
        arrays = {array.name: np.ascontiguousarray(values[array.name], program.dtype) for array in program.inputs}
        for array in (*program.work, *program.outputs):
            arrays[f"{array.slot}"] = np.full([p.value(known) for p in array.shape], 123.0, program.dtype)
        table = np.zeros(program.length, np.uint64)
        for array in program.inputs:
            table[array.slot] = arrays[array.name].ctypes.data
        for array in (*program.work, *program.outputs):
            table[array.slot] = arrays[f"{array.slot}"].ctypes.data
        for name, slot in program.sizes.items():
            table[slot] = known[name]
        table[program.status], table[program.scratch] = status.ctypes.data, scratch.ctypes.data
        self.native.call(table.ctypes.data)
        assert (scratch[words:] == CANARY).all(), "written behind the scratch memory"
        return [arrays[f"{array.slot}"] for array in program.outputs], int(status[0])


def compiled(outputs: Sequence[Definition], dtype: str = "float64") -> Ready:
    target = host()
    fused = fuse(list(outputs))
    loops = schedule(fused, target.core("double" if dtype == "float64" else "float"))
    inputs = [t for t in definitions(outputs) if t.kind == "input"]
    program = assemble({str(k): t for k, t in enumerate(outputs)}, inputs, fused, loops, dtype, target)
    words = tuple(polynomial(calls.scratch_words(t)) for t in fused.stored if t.kind == "call")
    return Ready(program, load(program.code), words)


def given(name: str, *shape: Node | int) -> Definition:
    return input_tensor(name, [const(s) if isinstance(s, int) else s for s in shape])


def called(routine: str, *operands: Definition) -> Definition:
    """A routine with the shape that its operands give it."""
    matrix = operands[0]
    shape = {"inv": matrix.shape, "solve": operands[-1].shape}.get(routine, matrix.shape[:-2])
    return call(routine, operands, shape)


@functools.cache
def of_square(routine: str, dtype: str, order: Node | int = N, *batch: Node) -> Ready:
    return compiled([called(routine, given("A", *batch, order, order))], dtype)


@functools.cache
def of_system(dtype: str, matrix: tuple[Node | int, ...], right: tuple[Node | int, ...]) -> Ready:
    return compiled([called("solve", given("A", *matrix), given("b", *right))], dtype)


def drawn(*shape: int, seed: int = 0) -> Array:
    """Well-conditioned matrices with determinants of both signs: row exchanges are needed."""
    exchanged = np.argsort(plain(*shape[:-1], seed=seed + 100), axis=-1)
    return 3 * np.eye(shape[-1])[exchanged] + plain(*shape, seed=seed) / math.sqrt(shape[-1])


def plain(*shape: int, seed: int = 0) -> Array:
    """Normal numbers."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def of_unit_determinant(order: int, dtype: str) -> Array:
    """A matrix whose determinant is about 1 or -1, exact in the given dtype."""
    matrix = drawn(order, order)
    matrix /= abs(np.linalg.det(matrix)) ** (1 / order)
    return np.asarray(matrix.astype(dtype).astype(float))


def log_of(values: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.log(values))


NUMPY: Mapping[str, Callable[..., Any]] = {
    "inv": np.linalg.inv,
    "solve": np.linalg.solve,
    "det": np.linalg.det,
    "logdet": lambda a: np.linalg.slogdet(a)[1] + log_of(np.linalg.slogdet(a)[0]) * 1.0,
    "logabsdet": lambda a: np.linalg.slogdet(a)[1],
}
SQUARE = [name for name in ROUTINES if name != "solve"]
DTYPES = ["float64", "float32"]


def close(got: Array, want: Array, dtype: str, order: int) -> None:
    """Norm-wise, as linear algebra promises."""
    scale = np.max(np.abs(want), initial=1.0, where=~np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=0, atol=100 * order * EPS[dtype] * scale, equal_nan=True)


def shape_of(axes: Sequence[Node | int], lengths: Mapping[Node, int]) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else lengths[axis] for axis in axes)


def weighted(result: Definition, weights: Definition) -> Definition:
    """sum of result * weights, a scalar to differentiate."""
    return elementwise((), total(list(result.axes), mul(read(result, *result.axes), read(weights, *result.axes))))


def loss_at(loss: Ready, values: Mapping[str, Array], name: str, moved: Array) -> float:
    """The loss with another value of one input."""
    return float(loss.run({**values, name: moved}, examples=2)[0][0])


def differences(value: Callable[[Array], float], at: Array, step: float = 1e-5) -> Array:
    """Central differences, each with an error of step²."""
    result = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[place] += step
        down[place] -= step
        result[place] = (value(up) - value(down)) / (2 * step)
    return result


def positive(matrices: Array) -> Array:
    """The first row turned where the determinant is negative, whose logarithm has no slope."""
    result = matrices.copy()
    result[..., 0, :] *= np.sign(np.linalg.det(matrices))[..., None]
    return result


def transposed(matrix: Definition) -> Definition:
    *batch, i, j = matrix.axes
    return elementwise((*batch, j, i), read(matrix, *matrix.axes))


def factored(outputs: list[Definition]) -> list[Definition]:
    new = factor(outputs)
    return [new[o] for o in outputs]


SINGULAR = {
    "zero": np.zeros((1, 1)),
    "equal rows": np.array([[1.0, 2.0], [1.0, 2.0]]),
    "a row of zeros": np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [4.0, 5.0, 7.0]]),
    "a column of zeros": np.array([[1.0, 0.0, 3.0], [2.0, 0.0, 1.0], [4.0, 0.0, 7.0]]),
    "rank 1": np.outer([1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 2.0, 4.0]),
}
