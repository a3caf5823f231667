"""Random formulas in three notations: gradients agree with 50 digits (scalars) or with the complex step (matrices, indices)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from truth import complex_step

import sympile as sm

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
FEW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=PHASES)
SLOW = settings(FEW, max_examples=12)
MANY = settings(FEW, max_examples=100, derandomize=False)
DIGITS = 50
TOO_LARGE = 1e4                                      # a formula whose parts are larger is ill-conditioned: no judge for float64

# ============================================================================================= scalar formulas


@dataclass(frozen=True)
class Operation:
    """One way to make a formula of formulas: in SymPy, and in mpmath."""

    arity: int
    write: Callable[..., Any]
    value: Callable[..., Any]


def _tame(a: Any) -> Any:
    """Between -1/2 and 1/2."""
    return a / (1 + a * a)


def _sigmoid(a: Any) -> Any:
    return 1 / (1 + mpmath.exp(-a))


def _gelu(a: Any) -> Any:
    return a * (1 + mpmath.erf(a / mpmath.sqrt(2))) / 2


def _selu(a: Any) -> Any:
    scale, alpha = mpmath.mpf("1.0507009873554804934193349852946"), mpmath.mpf("1.6732632423543772848170429916717")
    return scale * (a if a > 0 else alpha * mpmath.expm1(a))


# fmt: off
OPERATIONS: Mapping[str, Operation] = {
    #                arity  SymPy                                                          mpmath
    "add":       Operation(2, lambda a, b: a + b,                                          lambda a, b: a + b),
    "sub":       Operation(2, lambda a, b: a - b,                                          lambda a, b: a - b),
    "mul":       Operation(2, lambda a, b: a * b,                                          lambda a, b: a * b),
    "div":       Operation(2, lambda a, b: a / (1 + b**2),                                 lambda a, b: a / (1 + b**2)),
    "reciprocal": Operation(1, lambda a: (2 + sp.sin(a))**-1,                              lambda a: 1 / (2 + mpmath.sin(a))),
    "square":    Operation(1, lambda a: a**2,                                              lambda a: a**2),
    "cube":      Operation(1, lambda a: a**3,                                              lambda a: a**3),
    "root":      Operation(1, lambda a: sp.sqrt(1 + a**2),                                 lambda a: mpmath.sqrt(1 + a**2)),
    "root of square": Operation(1, lambda a: sp.sqrt(a**2),                                abs),
    "pow 5/2":   Operation(1, lambda a: (1 + a**2)**sp.Rational(5, 2),                     lambda a: (1 + a**2)**mpmath.mpf(2.5)),
    "pow -1.5":  Operation(1, lambda a: (1 + a**2)**-1.5,                                  lambda a: (1 + a**2)**mpmath.mpf(-1.5)),
    "power":     Operation(2, lambda a, b: (1 + a**2)**sp.tanh(b),                         lambda a, b: (1 + a**2)**mpmath.tanh(b)),
    "base 2":    Operation(1, lambda a: 2**a,                                              lambda a: mpmath.mpf(2)**a),
    "exp":       Operation(1, sp.exp,                                                      mpmath.exp),
    "log":       Operation(1, lambda a: sp.log(sp.Rational(1, 2) + a**2),                  lambda a: mpmath.log(mpmath.mpf(1) / 2 + a**2)),
    "log 1+exp": Operation(1, lambda a: sp.log(1 + sp.exp(a)),                             lambda a: mpmath.log(1 + mpmath.exp(a))),
    "log base":  Operation(1, lambda a: sp.log(1 + a**2, 3),                               lambda a: mpmath.log(1 + a**2, 3)),
    "log1p":     Operation(1, lambda a: sm.log1p(a**2),                                    lambda a: mpmath.log1p(a**2)),
    "expm1":     Operation(1, sm.expm1,                                                    mpmath.expm1),
    "sin":       Operation(1, sp.sin,                                                      mpmath.sin),
    "cos":       Operation(1, sp.cos,                                                      mpmath.cos),
    "tan":       Operation(1, sp.tan,                                                      mpmath.tan),
    "sec":       Operation(1, lambda a: sp.sec(_tame(a)),                                  lambda a: mpmath.sec(_tame(a))),
    "asin":      Operation(1, lambda a: sp.asin(_tame(a)),                                 lambda a: mpmath.asin(_tame(a))),
    "acos":      Operation(1, lambda a: sp.acos(_tame(a)),                                 lambda a: mpmath.acos(_tame(a))),
    "atan":      Operation(1, sp.atan,                                                     mpmath.atan),
    "atan2":     Operation(2, lambda a, b: sp.atan2(a, 1 + b**2),                          lambda a, b: mpmath.atan2(a, 1 + b**2)),
    "sinh":      Operation(1, sp.sinh,                                                     mpmath.sinh),
    "cosh":      Operation(1, sp.cosh,                                                     mpmath.cosh),
    "tanh":      Operation(1, sp.tanh,                                                     mpmath.tanh),
    "asinh":     Operation(1, sp.asinh,                                                    mpmath.asinh),
    "acosh":     Operation(1, lambda a: sp.acosh(2 + a**2),                                lambda a: mpmath.acosh(2 + a**2)),
    "atanh":     Operation(1, lambda a: sp.atanh(_tame(a)),                                lambda a: mpmath.atanh(_tame(a))),
    "erf":       Operation(1, sp.erf,                                                      mpmath.erf),
    "erfc":      Operation(1, sp.erfc,                                                     mpmath.erfc),
    "loggamma":  Operation(1, lambda a: sp.loggamma(2 + a**2),                             lambda a: mpmath.loggamma(2 + a**2)),
    "sigmoid":   Operation(1, sm.sigmoid,                                                  _sigmoid),
    "softplus":  Operation(1, sm.softplus,                                                 lambda a: mpmath.log1p(mpmath.exp(a))),
    "silu":      Operation(1, sm.silu,                                                     lambda a: a * _sigmoid(a)),
    "gelu":      Operation(1, sm.gelu,                                                     _gelu),
    "selu":      Operation(1, sm.selu,                                                     _selu),
    "elu":       Operation(1, sm.elu,                                                      lambda a: a if a > 0 else mpmath.expm1(a)),
    "relu":      Operation(1, sm.relu,                                                     lambda a: max(a, mpmath.mpf(0))),
    "leaky":     Operation(1, lambda a: sm.leaky_relu(a, slope=sp.Rational(1, 8)),         lambda a: a if a > 0 else a / 8),
    "hard_tanh": Operation(1, sm.hard_tanh,                                                lambda a: min(max(a, mpmath.mpf(-1)), mpmath.mpf(1))),
    "abs":       Operation(1, sp.Abs,                                                      abs),
    "sign":      Operation(2, lambda a, b: sp.sign(a) * b,                                 lambda a, b: mpmath.sign(a) * b),
    "heaviside": Operation(2, lambda a, b: sp.Heaviside(a) * b,                            lambda a, b: b * (1 + mpmath.sign(a)) / 2),
    "floor":     Operation(2, lambda a, b: sp.floor(a) + b,                                lambda a, b: mpmath.floor(a) + b),
    "max":       Operation(2, sp.Max,                                                      max),
    "max of 3":  Operation(3, sp.Max,                                                      max),
    "min":       Operation(2, sp.Min,                                                      min),
    "branches":  Operation(3, lambda a, b, c: sp.Piecewise((a, b > c), (b * c, True)),     lambda a, b, c: a if b > c else b * c),
    "3 branches": Operation(3, lambda a, b, c: sp.Piecewise((a, (b > c) & (a < 1)), (b, a <= c), (c, True)),
                            lambda a, b, c: a if b > c and a < 1 else b if a <= c else c),
}
# fmt: on

x, y, z = SYMBOLS = sp.symbols("x y z")
Tree = tuple[Any, ...]


def trees() -> st.SearchStrategy[Tree]:
    leaves = st.one_of(
        st.sampled_from([("symbol", s.name) for s in SYMBOLS]),
        st.sampled_from([("symbol", s.name) for s in SYMBOLS]),
        st.sampled_from([("number", Fraction(n, d)) for n in (-3, -1, 1, 2) for d in (1, 2, 3)]),
    )
    return st.recursive(leaves, _grown, max_leaves=9)


def _grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.sampled_from(sorted(OPERATIONS)).flatmap(lambda name: st.tuples(st.just(name), *[inner] * OPERATIONS[name].arity))


def written(tree: Tree) -> Any:
    if tree[0] == "symbol":
        return sp.Symbol(tree[1])
    if tree[0] == "number":
        return sp.Rational(tree[1].numerator, tree[1].denominator)
    return OPERATIONS[tree[0]].write(*[written(part) for part in tree[1:]])


def valued(tree: Tree, at: Mapping[str, Any], seen: list[Any]) -> Any:
    """The tree's value by mpmath; `seen` collects the size of every part."""
    if tree[0] == "symbol":
        return at[tree[1]]
    if tree[0] == "number":
        return mpmath.mpf(tree[1].numerator) / tree[1].denominator
    value = OPERATIONS[tree[0]].value(*[valued(part, at, seen) for part in tree[1:]])
    seen.append(abs(value))
    return value


