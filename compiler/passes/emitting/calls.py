"""Linear-algebra calls: LAPACK through function pointers; what is singular is treated as NumPy treats it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, literal
from sympile.compiler.errors import InternalError
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ONE, Node
from sympile.compiler.passes.emitting.determinants import write_determinant, write_log, write_log_absolute
from sympile.compiler.passes.emitting.factors import IMPORTS, Call, Factors, each, numbered_calls
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.passes.emitting.room import block, matrix_order, places, scratch_words
from sympile.compiler.rules.linalg import right_sides, shared_factors

__all__ = ["IMPORTS", "numbered_calls", "scratch_words", "write_call"]


def write_call(frame: Frame, tensor: Definition, scalar: Lanes) -> None:
    """The code of a call: for every matrix of the batch, its factors and what the routine makes of them."""
    if tensor.routine not in _WRITERS:
        raise InternalError(f"no code for the routine {tensor.routine}")
    if any(operand.integer for operand in tensor.operands):
        raise InternalError(f"{tensor.routine} of whole numbers: they must be read into a matrix of real numbers first")
    call = Call(frame, tensor, scalar, places(frame, tensor))
    batch = _product(frame, tensor.operands[0].shape[:-2])
    with each(frame.function, batch) as position:
        _WRITERS[tensor.routine](call, position)


def _product(frame: Frame, lengths: tuple[Node, ...]) -> Integer:
    result: Integer = 1
    for length in lengths:
        result = frame.function.mul(result, frame.extent(length))
    return result


# ------------------------------------------------------------------------------------------------ inverse, solution


def _write_factors(call: Call, position: Integer) -> None:
    call.factorise(position, call.stored_factors(call.tensor, position))


def _write_inverse(call: Call, position: Integer) -> None:
    """getri in the result itself, into which the factors are written or copied."""
    f = call.function
    result = call.address(call.tensor, f.mul(position, call.square))
    if shared_factors(call.tensor) is None:
        factors = call.factorise(position, Factors(result, call.places["pivots"]))
    else:
        factors = call.factors(position)
        call.copy(factors.address, result, call.square)
    with f.either(call.singular(factors), unlikely=True) as choice:
        with choice.then():
            call.fill(result, call.square)
            call.report(position)
        with choice.otherwise():
            order = call.integer(call.order)
            length = call.integer(f.mul(call.frame.extent(block(matrix_order(call.tensor))), call.order))
            call.lapack("getri", order, result, order, factors.pivots, call.places["work"], length)


def _write_solution(call: Call, position: Integer) -> None:
    """getrs for all right sides of this matrix."""
    f = call.function
    sides = right_sides(call.tensor)
    shared, columns = (call.frame.extent(n or ONE) for n in (sides.shared, sides.columns))
    count = f.mul(f.mul(shared, columns), call.order)
    offset = f.mul(position, count)
    factors = call.factors(position)
    with f.either(call.singular(factors), unlikely=True) as choice:
        with choice.then():
            call.fill(call.address(call.tensor, offset), count)
            call.report(position)
        with choice.otherwise():
            right, result = call.address(call.tensor.operands[1], offset), call.address(call.tensor, offset)
            if sides.columns is None:
                call.copy(right, result, count)
                _solve(call, factors, result, shared)
            else:
                _solve_columns(call, factors, right, result, shared, columns)


TRANS: Mapping[str, str] = {"solve": "T", "solve_transposed": "N"}  # LAPACK holds the factors of Aᵀ


def _solve(call: Call, factors: Factors, columns: Value, count: Integer) -> None:
    """Right sides that lie one after the other become solutions."""
    transposed = call.function.alloca("i8", align=1)
    call.function.store(literal(ord(TRANS[call.tensor.routine]), "i8"), transposed)
    order, width = call.integer(call.order), call.integer(count)
    call.lapack("getrs", transposed, order, width, factors.address, order, factors.pivots, columns, order)


def _solve_columns(
    call: Call, factors: Factors, right: Value, result: Value, shared: Integer, columns: Integer
) -> None:
    """Right sides that are the columns of row-major matrices."""
    f, inner = call.function, call.places["columns"]
    with each(f, shared) as turn:
        offset = f.mul(turn, f.mul(call.order, columns))
        call.transpose(f.gep(call.scalar.element, right, offset), inner, call.order, columns)
        _solve(call, factors, inner, columns)
        call.transpose(inner, f.gep(call.scalar.element, result, offset), columns, call.order)


_WRITERS: Mapping[str, Callable[[Call, Integer], None]] = {
    "lu": _write_factors,
    "inv": _write_inverse,
    "solve": _write_solution,
    "solve_transposed": _write_solution,
    "det": write_determinant,
    "logdet": write_log,
    "logabsdet": write_log_absolute,
}
