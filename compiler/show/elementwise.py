"""Functions of each entry: SymPy's applyfunc where SymPy has the function, ours where it has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp

from sympile.compiler import language
from sympile.compiler.graph.node import Node
from sympile.compiler.language.elementary import ScalarElementary
from sympile.compiler.rules.functions import FUNCTIONS
from sympile.compiler.show.network import NoMatrixForm
from sympile.compiler.show.numbers import shown_number
from sympile.compiler.show.patterns import LOG_SOFTMAX, SOFTMAX
from sympile.compiler.show.pieces import Piece, broadcast
from sympile.compiler.show.products import split_scalars, times
from sympile.compiler.show.scalars import scalar

Size = Callable[[Node], Any]


def elementwise_form(node: Node, parts: Sequence[Piece], axes: tuple[Node, ...], size: Size) -> Piece:
    """One operation on pieces; a scalar function where all are scalars."""
    pattern = _PATTERNS.get(node.op)
    if pattern is not None:
        return pattern(node, parts, axes, size)
    if not axes:
        return Piece(scalar(node, [p.expression for p in parts]), ())
    if node.op == "pow":
        return Piece(_power(parts[0].expression, shown_number(node.data)), parts[0].axes)  # type: ignore[arg-type]
    build = _OF_ARRAYS.get(node.op)
    operands = [p.expression if not p.axes else broadcast(p, axes, size) for p in parts]
    if build is not None:
        return Piece(build(*operands), axes)
    return Piece(_applied(node, operands), axes)


def _power(base: Any, exponent: Any) -> Any:
    """The power of each entry; that of a scalar factor stands in front."""
    scalars, matrices = split_scalars(base)
    inner = times([], matrices)
    if isinstance(inner, sp.OneMatrix):
        return times([s**exponent for s in scalars], [inner])
    if scalars and exponent.is_Integer:
        return times([s**exponent for s in scalars], [sp.HadamardPower(inner, exponent)])
    return sp.HadamardPower(base, exponent)


def _applied(node: Node, operands: Sequence[Any]) -> Any:
    """A function of one array and, at most, one scalar beside it."""
    arrays = [o for o in operands if getattr(o, "is_Matrix", False)]
    if len(arrays) != 1 or node.op not in FUNCTIONS:
        raise NoMatrixForm
    entry = sp.Dummy("d")
    made = scalar(node, [entry if o is arrays[0] else o for o in operands])
    if isinstance(made, ScalarElementary):
        return getattr(language, type(made).__name__)(*operands)
    return arrays[0].applyfunc(sp.Lambda(entry, made))


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return language.where(condition, yes, no)


def _greater(low: Any, high: Any) -> Any:
    return language.greater(high, low)


def _mask(*operands: Any) -> Any:
    """m != 0 as the condition m."""
    arrays = [o for o in operands if o != 0]
    if len(arrays) != 1 or not getattr(arrays[0], "is_Matrix", False):
        raise NoMatrixForm
    return arrays[0]


def _extreme(fold: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def build(*operands: Any) -> Any:
        result = operands[0]
        for operand in operands[1:]:
            result = fold(result, operand)
        return result

    return build


_OF_ARRAYS: Mapping[str, Callable[..., Any]] = {
    "max": _extreme(language.maximum),
    "min": _extreme(language.minimum),
    "less": _greater,
    "differs": _mask,
    "select": _where,
    "power": sp.HadamardPower,
}


# ------------------------------------------------------------------------------------------------ patterns


def _softmax(node: Node, parts: Sequence[Piece], axes: tuple[Node, ...], size: Size) -> Piece:
    return _over_index(language.softmax, node, parts, size)


def _log_softmax(node: Node, parts: Sequence[Piece], axes: tuple[Node, ...], size: Size) -> Piece:
    return _over_index(language.log_softmax, node, parts, size)


def _over_index(function: Callable[..., Any], node: Node, parts: Sequence[Piece], size: Size) -> Piece:
    """softmax along the index that is the node's second operand."""
    piece, along = parts[0], node.args[1]
    if along not in piece.axes:
        raise NoMatrixForm
    return Piece(function(piece.expression, axis=piece.axes.index(along)), piece.axes)


def _root(node: Node, parts: Sequence[Piece], axes: tuple[Node, ...], size: Size) -> Piece:
    """sqrt(v.T*v) as norm(v); the square root of each entry elsewhere."""
    inside = parts[0].expression
    if not axes and getattr(inside, "operation", None) == "dot" and inside.operands[0] == inside.operands[1]:
        return Piece(language.norm(inside.operands[0]), ())
    if not axes and getattr(inside, "operation", None) == "sum" and isinstance(inside.operands[0], sp.HadamardPower):
        base, exponent = inside.operands[0].args
        if exponent == 2:
            return Piece(language.norm(base, axis=None), ())
    return Piece(_applied(node, [inside]) if axes else sp.sqrt(inside), parts[0].axes)


_PATTERNS: Mapping[str, Callable[[Node, Sequence[Piece], tuple[Node, ...], Size], Piece]] = {
    SOFTMAX: _softmax,
    LOG_SOFTMAX: _log_softmax,
    "root_square": _root,
}
