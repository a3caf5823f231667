"""Sums that stand in other sums are terms of them in code: the same values, in no more additions than were written."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import input_tensor, read
from sympile.compiler.graph.node import Node, const, number, postorder, target
from sympile.compiler.passes.fusing.sharing import shared_products
from sympile.compiler.passes.fusing.within import rebuilt, sums_within

NAMES = "abcdefghijkl"
a, b, c, d, e, f = (read(input_tensor(name, ())) for name in NAMES[:6])
EVERY = [read(input_tensor(name, ())) for name in NAMES]


def joined(*bodies: Node) -> list[Node]:
    return rebuilt(bodies, sums_within(postorder(bodies)))


def exact(body: Node, values: dict[str, Fraction]) -> Fraction:
    """The value of sums and products, without any rounding."""
    found: dict[Node, Fraction] = {}
    for node in postorder([body]):
        own = [found[arg] for arg in node.args]
        if node.op == "const":
            found[node] = Fraction(number(node))
        elif node.op == "read":
            found[node] = values[target(node).name]
        else:
            assert node.op in ("add", "mul")
            found[node] = sum(own, Fraction(0)) if node.op == "add" else Fraction(np.prod(own))
    return found[body]


def terms_in(bodies: list[Node]) -> int:
    return sum(len(node.args) for node in postorder(bodies) if node.op == "add")


TIMES = st.sampled_from([-3, -2, -1, 1, 2, 3, Fraction(1, 2), Fraction(-7, 3)])
PARTS = st.lists(st.tuples(st.integers(0, len(NAMES) - 1), TIMES), min_size=2, max_size=9)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PARTS, st.integers(0, 20), TIMES), min_size=2, max_size=12))
def test_the_same_number_exactly(written: list) -> None:
    """Sums of numbers, and of some multiple of an earlier sum, which is flattened into them."""
    sums: list[Node] = []
    for parts, earlier, times in written:
        before = [mul(const(times), sums[earlier % len(sums)])] if sums and earlier < 15 else []
        sums.append(add(*before, *[mul(const(k), EVERY[n]) for n, k in parts]))
    values = {name: Fraction(3 * k * k + 1, 7 + k) for k, name in enumerate(NAMES)}
    now = joined(*sums)
    assert [exact(body, values) for body in now] == [exact(body, values) for body in sums]
    assert terms_in(now) <= terms_in(sums)


def test_a_chain_has_as_many_terms_as_were_written() -> None:
    """Each is the one before and one more; with more than 32 terms sums are not flattened any more."""
    numbers = [read(input_tensor(f"n{k}", ())) for k in range(200)]
    sums = [add(*numbers[:3])]
    for one in numbers[3:]:
        sums.append(add(sums[-1], one))
    assert terms_in(sums) > 3000
    assert terms_in(joined(*sums)) < 450


@pytest.mark.parametrize(
    ("inner", "outer", "held"),
    [
        pytest.param([a, b, c], [a, b, c, d], True, id="a term more"),
        pytest.param([a, b, c], [mul(const(-1), a), mul(const(-1), b), mul(const(-1), c), d], True, id="its negative"),
        pytest.param([a, b, mul(const(2), c)], [a, b, mul(const(3), c), d], True, id="like terms were collected"),
        pytest.param([a, b, mul(const(3), c)], [a, b, mul(const(2), c), d], False, id="c would cancel"),
        pytest.param([a, b, c], [a, b, mul(const(-1), c), d], False, id="c would cancel, and more"),
        pytest.param([a, b, c], [a, b, d, e], False, id="c is not there"),
        pytest.param([a, b], [a, b, c, d], False, id="two terms are as quickly added again"),
    ],
)
def test_what_is_held(inner: list[Node], outer: list[Node], held: bool) -> None:
    one, other = add(*inner), add(*outer)
    _, now = joined(one, other)
    below = postorder([now])
    assert (one in below) is held
    values = {name: Fraction(2 * k + 1, 3) for k, name in enumerate(NAMES)}
    assert exact(now, values) == exact(other, values)


def test_two_sums_in_one() -> None:
    whole = add(a, b, c, d, e, f)
    *_, now = joined(add(a, b, c), add(d, e, f), whole)
    assert set(now.args) == {add(a, b, c), add(d, e, f)}


def test_long_chains_are_no_matter_of_depth() -> None:
    total = add(a, b, c)
    sums = [total]
    for k in range(6000):
        factor = read(input_tensor(f"n{k % 50}", ()))
        total = add(mul(total, factor), *EVERY[k % 5 : k % 5 + 4]) if k % 3 == 0 else add(total, mul(factor, EVERY[k % 12]))
        sums.append(total)
    assert len(joined(*sums)) == len(sums)


def test_exact_code_keeps_its_sums() -> None:
    sums = [add(a, b, c), add(a, b, c, d)]
    assert shared_products(sums, exact=True) == sums
    assert shared_products(sums) != sums


# ------------------------------------------------------------------------------------------------ unrolled recurrences

x, y, k, u = sp.symbols("x y k u")


def euler(steps: int) -> sp.Expr:
    """y' = u - k y from x on, by explicit Euler steps written one into the other."""
    state: sp.Expr = x
    with sp.evaluate(False):
        for _ in range(steps):
            state = state + (u - k * state) / steps
        return (state - y) ** 2


def euler_exactly(steps: int, x0: float, y0: float, k0: float, u0: float) -> list[float]:
    """The loss, and its slopes by k and u, with 50 digits."""
    with mp.workdps(50):
        state, by_k, by_u, h = mpf(x0), mpf(0), mpf(0), mpf(1) / steps
        for _ in range(steps):
            by_k, by_u = by_k - h * (state + mpf(k0) * by_k), by_u + h * (1 - mpf(k0) * by_u)
            state = state + h * (mpf(u0) - mpf(k0) * state)
        error = state - mpf(y0)
        return [float(error**2), float(2 * error * by_k), float(2 * error * by_u)]


@pytest.mark.parametrize("steps", [7, 40, 150])
def test_euler_steps(steps: int) -> None:
    model = sm.compile(euler(steps), [k, u])
    value, slopes = model.value_and_grad({k: 1.25, u: 0.5, x: np.array([3.0]), y: np.array([0.5])})
    want = euler_exactly(steps, 3.0, 0.5, 1.25, 0.5)
    np.testing.assert_allclose([value, slopes[k], slopes[u]], want, rtol=1e-13)


def test_euler_steps_are_little_code() -> None:
    """Ten instructions for each step and its slopes; 48 with every state written out."""
    text = sm.compile(euler(150), [k, u]).stages["llvm"]
    arithmetic = sum(text.count(f" = {word} ") for word in ("fadd", "fsub", "fmul", "fneg")) + text.count("@llvm.fma")
    assert arithmetic < 150 * 15
