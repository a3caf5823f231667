"""One factorisation for all calls of one matrix: its inverse, determinants and solves, those with its transpose too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import frexp

from sympile.compiler.graph.arithmetic import add, mul, split
from sympile.compiler.graph.definition import Definition, call, computed, define, definitions, elementwise, read
from sympile.compiler.graph.inline import rewritten
from sympile.compiler.graph.mapping import Mapping
from sympile.compiler.graph.node import ONE, Node, const, target
from sympile.compiler.rules.linalg import ROUTINES


def factor(outputs: Sequence[Definition]) -> dict[Definition, Definition]:
    """Old → new definitions, where calls of one matrix take its factors as their last operand.

    Args:
        outputs: derivatives included, none to be taken later: lu has none. Elementwise definitions not yet inlined, so
            that a transpose can be seen.
    """
    if not any(tensor.kind == "call" for tensor in computed(outputs)):
        return Mapping()
    order = definitions(outputs)
    uses = Counter(_seen_through(t.operands[0])[0] for t in order if t.kind == "call" and t.routine in ROUTINES)
    new: dict[Definition, Definition] = {}
    done: dict[Node, Node] = {}
    for tensor in order:
        if tensor.kind == "call":
            new[tensor] = _called(tensor, new, uses)
        else:
            new[tensor] = _redirected(tensor, new, done)
    return new


def _called(tensor: Definition, new: dict[Definition, Definition], uses: Counter[Definition]) -> Definition:
    if tensor.routine not in ROUTINES:
        return call(tensor.routine, [new[o] for o in tensor.operands], tensor.shape)
    matrix, transposed = _seen_through(tensor.operands[0])
    operands = [new[matrix], *[new[o] for o in tensor.operands[1:]]]
    scale = ONE
    if tensor.routine == "solve":
        scale, operands[1] = _without_scale(operands[1])
    if uses[matrix] > 1:
        operands.append(_factors(new[matrix]))
    if tensor.routine == "solve":
        result = call("solve_transposed" if transposed else "solve", operands, tensor.shape)
        return result if scale is ONE else elementwise(result.axes, mul(scale, read(result, *result.axes)))
    result = call(tensor.routine, operands, tensor.shape)
    return _transposed(result) if transposed and tensor.routine == "inv" else result


def _without_scale(right: Definition) -> tuple[Node, Definition]:
    """A power of two, and the right side without it: A⁻¹ (b/2) is half of A⁻¹ b, to the bit, which others may want."""
    coefficient, rest = split(right.formula) if right.kind == "formula" and right.monoid is None else (1, ONE)
    if coefficient in (0, 1) or rest is ONE or abs(frexp(coefficient)[0]) != 0.5:
        return ONE, right
    return const(coefficient), elementwise(right.axes, rest)


def _factors(matrix: Definition) -> Definition:
    *batch, rows, columns = matrix.shape
    return call("lu", [matrix], [*batch, add(rows, ONE), columns])


def _transposed(matrix: Definition) -> Definition:
    *batch, i, j = matrix.axes
    return define((*batch, j, i), (), None, read(matrix, *matrix.axes))


def _seen_through(operand: Definition) -> tuple[Definition, bool]:
    """The matrix that is factorised, and whether the operand is its transpose."""
    matrix, transposed = operand, False
    below = _transpose_of(matrix)
    while below is not None:
        matrix, transposed = below, not transposed
        below = _transpose_of(matrix)
    return matrix, transposed


def _transpose_of(matrix: Definition) -> Definition | None:
    """K, if the matrix is K with its last two axes exchanged and nothing else."""
    if matrix.kind != "formula" or matrix.monoid is not None or matrix.formula.op != "read":
        return None
    *batch, i, j = matrix.axes
    return target(matrix.formula) if matrix.formula.args == (*batch, j, i) else None


def _redirected(tensor: Definition, new: dict[Definition, Definition], done: dict[Node, Node]) -> Definition:
    """The definition with its reads sent to the new tensors."""
    if tensor.kind == "input":
        return tensor
    body = rewritten(tensor.formula, new, lambda kept: True, done)
    return tensor if body is tensor.formula else define(tensor.axes, tensor.reduced, tensor.monoid, body)
