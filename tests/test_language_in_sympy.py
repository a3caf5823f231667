"""How SymPy treats the language's nodes: printing, copies, substitution, depth."""

from __future__ import annotations

import copy
import pickle
import time
from typing import Any

import pytest
import sympy as sp

from sympile.compiler import language as sm
from sympile.compiler.errors import ShapeError

n, m = sp.symbols("n m")
s, u = sp.symbols("s u")
i, j = sm.indices("i j")
A, B = sp.MatrixSymbol("A", 4, 4), sp.MatrixSymbol("B", 4, 4)
x, y = sp.MatrixSymbol("x", 4, 1), sp.MatrixSymbol("y", 4, 1)
R = sp.MatrixSymbol("R", 2, 3)
X, Y, b = sm.Tensor("X", (28, 7)), sm.Tensor("Y", (7, 28)), sm.Tensor("b", (7,))
Z = sm.Tensor("Z", (n, m))
C = sm.Tensor("C", (2, 3, 4))


# ---------------------------------------------------------------------------------------------------- printing


@pytest.mark.parametrize(("made", "text", "latex"), [
    pytest.param(sm.tanh(A * x + y), "tanh(A*x + y)", r"\tanh\left(A x + y\right)", id="function"),
    pytest.param(sm.hard_tanh(x), "hard_tanh(x)", r"\operatorname{hard\_tanh}\left(x\right)", id="underscore"),
    pytest.param(sm.abs(x), "abs(x)", r"\left|x\right|", id="absolute value"),
    pytest.param(sm.named("z_1", x).T, "z_1.T", r"\left(z_{1}\right)^{T}", id="name"),
    pytest.param(sm.named("h", x) + y, "y + h", "y + h", id="name in a sum"),
    pytest.param(sm.add(A, -1) * x, "(A - 1)*x", r"\left(A - 1\right) x", id="matrix plus scalar binds loosely"),
    pytest.param(sm.sum(x) * A, "sum(x)*A", r"\operatorname{sum}\left(x\right) A", id="sum times matrix"),
    pytest.param(sm.sum(R, axis=0), "sum(R, axis=0)", None, id="an axis that is not the default"),
    pytest.param(sm.sum(R), "sum(R)", None, id="the default axis"),
    pytest.param(sm.max(R, axis=None), "max(R, axis=None)", r"\max\left(R\right)", id="all axes"),
    pytest.param(sm.norm(x, p=1) ** 2, "norm(x, p=1)**2", r"\left\| x \right\|_{1}^{2}", id="norm"),
    pytest.param(sm.softmax(X, axis=0), "softmax(X, axis=0)", None, id="softmax along the first axis"),
    pytest.param(X[1:, i], "X[1:, i]", None, id="item"),
    pytest.param(X[i, -1], "X[i, 6]", "{X}_{i, 6}", id="element"),
    pytest.param((X + 1) * b - X / 2, "(X + 1)*b - X/2", r"\left(X + 1\right) \circ b - \frac{X}{2}", id="precedence"),
    pytest.param(X - (X - b), "X - (X - b)", None, id="brackets on the right"),
    pytest.param((X @ Y).T[0, 1], "(X @ Y).T[0, 1]", None, id="brackets before a dot"),
    pytest.param(-(X**2), "-X**2", None, id="minus a power"),
    pytest.param(2**X, "2**X", r"2^{\circ X}", id="power of a number"),
    pytest.param(X.reshape(196), "X.reshape(196)", None, id="reshape"),
    pytest.param(C.transpose(1, 0, 2), "C.transpose(1, 0, 2)", None, id="transpose"),
    pytest.param(C.sum(1, keepdims=True), "sum(C, axis=1, keepdims=True)", None, id="keepdims"),
    pytest.param(sm.Maximum(X[i, 0], (i, 0, 27)), "Maximum(X[i, 0], (i, 0, 27))",
                 r"\max_{0 \leq i \leq 27} {X}_{i, 0}", id="binder"),
    pytest.param(sm.comprehension(b[j] ** 2, (j, 7)), "[b[j]**2 for j < 7]", None, id="comprehension"),
    pytest.param(sm.leaky_relu(u), "leaky_relu(u, 0.01)", None, id="scalar function with a slope"),
])  # fmt: skip
def test_printing(made: Any, text: str, latex: str | None) -> None:
    assert str(made) == text
    assert sp.pretty(made)
    assert sp.latex(made) if latex is None else sp.latex(made) == latex


