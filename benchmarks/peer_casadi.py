"""CasADi's gradient as generated C, inside a loop that a C compiler sees whole: the best peer on small full batches."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import installed

casadi: Any = installed("casadi") if shutil.which("gcc") else None

LOOP = """
void descend(double *p, const double *x, const double *y, long examples, long steps, double rate) {{
    double work[{work} + 1];
    casadi_int integers[{integers} + 1];
    for (long step = 0; step < steps; step++) {{
        double sum[{parameters}] = {{0}};
        for (long e = 0; e < examples; e++) {{
            double slope[{parameters}];
            const double *arguments[{arguments}] = {{p, x + e, y + e}};
            double *results[{results}] = {{slope}};
            gradient(arguments, results, integers, work, 0);
            for (int i = 0; i < {parameters}; i++) sum[i] += slope[i];
        }}
        for (int i = 0; i < {parameters}; i++) p[i] -= rate / examples * sum[i];
    }}
}}
"""

# Without the last flag a shared library may not inline what it exports.
FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-fno-semantic-interposition")


def descent(
    model: Callable[[Any, Any], Any], x: np.ndarray, y: np.ndarray, start: np.ndarray, *, steps: int, rate: float
) -> Callable[[], tuple[np.ndarray, ...]]:
    """The run of so many full-batch steps on the mean squared error of `model(x, p)`."""
    descend = compiled(gradient_of(model, len(start)), len(start))

    def run() -> tuple[np.ndarray, ...]:
        p = start.copy()
        descend(p.ctypes.data, x.ctypes.data, y.ctypes.data, len(x), steps, rate)
        return tuple(p)

    return run


def gradient_of(model: Callable[[Any, Any], Any], parameters: int) -> Any:
    """Of one example's loss; the loop over the examples is C, where gcc can vectorise it."""
    p, x, y = (casadi.SX.sym(name, size) for name, size in (("p", parameters), ("x", 1), ("y", 1)))
    loss = (model(x, [p[i] for i in range(parameters)]) - y) ** 2
    return casadi.Function("gradient", [p, x, y], [casadi.gradient(loss, p)])


def compiled(gradient: Any, parameters: int) -> Callable[..., None]:
    """Loop and gradient in one translation unit, so that gcc inlines one into the other."""
    sizes = {"arguments": gradient.sz_arg(), "results": gradient.sz_res(), "integers": gradient.sz_iw()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = casadi.CodeGenerator("gradient.c")
        generator.add(gradient)
        generator.generate(f"{folder}/")
        loop = LOOP.format(parameters=parameters, work=gradient.sz_w(), **sizes)
        (folder / "loop.c").write_text((folder / "gradient.c").read_text() + loop)
        library = folder / "loop.so"
        subprocess.run(["gcc", *FLAGS, "-o", str(library), str(folder / "loop.c"), "-lm"], check=True)
        descend = ctypes.CDLL(str(library)).descend
    descend.restype = None
    descend.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 2 + [ctypes.c_double]
    return descend
