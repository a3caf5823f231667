"""Random index formulas (nested sums, shifted and strided reads, deltas, triangles): gradients agree with the complex step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
from drawing import MANY, SLOW, TOO_LARGE, assert_near, parts_of
from hypothesis import assume, given
from hypothesis import strategies as st
from truth import complex_step

import sympile as sm

Tree = tuple[Any, ...]
N, M, P = sp.symbols("n m p")


KINDS = {"n": 3, "m": 2, "p": 7}  # extents: of i indices, of j indices, and of what is read at i + j and 2*i + 1
ARRAYS = {"V": "n", "W": "m", "M": "nm", "S": "nn", "U": "p", "T": "nmm"}
Bound = tuple[tuple[str, str], ...]  # (index name, kind), outermost first


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
    return {"add": sp.Add, "mul": sp.Mul, "tanh": sp.tanh, "square": lambda a: a**2}[kind](
        *[write_index(p, symbolic) for p in rest]
    )


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
    assume(set(names) <= free)  # else SymPy found that a part of it vanishes
    assume(
        not symbolic or all(k in {e for n in names for e in ARRAYS[n]} for k in "nm")
    )  # some array must tell every size
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
    if parts_of(tree) & NOT_TO_BE_READ_BACK:
        return
    formulas = sm.grad(loss, wrt)
    shown = sm.lambdify(wrt, [formulas[s] for s in wrt])(*values.values())
    for s, slope, by_formula in zip(wrt, expected, shown, strict=True):
        assert_near(by_formula, slope, f"d/d{s} of {loss}: formula {formulas[s]}")


# Gradients with guards on two bound indices are SymPy's to distort: a Sum pulls a Piecewise out of the Sum that binds its index.
NOT_TO_BE_READ_BACK = frozenset({"triangle", "shifted", "strided"})


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