def true_slope(tree: Tree, at: Mapping[str, Any], name: str) -> Any:
    """d tree / d name at 50 digits; None at a kink, where the two sides disagree."""
    step = mpmath.mpf(10) ** -15
    left, here, right = (valued(tree, {**at, name: at[name] + k * step}, []) for k in (-1, 0, 1))
    if abs((right - here) - (here - left)) > mpmath.mpf(10) ** -24:
        return None
    return (right - left) / (2 * step)


coordinates = st.integers(-64, 64).map(lambda n: n / 29.0)                   # off the kinks of small rationals
points = st.fixed_dictionaries({s.name: coordinates for s in SYMBOLS})


def judged(tree: Tree, point: Mapping[str, float]) -> dict[str, Any]:
    """Values and slopes of a tree that is worth judging here; hypothesis draws another one otherwise."""
    with mpmath.workdps(DIGITS):
        at = {name: mpmath.mpf(value) for name, value in point.items()}
        sizes: list[Any] = []
        value = valued(tree, at, sizes)
        assume(all(mpmath.isfinite(s) and s < TOO_LARGE for s in sizes))
        slopes = {name: true_slope(tree, at, name) for name in point}
        assume(all(slope is not None and abs(slope) < TOO_LARGE for slope in slopes.values()))
    return {"value": value, **slopes}


