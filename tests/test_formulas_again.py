"""Formulas handed on: what is shown is what runs, in `lambdify`, `compile`, `grad` and their relatives."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from truth import complex_step

import sympile as sm
from sympile.compiler.errors import DuplicateName, MissingValue, ShapeError
from sympile.compiler.graph.definition import definitions
from sympile.compiler.graph.inline import core
from sympile.compiler.graph.transfer import Transfer
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.pipeline import Request, analyse

RNG = np.random.default_rng(5)
x, y, s = sp.symbols("x y s")
n, m = sp.symbols("n m")
i, j, k = sm.indices("i j k")
A, B, b = sp.MatrixSymbol("A", n, n), sp.MatrixSymbol("B", n, m), sp.MatrixSymbol("b", n, 1)
A3, B3 = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("B", 3, 3)
X, w = sp.MatrixSymbol("X", n, m), sp.MatrixSymbol("w", m, 1)
u, v, filt = sp.IndexedBase("u", shape=(n,)), sp.IndexedBase("v", shape=(n, m)), sp.IndexedBase("f", shape=(3,))
ENTRY = sp.matrices.expressions.matexpr.MatrixElement

# The leading axes of each argument; every one is tried.
LEADING = [((), ()), ((4,), ()), ((), (4,)), ((2, 4), (4,)), ((2, 1), (1, 4))]


def drawn(lead: tuple[int, ...], own: tuple[int, ...]) -> Any:
    return RNG.uniform(0.3, 1.2, (*lead, *own)) + (3 * np.eye(3) if own == (3, 3) else 0)


def transposed(a: Any) -> Any:
    return np.swapaxes(a, -1, -2)


inv = np.linalg.inv

# fmt: off
BATCHED = [
    #            formula, its arguments with their shapes, the value in NumPy
    pytest.param(lambda: sm.grad(x**2 * sp.sin(y), x), (x, ()), (y, ()),
                 lambda p, q: 2 * p * np.sin(q), id="scalars"),
    pytest.param(lambda: sm.grad(sm.scalar(b.T * A.I * b), A), (A, (3, 3)), (b, (3, 1)),
                 lambda a, c: -transposed(inv(a)) @ c @ transposed(c) @ transposed(inv(a)), id="a solve of the transpose"),
    pytest.param(lambda: sm.grad(sm.scalar(b.T * A.I * b), b), (A, (3, 3)), (b, (3, 1)),
                 lambda a, c: (inv(a) + transposed(inv(a))) @ c, id="solves"),
    pytest.param(lambda: sm.grad(s * sp.log(sp.Determinant(A)), A), (A, (3, 3)), (s, ()),
                 lambda a, c: transposed(inv(a)) * np.asarray(c)[..., None, None], id="a scalar before an inverse"),
    pytest.param(lambda: sm.jacobian(A * b, b), (A, (3, 3)), (b, (3, 1)),
                 lambda a, c: np.broadcast_to(a, (*np.broadcast_shapes(a.shape[:-2], c.shape[:-2]), 3, 3)), id="a matrix as it is"),
    pytest.param(lambda: sm.hvp(sp.Sum(u[i]**3 * s, (i, 0, n - 1)), u, sp.IndexedBase("d", shape=(n,))),
                 (u, (3,)), (sp.IndexedBase("d", shape=(n,)), (3,)), None, id="a missing argument"),
    pytest.param(lambda: sm.grad(sp.Sum(sm.LogSumExp(v[i, j], (j, 0, m - 1)) * u[i], (i, 0, n - 1)), v), (u, (3,)), (v, (3, 2)),
                 lambda p, q: p[..., None] * np.exp(q) / np.exp(q).sum(-1, keepdims=True), id="a reduction that is no sum"),
    pytest.param(lambda: sm.grad(sm.scalar(b.T * (x * A).I * b), x), (x, ()), (b, (3, 1)), None, id="a missing matrix"),
    pytest.param(lambda: sm.compile((w.T * X.T)[0, 0] * s + (x - y)**2, parameters=[x]).gradient[x], (x, ()), (y, ()),
                 lambda p, q: 2 * (p - q), id="a model's gradient of one example"),
]
# fmt: on


@pytest.mark.parametrize(("make", "one", "other", "value"), BATCHED)
@pytest.mark.parametrize("leading", LEADING, ids=str)
def test_leading_axes(make: Callable[[], Any], one: Any, other: Any, value: Any, leading: Any) -> None:
    """Arguments with and without axes in front: each formula gets the example axis where its inputs have it."""
    symbols = [one[0], other[0]]
    if value is None:
        with pytest.raises(MissingValue):
            sm.lambdify(symbols, make())
        return
    arrays = [drawn(lead, own) for lead, (_, own) in zip(leading, (one, other), strict=True)]
    found = sm.lambdify(symbols, make())(*arrays)
    expected = np.asarray(value(*arrays))
    assert np.shape(found) == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


# ------------------------------------------------------------------------------------------------ awkward ones

VALUES = {
    "A": drawn((), (3, 3)), "B": drawn((), (3, 3)), "b": drawn((), (3, 1)), "u": drawn((), (6,)), "f": drawn((), (3,)), "x": 0.7,
}  # fmt: skip


def windows(p: Mapping[str, Any]) -> Any:
    return np.array([(p["u"][q : q + 3] * p["f"]).sum() for q in range(4)])


convolved = sp.Sum(u[i + k] * filt[k], (k, 0, 2))

# fmt: off
AWKWARD = [
    #            loss, by what, the loss in NumPy
    pytest.param(sp.Trace(A3[:2, :2] * A3[1:, 1:]**2), A3, lambda p: np.trace(p["A"][:2, :2] @ p["A"][1:, 1:] @ p["A"][1:, 1:]), id="slices of one matrix"),
    pytest.param(sp.Trace(A[1:, :] * A[:-1, :].T), A, lambda p: np.trace(p["A"][1:] @ p["A"][:-1].T), id="slices of any size"),
    pytest.param(sp.Sum(sp.log(1 + convolved**2), (i, 0, n - 3)), u, lambda p: np.log(1 + windows(p)**2).sum(), id="guards on positions in nested sums"),
    pytest.param(sp.Sum(convolved**2, (i, 0, n - 3)), filt, lambda p: (windows(p)**2).sum(), id="a filter"),
    pytest.param(sp.Trace(A3[:2, :2] * B3[1:, 1:]), A3, lambda p: np.trace(p["A"][:2, :2] @ p["B"][1:, 1:]), id="two shifted slices"),
    pytest.param(sp.Trace(A3[:2, :2]), A3, lambda p: np.trace(p["A"][:2, :2]), id="the trace of a slice"),
    pytest.param(ENTRY(A.I, 1, 0), A, lambda p: inv(p["A"])[1, 0], id="one entry of an inverse"),
    pytest.param(ENTRY(A3.I, 1, 0), A3, lambda p: inv(p["A"])[1, 0], id="one entry of an inverse, sizes known"),
    pytest.param(ENTRY(sm.tanh(A.I * A.T), 1, 0), A, lambda p: np.tanh(inv(p["A"]) @ p["A"].T)[1, 0], id="a function of an entry"),
    pytest.param(ENTRY(sp.HadamardProduct(A.I, A * A), 1, 0), A, lambda p: (inv(p["A"]) * (p["A"] @ p["A"]))[1, 0], id="an entry of ∘"),
    pytest.param((A.I * b)[1, 0] * (A.I * b)[0, 0], A, lambda p: np.prod((inv(p["A"]) @ p["b"])[:2]), id="two sums over Dummies of one name"),
]
# fmt: on


# Read again, an inner sum stands apart from the guard around it, and its positions run outside: an error says so.
REFUSED = [row.values[0] for row in AWKWARD if row.id in ("slices of one matrix", "guards on positions in nested sums", "a filter")]


@pytest.mark.parametrize(("loss", "wrt", "value"), AWKWARD)
def test_awkward_formulas(loss: Any, wrt: Any, value: Callable[[Mapping[str, Any]], Any]) -> None:
    """Shown at all, right as a formula, and right from what is shown."""
    formula = sm.grad(loss, wrt)
    names = sorted(t.name for t in definitions([formula.definition]) if t.kind == "input")
    known = {"A": A3 if loss.has(A3) else A, "B": B3, "b": b, "u": u, "f": filt, "x": x}
    expected = complex_step(value, VALUES, str(getattr(wrt, "label", wrt)))
    for form in (formula, formula.expanded()) if loss not in REFUSED else (formula,):
        found = sm.lambdify([known[name] for name in names], form)(*[VALUES[name] for name in names])
        np.testing.assert_allclose(np.reshape(found, expected.shape), expected, rtol=1e-11, atol=1e-12)
    assert "_i_1" not in str(formula)


# Sums of a shorter range under a guard, and functions at a fixed position: the same numbers, another core.
OTHERWISE = {"slices of one matrix", "guards on positions in nested sums", "a function of an entry", "two sums over Dummies of one name"}
# fmt: off
THERE_AND_BACK = [
    *[pytest.param(*row.values[:2], id=row.id) for row in AWKWARD if row.id not in OTHERWISE],
    pytest.param(sm.scalar(b.T * A.I * b), A, id="solves, by the matrix"),
    pytest.param(sm.scalar(b.T * A.I * b), b, id="solves, by the vector"),
    pytest.param(sp.Trace(A3.I * B3), A3, id="a solve with a matrix"),
    pytest.param(sp.Trace((A3.T).I * B3 * A3.I), A3, id="the inverse of a transpose"),
]
# fmt: on


def written_again(formula: Any) -> Any:
    given = formula.scope
    scope = Scope(parameters=given.parameters, constants=given.constants, batched=given.batched)
    return read_all({"gradient": formula.expanded()}, scope)["gradient"].tensor


@pytest.mark.parametrize(("loss", "wrt"), THERE_AND_BACK)
def test_way_back(loss: Any, wrt: Any) -> None:
    """What is shown is the definition, also where an inverse was computed as a solve, or a sum is read at one place."""
    formula = sm.grad(loss, wrt)
    assert core([written_again(formula)]) == core([formula.definition]), str(formula)


def test_the_way_back_of_a_solve_can_fail() -> None:
    one, other = (sm.grad(sm.scalar(b.T * matrix.I * b), b) for matrix in (A, 2 * A))
    assert core([written_again(one)]) != core([other.definition])


def test_a_hessian_of_scalars_through_an_inverse_is_shown() -> None:
    hessian = sm.hessian(sm.scalar(b.T * (x * A + y * sp.Identity(n)).I * b), [x, y])
    assert str(hessian).count("inv(x*A + y*I)") >= 4 and "Sum" not in str(hessian)
    a, c = VALUES["A"], VALUES["b"]
    found = sm.lambdify([x, y, A, b], hessian)(0.7, 2.0, a, c)
    inverse = inv(0.7 * a + 2.0 * np.eye(3))
    mixed = (c.T @ inverse @ (a @ inverse + inverse @ a) @ inverse @ c).item()
    twice = 2 * (c.T @ inverse @ a @ inverse @ a @ inverse @ c).item(), 2 * (c.T @ inverse @ inverse @ inverse @ c).item()
    np.testing.assert_allclose(found, [[twice[0], mixed], [mixed, twice[1]]], rtol=1e-11)


# ------------------------------------------------------------------------------------------------ handing on


def test_gradients_of_gradients() -> None:
    """Derived again from the definition, four times; mpmath agrees."""
    formula = sm.grad(sp.exp(x * y) * sp.sin(x), x)
    for _ in range(3):
        formula = sm.grad(formula, x)
    want = mpmath.diff(lambda t: mpmath.exp(t * 1.3) * mpmath.sin(t), 0.4, 4)
    assert sm.lambdify([x, y], formula)(0.4, 1.3) == pytest.approx(float(want), rel=1e-12)


def test_a_formula_is_a_loss() -> None:
    """The square of a slope as a model: its gradient is one more derivative."""
    slope = sm.grad(sp.sin(x * y), x)
    model = sm.compile(slope, parameters=[x], prediction=slope, metrics={"slope": slope})
    data = RNG.normal(size=7)
    assert model.forward({"x": 0.5, "y": data}) == pytest.approx(np.mean(data * np.cos(0.5 * data)), rel=1e-13)
    assert model.backward({"x": 0.5, "y": data})["x"] == pytest.approx(np.mean(-(data**2) * np.sin(0.5 * data)), rel=1e-13)
    np.testing.assert_allclose(model.predict({"x": 0.5, "y": data}), data * np.cos(0.5 * data), rtol=1e-13)


def test_a_formula_over_a_whole_matrix_is_a_loss() -> None:
    """examples=n: the size n of the formula becomes the number of examples, and known sizes their numbers."""
    slope = sm.grad(sm.scalar((X * w - b).T * (X * w - b)) / n, w)
    loss = sm.grad(sm.scalar((X * w - b).T * (X * w - b)) / n, s)
    assert str(loss) == "0"
    value, _ = sm.value_and_grad(sm.scalar((X * w - b).T * (X * w - b)) / n, w)
    model = sm.compile(value, parameters=[w], examples=n, sizes={m: 2})
    p = {"X": RNG.normal(size=(9, 2)), "w": RNG.normal(size=(2, 1)), "b": RNG.normal(size=(9, 1))}
    expected = 2 * p["X"].T @ (p["X"] @ p["w"] - p["b"]) / 9
    np.testing.assert_allclose(model.backward(p)["w"], expected, rtol=1e-12)
    found = sm.lambdify([X, w, b], slope)(p["X"], p["w"], p["b"])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_model_of_all_examples_hands_its_gradient_on() -> None:
    model = sm.compile(sm.scalar((X * w - b).T * (X * w - b)) / n, parameters=[w], examples=n)
    p = {"X": RNG.normal(size=(9, 2)), "w": RNG.normal(size=(2, 1)), "b": RNG.normal(size=(9, 1))}
    found = sm.lambdify([X, w, b], model.gradient[w])(*p.values())
    np.testing.assert_allclose(found, model.backward(p)["w"], rtol=1e-12)


def test_batch_sums_run_over_the_leading_axes() -> None:
    model = sm.compile(sm.batch_mean(x * y) ** 2 * s, parameters=[s])
    data, other = RNG.normal(size=5), RNG.normal(size=5)
    found = sm.lambdify([x, y], model.gradient[s])(data, other)
    np.testing.assert_allclose(found, np.full(5, np.mean(data * other) ** 2), rtol=1e-13)


def test_a_size_elsewhere_is_a_size_here() -> None:
    """n is a number of a formula, and the size of another: both mean the array's."""
    f = sm.lambdify([A, x], [sp.Trace(A), sm.grad(n * x**2, x)])
    trace, slope = f(VALUES["A"], 0.7)
    assert trace == pytest.approx(np.trace(VALUES["A"])) and slope == pytest.approx(2 * 3 * 0.7)


