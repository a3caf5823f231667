"""What is stored is one definition, whatever its indices and arrays are called, and whichever sign its differences have in front."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from sympile.compiler.graph.arithmetic import add, mul, power, sub
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import define_free, input_tensor, read
from sympile.compiler.graph.node import MINUS_ONE, Node, const, index, make, size
from sympile.compiler.graph.rebuild import function

Formula = Callable[[Node, Node, Node], Node]  # of Z[i, j], w[j] and v[i]

FORMULAS = [
    pytest.param(lambda z, w, v: function("exp", sub(z, w)), id="a difference"),
    pytest.param(lambda z, w, v: function("exp", mul(const(3), sub(w, z))), id="a multiple of one"),
    pytest.param(lambda z, w, v: power(sub(z, w), 2), id="its square"),
    pytest.param(lambda z, w, v: mul(v, power(sub(z, w), 3)), id="its cube"),
    pytest.param(lambda z, w, v: function("exp", mul(sub(z, w), sub(v, z))), id="a product of two"),
    pytest.param(lambda z, w, v: function("exp", sub(z, when(w, make("less", z, w)))), id="a guarded term"),
    pytest.param(lambda z, w, v: function("tanh", add(mul(v, sub(z, w)), w)), id="inside a sum"),
    pytest.param(lambda z, w, v: function("exp", add(mul(MINUS_ONE, z), mul(MINUS_ONE, w), v)), id="of three"),
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_one_definition_whatever_it_is_called(formula: Formula) -> None:
    """Keys of indices and arrays, which say what stands first in a sum, are as good as random."""
    for name, n, m in itertools.product("ABCDEF", ("n", "rows"), ("m", "columns")):
        rows, columns = size(n), size(m)
        Z, w = input_tensor(name, (rows, columns)), input_tensor(f"{name}w", (columns,))
        v = input_tensor(f"{name}v", (rows,))
        made = set()
        for first, second in itertools.permutations(("i", "j", "k", "row", "r0"), 2):
            i, j = index(rows, first), index(columns, second)
            node = formula(read(Z, i, j), read(w, j), read(v, i))
            made.add(define_free(node.free, (), None, node)[0])
        assert len(made) == 1, (name, n, m, [tensor.formula for tensor in made])