def assert_near(found: Any, exact: Any, what: str, tolerance: float = 1e-9) -> None:
    difference = np.abs(np.asarray(found, dtype=float) - np.asarray(exact, dtype=float))
    allowed = tolerance * (1 + np.abs(np.asarray(exact, dtype=float)).max(initial=0))
    assert np.all(difference <= allowed), f"{what}\n  found    {found}\n  expected {exact}"


def check_scalar(tree: Tree, point: Mapping[str, float]) -> None:
    truth = judged(tree, point)
    loss = written(tree)
    model = sm.compile(loss, parameters=SYMBOLS, allow_unused=SYMBOLS)
    value, gradient = model.value_and_grad(point)
    assert_near(value, truth["value"], f"value of {loss} at {point}")
    formulas = sm.grad(loss, list(SYMBOLS))
    compiled = sm.lambdify(SYMBOLS, [formulas[s] for s in SYMBOLS])(*[point[s.name] for s in SYMBOLS])
    for s, shown in zip(SYMBOLS, compiled, strict=True):
        assert_near(gradient[s], truth[s.name], f"d/d{s} of {loss} at {point}: backward")
        assert_near(shown, truth[s.name], f"d/d{s} of {loss} at {point}: formula {formulas[s]}")


@FEW
@given(trees(), points)
def test_scalar_gradients(tree: Tree, point: dict[str, float]) -> None:
    check_scalar(tree, point)


@pytest.mark.deep
@MANY
@given(trees(), points)
def test_many_scalar_gradients(tree: Tree, point: dict[str, float]) -> None:
    check_scalar(tree, point)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_operation(name: str) -> None:
    """Every row on its own and inside another formula, whatever hypothesis happens to draw."""
    row = OPERATIONS[name]
    tree = ("mul", ("symbol", "x"), (name, *[("symbol", s.name) for s in SYMBOLS[: row.arity]]))
    for point in ({"x": 0.41, "y": -1.3, "z": 0.77}, {"x": -1.7, "y": 0.6, "z": -0.23}):
        check_scalar(tree, point)


# --------------------------------------------------------------------------------------------- second derivatives

