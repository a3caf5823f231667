"""Calls of vector math: around a call all vector registers are saved, so that a few are written where they stand."""

from __future__ import annotations

from collections.abc import Iterable

from sympile.compiler.graph.node import Node, postorder
from sympile.compiler.rules.machine import is_routine

FEW_ROUTINES = 6  # such as exp, up to which the code of a loop stays short with all of them written out


def routines(bodies: Iterable[Node]) -> int:
    """How often formulas call vector math that is more than a few instructions; what is the same everywhere aside."""
    return sum(is_routine(node) for node in postorder(list(bodies)) if node.free)
