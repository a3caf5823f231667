"""Linear-algebra calls in generated code: against NumPy and closed forms; their adjoints against differences."""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest

from sympile.compiler.code.target import host
from sympile.compiler.errors import EnvironmentProblem, InternalError
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import (
    EXAMPLES,
    Definition,
    call,
    define,
    definitions,
    elementwise,
    input_tensor,
    read,
)
from sympile.compiler.graph.node import HALF, ZERO, Node, const, index, number, size
from sympile.compiler.graph.rebuild import function
from sympile.compiler.graph.reduce import total
from sympile.compiler.passes.assemble import assemble, polynomial
from sympile.compiler.passes.derive import gradient, jacobian
from sympile.compiler.passes.emitting import calls, room
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.factor import factor
from sympile.compiler.passes.schedule import schedule
from sympile.compiler.program import BATCH, Polynomial, Program
from sympile.compiler.rules.linalg import ADJOINTS, ROUTINES, SHARED, SOLVES, right_sides
from sympile.runtime.libraries import import_addresses
from sympile.runtime.load import Native, load

Array = npt.NDArray[Any]
N, M, B = size("n"), size("m"), size("b")
CANARY = 0x5CA1AB1E
EPS = {"float64": 2.2e-16, "float32": 1.2e-7}


# ------------------------------------------------------------------------------------------------ running definitions


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


# ------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("routine", SQUARE)
def test_of_a_square_matrix(routine: str, dtype: str) -> None:
    """One program for every order: the size is known at run time only, and the room is scratch memory."""
    for order in (*range(1, 41), 65, 130):
        matrix = of_unit_determinant(order, dtype)
        (got,), status = of_square(routine, dtype).run({"A": matrix}, n=order)
        assert status == 0
        close(got, NUMPY[routine](matrix), dtype, order)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 2, 3, 7, 32, 60, 70])
@pytest.mark.parametrize("routine", SQUARE)
def test_of_a_known_order(routine: str, order: int, dtype: str) -> None:
    """The room lies on the stack where it is small."""
    matrix = of_unit_determinant(order, dtype)
    (got,), status = of_square(routine, dtype, order).run({"A": matrix})
    assert status == 0
    close(got, NUMPY[routine](matrix), dtype, order)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [(EXAMPLES,), (B,), (EXAMPLES, B)], ids=["examples", "a size", "both"])
@pytest.mark.parametrize("routine", SQUARE)
def test_of_a_batch(routine: str, batch: tuple[Node, ...], dtype: str) -> None:
    lengths = {"examples": 5, "b": 3}
    shape = tuple(5 if axis is EXAMPLES else 3 for axis in batch)
    for order in (1, 4, 9):
        matrices = drawn(*shape, order, order).astype(dtype).astype(float)
        (got,), status = of_square(routine, dtype, N, *batch).run({"A": matrices}, n=order, **lengths)
        assert status == 0
        close(got, NUMPY[routine](matrices), dtype, 10 * order)


SYSTEMS = [
    #            matrix              right side           NumPy
    pytest.param((N, N),             (N,),                "ij,j->i",       id="vector"),
    pytest.param((N, N),             (N, M),              "ij,jk->ik",     id="matrix"),
    pytest.param((B, N, N),          (B, N),              "bij,bj->bi",    id="batch of vectors"),
    pytest.param((EXAMPLES, N, N),   (EXAMPLES, N, M),    "eij,ejk->eik",  id="examples of matrices"),
    pytest.param((N, N),             (EXAMPLES, N),       "ij,ej->ei",     id="one matrix, a vector per example"),
    pytest.param((N, N),             (EXAMPLES, N, M),    "ij,ejk->eik",   id="one matrix, a matrix per example"),
    pytest.param((EXAMPLES, EXAMPLES), (EXAMPLES,),       "ij,j->i",       id="one row per example"),
    pytest.param((EXAMPLES, EXAMPLES), (EXAMPLES, M),     "ij,jk->ik",     id="one row per example, columns"),
    pytest.param((3, 3),             (3,),                "ij,j->i",       id="known order"),
    pytest.param((3, 3),             (3, 4),              "ij,jk->ik",     id="all known"),
    pytest.param((3, 3),             (3, M),              "ij,jk->ik",     id="known order, columns not"),
]  # fmt: skip