# fmt: off
SMOOTH = ["add", "mul", "div", "square", "cube", "root", "exp", "log", "log 1+exp", "sin", "cos", "tanh", "atan", "atan2", "power",
          "erf", "sigmoid", "gelu", "silu", "asinh", "branches", "relu", "max", "abs", "acos", "base 2"]
# fmt: on


def smooth_trees() -> st.SearchStrategy[Tree]:
    leaves = st.sampled_from([("symbol", s.name) for s in SYMBOLS])
    return st.recursive(
        leaves, lambda inner: st.sampled_from(SMOOTH).flatmap(lambda n: st.tuples(st.just(n), *[inner] * OPERATIONS[n].arity)), max_leaves=6
    )  # fmt: skip


def true_hessian(tree: Tree, point: Mapping[str, float]) -> np.ndarray:
    with mpmath.workdps(DIGITS):
        at = {name: mpmath.mpf(value) for name, value in point.items()}
        step = mpmath.mpf(10) ** -12
        entries = []
        for a, b in itertools.product([s.name for s in SYMBOLS], repeat=2):
            corners = []
            for k, m in itertools.product((1, -1), repeat=2):
                moved = dict(at)
                moved[a] += k * step
                moved[b] += m * step
                corners.append(k * m * valued(tree, moved, []))
            entries.append(float(sum(corners) / (4 * step * step)))
    return np.array(entries).reshape(3, 3)


@FEW
@given(smooth_trees(), points, points)
def test_second_derivatives_agree(tree: Tree, point: dict[str, float], direction: dict[str, float]) -> None:
    truth = judged(tree, point)
    loss = written(tree)
    at, t = [point[s.name] for s in SYMBOLS], np.array([direction[s.name] for s in SYMBOLS])
    wrt, directions = list(SYMBOLS), sp.symbols("u v w")
    expected = true_hessian(tree, point)
    assume(np.abs(expected).max() < TOO_LARGE)
    hessian = sm.lambdify(wrt, sm.hessian(loss, wrt))(*at)
    assert_near(hessian, expected, f"hessian of {loss} at {point}", 1e-7)
    slope = sm.lambdify([*wrt, *directions], sm.jvp(loss, wrt, directions))(*at, *t)
    assert_near(slope, sum(float(truth[n]) * direction[n] for n in point), f"jvp of {loss} at {point}")
    products = sm.hvp(loss, wrt, directions)
    found = sm.lambdify([*wrt, *directions], [products[s] for s in wrt])(*at, *t)
    assert_near(found, expected @ t, f"hvp of {loss} at {point}", 1e-7)
    pulled = sm.vjp(loss, wrt, sp.Symbol("c"))
    found = sm.lambdify([*wrt, sp.Symbol("c")], [pulled[s] for s in wrt])(*at, -1.5)
    assert_near(found, [-1.5 * float(truth[s.name]) for s in SYMBOLS], f"vjp of {loss} at {point}")


# ============================================================================================= matrix formulas

SIZES = {"n": 3, "m": 2}
N, M, P = sp.symbols("n m p")
EXTENTS = {3: N, 2: M}                               # the symbolic twin of a number


def leaf(shape: tuple[int, int], which: str, symbolic: bool) -> sp.MatrixSymbol:
    rows, columns = (EXTENTS.get(n, n) if symbolic else n for n in shape)
    return sp.MatrixSymbol(f"{which}{shape[0]}{shape[1]}", rows, columns)


# fmt: off
ENTRYWISE = {
    "tanh":  (sm.tanh,                                np.tanh),
    "sin":   (lambda a: a.applyfunc(sp.sin),          np.sin),
    "exp":   (lambda a: sm.exp(sm.tanh(a)),           lambda a: np.exp(np.tanh(a))),
    "root":  (lambda a: sm.sqrt(sm.add(sp.HadamardPower(a, 2), 1)), lambda a: np.sqrt(a**2 + 1)),
    "cube":  (lambda a: sp.HadamardPower(a, 3),       lambda a: a**3),
    "softmax": (sm.softmax,                           None),
}
# fmt: on


def _softmax(a: np.ndarray) -> np.ndarray:
    """Over the last axis; of a column over its rows."""
    axis = 0 if a.shape[1] == 1 else 1
    e = np.exp(a - a.max(axis=axis, keepdims=True).real)
    return e / e.sum(axis=axis, keepdims=True)


