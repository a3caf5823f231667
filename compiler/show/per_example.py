"""What a gradient is for one example: the sum over the examples that stands outermost is taken off."""

from __future__ import annotations

from sympile.compiler.graph.arithmetic import add, factors_of, mul, power, terms_of
from sympile.compiler.graph.conditions import conditions_of, unguarded, when
from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, Definition, elementwise, instance
from sympile.compiler.graph.node import ZERO, Node, extent, target
from sympile.compiler.graph.rebuild import substitute
from sympile.compiler.graph.reduce import total


def per_example(definition: Definition, reduction: str = "mean") -> Definition:
    """One example's share of an objective's gradient: the mean (or the sum) of it over the examples is the gradient.

    Args:
        definition: c * (sum over examples of g[e, m] + EXAMPLES * r[m]), with c = 1/EXAMPLES or 1; other forms stay.
        reduction: "mean" for c = 1/EXAMPLES, "sum" for c = 1.

    Returns:
        g[e, m] + r[m], with the example index in front of its axes where it depends on it.
    """
    if definition.kind != "formula" or definition.monoid not in (None, "sum") or definition.batched:
        return definition
    shares = [_share(term, reduction) for term in _open_terms(definition)]
    if any(share is None for share in shares):
        return definition
    body = add(*[share for share in shares if share is not None])
    axes = (EXAMPLE, *definition.axes) if EXAMPLE in body.free else definition.axes
    return elementwise(axes, body)


def _open_terms(definition: Definition) -> list[Node]:
    """The terms of the formula; a sum over examples on the outside counts as one."""
    if definition.monoid is None:
        return _terms(definition.formula)
    stripped = _without_examples(definition, definition.axes)
    return [] if stripped is None else [mul(EXAMPLES, stripped)]


def _terms(body: Node) -> list[Node]:
    """The terms of a sum, also of one that stands under a factor or in an elementwise definition."""
    terms = terms_of(body)
    if len(terms) > 1:
        return [part for term in terms for part in _terms(term)]
    for factor in factors_of(unguarded(body)):
        opened = _opened(factor)
        if opened is not None:
            others = [f for f in factors_of(unguarded(body)) if f is not factor]
            inner = [when(mul(term, *others), *conditions_of(body)) for term in terms_of(opened)]
            return [part for term in inner for part in _terms(term)]
    return [body]


def _opened(factor: Node) -> Node | None:
    """A sum with a reduction over examples in it, spelled out; None for everything else."""
    if factor.op == "add":
        return factor if any(holds_total(term) for term in factor.args) else None
    if (
        factor.op == "read"
        and target(factor).kind == "formula"
        and target(factor).monoid is None
        and not target(factor).batched
    ):
        _, _, body = instance(target(factor), factor.args)
        return body if holds_total(body) else None
    return None


def holds_total(body: Node) -> bool:
    """Whether a sum over examples is reached through linear operations."""
    return any(_stripped(term) is not None for term in terms_of(body))


def _share(term: Node, reduction: str) -> Node | None:
    """One example's share of one term, or None where there is none."""
    stripped = _stripped(term)
    if stripped is not None:
        return mul(EXAMPLES, stripped) if reduction == "mean" else stripped
    return term if reduction == "mean" else mul(power(EXAMPLES, -1), term)


def _stripped(term: Node) -> Node | None:
    """A body whose sum over the examples is the term; None without such a sum in it."""
    factors = factors_of(unguarded(term))
    for factor in factors:
        inner = _stripped_factor(factor)
        if inner is not None:
            others = [f for f in factors if f is not factor]
            return when(mul(inner, *others), *conditions_of(term))
    return None


def _stripped_factor(factor: Node) -> Node | None:
    if factor.op != "read" or target(factor).kind != "formula":
        return None
    tensor = target(factor)
    if tensor.monoid == "sum" and not tensor.batched:
        return _without_examples(tensor, factor.args)
    return None


def _without_examples(tensor: Definition, at: tuple[Node, ...]) -> Node | None:
    """The sum over all reduced indices but that of the examples; also where the sum over examples stands one deeper."""
    _, reduced, body = instance(tensor, at)
    examples = [r for r in reduced if extent(r) is EXAMPLES]
    rest = [r for r in reduced if r not in examples[:1]]
    if examples:
        return total(rest, substitute(body, {examples[0]: EXAMPLE}))
    terms = [_stripped(term) for term in terms_of(body)]
    if any(term is None for term in terms):
        return None
    inner = total(rest, add(*[term for term in terms if term is not None]))
    return None if inner is ZERO else inner
