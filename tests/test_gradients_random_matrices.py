"""Random matrix formulas, of numeric and symbolic sizes: gradients agree with the complex step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from drawing import HALF, SLOW, TOO_LARGE, assert_near
from hypothesis import assume, given
from hypothesis import strategies as st
from sympy.matrices.expressions.matexpr import MatrixElement
from truth import complex_step

import sympile as sm

Tree = tuple[Any, ...]
N, M = sp.symbols("n m")


SIZES = {"n": 3, "m": 2}
EXTENTS = {3: N, 2: M}  # the symbolic twin of a number


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
    kinds = (
        ["leaf"]
        if depth == 0
        else ["leaf", "sum", "product", "product", "transpose", "hadamard", "entrywise", "scaled", "difference"]
    )
    if depth and shape[0] == shape[1] and not (symbolic and shape[0] not in EXTENTS):
        kinds += ["inverse", "solve"]
    kind = draw(st.sampled_from(kinds))
    again = lambda s: draw(matrices(s, symbolic, depth - 1))  # noqa: E731
    if kind == "leaf":
        return ("leaf", leaf(shape, draw(st.sampled_from("AB")), symbolic), shape)
    if kind in ("sum", "difference", "hadamard"):
        return (kind, again(shape), again(shape))
    if kind == "product":
        inner = draw(
            st.sampled_from([2, 3] if 1 in shape else [1, 2, 3])
        )  # never 1×1: SymPy multiplies those as scalars
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
    "product":    lambda a, b: a * b,
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
    "element":    lambda a: MatrixElement(a, 1, 0),  # a[1, 0] of numeric sizes is SymPy's own arithmetic, inverses written out
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
    if not set(symbols) <= {str(s) for s in loss.free_symbols}:  # SymPy found that a part of it vanishes
        return
    value, gradient = model.value_and_grad(values)
    assert_near(value, exact, f"value of {loss}")
    expected = {name: complex_step(lambda v: value_matrix(tree, v), values, name) for name in symbols}
    for s in wrt:
        assert gradient[s].shape == expected[s.name].shape
        assert_near(gradient[s], expected[s.name], f"d/d{s} of {loss}: backward")
    formulas = sm.grad(loss, wrt)
    functions = sm.lambdify(wrt, [formulas[s] for s in wrt])(*values.values())
    for s, shown in zip(wrt, functions, strict=True):
        assert_near(shown, expected[s.name], f"d/d{s} of {loss}: formula {formulas[s]}")


matrix_cases = st.booleans().flatmap(lambda symbolic: st.tuples(scalars(symbolic, 3), st.just(symbolic)))


@SLOW
@given(matrix_cases, st.integers(0, 5))
def test_matrix_gradients(case: tuple[Tree, bool], seed: int) -> None:
    check_matrix(*case, seed)



@pytest.mark.deep
@HALF
@given(matrix_cases, st.integers(0, 5))
def test_many_matrix_gradients(case: tuple[Tree, bool], seed: int) -> None:
    check_matrix(*case, seed)
