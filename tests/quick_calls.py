"""Functions and a model to call often, their values, and what the same result means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy as sp

import sympile as sm

Array = npt.NDArray[Any]
RNG = np.random.default_rng(21)
a, b, c = sp.symbols("a b c")
A3, v3 = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("v", 3, 1)
table, k = sp.IndexedBase("table", shape=(5,)), sp.Symbol("k", integer=True)
X, Y, Z = RNG.normal(size=(3, 40))
M = RNG.normal(size=(3, 3)) + 4 * np.eye(3)
V = RNG.normal(size=(3, 1))


def warm(f: Any, *values: Any) -> Any:
    """The function after two calls with these values: the third one need not come to Python."""
    f(*values), f(*values)
    assert f._shortcuts.ways
    return f


def same(given: Any, wanted: Any) -> None:
    """The same bits, shapes, dtypes and kinds of object."""
    assert type(given) is type(wanted)
    if isinstance(wanted, list):
        assert len(given) == len(wanted)
        for one, other in zip(given, wanted, strict=True):
            same(one, other)
        return
    assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
    assert given.tobytes() == wanted.tobytes()


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call returns or raises, to compare."""
    try:
        result = call()
    except Exception as error:
        return type(error), str(error)
    return result.dtype, result.shape, result.tobytes()


W, bias = sp.MatrixSymbol("W", 2, 3), sp.MatrixSymbol("bias", 2, 1)
x3, t2 = sp.MatrixSymbol("x", 3, 1), sp.MatrixSymbol("t", 2, 1)
unused = sp.Symbol("unused")


def layer(dtype: str = "float64") -> sm.Model:
    e = sm.tanh(W * x3 + bias) - t2
    return sm.compile(
        sm.scalar(e.T * e),
        [W, unused, bias],
        prediction={"fitted": e + t2, "error": e},
        dtype=dtype,
        allow_unused=[unused],
    )


def layer_values(n: int, dtype: str, scale: float = 1.0) -> dict[Any, Any]:
    arrays = {x3: X[: 3 * n].reshape(n, 3), "t": Y[: 2 * n].reshape(n, 2, 1), W: Z[:6].reshape(2, 3), "bias": Z[6:8]}
    return {key: (scale * array).astype(dtype) for key, array in arrays.items()} | {unused: 0.5}
