"""Formulas that are hard to show: their exact text, the way back to the definition, and their values by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from truth import complex_step

import sympile as sm
from sympile.compiler.errors import ArgumentError, FormulaTooLarge, ShapeError
from sympile.compiler.graph.inline import core
from sympile.compiler.passes.read import read_all
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.show import formula as showing

MS = sp.MatrixSymbol
A, b, v, w, u = MS("A", 4, 3), MS("b", 4, 1), MS("x", 3, 1), MS("w", 3, 1), MS("u", 4, 1)
X, B, C = MS("X", 5, 3), MS("B", 3, 4), MS("c", 5, 1)
y, c = sp.symbols("y c")
K = sp.Matrix([[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 0, 1]])
F = sp.Matrix([[sp.Rational(1, 2), 0.25], [3, -1]])
L = sp.Matrix([1, sp.Rational(1, 3), -2, 7])
Q = sp.Matrix([[1, 2, 0, 0], [0, 3, 1, 1], [1, 0, 4, 0], [0, 0, 0, 2]])
z = MS("z", 2, 1)
GIVEN = {str(symbol): symbol for symbol in (A, b, v, w, u, X, B, C, y, c, z)}
RNG = np.random.default_rng(3)
VALUES: dict[str, Any] = {
    name: RNG.normal(size=getattr(symbol, "shape", ())) for name, symbol in GIVEN.items() if symbol not in (c, C)
}  # fmt: skip
kn, fn, ln, qn = (np.array(numbers.tolist(), float) for numbers in (K, F, L, Q))


def softmax(logits: Any, axis: int = 0) -> Any:
    exps = np.exp(logits)
    return exps / exps.sum(axis, keepdims=True)


def huber(error: Any) -> Any:
    return np.where(np.abs(error.real) > 1, np.where(error.real > 0, error, -error) - 0.5, error**2 / 2)


def where_greater(p: Any, yes: Any, no: Any) -> Any:
    return np.where((p["A"] @ p["x"]).real > p["b"].real, yes, no).sum()


kw = "Matrix([[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 0, 1]])"
kl, klt = "Matrix([1, 1/3, -2, 7])", "Matrix([[1, 1/3, -2, 7]])"
kq = "Matrix([[2, 2, 1, 0], [2, 6, 1, 1], [1, 1, 8, 0], [0, 1, 0, 4]])"
form = "Matrix([[1, 1, 1/2, 0], [1, 3, 1/2, 1/2], [1/2, 1/2, 4, 0], [0, 1/2, 0, 2]])"
some = "exp(u[0, 0] + 2*u[1, 0] + 3*u[2, 0])"
kt = "Matrix([[1, 4, 7, 1], [2, 5, 8, 0], [3, 6, 9, 1]])"
masked = sm.named("m", sm.greater(A * v, b))
error = y - sm.dot(w, v)

# fmt: off
SHOWN = [
    #            loss, by what, the gradient's text (values with names below it), the loss in NumPy
    pytest.param(sm.dot(K*w, u), w, f"{kt}*u", lambda p: (kn @ p["w"] * p["u"]).sum(), id="a matrix of numbers"),
    pytest.param(sm.norm(K*w - u)**2, w, f"2*{kt}*({kw}*w - u)", lambda p: ((kn @ p["w"] - p["u"])**2).sum(), id="its residual"),
    pytest.param(sm.norm(A*sp.Matrix([1, 2, 3]))**2, A, "2*A*Matrix([1, 2, 3])*Matrix([[1, 2, 3]])",
                 lambda p: ((p["A"] @ [1, 2, 3])**2).sum(), id="a column of numbers"),
    pytest.param(sm.norm(sp.Matrix([1, 2, 3]) + w)**2, w, "2*(Matrix([1, 2, 3]) + w)",
                 lambda p: ((p["w"] + [[1], [2], [3]])**2).sum(), id="a column that is added"),
    pytest.param(sm.norm(F*z)**2, z, "2*Matrix([[1/2, 3], [1/4, -1]])*Matrix([[1/2, 1/4], [3, -1]])*z",
                 lambda p: ((fn @ p["z"])**2).sum(), id="fractions and floats"),
    pytest.param(sm.sum(sm.tanh(K*w)), w, f"{kt}*(1 - v1∘v1)\n  v1 = tanh({kw}*w)",
                 lambda p: np.tanh(kn @ p["w"]).sum(), id="a function of a product with numbers"),
    pytest.param(sm.sin(sm.dot(L, u)), u, f"cos({klt}*u)*{kl}", lambda p: np.sin((ln*p["u"]).sum()), id="a linear form"),
    pytest.param(sm.sin(3 - sm.dot(L, u) + sm.dot(u, b)), u, f"v1*b - v1*{kl}\n  v1 = cos(b.T*u + 3 - {klt}*u)",
                 lambda p: np.sin(3 - (ln*p["u"]).sum() + (p["u"]*p["b"]).sum()), id="a linear form among others"),
    pytest.param(sm.exp(-sm.dot(u, Q*u)), u, f"-exp(-u.T*{form}*u)*{kq}*u",
                 lambda p: np.exp(-(p["u"]*(qn @ p["u"])).sum()), id="a quadratic form"),
    pytest.param(sp.exp(u[0, 0] + 2*u[1, 0] + 3*u[2, 0]), u,
                 f"Matrix([\n[  {some}],\n[2*{some}],\n[3*{some}],\n[                                     0]])",
                 lambda p: np.exp(p["u"][0, 0] + 2*p["u"][1, 0] + 3*p["u"][2, 0]), id="a sum of some entries stays as it is written"),
    pytest.param(sm.sin(u[0, 0] + u[1, 0] + u[2, 0] + u[3, 0]), u,
                 "cos(u[0, 0] + u[1, 0] + u[2, 0] + u[3, 0])*ones(4, 1)",
                 lambda p: np.sin(p["u"].sum()), id="a sum of all"),
    pytest.param(sp.log(sm.dot(u, u)), u, "2*u/(u.T*u)", lambda p: np.log((p["u"]**2).sum()), id="a denominator"),
    pytest.param(z[0, 0]**4 + z[1, 0]**2, z, "Matrix([\n[4*z[0, 0]**3],\n[   2*z[1, 0]]])",
                 lambda p: p["z"][0, 0]**4 + p["z"][1, 0]**2, id="entries that are no product stay entries"),
    pytest.param(2*sm.sum(w), w, "2*ones(3, 1)", lambda p: 2*p["w"].sum(), id="ones"),
    pytest.param(sm.mean(w), w, "ones(3, 1)/3", lambda p: p["w"].mean(), id="ones of a mean"),
    pytest.param(sm.sum(A*v), A, "ones(4, 1)*x.T", lambda p: (p["A"] @ p["x"]).sum(), id="ones in a product"),
    pytest.param(sm.sum(A*v) + sm.dot(v, v), v, "A.T*ones(4, 1) + 2*x", lambda p: (p["A"] @ p["x"]).sum() + (p["x"]**2).sum(),
                 id="ones in a sum"),
    pytest.param(sm.huber(sm.dot(w, v), y), w, "Piecewise((sign(w.T*x - y), Abs(y - w.T*x) > 1), (w.T*x - y, True))*x",
                 lambda p: huber(p["y"] - (p["w"]*p["x"]).sum()), id="Huber"),
    pytest.param(sm.huber(A*v, u), A, "where([Abs(v1) > 1], sign(v1)/4, v1/4)*x.T\n  v1 = A*x - u",
                 lambda p: huber(p["A"] @ p["x"] - p["u"]).mean(), id="Huber of vectors"),
    pytest.param(sp.Piecewise((error/4, error > 0), (-3*error/4, True)), w, "Piecewise((-1/4, y - w.T*x > 0), (3/4, True))*x",
                 lambda p: (lambda e: np.where(e.real > 0, e/4, -3*e/4))(p["y"] - (p["w"]*p["x"]).sum()), id="quantile"),
    pytest.param(sp.Piecewise((y**2, y > 1), (y**3, y > 0), (sp.sin(y), True)), y,
                 "Piecewise((2*y, y > 1), (3*y**2, y > 0), (cos(y), True))",
                 lambda p: np.where(p["y"].real > 1, p["y"]**2, np.where(p["y"].real > 0, p["y"]**3, np.sin(p["y"]))), id="three branches"),
    pytest.param(sm.sum(sm.where(sm.greater(A*v, b), A*v - b, 2*(A*v - b))), b, "where([A*x > b], -1, -2)",
                 lambda p: (lambda e: where_greater(p, e, 2*e))(p["A"] @ p["x"] - p["b"]), id="numbers as branches"),
    pytest.param(sm.sum(sm.where(masked, sm.tanh(A*v - b), 2*(A*v - b))), A,
                 "where(m, 1 - v1∘v1, 2)*x.T\n  v1 = tanh(A*x - b)\n  m  = [A*x > b]",
                 lambda p: (lambda e: where_greater(p, np.tanh(e), 2*e))(p["A"] @ p["x"] - p["b"]), id="a condition with a name"),
    pytest.param(sm.sum(sm.where(masked, sm.exp(A*v), 0)), A, "where(m, exp(v1), 0)*x.T\n  v1 = A*x\n  m  = [v1 > b]",
                 lambda p: where_greater(p, np.exp(p["A"] @ p["x"]), 0), id="one branch of a named condition"),
    pytest.param(sm.cross_entropy(A*v + b, c), A, "(softmax(A*x + b) - one_hot(c, 4))*x.T",
                 lambda p: np.log(np.exp(p["A"] @ p["x"] + p["b"]).sum()) - (p["A"] @ p["x"] + p["b"])[2, 0], id="a class number"),
    pytest.param(sm.cross_entropy(X*B, C), B, "(X.T*softmax(X*B) - X.T*one_hot(c, 4))/5",
                 lambda p: np.mean(np.log(np.exp(p["X"] @ p["B"]).sum(1)) - (p["X"] @ p["B"])[range(5), [0, 3, 1, 2, 3]]),
                 id="a class number for each row"),
    pytest.param(sm.dot(sm.one_hot(c, 3), w*y), y, "w[c, 0]", lambda p: p["w"][2, 0]*p["y"], id="one_hot as it is written"),
]
# fmt: on


@pytest.mark.parametrize(("loss", "wrt", "want", "value"), SHOWN)
def test_shown(loss: Any, wrt: Any, want: str, value: Callable[[Any], Any]) -> None:
    """The text; what is shown is the definition again; and both have the value that complex steps find."""
    shown = sm.grad(loss, wrt)
    assert str(shown).removeprefix(f"d/d{wrt} = ") == want
    scope = Scope(parameters=shown.scope.parameters, constants=shown.scope.constants, batched=shown.scope.batched)
    assert core([read_all({"gradient": shown.expanded()}, scope)["gradient"].tensor]) == core([shown.definition])
    numbers = {**VALUES, "c": np.array([[0], [3], [1], [2], [3]]) if loss.has(C) else 2}
    names = sorted(scope.symbols)
    symbols = [C if name == "c" and loss.has(C) else GIVEN[name] for name in names]
    expected = complex_step(lambda p: np.asarray(value(p)).sum(), VALUES, str(wrt))
    for form in (shown, shown.expanded()):
        found = sm.lambdify(symbols, form)(*[numbers[name] for name in names])
        np.testing.assert_allclose(np.reshape(found, np.shape(expected)), expected, rtol=1e-10, atol=1e-12)


# fmt: off
ALIKE = "Matrix([[2, 1, 1, 1], [1, 2, 1, 1], [1, 1, 2, 1], [1, 1, 1, 2]])"
HALF = "Matrix([[1, 1/2, 1/2, 1/2], [1/2, 1, 1/2, 1/2], [1/2, 1/2, 1, 1/2], [1/2, 1/2, 1/2, 1]])"
HESSIANS = [
    pytest.param(sm.sin(sm.dot(L, u)) + sm.sum(sm.exp(u)), f"diag(exp(u)) - sin({klt}*u)*{kl}*{klt}",
                 lambda r: np.sin((ln*r).sum()) + np.exp(r).sum(), id="a form beside a diagonal"),
    pytest.param(sm.exp(-sm.dot(u, Q*u)/2), f"v1*{form}*u*u.T*{form} - v1*{form}\n  v1 = exp(-(u.T*{form}*u)/2)",
                 lambda r: np.exp(-(r*(qn @ r)).sum()/2), id="a normal density"),
    pytest.param(sm.exp(-sm.dot(u, (sp.eye(4) + sp.ones(4, 4))*u)/2), f"v1*{ALIKE}*u*u.T*{ALIKE} - v1*{ALIKE}\n  v1 = exp(-u.T*{HALF}*u)",
                 lambda r: np.exp(-((r*r).sum() + r.sum()**2)/2), id="products with equal numbers"),
    pytest.param(sm.log(1 + sm.exp(sm.dot(L, u)))*sm.dot(u, u),
                 f"2*v2*{kl}*u.T + v2*u*Matrix([[2, 2/3, -4, 14]]) + (v2*sigmoid(-v1))*(u.T*u)*{kl}*{klt} + 2*softplus(v1)*I\n"
                 f"  v1 = {klt}*u\n  v2 = sigmoid(v1)", lambda r: np.log(1 + np.exp((ln*r).sum()))*(r*r).sum(), id="a product"),
]
# fmt: on


@pytest.mark.parametrize(("loss", "want", "value"), HESSIANS)
def test_hessians_with_matrices_of_numbers(loss: Any, want: str, value: Callable[[Any], Any]) -> None:
    """Entries of a vector times numbers are not written out; and the values are those of central differences."""
    shown = sm.hessian(loss, u)
    assert str(shown).removeprefix("d²/du² = ") == want
    at, step = VALUES["u"] / 4, 1e-3
    moves = step * np.eye(4)[:, :, None]
    expected = [
        [(value(at + r + q) - value(at + r - q) - value(at - r + q) + value(at - r - q)) / (4 * step**2) for q in moves]
        for r in moves
    ]
    for form in (shown, shown.expanded()):
        np.testing.assert_allclose(sm.lambdify([u], form)(at), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("write", "error", "words"), [
    pytest.param(lambda: sm.one_hot(A, 3), ShapeError, "A, .4, 3., is neither one class number", id="a matrix of numbers"),
    pytest.param(lambda: sm.one_hot(2*C, 3), ShapeError, "neither one class number nor a column symbol", id="no symbol"),
    pytest.param(lambda: sm.one_hot(c, -1), ArgumentError, "a size is a nonnegative integer", id="no size"),
])  # fmt: skip
def test_one_hot_refuses(write: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        write()


def test_one_hot_checks_the_range() -> None:
    function = sm.lambdify([c], sm.one_hot(c, 3))
    np.testing.assert_array_equal(function(1), [[0], [1], [0]])
    with pytest.raises(sm.SympileError, match="c holds 3"):
        function(3)


# ------------------------------------------------------------------------------------------------ sizes in messages

n, m = sp.symbols("n m")
i, j = sm.indices("i j")
signal, kernel, long = sp.IndexedBase("x"), sp.IndexedBase("K", shape=(m,)), sp.IndexedBase("s", shape=(n,))


@pytest.mark.parametrize(("loss", "wrt", "words"), [
    pytest.param(sp.Sum(signal[i + j]*kernel[j], (i, 0, n - 1), (j, 0, m - 1)), kernel, "x has shape (m + n - 1,)", id="a length from ranges"),
    pytest.param(sm.sum(MS("M", n + m - 1, 1)), MS("M", n + m - 1, 1), "M has shape (m + n - 1, 1)", id="a declared size"),
    pytest.param(sp.Sum(long[i + 3]**2, (i, 0, n - 1)), long, "from 3 to n + 2 where 0 to n - 1 is allowed", id="a position"),
    pytest.param(sp.Sum(long[i - 2], (i, 0, n - 1)), long, "from -2 to n - 3 where", id="a position before the first"),
])  # fmt: skip
def test_sizes_in_messages(loss: Any, wrt: Any, words: str) -> None:
    with pytest.raises(ShapeError) as caught:
        sm.grad(loss, wrt)
    assert words in str(caught.value)


# ------------------------------------------------------------------------------------------------ stages


def test_the_graph_is_a_table() -> None:
    """Symbols and named values by their names; what has none by the number that the code has for it."""
    model = sm.compile(sm.sum(sm.named("h", sm.tanh(A * v))), parameters=[A])
    lines = model.stages["graph"].splitlines()
    assert lines[0].split() == ["value", "shape", "formula"]
    assert any(line.startswith("h[e, i] ") and "tanh(t" in line and "examples×4" in line for line in lines)
    assert any(line.startswith("dobjective/dA[i, j] ") and line.endswith("/examples") for line in lines)
    assert not any(word in model.stages["graph"] for word in ("#", "-1*", "i0", "r0", "None"))


def test_the_loops_are_tables() -> None:
    model = sm.compile(sm.sum(sm.named("h", sm.tanh(A * v))), parameters=[A])
    values, nests = model.stages["loops"].split("\n\n")
    assert values.splitlines()[0].split() == ["group", "value", "stored", "as", "shape", "formula"]
    assert nests.splitlines()[0].startswith("group  ")
    assert "h[e, i]" in values and "dobjective/dA[i, j]" in values and "e < examples" in nests
    assert "Loops(" not in model.stages["loops"] and "None" not in nests


@pytest.mark.parametrize(("expression", "want"), [
    pytest.param(y - 1, "y[e] - 1", id="a constant is taken off"),
    pytest.param(1/(y**2 + 1), "1/(y[e]**2 + 1)", id="a reciprocal"),
    pytest.param(-2*sp.sin(y)/3, "-2*sin(y[e])/3", id="sign, factor and divisor"),
    pytest.param(sp.Piecewise((y, y > 1), (0, True)), "where(1 < y[e], y[e], 0)", id="a guard"),
    pytest.param(sp.Piecewise((y, y >= 1), (y**2, True)), "where(1 <= y[e], y[e], y[e]**2)", id="a choice"),
    pytest.param((y + 1)**sp.Rational(3, 2), "(y[e] + 1)**(3/2)", id="a root"),
])  # fmt: skip
def test_plain_texts(expression: Any, want: str) -> None:
    a = sp.Symbol("a")
    model = sm.compile(expression + 0*a, parameters=[a], allow_unused=[a], rewrites="exact")
    line = next(line for line in model.stages["graph"].splitlines() if line.startswith("loss"))
    assert line.split(maxsplit=2)[2].replace("1 + y[e]**2", "y[e]**2 + 1").replace("1 + y[e]", "y[e] + 1") == want


def gated(steps: int, named: bool) -> sm.Model:
    """A recurrence whose state stands in its next state five times."""
    W, U, v = sp.MatrixSymbol("W", 3, 3), sp.MatrixSymbol("U", 3, 2), sp.MatrixSymbol("v", 1, 3)
    X, h = sp.MatrixSymbol("X", steps, 2), sp.MatrixSymbol("h0", 3, 1)
    for n in range(steps):
        gate = sm.sigmoid(W * h + U * X[n, :].T)
        state = h + sp.HadamardProduct(gate, sm.tanh(W * sp.HadamardProduct(gate, h)) - h)
        h = sm.named(f"h{n + 1}", state) if named else state
    return sm.compile((sm.scalar(v * h) - sp.Symbol("t")) ** 2, [W, U, v])


def test_what_doubles_with_every_step_is_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes, before, with a few steps more: each makes it some four times as long when nothing is named."""
    monkeypatch.setattr(showing, "MOST_OPERATIONS", 300)
    formula = gated(6, named=False).gradient["W"]
    assert "more than can be read" in str(formula)
    assert "sm.named" in str(formula)
    with pytest.raises(FormulaTooLarge):
        _ = formula.expr
    monkeypatch.undo()
    assert "h5" in str(gated(6, named=True).gradient["W"])