def shape_of(axes: Sequence[Node | int], lengths: Mapping[Node, int]) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else lengths[axis] for axis in axes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("matrix", "right", "formula"), SYSTEMS)
def test_solve(matrix: tuple[Node | int, ...], right: tuple[Node | int, ...], formula: str, dtype: str) -> None:
    for n, m, b, examples in ((1, 1, 1, 1), (2, 5, 3, 4), (17, 3, 2, 6), (40, 50, 2, 40)):
        lengths = {N: n, M: m, B: b, EXAMPLES: examples}
        left, known = drawn(*shape_of(matrix, lengths)), plain(*shape_of(right, lengths), seed=2)
        (got,), status = of_system(dtype, matrix, right).run({"A": left, "b": known}, n=n, m=m, b=b, examples=examples)
        assert status == 0
        close(got, np.einsum(formula, np.linalg.inv(left), known), dtype, 10 * got.shape[-1] * left.shape[-1])


# ------------------------------------------------------------------------------------------------ far from 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("diagonal", "det", "log"),
    [
        pytest.param([1e30, 1e30, 1e-30, 1e-30], 1.0, 0.0, id="the product overflows on the way"),
        pytest.param([1e-30, 1e-30, 1e30, -1e30], -1.0, math.nan, id="the product vanishes on the way"),
        pytest.param([1e30] * 40, math.inf, 1200 * math.log(10), id="huge"),
        pytest.param([1e-30] * 40, 0.0, -1200 * math.log(10), id="tiny"),
        pytest.param([-1e30] * 41, -math.inf, math.nan, id="huge and negative"),
        pytest.param([2.0, 0.5], 1.0, 0.0, id="exactly 1"),
        pytest.param([math.inf, 1.0], math.inf, math.inf, id="inf"),
        pytest.param([-0.0, 1.0], 0.0, -math.inf, id="negative zero"),
    ],
)
def test_of_a_diagonal(diagonal: list[float], det: float, log: float, dtype: str) -> None:
    matrix = np.diag(diagonal)
    order = len(diagonal)
    results = {name: of_square(name, dtype).run({"A": matrix}, n=order)[0][0] for name in SQUARE if name != "inv"}
    np.testing.assert_allclose(results["det"], det, rtol=order * EPS[dtype])
    np.testing.assert_allclose(results["logdet"], log, rtol=order * EPS[dtype], atol=order * EPS[dtype])
    if not math.isnan(log):
        np.testing.assert_array_equal(results["logabsdet"], results["logdet"])


@pytest.mark.parametrize("diagonal", [[5e-324, 1e300, 1e23], [1e300, 5e-324, 1e23], [1e23, 1e300, 5e-324]])
def test_the_smallest_numbers_count(diagonal: list[float]) -> None:
    """A denormal pivot loses no digit, whatever stands before it."""
    matrix = np.diag(diagonal)
    (det,), _ = of_square("det", "float64").run({"A": matrix}, n=3)
    assert det == pytest.approx(float(mpmath.mpf(5e-324) * mpmath.mpf(1e300) * mpmath.mpf(1e23)), rel=1e-15)


@pytest.mark.parametrize("value", [1 + 2**-40, 1 - 2**-40, 1.0, 0.75, 1.4, 1e-5])
def test_log_of_a_determinant_near_1(value: float) -> None:
    """Nothing cancels: the error is of the last digit of the logarithm itself."""
    (got,), _ = of_square("logdet", "float64").run({"A": np.array([[value]])}, n=1)
    want = float(mpmath.log(mpmath.mpf(value)))
    assert abs(got - want) <= 2 * np.spacing(abs(want))


# ------------------------------------------------------------------------------------------------ singular, nan


