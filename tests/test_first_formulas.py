"""The formulas that people paste first: each with its readable gradient as text, and its values against NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from truth import complex_step

import sympile as sm

n, m, k = sp.symbols("n m k")
i, j = sm.indices("i j")
x, y, w = sp.MatrixSymbol("x", n, 1), sp.MatrixSymbol("y", m, 1), sp.MatrixSymbol("w", n, 1)
A, B, C, X = (sp.MatrixSymbol(name, n, n) for name in "ABCX")
M = sp.MatrixSymbol("M", m, n)
z, t = sp.MatrixSymbol("z", k, 1), sp.MatrixSymbol("t", k, 1)
a, b, d, q, r, s, u, v = sp.symbols("a b d q r s u v")
points = sp.IndexedBase("x", shape=(n,))
alpha, mu, sigma = (sp.IndexedBase(name, shape=(k,)) for name in ("alpha", "mu", "sigma"))
D, c = sp.MatrixSymbol("D", n, n), sp.MatrixSymbol("c", n, 1)
length, noise = sp.symbols("l s")
kernel = sm.exp(-D / (2 * length**2)) + noise * sp.Identity(n)

EXTENTS = {"n": 3, "m": 4, "k": 3}
RNG = np.random.default_rng(7)


def spread(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def positive(size: int) -> np.ndarray:
    root = spread(size, size)
    return root @ root.T + size * np.eye(size)


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.real.max())
    return e / e.sum()


def squared_distances(size: int) -> np.ndarray:
    at = spread(size, 2)
    return ((at[:, None] - at[None]) ** 2).sum(-1)


def mixture(values: Mapping[str, Any]) -> Any:
    p, centre, scale = values["alpha"], values["mu"], values["sigma"]
    terms = p - np.log(scale) - ((values["x"][:, None] - centre) / scale) ** 2 / 2
    return np.log(np.exp(terms).sum(1)).sum()


def evidence(values: Mapping[str, Any]) -> Any:
    covariance = np.exp(-values["D"] / (2 * values["l"] ** 2)) + values["s"] * np.eye(3)
    quadratic = (values["c"].T @ np.linalg.solve(covariance, values["c"]))[0, 0]
    return quadratic / 2 + np.log(np.linalg.det(covariance)) / 2


# fmt: off
FORMULAS = [
    #            loss, by what, readable gradient, the same in NumPy, values
    pytest.param(x.T * A * x / 2, x, "(A*x + A.T*x)/2",
                 lambda p: (p["x"].T @ p["A"] @ p["x"])[0, 0] / 2, {"x": spread(3, 1), "A": spread(3, 3)}, id="quadratic form"),
    pytest.param(x.T * A * x / 2, A, "x*x.T/2",
                 lambda p: (p["x"].T @ p["A"] @ p["x"])[0, 0] / 2, {"x": spread(3, 1), "A": spread(3, 3)}, id="quadratic form by its matrix"),
    pytest.param((M * x - y).T * (M * x - y), x, "2*M.T*(M*x - y)",
                 lambda p: ((p["M"] @ p["x"] - p["y"]) ** 2).sum(), {"x": spread(3, 1), "M": spread(4, 3), "y": spread(4, 1)}, id="least squares"),
    pytest.param(sm.sum(sm.log(sm.add(sm.exp(-sp.HadamardProduct(y, M * w)), 1))), w, "-M.T*(sigmoid(-(M*w)∘y)∘y)",
                 lambda p: np.log(np.exp(-p["y"] * (p["M"] @ p["w"])) + 1).sum(), {"w": spread(3, 1), "M": spread(4, 3), "y": spread(4, 1)},
                 id="logistic regression"),
    pytest.param(sp.Trace(A * X.T * B * X * C), X, "B*X*C*A + B.T*X*A.T*C.T",
                 lambda p: np.trace(p["A"] @ p["X"].T @ p["B"] @ p["X"] @ p["C"]), {name: spread(3, 3) for name in "ABCX"}, id="trace"),
    pytest.param(sp.log(sp.Determinant(X.I)), X, "-inv(X).T",
                 lambda p: np.log(np.linalg.det(np.linalg.inv(p["X"]))), {"X": positive(3)}, id="log-determinant of an inverse"),
    pytest.param(sp.log(sp.Determinant(X)), X, "inv(X).T",
                 lambda p: np.log(np.linalg.det(p["X"])), {"X": positive(3)}, id="log-determinant"),
    pytest.param(sm.cross_entropy(z, t), z, "sum(t)*softmax(z) - t",
                 lambda p: -(p["t"] * np.log(softmax(p["z"]))).sum(), {"z": spread(3, 1), "t": np.eye(3)[:, :1]}, id="softmax cross-entropy"),
    pytest.param((1 - a)**2 + 100 * (b - a**2)**2, a, "400*a*(a**2 - b) + 2*a - 2",
                 lambda p: (1 - p["a"]) ** 2 + 100 * (p["b"] - p["a"] ** 2) ** 2, {"a": -1.2, "b": 1.0}, id="Rosenbrock by a"),
    pytest.param((1 - a)**2 + 100 * (b - a**2)**2, b, "-200*a**2 + 200*b",
                 lambda p: (1 - p["a"]) ** 2 + 100 * (p["b"] - p["a"] ** 2) ** 2, {"a": -1.2, "b": 1.0}, id="Rosenbrock by b"),
]
# fmt: on
MIXTURE = sp.Sum(
    sm.LogSumExp(alpha[j] - sp.log(sigma[j]) - ((points[i] - mu[j]) / sigma[j]) ** 2 / 2, (j, 0, k - 1)), (i, 0, n - 1)
)
EVIDENCE = sm.scalar(c.T * kernel.I * c) / 2 + sp.log(sp.Determinant(kernel)) / 2
MIXTURE_VALUES = {"x": spread(3), "alpha": spread(3), "mu": spread(3), "sigma": np.array([0.7, 1.1, 1.6])}
EVIDENCE_VALUES = {"D": squared_distances(3), "c": spread(3, 1), "l": 0.8, "s": 0.3}


def compiled(expression: Any, values: Mapping[str, Any], like: Any) -> np.ndarray:
    """A formula's value, through its SymPy form and machine code."""
    symbols = {sm_name(s): s for s in symbols_of(like)}
    return np.asarray(sm.lambdify(list(symbols.values()), expression)(*[values[name] for name in symbols]))