# ------------------------------------------------------------------------------------------- SymPy's machinery

KEPT = [
    pytest.param(sm.tanh(A * x + y), id="matrix function"),
    pytest.param(sm.cross_entropy(x, y), id="scalar function"),
    pytest.param(sm.named("h", sm.softmax(A * x)).T * x, id="named"),
    pytest.param(sm.tanh(X @ Y)[1:, None].sum(0), id="tensor"),
    pytest.param(sm.Maximum(X[i, j] + u, (i, 0, j), (j, 0, 6)), id="binder"),
    pytest.param(sm.comprehension(sm.sigmoid(b[j] * u), (j, 7))[i] + u, id="comprehension"),
    pytest.param(sm.leaky_relu(u, 0.2) + sm.gelu(s), id="scalar functions"),
    pytest.param(sm.norm(x, p=1.5), id="a fraction as option"),
]


@pytest.mark.parametrize("made", KEPT)
def test_copies_are_equal(made: Any) -> None:
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.copy(made) == made
    assert copy.deepcopy(made) == made
    assert made.func(*made.args) == made


@pytest.mark.parametrize("made", KEPT)
def test_replacing_nothing_changes_nothing(made: Any) -> None:
    stranger = sp.Symbol("stranger")
    assert made.subs(stranger, 1) == made
    assert made.xreplace({stranger: sp.S.One}) == made
    assert not made.has(stranger)
    assert made.doit() == made


@pytest.mark.parametrize(("made", "old", "new", "want"), [
    pytest.param(sm.tanh(A * x), A, B, sm.tanh(B * x), id="matrix symbol"),
    pytest.param(sm.tanh(sm.exp(x) + y), x, y, sm.tanh(sm.exp(y) + y), id="below another node"),
    pytest.param(sm.sum(x) * u, u, 3, sm.sum(x) * 3, id="beside a node"),
    pytest.param(sm.sum(sm.exp(x)), sm.exp(x), y, sm.sum(y), id="a node itself"),
    pytest.param(sm.tanh(A * sm.exp(x)), A * sm.exp(x), y, sm.tanh(y), id="an expression around a node"),
    pytest.param(Z, n, 5, sm.Tensor("Z", (5, m)), id="a size"),
    pytest.param(Z[1:, 0] * 2, n, 5, sm.Tensor("Z", (5, m))[1:, 0] * 2, id="a size below slices"),
    pytest.param(X * u, u, b, X * b, id="a scalar by a tensor"),
    pytest.param(X[i, j], i, 3, X[3, j], id="an index"),
    pytest.param(sm.comprehension(Z[i, 0] * u, (i, n)), u, 2, sm.comprehension(Z[i, 0] * 2, (i, n)), id="free in it"),
    pytest.param(sm.comprehension(Z[i, 0] * u, (i, n)), i, 2, sm.comprehension(Z[i, 0] * u, (i, n)), id="bound in it"),
    pytest.param(sm.Maximum(b[i], (i, 0, n)), n, 6, sm.Maximum(b[i], (i, 0, 6)), id="a range"),
    pytest.param(sm.sum(x), x, sp.Matrix([1, 2, 3, 4]), sm.sum(sp.Matrix([1, 2, 3, 4])), id="an explicit matrix"),
])  # fmt: skip
def test_substitution_rebuilds(made: Any, old: Any, new: Any, want: Any) -> None:
    assert made.subs(old, new) == want
    assert made.xreplace({sp.sympify(old): sp.sympify(new)}) == want


