"""CasADi's gradient as generated C, inside a loop that a C compiler sees whole: the best peer on small full batches."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from by_c import library
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

ROWS = """
void rows(double *out, const double *x, long count) {{
    double work[{work} + 1];
    casadi_int integers[{integers} + 1];
    for (long row = 0; row < count; row++) {{
        const double *arguments[{arguments}] = {{x + row * {inputs}}};
        double *results[{results}] = {{out + row * {outputs}}};
        function(arguments, results, integers, work, 0);
    }}
}}
"""


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
    descend = built(gradient, LOOP, "descend", parameters=parameters)
    descend.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 2 + [ctypes.c_double]
    return descend


def mapped(inputs: list[Any], outputs: list[Any], x: np.ndarray) -> Callable[[], tuple[np.ndarray, ...]]:
    """The run that evaluates the outputs, as one dense vector, for each row of x."""
    values = casadi.vec(casadi.densify(casadi.vertcat(*outputs)))
    function = casadi.Function("function", [casadi.vertcat(*inputs)], [values])
    width = function.nnz_out(0)
    rows = built(function, ROWS, "rows", inputs=x.shape[1], outputs=width)
    rows.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long]
    out = np.empty((len(x), width))

    def run() -> tuple[np.ndarray, ...]:
        rows(out.ctypes.data, x.ctypes.data, len(x))
        return (out,)

    return run


def built(function: Any, loop: str, name: str, **numbers: int) -> Any:
    """The C function `name` that `loop` defines around CasADi's."""
    sizes = {"arguments": function.sz_arg(), "results": function.sz_res(), "integers": function.sz_iw()}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        generator = casadi.CodeGenerator("function.c")
        generator.add(function)
        generator.generate(f"{folder}/")
        text = loop.format(work=function.sz_w(), **sizes, **numbers)
        (folder / "loop.c").write_text((folder / "function.c").read_text() + text)
        found = getattr(library("gcc", folder / "loop.c", folder), name)
    found.restype = None
    return found
