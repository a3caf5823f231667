"""One model in four notations: matrix, index and tensor notation have one core; scalars give the same numbers; sizes need no recompile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from truth import complex_step

import sympile as sm
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.inline import core
from sympile.runtime import native

I, O, H = 4, 3, 5
i, j, k = sm.indices("i j k")


def base(name: str, *shape: Any) -> sp.IndexedBase:
    return sp.IndexedBase(name, shape=shape)


def matrix(name: str, rows: Any, columns: Any = 1) -> sp.MatrixSymbol:
    return sp.MatrixSymbol(name, rows, columns)


def over(index: Any, length: Any) -> tuple[Any, int, Any]:
    return (index, 0, length - 1)


# ============================================================================================= models, each in three notations


def least_squares(inputs: Any = I) -> dict[str, tuple[Any, list[Any]]]:
    x, w, xi, wi = matrix("x", inputs), matrix("w", inputs), base("x", inputs), base("w", inputs)
    xt, wt, y, b = sm.Tensor("x", (inputs,)), sm.Tensor("w", (inputs,)), sp.Symbol("y"), sp.Symbol("b")
    return {
        "matrix": ((sm.dot(w, x) + b - y) ** 2, [w, b]),
        "index": ((sp.Sum(wi[i] * xi[i], over(i, inputs)) + b - y) ** 2, [wi, b]),
        "tensor": (((wt * xt).sum() + b - y) ** 2, [wt, b]),
    }


def logistic(inputs: Any = I) -> dict[str, tuple[Any, list[Any]]]:
    x, w, xi, wi = matrix("x", inputs), matrix("w", inputs), base("x", inputs), base("w", inputs)
    xt, wt, y = sm.Tensor("x", (inputs,)), sm.Tensor("w", (inputs,)), sp.Symbol("y")
    return {
        "matrix": (sp.log(1 + sp.exp(-y * sm.scalar(w.T * x))), [w]),
        "index": (sp.log(1 + sp.exp(-y * sp.Sum(wi[k] * xi[k], over(k, inputs)))), [wi]),
        "tensor": (sp.log(1 + sp.exp(-y * (xt @ wt))), [wt]),
    }


def softmax_regression(inputs: Any = I, outputs: Any = O) -> dict[str, tuple[Any, list[Any]]]:
    x, t, W, b = matrix("x", inputs), matrix("t", outputs), matrix("W", outputs, inputs), matrix("b", outputs)
    xi, ti, Wi, bi = base("x", inputs), base("t", outputs), base("W", outputs, inputs), base("b", outputs)
    xt, tt = sm.Tensor("x", (inputs,)), sm.Tensor("t", (outputs,))
    Wt, bt = sm.Tensor("W", (outputs, inputs)), sm.Tensor("b", (outputs,))

    def score(index: Any) -> Any:
        return sp.Sum(Wi[index, j] * xi[j], over(j, inputs)) + bi[index]

    by_index = sm.LogSumExp(score(k), over(k, outputs)) * sp.Sum(ti[i], over(i, outputs)) - sp.Sum(
        ti[i] * score(i), over(i, outputs)
    )
    return {
        "matrix": (sm.cross_entropy(W * x + b, t), [W, b]),
        "index": (by_index, [Wi, bi]),
        "tensor": (sm.cross_entropy(Wt @ xt + bt, tt), [Wt, bt]),
    }


def perceptron(inputs: Any = I, hidden: Any = H, outputs: Any = O) -> dict[str, tuple[Any, list[Any]]]:
    shapes = {
        "V": (hidden, inputs),
        "a": (hidden,),
        "W": (outputs, hidden),
        "b": (outputs,),
        "x": (inputs,),
        "t": (outputs,),
    }
    M = {name: matrix(name, *shape) for name, shape in shapes.items()}
    B = {name: base(name, *shape) for name, shape in shapes.items()}
    T = {name: sm.Tensor(name, shape) for name, shape in shapes.items()}
    e = M["W"] * sm.tanh(M["V"] * M["x"] + M["a"]) + M["b"] - M["t"]

    def activity(index: Any) -> Any:
        return sp.tanh(sp.Sum(B["V"][index, k] * B["x"][k], over(k, inputs)) + B["a"][index])

    residual = sp.Sum(B["W"][i, j] * activity(j), over(j, hidden)) + B["b"][i] - B["t"][i]
    et = T["W"] @ sm.tanh(T["V"] @ T["x"] + T["a"]) + T["b"] - T["t"]
    return {
        "matrix": (sm.dot(e, e), [M[name] for name in "VaWb"]),
        "index": (sp.Sum(residual**2, over(i, outputs)), [B[name] for name in "VaWb"]),
        "tensor": ((et * et).sum(), [T[name] for name in "VaWb"]),
    }


def quadratic(size: Any = I) -> dict[str, tuple[Any, list[Any]]]:
    """No data: the loss is the objective."""
    x, A, xi, Ai = matrix("x", size), matrix("A", size, size), base("x", size), base("A", size, size)
    xt, At = sm.Tensor("x", (size,)), sm.Tensor("A", (size, size))
    by_index = sp.Sum(xi[i] * Ai[i, j] * xi[j], over(i, size), over(j, size))
    return {
        "matrix": (x.T * A * x, [x, A]),
        "index": (by_index, [xi, Ai]),
        "tensor": (xt @ (At @ xt), [xt, At]),
    }


MODELS = {
    "least squares": least_squares,
    "logistic regression": logistic,
    "softmax regression": softmax_regression,
    "perceptron": perceptron,
    "quadratic form": quadratic,
}
n, m, h = sp.symbols("n m h")
SYMBOLIC = {
    "least squares": lambda: least_squares(n),
    "logistic regression": lambda: logistic(n),
    "softmax regression": lambda: softmax_regression(n, m),
    "perceptron": lambda: perceptron(n, h, m),
    "quadratic form": lambda: quadratic(n),
}


def compiled(model: tuple[Any, list[Any]]) -> sm.Model:
    return sm.compile(model[0], parameters=model[1])


def cores(model: sm.Model) -> dict[str, Definition]:
    """The loss, the objective and every gradient, each as its normal form."""
    outputs: Mapping[str, Definition] = model._work.outputs
    return dict(zip(outputs, core(outputs.values()), strict=True))


@pytest.mark.parametrize("other", ["index", "tensor"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sizes", [MODELS, SYMBOLIC], ids=["numbers", "symbols"])
def test_one_core(sizes: Mapping[str, Any], name: str, other: str) -> None:
    written = sizes[name]()
    ours, theirs = cores(compiled(written["matrix"])), cores(compiled(written[other]))
    assert ours.keys() == theirs.keys()
    different = [label for label in ours if ours[label] is not theirs[label]]
    assert not different, f"{different}: {[(ours[d].body, theirs[d].body) for d in different]}"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param("least squares", "logistic regression", id="another loss"),
        pytest.param("logistic regression", "softmax regression", id="another model"),
    ],
)
def test_cores_can_differ(one: str, two: str) -> None:
    first, second = (cores(compiled(MODELS[name]()["matrix"])) for name in (one, two))
    assert first["loss"] is not second["loss"]


# ============================================================================================= the same numbers


def example_values(model: sm.Model, examples: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    values = {}
    for symbol in model._work.scope.symbols.values():
        shape = tuple(int(length.data) for length in symbol.declared)
        values[symbol.name] = rng.normal(size=(examples, *shape) if symbol.role == "data" else shape)
    return values


def scalar_perceptron() -> tuple[Any, list[sp.Symbol]]:
    """The perceptron in 42 separate symbols."""

    def symbols(name: str, rows: int, columns: int = 1) -> sp.Matrix:
        return sp.Matrix(rows, columns, lambda r, c: sp.Symbol(f"{name}_{r}_{c}"))

    V, a, W, b = symbols("V", H, I), symbols("a", H), symbols("W", O, H), symbols("b", O)
    x, t = symbols("x", I), symbols("t", O)
    e = W * (V * x + a).applyfunc(sp.tanh) + b - t
    return (e.T * e)[0, 0], [*V, *a, *W, *b]


def test_scalars_give_the_same_numbers() -> None:
    by_matrix = compiled(perceptron()["matrix"])
    values = example_values(by_matrix)
    loss, parameters = scalar_perceptron()
    model = sm.compile(loss, parameters=parameters)
    split = {
        f"{name}_{r}_{c}": array.reshape((*array.shape[:-2], *shape))[..., r, c]
        for name, array in values.items()
        for shape in [array.shape[-2:]]
        for r, c in np.ndindex(*shape)
    }
    value, gradient = model.value_and_grad(split)
    expected, slopes = by_matrix.value_and_grad(values)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    for symbol in parameters:
        name, row, column = symbol.name.split("_")
        np.testing.assert_allclose(gradient[symbol], slopes[name][int(row), int(column)], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", MODELS)
def test_every_notation_gives_the_same_numbers(name: str) -> None:
    written = MODELS[name]()
    models = {notation: compiled(written[notation]) for notation in written}
    values = example_values(models["matrix"])
    expected, slopes = models["matrix"].value_and_grad(values)
    for notation in ("index", "tensor"):
        flat = {key: without_ones(models[notation], key, array) for key, array in values.items()}
        value, gradient = models[notation].value_and_grad(flat)
        assert value == expected
        for symbol in written[notation][1]:
            parameter = str(getattr(symbol, "label", symbol))
            np.testing.assert_allclose(gradient[symbol].ravel(), np.ravel(slopes[parameter]), rtol=1e-13, atol=1e-15)


def without_ones(model: sm.Model, name: str, array: np.ndarray) -> np.ndarray:
    """The same array in the shape of another notation's symbol."""
    symbol = model._work.scope.symbols[name]
    shape = tuple(int(length.data) for length in symbol.declared)
    return array.reshape((-1, *shape) if symbol.role == "data" else shape)


