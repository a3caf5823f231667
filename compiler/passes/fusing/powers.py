"""Several negative powers of one number are powers of one quotient: a division takes as long as many products.

1/x^n is then rounded about n times. Where x is rounded itself, that has spoiled as many units in the last place before;
powers of what is given as it is are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from sympile.compiler.graph.arithmetic import power
from sympile.compiler.graph.node import Node, holding, make, postorder, target

Exponent = int | Fraction
UNITS: Mapping[int, Exponent] = {1: -1, 2: Fraction(-1, 2)}  # denominator of an exponent → of the unit
PLAIN = 4  # the largest power that is plain products
MOST = 16  # of a quotient
POWERS = frozenset({"pow"})
GIVEN = frozenset({"index", "size", "const", "constant", "table"})


def unit_of(node: Node) -> Exponent | None:
    """Of which power of the same base a negative power is a whole power itself: 1/x, or 1/sqrt(x)."""
    if node.op != "pow" or not isinstance(node.data, int | Fraction) or node.data >= 0 or not _is_rounded(node.args[0]):
        return None
    unit = UNITS.get(node.data.denominator)
    return unit if unit is not None and node.data / unit <= MOST else None


def _is_rounded(base: Node) -> bool:
    return base.op not in GIVEN and (base.op != "read" or target(base).kind != "input")


def unit_power(node: Node) -> Node | None:
    """That power."""
    unit = unit_of(node)
    return None if unit is None else power(node.args[0], unit)


def times_unit(node: Node) -> int:
    """How often a negative power has its unit as a factor."""
    unit = unit_of(node)
    assert unit is not None and isinstance(node.data, int | Fraction)
    return int(node.data / unit)


def quotients_shared(bodies: Sequence[Node]) -> list[Node]:
    """The bodies with one quotient for all negative powers of a base; no normal form, for the code generator only."""
    powers = [node for node in holding(bodies, POWERS) if node.op == "pow"]
    several = _several(powers)
    if not several and not any(map(_is_power_of_quotient, powers)):
        return list(bodies)
    done: dict[Node, Node] = {}
    for node in postorder(bodies):
        args = tuple([done[arg] for arg in node.args])
        now = node if args == node.args else make(node.op, *args, data=node.data)
        unit = unit_of(node)
        if unit is not None and (node.args[0], unit) in several:
            now = _products(make("pow", args[0], data=unit), times_unit(node))
        elif _is_power_of_quotient(node):
            now = _products(args[0], node.data)  # type: ignore[arg-type]
        done[node] = now
    return [done[body] for body in bodies]


def _several(nodes: Iterable[Node]) -> set[tuple[Node, Exponent]]:
    """(base, unit) of which there is more than one power."""
    found: dict[tuple[Node, Exponent], set[object]] = {}
    for node in nodes:
        unit = unit_of(node)
        if unit is not None:
            found.setdefault((node.args[0], unit), set()).add(node.data)
    return {key for key, exponents in found.items() if len(exponents) > 1}


def _is_power_of_quotient(node: Node) -> bool:
    """A power of what is held because others are powers of it, too."""
    if node.op != "pow" or not isinstance(node.data, int) or not PLAIN < node.data <= MOST or node.args[0].op != "read":
        return False
    held = target(node.args[0])
    return held.monoid is None and held.kind == "formula" and unit_of(held.formula) == held.formula.data


def _products(quotient: Node, times: int) -> Node:
    """A power as products of plain ones."""
    whole, left = divmod(times, PLAIN)
    if not whole:
        return _power(quotient, left)
    main = _power(_power(quotient, PLAIN), whole)
    return make("mul", main, _power(quotient, left)) if left else main


def _power(base: Node, times: int) -> Node:
    return base if times == 1 else make("pow", base, data=times)