@st.composite
def matrices(draw: Any, shape: tuple[int, int], symbolic: bool, depth: int) -> Tree:
    """A tree of one shape: (kind, …, parts)."""
    kinds = ["leaf"] if depth == 0 else ["leaf", "sum", "product", "product", "transpose", "hadamard", "entrywise", "scaled", "difference"]
    if depth and shape[0] == shape[1] and not (symbolic and shape[0] not in EXTENTS):
        kinds += ["inverse", "solve"]
    kind = draw(st.sampled_from(kinds))
    again = lambda s: draw(matrices(s, symbolic, depth - 1))  # noqa: E731
    if kind == "leaf":
        return ("leaf", leaf(shape, draw(st.sampled_from("AB")), symbolic), shape)
    if kind in ("sum", "difference", "hadamard"):
        return (kind, again(shape), again(shape))
    if kind == "product":
        inner = draw(st.sampled_from([1, 2, 3]))
        return (kind, again((shape[0], inner)), again((inner, shape[1])))
    if kind == "transpose":
        return (kind, again(shape[::-1]))
    if kind == "entrywise":
        name = draw(st.sampled_from([n for n in sorted(ENTRYWISE) if n != "softmax" or 1 in shape]))
        return (kind, name, again(shape))
    if kind == "scaled":
        return (kind, draw(scalars(symbolic, depth - 1)), again(shape))
    return (kind, shape[0], again(shape)) if kind == "inverse" else (kind, shape[0], again(shape), again(shape))


@st.composite
def scalars(draw: Any, symbolic: bool, depth: int) -> Tree:
    """A tree that is one number."""
    kind = draw(st.sampled_from(["trace", "sum", "norm2", "det", "logdet", "form", "element", "frobenius"]))
    n = draw(st.sampled_from([2, 3]))
    if kind in ("trace", "det", "logdet"):
        return (kind, n, draw(matrices((n, n), symbolic, depth)))
    if kind == "form":
        return (kind, draw(matrices((n, 1), symbolic, depth)), draw(matrices((n, n), symbolic, max(0, depth - 1))))
    other = draw(st.sampled_from([1, 2, 3]))
    return (kind, draw(matrices((n, other), symbolic, depth)))


def safe_matrix(n: int, a: Any, symbolic: bool) -> Any:
    """4 I + tanh(a): never singular, for n up to 3."""
    return 4 * sp.Identity(EXTENTS[n] if symbolic else n) + sm.tanh(a)


def write_matrix(tree: Tree, symbolic: bool) -> Any:
    kind, *rest = tree
    if kind == "leaf":
        return rest[0]
    if kind == "entrywise":
        return ENTRYWISE[rest[0]][0](write_matrix(rest[1], symbolic))
    if kind in ("inverse", "solve", "trace", "det", "logdet"):
        parts = [write_matrix(p, symbolic) for p in rest[1:]]
        return WRITE[kind](rest[0], symbolic, *parts)
    return WRITE[kind](*[write_matrix(p, symbolic) for p in rest])


