"""Loops over arrays made of rows of compiler/rules/machine.py, and how far a result is from the truth."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np

from sympile.compiler.code.jit import Loaded, compile_text
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import TARGETS, Target, host
from sympile.compiler.code.value import Value
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.rules.machine import VECTOR_MATH, call_or_inline

Body = Callable[..., Value]
ELEMENT = {64: "double", 32: "float"}
DTYPE: dict[int, np.dtype[Any]] = {64: np.dtype(np.float64), 32: np.dtype(np.float32)}
HOST = host()
NARROWER = [TARGETS["avx2"]] if HOST.name == "avx512" else []  # rows of other machines whose registers this one has, too


@dataclass(frozen=True)
class Kernel:
    """A compiled loop over arrays."""

    loaded: Loaded
    bits: int
    lanes: int
    arity: int

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        count = -(-arrays[0].size // self.lanes) * self.lanes
        padded = [np.resize(array.astype(DTYPE[self.bits]), count) for array in arrays]
        result = np.empty(count, DTYPE[self.bits])
        kinds = [ctypes.c_void_p] * (self.arity + 1)
        call = ctypes.CFUNCTYPE(None, *kinds, ctypes.c_int64)(self.loaded.address("run"))
        call(*(array.ctypes.data for array in (*padded, result)), count)
        return result[: arrays[0].size]


def kernel(body: Body, arity: int, bits: int, lanes: int, target: Target = HOST) -> Kernel:
    """A loop that stores body(operands) for each group of lanes."""
    module = Module(target)
    pointers = [("ptr", f"in{at}") for at in range(arity + 1)]
    f = Function(module, "run", [*pointers, ("i64", "n")])
    k = Lanes(f, ELEMENT[bits], lanes, target)
    *inputs, output, count = f.arguments
    with f.loop(0, count, lanes) as loop:
        operands = [k.load(f.gep(k.element, pointer, loop.index)) for pointer in inputs]
        k.store(body(k, *operands), f.gep(k.element, output, loop.index))
    f.ret()
    return Kernel(compile_text(module.text(), ["run"]), bits, lanes, arity)


@functools.cache
def row_kernel(name: str, bits: int, lanes: int = 0) -> Kernel:
    """The kernel of a row, with as many lanes as a register has unless told otherwise."""
    lanes = lanes or HOST.lanes(ELEMENT[bits])
    return kernel(functools.partial(by_name, name), VECTOR_MATH[name].arity, bits, lanes)


def by_name(name: str, k: Lanes, *operands: Value) -> Value:
    """The operands in the row's code, called as a function of the module."""
    return call_or_inline(k, name, *operands)


def ulps(got: np.ndarray, exact: list[mp.mpf], bits: int) -> np.ndarray:
    """How many units in the last place of the exact value each result is away; 0 where both overflow alike."""
    kind = DTYPE[bits]
    high = np.array([float(value) for value in exact])
    pairs = zip(exact, high, strict=True)
    low = np.array([float(value - mp.mpf(near)) if np.isfinite(near) else 0.0 for value, near in pairs])
    with np.errstate(all="ignore"):
        rounded = high.astype(kind)
        unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, np.finfo(kind).max)).astype(kind))
        error = np.abs((got.astype(np.float64) - high) - low) / unit.astype(np.float64)
        alike = (got == rounded) & ~np.isfinite(rounded) | np.isnan(got) & np.isnan(rounded)
        return np.where(alike, 0.0, np.where(np.isnan(error), np.inf, error))


def judge(got: np.ndarray, exact: list[mp.mpf], bits: int, limit: float, operands: tuple[np.ndarray, ...]) -> None:
    """Fails with the worst operand where a result is further away than promised."""
    error = ulps(got, exact, bits)
    worst = int(np.argmax(error))
    assert error[worst] <= limit + 1e-3, (
        f"{error[worst]:.3f} ulp at {[(float(x[worst]), float(x[worst]).hex()) for x in operands]}:"
        f" got {float(got[worst])!r}, exactly {mp.nstr(exact[worst], 20)}; promised {limit}"
    )
