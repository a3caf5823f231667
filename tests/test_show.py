"""Formulas as they are read: exact texts, the way back from every shown formula to its definition, and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from reference import evaluate
from sympy.matrices.expressions.matexpr import MatrixElement
from sympy.printing.latex import latex as sympy_latex

import sympile as sm
from sympile.compiler.graph.arithmetic import power
from sympile.compiler.graph.definition import EXAMPLES, Definition, definitions
from sympile.compiler.graph.inline import core
from sympile.compiler.graph.node import ONE, extent
from sympile.compiler.passes.derive import gradient
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.show.dot import dot
from sympile.compiler.show.formula import Formula, formula
from sympile.compiler.show.per_example import per_example
from sympile.compiler.show.text import text
from sympile.compiler.show.trace import trace

MS = sp.MatrixSymbol
a, b, s, x, y, c = sp.symbols("a b s x y c")
i, j, k, p = sp.symbols("i j k p")
n, q = sp.symbols("n q")
A, S, B, X, C = MS("A", 3, 4), MS("S", 4, 4), MS("B", 4, 4), MS("X", 4, 5), MS("C", 5, 3)
M = MS("M", n, n)
v, w, t, u = MS("x", 4, 1), MS("w", 4, 1), MS("t", 3, 1), MS("y", 3, 1)
bias = MS("b", 3, 1)
h = sm.named("h", sm.tanh(A * v + bias))
e = sm.named("e", u - h)


# ------------------------------------------------------------------------------------------------ texts


def entry(matrix: Any) -> Any:
    """matrix[1, 0], without SymPy's writing out an inverse of known size."""
    return MatrixElement(matrix, 1, 0)


def shown(loss: Any, parameter: Any, **options: Any) -> str:
    return str(sm.compile(loss, parameters=[parameter], **options).gradient[parameter])


@pytest.mark.parametrize(("loss", "parameter", "want"), [
    pytest.param((a*x + b - y)**2, a, "2*x*(a*x + b - y)", id="line"),
    pytest.param(sp.log(1 + sp.exp(-y*sm.scalar(w.T*v))), w, "-y*sigmoid(-y*w.T*x)*x", id="logistic regression"),
    pytest.param((1 - a)**2 + 100*(b - a**2)**2, a, "400*a*(a**2 - b) + 2*a - 2", id="Rosenbrock"),
    pytest.param(sp.log(sp.Determinant(S.I)), S, "-inv(S).T", id="log det of an inverse"),
    pytest.param(sm.cross_entropy(A*v, t), A, "(sum(t)*softmax(A*x) - t)*x.T", id="softmax regression"),
    pytest.param(sm.cross_entropy(A*v, c), A,
                 "(softmax(A*x) - one_hot(c, 3))*x.T", id="class numbers"),
    pytest.param(sm.dot(t, sm.relu(A*v + bias)), A, "(t∘[A*x + b > 0])*x.T", id="relu: its kink is a bracket"),
    pytest.param((sm.dot(w, v) - y)**2 + sm.dot(w, w)/10, w, "2*(w.T*x - y)*x + w/5", id="ridge"),
    pytest.param((x*a - sm.batch_mean(x))**2, a, "2*x*(a*x - batch_mean(x))", id="a mean over the batch stays visible"),
    pytest.param(sm.dot(MS("r", 1, 4).T, v)**2, MS("r", 1, 4), "2*(r*x)*x.T", id="a row stays a row"),
    pytest.param(a*sp.Float(0.1)*x, a, "0.1*x", id="a float stays a float"),
])  # fmt: skip
def test_gradient_text(loss: Any, parameter: Any, want: str) -> None:
    assert shown(loss, parameter) == want


@pytest.mark.parametrize(("expr", "parameter", "want"), [
    pytest.param(sm.scalar(v.T*S*v)/2, v, "(S*x + S.T*x)/2", id="quadratic form"),
    pytest.param(sm.dot(A*v - u, A*v - u), v, "2*A.T*(A*x - y)", id="squared norm"),
    pytest.param(sp.Trace(MS("D", 3, 5)*X.T*B*X*C), X, "B*X*C*D + B.T*X*D.T*C.T", id="trace"),
    pytest.param(sp.Determinant(S), S, "det(S)*inv(S).T", id="determinant"),
    pytest.param(sm.sum(sm.tanh(w)), w, "1 - v1∘v1\n  v1 = tanh(w)", id="a result that is used twice has a name"),
])  # fmt: skip
def test_grad_text(expr: Any, parameter: Any, want: str) -> None:
    assert str(sm.grad(expr, parameter)).removeprefix(f"d/d{parameter} = ") == want


MLP_TEXT = """\
dloss/dW1 = dv1*x.T          (per example; the objective is the mean)
  v1  = W1*x + b1
  h   = tanh(v1)
  z   = W2*h + b2
  dz  = sum(t)*softmax(z) - t
  dh  = W2.T*dz
  dv1 = (1 - h∘h)∘dh"""