# fmt: off
WRITE: Mapping[str, Callable[..., Any]] = {
    "sum":        lambda a, b: a + b,
    "difference": lambda a, b: a - 2 * b,
    "product":    lambda a, b: a * b if a.shape != (1, 1) else sm.scalar(a) * b,
    "transpose":  lambda a: a.T,
    "hadamard":   lambda a, b: sp.HadamardProduct(a, b),
    "scaled":     lambda s, a: s * a,
    "inverse":    lambda n, symbolic, a: safe_matrix(n, a, symbolic).I,
    "solve":      lambda n, symbolic, a, b: safe_matrix(n, a, symbolic).I * b,
    "trace":      lambda n, symbolic, a: sp.Trace(a),
    "det":        lambda n, symbolic, a: sp.Determinant(safe_matrix(n, a, symbolic)),
    "logdet":     lambda n, symbolic, a: sp.log(sp.Determinant(safe_matrix(n, a, symbolic))),
    "sum of":     lambda a: sm.sum(a, axis=None),
    "norm2":      lambda a: sp.Trace(a.T * a),
    "frobenius":  lambda a: sp.sqrt(1 + sp.Trace(a * a.T)),
    "form":       lambda v, a: sm.scalar(v.T * a * v),
    "element":    lambda a: a[1, 0],
}
VALUE: Mapping[str, Callable[..., Any]] = {
    "sum":        lambda a, b: a + b,
    "difference": lambda a, b: a - 2 * b,
    "product":    lambda a, b: a @ b,
    "transpose":  lambda a: a.T,
    "hadamard":   lambda a, b: a * b,
    "scaled":     lambda s, a: s * a,
    "inverse":    lambda n, a: np.linalg.inv(4 * np.eye(n) + np.tanh(a)),
    "solve":      lambda n, a, b: np.linalg.solve(4 * np.eye(n) + np.tanh(a), b),
    "trace":      lambda n, a: np.trace(a),
    "det":        lambda n, a: np.linalg.det(4 * np.eye(n) + np.tanh(a)),
    "logdet":     lambda n, a: np.log(np.linalg.det(4 * np.eye(n) + np.tanh(a))),
    "norm2":      lambda a: (a * a).sum(),
    "frobenius":  lambda a: np.sqrt(1 + (a * a).sum()),
    "form":       lambda v, a: (v.T @ a @ v)[0, 0],
    "element":    lambda a: a[1, 0],
}
# fmt: on


def value_matrix(tree: Tree, values: Mapping[str, np.ndarray]) -> Any:
    kind, *rest = tree
    if kind == "leaf":
        return values[rest[0].name]
    if kind == "entrywise":
        inner = value_matrix(rest[1], values)
        return _softmax(inner) if rest[0] == "softmax" else ENTRYWISE[rest[0]][1](inner)
    if kind in ("inverse", "solve", "trace", "det", "logdet"):
        return VALUE[kind](rest[0], *[value_matrix(p, values) for p in rest[1:]])
    if kind == "sum" and len(rest) == 1:
        return value_matrix(rest[0], values).sum()
    return VALUE[kind](*[value_matrix(p, values) for p in rest])


def leaves_of(tree: Tree) -> dict[str, tuple[Any, tuple[int, int]]]:
    if tree[0] == "leaf":
        return {tree[1].name: (tree[1], tree[2])}
    return {k: v for part in tree[1:] if isinstance(part, tuple) for k, v in leaves_of(part).items()}


def _scaled_sums(tree: Tree) -> Tree:
    """Inner "sum" of one part is the sum of entries."""
    if not isinstance(tree, tuple) or tree[0] == "leaf":
        return tree
    parts = tuple(_scaled_sums(p) if isinstance(p, tuple) else p for p in tree[1:])
    return ("sum of", *parts) if tree[0] == "sum" and len(parts) == 1 else (tree[0], *parts)


def check_matrix(tree: Tree, symbolic: bool, seed: int) -> None:
    loss = write_matrix(_scaled_sums(tree), symbolic)
    symbols = leaves_of(tree)
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(size=shape) / 2 for name, (_, shape) in symbols.items()}
    exact = value_matrix(tree, values)
    assume(np.isfinite(exact) and abs(exact) < TOO_LARGE)
    wrt = [symbol for symbol, _ in symbols.values()]
    assume(bool(getattr(loss, "free_symbols", ())))
    model = sm.compile(loss, parameters=wrt, allow_unused=wrt)
    if not set(symbols) <= {str(s) for s in loss.free_symbols}:      # SymPy found that a part of it vanishes
        return
    value, gradient = model.value_and_grad(values)
    assert_near(value, exact, f"value of {loss}")
    formulas = sm.grad(loss, wrt)
    functions = sm.lambdify(wrt, [formulas[s] for s in wrt])(*values.values())
    for s, shown in zip(wrt, functions, strict=True):
        expected = complex_step(lambda v: value_matrix(tree, v), values, s.name)
        assert gradient[s].shape == expected.shape
        assert_near(gradient[s], expected, f"d/d{s} of {loss}: backward")
        assert_near(shown, expected, f"d/d{s} of {loss}: formula {formulas[s]}")


matrix_cases = st.booleans().flatmap(lambda symbolic: st.tuples(scalars(symbolic, 3), st.just(symbolic)))


@SLOW
@given(matrix_cases, st.integers(0, 5))
def test_matrix_gradients(case: tuple[Tree, bool], seed: int) -> None:
    check_matrix(*case, seed)


