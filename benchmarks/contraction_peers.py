"""OpenBLAS's matrix products, called from machine code; other sums of products by NumPy and JAX."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from peers import jax

from sympile.compiler.code.jit import compile_text

Array = np.ndarray[Any, Any]
CALL = """
declare void @gemm(ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr)
define void @product(ptr %table) {{
entry:
{loads}
  call void @gemm({arguments})
  ret void
}}
"""


def blas_product(
    transposed: tuple[bool, bool], a: Array, b: Array, out: Array, repeat: Callable[[int, int, int], None]
) -> tuple[Callable[[int], None], object]:
    """out = op(a) op(b) by SciPy's OpenBLAS, and what must stay alive. By columns it is out' = op(b)' op(a)'."""
    rows, columns = out.shape
    inner = a.shape[0] if transposed[0] else a.shape[1]
    letters = [ctypes.c_char(b"T" if flag else b"N") for flag in reversed(transposed)]
    sizes = [ctypes.c_int(n) for n in (columns, rows, inner, b.shape[1], a.shape[1], columns)]
    real = ctypes.c_double if out.dtype == np.float64 else ctypes.c_float
    scales = [real(1.0), real(0.0)]
    arrays = [each.__array_interface__["data"][0] for each in (b, a, out)]
    m, n, k, ldb, lda, ldc = [ctypes.addressof(each) for each in sizes]
    first, second = [ctypes.addressof(each) for each in letters]
    alpha, beta = [ctypes.addressof(each) for each in scales]
    values = [first, second, m, n, k, alpha, arrays[0], ldb, arrays[1], lda, beta, arrays[2], ldc]
    table = (ctypes.c_void_p * len(values))(*values)
    loads = [
        f"  %p{at} = getelementptr ptr, ptr %table, i64 {at}\n  %a{at} = load ptr, ptr %p{at}"
        for at in range(len(values))
    ]
    arguments = ", ".join(f"ptr %a{at}" for at in range(len(values)))
    name = "dgemm" if out.dtype == np.float64 else "sgemm"
    text = CALL.format(loads="\n".join(loads), arguments=arguments)
    loaded = compile_text(text, ["product"], imports={"gemm": address(name)})
    code, place = loaded.address("product"), ctypes.addressof(table)
    return lambda count: repeat(code, place, count), (loaded, table, sizes, letters, scales, a, b, out)


def python_products(
    letters: str | None, by_numpy: Callable[..., Array], given: Sequence[Array]
) -> list[Callable[[int], None]]:
    """NumPy's way; JAX's where it is installed and einsum can write the sum."""

    def numpy(count: int) -> None:
        for _ in range(count):
            by_numpy(*given)

    if jax is None or letters is None:
        return [numpy]
    einsum = partial(jax.numpy.einsum, letters, optimize="optimal")
    product = jax.jit(einsum if letters else by_numpy)
    held = [jax.device_put(each) for each in given]

    def by_jax(count: int) -> None:
        for _ in range(count):
            product(*held).block_until_ready()

    return [numpy, by_jax]


def address(name: str) -> int:
    """Where a routine of BLAS starts."""
    capsule = import_module("scipy.linalg.cython_blas").__pyx_capi__[name]
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    return int(get(capsule, get_name(capsule)))
