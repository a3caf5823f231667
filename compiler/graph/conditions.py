"""Guards and choices: a value where conditions hold."""

from __future__ import annotations

from sympile.compiler.graph.node import ONE, ZERO, Node, by_key, make

CONDITIONS = frozenset({"eq", "ge", "divides", "less", "less_equal", "equals", "differs", "and", "or", "not"})


def when(value: Node, *conditions: Node) -> Node:
    """value where every condition holds, else 0. A guard is a select, not a factor: what is guarded may be nan."""
    kept: set[Node] = set()
    for condition in conditions:
        if condition is ZERO:
            return ZERO
        if condition.op == "when":
            kept.update(condition.args[1:])
        elif condition.op == "and":
            kept.update(conditions_of(when(ONE, *condition.args)))
        elif condition is not ONE:
            kept.add(condition)
    if value.op == "when":
        kept.update(value.args[1:])
        value = value.args[0]
    if value is ZERO or not kept:
        return value
    return make("when", value, *sorted(kept, key=by_key))


def conditions_of(node: Node) -> tuple[Node, ...]:
    return node.args[1:] if node.op == "when" else ()


def unguarded(node: Node) -> Node:
    return node.args[0] if node.op == "when" else node


def select(condition: Node, yes: Node, no: Node) -> Node:
    """yes where the condition holds, else no; with a 0 on one side it is a guard."""
    condition = _bare_condition(condition)
    if yes is no or condition is ONE:
        return yes
    if condition is ZERO:
        return no
    if no is ZERO:
        return when(yes, condition)
    return when(no, negation(condition)) if yes is ZERO else make("select", condition, yes, no)


def counted(body: Node, neutral: Node) -> tuple[Node, tuple[Node, ...]]:
    """(value, conditions) of what a reduction goes over: the value counts where all conditions hold."""
    if neutral is ZERO:
        return unguarded(body), conditions_of(body)
    if body.op == "select" and body.args[2] is neutral:
        return body.args[1], conditions_of(when(ONE, body.args[0]))
    if body.op == "select" and body.args[1] is neutral:
        return body.args[2], conditions_of(when(ONE, negation(body.args[0])))
    return body, ()


def negation(condition: Node) -> Node:
    """The condition does not hold (a comparison with nan does not)."""
    condition = _bare_condition(condition)
    if condition in (ZERO, ONE):
        return ONE if condition is ZERO else ZERO
    return condition.args[0] if condition.op == "not" else make("not", condition)


def both(*conditions: Node) -> Node:
    """All conditions hold."""
    return _joined("and", conditions, ONE, ZERO)


def either(*conditions: Node) -> Node:
    """At least one condition holds."""
    return _joined("or", conditions, ZERO, ONE)


def _joined(op: str, conditions: tuple[Node, ...], neutral: Node, absorbing: Node) -> Node:
    kept = [c for c in dict.fromkeys(conditions) if c is not neutral]
    if absorbing in kept:
        return absorbing
    result = kept[0] if kept else neutral
    for condition in kept[1:]:
        result = make(op, *sorted((result, condition), key=by_key))
    return result


def differs(left: Node, right: Node) -> Node:
    """left != right; of a condition that was made a number, [c] != 0, it is c again."""
    for one, other in ((left, right), (right, left)):
        if other is ZERO and one.op == "when" and one.args[0] is ONE:
            return one.args[1] if len(one.args) == 2 else make("and", *one.args[1:])
    return make("differs", *sorted((left, right), key=by_key))


def _bare_condition(condition: Node) -> Node:
    """A number as a condition: it holds where it is not 0."""
    if condition in (ZERO, ONE) or condition.op in CONDITIONS or condition.op == "hole":
        return condition
    return differs(condition, ZERO)
