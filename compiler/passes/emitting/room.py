"""The room that a linear-algebra call needs besides operands and result: on the stack, or in the scratch memory."""

from __future__ import annotations

from collections.abc import Mapping

from sympile.compiler.code.value import Value
from sympile.compiler.graph.arithmetic import add, mul
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import ZERO, Node, const, number
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.rules.linalg import SOLVES, right_sides, shared_factors

STACK_WORDS = 4096  # of 8 bytes: up to here a call's room is taken from the stack
BLOCK = 64  # columns that getri handles at a time, if its work space holds them

# What a routine needs besides its operands and its result; lu and inv factorise in their result.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "lu": (),
    "inv": ("pivots", "work"),
    "solve": ("pivots", "factor", "columns"),
    "solve_transposed": ("pivots", "factor", "columns"),
    "det": ("pivots", "factor"),
    "logdet": ("pivots", "factor"),
    "logabsdet": ("pivots", "factor"),
}
_FACTORS = frozenset({"pivots", "factor"})


def scratch_words(tensor: Definition) -> Node:
    """How many 8-byte words a call writes behind `frame.extra("scratch")`, in sizes; 0 if the stack has room."""
    words = add(*room(tensor).values())
    return ZERO if on_stack(words) else words


def on_stack(words: Node) -> bool:
    return words.op == "const" and number(words) <= STACK_WORDS


def room(tensor: Definition) -> dict[str, Node]:
    """Words for each thing that a call needs, in the order in which they lie; float32 leaves half of them free."""
    size = matrix_order(tensor)
    columns = right_sides(tensor).columns if tensor.routine in SOLVES else None
    words = {
        "pivots": size,
        "factor": mul(size, size),
        "work": mul(block(size), size),
        "columns": mul(size, columns or ZERO),
    }
    there = frozenset[str]() if shared_factors(tensor) is None else _FACTORS
    return {need: words[need] for need in NEEDS[tensor.routine] if need not in there}


def matrix_order(tensor: Definition) -> Node:
    """How many rows the matrix has."""
    return tensor.operands[0].shape[-1]


def block(size: Node) -> Node:
    """How many columns getri handles at a time."""
    return const(min(BLOCK, number(size))) if size.op == "const" else const(BLOCK)


def places(frame: Frame, tensor: Definition) -> dict[str, Value]:
    """Where each thing that the call needs lies: on the stack if it is small, else in the scratch memory."""
    needs = room(tensor)
    words = add(*needs.values())
    small = on_stack(words)
    start = frame.function.alloca("i64", int(number(words))) if small else frame.extra("scratch")
    found, used = dict[str, Value](), ZERO
    for name, needed in needs.items():
        found[name] = frame.function.gep("i64", start, frame.extent(used))
        used = add(used, needed)
    return found
