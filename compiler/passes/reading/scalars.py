"""How scalar notation is read: SymPy's operators, elementary functions, Piecewise, relations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import sympy as sp

from sympile.compiler.errors import UnboundIndex, UnknownFunction
from sympile.compiler.graph.affine import affine
from sympile.compiler.graph.arithmetic import add, div, mul, power, sub
from sympile.compiler.graph.brackets import at_least_zero, equal
from sympile.compiler.graph.conditions import both, either, negation, select, when
from sympile.compiler.graph.definition import read
from sympile.compiler.graph.node import HALF, INFINITY, NAN, NEGATIVE_INFINITY, ONE, ZERO, Node, const, make, reads
from sympile.compiler.graph.rebuild import function, maximum, minimum, substitute
from sympile.compiler.language.advice import advice
from sympile.compiler.language.sizes import is_array
from sympile.compiler.passes.reading.engine import Bindings, Reader, Row
from sympile.compiler.passes.reading.logarithms import split
from sympile.compiler.passes.reading.values import Value
from sympile.compiler.rules.functions import COMPOSED, FUNCTIONS, POLYGAMMA, READ_AS, a, b


def arguments(item: Any) -> tuple[Any, ...]:
    return tuple(item.args)


def nothing(item: Any) -> tuple[Any, ...]:
    return ()


# ------------------------------------------------------------------------------------------------ leaves


def _integer(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return Value(const(int(item)))


def _rational(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return Value(const(Fraction(int(item.p), int(item.q))))


def _float(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    value = float(item)
    if math.isinf(value):  # too large for the target: as its arithmetic has it
        return Value(INFINITY if value > 0 else NEGATIVE_INFINITY)
    return Value(const(Fraction(value)))


def constant(name: str) -> Row:
    node = make("constant", data=name)
    return Row(nothing, lambda reader, item, values, bindings: Value(node))


def _fixed(node: Node) -> Row:
    return Row(nothing, lambda reader, item, values, bindings: Value(node))


def _symbol(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    if item in bindings.indices:
        return Value(bindings.indices[item])
    if item in bindings.holes:
        return bindings.holes[item]
    scope = reader.scope
    name = str(item.name) if hasattr(item, "name") else str(item)
    if name in scope.sizes:
        return Value(scope.size(name))
    if item in scope.bound:
        raise reader.refuse(
            item, f"index {name} is used outside of the Sum or comprehension that binds it", UnboundIndex
        )
    if scope.is_index(item):
        words = f"index {name} is not bound by a Sum, a comprehension or another binder"
        raise reader.refuse(item, words, UnboundIndex)
    symbol = scope.declare(item, name, ())
    tensor, at = scope.element(symbol, ())
    return Value(read(tensor, *at))


# ------------------------------------------------------------------------------------------------ operators


def over_elements(build: Callable[..., Node]) -> Callable[[Reader, Any, list[Value], Bindings], Value]:
    """A row's build for an operation that acts element by element."""
    return lambda reader, item, values, bindings: reader.elementwise(item, values, build)