def test_substitution_captures_no_index() -> None:
    made = sm.Maximum(b[i] * u, (i, 0, 6)).subs(u, i)
    assert i in made.free_symbols
    (bound,) = made.variables
    assert made.function == b[bound] * i
    assert bound != i


def test_substitution_that_breaks_shapes_is_an_error() -> None:
    with pytest.raises(ShapeError):
        sm.maximum(sp.MatrixSymbol("p", n, 1), sp.MatrixSymbol("q", n, 1)).subs(sp.MatrixSymbol("q", n, 1), x)


@pytest.mark.parametrize(("made", "free"), [
    pytest.param(sm.tanh(A * x), {A, x}, id="matrices"),
    pytest.param(X[i, j] * u, {X, i, j, u}, id="an element"),
    pytest.param(sm.Maximum(X[i, j], (i, 0, n)), {X, j, n}, id="a binder binds"),
    pytest.param(sm.Maximum(X[i, j], (i, 0, j), (j, 0, 6)), {X}, id="a later limit binds what an earlier range uses"),
    pytest.param(sm.comprehension(X[i, j], (j, 7)), {X, i}, id="a comprehension binds"),
    pytest.param(sm.LogSumExp(sp.Indexed("K", i), (i, 0, 3)), {sp.Symbol("K")}, id="an element of a base"),
])
def test_free_symbols(made: Any, free: set[Any]) -> None:
    assert {getattr(symbol, "label", symbol) for symbol in made.free_symbols} == free


def test_atoms_and_interning() -> None:
    made = sm.tanh(A * x + y)
    assert made is sm.tanh(A * x + y)
    assert made != sm.tanh(A * y + x)
    assert made.atoms(sp.MatrixSymbol) == {A, x, y}
    assert sm.norm(x, p=1) is not sm.norm(x, p=2)


# ------------------------------------------------------------------------------------------ depth and sharing


def rnn(steps: int) -> Any:
    h: Any = x
    for _ in range(steps):
        h = sm.tanh(A * h + x)
    return h


def gru(steps: int) -> Any:
    h: Any = x
    for t in range(steps):
        z, c = sm.sigmoid(B * h + x), sm.tanh(A * h + x)
        h = sm.named(f"h{t}", sp.HadamardProduct(z, c) + h)
    return h


@pytest.mark.parametrize("network", [rnn, gru])
def test_two_thousand_steps(network: Any) -> None:
    start = time.process_time()
    h = network(2000)
    assert time.process_time() - start < 30  # a second or two; copies of copies would take for ever
    assert h.atoms(sp.MatrixSymbol) == h.free_symbols
    assert h.has(x)
    assert y in h.subs(x, y).free_symbols
    assert y in h.xreplace({x: y}).free_symbols
    assert pickle.loads(pickle.dumps(h)) is h
    assert copy.deepcopy(h) is h


def test_messages_about_deep_formulas_are_short() -> None:
    with pytest.raises(ShapeError) as caught:
        sm.maximum(gru(50), sm.exp(R))
    assert len(str(caught.value)) < 500


def test_walks_of_sympy_meet_what_is_shared_once() -> None:
    """A state that is read four times a step: SymPy's Sum goes through all that it is made of, on every way."""
    state = sm.Tensor("u", (6,))
    for step in range(7):
        mean = sp.Sum(state[j], (j, 0, 5)) / 6
        state = sm.named(f"u{step}", sm.comprehension(state[i] + s * (mean - state[i]) * (1 - state[i]), (i, 6)))
    whole = sp.Sum(state[i] ** 2, (i, 0, 5))
    walked = list(sp.preorder_traversal(whole))
    assert len(walked) < 300, "4**7 ways lead to the first state"
    assert s in whole.atoms(sp.Symbol)
    assert whole.free_symbols == {s, sm.Tensor("u", (6,))}
    assert {str(part) for part in whole.atoms(sm.Tensor)} == {"u"}
