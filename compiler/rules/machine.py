"""Operation → vector code, the error it promises and where; and the two ways to put that code into a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.number import Number
from sympile.compiler.code.value import Value
from sympile.compiler.code.writer import Function
from sympile.compiler.errors import InternalError
from sympile.compiler.graph.node import Node
from sympile.compiler.records import dataclass
from sympile.compiler.rules import machine_circular as circular
from sympile.compiler.rules import machine_exponential as exponential
from sympile.compiler.rules import machine_fast as fast
from sympile.compiler.rules import machine_logarithm as logarithm
from sympile.compiler.rules import machine_power as power
from sympile.compiler.rules import machine_simple as simple
from sympile.compiler.rules import machine_special as special

EXACT = 0.5            # correctly rounded
ALL = float("inf")


@dataclass(frozen=True, slots=True)
class MachineRow:
    """One operation as vector code.

    The promise: for operands within low ... high the result differs from the true value by at most `ulp64` (`ulp32`)
    units in the last place; zeros of both signs, infinities, nan and denormals are as in C99 everywhere.
    """

    name: str
    arity: int
    code: Callable[..., Number]
    ulp64: float
    ulp32: float
    low: float = -ALL
    high: float = ALL
    inline: bool = False    # a few instructions: a call would cost more
    twice: bool = True      # its instructions wait for each other so long that two registers side by side pay


# fmt: off
_ROWS = (
    #          name           arity code                 ulp64  ulp32  where
    MachineRow("exp",         1,   exponential.exp,      0.75,  0.75),
    MachineRow("expm1",       1,   exponential.expm1,    2.0,   1.5),
    MachineRow("log",         1,   logarithm.log,        1.0,   1.0),
    MachineRow("log1p",       1,   logarithm.log1p,      1.0,   1.0),
    MachineRow("log2",        1,   logarithm.log2,       1.75,  1.75),
    MachineRow("log10",       1,   logarithm.log10,      1.0,   1.0),
    MachineRow("tanh",        1,   exponential.tanh,     1.5,   1.25, twice=False),
    MachineRow("sigmoid",     1,   exponential.sigmoid,  1.75,  1.75),
    MachineRow("softplus",    1,   exponential.softplus, 1.75,  1.75, twice=False),
    MachineRow("sin",         1,   circular.sin,         1.75,  1.75),
    MachineRow("cos",         1,   circular.cos,         1.75,  1.75),
    MachineRow("tan",         1,   circular.tan,         2.0,   2.0),
    MachineRow("asin",        1,   circular.asin,        1.75,  1.75),
    MachineRow("acos",        1,   circular.acos,        1.5,   1.5),
    MachineRow("atan",        1,   circular.atan,        1.5,   1.5),
    MachineRow("atan2",       2,   circular.atan2,       1.5,   1.5),
    MachineRow("sinh",        1,   exponential.sinh,     2.0,   2.0),
    MachineRow("cosh",        1,   exponential.cosh,     1.75,  2.0),
    MachineRow("asinh",       1,   logarithm.asinh,      1.5,   1.5),
    MachineRow("acosh",       1,   logarithm.acosh,      1.0,   1.0),
    MachineRow("atanh",       1,   logarithm.atanh,      1.75,  1.75),
    MachineRow("sqrt",        1,   simple.square_root,   EXACT, EXACT, inline=True),
    MachineRow("root_square", 1,   simple.square_root,   EXACT, EXACT, inline=True),
    MachineRow("cbrt",        1,   power.cbrt,           1.0,   1.25),
    MachineRow("divide",      2,   simple.divide,        EXACT, EXACT, inline=True),
    MachineRow("divide_nearly", 2, simple.divide_nearly, 2.0,   2.0,   inline=True),
    MachineRow("divide_by_root", 2, simple.divide_by_root, 2.0, 2.0,  inline=True),
    MachineRow("power",       2,   power.power,          1.25,  0.75),
    MachineRow("erf",         1,   special.erf,          1.5,   1.25, twice=False),
    MachineRow("erfc",        1,   special.erfc,         1.5,   1.5),
    MachineRow("loggamma",    1,   special.loggamma64,   2.25,  0.75,  low=0.0),
    MachineRow("digamma",     1,   special.digamma64,    2.5,   0.75,  low=0.0),
    MachineRow("trigamma",    1,   special.trigamma64,   2.0,   0.75,  low=0.0),
    MachineRow("floor",       1,   simple.floor,         EXACT, EXACT, inline=True),
    MachineRow("ceiling",     1,   simple.ceiling,       EXACT, EXACT, inline=True),
    MachineRow("sign",        1,   simple.sign,          EXACT, EXACT, inline=True),
    MachineRow("abs",         1,   simple.absolute,      EXACT, EXACT, inline=True),
    MachineRow("maximum",     2,   simple.maximum,       EXACT, EXACT, inline=True),
    MachineRow("minimum",     2,   simple.minimum,       EXACT, EXACT, inline=True),
    MachineRow("relu",        1,   simple.relu,          EXACT, EXACT, inline=True),
    MachineRow("leaky_relu",  2,   simple.leaky_relu,    EXACT, EXACT, inline=True),
    MachineRow("hard_tanh",   1,   simple.hard_tanh,     EXACT, EXACT, inline=True),
    MachineRow("heaviside",   2,   simple.heaviside,     EXACT, EXACT, inline=True),
    MachineRow("elu",         1,   simple.elu,           2.0,   2.0),
    MachineRow("xlogy",       2,   simple.xlogy,         2.0,   2.0),
    MachineRow("xlogx",       1,   simple.xlogx,         2.0,   2.0),

    # ---- what is left to do where a part is known
    MachineRow("sigmoid_with", 2,  exponential.sigmoid_with, 1.75, 1.75),
    MachineRow("softplus_with", 2, exponential.softplus_with, 1.75, 1.75),

    # ---- for math="fast", which lowering.FASTER writes instead: at most 4 (4.5) ulp
    MachineRow("fast.tanh",   1,   fast.tanh,            3.0,   3.0),
    MachineRow("fast.sigmoid", 1,  fast.sigmoid,         3.0,   3.0),
)
# fmt: on

VECTOR_MATH: Mapping[str, MachineRow] = {row.name: row for row in _ROWS}


def is_routine(node: Node) -> bool:
    """Whether an operation is vector math that is more than a few instructions."""
    row = VECTOR_MATH.get(node.op)
    return row is not None and not row.inline


def pays_twice(node: Node) -> bool:
    """Whether an operation is vector math of which two registers are computed sooner side by side."""
    return is_routine(node) and VECTOR_MATH[node.op].twice


def inline(lanes: Lanes, name: str, *values: Value) -> Value:
    """Writes the code of an operation where one stands.

    Args:
        lanes: number of lanes and element type; any number of lanes, 1 among them.
        name: a row of VECTOR_MATH.
        values: the operands, of type `lanes.real`.
    """
    return _row(name, values).code(*(Number(lanes, value) for value in values)).value


def call_or_inline(lanes: Lanes, name: str, *values: Value) -> Value:
    """The same; what is more than a few instructions becomes an internal function of the module, written once."""
    if _row(name, values).inline:
        return inline(lanes, name, *values)
    own = f"sympile.{name}.{lanes.suffix}"
    if own not in lanes.function.module.functions:
        _define(own, lanes, len(values), lambda inner, *operands: inline(inner, name, *operands))
    return lanes.function.call(lanes.real, f"@{own}", *values)


def integer_power(lanes: Lanes, value: Value, exponent: int) -> Value:
    """value**exponent for a constant integer: at most 2 ulp, for any exponent.

    Args:
        lanes: number of lanes and element type.
        value: of type `lanes.real`.
        exponent: any integer; power 0 is 1, even of nan, as in C99.
    """
    if exponent in power.PLAIN_POWERS:
        return power.integer_power(Number(lanes, value), exponent).value
    own = f"sympile.power.{exponent}.{lanes.suffix}".replace("-", "minus")
    if own not in lanes.function.module.functions:
        _define(own, lanes, 1, lambda inner, x: power.integer_power(Number(inner, x), exponent).value)
    return lanes.function.call(lanes.real, f"@{own}", value)


def _define(own: str, lanes: Lanes, arity: int, body: Callable[..., Value]) -> None:
    """An internal function of `arity` operands."""
    parameters = [(lanes.real, f"x{at}") for at in range(arity)]
    function = Function(lanes.function.module, own, parameters, lanes.real, "internal", "nounwind noinline")
    function.ret(body(Lanes(function, lanes.element, lanes.lanes, lanes.target), *function.arguments))


def _row(name: str, values: tuple[Value, ...]) -> MachineRow:
    row = VECTOR_MATH.get(name)
    if row is None:
        raise InternalError(f"the operation {name} has no row in compiler/rules/machine.py")
    if row.arity != len(values):
        raise InternalError(f"{name} takes {row.arity} operands, not {len(values)}")
    return row
