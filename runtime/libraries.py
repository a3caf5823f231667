"""Addresses of what generated code uses: LAPACK, as SciPy carries it; CPython's, NumPy's; the pool of threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from importlib import import_module

from sympile.compiler.errors import EnvironmentProblem, InternalError
from sympile.compiler.program import POOL_SYMBOL
from sympile.runtime.pool_memory import pool_address

# Where NumPy's table of functions for extensions holds what: part of its binary interface, numpy/__multiarray_api.h
NUMPY = {"PyArray_Return": 76, "PyArray_New": 93}


def import_addresses(symbols: Iterable[str]) -> dict[str, int]:
    """Where the routines start that a program's code imports.

    Args:
        symbols: names as `Code.imports` lists them: the library, an underscore, the routine.

    Returns:
        An address for each symbol.

    Raises:
        EnvironmentProblem: the installed SciPy has no such routine.

    Example:
        >>> list(import_addresses(["lapack_dgetrf"]))
        ['lapack_dgetrf']
    """
    return {symbol: _address(*symbol.split("_", 1)) for symbol in symbols}


def _address(library: str, name: str) -> int:
    if library not in LIBRARIES:
        raise InternalError(f"code imports {name} of {library}, which is no library that we know")
    return LIBRARIES[library](name)


def _lapack_address(name: str) -> int:
    lapack = import_module("scipy.linalg.cython_lapack")  # optional: most models need none of it
    capsule = lapack.__pyx_capi__.get(name)
    if capsule is None:
        raise EnvironmentProblem(f"the installed SciPy has no LAPACK routine {name}; install scipy 1.13 or later")
    signature = _CAPSULE_NAME(capsule)
    return int(_CAPSULE_POINTER(capsule, signature))


_CAPSULE_NAME = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_CAPSULE_POINTER = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _python_address(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _numpy_address(name: str) -> int:
    capsule = import_module("numpy._core._multiarray_umath")._ARRAY_API  # optional: for quick calls only
    table = ctypes.cast(int(_CAPSULE_POINTER(capsule, None)), ctypes.POINTER(ctypes.c_void_p))
    return table[NUMPY[name]] or 0


def _own_address(name: str) -> int:
    if f"sympile_{name}" != POOL_SYMBOL:
        raise InternalError(f"sympile has no {name} for generated code")
    return pool_address()


LIBRARIES: dict[str, Callable[[str], int]] = {
    "sympile": _own_address,
    "lapack": _lapack_address,
    "python": _python_address,
    "numpy": _numpy_address,
}