def mlp() -> tuple[Any, list[Any]]:
    rows, inner, classes = 64, 32, 10
    x, t = MS("x", rows, 1), MS("t", classes, 1)
    W1, b1, W2, b2 = MS("W1", inner, rows), MS("b1", inner, 1), MS("W2", classes, inner), MS("b2", classes, 1)
    h = sm.named("h", sm.tanh(W1 * x + b1))
    z = sm.named("z", W2 * h + b2)
    return sm.cross_entropy(z, t), [W1, b1, W2, b2]


def test_mlp_text() -> None:
    """The block printed in API.md."""
    loss, parameters = mlp()
    assert str(sm.compile(loss, parameters=parameters).gradient[parameters[0]]) == MLP_TEXT


def test_mlp_bias_is_an_alias() -> None:
    loss, parameters = mlp()
    lines = str(sm.compile(loss, parameters=parameters).gradient[parameters[3]]).splitlines()
    assert lines[0].startswith("dloss/db2 = dz ")
    assert "  dz = sum(t)*softmax(z) - t" in lines


def test_named_values_take_their_adjoints_out() -> None:
    lines = shown(sm.dot(e, e) / 2, A).splitlines()
    assert lines[0].startswith("dloss/dA = -((1 - h∘h)∘e)*x.T ")
    assert lines[1:] == ["  h = tanh(A*x + b)", "  e = y - h"]


def test_line_is_the_users_expression() -> None:
    model = sm.compile((a * x + b - y) ** 2, parameters=[a, b])
    assert model.gradient[a].expr == 2 * x * (a * x + b - y)
    assert model.gradient[b].expr == 2 * (a * x + b - y)


def test_matrix_expression_is_the_users() -> None:
    assert sm.grad(sm.dot(A * v - u, A * v - u), v).expr == 2 * A.T * (A * v - u)


def test_softmax_hessian() -> None:
    z = MS("z", 4, 1)
    found = sm.hessian(sm.logsumexp(z), z)
    assert str(found).split(" = ", 1)[1].splitlines() == ["diag(v1) - v1*v1.T", "  v1 = softmax(z)"]
    assert text(found.expanded()) == "diag(softmax(z)) - softmax(z)*softmax(z).T"


def test_large_scalar_formulas_name_shared_parts() -> None:
    state = x
    for _ in range(8):
        state = a * state * (1 - state)
    found = sm.compile((state - y) ** 2, parameters=[a]).gradient[a]
    assert len(found.where) > 5
    assert max(len(line) for line in str(found).splitlines()) < 2000


# ------------------------------------------------------------------------------------------------ the way back


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


def formulas(loss: Any, parameters: list[str], kind: str, batched: bool) -> list[tuple[Formula, Definition, Scope]]:
    scope = Scope(parameters=dict.fromkeys(parameters), batched=batched)
    output = read_all({"loss": loss}, scope)["loss"].tensor
    names, adjoint_of = dict(scope.names), {}
    scale = power(EXAMPLES, -1) if batched else ONE
    found = gradient(output, [scope.symbols[q].tensor for q in parameters], names, scale, adjoint_of)
    result = []
    for parameter in parameters:
        symbol = scope.symbols[parameter]
        whole = found[symbol.tensor]
        share = per_example(whole) if batched else whole
        one = formula(share, f"dloss/d{parameter}", scope, names, symbol.declared, kind, adjoint_of=adjoint_of)
        result.append((one, whole, scope))
    return result


def read_back(expression: Any, scope: Scope) -> Definition:
    again = Scope(parameters=scope.parameters, batched=scope.batched)
    return read_all({"gradient": expression}, again)["gradient"].tensor


def filled(one: Formula) -> Any:
    """The formula with every name replaced by what it stands for."""
    expression = one.expr
    for name, value in reversed(one.where.items()):
        symbols = [g for g in expression.free_symbols if getattr(g, "name", None) == name]
        expression = expression.xreplace(dict.fromkeys(symbols, value))
    return expression


def test_way_back_of_a_hessian() -> None:
    wrt = [a, b, x]
    one = sm.hessian(sp.sin(a * x) * sp.exp(b), wrt)
    scope = Scope(parameters={str(each): each for each in wrt}, batched=False)
    assert core([read_back(one.expanded(), scope)]) == core([one.definition]), str(one)


@pytest.mark.parametrize(("loss", "parameters", "kind", "batched"), MODELS)
def test_way_back(loss: Any, parameters: list[str], kind: str, batched: bool) -> None:
    """What is shown is what runs: read again, the formula is the same core; with names, and without."""
    for one, _, scope in formulas(loss, parameters, kind, batched):
        want = core([one.definition])
        assert core([read_back(one.expanded(), scope)]) == want, str(one)
        assert core([read_back(filled(one), scope)]) == want, str(one)


LENGTHS = {"n": 7, "q": 3}
ROWS = 5


def values_for(tensors: list[Definition]) -> Mapping[str, Any]:
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {}
    for tensor in tensors:
        if tensor.kind == "input":
            lengths = [
                ROWS if extent(x_) is EXAMPLES else LENGTHS.get(extent(x_).data, extent(x_).data) for x_ in tensor.axes
            ]
            values[tensor.name] = rng.integers(0, 3, lengths) if tensor.integer else rng.uniform(0.2, 1.5, lengths)
    return values


