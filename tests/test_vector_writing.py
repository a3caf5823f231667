"""Rows of vector mathematics as they are written: for any number of lanes, once in a module, mistakes named."""

from __future__ import annotations

import numpy as np
import pytest
from vector_kernels import DTYPE, ELEMENT, HOST, NARROWER, kernel, row_kernel

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.lookup import looked_up
from sympile.compiler.code.pieces import placed, shares
from sympile.compiler.code.target import Target
from sympile.compiler.code.value import Value
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.errors import InternalError
from sympile.compiler.rules.machine import VECTOR_MATH, call_or_inline, inline

GUESSED = {"divide_by_root"}  # begins in registers with a guess that single numbers do without


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("name", ["exp", "atan", "sin", "tan", "power", "loggamma", "log", "log1p", "log10", "asinh", "cbrt", "tanh", "erf"])
def test_any_number_of_lanes_gives_the_same_bits(name: str, lanes: int, bits: int) -> None:
    x = np.linspace(0.3, 1e16, 64) if name in ("sin", "tan") else np.linspace(0.3, 20, 64)
    operands = (x, x[::-1].copy())[: VECTOR_MATH[name].arity]
    np.testing.assert_array_equal(row_kernel(name, bits, lanes)(*operands), row_kernel(name, bits)(*operands))


@pytest.mark.parametrize("target", [HOST, *NARROWER], ids=lambda target: target.name)
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", VECTOR_MATH)
def test_a_module_may_have_a_function_for_several_widths(name: str, bits: int, target: Target) -> None:
    """A register, two of them and single numbers: what the functions share, as their tables, must not differ."""
    register, arity = target.lanes(ELEMENT[bits]), VECTOR_MATH[name].arity

    def body(k: Lanes, *operands: Value) -> Value:
        """By two registers, if single ones and numbers give the same; else nan."""
        part, one, wide = k.narrowed(register), k.narrowed(1), call_or_inline(k, name, *operands)
        halves = zip(*[shares(k, operand, register) for operand in operands], strict=True)
        narrow = placed(k, [call_or_inline(part, name, *half) for half in halves])
        single = wide
        for lane in range(k.lanes):
            numbers = [k.extract(operand, lane) for operand in operands]
            single = k.insert(single, call_or_inline(one, name, *numbers), lane)
        same = k.compare("oeq", wide, narrow)
        if name not in GUESSED:
            same = k.both(same, k.compare("oeq", wide, single))
        return k.select(same, wide, np.nan)

    x = np.linspace(1.3, 3, 64) if name == "acosh" else np.linspace(0.1, 0.9, 64)
    operands = (x, x[::-1].copy())[:arity]
    found = kernel(body, arity, bits, 2 * register, target)(*operands)
    alone = kernel(lambda k, *parts: call_or_inline(k, name, *parts), arity, bits, register, target)(*operands)
    np.testing.assert_array_equal(found, alone)
    assert np.isfinite(found).all()


def test_tables_of_one_name_have_the_same_numbers() -> None:
    module = Module(HOST)
    assert module.table("t", "double", ["1.0"]) == module.table("t", "double", ["1.0"])
    with pytest.raises(InternalError, match="two tables are called t"):
        module.table("t", "double", ["1.0", "0.0"])


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("count", [4, 8, 16, 32])
@pytest.mark.parametrize("bits", [64, 32])
def test_tables_are_looked_up_by_the_low_bits(bits: int, count: int, lanes: int) -> None:
    numbers = [float(np.sqrt(at + 2)) for at in range(count)]

    def body(k: Lanes, value: Value) -> Value:
        return looked_up(k, "roots", numbers, k.to_bits(value))

    places = np.arange(64) * 5 - 32
    got = kernel(body, 1, bits, lanes)(places.astype(f"i{bits // 8}").view(DTYPE[bits]))
    np.testing.assert_array_equal(got, np.array(numbers, DTYPE[bits])[places % count])


def test_a_function_is_written_once() -> None:
    module = Module(HOST)
    f = Function(module, "run", [("<8 x double>", "x")], result="<8 x double>")
    k = Lanes(f, "double", 8, HOST)
    value = call_or_inline(k, "sin", call_or_inline(k, "sin", f.arguments[0]))
    f.ret(call_or_inline(k, "abs", value))
    assert list(module.functions) == ["run", "sympile.sin.v8f64", "sympile.turns"]


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        pytest.param("besselj", 1, "has no row", id="unknown"),
        pytest.param("power", 1, "takes 2 operands, not 1", id="arity"),
    ],
)
def test_mistakes_are_named(name: str, count: int, message: str) -> None:
    f = Function(Module(HOST), "run", [("double", "x")])
    with pytest.raises(InternalError, match=message):
        inline(Lanes(f, "double", 1, HOST), name, *f.arguments * count)
