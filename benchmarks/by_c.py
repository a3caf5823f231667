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
# A library that is linked with -ffast-math makes the whole process flush denormal numbers to zero when it is loaded.
LINK = ("-shared",)


def c_function(name: str) -> Callable[..., None] | None:
    """The function `name` of c/`name`.c, or None where there is no compiler; arrays, integers and floats go in."""
    if COMPILER is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library, compiled = Path(folder) / f"{name}.so", Path(folder) / f"{name}.o"
        subprocess.run([COMPILER, *FLAGS, "-c", "-o", str(compiled), str(FOLDER / f"{name}.c")], check=True)
        subprocess.run([COMPILER, *LINK, "-o", str(library), str(compiled), "-lm"], check=True)
        function = getattr(ctypes.CDLL(str(library)), name)
    function.restype = None
    return lambda *arguments: function(*converted(arguments))


def converted(arguments: Sequence[object]) -> list[object]:
    return [as_c(each) for each in arguments]


def as_c(argument: object) -> object:
    if isinstance(argument, np.ndarray):
        if not argument.flags.c_contiguous:
            raise ValueError("C wants contiguous arrays")
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_double(argument) if isinstance(argument, float) else ctypes.c_long(int(argument))  # type: ignore[call-overload]