SINGULAR = {
    "zero": np.zeros((1, 1)),
    "equal rows": np.array([[1.0, 2.0], [1.0, 2.0]]),
    "a row of zeros": np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [4.0, 5.0, 7.0]]),
    "a column of zeros": np.array([[1.0, 0.0, 3.0], [2.0, 0.0, 1.0], [4.0, 0.0, 7.0]]),
    "rank 1": np.outer([1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 2.0, 4.0]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("matrix", [pytest.param(m, id=name) for name, m in SINGULAR.items()])
def test_a_singular_matrix(matrix: Array, dtype: str) -> None:
    n = len(matrix)
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.inv(matrix)
    for name, want in (("det", 0.0), ("logdet", -math.inf), ("logabsdet", -math.inf)):
        (got,), status = of_square(name, dtype).run({"A": matrix}, n=n)
        assert (got == want, status) == (True, 0), (name, got, status)
    (inverse,), status = of_square("inv", dtype).run({"A": matrix}, n=n)
    assert status == 1 and np.isnan(inverse).all()
    (solution,), status = of_system(dtype, (N, N), (N, M)).run({"A": matrix, "b": np.ones((n, 3))}, n=n, m=3)
    assert status == 1 and np.isnan(solution).all()


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param([[math.nan]], id="only"),
        pytest.param([[math.nan, 0.0], [0.0, 0.0]], id="zeros beside it"),
        pytest.param([[1.0, math.nan], [1.0, 1.0]], id="above"),
        pytest.param([[1.0, 2.0], [math.nan, 1.0]], id="below"),
        pytest.param([[0.0, 0.0, 0.0], [0.0, math.nan, 0.0], [0.0, 0.0, 1.0]], id="in the middle"),
        pytest.param([[1.0, 0.0, 0.0], [0.0, 0.0, math.nan], [0.0, 0.0, 1.0]], id="hidden behind a zero"),
    ],
)
def test_a_nan_shows(matrix: list[list[float]]) -> None:
    """A nan gives nan, and is no singular matrix."""
    n = len(matrix)
    for name in SQUARE:
        (got,), status = of_square(name, "float64").run({"A": np.array(matrix)}, n=n)
        assert np.isnan(got).any() and status == 0, (name, got, status)
    (got,), status = of_system("float64", (N, N), (N,)).run({"A": np.array(matrix), "b": np.ones(n)}, n=n)
    assert np.isnan(got).any() and status == 0


def test_every_small_matrix_with_a_nan() -> None:
    """Wherever the search for a pivot may pass over it."""
    matrices = np.array(list(itertools.product((0.0, 1.0, math.nan), repeat=9))).reshape(-1, 3, 3)
    matrices = matrices[np.isnan(matrices).any((1, 2))]
    for name in SQUARE:
        (got,), status = of_square(name, "float64", N, B).run({"A": matrices}, n=3, b=len(matrices))
        assert status == 0
        assert np.isnan(got).reshape(len(matrices), -1).any(1).all(), name


def test_one_singular_matrix_of_a_batch() -> None:
    """The others come out."""
    matrices = drawn(4, 3, 3)
    matrices[2] = 0
    (got,), status = of_square("inv", "float64", N, B).run({"A": matrices}, n=3, b=4)
    assert status == 1
    np.testing.assert_array_equal(np.isnan(got).all((1, 2)), [False, False, True, False])
    close(got[[0, 1, 3]], np.linalg.inv(matrices[[0, 1, 3]]), "float64", 3)


def test_the_status_numbers_the_call() -> None:
    first, second = given("A", N, N), given("C", N, N)
    ready = compiled([called("inv", first), called("det", first), called("inv", second)])
    regular, singular = np.eye(2), np.zeros((2, 2))
    for values, want in (((regular, regular), None), ((singular, regular), "A"), ((regular, singular), "C")):
        _, status = ready.run(dict(zip("AC", values, strict=True)), n=2)
        assert (ready.program.calls[status - 1] if status else None) == want


# ------------------------------------------------------------------------------------------------ room, threads


@pytest.mark.parametrize(
    ("matrix", "right", "known"),
    [
        pytest.param((3, 3), (3,), True, id="a small system"),
        pytest.param((3, 3), (3, M), False, id="any number of columns"),
        pytest.param((N, N), (N,), False, id="any order"),
        pytest.param((500, 500), (500,), False, id="too large for the stack"),
    ],
)
def test_small_calls_need_no_scratch(matrix: Any, right: Any, known: bool) -> None:
    words = calls.scratch_words(called("solve", given("A", *matrix), given("b", *right)))
    assert (words is ZERO) == known
    if words.op == "const" and not known:
        assert number(words) >= 500 * 501


def test_threads_do_not_disturb_each_other() -> None:
    ready, matrix = of_square("inv", "float64", 20), drawn(20, 20)
    want = ready.run({"A": matrix})[0][0].tobytes()
    wrong: list[int] = []

    def work() -> None:
        for turn in range(200):
            if ready.run({"A": matrix})[0][0].tobytes() != want:
                wrong.append(turn)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_addresses_of_routines() -> None:
    addresses = import_addresses(calls.IMPORTS)
    assert set(addresses) == set(calls.IMPORTS)
    assert len(set(addresses.values())) == len(addresses)
    dgetrf = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 6)(addresses["lapack_dgetrf"])
    matrix, order, pivots, info = np.full((1, 1), 7.0), *(np.full(1, k, np.int32) for k in (1, 0, 9))
    dgetrf(*[a.ctypes.data for a in (order, order, matrix, order, pivots, info)])
    assert (pivots[0], info[0], matrix[0, 0]) == (1, 0, 7.0)


