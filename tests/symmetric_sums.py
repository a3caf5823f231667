"""Sums of products that are symmetric in two axes, and what is made of them; the same in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from definition_world import World

from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import TWO, ZERO
from sympile.compiler.graph.rebuild import maximum

Values = Mapping[str, np.ndarray[Any, Any]]


def gram(w: World) -> Definition:
    """X'DX: symmetric."""
    i, j, k = w.indices("n n k")
    x, d = w.input("a", "k n"), w.input("d", "k")
    return define((i, j), (k,), "sum", mul(read(x, k, i), read(d, k), read(x, k, j)))


def outer_gram(w: World) -> Definition:
    """X X' for each of a few matrices."""
    e, i, j, k = w.indices("3 n n k")
    x = w.input("a", "3 n k")
    return define((e, i, j), (k,), "sum", mul(read(x, e, i, k), read(x, e, j, k)))


def gram_across(w: World) -> Definition:
    """The axes that can be exchanged are the first and the last one."""
    i, e, j, k = w.indices("n 3 n k")
    x = w.input("a", "k 3 n")
    return define((i, e, j), (k,), "sum", mul(read(x, k, e, i), read(x, k, e, j)))


def ridge(w: World) -> Definition:
    """What is made of the sum is symmetric, too."""
    i, j = w.indices("n n")
    summed = gram(w)
    penalty = when(read(w.input("s")), equal(i, j))
    return elementwise((i, j), maximum(add(mul(TWO, read(summed, i, j)), penalty), ZERO))


def ridge_by_numpy(v: Values) -> Any:
    return np.maximum(2 * gram_by_numpy(v) + v["s"] * np.eye(v["a"].shape[1]), 0)


def tilted(w: World) -> Definition:
    """What is made of the sum is not symmetric: both halves are needed."""
    i, j = w.indices("n n")
    return elementwise((i, j), add(mul(TWO, read(gram(w), i, j)), read(w.input("bias", "n"), j)))


def gram_by_numpy(v: Values) -> Any:
    return v["a"].T @ (v["d"][:, None] * v["a"])
