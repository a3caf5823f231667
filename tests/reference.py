"""An evaluator of definitions in plain NumPy: slow, obvious, and independent of the code generator. The judge of all passes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.special as special

from sympile.compiler.graph.definition import Definition, definitions
from sympile.compiler.graph.node import Node, extent, postorder, target
from sympile.compiler.rules.functions import CONSTANTS, FUNCTIONS

MONOIDS = {
    "sum": lambda a, axes: a.sum(axes),
    "prod": lambda a, axes: a.prod(axes),
    "max": lambda a, axes: a.max(axes),
    "min": lambda a, axes: a.min(axes),
    "lse": lambda a, axes: special.logsumexp(a, axis=axes),
}
CALLS = {
    "inv": np.linalg.inv,
    "solve": lambda a, b: np.linalg.solve(a, b[..., None])[..., 0] if b.ndim < a.ndim else np.linalg.solve(a, b),
    "det": np.linalg.det,
    "logdet": lambda a: np.where(np.linalg.slogdet(a)[0] < 0, np.nan, np.linalg.slogdet(a)[1]),
    "logabsdet": lambda a: np.linalg.slogdet(a)[1],
}
COMPARE = {
    "less": np.less, "less_equal": np.less_equal, "equals": np.equal, "differs": np.not_equal, "and": np.logical_and,
    "or": np.logical_or, "not": np.logical_not,
}  # fmt: skip


def evaluate(outputs: list[Definition], values: Mapping[str, Any], sizes: Mapping[str, int] | None = None) -> list[np.ndarray]:
    """The outputs as arrays; values are keyed by the inputs' names."""
    known: dict[Definition, np.ndarray] = {}
    for tensor in definitions(outputs):
        if tensor.kind == "input":
            known[tensor] = np.asarray(values[tensor.name])
        elif tensor.kind == "call":
            known[tensor] = CALLS[tensor.routine](*[known[o] for o in tensor.operands])
        else:
            known[tensor] = _formula(tensor, known, dict(sizes or {}))
    return [known[o] for o in outputs]


def _formula(tensor: Definition, known: Mapping[Definition, np.ndarray], sizes: Mapping[str, int]) -> np.ndarray:
    indices = tensor.axes + tensor.reduced
    shape = tuple(int(_length(extent(i), sizes)) for i in indices)
    grid = {i: np.arange(n).reshape([-1 if k == j else 1 for j in range(len(shape))]) for k, (i, n) in enumerate(zip(indices, shape, strict=True))}
    with np.errstate(all="ignore"):
        result = np.broadcast_to(_body(tensor.formula, grid, known, sizes), shape)
        if tensor.monoid is not None:
            result = MONOIDS[tensor.monoid](result, tuple(range(len(tensor.axes), len(indices))))
    return np.array(result)


def _length(node: Node, sizes: Mapping[str, int]) -> Any:
    return _body(node, {}, {}, sizes)


def _body(body: Node, grid: Mapping[Node, np.ndarray], known: Mapping[Definition, np.ndarray], sizes: Mapping[str, int]) -> Any:
    done: dict[Node, Any] = {}
    for node in postorder([body]):
        done[node] = _node(node, [done[a] for a in node.args], grid, known, sizes)
    return done[body]


def _node(node: Node, args: list[Any], grid: Any, known: Any, sizes: Any) -> Any:
    op = node.op
    if op == "const":
        value = node.data
        return int(value) if isinstance(value, int) and abs(value) < 2**62 else float(value)  # type: ignore[arg-type]
    if op == "constant":
        return float(CONSTANTS[str(node.data)]())
    if op == "index":
        return grid[node]
    if op == "size":
        return sizes[str(node.data)]
    if op == "read":
        array = known[target(node)]
        if not args:
            return array
        at = [np.clip(np.asarray(a).astype(int), 0, n - 1) for a, n in zip(args, array.shape, strict=True)]
        return array[tuple(at)]
    if op == "add":
        return sum(args[1:], args[0])
    if op == "mul":
        return math.prod(args[1:], start=args[0])
    if op == "pow":
        exponent = node.data
        return np.power(np.asarray(args[0], dtype=float), float(exponent))  # type: ignore[arg-type]
    if op == "when":
        condition = np.logical_and.reduce(np.broadcast_arrays(*[np.asarray(c, dtype=bool) for c in args[1:]]))
        return np.where(condition, args[0], 0.0)
    if op == "select":
        return np.where(args[0], args[1], args[2])
    if op in ("max", "min"):
        fold = np.maximum if op == "max" else np.minimum
        result = args[0]
        for a in args[1:]:
            result = fold(result, a)
        return result
    if op == "eq":
        return np.equal(args[0], args[1])
    if op == "ge":
        return np.greater_equal(args[0], 0)
    if op == "divides":
        return np.mod(args[0], node.data) == 0
    if op in COMPARE:
        return COMPARE[op](*args)
    return FUNCTIONS[op].numpy(*args)