def test_a_missing_routine_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="no LAPACK routine dnothing"):
        import_addresses(["lapack_dnothing"])


# ------------------------------------------------------------------------------------------------ shared factors


def transposed(matrix: Definition) -> Definition:
    *batch, i, j = matrix.axes
    return elementwise((*batch, j, i), read(matrix, *matrix.axes))


def everything(matrix: Definition, right: Definition) -> list[Definition]:
    """Every routine of one matrix, and those of its transpose that are calls of the same factors."""
    turned = transposed(matrix)
    return [
        *[called(name, matrix) for name in SQUARE],
        called("solve", matrix, right),
        called("solve", turned, right),
        called("solve", transposed(turned), right),
        called("det", turned),
        called("inv", turned),
    ]


def factored(outputs: list[Definition]) -> list[Definition]:
    new = factor(outputs)
    return [new[o] for o in outputs]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [pytest.param(N, id="any order"), pytest.param(5, id="known order")])
@pytest.mark.parametrize("batch", [(), (EXAMPLES,), (B,)], ids=["one", "examples", "a size"])
@pytest.mark.parametrize("columns", [(), (M,)], ids=["vector", "matrix"])
def test_one_factorisation_for_all(
    batch: tuple[Node, ...], order: Node | int, columns: tuple[Node, ...], dtype: str
) -> None:
    outputs = factored(everything(given("A", *batch, order, order), given("b", *batch, order, *columns)))
    assert [t.routine for t in definitions(outputs) if t.kind == "call"].count("lu") == 1
    ready = compiled(outputs, dtype)
    assert ready.program.code.text.count(f"call void @lapack_{'d' if dtype == 'float64' else 's'}getrf") == 1
    front, back = (3,) * len(batch), (4,) * len(columns)
    matrices, right = drawn(*front, 5, 5).astype(dtype), plain(*front, 5, *back)
    got, status = ready.run({"A": matrices, "b": right}, n=5, m=4, b=3, examples=3)
    assert status == 0
    wide = matrices.astype(float)
    sides = right if columns else right[..., None]
    solutions = [np.linalg.solve(m, sides).reshape(right.shape) for m in (wide, np.swapaxes(wide, -1, -2), wide)]
    inverse = np.swapaxes(np.linalg.inv(wide), -1, -2)
    wanted = [*[NUMPY[name](wide) for name in SQUARE], *solutions, np.linalg.det(wide), inverse]
    for result, want in zip(got, wanted, strict=True):
        close(result, want, dtype, 50)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("matrix", "number"),
    [
        pytest.param(SINGULAR["equal rows"], 1, id="equal rows"),
        pytest.param(SINGULAR["rank 1"], 1, id="rank 1"),
        pytest.param(np.array([[1.0, math.nan], [1.0, 1.0]]), 0, id="nan"),
    ],
)
def test_singular_with_shared_factors(matrix: Array, number: int, dtype: str) -> None:
    n = len(matrix)
    outputs = factored(everything(given("A", N, N), given("b", N)))
    ready = compiled(outputs, dtype)
    got, status = ready.run({"A": matrix, "b": np.ones(n)}, n=n)
    assert bool(status) == bool(number)
    for tensor, result in zip(outputs, got, strict=True):
        want = {"det": 0.0, "logdet": -math.inf, "logabsdet": -math.inf}.get(tensor.routine) if number else None
        want = math.nan if want is None else want
        np.testing.assert_array_equal(result, np.full(result.shape, want), err_msg=tensor.routine)


def test_a_single_call_keeps_its_factors_to_itself() -> None:
    matrix, right = given("A", 3, 3), given("b", 3)
    (alone,) = factored([called("solve", matrix, right)])
    assert alone is called("solve", matrix, right)
    (turned,) = factored([called("solve", transposed(matrix), right)])
    assert (turned.routine, turned.operands) == ("solve_transposed", (matrix, right))
    point, known = drawn(3, 3), plain(3)
    (got,), _ = compiled([turned]).run({"A": point, "b": known})
    close(got, np.linalg.solve(point.T, known), "float64", 3)