def test_one_name_is_one_symbol() -> None:
    with pytest.raises(DuplicateName, match="x"):
        sm.lambdify([x, A], [sm.grad(x**2, x), sp.MatrixSymbol("x", 2, 2)])


def test_a_matrix_of_size_one_is_refused_by_name() -> None:
    value, _ = sm.value_and_grad(sm.scalar(b.T * A.I * b), b)
    with pytest.raises(ShapeError, match="expanded"):
        sm.compile(value, parameters=[b], sizes={n: 1})


def test_a_list_shares_common_parts() -> None:
    """An expression and the formulas of its gradients factor the matrix once."""
    quadratic = sm.scalar(b.T * A.I * b)
    alone = sm.lambdify([A, b], sm.grad(quadratic, A))
    together = sm.lambdify([A, b], [quadratic, sm.grad(quadratic, b), sm.grad(quadratic, A)])
    assert [_text(f).count("call void @lapack_dgetrf(") for f in (alone, together)] == [1, 1]


def _text(function: Any) -> str:
    (variant,) = function._variants.values()
    return str(variant.native.program.code.text)


def test_a_formula_is_the_written_expression() -> None:
    """A formula and a SymPy expression of the same value are one definition, computed once."""
    formulas = {"derived": sm.grad(x**2 * sp.sin(x * y), y).derived, "written": x**3 * sp.cos(x * y)}
    work = analyse(Request(formulas, Scope(constants={"y": y})))
    assert work.outputs["derived"] is work.outputs["written"] and work.outputs["derived"].batched