@pytest.mark.deep
@MANY
@given(matrix_cases, st.integers(0, 5))
def test_many_matrix_gradients(case: tuple[Tree, bool], seed: int) -> None:
    check_matrix(*case, seed)


# ============================================================================================= index formulas

KINDS = {"n": 3, "m": 2, "p": 7}                     # extents: of i indices, of j indices, and of what is read at i + j and 2*i + 1
ARRAYS = {"V": "n", "W": "m", "M": "nm", "S": "nn", "U": "p", "T": "nmm"}
Bound = tuple[tuple[str, str], ...]                  # (index name, kind), outermost first


def base(name: str, symbolic: bool) -> sp.IndexedBase:
    lengths = {"n": N, "m": M, "p": P}
    return sp.IndexedBase(name, shape=tuple(lengths[k] if symbolic else KINDS[k] for k in ARRAYS[name]))


@st.composite
def bodies(draw: Any, bound: Bound, depth: int) -> Tree:
    """A scalar formula over bound indices."""
    kind = draw(st.sampled_from(["read", "read", "shifted", "index", "delta"] if depth == 0 else
                                ["read", "add", "mul", "mul", "tanh", "square", "Sum", "Sum", "LogSumExp", "delta", "triangle"]))  # fmt: skip
    of_kind = lambda k: [name for name, own in bound if own == k]  # noqa: E731
    if kind == "read":
        possible = [name for name, axes in ARRAYS.items() if name != "U" and all(of_kind(k) for k in axes)]
        if possible:
            name = draw(st.sampled_from(possible))
            return ("read", name, *[draw(st.sampled_from(of_kind(k))) for k in ARRAYS[name]])
        return ("index", bound[0][0]) if bound else ("constant", 2)
    if kind == "shifted":
        if of_kind("n") and of_kind("m"):
            return ("shifted", draw(st.sampled_from(of_kind("n"))), draw(st.sampled_from(of_kind("m"))))
        return ("strided", draw(st.sampled_from(of_kind("n")))) if of_kind("n") else ("constant", 3)
    if kind == "index":
        return ("index", draw(st.sampled_from([name for name, _ in bound]))) if bound else ("constant", -1)
    if kind == "delta":
        names = [name for name, _ in bound]
        return ("delta", *draw(st.lists(st.sampled_from(names), min_size=2, max_size=2))) if names else ("constant", 1)
    if kind in ("Sum", "LogSumExp"):
        new, own = f"{'ij'[len(bound) % 2]}{len(bound)}", draw(st.sampled_from("nm"))
        return (kind, new, own, draw(bodies((*bound, (new, own)), depth - 1)))
    if kind == "triangle":
        outer = of_kind("n")
        if not outer:
            return ("constant", 1)
        new = f"k{len(bound)}"
        return (kind, new, draw(st.sampled_from(outer)), draw(bodies((*bound, (new, "n")), depth - 1)))
    arity = 2 if kind in ("add", "mul") else 1
    return (kind, *[draw(bodies(bound, depth - 1)) for _ in range(arity)])


def write_index(tree: Tree, symbolic: bool) -> Any:
    kind, *rest = tree
    index = lambda name: sp.Symbol(name, integer=True)  # noqa: E731
    if kind == "read":
        return base(rest[0], symbolic)[tuple(index(name) for name in rest[1:])]
    if kind in INDEX_LEAVES:
        return INDEX_LEAVES[kind](base("U", symbolic), *[index(a) if isinstance(a, str) else a for a in rest])
    if kind in ("Sum", "LogSumExp"):
        length = {"n": N, "m": M}[rest[1]] if symbolic else KINDS[rest[1]]
        binder = sp.Sum if kind == "Sum" else sm.LogSumExp
        return binder(write_index(rest[2], symbolic), (index(rest[0]), 0, length - 1))
    if kind == "triangle":
        return sp.Sum(write_index(rest[2], symbolic), (index(rest[0]), 0, index(rest[1])))
    return {"add": sp.Add, "mul": sp.Mul, "tanh": sp.tanh, "square": lambda a: a**2}[kind](*[write_index(p, symbolic) for p in rest])


