"""b**n for whole numbers n that count up from call to call: the last one times b, kept in memory with its b and n.

What is kept depends on b and n alone: every 64th power is computed anew, and others are products from there on. So the
bits are the same wherever one begins, or begins again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Value, i64
from sympile.compiler.code.writer import Function
from sympile.compiler.graph.node import Node, target
from sympile.compiler.passes.emitting.places import Place
from sympile.compiler.program import KEPT_POWERS
from sympile.compiler.rules.machine import call_or_inline

if TYPE_CHECKING:
    from sympile.compiler.passes.emitting.elements import Elements


def kept_power(elements: Elements, node: Node, place: Place) -> Value:
    """The power of a base and a counter; computed as it stands where threads might share the memory."""
    scalar = elements.scalar
    base, exponent = (elements.value(arg, place) for arg in node.args[:2])
    if not elements.frame.keeps:
        return call_or_inline(scalar, "power", base, exponent)
    name = f"sympile.kept_power.{scalar.suffix}"
    if name not in scalar.function.module.functions:
        _define(name, scalar)
    cell = elements.frame.pointer(target(node.args[2]))
    return scalar.function.call(scalar.element, f"@{name}", cell, base, exponent)


def _define(name: str, lanes: Lanes) -> None:
    element = lanes.element
    parameters = [("ptr", "cell"), (element, "base"), (element, "exponent")]
    f = Function(lanes.function.module, name, parameters, element, "internal", "nounwind noinline")
    k = Lanes(f, element, 1, lanes.target)
    cell, base, exponent = f.arguments
    places = [f.gep(element, cell, at) for at in range(3)]
    before, last, value = (k.load(place) for place in places)
    same = k.both(k.compare("oeq", base, before), k.compare("oeq", exponent, last))
    with f.either(same) as choice:
        with choice.then():
            choice.give(value)
        with choice.otherwise():
            start = k.mul(k.floor(k.mul(exponent, 1 / KEPT_POWERS)), float(KEPT_POWERS))
            follows = k.both(k.compare("oeq", base, before), k.compare("oeq", exponent, k.add(last, 1.0)))
            inside = k.both(follows, k.compare("one", start, exponent))
            now = _next(k, base, exponent, start, value, inside)
            for number, at in zip((base, exponent, now), places, strict=True):
                k.store(number, at)
            choice.give(now)
    f.ret(choice.results[0])


def _next(k: Lanes, base: Value, exponent: Value, start: Value, last: Value, follows: Value) -> Value:
    """The power after the last one, or a power anew."""
    f = k.function
    with f.either(follows) as choice:
        with choice.then():
            choice.give(k.mul(last, base))
        with choice.otherwise():
            count = k.to_integer(k.sub(exponent, start))
            with f.loop(0, i64(count), 1, [call_or_inline(k, "power", base, start)]) as loop:
                loop.next = [k.mul(loop.carried[0], base)]
            choice.give(loop.results[0])
    return choice.results[0]