@pytest.mark.parametrize(("loss", "parameters", "kind", "batched"), MODELS)
def test_mean_of_the_shares_is_the_gradient(loss: Any, parameters: list[str], kind: str, batched: bool) -> None:
    sizes = {**LENGTHS, str(EXAMPLES.data): ROWS}
    for one, whole, _ in formulas(loss, parameters, kind, batched):
        values = values_for(definitions([whole, one.definition]))
        want, share = evaluate([whole, one.definition], values, sizes)
        got = share.mean(0) if one.definition.batched else share
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("loss", "parameters", "kind", "batched"), MODELS)
def test_latex_has_every_line(loss: Any, parameters: list[str], kind: str, batched: bool) -> None:
    for one, _, _ in formulas(loss, parameters, kind, batched):
        written = one._repr_latex_()
        assert written.startswith("$") and written.count("{") == written.count("}")
        assert written.count("&=") == (1 + len(one.where) if one.where else 0)


def test_the_way_back_can_fail() -> None:
    """The comparison itself: a wrong sign is another core."""
    ((one, _, scope),) = formulas((a * x - y) ** 2, ["a"], "scalar", True)
    assert core([read_back(-one.expanded(), scope)]) != core([one.definition])


def test_sympy_works_on_formulas() -> None:
    one = sm.grad(sm.dot(A * v - u, A * v - u), v).expr
    assert one.subs(u, sp.ZeroMatrix(3, 1)).doit() == 2 * A.T * A * v
    assert {A, v, u} <= one.atoms(sp.MatrixSymbol)
    assert "A^{T}" in sympy_latex(one)


# ------------------------------------------------------------------------------------------------ trace and graph

LECTURE = """\
v1  = x
v2  = y
v3  = z
v4  = v1**2
v5  = v2*v4
v6  = sin(v5)
v7  = exp(v3)
v8  = v6 + v7
dv8 = 1
dv7 = dv8
dv6 = dv8
dv5 = dv6*cos(v5)
dv4 = dv5*v2
dv3 = dv7*v7
dv2 = dv5*v4
dv1 = 2*dv4*v1"""


def test_trace_of_the_lecture() -> None:
    z = sp.Symbol("z")
    found = trace(sp.sin(x**2 * y) + sp.exp(z))
    assert str(found) == LECTURE
    assert found._repr_latex_().count("&=") == 16


@pytest.mark.parametrize("expr", [
    pytest.param((x - y)**2/(x + y), id="a value with two users"),
    pytest.param(x*y + x, id="an input with two users"),
    pytest.param(sp.exp(x)*sp.exp(x), id="one step used twice"),
    pytest.param(3*x - 2, id="constants are no steps"),
    pytest.param(x, id="no step at all"),
])  # fmt: skip
def test_trace_values(expr: Any) -> None:
    """The adjoints of the inputs are the derivatives."""
    found = trace(expr)
    known: dict[Any, Any] = {x: 0.7, y: 1.9}
    for step in (*found.forward, *found.adjoints):
        known[sp.Symbol(step.name)] = step.formula.subs(known)
    inputs = [step for step in found.forward if step.formula in (x, y)]
    for step in inputs:
        want = sp.diff(expr, step.formula).subs({x: 0.7, y: 1.9})
        assert float(known[sp.Symbol(f"d{step.name}")]) == pytest.approx(float(want), rel=1e-12)


def test_trace_refuses_arrays() -> None:
    with pytest.raises(sm.SympileError, match="scalar"):
        trace(sm.dot(w, w))


def test_dot_draws_every_tensor() -> None:
    scope = Scope(parameters={"A": None})
    output = read_all({"loss": sm.dot(e, e) / 2}, scope)["loss"].tensor
    drawn = dot([output], scope.names)
    every = definitions([output])
    assert drawn.startswith("digraph") and drawn.count("label=") == len(every)
    assert drawn.count("peripheries=2") == 1 and 'label="h[' in drawn


# ------------------------------------------------------------------------------------------------ the core


@pytest.mark.parametrize(("left", "right", "same"), [
    pytest.param(v.T*(S*(B*v)), ((v.T*S)*B)*v, True, id="contracted in another order"),
    pytest.param(sm.dot(S*v, B*v), v.T*S.T*B*v, True, id="dot product and chain"),
    pytest.param(sp.Trace(S*B), sp.Trace(B*S), True, id="a trace turns round"),
    pytest.param(sp.Sum(S[i, j]*v[j, 0]*w[i, 0], (i, 0, 3), (j, 0, 3)), sm.scalar(w.T*S*v), True, id="indices"),
    pytest.param(v.T*S*B*v, v.T*B*S*v, False, id="matrices do not commute"),
    pytest.param(v.T*S*v, -v.T*S*v, False, id="the sign counts"),
])  # fmt: skip
def test_core_of_products(left: Any, right: Any, same: bool) -> None:
    scope = Scope(batched=False)
    tensors = [read_all({"value": side}, scope)["value"].tensor for side in (left, right)]
    assert (core(tensors[:1]) == core(tensors[1:])) is same
