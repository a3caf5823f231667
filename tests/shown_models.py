"""Models of every notation and kind, whose gradients are shown and read back."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
from sympy.matrices.expressions.matexpr import MatrixElement

import sympile as sm

MS = sp.MatrixSymbol
a, b, x, y, c = sp.symbols("a b x y c")
i, j, k, p = sp.symbols("i j k p")
n, q = sp.symbols("n q")
A, S, B, X, C = MS("A", 3, 4), MS("S", 4, 4), MS("B", 4, 4), MS("X", 4, 5), MS("C", 5, 3)
M = MS("M", n, n)
v, w, t, u = MS("x", 4, 1), MS("w", 4, 1), MS("t", 3, 1), MS("y", 3, 1)
bias = MS("b", 3, 1)
h = sm.named("h", sm.tanh(A * v + bias))
e = sm.named("e", u - h)


def entry(matrix: Any) -> Any:
    """matrix[1, 0], without SymPy's writing out an inverse of known size."""
    return MatrixElement(matrix, 1, 0)


def mlp() -> tuple[Any, list[Any]]:
    rows, inner, classes = 64, 32, 10
    x, t = MS("x", rows, 1), MS("t", classes, 1)
    W1, b1, W2, b2 = MS("W1", inner, rows), MS("b1", inner, 1), MS("W2", classes, inner), MS("b2", classes, 1)
    h = sm.named("h", sm.tanh(W1 * x + b1))
    z = sm.named("z", W2 * h + b2)
    return sm.cross_entropy(z, t), [W1, b1, W2, b2]


def convolution() -> Any:
    signal, kernel = sp.IndexedBase("x", shape=(n,)), sp.IndexedBase("K", shape=(q,))
    return sp.Sum(sp.Sum(kernel[p] * signal[i + p], (p, 0, q - 1)) ** 2, (i, 0, n - q))


def network_of_indices(named: bool) -> Any:
    W1, b1, W2 = sm.Tensor("W1", (5, 3)), sm.Tensor("b1", (5,)), sm.Tensor("W2", (2, 5))
    data, target = sm.Tensor("x", (3,)), sm.Tensor("t", (2,))
    hidden = sm.comprehension(sp.tanh(sp.Sum(W1[i, j] * data[j], (j, 0, 2)) + b1[i]), (i, 5))
    hidden = sm.named("h", hidden) if named else hidden
    return sp.Sum((sp.Sum(W2[k, i] * hidden[i], (i, 0, 4)) - target[k]) ** 2, (k, 0, 1)) / 2


def recurrent(steps: int) -> Any:
    W, U, V, state = MS("W", 3, 3), MS("U", 3, 2), MS("V", 1, 3), MS("h0", 3, 1)
    for step in range(steps):
        state = sm.tanh(W * state + U * MS(f"x{step}", 2, 1))
    return (sm.scalar(V * state) - y) ** 2


def autoregressive(steps: int) -> Any:
    state = x
    for _ in range(steps):
        state = a * state + b
    return (state - y) ** 2


def mixture() -> Any:
    centers, weights = MS("mu", 3, 1), MS("w", 3, 1)
    return -sm.logsumexp(sm.log_softmax(weights) - sp.HadamardPower(sm.add(-centers, x), 2) / 2)


def process() -> Any:
    """Gaussian process evidence in a length and a noise parameter."""
    Y, distances = MS("Y", 4, 1), MS("D", 4, 4)
    kernel = sm.exp(-distances / a) + b * sp.Identity(4)
    return sm.scalar(Y.T * kernel.I * Y) / 2 + sp.log(sp.Determinant(kernel)) / 2


def normalized() -> Any:
    W, weights, data = MS("W", 3, 3), MS("g", 3, 1), MS("x", 3, 1)
    centered = W * data - sm.batch_mean(W * data)
    return sm.dot(weights, sp.HadamardProduct(centered, centered))


E = sp.IndexedBase("E", shape=(6, 2))
EM, token = MS("E", 6, 2), sp.Symbol("token")
G = sp.IndexedBase("g", shape=(2,))
quantile = sp.Max((y - a * x) / 4, -3 * (y - a * x) / 4)


def row(loss: Any, parameters: str, kind: str, batched: bool, reason: str) -> Any:
    return pytest.param(loss, parameters.split(), kind, batched, id=reason)