def test_shared_factors_below_formulas() -> None:
    """The gradient of y' K⁻¹ y + log |det K|, K = exp(L) not symmetric: calls as operands of formulas."""
    exponents, known = given("L", 4, 4), given("y", 4)
    matrix = elementwise(exponents.axes, function("exp", read(exponents, *exponents.axes)))
    quadratic = weighted(called("solve", matrix, known), known)
    loss = elementwise((), add(read(quadratic), read(called("logabsdet", matrix))))
    slopes = gradient(loss, [exponents], {})
    outputs = factored([loss, *slopes.values()])
    routines = sorted(t.routine for t in definitions(outputs) if t.kind == "call")
    assert routines == ["inv", "logabsdet", "lu", "solve", "solve_transposed"]
    values = {"L": plain(4, 4, seed=3), "y": np.arange(1.0, 5.0)}
    got, _ = compiled(outputs).run(values)
    want = differences(functools.partial(loss_at, compiled([loss]), values, "L"), values["L"])
    np.testing.assert_allclose(got[1], want, rtol=1e-6, atol=1e-7 * np.abs(want).max())


# ------------------------------------------------------------------------------------------------ tables


def test_every_routine_has_all_its_rows() -> None:
    assert set(ROUTINES) == set(ADJOINTS) == set(NUMPY)
    assert set(ROUTINES) | SHARED == set(calls._WRITERS) == set(room.NEEDS)
    assert set(calls.TRANS) == SOLVES


def test_an_unknown_routine_is_an_error() -> None:
    with pytest.raises(InternalError, match="eigen"):
        compiled([call("eigen", [given("A", 2, 2)], [const(2), const(2)])])


# ------------------------------------------------------------------------------------------------ adjoints


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


GRADIENTS = [
    *[pytest.param(name, ((4, 4),), id=name) for name in SQUARE],
    *[pytest.param(name, ((EXAMPLES, 3, 3),), id=f"{name} of a batch") for name in SQUARE],
    pytest.param("solve", ((4, 4), (4,)), id="solve"),
    pytest.param("solve", ((4, 4), (4, 2)), id="solve, matrix"),
    pytest.param("solve", ((EXAMPLES, 3, 3), (EXAMPLES, 3)), id="solve, examples"),
    pytest.param("solve", ((EXAMPLES, 3, 3), (EXAMPLES, 3, 2)), id="solve, examples of matrices"),
    pytest.param("solve", ((3, 3), (EXAMPLES, 3)), id="solve, one matrix for all examples"),
    pytest.param("solve", ((3, 3), (EXAMPLES, 3, 2)), id="solve, one matrix for all examples of matrices"),
]


@pytest.mark.parametrize(("routine", "shapes"), GRADIENTS)
def test_gradients(routine: str, shapes: tuple[tuple[Node | int, ...], ...]) -> None:
    operands = [given(name, *shape) for name, shape in zip("Ab", shapes, strict=False)]
    result = called(routine, *operands)
    loss = weighted(result, input_tensor("w", result.shape))
    slopes = gradient(loss, operands, {})
    ready, alone = compiled([slopes[o] for o in operands]), compiled([loss])
    lengths = {EXAMPLES: 2}
    values = {o.name: plain(*shape_of(shape, lengths), seed=8) for o, shape in zip(operands, shapes, strict=True)}
    values["A"] = positive(drawn(*values["A"].shape, seed=8))
    values["w"] = plain(*[2 if n is EXAMPLES else int(number(n)) for n in result.shape], seed=4)
    got, status = ready.run(values, examples=2)
    assert status == 0
    for operand, slope in zip(operands, got, strict=True):
        want = differences(functools.partial(loss_at, alone, values, operand.name), values[operand.name])
        assert np.abs(want).max() > 1e-3
        np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-7 * np.abs(want).max())


