"""What conditions on indices say of an index expression: how large sizes must be so that it is at least zero."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from sympile.compiler.graph.arithmetic import add, neg, sub
from sympile.compiler.graph.conditions import negation
from sympile.compiler.graph.node import MINUS_ONE, ONE, ZERO, Node, by_key, number
from sympile.compiler.graph.ranges import largest, smallest


def demanded(expression: Node, conditions: Iterable[Node]) -> Node | None:
    """An expression in sizes: where it is not negative, the given one is not under the conditions; None: unknown.

    A ZERO says that nothing is demanded; a negative number, that it is negative somewhere as far as can be told.
    """
    conditions = sorted(conditions, key=by_key)
    every = list(dict.fromkeys(known for condition in conditions for known in _known(condition)))
    found: list[Node] = []
    for some in ((), *[(known,) for known in every], *combinations(every, 2)):
        least = smallest(sub(expression, add(*some)))
        if least is not None and _is_settled(least):
            return ZERO
        if least is not None:
            found.append(least)
    either = [c for condition in conditions for c in _alternatives(condition)]
    if any(all(demanded(expression, [c]) is ZERO for c in cases) for cases in either):
        return ZERO
    symbolic = [least for least in found if least.op != "const"]
    return symbolic[-1] if symbolic else found[-1] if found else None


def _is_settled(least: Node) -> bool:
    return least.op == "const" and number(least) >= 0


def _known(condition: Node) -> list[Node]:
    """Expressions that are at least zero where the condition holds."""
    if condition.op == "and":
        return [known for part in condition.args for known in _known(part)]
    if condition.op == "ge":
        return [condition.args[0]]
    if condition.op == "eq":
        difference = sub(*condition.args)
        return [difference, neg(difference)]
    if condition.op == "not":
        return _known_not(condition.args[0])
    return _known_unequal(condition) if condition.op == "differs" else []


def _known_not(condition: Node) -> list[Node]:
    """Expressions that are at least zero where the condition does not hold."""
    if condition.op == "or":
        return [known for part in condition.args for known in _known(negation(part))]
    if condition.op == "ge":
        return [add(neg(condition.args[0]), MINUS_ONE)]
    return _known_unequal(condition) if condition.op == "eq" else []


def _known_unequal(condition: Node) -> list[Node]:
    """Where two indices differ that can only be equal at an end of their range, they are a step inside of it."""
    difference = sub(*condition.args)
    ends = [(difference, smallest(difference)), (neg(difference), largest(difference))]
    return [sub(side, ONE) for side, end in ends if end is ZERO]


def _alternatives(condition: Node) -> list[list[Node]]:
    """Conditions of which one holds."""
    if condition.op == "or":
        return [list(condition.args)]
    if condition.op == "not" and condition.args[0].op == "and":
        return [[negation(part) for part in condition.args[0].args]]
    return []
