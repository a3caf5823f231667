"""Linear-algebra calls and their adjoints (Giles 2008, "Collected matrix derivative results")."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sympile.compiler.graph.arithmetic import mul, neg, sub
from sympile.compiler.graph.definition import Definition, call, elementwise, read
from sympile.compiler.graph.node import ZERO, Node, extent, index, index_name
from sympile.compiler.graph.reduce import total
from sympile.compiler.records import dataclass
from sympile.compiler.rules.facts import symmetric

Adjoint = Callable[..., Node]      # the adjoint of the result, at given indices


@dataclass(frozen=True, slots=True)
class Routine:
    """A linear-algebra routine: what it computes, for documents and messages."""

    name: str
    operands: int
    meaning: str


# fmt: off
ROUTINES: Mapping[str, Routine] = {
    routine.name: routine
    for routine in (
        Routine("inv",       1, "the inverse of a square matrix"),
        Routine("solve",     2, "A⁻¹ b, for a vector or a matrix b"),
        Routine("det",       1, "the determinant"),
        Routine("logdet",    1, "log(det A): nan where the determinant is negative, -inf where it is 0"),
        Routine("logabsdet", 1, "log |det A|: -inf where the determinant is 0"),
    )
}
# fmt: on

# What the pass `factor` makes of them, after all derivatives are taken; no formula is written in these.
#   lu(A)                   the factors of A in n rows of n, then a row that holds the pivots
#   solve_transposed(A, b)  A⁻ᵀ b
# A last operand lu(A) means that the factors are there already.
SHARED = frozenset({"lu", "solve_transposed"})
SOLVES = frozenset({"solve", "solve_transposed"})


def shared_factors(tensor: Definition) -> Definition | None:
    """The factors that a call is handed, if it is."""
    last = tensor.operands[-1]
    return last if last.kind == "call" and last.routine == "lu" and tensor.routine != "lu" else None


@dataclass(frozen=True, slots=True)
class RightSides:
    """How the right side of a solve is laid out: [batch, shared, row, column], each there or not."""

    batch: int               # how many axes matrix and right side have in common, in front
    shared: Node | None      # examples, each with a right side of its own, where the matrix is the same for all
    columns: Node | None     # columns of a matrix; None for a vector


def right_sides(solve: Definition) -> RightSides:
    """Tells the axes of a right side apart."""
    matrix, right = solve.operands[:2]
    batch = len(matrix.axes) - 2
    shared = right.shape[0] if right.batched and not matrix.batched else None
    inner = right.shape[batch + (shared is not None) + 1 :]
    return RightSides(batch, shared, inner[0] if inner else None)


# ------------------------------------------------------------------------------------------------ adjoints


def _inverse(operand: Definition) -> Definition:
    return call("inv", [operand], operand.shape)


def _transposed(matrix: Definition) -> Definition:
    if symmetric(matrix):
        return matrix
    *batch, i, j = matrix.axes
    return elementwise((*batch, j, i), read(matrix, *batch, i, j))


def _det(tensor: Definition, position: int, adjoint: Adjoint) -> Node:
    """dA = det(A) A⁻ᵀ d."""
    return mul(read(tensor, *tensor.axes), _logdet(tensor, position, adjoint))


def _logdet(tensor: Definition, position: int, adjoint: Adjoint) -> Node:
    """dA = A⁻ᵀ d; the same for log |det A|."""
    (matrix,) = tensor.operands
    i, j = matrix.axes[-2:]
    return mul(adjoint(*tensor.axes), read(_inverse(matrix), *matrix.axes[:-2], j, i))


def _inv(tensor: Definition, position: int, adjoint: Adjoint) -> Node:
    """dA = -A⁻ᵀ dY A⁻ᵀ."""
    (matrix,) = tensor.operands
    batch, (i, j) = tensor.axes[:-2], matrix.axes[-2:]
    p, q = index(extent(i)), index(extent(j))
    return neg(total([p, q], mul(read(tensor, *batch, p, i), adjoint(*batch, p, q), read(tensor, *batch, j, q))))


def _solve(tensor: Definition, position: int, adjoint: Adjoint) -> Node:
    """y = A⁻¹ b: db = A⁻ᵀ dy, dA = -db yᵀ."""
    matrix, right = tensor.operands
    right_adjoint = _solve_transposed(tensor, adjoint)
    if position == 1:
        return right_adjoint(*right.axes)
    sides = right_sides(tensor)
    batch, (i, j) = matrix.axes[: sides.batch], matrix.axes[-2:]
    shared = [index(sides.shared)] if sides.shared is not None else []
    column = [index(sides.columns)] if sides.columns is not None else []
    product = mul(right_adjoint(*batch, *shared, i, *column), read(tensor, *batch, *shared, j, *column))
    return neg(total([*shared, *column], product))


def _solve_transposed(tensor: Definition, adjoint: Adjoint) -> Adjoint:
    """A⁻ᵀ dy as a function of indices: a solve where its right side is a vector or a matrix, else by the inverse."""
    matrix = tensor.operands[0]
    sides = right_sides(tensor)
    body = adjoint(*tensor.axes)
    free = sorted(body.free - set(tensor.axes), key=index_name)      # a Jacobian's output indices
    if len(free) + (sides.columns is not None) > 1:
        return _times_inverse(tensor, adjoint)
    right = elementwise((*tensor.axes, *free), body)
    result = call("solve", [_transposed(matrix), right], right.shape)
    return lambda *at: read(result, *at, *free)


def _times_inverse(tensor: Definition, adjoint: Adjoint) -> Adjoint:
    """sum_p A⁻¹[p, row] dy[p, column]."""
    matrix = tensor.operands[0]
    sides = right_sides(tensor)
    inverse, row = _inverse(matrix), sides.batch + (sides.shared is not None)

    def at(*indices: Node) -> Node:
        p = index(extent(matrix.axes[-1]))
        there = read(inverse, *indices[: sides.batch], p, indices[row])
        return total([p], mul(there, adjoint(*indices[:row], p, *indices[row + 1 :])))

    return at


ADJOINTS: Mapping[str, Callable[[Definition, int, Adjoint], Node]] = {
    "det": _det,
    "logdet": _logdet,
    "logabsdet": _logdet,
    "inv": _inv,
    "solve": _solve,
}


# ------------------------------------------------------------------------------------------------ tangents

Tangents = Mapping[int, Adjoint]      # position of an operand → its tangent, at given indices; those without are fixed


def _inv_tangent(tensor: Definition, tangents: Tangents) -> Node:
    """dY = -Y dA Y."""
    batch, (i, j) = tensor.axes[:-2], tensor.axes[-2:]
    p, q = index(extent(i)), index(extent(j))
    return neg(total([p, q], mul(read(tensor, *batch, i, p), tangents[0](*batch, p, q), read(tensor, *batch, q, j))))


def _logdet_tangent(tensor: Definition, tangents: Tangents) -> Node:
    """tr(A⁻¹ dA)."""
    (matrix,) = tensor.operands
    *batch, i, j = matrix.axes
    p, q = index(extent(i)), index(extent(j))
    return total([p, q], mul(read(_inverse(matrix), *batch, q, p), tangents[0](*batch, p, q)))


def _det_tangent(tensor: Definition, tangents: Tangents) -> Node:
    """det(A) tr(A⁻¹ dA)."""
    return mul(read(tensor, *tensor.axes), _logdet_tangent(tensor, tangents))


def _solve_tangent(tensor: Definition, tangents: Tangents) -> Node:
    """dy = A⁻¹ (db - dA y)."""
    matrix, right = tensor.operands
    sides = right_sides(tensor)
    row = sides.batch + (sides.shared is not None)
    body = tangents[1](*right.axes) if 1 in tangents else ZERO
    if 0 in tangents:
        q = index(extent(right.axes[row]))
        at = (*right.axes[:row], q, *right.axes[row + 1 :])
        change = mul(tangents[0](*right.axes[: sides.batch], right.axes[row], q), read(tensor, *at))
        body = sub(body, total([q], change))
    return read(call("solve", [matrix, elementwise(right.axes, body)], right.shape), *tensor.axes)


TANGENTS: Mapping[str, Callable[[Definition, Tangents], Node]] = {
    "det": _det_tangent,
    "logdet": _logdet_tangent,
    "logabsdet": _logdet_tangent,
    "inv": _inv_tangent,
    "solve": _solve_tangent,
}