# ============================================================================================= mixtures


def mixtures() -> Iterable[Any]:
    """Notations inside each other, and what they mean in NumPy."""
    A, x, B, T, s = matrix("A", O, I), matrix("x", I), base("B", O, I), sm.Tensor("T", (O, I)), sp.Symbol("s")
    bound = sm.comprehension(B[i, j] ** 2, (i, O), (j, I))
    # fmt: off
    yield pytest.param(sp.Sum(A[i, j] * B[i, j], over(i, O), over(j, I)), {"A": (O, I), "B": (O, I)},
                       lambda p: (p["A"] * p["B"]).sum(), id="matrix elements under a Sum")
    yield pytest.param(sm.sum(s * A * x), {"A": (O, I), "x": (I, 1), "s": ()},
                       lambda p: (p["s"] * p["A"] @ p["x"]).sum(), id="a scalar symbol in a matrix product")
    yield pytest.param(sp.Sum(bound[i, 1] * x[1, 0], over(i, O)) + sp.Sum(x[j, 0], over(j, I)), {"B": (O, I), "x": (I, 1)},
                       lambda p: (p["B"][:, 1] ** 2).sum() * p["x"][1, 0] + p["x"].sum(), id="a comprehension read again")
    yield pytest.param((sm.tanh(T) * bound).sum(axis=None), {"B": (O, I), "T": (O, I)},
                       lambda p: (np.tanh(p["T"]) * p["B"] ** 2).sum(), id="a comprehension times a tensor")
    yield pytest.param(sp.Sum(T[i, 2] * sp.sin(B[i, 0] * s), over(i, O)), {"B": (O, I), "T": (O, I), "s": ()},
                       lambda p: (p["T"][:, 2] * np.sin(p["B"][:, 0] * p["s"])).sum(), id="tensor elements under a Sum")
    yield pytest.param(sm.scalar(x.T * A.T * sp.Matrix([1, 2, 3])) * s, {"A": (O, I), "x": (I, 1), "s": ()},
                       lambda p: (p["x"].T @ p["A"].T @ [[1], [2], [3]])[0, 0] * p["s"], id="an explicit matrix")
    # fmt: on