# fmt: off
MODELS = [
    #   loss                                               parameters       notation  examples  reason
    row((a*x + b - y)**2,                                  "a b",           "scalar", True,  "line"),
    row(mlp()[0],                                          "W1 b1 W2 b2",   "matrix", True,  "mlp"),
    row(network_of_indices(False),                         "W1 b1 W2",      "index",  True,  "mlp in indices"),
    row(network_of_indices(True),                          "W1 b1 W2",      "index",  True,  "mlp in indices, named"),
    row(sm.dot(e, e)/2,                                    "A b",           "matrix", True,  "one layer"),
    row(sm.scalar(v.T*S*v)/2,                              "x S",           "matrix", False, "quadratic form"),
    row(sm.norm(A*v - u)**2,                               "x A",           "matrix", False, "norm"),
    row(sm.norm(A*v - u),                                  "x",             "matrix", False, "norm, its kink"),
    row(sm.softplus(-y*sm.scalar(w.T*v)),                  "w",             "matrix", True,  "logistic regression"),
    row(sp.log(1 + sp.exp(-y*sm.scalar(w.T*v))),           "w",             "matrix", True,  "logistic, naive"),
    row(sp.Trace(MS("D", 3, 5)*X.T*B*X*C),                 "X C",           "matrix", False, "trace"),
    row(sp.log(sp.Determinant(S.I)),                       "S",             "matrix", False, "log det of an inverse"),
    row(entry(S.I),                                        "S",             "matrix", False, "an entry of an inverse"),
    row(entry(M.I),                                        "M",             "matrix", False, "an entry of an inverse of any size"),
    row(entry((M*M.T).I*M),                                "M",             "matrix", False, "an entry of a solve"),
    row(entry(sp.HadamardProduct(S*B, S)),                 "S B",           "matrix", False, "an entry with its matrix"),
    row(sp.Trace(S[:2, :2]*B[2:, 1:3]),                    "S B",           "matrix", False, "shifted slices"),
    row(sp.Trace(M[1:, :]*M[:-1, :].T),                    "M",             "matrix", False, "slices of any size"),
    row(sm.cross_entropy(A*v, t),                          "A",             "matrix", True,  "softmax regression"),
    row(sm.cross_entropy(A*v, c),                          "A",             "matrix", True,  "class numbers"),
    row((1 - a)**2 + 100*(b - a**2)**2,                    "a b",           "scalar", False, "Rosenbrock"),
    row(mixture(),                                         "mu w",          "matrix", True,  "Gaussian mixture"),
    row(process(),                                         "a b",           "scalar", False, "Gaussian process"),
    row(sm.huber(a*x + b, y),                              "a b",           "scalar", True,  "Huber"),
    row(sm.huber(A*v, u),                                  "A",             "matrix", True,  "Huber of vectors"),
    row(quantile,                                          "a",             "scalar", True,  "quantile"),
    row(convolution(),                                     "K x",           "index",  False, "convolution"),
    row(recurrent(3),                                      "W U V",         "matrix", True,  "recurrent network"),
    row(autoregressive(6),                                 "a b",           "scalar", True,  "autoregression"),
    row((sp.Sum(E[token, j]*G[j], (j, 0, 1)) - y)**2,      "E g",           "index",  True,  "embedding"),
    row(sp.Sum(EM[token, j]**3, (j, 0, 1)),                "E",             "matrix", True,  "embedding, a matrix"),
    row(sm.dot(t, sm.relu(A*v + bias)),                    "A b",           "matrix", True,  "relu"),
    row(sm.dot(t, sm.leaky_relu(A*v)),                     "A",             "matrix", True,  "leaky relu"),
    row(sm.dot(t, sm.maximum(A*v, bias)),                  "A",             "matrix", True,  "maximum"),
    row(sm.max(A*v),                                       "A",             "matrix", True,  "max over an axis"),
    row(sm.prod(w),                                        "w",             "matrix", False, "product"),
    row((a*x - sm.batch_mean(a*x))**2,                     "a",             "scalar", True,  "batch mean"),
    row(normalized(),                                      "W g",           "matrix", True,  "batch mean of vectors"),
    row((sm.dot(w, v) - y)**2 + sm.dot(w, w)/10,           "w",             "matrix", True,  "ridge"),
]
# fmt: on
