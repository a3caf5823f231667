"""Addresses of what generated code uses from outside: LAPACK, as SciPy carries it, and the pool of threads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from importlib import import_module

from sympile.compiler.errors import EnvironmentProblem
from sympile.compiler.program import POOL_SYMBOL
from sympile.runtime.pool_memory import pool_address

LAPACK = "lapack_"           # symbols of this prefix are routines of LAPACK: lapack_dgetrf is dgetrf


def import_addresses(symbols: Iterable[str]) -> dict[str, int]:
    """Where the routines start that a program's code imports.

    Args:
        symbols: names as `Code.imports` lists them, "lapack_dgetrf" for example.

    Returns:
        An address for each symbol.

    Raises:
        EnvironmentProblem: the installed SciPy has no such routine.

    Example:
        >>> list(import_addresses(["lapack_dgetrf"]))
        ['lapack_dgetrf']
    """
    return {symbol: _address(symbol) for symbol in symbols}


def _address(symbol: str) -> int:
    return pool_address() if symbol == POOL_SYMBOL else _lapack_address(symbol.removeprefix(LAPACK))


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