@pytest.mark.parametrize(("loss", "shapes", "value"), list(mixtures()))
def test_mixture(loss: Any, shapes: Mapping[str, Any], value: Any) -> None:
    rng = np.random.default_rng(3)
    values = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    symbols = [
        s
        for s in loss.free_symbols | loss.atoms(sp.IndexedBase)
        if str(getattr(s, "label", s)) in shapes and not isinstance(s, sp.Indexed)
    ]
    chosen = {str(getattr(s, "label", s)): s for s in sorted(symbols, key=lambda s: isinstance(s, sp.IndexedBase))}
    model = sm.compile(loss, parameters=list(chosen.values()))
    found, gradient = model.value_and_grad(values)
    np.testing.assert_allclose(found, value(values), rtol=1e-13)
    for name, array in values.items():
        np.testing.assert_allclose(gradient[name], complex_step(value, values, name), rtol=1e-12, atol=1e-14)
        assert gradient[name].shape == array.shape


# ============================================================================================= symbolic sizes


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every piece of code that is asked to become machine code."""
    seen: list[Any] = []

    def counting(code: Any) -> Any:
        seen.append(code)
        return load(code)

    load = native.load
    monkeypatch.setattr(native, "load", counting)
    return seen


@pytest.mark.parametrize("name", SYMBOLIC)
def test_another_size_compiles_nothing(name: str, compilations: list[Any]) -> None:
    loss, parameters = SYMBOLIC[name]()["matrix"]
    model = sm.compile(loss, parameters=parameters)
    numbers = {
        "least squares": (2,),
        "logistic regression": (2,),
        "softmax regression": (2, 3),
        "perceptron": (2, 4, 3),
        "quadratic form": (2,),
    }
    for examples, grown in ((5, 0), (1, 3), (64, 9)):
        sizes = [length + grown for length in numbers[name]]
        fixed = compiled(MODELS[name](*sizes)["matrix"])
        values = example_values(fixed, examples)
        before = len(compilations)
        value, gradient = model.value_and_grad(values)
        assert len(compilations) == (before + 1 if grown == 0 else before), "another size compiled again"
        expected, slopes = fixed.value_and_grad(values)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        for symbol in parameters:
            np.testing.assert_allclose(gradient[str(symbol)], slopes[str(symbol)], rtol=1e-10, atol=1e-12)


def test_more_examples_compile_nothing(compilations: list[Any]) -> None:
    model = compiled(perceptron()["matrix"])
    for examples in (1, 2, 7, 8, 100):
        model.backward(example_values(model, examples))
    assert len(compilations) == 1


def test_rows_of_a_design_matrix(compilations: list[Any]) -> None:
    """‖Xw - y‖²/rows with both sizes symbolic: the rows are read from the arrays, a parameter keeps its own."""
    X, y, w = matrix("X", n, m), matrix("y", n), matrix("w", m)
    r = X * w - y
    model = sm.compile(sm.dot(r, r) / n, parameters=[w], constants=[X, y])
    rng = np.random.default_rng(0)
    for rows, columns in ((5, 2), (17, 3), (1, 1)):
        values = {
            "X": rng.normal(size=(rows, columns)),
            "y": rng.normal(size=(rows, 1)),
            "w": rng.normal(size=(columns, 1)),
        }
        residual = values["X"] @ values["w"] - values["y"]
        value, gradient = model.value_and_grad(values)
        np.testing.assert_allclose(value, (residual**2).mean(), rtol=1e-13)
        np.testing.assert_allclose(gradient[w], 2 * values["X"].T @ residual / rows, rtol=1e-12)
    assert len(compilations) == 1