def over_scalars(build: Callable[..., Node]) -> Callable[[Reader, Any, list[Value], Bindings], Value]:
    """A row's build for a SymPy function, which has no meaning of a whole matrix."""

    def read_scalars(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
        _demand_scalars(reader, item, values)
        return reader.elementwise(item, values, build)

    return read_scalars


def _demand_scalars(reader: Reader, item: Any, values: list[Value]) -> None:
    if not any([value.axes for value in values]):
        return
    if any(is_array(part) and any(length != 1 for length in part.shape) for part in item.args):
        raise reader.refuse(item, advice(item) or f"{type(item).__name__} takes scalars")


def _power(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    _demand_scalars(reader, item, values)
    return reader.elementwise(item, values, raised)


def raised(base: Node, exponent: Node) -> Node:
    """base ** exponent; a constant exponent is part of the operation."""
    if exponent.op == "const":
        return power(base, exponent.data)  # type: ignore[arg-type]
    if base.op == "constant" and base.data == "E":
        return function("exp", exponent)
    return function("power", base, exponent)


def _logarithm(argument: Node, *base: Node) -> Node:
    own = function("log", argument)
    return own if not base else div(own, function("log", base[0]))


def _log_parts(item: Any) -> tuple[Any, ...]:
    made = split(item) if len(item.args) == 1 else None
    return arguments(item) if made is None else (made,)


def _log(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    if len(item.args) == 1 and split(item) is not None:
        return values[0]
    _demand_scalars(reader, item, values)
    return reader.elementwise(item, values, _logarithm)


def _membership(item: Any) -> tuple[Any, ...]:
    """Contains(x, Integers) as floor(x) = x; of an interval, its inequalities."""
    value, numbers = item.args
    return (sp.Eq(sp.floor(value), value) if numbers is sp.S.Integers else numbers.as_relational(value),)


def _heaviside(argument: Node, at_zero: Node = HALF) -> Node:
    return when(ONE, function("less", ZERO, argument)) if at_zero is ZERO else function("heaviside", argument, at_zero)


def _polygamma(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    known = POLYGAMMA.get(item.args[0])
    if known is None:
        words = "polygamma is known for the orders 0 (digamma) and 1 (trigamma) only"
        raise reader.refuse(item, words, UnknownFunction)
    _demand_scalars(reader, item, values)
    return reader.elementwise(item, values, lambda order, argument: function(known, argument))


def composed(template: Node) -> Callable[..., Node]:
    """The operation that a template with holes a and b stands for."""
    return lambda *args: substitute(template, dict(zip((a, b), args, strict=False)))


# ------------------------------------------------------------------------------------------------ conditions


def _piece_parts(item: Any) -> tuple[Any, ...]:
    return tuple(part for piece in item.args for part in piece.args)


def piecewise(*parts: Node) -> Node:
    """Branches from the last to the first; what no condition covers is nan, as in SymPy."""
    result = NAN
    for value, condition in reversed(list(zip(parts[::2], parts[1::2], strict=True))):
        result = select(condition, value, result)
    return result


def _chosen_condition(condition: Node, yes: Node, no: Node) -> Node:
    """SymPy's ITE: a condition chosen by a condition, which it makes of comparisons with a Piecewise."""
    return either(both(condition, yes), both(negation(condition), no))


def _comparison(op: str, swapped: bool = False) -> Callable[..., Node]:
    def build(left: Node, right: Node) -> Node:
        if left.op == "const" and right.op == "const":
            low, high = (right, left) if swapped else (left, right)
            return ONE if _DECIDED[op](low.data, high.data) else ZERO
        low, high = (right, left) if swapped else (left, right)
        return _index_comparison(op, low, high) or function(op, low, high)

    return build


def _index_comparison(op: str, low: Node, high: Node) -> Node | None:
    """i <= j, i < j, i == j of bound indices is a condition that becomes a loop bound, as 2 <= n; None for values."""
    difference = sub(high, low)
    if op == "differs" or affine(difference) is None or reads(difference):
        return None
    if op == "equals":
        return equal(low, high) if difference.free else None
    return at_least_zero(difference if op == "less_equal" else sub(difference, ONE))


_DECIDED: Mapping[str, Callable[[Any, Any], bool]] = {
    "less": lambda left, right: left < right,
    "less_equal": lambda left, right: left <= right,
    "equals": lambda left, right: left == right,
    "differs": lambda left, right: left != right,
}


def _delta(reader: Reader, item: Any, values: list[Value], bindings: Bindings) -> Value:
    return Value(when(ONE, equal(values[0].body, values[1].body)))


def index_value(reader: Reader, item: Any, bindings: Bindings) -> Node:
    """An expression inside [ ]: indices, sizes and integers; any other Symbol is integer data."""
    return reader.read(item, bindings).body


COMPARISONS: Mapping[str, Callable[..., Node]] = {
    "StrictLessThan": _comparison("less"),
    "LessThan": _comparison("less_equal"),
    "StrictGreaterThan": _comparison("less", swapped=True),
    "GreaterThan": _comparison("less_equal", swapped=True),
    "Equality": _comparison("equals"),
    "Unequality": _comparison("differs"),
    "And": both,
    "Or": either,
    "Not": negation,
}

SCALARS: dict[str, Row] = {
    "Integer": Row(nothing, _integer),
    "int": Row(nothing, _integer),
    "Rational": Row(nothing, _rational),
    "Float": Row(nothing, _float),
    "Pi": constant("pi"),
    "Exp1": constant("E"),
    "EulerGamma": constant("EulerGamma"),
    "GoldenRatio": constant("GoldenRatio"),
    "Catalan": constant("Catalan"),
    "Infinity": _fixed(INFINITY),
    "NegativeInfinity": _fixed(NEGATIVE_INFINITY),
    "NaN": _fixed(NAN),
    "BooleanTrue": _fixed(ONE),
    "BooleanFalse": _fixed(ZERO),
    "Symbol": Row(nothing, _symbol),
    "Idx": Row(nothing, _symbol),
    "Add": Row(arguments, over_elements(add)),
    "Mul": Row(arguments, over_elements(mul)),
    "Pow": Row(arguments, _power),
    "Max": Row(arguments, over_scalars(maximum)),
    "Min": Row(arguments, over_scalars(minimum)),
    "log": Row(_log_parts, _log),
    "Contains": Row(_membership, lambda reader, item, values, bindings: values[0]),
    "Heaviside": Row(arguments, over_scalars(_heaviside)),
    "polygamma": Row(arguments, _polygamma),
    "Piecewise": Row(_piece_parts, over_elements(piecewise)),
    "ITE": Row(arguments, over_elements(_chosen_condition)),
    "KroneckerDelta": Row(lambda item: item.args[:2], _delta),
    **{name: Row(arguments, over_elements(build)) for name, build in COMPARISONS.items()},
}

ELEMENTWISE: dict[str, Callable[..., Node]] = {
    **{name: (lambda *args, op=op: function(op, *args)) for name, op in READ_AS.items()},
    **{name: composed(template) for name, template in COMPOSED.items()},
    "log": _logarithm,
    "Heaviside": _heaviside,
    "maximum": maximum,
    "minimum": minimum,
    "where": lambda condition, yes, no: select(condition, yes, no),
    "add": add,
    "mul": mul,
    "sub": lambda left, right: add(left, mul(const(-1), right)),
    "div": div,
    "pow": raised,
}
SCALARS |= {name: Row(arguments, over_scalars(build)) for name, build in ELEMENTWISE.items() if name not in SCALARS}

__all__ = [
    "ELEMENTWISE",
    "FUNCTIONS",
    "SCALARS",
    "arguments",
    "composed",
    "index_value",
    "nothing",
    "over_elements",
    "piecewise",
    "raised",
]
