"""Operation → its partial derivatives, as formulas with holes: a, b are the operands, y is the result."""

from __future__ import annotations

from sympile.compiler.graph.arithmetic import add, div, mul, neg, power, square, sub
from sympile.compiler.graph.conditions import select, when
from sympile.compiler.graph.node import HALF, MINUS_ONE, ONE, ZERO, Node, const, hole, make
from sympile.compiler.graph.rebuild import function

a, b, y = hole("a"), hole("b"), hole("y")

_TWO_OVER_ROOT_PI = make("constant", data="2/sqrt(pi)")


def _f(op: str, *args: Node) -> Node:
    return function(op, *args)


def _square_root(x: Node) -> Node:
    return make("sqrt", x)


# At a kink the rows follow the table of conventions in docs/conventions.md: relu'(0) = 0, abs'(0) = 0, ties of two shared equally.
# fmt: off
PARTIALS: dict[str, tuple[Node, ...]] = {
    #               dy/da                                              dy/db
    "exp":         (y,),
    "expm1":       (add(y, ONE),),
    "log":         (power(a, -1),),
    "log1p":       (power(add(ONE, a), -1),),
    "log2":        (div(make("constant", data="1/log(2)"), a),),
    "log10":       (div(make("constant", data="1/log(10)"), a),),
    "sqrt":        (div(HALF, y),),                                    # at 0: inf, which is the true slope
    "cbrt":        (div(y, mul(const(3), a)),),
    "root_square": (when(div(HALF, y), _f("differs", a, ZERO)),),      # sqrt of a sum of squares: the minimal subgradient at 0
    "tanh":        (sub(ONE, square(y)),),
    "sigmoid":     (mul(y, sub(ONE, y)),),
    "softplus":    (_f("sigmoid", a),),
    "logaddexp":   (_f("sigmoid", sub(a, b)),                          _f("sigmoid", sub(b, a))),
    "relu":        (when(ONE, _f("less", ZERO, a)),),
    "leaky_relu":  (select(_f("less", ZERO, a), ONE, b),               when(a, _f("less_equal", a, ZERO))),   # at 0: from the left
    "elu":         (select(_f("less", ZERO, a), ONE, _f("exp", a)),),                                         # at 0: both sides agree
    "softsign":    (power(add(ONE, _f("abs", a)), -2),),
    "log_cosh":    (_f("tanh", a),),
    "hard_tanh":   (when(ONE, _f("less", MINUS_ONE, a), _f("less_equal", a, ONE)),),                         # at -1 and 1: from the left
    "abs":         (_f("sign", a),),
    "sign":        (ZERO,),
    "floor":       (ZERO,),
    "ceiling":     (ZERO,),
    "heaviside":   (ZERO,                                              when(ONE, _f("equals", a, ZERO))),
    "sin":         (_f("cos", a),),
    "cos":         (neg(_f("sin", a)),),
    "tan":         (add(ONE, square(y)),),
    "asin":        (power(_square_root(sub(ONE, square(a))), -1),),
    "acos":        (neg(power(_square_root(sub(ONE, square(a))), -1)),),
    "atan":        (power(add(ONE, square(a)), -1),),
    "atan2":       (div(b, add(square(a), square(b))),                 neg(div(a, add(square(a), square(b))))),
    "sinh":        (_f("cosh", a),),
    "cosh":        (_f("sinh", a),),
    "asinh":       (power(_square_root(add(ONE, square(a))), -1),),
    "acosh":       (power(mul(_square_root(sub(a, ONE)), _square_root(add(a, ONE))), -1),),
    "atanh":       (power(sub(ONE, square(a)), -1),),
    "erf":         (mul(_TWO_OVER_ROOT_PI, _f("exp", neg(square(a)))),),
    "erfc":        (neg(mul(_TWO_OVER_ROOT_PI, _f("exp", neg(square(a))))),),
    "loggamma":    (_f("digamma", a),),
    "digamma":     (_f("trigamma", a),),
    "power":       (when(mul(b, _f("power", a, sub(b, ONE))), _f("differs", b, ZERO)), when(mul(y, _f("log", a)), _f("differs", a, ZERO))),   # a**0 is 1, at 0 too
    "log_power":   (when(div(b, a), _f("differs", b, ZERO)),           _f("log", a)),
    "xlogy":       (when(_f("log", b), _f("differs", a, ZERO)),        div(a, b)),      # 0 log 0 is 0
    "xlogx":       (add(_f("log", a), ONE),),                                           # at 0: -inf, which is the true slope
}
# fmt: on
