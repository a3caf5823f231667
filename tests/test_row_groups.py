"""Row groups: many definitions in one loop over the examples, against the evaluator in plain NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
from definition_world import World, f
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_code_generation import DTYPES, assert_same, compiled, run, wanted

import sympile as sm
from sympile.compiler.code.jit import emit_assembly
from sympile.compiler.code.target import TARGETS
from sympile.compiler.graph.arithmetic import add, mul, power, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import EXAMPLES, Definition, define, elementwise, read
from sympile.compiler.graph.node import Node, const, extent
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.group import Fused
from sympile.compiler.passes.fusing.rowwise import BY_ROW, are_narrow, kind_of
from sympile.compiler.program import BATCH as N

Build = Callable[[World, str], list[Definition]]


def rows(count: int, seed: int = 0, special: bool = False) -> World:
    return World({N: count, "k": 11}, symbolic=True, seed=seed, special=special)


def grouped(outputs: Sequence[Definition]) -> list[int]:
    """How many members each row group has."""
    return [len(group.members) for group in fuse(list(outputs)).groups if group.rows is not None]


# ------------------------------------------------------------------------------------------------ by hand


def _softmax(w: World, k: str) -> list[Definition]:
    """Two results across each row, one after the other, then elements, columns and a total."""
    e, i, j = w.index(N), w.index(k), w.index(k)
    z, t = w.input("z", f"{N} {k}"), w.input("t", f"{N} {k}")
    top = define([e], [i], "max", read(z, e, i))
    total = define([e], [i], "sum", f("exp", sub(read(z, e, i), read(top, e))))
    share = elementwise([e, i], mul(f("exp", sub(read(z, e, i), read(top, e))), power(read(total, e), -1)))
    return [
        define([], [e], "sum", sub(add(f("log", read(total, e)), read(top, e)), const(1))),
        define([i], [e], "sum", sub(read(share, e, i), read(t, e, i))),
        define([], [e, j], "sum", mul(read(share, e, j), read(t, e, j))),
    ]


def _normalised(w: World, k: str) -> list[Definition]:
    """Three sweeps; elements of the last one are stored."""
    e, i = w.index(N), w.index(k)
    x, g = w.input("x", f"{N} {k}"), w.input("g", k)
    mean = define([e], [i], "sum", mul(read(x, e, i), const(2)))
    spread = define([e], [i], "sum", power(sub(read(x, e, i), read(mean, e)), 2))
    scaled = elementwise([e, i], mul(sub(read(x, e, i), read(mean, e)), power(read(spread, e), -1), read(g, i)))
    return [scaled, define([i], [e], "sum", mul(read(scaled, e, i), read(x, e, i)))]


def _line(w: World, k: str) -> list[Definition]:
    """A product of each row with one vector, work on rows as a whole with conditions, sums over rows."""
    e, i = w.index(N), w.index(k)
    x, y, v = w.input("x", f"{N} {k}"), w.input("y", N), w.input("v", k)
    z = define([e], [i], "sum", mul(read(x, e, i), read(v, i)))
    error = sub(read(z, e), read(y, e))
    kept = elementwise([e], when(mul(error, f("tanh", error)), f("less", read(y, e), read(z, e))))
    slope = define([i], [e], "sum", when(mul(read(x, e, i), read(kept, e)), f("less", read(y, e), const(1))))
    return [kept, slope, define([], [e], "max", read(kept, e)), define([], [e], "min", read(z, e))]


def _extremes(w: World, k: str) -> list[Definition]:
    e, i = w.index(N), w.index(k)
    x = w.input("x", f"{N} {k}")
    low, high = (define([e], [i], which, read(x, e, i)) for which in ("min", "max"))
    product = define([e], [i], "prod", add(const(1), mul(const(Fraction(1, 64)), read(x, e, i))))
    return [
        elementwise([e], add(read(low, e), mul(read(high, e), read(product, e)))),
        define([i], [e], "max", mul(read(x, e, i), read(high, e))),
        define([i], [e], "min", sub(read(x, e, i), read(low, e))),
    ]


def _looked_up(w: World, k: str) -> list[Definition]:
    """Rows of a table that data choose, and entries that lie shifted."""
    e, i = w.index(N), w.index(k)
    table, x, c = w.input("T", f"5 {k}"), w.input("x", f"{N} {k}"), w.classes("c", N, "5")
    u = define([e], [i], "sum", mul(read(table, read(c, e), i), read(x, e, i)))
    before = when(read(x, e, sub(i, const(1))), at_least_zero(sub(i, const(1))))
    return [define([i], [e], "sum", mul(read(u, e), before)), define([], [e], "sum", read(u, e))]


def _two_widths(w: World, k: str) -> list[Definition]:
    e, i, j = w.index(N), w.index(k), w.index("6")
    x, y = w.input("x", f"{N} {k}"), w.input("y", f"{N} 6")
    u = define([e], [i], "sum", power(read(x, e, i), 2))
    v = define([e], [j], "sum", mul(read(y, e, j), read(u, e)))
    return [define([i], [e], "sum", mul(read(x, e, i), read(v, e))), define([j], [e], "sum", mul(read(y, e, j), read(v, e)))]


TABLE: dict[str, Build] = {
    "softmax": _softmax,
    "normalised": _normalised,
    "line": _line,
    "extremes": _extremes,
    "looked up": _looked_up,
    "two widths": _two_widths,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", ["4", "5", "8", "10", "11", "37", "90", "k"])
@pytest.mark.parametrize("name", TABLE)
def test_table(name: str, k: str, dtype: str) -> None:
    """Few rows, whole blocks, and rows that are left; of few entries, up to 10, and of more."""
    first = rows(1)
    program = compiled(first, TABLE[name](first, k), dtype)
    for count in (1, 8, 15, 19, 69):
        w = rows(count, seed=count)
        outputs = TABLE[name](w, k)
        assert grouped(outputs) and max(grouped(outputs)) >= 3
        assert_same(run(program, w), wanted(w, outputs, dtype), dtype, f"{count} rows")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", ["2", "3"])
@pytest.mark.parametrize("name", [name for name in TABLE if name != "looked up"])
def test_two_or_three_entries(name: str, k: str, dtype: str) -> None:
    """Too few for lanes across the row."""
    test_table(name, k, dtype)


@pytest.mark.parametrize("k", ["10", "11"])
@pytest.mark.parametrize("name", ["extremes", "normalised"])
def test_nan_and_infinity(name: str, k: str) -> None:
    w = rows(21, special=True)
    outputs = TABLE[name](w, k)
    with np.errstate(all="ignore"):
        expected = wanted(w, outputs, "float64")
    assert any(not np.isfinite(want).all() for want in expected)
    for have, want in zip(run(compiled(w, outputs, "float64"), w), expected, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", ["10", "11", "250", "500"])
def test_a_row_has_the_same_bits_in_any_block(k: str) -> None:
    """The first of 41 rows stands in a block of two registers, some of the last ones in one, the very last one alone.

    Of rows of 250 entries the first-level cache holds four, perhaps, and of 500 one.
    """
    w = rows(41)
    outputs = _normalised(w, k)[:1]
    outputs += _line(w, k)[:1]
    for name in ("x", "y"):
        w.values[name][1:] = w.values[name][0]
    for result in run(compiled(w, outputs, "float64"), w):
        assert {row.tobytes() for row in result} == {result[0].tobytes()}


# ------------------------------------------------------------------------------------------------ rows of few entries


@pytest.mark.parametrize(
    ("build", "k", "narrow"),
    [
        pytest.param(_softmax, "4", True, id="few classes"),
        pytest.param(_softmax, "10", True, id="ten classes"),
        pytest.param(_softmax, "11", False, id="eleven classes"),
        pytest.param(_softmax, "k", False, id="nobody knows how many"),
        pytest.param(_two_widths, "10", True, id="two widths"),
        pytest.param(_two_widths, "37", False, id="one of two widths"),
        pytest.param(_looked_up, "10", False, id="rows that data choose"),
    ],
)
def test_which_rows_are_narrow(build: Build, k: str, narrow: bool) -> None:
    groups = [group for group in fuse(build(rows(8), k)).groups if group.rows is not None]
    assert groups and [are_narrow(group.members) for group in groups] == [narrow] * len(groups)


@pytest.mark.parametrize("count", [*range(1, 18), 25, 31, 33])
def test_nothing_is_written_beyond_the_last_row(count: int) -> None:
    """Rows of 5 and of 9, stored: what lies behind them stays as it was."""
    for k in (5, 9):
        x, w = sp.MatrixSymbol("x", k, 1), sp.MatrixSymbol("w", k, 1)
        shown = sm.lambdify([x, w], sm.softmax(sp.HadamardProduct(x, w)))
        numbers = np.random.default_rng(count).normal(size=(count, k, 1))
        room = np.full(((count + 8) * k,), 7.0)
        shown(numbers, np.ones((k, 1)), out=room[: count * k].reshape(count, k, 1))
        want = np.exp(numbers) / np.exp(numbers).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(room[: count * k].reshape(count, k, 1), want, rtol=1e-14)
        assert (room[count * k :] == 7.0).all()


# ------------------------------------------------------------------------------------------------ who joins


def _waits(w: World, k: str) -> list[Definition]:
    """A sum over all rows that rows read again."""
    e, i = w.index(N), w.index(k)
    x = w.input("x", f"{N} {k}")
    mean = define([i], [e], "sum", read(x, e, i))
    norm = define([e], [i], "sum", power(read(x, e, i), 2))
    return [define([e], [i], "sum", mul(sub(read(x, e, i), read(mean, i)), read(norm, e)))]


def _thin_and_wide(w: World, k: str) -> list[Definition]:
    """Rows of two arrays, one with many entries."""
    e, i, j = w.index(N), w.index(k), w.index("37")
    x, y = w.input("x", f"{N} {k}"), w.input("y", f"{N} 37")
    u = define([e], [i], "sum", power(read(x, e, i), 2))
    v = define([e], [j], "sum", mul(read(y, e, j), read(u, e)))
    return [define([i], [e], "sum", mul(read(x, e, i), read(v, e))), define([], [e], "sum", read(v, e))]


@pytest.mark.parametrize(
    ("build", "k", "members"),
    [
        pytest.param(_softmax, "10", [8], id="all in one"),
        pytest.param(_line, "10", [7], id="a row times a vector"),
        pytest.param(_line, "3", [7], id="three entries"),
        pytest.param(_thin_and_wide, "3", [2], id="too narrow beside a wide one"),
        pytest.param(_thin_and_wide, "4", [4], id="wide enough beside a wide one"),
        pytest.param(_waits, "10", [2], id="a sum over rows is complete after the last one"),
    ],
)
def test_who_joins(build: Build, k: str, members: list[int]) -> None:
    assert grouped(build(rows(9), k)) == members


def test_no_mask_writes_what_is_read_next() -> None:
    """Sums over rows stay in registers, and their ends are stored in pieces: a load waits for what a mask wrote."""
    w = rows(9)
    program = compiled(w, _line(w, "3"), "float64", TARGETS["avx512"])
    text = emit_assembly(program.code.text, TARGETS["avx512"], program.code.level)
    stores = re.findall(r"^\s+v\w+\s+%[xyz]mm\d+, .*\(%\w+.*$", text, re.MULTILINE)
    assert [line for line in stores if "{%k" in line and "%rsp" in line] == []
    assert len([line for line in stores if "{%k" in line]) <= 1, "of the rows themselves"


def stored_rows(fused: Fused) -> set[Definition]:
    return {t for t in fused.stored if t.batched and kind_of(t) in BY_ROW}


def test_nothing_is_stored_that_nobody_reads() -> None:
    """What is needed in a later sweep is kept for one block of rows."""
    fused = fuse(_softmax(rows(9), "10"))
    assert stored_rows(fused) == set()
    assert [t.formula.op for group in fused.groups if group.rows is not None for t in group.rows.passing] == ["exp"]
    (wide,) = stored_rows(fuse(_softmax(rows(9), "k")))
    assert wide.formula.op == "exp", "of unknown width: in an array of its own"
    lines = _line(rows(9), "10")
    assert stored_rows(fuse(lines)) == {fuse(lines).outputs[lines[0]]}


x, g, b, t = (sm.Tensor(name, (32,)) for name in "xgbt")
_centred = x - sm.mean(x)


@pytest.mark.parametrize(
    ("loss", "parameters", "passes"),
    [
        pytest.param(sm.mse(_centred / sp.sqrt(sm.mean(_centred**2) + 1) * g + b, t), [g, b], 1, id="layer norm"),
        pytest.param(sm.cross_entropy(x * g + b, t), [g, b], 1, id="softmax"),
        pytest.param(sm.huber((x * g).sum() + b[0], t[0]), [g, b], 1, id="huber regression"),
        pytest.param(sm.binary_cross_entropy((x * g).sum(), t[0]), [g], 1, id="logistic regression"),
    ],
)
def test_passes_over_the_data(loss: Any, parameters: list[Any], passes: int) -> None:
    """How many groups of a step go through the examples; and the gradient against differences."""
    model = sm.compile(loss, parameters, dtype="float64")
    groups = model._step.built.fused.groups
    through = [g for g in groups if any(extent(i) is EXAMPLES for r in g.results for i in (*r.axes, *r.reduced))]
    assert len(through) == passes
    rng = np.random.default_rng(0)
    values = {s.name: rng.uniform(0.2, 1.0, [9 if n == N else n for n in s.shape]) for s in model._step.signature.slots}
    assert model.check(values).error < 1e-6


# ------------------------------------------------------------------------------------------------ at random


@st.composite
def random_rows(draw: st.DrawFn) -> tuple[World, list[Definition]]:
    """Definitions of all kinds over the same rows, the later ones reading the earlier ones."""
    w = rows(draw(st.integers(1, 20)), seed=draw(st.integers(0, 99)))
    k = draw(st.sampled_from(["4", "7", "8", "20", "40", "k"]))
    e, i = w.index(N), w.index(k)
    known = [w.input("x", f"{N} {k}"), w.input("y", N), w.input("v", k)]
    made: list[Definition] = []
    for _ in range(draw(st.integers(2, 6))):
        axes, reduced = draw(st.sampled_from([("e", ""), ("e", "i"), ("ei", ""), ("i", "e"), ("", "e"), ("", "ei")]))
        names = {"e": e, "i": i}
        body = _body(draw, [t for t in known if i not in _at(t, e, i) or "i" in axes + reduced], e, i)
        body = add(body, read(known[1], e))
        body = add(body, read(known[0], e, i)) if "i" in axes + reduced else body
        monoid = draw(st.sampled_from(["sum", "max", "min"])) if reduced else None
        tensor = define([names[a] for a in axes], [names[r] for r in reduced], monoid, body)
        made.append(tensor)
        known.append(tensor)
    return w, made


def _at(tensor: Definition, e: Node, i: Node) -> list[Node]:
    return [e if extent(axis) is EXAMPLES else i for axis in tensor.axes]


def _body(draw: st.DrawFn, known: Sequence[Definition], e: Node, i: Node) -> Node:
    def leaf() -> Node:
        tensor = draw(st.sampled_from(known))
        return f("tanh", read(tensor, *_at(tensor, e, i))) if draw(st.booleans()) else read(tensor, *_at(tensor, e, i))

    body = leaf()
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["add", "mul", "guard", "sin"]))
        if kind == "sin":
            body = f("sin", body)
        elif kind == "guard":
            body = when(body, f("less", leaf(), leaf()))
        else:
            body = {"add": add, "mul": mul}[kind](body, f("sin", leaf()))
    return body


@given(random_rows())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random(made: tuple[World, list[Definition]]) -> None:
    """In float64 alone: rounding may turn a condition."""
    w, outputs = made
    assert_same(run(compiled(w, outputs, "float64"), w), wanted(w, outputs, "float64"), "float64")
