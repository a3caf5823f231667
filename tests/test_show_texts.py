"""Formulas as they are read: exact texts."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
from shown_models import mlp

import sympile as sm
from sympile.compiler.show.text import text

MS = sp.MatrixSymbol
a, b, x, y, c = sp.symbols("a b x y c")
A, S, B, X, C = MS("A", 3, 4), MS("S", 4, 4), MS("B", 4, 4), MS("X", 4, 5), MS("C", 5, 3)
v, w, t, u = MS("x", 4, 1), MS("w", 4, 1), MS("t", 3, 1), MS("y", 3, 1)
bias = MS("b", 3, 1)
h = sm.named("h", sm.tanh(A * v + bias))
e = sm.named("e", u - h)


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


@pytest.mark.parametrize(("symbol", "want", "in_latex"), [
    pytest.param("O", "(sum(y)*softmax(O*E[w, :].T) - y)*E[w, :]", r"E_{w, :}^{T}", id="output words"),
    pytest.param("E", "one_hot(w, 6)*(sum(y)*softmax(O*E[w, :].T) - y).T*O", r"E_{w, :}^{T}", id="embeddings"),
])  # fmt: skip
def test_rows_chosen_by_data_stay_rows_of_a_matrix(symbol: str, want: str, in_latex: str) -> None:
    """Skip-gram with a softmax, as in lectures on word embeddings."""
    words = {name: MS(name, 6, 4) for name in "EO"}
    word = sp.Symbol("w", integer=True)
    found = sm.grad(sm.cross_entropy(words["O"] * words["E"][word, :].T, MS("y", 6, 1)), words[symbol])
    assert str(found) == want
    assert in_latex in str(found._repr_latex_())


@pytest.mark.parametrize(("part", "want"), [
    pytest.param(A[2, :], "A[2, :]", id="row"),
    pytest.param(A[:, 1], "A[:, 1]", id="column"),
    pytest.param(A[1:, ::2], "A[1:, ::2]", id="slices"),
    pytest.param((A + 2*A)[0:2, :], "(3*A)[:2, :]", id="of a product"),
])  # fmt: skip
def test_slices_are_written_as_one_types_them(part: Any, want: str) -> None:
    assert text(part) == want


def test_arrays_that_occur_often_in_long_lines_have_names() -> None:
    """Two layers of gelu, whose slope holds its argument five times."""
    W, V = MS("W", 5, 4), MS("V", 3, 5)
    loss = sm.mse(V * sm.gelu(W * v + MS("b", 5, 1)), t)
    assert str(sm.grad(loss, W)).splitlines() == [
        "d/dW = ((sqrt(2)*(exp(-(v1∘v1)/2)∘dv3∘v1)/(sqrt(pi)) + dv3∘v2)/2)*x.T",
        "  v1  = W*x + b",
        "  v2  = 1 + erf(sqrt(2)*v1/2)",
        "  v3  = (v1∘v2)/2",
        "  dv3 = V.T*(2*V*v3/3 - 2*t/3)",
    ]


@pytest.mark.parametrize(("loss", "want"), [
    pytest.param(sp.sin(v[0, 0] + v[1, 0] + v[2, 0] + v[3, 0]), "cos(x[0, 0] + x[1, 0] + x[2, 0] + x[3, 0])*ones(4, 1)", id="ones"),
    pytest.param(sm.sum(sp.Matrix([[1, 1, 1, 1], [2, 3, 4, 5]])*v), "Matrix([\n[3],\n[4],\n[5],\n[6]])", id="not everywhere"),
])  # fmt: skip
def test_what_stands_at_every_place_needs_no_places(loss: Any, want: str) -> None:
    assert str(sm.grad(loss, v)) == want


def test_a_hessian_of_squares_by_entries_is_an_identity() -> None:
    assert str(sm.hessian(sum(v[k, 0] ** 2 for k in range(4)), v)) == "2*I"


def test_a_difference_that_begins_with_a_product_of_vectors_is_one_factor() -> None:
    text = str(sm.grad((sm.scalar(w.T*S*v)/2 - y)**2, v))
    assert text in ("((w.T*S*x)/2 - y)*S.T*w", "((x.T*S.T*w)/2 - y)*S.T*w")


def test_index_expressions_have_no_names_and_maxima_have() -> None:
    """Max pooling: in a long line, positions stay as they are, and the maximum of a window stands there once."""
    i, j, k, m = sm.indices("i j k m")
    X = sm.Tensor("X", (4, 4))
    pooled = sm.comprehension(sm.Maximum(X[2*i + k, 2*j + m], (k, 0, 1), (m, 0, 1)), (i, 2), (j, 2))  # fmt: skip
    first, *lines = str(sm.grad((pooled**2).sum(), X)).splitlines()
    assert lines == ["  v1[i, j] = Maximum(X[2*i + k, 2*j + l], (l, 0, 1), (k, 0, 1))"]
    assert first.count("v1[i/2 - ") == 3 and "v2" not in first
