"""One division for each divisor: the same real numbers, by way of a reciprocal."""

from __future__ import annotations

import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, input_tensor, read
from sympile.compiler.graph.node import ONE, Node, make, postorder
from sympile.compiler.passes.fusing.divisors import shared_divisors
from sympile.compiler.small_steps import build_steps

u, v, c = (read(input_tensor(name, [EXAMPLES]), EXAMPLE) for name in "uvc")
n, m = (read(input_tensor(name, [])) for name in "nm")
over_c = make("divide", ONE, c)


@pytest.mark.parametrize(
    ("bodies", "after"),
    [
        pytest.param([mul(u, power(c, -1))], [mul(u, power(c, -1))], id="one quotient stays one"),
        pytest.param(
            [mul(u, power(c, -1)), mul(v, power(c, -1))], [make("mul", u, over_c), make("mul", v, over_c)], id="two"
        ),
        pytest.param(
            [add(power(c, -1), mul(u, power(c, -2)))],
            [make("add", over_c, make("mul", u, make("pow", over_c, data=2)))],
            id="1/c² is the square of 1/c",
        ),
        pytest.param(
            [mul(u, power(n, -2))],
            [make("mul", u, make("pow", make("divide", ONE, n), data=2))],
            id="one in a loop that does not change the divisor",
        ),
        pytest.param([mul(power(n, -1), power(m, 2))], [mul(power(n, -1), power(m, 2))], id="one outside of loops"),
    ],
)
def test_quotients(bodies: list[Node], after: list[Node]) -> None:
    def alike(node: Node) -> tuple[object, ...]:
        return (node.op, node.data, *sorted(map(repr, map(alike, node.args))))

    assert [alike(body) for body in shared_divisors(bodies)] == [alike(body) for body in after]


def test_a_fit_divides_once() -> None:
    """Of a quotient and its two derivatives; beside it, only what is computed before the first step divides."""
    x, y, a, b = sp.symbols("x y a b")
    model = sm.compile((a / (1 + b * x) - y) ** 2, parameters=[a, b])
    found = build_steps(model._work, model._work.outputs, ["a", "b"], sm.sgd(0.1), "float64")
    assert found is not None
    bodies = [body for group in found[1].fused.groups for body in map(group.body, group.results)]
    divisions = {n for n in postorder(bodies) if n.op == "divide" or (n.op == "pow" and n.data == -1)}
    assert len(divisions) == 1
