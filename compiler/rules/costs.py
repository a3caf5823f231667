"""What operations cost, roughly: for deciding whether work is worth several threads, and in which order terms are added."""

from __future__ import annotations

from collections.abc import Mapping

from sympile.compiler.graph.node import Node
from sympile.compiler.rules.lowering import CHEAP

LANES = 8  # numbers in a vector for which the costs hold; half of them take twice as long

# Picoseconds for one number of a vector, on a core of 4 GHz with its operands in the nearest cache.
PICOSECONDS: Mapping[str, int] = {
    # nothing is done for them, or once before the loops
    "const": 0, "constant": 0, "size": 0, "index": 0, "quotient": 0,
    # arithmetic, for each operand
    "add": 15, "mul": 15, "pair_sum": 30, "running": 100,
    # a read from a cache, the same number read again from a register, and a number read or written on its own
    "read": 60, "table": 60, "reread": 5, "apart": 400,
    # everything else that is cheap; and what is not: exp, log, tanh, division, ...
    "cheap": 20, "costly": 500,
}  # fmt: skip


def picoseconds(node: Node) -> int:
    """The cost of one operation without its operands."""
    known = PICOSECONDS.get(node.op)
    if known is None:
        return PICOSECONDS["cheap" if node.op in CHEAP else "costly"]
    return known * len(node.args) if node.op in ("add", "mul") else known


# Cycles from the last operand of an operation until its result is there.
CYCLES: Mapping[str, int] = {
    "const": 0, "constant": 0, "size": 0, "index": 0,
    "add": 2, "mul": 4, "cheap": 4, "costly": 20,
    # a sum over an axis: its lanes added up
    "reduced": 20,
}  # fmt: skip


def cycles(node: Node) -> int:
    """How long one operation takes."""
    known = CYCLES.get(node.op)
    if known is None:
        return CYCLES["cheap" if node.op in CHEAP else "costly"]
    return known * (len(node.args) - 1) if node.op in ("add", "mul") else known


OPERATIONS = 3  # of vectors, begun in a cycle: two, and a product is mostly part of the addition behind it
ROUTINE = 36  # operations of a function such as exp


def operations(node: Node) -> int:
    """How many operations on vectors one node is, divisions aside."""
    if node.op in ("add", "mul"):
        return len(node.args) - 1
    return 1 if node.op in CHEAP or node.op in ("pow", "divide") else ROUTINE
