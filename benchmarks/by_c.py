"""The same loops written and differentiated by hand in C (the folder c/): the practical limit of a workload."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

COMPILER = shutil.which("gcc") or shutil.which("cc")
FOLDER = Path(__file__).resolve().parent / "c"
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fPIC", "-fno-semantic-interposition")


def c_function(name: str) -> Callable[..., None] | None:
    """The function `name` of c/`name`.c, or None where there is no compiler; arrays, integers and floats go in."""
    if COMPILER is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        function = getattr(library(COMPILER, FOLDER / f"{name}.c", Path(folder)), name)
    function.restype = None
    return lambda *arguments: function(*converted(arguments))


def library(compiler: str, source: Path, folder: Path) -> ctypes.CDLL:
    """A source file compiled in a folder, and loaded.

    It is linked without -ffast-math: with it, loading would make the whole process flush denormal numbers to zero.
    """
    compiled, linked = folder / "compiled.o", folder / "linked.so"
    subprocess.run([compiler, *FLAGS, "-c", "-o", str(compiled), str(source)], check=True)
    subprocess.run([compiler, "-shared", "-o", str(linked), str(compiled), "-lm"], check=True)
    return ctypes.CDLL(str(linked))


def converted(arguments: Sequence[object]) -> list[object]:
    return [as_c(each) for each in arguments]


def as_c(argument: object) -> object:
    if isinstance(argument, np.ndarray):
        if not argument.flags.c_contiguous:
            raise ValueError("C wants contiguous arrays")
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_double(argument) if isinstance(argument, float) else ctypes.c_long(int(argument))  # type: ignore[call-overload]
