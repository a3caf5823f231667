"""Formulas that have a form of their own: softmax(u) of exp(u - lse u), log_softmax(u), one choice of two guards."""

from __future__ import annotations

from sympile.compiler.graph.arithmetic import add, mul, terms_of
from sympile.compiler.graph.conditions import conditions_of, select, unguarded, when
from sympile.compiler.graph.definition import instance
from sympile.compiler.graph.node import MINUS_ONE, Node, const, extent, make, target
from sympile.compiler.graph.rebuild import substitute, transform

SOFTMAX, LOG_SOFTMAX = "softmax", "log_softmax"  # operands: the argument, and the index along which


def normalized(root: Node) -> Node:
    """The body with these formulas as one operation each."""
    (result,) = transform([with_choices(root)], _recognized)
    return result


def with_choices(root: Node) -> Node:
    """The body with a where c holds plus b where it does not as one choice."""
    (result,) = transform([root], _chosen)
    return result


def _chosen(node: Node) -> Node:
    if node.op == "mul":
        return _signs_inside(node) if _is_negated_sum(node) else _sign_inside(node)
    return _choice(list(node.args)) if node.op == "add" else node


def _is_negated_sum(product: Node) -> bool:
    """-(a - b), with a choice in it."""
    minus, *rest = product.args
    return minus is MINUS_ONE and len(rest) == 1 and rest[0].op == "add" and any(t.op == "select" for t in rest[0].args)


def _signs_inside(product: Node) -> Node:
    """-(b + (-a if c else inf)) as -b + (a if c else -inf): not in normal form, which has the sign in front."""
    return make("add", *[_sign_inside(mul(MINUS_ONE, term)) for term in product.args[1].args])


def _sign_inside(product: Node) -> Node:
    """-2*(a if c else b) as -2*a if c else -2*b."""
    number, *rest = product.args or (product,)
    found = next((f for f in rest if f.op == "select"), None)
    if found is None or number.op != "const" or not number.data < 0:  # type: ignore[operator]
        return product
    condition, yes, no = found.args
    return mul(select(condition, mul(number, yes), mul(number, no)), *[f for f in rest if f is not found])


def _choice(terms: list[Node]) -> Node:
    """The sum of terms, those under a condition and those under its negation as two branches."""
    found = []
    for negation in dict.fromkeys(c for term in terms for c in conditions_of(term) if c.op == "not"):
        sides = {c: [t for t in terms if c in conditions_of(t)] for c in (negation.args[0], negation)}
        if all(sides.values()):
            found.append(sides)
    if not found:
        return add(*terms) if len(terms) > 1 else terms[0]  # a sum of one term would multiply it out
    widest = max(found, key=lambda sides: sum(map(len, sides.values())))
    (condition, yes), (_, no) = widest.items()
    branches = [_choice([_without(t, c) for t in own]) for c, own in widest.items()]
    rest = [t for t in terms if t not in yes and t not in no]
    return _choice([*rest, select(condition, *branches)])


def _without(term: Node, condition: Node) -> Node:
    """A term under one condition less."""
    return when(unguarded(term), *[c for c in conditions_of(term) if c is not condition])


def _recognized(node: Node) -> Node:
    if node.op == "exp":
        found = log_softmax_of(node.args[0], 1)
        return node if found is None else make(SOFTMAX, *found)
    if node.op == LOG_SOFTMAX or node.op not in ("add", "mul"):
        return node
    return _with_log_softmax(node)


def _with_log_softmax(node: Node) -> Node:
    """c*(u - lse u), if the whole sum is that."""
    if node.op == "add":
        for sign in (1, -1):
            found = log_softmax_of(node, sign)
            if found is not None:
                return mul(const(sign), make(LOG_SOFTMAX, *found))
    return node


def log_softmax_of(difference: Node, sign: int) -> tuple[Node, Node] | None:
    """(u, the index along which) where sign * difference is u - lse u."""
    if (
        difference.op == "mul"
        and difference.args[1:]
        and difference.args[1].op == LOG_SOFTMAX
        and len(difference.args) == 2
    ):
        return difference.args[1].args if difference.args[0] is const(sign) else None  # type: ignore[return-value]
    if difference.op == LOG_SOFTMAX:
        return difference.args if sign == 1 else None  # type: ignore[return-value]
    signed = mul(const(sign), difference)
    for term in terms_of(signed):
        whole = mul(const(-1), term)
        if whole.op == "read" and target(whole).monoid == "lse" and len(target(whole).reduced) == 1:
            argument = add(signed, whole)
            along = _reduced_index(whole, argument)
            if along is not None:
                return argument, along
    return None


def _reduced_index(whole: Node, argument: Node) -> Node | None:
    """The index of the argument over which the log-sum-exp runs; None where it is of something else."""
    _, (reduced,), body = instance(target(whole), whole.args)
    for candidate in argument.free - whole.free:
        if extent(candidate) is extent(reduced) and substitute(argument, {candidate: reduced}) is body:
            return candidate
    return None