def test_second_derivatives_of_log_det() -> None:
    """d² log det A / dA[i, j] dA[k, l] = -inv(A)[l, i] inv(A)[j, k]."""
    matrix = given("A", 3, 3)
    first = gradient(called("logdet", matrix), [matrix], {})[matrix]
    second = jacobian(first, [matrix], {})[matrix]
    point = drawn(3, 3, seed=5)
    (got,), _ = compiled([second]).run({"A": point})
    inverse = np.linalg.inv(point)
    np.testing.assert_allclose(got, -np.einsum("li,jk->ijkl", inverse, inverse), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("routine", [*SQUARE, "solve"])
def test_second_derivatives(routine: str) -> None:
    """The Hessian of a weighted sum of results: differences of its gradient."""
    matrix, known = given("A", 3, 3), given("b", 3)
    result = called(routine, matrix, known) if routine == "solve" else called(routine, matrix)
    first = gradient(weighted(result, input_tensor("w", result.shape)), [matrix], {})[matrix]
    slope, hessian = compiled([first]), compiled([jacobian(first, [matrix], {})[matrix]])
    values = {"A": positive(drawn(3, 3, seed=7)), "b": plain(3), "w": plain(*[3] * len(result.shape), seed=1)}
    values = {t.name: values[t.name] for t in definitions([first]) if t.kind == "input"}
    (got,), _ = hessian.run(values)
    for place in np.ndindex(3, 3):
        up, down = (values | {"A": values["A"] + step * unit(place)} for step in (1e-5, -1e-5))
        want = (slope.run(up)[0][0] - slope.run(down)[0][0]) / 2e-5
        np.testing.assert_allclose(got[(..., *place)], want, rtol=1e-5, atol=1e-6 * np.abs(got).max())


def unit(place: tuple[int, ...]) -> Array:
    result = np.zeros((3, 3))
    result[place] = 1
    return result


@pytest.mark.parametrize("right", [pytest.param((3,), id="vector"), pytest.param((3, 2), id="matrix")])
def test_jacobian_of_a_solution(right: tuple[int, ...]) -> None:
    """d x / d b is the inverse, whatever else b has beside its rows."""
    matrix, known = given("A", 3, 3), given("b", *right)
    slope = jacobian(called("solve", matrix, known), [known], {})[known]
    point = drawn(3, 3, seed=5)
    (got,), _ = compiled([slope]).run({"A": point, "b": np.ones(right)})
    want = np.einsum("ij,kl->ikjl", np.linalg.inv(point), np.eye(math.prod(right[1:]))).reshape(right + right)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_a_symmetric_system_is_solved_once() -> None:
    """y' K⁻¹ y with K = L L' + I: the adjoint's solve is that of the formula itself."""
    factor, known = given("L", 4, 4), given("y", 4)
    i, j, k = (index(const(4)) for _ in range(3))
    gram = define((i, j), (k,), "sum", mul(read(factor, i, k), read(factor, j, k)))
    solution = called("solve", gram, known)
    loss = weighted(solution, known)
    slopes = gradient(loss, [factor, known], {})
    solves = [t for t in definitions([loss, *slopes.values()]) if t.kind == "call"]
    assert solves == [solution]
    values = {"L": drawn(4, 4, seed=6), "y": np.arange(1.0, 5.0)}
    got, _ = compiled(list(slopes.values())).run(values)
    for name, slope in zip("Ly", got, strict=True):
        want = differences(functools.partial(loss_at, compiled([loss]), values, name), values[name])
        np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-8)


def test_the_axes_of_right_sides() -> None:
    sides = right_sides(called("solve", given("A", N, N), given("b", EXAMPLES, N, M)))
    assert (sides.batch, sides.shared, sides.columns) == (0, EXAMPLES, M)
    sides = right_sides(called("solve", given("A", EXAMPLES, N, N), given("b", EXAMPLES, N)))
    assert (sides.batch, sides.shared, sides.columns) == (1, None, None)


@pytest.mark.parametrize(("scale", "solves"), [(HALF, 1), (const(-4), 1), (const(Fraction(1, 3)), 2)])
@pytest.mark.parametrize("turned", [False, True])
def test_right_sides_that_differ_by_a_power_of_two_are_solved_once(scale: Node, solves: int, turned: bool) -> None:
    """A⁻¹ (b/2) has the bits of half of A⁻¹ b; of a third of b it has not."""
    i = index(const(4))
    matrix, right = given("A", 4, 4), given("b", 4)
    matrix = transposed(matrix) if turned else matrix
    whole = called("solve", matrix, right)
    part = called("solve", matrix, define((i,), (), None, mul(scale, read(right, i))))
    outputs = factored([whole, part])
    found = {t for t in definitions(outputs) if t.kind == "call" and t.routine.startswith("solve")}
    assert len(found) == solves
    A, b = np.random.default_rng(0).normal(size=(4, 4)), np.random.default_rng(1).normal(size=4)
    (got, scaled), _ = compiled([whole, part]).run({"A": A, "b": b})
    np.testing.assert_allclose(got, np.linalg.solve(A.T if turned else A, b), rtol=1e-12)
    np.testing.assert_allclose(scaled, float(number(scale)) * got, rtol=1e-14)
