"""Every row of rules/rewrites.py before the judge; the judge before bad rows; the engine on formulas."""

from __future__ import annotations

import time

import numpy as np
import pytest
from judge import complaints, is_scalar
from reference import evaluate

from sympile.compiler.errors import ArgumentError
from sympile.compiler.graph.arithmetic import add, function, maximum, mul, neg, power, square, sub
from sympile.compiler.graph.definition import call, define, elementwise, input_tensor, read
from sympile.compiler.graph.node import HALF, ONE, TWO, ZERO, Node, const, index, postorder, target
from sympile.compiler.passes.simplify import simplify
from sympile.compiler.rules.rewrites import BITS, FINITE, LEVELS, REWRITES, ROUND, STABLE, Rewrite, a, b, rows_for


def f(op: str, *args: Node) -> Node:
    return function(op, *args)


SCALAR = [row for row in REWRITES if is_scalar(row)]


# ------------------------------------------------------------------------------------------------ the judge


@pytest.mark.parametrize("row", SCALAR, ids=lambda row: row.name)
def test_row_keeps_its_promise(row: Rewrite) -> None:
    assert complaints(row) == []


@pytest.mark.parametrize(("before", "after", "faith", "complaint"), [
    pytest.param(f("log", f("exp", a)), f("log", f("exp", a)), BITS, None, id="the same is right"),
    pytest.param(f("tanh", a), f("sinh", a), STABLE, "another real number", id="another function"),
    pytest.param(add(f("exp", a), b), add(f("exp", a), b, power(const(10), -30)), ROUND, "another real number", id="30th digit"),
    pytest.param(neg(neg(a)), add(a, ZERO), BITS, None, id="both are a"),
    pytest.param(mul(f("sign", a), f("abs", a)), a, BITS, "became", id="sign(-0)|-0| is 0"),
    pytest.param(f("log", f("exp", a)), a, BITS, "became", id="overflow counts as bits"),
    pytest.param(f("log", f("exp", a)), a, ROUND, None, id="log exp rounds at finite points"),
    pytest.param(f("expm1", a), sub(f("exp", a), ONE), ROUND, "less accurate", id="cancellation brought in"),
    pytest.param(f("log1p", a), f("log", add(ONE, a)), ROUND, "less accurate", id="log(1 + tiny)"),
    pytest.param(f("softplus", a), f("log", add(ONE, f("exp", a))), STABLE, "less accurate", id="overflow brought in"),
    pytest.param(f("abs", a), power(square(a), HALF.data), STABLE, "less accurate", id="squares overflow"),
    pytest.param(power(square(a), HALF.data), a, STABLE, "another real number", id="sqrt(a^2) is not a"),
    pytest.param(mul(a, f("log", b)), f("xlogy", a, b), STABLE, "no limit", id="0*log(-1) is nan"),
    pytest.param(f("sigmoid", a), HALF, FINITE, "another real number", id="constant"),
    pytest.param(f("log", power(a, 2)), mul(TWO, f("log", a)), STABLE, "no limit|another", id="log of a square of a negative"),
    pytest.param(f("max", a, ZERO), mul(HALF, add(a, f("abs", a))), ROUND, "", id="nan or inf"),
])  # fmt: skip
def test_the_judge_can_fail(before: Node, after: Node, faith: object, complaint: str | None) -> None:
    found = complaints(Rewrite("bad", before, after, faith, "none"))  # type: ignore[arg-type]
    if complaint is None or complaint == "":
        return
    assert any(part in text for text in found for part in complaint.split("|")), found