def test_positions_outside_are_refused() -> None:
    """A derivative inherits what its formula demands of the sizes, also where its own guards would hide it."""
    with pytest.raises(ShapeError, match="outside"):
        sm.grad(sp.Sum(u[i + 3] ** 2 * v[i, 0], (i, 0, n - 1)), v)
    rows = sp.IndexedBase("v", shape=(m, 2))
    function = sm.lambdify([u, rows], sm.grad(sp.Sum(u[i + 3] ** 2 * rows[i, 0], (i, 0, m - 1)), rows))
    assert function(np.arange(8.0), np.ones((5, 2)))[:, 0].tolist() == [9.0, 16.0, 25.0, 36.0, 49.0]
    with pytest.raises(ShapeError, match="outside"):
        function(np.arange(8.0), np.ones((6, 2)))


# ------------------------------------------------------------------------------------------------ copies


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies(twin: Callable[[Any], Any]) -> None:
    """A copy is the same definition, and a function of formulas goes with them."""
    formula = sm.compile(sm.dot(w, w) * y**2 / 3, parameters=[w]).gradient[w]
    other = twin(formula)
    assert other.definition is formula.definition and str(other) == str(formula)
    assert str(sm.grad(sm.grad(other.expr[0, 0], y), y)) == str(sm.grad(sm.grad(formula.expr[0, 0], y), y))
    p, q = RNG.normal(size=(2, 1)), RNG.normal(size=4)
    function = sm.lambdify([w, y], [formula, y**2])
    for one, same in zip(function(p, q), twin(function)(p, q), strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_deep_formula_is_pickled() -> None:
    """One row after the other: 600 steps are no recursion."""
    step: Any = x
    for number in range(600):
        step = sm.named(f"h{number}", sp.sin(step) * y)
    formula = sm.jvp(step, x)
    assert pickle.loads(pickle.dumps(formula)).definition is formula.definition


def test_moving_nowhere_changes_nothing() -> None:
    """The transfer itself: the same inputs give the same definitions, other ones others."""
    definition = sm.grad(sm.scalar(b.T * A.I * b), A).definition
    inputs = {t: t for t in definitions([definition]) if t.kind == "input"}
    assert Transfer(inputs, {}).run([definition]) == [definition]