INDEX_LEAVES: Mapping[str, Callable[..., Any]] = {
    "shifted": lambda u, i, j: u[i + j],
    "strided": lambda u, i: u[2 * i + 1],
    "index": lambda u, i: i,
    "delta": lambda u, i, j: sp.KroneckerDelta(i, j),
    "constant": lambda u, c: sp.Integer(c),
}


def value_index(tree: Tree, values: Mapping[str, np.ndarray], at: Mapping[str, int]) -> Any:
    kind, *rest = tree
    if kind == "read":
        return values[rest[0]][tuple(at[name] for name in rest[1:])]
    if kind == "shifted":
        return values["U"][at[rest[0]] + at[rest[1]]]
    if kind == "strided":
        return values["U"][2 * at[rest[0]] + 1]
    if kind == "index":
        return at[rest[0]]
    if kind == "delta":
        return int(at[rest[0]] == at[rest[1]])
    if kind == "constant":
        return rest[0]
    if kind in ("Sum", "LogSumExp", "triangle"):
        length = at[rest[1]] + 1 if kind == "triangle" else KINDS[rest[1]]
        terms = [value_index(rest[2], values, {**at, rest[0]: k}) for k in range(length)]
        return sum(terms) if kind != "LogSumExp" else np.log(sum(np.exp(t) for t in terms))
    parts = [value_index(p, values, at) for p in rest]
    return {"add": np.add, "mul": np.multiply, "tanh": np.tanh, "square": np.square}[kind](*parts)


@st.composite
def closed(draw: Any, depth: int) -> Tree:
    """A formula without free indices: everything under two Sums."""
    return ("Sum", "i0", "n", ("Sum", "j1", "m", draw(bodies((("i0", "n"), ("j1", "m")), depth))))


def names_in(tree: Tree) -> set[str]:
    if tree[0] == "read":
        return {tree[1]}
    own = {"U"} if tree[0] in ("shifted", "strided") else set()
    return own.union(*[names_in(part) for part in tree[1:] if isinstance(part, tuple)])


def check_index(tree: Tree, symbolic: bool, seed: int) -> None:
    names = sorted(names_in(tree))
    assume(names)
    loss = write_index(tree, symbolic)
    free = {str(s) for s in loss.free_symbols}
    assume(set(names) <= free)                       # else SymPy found that a part of it vanishes
    assume(not symbolic or all(k in {e for n in names for e in ARRAYS[n]} for k in "nm"))     # some array must tell every size
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(size=tuple(KINDS[k] for k in ARRAYS[name])) / 2 for name in names}
    exact = value_index(tree, values, {})
    assume(np.isfinite(exact) and abs(exact) < TOO_LARGE)
    wrt = [base(name, symbolic) for name in names]
    value, gradient = sm.compile(loss, parameters=wrt).value_and_grad(values)
    assert_near(value, exact, f"value of {loss}")
    expected = [complex_step(lambda v: value_index(tree, v, {}), values, name) for name in names]
    for name, slope in zip(names, expected, strict=True):
        assert_near(gradient[name], slope, f"d/d{name} of {loss}: backward")
    if kinds_in(tree) & NOT_TO_BE_READ_BACK:
        return
    formulas = sm.grad(loss, wrt)
    shown = sm.lambdify(wrt, [formulas[s] for s in wrt])(*values.values())
    for s, slope, by_formula in zip(wrt, expected, shown, strict=True):
        assert_near(by_formula, slope, f"d/d{s} of {loss}: formula {formulas[s]}")


# Gradients with guards on two bound indices are SymPy's to distort: a Sum pulls a Piecewise out of the Sum that binds its index.
NOT_TO_BE_READ_BACK = frozenset({"triangle", "shifted", "strided"})


def kinds_in(tree: Tree) -> set[str]:
    return {tree[0]}.union(*[kinds_in(part) for part in tree[1:] if isinstance(part, tuple)])


index_cases = st.tuples(closed(4), st.booleans())


@SLOW
@given(index_cases, st.integers(0, 5))
def test_index_gradients(case: tuple[Tree, bool], seed: int) -> None:
    check_index(*case, seed)


@pytest.mark.deep
@MANY
@given(index_cases, st.integers(0, 5))
def test_many_index_gradients(case: tuple[Tree, bool], seed: int) -> None:
    check_index(*case, seed)
