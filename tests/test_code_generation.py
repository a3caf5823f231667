"""From definitions to numbers: fuse, schedule, emit and run, against an evaluator in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from definition_cases import CASES, PAIRS, large_sum
from definition_world import World
from edge import in_a_child, run_at_the_edge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import evaluate

from sympile.compiler.code.jit import emit_assembly
from sympile.compiler.code.target import TARGETS, Target, host
from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import at_least_zero, divides, equal
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.definition import Definition, define, definitions, elementwise, read
from sympile.compiler.graph.node import ONE, Node, const
from sympile.compiler.graph.rebuild import function, maximum
from sympile.compiler.passes.assemble import assemble
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import schedule
from sympile.compiler.program import Program
from sympile.runtime.native import NativeProgram

Array = npt.NDArray[Any]
DTYPES = ("float64", "float32")
TOLERANCE = {"float64": 4e-13, "float32": 3e-4}
GUARD = 24  # numbers around every result that must stay as they are
CANARY = -777.25


# ------------------------------------------------------------------------------------------------ the way


def compiled(w: World, outputs: Sequence[Definition], dtype: str, target: Target | None = None) -> Program:
    """The program of some definitions."""
    target = target or host()
    named = {f"out{k}": tensor for k, tensor in enumerate(outputs)}
    below = set(definitions(outputs))
    fused = fuse(list(named.values()))
    loops = schedule(fused, target.core({"float64": "double", "float32": "float"}[dtype]))
    return assemble(named, [t for t in w.inputs if t in below], fused, loops, dtype, target)


def run(program: Program, w: World, native: NativeProgram | None = None) -> list[Array]:
    """The outputs, each written between numbers that must not change."""
    native = native or NativeProgram(program)
    inputs = {
        a.name: np.ascontiguousarray(w.values[a.name], np.int64 if a.integer else program.dtype) for a in program.inputs
    }
    before = {name: array.copy() for name, array in inputs.items()}
    room = {
        a.name: np.full(int(np.prod(native.shape(a, w.lengths), dtype=int)) + 2 * GUARD, CANARY, program.dtype)
        for a in program.outputs
    }
    out = {a.name: room[a.name][GUARD:-GUARD].reshape(native.shape(a, w.lengths)) for a in program.outputs}
    native.run(inputs, w.lengths, out)
    for name, whole in room.items():
        assert (whole[:GUARD] == CANARY).all() and (whole[-GUARD:] == CANARY).all(), f"written around {name}"
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name], f"the input {name} was changed")
    return [out[a.name] for a in program.outputs]


def wanted(w: World, outputs: Sequence[Definition], dtype: str) -> list[Array]:
    """The reference's numbers, from inputs of the program's precision, in float64."""
    rounded = {
        k: v if np.asarray(v).dtype.kind == "i" else np.asarray(v, dtype).astype(np.float64)
        for k, v in w.values.items()
    }
    return evaluate(list(outputs), rounded, w.lengths)


def assert_same(found: Sequence[Array], expected: Sequence[Array], dtype: str, note: str = "") -> None:
    """Equal up to rounding, relative to the largest finite entry; nan and inf where the reference has them."""
    assert len(found) == len(expected)
    for k, (have, want) in enumerate(zip(found, expected, strict=True)):
        finite = np.abs(want[np.isfinite(want)])
        scale = float(finite.max(initial=1.0))
        np.testing.assert_allclose(
            have, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, err_msg=f"output {k} {note}"
        )


def sizes_of(n: int, m: int) -> dict[str, int]:
    return {"n": n, "m": m}


# ------------------------------------------------------------------------------------------------ against the reference


@cache
def for_all_sizes(name: str, dtype: str) -> NativeProgram:
    """One program of a case, its sizes symbolic."""
    w = World(sizes_of(2, 2), symbolic=True)
    return NativeProgram(compiled(w, CASES[name](w), dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_symbolic_sizes(name: str, dtype: str) -> None:
    """One program for all sizes."""
    native = for_all_sizes(name, dtype)
    for n, m in PAIRS:
        w = World(sizes_of(n, m), symbolic=True, seed=n)
        outputs = CASES[name](w)
        assert_same(run(native.program, w, native), wanted(w, outputs, dtype), dtype, f"at n = {n}, m = {m}")


LITERAL = {"float64": ((1, 1), (7, 9)), "float32": ((17, 8), (2, 65))}
EVERY_OTHER = [pytest.param(name, DTYPES[k % 2], id=name) for k, name in enumerate(CASES)]


@pytest.mark.parametrize(("name", "dtype"), EVERY_OTHER)
def test_literal_sizes(name: str, dtype: str) -> None:
    """Sizes that the compiler knows: fixed ends instead of loops."""
    for n, m in LITERAL[dtype]:
        w = World(sizes_of(n, m), symbolic=False, seed=m)
        outputs = CASES[name](w)
        assert_same(run(compiled(w, outputs, dtype), w), wanted(w, outputs, dtype), dtype, f"at n = {n}, m = {m}")


@pytest.mark.parametrize(("name", "dtype"), EVERY_OTHER)
def test_nan_and_inf_show_as_in_numpy(name: str, dtype: str) -> None:
    native = for_all_sizes(name, dtype)
    for n, m in ((5, 3), (19, 4), (33, 2)):
        w = World(sizes_of(n, m), symbolic=True, seed=n, special=True)
        outputs = CASES[name](w)
        with np.errstate(all="ignore"):
            expected = wanted(w, outputs, dtype)
        assert_same(run(native.program, w, native), expected, dtype, f"at n = {n}, m = {m}")


# ------------------------------------------------------------------------------------------------ other widths

HERE = host()


@pytest.mark.parametrize(("name", "dtype"), EVERY_OTHER)
def test_other_widths(name: str, dtype: str) -> None:
    """Code of the other rows of the table, with as many lanes as they have, run on this machine."""
    row = TARGETS["avx2" if dtype == "float32" else "neon"]
    narrow = replace(HERE, lanes64=row.lanes64, lanes32=row.lanes32, registers=row.registers, masked=row.masked)
    w = World(sizes_of(19, 7), symbolic=True)
    outputs = CASES[name](w)
    assert_same(run(compiled(w, outputs, dtype, narrow), w), wanted(w, outputs, dtype), dtype)


ASSEMBLED = (
    "two axes, broadcast", "strided lanes", "stencil", "gather rows", "powers", "branches", "A B", "(A B).T", "convolution", "softmax", "two layers and back",
    "line", "25 sums in one loop", "scatter to rows", "lse over i k", "prod over j",
)  # fmt: skip


@pytest.mark.parametrize("row", ["avx2", "neon"])
@pytest.mark.parametrize(
    ("name", "dtype"), [pytest.param(name, DTYPES[k % 2], id=name) for k, name in enumerate(ASSEMBLED)]
)
def test_other_machines_accept_the_code(name: str, dtype: str, row: str) -> None:
    """LLVM verifies the IR for another machine and writes its assembly."""
    w = World(sizes_of(9, 5), symbolic=True)
    program = compiled(w, CASES[name](w), dtype, TARGETS[row])
    assembly = emit_assembly(program.code.text, TARGETS[row], program.code.level)
    assert program.code.entry in assembly and {"avx2": "%ymm", "neon": "v0."}[row] in assembly


# ------------------------------------------------------------------------------------------------ the ends of memory


def _run_all_at_the_edge(progress: Any) -> None:
    for position, (name, build) in enumerate(CASES.items()):
        progress.value = position
        dtype = DTYPES[position % 2]
        native = for_all_sizes(name, dtype)
        for n, m in ((1, 1), (3, 9), (9, 3), (17, 5)):
            w = World(sizes_of(n, m), symbolic=True)
            build(w)
            run_at_the_edge(native, w, dtype)


def test_nothing_is_read_or_written_behind_an_array() -> None:
    """In a child process, since what fails here is killed."""
    exit_code, position = in_a_child(_run_all_at_the_edge)
    assert exit_code == 0, f"exit code {exit_code} at {list(CASES)[position]!r}"


# ------------------------------------------------------------------------------------------------ size, and again


def test_a_large_formula() -> None:
    """Above the limit code is generated without optimisation; the numbers are the same."""
    w, outputs = large_sum(2600)
    program = compiled(w, outputs, "float64")
    assert program.code.level == 0
    assert_same(run(program, w), wanted(w, outputs, "float64"), "float64")


@pytest.mark.parametrize(
    "name", ["softmax", "line", "A B", "25 sums in one loop", "sum over i j k", "scatter to rows", "centred"]
)
def test_the_same_bits_again(name: str) -> None:
    """Whatever lay in memory before."""
    w = World(sizes_of(37, 11), symbolic=True)
    outputs = CASES[name](w)
    native = NativeProgram(compiled(w, outputs, "float64"))
    first = run(native.program, w, native)
    for _ in range(3):
        for have, want in zip(run(native.program, w, native), first, strict=True):
            assert have.tobytes() == want.tobytes()
    fresh = NativeProgram(compiled(w, outputs, "float64"))
    for have, want in zip(run(fresh.program, w, fresh), first, strict=True):
        assert have.tobytes() == want.tobytes()


# ------------------------------------------------------------------------------------------------ random bodies

UNARY: Mapping[str, Callable[[Node], Node]] = {
    "sin": lambda a: function("sin", a),
    "tanh": lambda a: function("tanh", a),
    "exp": lambda a: function("exp", function("sin", a)),
    "square": lambda a: mul(a, a),
    "halved": lambda a: mul(const(Fraction(1, 2)), a),
    "negative": lambda a: mul(const(-1), a),
    "steep": lambda a: function("sigmoid", mul(const(3), a)),
}


@st.composite
def random_outputs(draw: st.DrawFn) -> tuple[World, list[Definition]]:
    """A few definitions over random indices, the later ones reading the earlier ones."""
    symbolic = draw(st.booleans())
    w = World(
        {"n": draw(st.integers(1, 20)), "m": draw(st.integers(1, 20)), "k": draw(st.integers(1, 5))},
        symbolic,
        seed=draw(st.integers(0, 99)),
    )
    x, y, z = w.input("x", "n m"), w.input("y", "m k"), w.input("z", "k")
    known: list[tuple[Definition, str]] = [(x, "nm"), (y, "mk"), (z, "k")]
    for _ in range(draw(st.integers(1, 4))):
        of = {letter: w.index(letter) for letter in "nmk"}
        body = _random_body(draw, w, of, known)
        used = [letter for letter in "nmk" if of[letter] in body.free]
        axes = draw(st.permutations(used))
        reduced = [letter for letter in axes if draw(st.booleans())]
        kept = [letter for letter in axes if letter not in reduced]
        monoid = draw(st.sampled_from(["sum", "max", "min", "lse"])) if reduced else None
        made = (
            define([of[a] for a in kept], [of[a] for a in reduced], monoid, body)
            if reduced
            else elementwise([of[a] for a in kept], body)
        )
        known.append((made, "".join(kept)))
    return w, [tensor for tensor, _ in known[3:]]


def _random_body(draw: st.DrawFn, w: World, of: Mapping[str, Node], known: Sequence[tuple[Definition, str]]) -> Node:
    def leaf() -> Node:
        tensor, letters = draw(st.sampled_from(known))
        at, inside = [], list[Node]()
        for letter in letters:
            position, last = of[letter], sub(w.extent(letter), ONE)
            kind = draw(st.sampled_from(["plain", "plain", "plain", "reversed", "before", "after", "half"]))
            if kind == "reversed":
                position = sub(last, position)
            elif kind == "before":
                position = sub(position, ONE)
                inside.append(at_least_zero(position))
            elif kind == "after":
                position = add(position, const(2))
                inside.append(at_least_zero(sub(last, position)))
            elif kind == "half":
                inside.append(divides(2, position))
                position = mul(const(Fraction(1, 2)), position)
            at.append(position)
        return when(read(tensor, *at), *inside)

    body = leaf()
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["add", "mul", "max", "guard", "branch", "delta", *UNARY]))
        if kind in UNARY:
            body = UNARY[kind](body)
        elif kind == "guard":
            body = when(body, at_least_zero(sub(of["n"], of["m"])))
        elif kind == "delta":
            body = when(body, equal(of["k"], of["m"])) if draw(st.booleans()) else add(body, of["k"])
        elif kind == "branch":
            body = select(function("less", body, leaf()), body, leaf())
        else:
            body = {"add": add, "mul": mul, "max": maximum}[kind](body, leaf())
    return body


@given(random_outputs(), st.sampled_from(DTYPES))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_definitions(made: tuple[World, list[Definition]], dtype: str) -> None:
    w, outputs = made
    expected = wanted(w, outputs, "float64" if dtype == "float64" else dtype)
    steep = any(np.abs(e[np.isfinite(e)]).max(initial=0.0) > 1e4 for e in expected)
    if dtype == "float32" and steep:
        return  # squares of squares: the rounding errors grow as the values do
    assert_same(run(compiled(w, outputs, dtype), w), expected, dtype)
