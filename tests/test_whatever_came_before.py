"""The program of a formula does not depend on what the process compiled before, whose indices had other names."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.graph.node import const, index

A, B = sp.MatrixSymbol("A", 4, 4), sp.MatrixSymbol("B", 4, 4)
x = sp.MatrixSymbol("x", 4, 1)
S = A.T * A + sp.Identity(4)
BEFORE = (0, 1, 7, 100, 1234)  # new indices that others have taken meanwhile

# fmt: off
FORMULAS = [
    pytest.param(lambda: sm.compile(sp.Trace(A * B * A * B.T), [A, B]),                             id="a ring of matrices"),
    pytest.param(lambda: sm.compile(sm.dot(x, A * B * A * x), [A, B]),                              id="from both ends"),
    pytest.param(lambda: sm.compile(sm.dot(x, S.I * x) + sp.log(sp.Determinant(S)), [A]),           id="between two inverses"),
    pytest.param(lambda: sm.compile(sm.dot(x, A * x) ** 2, [A]),                                    id="a quadratic form"),
]
# fmt: on


@pytest.mark.parametrize("make", FORMULAS)
def test_equally_good_orders(make: Callable[[], Any]) -> None:
    """Of two sums that could be done first the same one is."""
    found = set()
    for count in BEFORE:
        for _ in range(count):
            index(const(4))
        outputs = make()._work.outputs
        found.add(tuple((label, tensor.key) for label, tensor in outputs.items()))
        del outputs
        gc.collect()
    assert len(found) == 1
