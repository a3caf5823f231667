"""Functions of one operand that have parts in common are computed together; the bits are those of each alone."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul, neg, sub
from sympile.compiler.graph.node import Node, const, hole, postorder
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.fusing.together import computed_together

x = sp.Symbol("x")
a, b = hole("a"), hole("b")


def f(op: str, *args: Node) -> Node:
    return function(op, *args)


SIGMOID, SOFTPLUS = f("sigmoid", a), f("softplus", a)
TOGETHER = {"exp", "sigmoid_with", "softplus_with"}


@pytest.mark.parametrize(
    ("bodies", "routines"),
    [
        pytest.param([SIGMOID, SOFTPLUS], TOGETHER, id="one exponential"),
        pytest.param([mul(SIGMOID, SOFTPLUS)], TOGETHER, id="within one formula"),
        pytest.param([SIGMOID, f("softplus", b)], {"sigmoid", "softplus"}, id="of different operands"),
        pytest.param([SIGMOID, mul(SIGMOID, b)], {"sigmoid"}, id="one alone"),
        pytest.param([SIGMOID, f("sigmoid", neg(a))], {"exp", "sigmoid_with"}, id="of a and -a"),
        pytest.param([f("softplus", sub(b, a)), f("sigmoid", sub(a, b))], TOGETHER | {"add"}, id="of a - b and b - a"),
        pytest.param([SIGMOID, f("sigmoid", mul(const(-2), a))], {"sigmoid"}, id="of a and -2 a"),
        pytest.param([f("sigmoid", SIGMOID), f("softplus", SIGMOID)], TOGETHER | {"sigmoid"}, id="of one alone"),
        pytest.param([f("sigmoid", SOFTPLUS), SIGMOID, f("softplus", SOFTPLUS)], TOGETHER, id="both levels"),
    ],
)
def test_what_is_written_together(bodies: list[Node], routines: set[str]) -> None:
    written = computed_together(bodies)
    seen, stack = set(), list(written)
    while stack:
        node = stack.pop()
        seen.add(node.op)
        stack.extend(node.args)
    assert seen - {"hole", "mul", "pow", "abs", "const"} == routines


def test_a_number_and_its_negative_share_one_exponential() -> None:
    written = computed_together([f("sigmoid", sub(a, b)), f("sigmoid", sub(b, a)), f("softplus", sub(b, a))])
    assert len({node for node in postorder(written) if node.op == "exp"}) == 1


def test_bodies_without_families_stay_the_same() -> None:
    bodies = [add(SIGMOID, b), f("exp", a)]
    assert all(new is old for new, old in zip(computed_together(bodies), bodies, strict=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softplus_and_sigmoid_have_the_same_bits_as_apart(dtype: str) -> None:
    points = np.linspace(-800, 800, 3001).astype(dtype)
    formulas = [sp.log(1 + sp.exp(x)), 1 / (1 + sp.exp(-x)), 1 / (1 + sp.exp(x))]
    together = sm.lambdify([x], formulas, dtype=dtype)(points)
    for got, formula in zip(together, formulas, strict=True):
        np.testing.assert_array_equal(got, sm.lambdify([x], formula, dtype=dtype)(points))