def symbols_of(loss: Any) -> list[Any]:
    """The arrays and scalars of a loss, not its sizes and indices."""
    aside = {n, m, k, i, j}
    bases = loss.atoms(sp.IndexedBase)
    labels = {base.label for base in bases}
    return sorted((loss.free_symbols - aside - labels - loss.atoms(sp.Indexed)) | bases, key=sm_name)


def sm_name(symbol: Any) -> str:
    return str(getattr(symbol, "label", symbol))


@pytest.mark.parametrize(("loss", "wrt", "text", "value", "values"), FORMULAS)
def test_gradient_is_readable_and_right(loss: Any, wrt: Any, text: str, value: Any, values: dict[str, Any]) -> None:
    gradient = sm.grad(loss, wrt)
    assert str(gradient) == text
    check_values(loss, wrt, value, values)


def check_values(loss: Any, wrt: Any, value: Any, values: Mapping[str, Any]) -> None:
    name = sm_name(wrt)
    expected = complex_step(value, values, name)
    constants = [s for s in symbols_of(loss) if sm_name(s) != name]
    model = sm.compile(loss, parameters=[wrt], constants=constants)
    found, gradient = model.value_and_grad(values)
    np.testing.assert_allclose(found, np.real(value(values)), rtol=1e-12)
    np.testing.assert_allclose(gradient[name], expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(compiled(sm.grad(loss, wrt), values, loss), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("wrt", [mu, alpha, sigma], ids=sm_name)
def test_gaussian_mixture(wrt: Any) -> None:
    """log p(x) = sum_i lse_j: every gradient is a sum over the points of responsibilities."""
    text = str(sm.grad(MIXTURE, wrt))
    assert text.startswith(f"d/d{sm_name(wrt)}[i] = ")
    assert "LogSumExp(" in text and "Sum(" in text and "(j, 0, n - 1)" in text
    check_values(MIXTURE, wrt, mixture, MIXTURE_VALUES)


@pytest.mark.parametrize("wrt", [length, noise], ids=str)
def test_gaussian_process_evidence(wrt: Any) -> None:
    """½ cᵀK⁻¹c + ½ log det K in a parameter of the kernel; K⁻¹ is shared."""
    text = str(sm.grad(EVIDENCE, wrt))
    assert "inv(" in text and "Derivative" not in text
    check_values(EVIDENCE, wrt, evidence, EVIDENCE_VALUES)


@pytest.mark.parametrize(
    ("r", "slope"),
    [(0.3, 0.3), (-0.3, -0.3), (2.0, 0.5), (-2.0, -0.5), (0.5, 0.5), (0.0, 0.0)],
    ids=["inside", "inside, negative", "outside", "outside, negative", "at the joint", "at zero"],
)
def test_huber(r: float, slope: float) -> None:
    residual, delta = sp.symbols("r d")
    loss = sp.Piecewise((residual**2 / 2, sp.Abs(residual) <= delta), (delta * (sp.Abs(residual) - delta / 2), True))
    gradient = sm.grad(loss, residual)
    assert "Piecewise" in str(gradient)
    assert sm.lambdify([residual, delta], gradient)(r, 0.5) == slope
    assert sm.compile(loss, parameters=residual, constants=delta).backward({"r": r, "d": 0.5})["r"] == slope
    assert sm.lambdify([u, v], sm.grad(sm.huber(u, v, delta=sp.Rational(1, 2)), u))(r, 0.0) == slope


@pytest.mark.parametrize(("u", "slope"), [(1.0, -0.9), (-1.0, 0.1)], ids=["below the target", "above it"])
@pytest.mark.parametrize("form", ["Max", "Piecewise"])
def test_quantile_loss(form: str, u: float, slope: float) -> None:
    """q max(e, 0) + (1 - q) max(-e, 0) for e = target - prediction: slopes -q and 1 - q."""
    error, prediction = sp.symbols("u v")
    e = error - prediction
    loss = sp.Max(q * e, (q - 1) * e) if form == "Max" else sp.Piecewise((q * e, e >= 0), ((q - 1) * e, True))
    found = sm.lambdify([error, prediction, q], sm.grad(loss, prediction))(u, 0.0, 0.9)
    np.testing.assert_allclose(found, slope, rtol=1e-15)
    model = sm.compile(loss, parameters=prediction, constants=[error, q])
    np.testing.assert_allclose(model.backward({"u": u, "v": 0.0, "q": 0.9})["v"], slope, rtol=1e-15)


def test_softmax_hessian() -> None:
    """diag(p) - p pᵀ, and zero for all of Σt = 0."""
    hessian = sm.hessian(sm.logsumexp(z), z)
    assert str(hessian) == "d²/dz² = diag(v1) - v1*v1.T\n  v1 = softmax(z)"
    scores = spread(4, 1)
    p = softmax(scores)[:, 0]
    np.testing.assert_allclose(sm.lambdify(z, hessian)(scores), np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-16)
    entropy = sm.lambdify([z, t], sm.hessian(sm.cross_entropy(z, t), z))(scores, np.eye(4)[:, 1:2])
    np.testing.assert_allclose(entropy, np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-16)


def test_rosenbrock_hessian() -> None:
    hessian = sm.lambdify([a, b], sm.hessian((1 - a) ** 2 + 100 * (b - a**2) ** 2, [a, b]))
    np.testing.assert_allclose(hessian(-1.2, 1.0), [[1200 * 1.44 - 400 + 2, 480], [480, 200]], rtol=1e-14)


def test_squared_norm_loses_its_root() -> None:
    """‖Mx - y‖² by the norm: the root and the square cancel; its values are right at a residual of 0, too."""
    loss = sm.norm(M * x - y) ** 2
    at, matrix = spread(3, 1), spread(4, 3)
    gradient = sm.lambdify([x, M, y], sm.grad(loss, x))
    target = spread(4, 1)
    np.testing.assert_allclose(gradient(at, matrix, target), 2 * matrix.T @ (matrix @ at - target), rtol=1e-12)
    np.testing.assert_array_equal(gradient(at, np.zeros((4, 3)), np.zeros((4, 1))), np.zeros((3, 1)))


def test_lecture_layer() -> None:
    """L = ½‖y - tanh(Ax + b)‖², where SymPy's own diff raises ValueError."""
    rows, columns = 3, 2
    weights, bias = sp.MatrixSymbol("A", rows, columns), sp.MatrixSymbol("b", rows, 1)
    inner, target = sp.MatrixSymbol("x", columns, 1), sp.MatrixSymbol("y", rows, 1)
    h = sm.named("h", sm.tanh(weights * inner + bias))
    e = sm.named("e", target - h)
    gradient = sm.grad(e.T * e / 2, weights)
    assert str(gradient).splitlines()[0].endswith("-((1 - h∘h)∘e)*x.T")
    values = {"A": spread(3, 2), "b": spread(3, 1), "x": spread(2, 1), "y": spread(3, 1)}
    exact = complex_step(lambda p: ((p["y"] - np.tanh(p["A"] @ p["x"] + p["b"])) ** 2).sum() / 2, values, "A")
    found = sm.lambdify([weights, bias, inner, target], gradient)(values["A"], values["b"], values["x"], values["y"])
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_logistic_regression_on_one_line() -> None:
    features, weights, offset = sp.MatrixSymbol("x", 3, 1), sp.MatrixSymbol("w", 3, 1), sp.Symbol("b")
    label = sp.Symbol("y")
    model = sm.compile(sm.binary_cross_entropy(sm.dot(weights, features) + offset, label), parameters=[weights, offset])
    assert len(str(model.gradient[offset]).splitlines()) == 1
    assert "sigmoid" in str(model.gradient[weights])
