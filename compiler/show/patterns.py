"""Formulas that have a name of their own: exp(u - lse u) is softmax(u), u - lse u is log_softmax(u)."""

from __future__ import annotations

from sympile.compiler.graph.arithmetic import add, mul, terms_of
from sympile.compiler.graph.definition import instance
from sympile.compiler.graph.node import Node, const, extent, make, target
from sympile.compiler.graph.rebuild import substitute, transform

SOFTMAX, LOG_SOFTMAX = "softmax", "log_softmax"  # operands: the argument, and the index along which


def normalized(root: Node) -> Node:
    """The body with these formulas as one operation each."""
    (result,) = transform([root], _recognized)
    return result


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
