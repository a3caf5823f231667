"""Operations that machine code writes with others: operation → formula with holes a, b."""

from __future__ import annotations

from collections.abc import Mapping

from sympile.compiler.graph.arithmetic import add, div, mul, neg, power, sub
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.node import HALF, MINUS_ONE, ONE, TWO, ZERO, Node, const, hole, make
from sympile.compiler.graph.rebuild import function

a, b = hole("a"), hole("b")


def _f(op: str, *args: Node) -> Node:
    return function(op, *args)


_POSITIVE = _f("less", ZERO, a)
_SIZE = _f("abs", a)
_NEAR = _f("log1p", mul(TWO, power(_f("sinh", mul(HALF, a)), 2)))    # cosh(a) = 1 + 2 sinh²(a/2)
_FAR = add(_SIZE, _f("log", mul(HALF, add(ONE, _f("exp", mul(const(-2), _SIZE))))))

# fmt: off
EXPANSIONS: Mapping[str, Node] = {
    "relu":        make("max", a, ZERO),
    "leaky_relu":  select(_POSITIVE, a, mul(a, b)),
    "elu":         select(_POSITIVE, a, _f("expm1", a)),
    "softsign":    div(a, add(ONE, _SIZE)),
    "log_cosh":    select(_f("less", _SIZE, ONE), _NEAR, _FAR),
    "hard_tanh":   make("min", make("max", a, MINUS_ONE), ONE),
    "heaviside":   select(_f("equals", a, ZERO), b, select(_f("differs", a, a), a, when(ONE, _POSITIVE))),    # nan stays nan
    "logaddexp":   add(make("max", a, b), _f("log1p", _f("exp", neg(_f("abs", sub(a, b)))))),
    "xlogy":       when(mul(a, _f("log", b)), _f("differs", a, ZERO)),
    "xlogx":       when(mul(a, _f("log", a)), _f("differs", a, ZERO)),
    "log_power":   select(_f("less", a, ZERO), _f("log", _f("power", a, b)), when(mul(b, _f("log", a)), _f("differs", b, ZERO))),   # (-2)**2 is 4
    "root_square": _f("sqrt", a),
}
# Functions of one operand a that have parts in common: how each is written beside another of its family; b is a or -a,
# the same for both.
_DECAY = _f("exp", neg(_f("abs", b)))
FAMILIES: tuple[Mapping[str, Node], ...] = (
    {"sigmoid": make("sigmoid_with", a, _DECAY),      "softplus": make("softplus_with", a, _DECAY)},      # one exponential
    {"fast.sigmoid": make("sigmoid_with", a, _DECAY), "softplus": make("softplus_with", a, _DECAY)},
)

# What math="fast" writes instead: rows with fewer operations and a wider promise in machine.py.
FASTER: Mapping[str, Node] = {
    op: make(f"fast.{op}", a) for op in ("tanh", "sigmoid")
}

TIERS: Mapping[str, Mapping[str, Node]] = {"accurate": EXPANSIONS, "fast": {**EXPANSIONS, **FASTER}}
# fmt: on

# What costs so little that it is done again rather than stored.
CHEAP = frozenset({
    "const", "constant", "size", "index", "read", "table", "add", "pair_sum", "mul", "when", "select", "max", "min", "abs", "sign", "floor", "ceiling",
    "eq", "ge", "divides", "quotient", "less", "less_equal", "equals", "differs", "and", "or", "not", "relu", "heaviside", "hard_tanh", "leaky_relu",
})  # fmt: skip
