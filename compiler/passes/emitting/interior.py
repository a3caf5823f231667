"""Away from the borders guards on indices need not be asked: tiles in which all are known have a form of their own.

Of a stencil's slope, [i - 1 >= 0] f(i - 1) + [n - 2 - i >= 0] f(i + 1), all lanes but the first and the last have both
terms. Which form a tile takes is one look at where it begins; operations and their order are the same in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sympile.compiler.code.value import Integer, Value
from sympile.compiler.graph.affine import Affine, affine
from sympile.compiler.graph.arithmetic import sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.node import ONE, ZERO, Node, postorder, target
from sympile.compiler.graph.ranges import stays_inside
from sympile.compiler.passes.emitting.elements import Elements
from sympile.compiler.passes.emitting.integers import place_of
from sympile.compiler.records import dataclass

LONGEST = 400  # operations of a tile: longer ones have one form
Spans = Mapping[Node, int]  # how many steps along an index a tile covers


@dataclass(frozen=True, slots=True)
class Interior:
    """Where all guards are known, and what they say there: [f >= 0] holds, [f = g] does not."""

    asked: tuple[tuple[Node, Affine], ...]

    @property
    def decided(self) -> dict[Node, bool]:
        return {condition: condition.op == "ge" for condition, _ in self.asked}

    def holds(self, elements: Elements, spans: Spans) -> Value:
        """Whether a tile that begins where the loops stand lies in the interior."""
        function = elements.frame.function
        result: Value | None = None
        for condition, form in self.asked:
            truth = _at_least(elements, form, spans, 0)
            if condition.op == "eq":
                truth = function.any(_at_least(elements, form, spans, 1), _at_least(elements, _turned(form), spans, 1))
            result = truth if result is None else function.both(result, truth)
        assert result is not None
        return result


def interior_of(elements: Elements, bodies: Iterable[Node], copies: int) -> Interior | None:
    """The interior of elementwise work, so many copies of it in a tile; None where nothing differs along the lanes."""
    nodes = postorder(bodies)
    conditions = dict.fromkeys(node for node in nodes if node.op in ("ge", "eq"))
    for node in nodes:
        if node.op == "read":
            conditions |= dict.fromkeys(_bounds(node))
    asked = [(condition, form) for condition in conditions if (form := _form(condition, elements)) is not None]
    if not any(elements.is_wide(condition) for condition, _ in asked) or len(nodes) * copies > LONGEST:
        return None
    return Interior(tuple(asked))


def _bounds(node: Node) -> list[Node]:
    """What must hold for a read to stay inside, as guards ask it."""
    found = []
    for at, length in zip(node.args, target(node).shape, strict=True):
        if not stays_inside(at, length):
            found += [at_least_zero(at), at_least_zero(sub(sub(length, ONE), at))]
    return [bound for bound in found if bound not in (ZERO, ONE)]


def _form(condition: Node, elements: Elements) -> Affine | None:
    """f of [f >= 0], f - g of [f = g], if indices of loops and sizes alone decide it."""
    form = affine(condition.args[0] if condition.op == "ge" else sub(condition.args[0], condition.args[1]))
    if form is None or not all(leaf.op in ("index", "size") and isinstance(c, int) for leaf, c in form.terms):
        return None
    bound = all(leaf.op == "size" or leaf in elements.positions for leaf, _ in form.terms)
    return form if bound and isinstance(form.constant, int) else None


def _turned(form: Affine) -> Affine:
    return Affine(-form.constant, tuple((leaf, -c) for leaf, c in form.terms))


def _at_least(elements: Elements, form: Affine, spans: Spans, least: int) -> Value:
    """Whether the smallest value of a form in a tile is at least so much."""
    function = elements.frame.function
    total: Integer = int(form.constant)
    for leaf, coefficient in form.terms:
        factor = int(coefficient)
        total = function.add(total, function.mul(place_of(elements, leaf), factor))
        total = function.add(total, min(0, factor * (spans.get(leaf, 1) - 1)))
    return function.compare("sge", total, least)