@pytest.mark.parametrize("number", [10**400, sp.Rational(1, 10**400), 2**1024], ids=["large", "small", "a power of two"])
def test_numbers_beyond_all_floats_are_shown_as_written(number: Any) -> None:
    v = sp.MatrixSymbol("v", 2, 1)
    slope = sm.grad(sm.sum(sp.Matrix([[number, 1], [0, 3]]) * v), v)
    assert slope.expr.doit().subs(v, sp.ones(2, 1)).doit()[0] == number


def test_a_hessian_by_symbols_is_written_entry_by_entry() -> None:
    """Two of its entries are one formula, as if they were a matrix of numbers times it."""
    p, q, r = sp.symbols("p q r")
    formula = (1 - p) ** 2 + 100 * (q - p**2) ** 2 + p * r
    want = sp.Matrix([[1200 * p**2 - 400 * q + 2, -400 * p, 1], [-400 * p, 200, 0], [1, 0, 0]])
    assert sm.hessian(formula, [p, q, r]).expr == want


def test_powers_of_inner_products_in_latex() -> None:
    assert r"\left(u^{T} u\right)^{2}" in sm.grad(sm.dot(u, u)**3, u)._repr_latex_()
    n = sp.Symbol("n", positive=True)
    assert r"\left(u^{T} u\right)^{- n}" in sm.grad(y * sm.dot(u, u)**-n, y)._repr_latex_()
