"""The same formulas as code for every target: each row is emitted and verified (test_vector_math.py runs them)."""

from __future__ import annotations

import ctypes
import functools
import re

import numpy as np
import pytest

from sympile.compiler.code.jit import emit_assembly, emit_object, link
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import TARGETS, _host_row, host, target_machine
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.errors import EnvironmentProblem, InternalError
from sympile.compiler.rules.machine import VECTOR_MATH, call_or_inline, integer_power

ROUTINE = re.compile(r"^\s+(?:call|callq|jmp|bl|b)\s+([\w.@]+)", re.MULTILINE)
OWN = re.compile(r'"?(sympile\.|\.?L)')
WIDTHS = {"avx512": r"\bzmm\d", "avx2": r"\bymm\d", "neon": r"\bv\d+\.(2d|4s)"}
TOO_WIDE = {"avx512": r"(?!)", "avx2": r"\bzmm\d", "neon": r"[xy]mm\d"}


def all_rows(target_name: str, element: str, lanes: int) -> str:
    """A module in which every row and a few integer powers are called once."""
    target = TARGETS[target_name]
    module = Module(target)
    f = Function(module, "all", [("ptr", "x"), ("ptr", "y"), ("i64", "n")])
    x, y, count = f.arguments
    k = Lanes(f, element, lanes or target.lanes(element), target)
    operands = [k.load(x), k.load(y)]
    results = [call_or_inline(k, name, *operands[: row.arity]) for name, row in VECTOR_MATH.items()]
    results += [integer_power(k, operands[0], exponent) for exponent in (-3, -1, 0, 2, 9)]
    for at, result in enumerate(results):
        k.store(result, f.gep(element, y, at * k.lanes))
    mask = k.first(count)
    k.store_masked(k.load_masked(x, mask), y, mask)
    k.store_strided(k.load_strided(x, count), y, count)
    f.store(k.reduce_add(k.load(x)), y)
    f.ret()
    return module.text()


@functools.cache
def assembly(target_name: str, element: str, lanes: int) -> str:
    """The assembly of all rows; LLVM verifies the module on the way."""
    return emit_assembly(all_rows(target_name, element, lanes), TARGETS[target_name])


CASES = [(name, element, lanes) for name in TARGETS for element in ("double", "float") for lanes in (0, 1)]


@pytest.mark.parametrize(("target_name", "element", "lanes"), CASES)
def test_every_row_needs_no_library(target_name: str, element: str, lanes: int) -> None:
    called = set(ROUTINE.findall(assembly(target_name, element, lanes)))
    assert called, "the pattern finds calls at all"
    assert not {name for name in called if not OWN.match(name)}


@pytest.mark.parametrize("element", ["double", "float"])
@pytest.mark.parametrize("target_name", sorted(TARGETS))
def test_full_registers_are_used(target_name: str, element: str) -> None:
    text = assembly(target_name, element, 0)
    assert re.search(WIDTHS[target_name], text)
    assert not re.search(TOO_WIDE[target_name], text)


@pytest.mark.skipif(host().name != "avx512", reason="needs a machine that runs both")
@pytest.mark.parametrize(("element", "kind"), [("double", np.float64), ("float", np.float32)])
def test_two_targets_give_the_same_bits(element: str, kind: type) -> None:
    results = []
    operands = np.random.default_rng(0).uniform(0.1, 0.9, 64).astype(kind)
    operands[1::4] = 1e20                      # beyond the fast range of sin
    for name in ("avx512", "avx2"):
        loaded = link(emit_object(all_rows(name, element, 4), TARGETS[name]), ["all"])
        result = np.zeros(1000, kind)
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(loaded.address("all"))
        call(operands.ctypes.data, result.ctypes.data, 3)
        results.append(result)
    assert np.count_nonzero(results[0]) > 100
    np.testing.assert_array_equal(results[0], results[1])


def test_the_library_check_can_fail() -> None:
    target = TARGETS["avx2"]
    f = Function(Module(target), "one", [("double", "x")], result="double")
    f.ret(Lanes(f, "double", 1, target).intrinsic("sin", f.arguments[0]))
    called = ROUTINE.findall(emit_assembly(f.module.text(), target))
    assert [name.split("@")[0] for name in called] == ["sin"]


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_rows_agree_with_llvm(name: str) -> None:
    assert target_machine(TARGETS[name]).triple == TARGETS[name].triple


def test_host_is_a_row_with_this_machines_features() -> None:
    target = host()
    assert target.name in TARGETS
    assert target.lanes64 == TARGETS[target.name].lanes64
    assert target.features


@pytest.mark.parametrize(
    ("architecture", "features", "row"),
    [
        pytest.param("x86_64", {"avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl"}, "avx512", id="avx512"),
        pytest.param("x86_64", {"avx2", "fma", "avx512f"}, "avx2", id="the first AVX-512 lacks vl and dq"),
        pytest.param("aarch64", {"neon"}, "neon", id="linux on arm"),
        pytest.param("arm64", set(), "neon", id="macos on arm"),
    ],
)
def test_host_row(architecture: str, features: set[str], row: str) -> None:
    assert _host_row(architecture, features) == row


def test_too_old_a_processor_is_told() -> None:
    with pytest.raises(EnvironmentProblem, match="has no AVX2 with FMA"):
        _host_row("x86_64", {"sse2", "avx"})


def test_wrong_ir_is_our_mistake() -> None:
    with pytest.raises(InternalError, match="LLVM rejects"):
        emit_assembly("define void @f() { ret i64 }")
