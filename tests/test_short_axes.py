"""Innermost axes that are shorter than a register: the lanes that are used, and what comes out."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from reference import evaluate

import sympile as sm
from sympile.compiler.code.target import TARGETS, host
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import definitions, elementwise, extent_value, input_tensor, read
from sympile.compiler.graph.node import Node, const, index, size
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.assemble import assemble
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import lanes_along, schedule
from sympile.runtime.native import NativeProgram

i, j, k = sm.indices("i j k")


@pytest.mark.parametrize(
    ("length", "most", "want"),
    [
        pytest.param(1, 16, 1, id="none"),
        pytest.param(2, 16, 4, id="a quarter at least"),
        pytest.param(3, 8, 4, id="of which one is masked"),
        pytest.param(4, 8, 4, id="half a register"),
        pytest.param(8, 16, 8, id="half of float32"),
        pytest.param(9, 16, 16, id="more than half"),
        pytest.param(100, 16, 16, id="a long axis"),
    ],
)
def test_lanes_are_as_many_as_an_axis_fills(length: int, most: int, want: int) -> None:
    assert lanes_along(index(const(length)), most) == want


def test_an_axis_of_unknown_length_fills_a_register() -> None:
    assert lanes_along(index(size("n")), 16) == 16


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17])
def test_work_and_sums_on_short_axes(width: int, dtype: str) -> None:
    x, b = sm.Tensor("x", (6, 5, width)), sm.Tensor("b", (width,))
    work = sm.comprehension(sp.exp(x[i, j, k]) / (2 + sm.tanh(x[i, j, k] * b[k])), (i, 6), (j, 5), (k, width))
    plain = sm.comprehension(1 / (x[i, j, k] ** 2 + 1), (i, 6), (j, 5), (k, width))
    sums = sm.comprehension(sp.Sum(x[i, j, k] * b[k], (k, 0, width - 1)), (i, 6), (j, 5))
    columns = sm.comprehension(sp.Sum(sp.log(3 + x[i, j, k] ** 2), (i, 0, 5), (j, 0, 4)), (k, width))
    random = np.random.default_rng(width)
    X, B = (random.normal(size=shape).astype(dtype) for shape in ((6, 5, width), (width,)))
    got = sm.lambdify([x, b], [work, plain, sums, columns], dtype=dtype)(X, B)
    X, B = X.astype(float), B.astype(float)
    want = [np.exp(X) / (2 + np.tanh(X * B)), 1 / (X**2 + 1), X @ B, np.log(3 + X**2).sum(axis=(0, 1))]
    rtol = 1e-13 if dtype == "float64" else 2e-5
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("width", [4, 8])
def test_no_lane_is_masked_where_a_part_of_a_register_is_filled(width: int) -> None:
    m, n = index(const(50)), index(const(width))
    x, b = (input_tensor(name, shape) for name, shape in (("x", (const(50), const(width))), ("b", (const(width),))))
    work = elementwise((m, n), function("tanh", add(read(x, m, n), read(b, n))))
    fused, target = fuse([work]), TARGETS["avx512"]
    program = assemble({"out": work}, [x, b], fused, schedule(fused, target.core("float")), "float32", target)
    assert "llvm.masked" not in program.code.text
    assert f"<{width} x float>" in program.code.text


# ------------------------------------------------------------------------------------------------ from end to end

M, N = const(6), const(5)
m, n = index(M), index(N)
A, B, LARGER, ROW = (
    input_tensor(name, shape) for name, shape in (("A", (M, N)), ("B", (M, N)), ("larger", (M, const(7))), ("row", (N,)))
)


@pytest.mark.parametrize(
    ("axes", "body", "flat"),
    [
        pytest.param((m, n), mul(read(A, m, n), function("exp", read(B, m, n))), True, id="two of one shape"),
        pytest.param((m, n), add(read(A, m, n), read(ROW, n)), False, id="a row for all"),
        pytest.param((m, n), add(read(A, m, n), read(LARGER, m, n)), False, id="a part of a larger array"),
        pytest.param((m, n), add(read(A, m, n), read(A, m, const(0))), False, id="one column for all"),
        pytest.param((m, n), mul(read(A, m, n), n), False, id="the index itself"),
        pytest.param((m, n), when(read(A, m, n), equal(m, n)), False, id="a guard"),
        pytest.param((n, m), function("exp", read(A, m, n)), False, id="turned over"),
    ],
)
def test_arrays_of_one_shape_are_one_loop(axes: tuple[Node, ...], body: Node, flat: bool) -> None:
    work = elementwise(axes, body)
    fused = fuse([work])
    (loops,) = schedule(fused, host().core("double")).values()
    assert loops.flat is flat
    used = [tensor for tensor in definitions([work]) if tensor.kind == "input"]
    program = assemble({"out": work}, used, fused, schedule(fused, host().core("double")), "float64", host())
    random = np.random.default_rng(3)
    values = {t.name: random.normal(size=tuple(int(extent_value(s)) for s in t.shape)) for t in used}
    out = np.full(tuple(int(extent_value(s)) for s in work.shape), np.nan)
    NativeProgram(program).run(values, {}, {"out": out})
    np.testing.assert_allclose(out, evaluate([work], values)[0], rtol=1e-14)


def test_chunks_of_one_loop_cover_everything() -> None:
    """So much work that it is cut along the first axis, of whose length nothing was known."""
    count = sp.Symbol("count", integer=True, positive=True)
    x = sm.Tensor("x", (count, 3))
    f = sm.lambdify([x], sm.comprehension(sp.exp(x[i, k]) + x[i, k], (i, count), (k, 3)))
    for rows in (1, 5, 200_003):
        values = np.random.default_rng(rows).normal(size=(rows, 3))
        np.testing.assert_allclose(f(values), np.exp(values) + values, rtol=1e-14, atol=1e-15)
