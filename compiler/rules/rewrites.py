"""What becomes what, how faithfully, and why: rows with holes, which the engine in passes/simplify.py applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from fractions import Fraction

from sympile.compiler.graph.arithmetic import add, div, mul, neg, power, sub
from sympile.compiler.graph.node import HALF, NEGATIVE_INFINITY, ONE, TWO, ZERO, Node, hole, make
from sympile.compiler.graph.rebuild import function, maximum
from sympile.compiler.records import dataclass
from sympile.compiler.rules.facts import (
    even,
    is_number,
    may_be_positive,
    not_both_one,
    not_even,
    not_negative,
    positive,
    spans,
    sum_of_squares,
    unshifted,
    unsigned,
    varies,
)


class Faith(IntEnum):
    """How faithful the floating-point result stays; README.md says what each promises."""

    BITS = 0
    ROUND = 1
    STABLE = 2
    FINITE = 3


BITS, ROUND, STABLE, FINITE = Faith

LEVELS: Mapping[str, Faith] = {"exact": BITS, "stable": STABLE, "finite": FINITE}       # the values of rewrites=


class Through(IntEnum):
    """Which elementwise definitions a row looks into, to compute a part of them again."""

    NOTHING = 0
    UNNAMED = 1          # where that costs something: what has a name is stored, and shown
    EVERYTHING = 2


NAMED, UNNAMED = Through.EVERYTHING, Through.UNNAMED


@dataclass(frozen=True, slots=True)
class Guard:
    """A fact that must be known of formulas in the holes."""

    test: Callable[..., bool]
    operands: tuple[Node, ...]


def known(test: Callable[..., bool], *operands: Node) -> Guard:
    return Guard(test, operands)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One row: `before` becomes `after`."""

    name: str
    before: Node
    after: Node
    faith: Faith
    note: str                                                        # why, for the report
    requires: tuple[Guard, ...] = ()      # all must be known
    through: Through = Through.NOTHING
    last: bool = False         # only when no derivative will be taken of the result: `before` has the plainer one


# Besides operations, `before` may say
#   over(monoid, x)     a tensor that reduces x; in `after`, the reduction over the same indices
#   each(op, x)         an add whose terms are all x (exponentials: also positive numbers); in `after`, op over them
#   called(routine, A)  a linear-algebra call; gram(A): the matrix sum_k A[i, k] A[j, k]
#   raised(x, n)        x to a constant power, whichever; n in `after` is that number


def over(monoid: str, body: Node) -> Node:
    return make("over", body, data=monoid)


def each(op: str, body: Node) -> Node:
    return make("each", body, data=op)


def called(routine: str, operand: Node) -> Node:
    return make("call", operand, data=routine)


def gram(operand: Node) -> Node:
    return make("gram", operand)


def raised(base: Node, exponent: Node) -> Node:
    return make("raised", base, exponent)


a, b, c, n, A = hole("a"), hole("b"), hole("c"), hole("n"), hole("A")


def _named(op: str) -> Callable[..., Node]:
    return lambda *args: function(op, *args)


exp, expm1, log, log1p, absolute = _named("exp"), _named("expm1"), _named("log"), _named("log1p"), _named("abs")
logaddexp = _named("logaddexp")
sigmoid, softplus, relu, tanh, sinh, cosh = (_named(f) for f in ("sigmoid", "softplus", "relu", "tanh", "sinh", "cosh"))
xlogx, xlogy, root_square = _named("xlogx"), _named("xlogy"), _named("root_square")
sin, cos = _named("sin"), _named("cos")

_HALF = Fraction(1, 2)
_SUM_EXP, _LSE = over("sum", exp(b)), over("lse", b)
_MASKED, _MASKED_LSE = over("sum", make("when", exp(b), c)), over("lse", make("select", c, b, NEGATIVE_INFINITY))
_TERMS, _LARGEST = each("add", exp(b)), each("max", b)

OVERFLOW, CANCELS, KINK, LIMIT, SHORTER = "no overflow", "no cancellation", "derivative 0 at the kink", "0 at 0, its limit", "one operation less"

# fmt: off
REWRITES: tuple[Rewrite, ...] = (
    #        name                   from                                      to                                   faith   why
    Rewrite("relu",                 maximum(ZERO, a),                         relu(a),                             BITS,   KINK),
    Rewrite("constant-power",       function("power", a, n),                  raised(a, n),                        BITS,   SHORTER, (known(is_number, n),)),
    Rewrite("root-square",          power(a, _HALF),                           root_square(a),                      BITS,   KINK, (known(sum_of_squares, a),)),
    Rewrite("over-root-square",     power(a, -_HALF),                     power(root_square(a), -1),           ROUND,  KINK, (known(sum_of_squares, a),)),

    # ---- one exponential
    Rewrite("softplus",             log(add(ONE, exp(a))),                    softplus(a),                         STABLE, OVERFLOW, through=NAMED),
    Rewrite("softplus-log1p",       log1p(exp(a)),                            softplus(a),                         STABLE, OVERFLOW, (known(may_be_positive, a),), through=NAMED),
    Rewrite("softplus-shifted",     add(a, softplus(neg(a))),                 softplus(a),                         STABLE, CANCELS),
    Rewrite("softplus-difference",  sub(softplus(a), softplus(neg(a))),       a,                                   STABLE, CANCELS),
    Rewrite("expm1",                sub(ONE, exp(a)),                         neg(expm1(a)),                       ROUND,  CANCELS, last=True),
    Rewrite("one-minus-cos",        sub(ONE, cos(a)),                         mul(TWO, power(sin(mul(HALF, a)), 2)), ROUND, CANCELS, last=True),
    Rewrite("expm1-plus-one",       add(ONE, expm1(a)),                       exp(a),                              ROUND,  CANCELS, through=NAMED),
    Rewrite("logistic",             power(add(ONE, exp(a)), -1),              sigmoid(neg(a)),                     STABLE, OVERFLOW),
    Rewrite("logistic-exp",         mul(exp(a), sigmoid(neg(a))),             sigmoid(a),                          STABLE, OVERFLOW, through=NAMED),
    Rewrite("odds",                 div(sigmoid(a), sub(ONE, sigmoid(a))),    exp(a),                              STABLE, OVERFLOW, through=NAMED),
    Rewrite("odds-sigmoid",         div(sigmoid(a), sigmoid(neg(a))),         exp(a),                              STABLE, OVERFLOW, through=NAMED),
    Rewrite("power-of-exp",         raised(exp(a), n),                        exp(mul(n, a)),                      STABLE, OVERFLOW),
    Rewrite("one-minus-sigmoid",    sub(ONE, sigmoid(a)),                     sigmoid(neg(a)),                     ROUND,  CANCELS, through=UNNAMED, last=True),   # of a named h, h*(1 - h) stays: no second exp
    Rewrite("two-sigmoid-minus-one", sub(mul(TWO, sigmoid(a)), ONE),          tanh(mul(HALF, a)),                  ROUND,  CANCELS),
    Rewrite("sigmoid-difference",   sub(sigmoid(a), sigmoid(neg(a))),         tanh(mul(HALF, a)),                  ROUND,  CANCELS),
    Rewrite("tanh-exp",             mul(sub(exp(a), ONE), sigmoid(neg(a))),   tanh(mul(HALF, a)),                  STABLE, OVERFLOW),
    Rewrite("tanh-expm1",           mul(expm1(a), sigmoid(neg(a))),           tanh(mul(HALF, a)),                  STABLE, OVERFLOW),
    Rewrite("tanh-sinh",            div(sinh(a), add(exp(a), exp(neg(a)))),   mul(HALF, tanh(a)),                  STABLE, OVERFLOW),
    Rewrite("tanh-of-negative",     tanh(neg(a)),                             neg(tanh(a)),                        BITS,   SHORTER, (known(unsigned, a),)),
    Rewrite("tanh-sinh-cosh",       div(sinh(a), cosh(a)),                    tanh(a),                             STABLE, OVERFLOW),
    Rewrite("sinh",                 sub(exp(a), exp(neg(a))),                 mul(TWO, sinh(a)),                   STABLE, CANCELS, (known(unsigned, a),)),
    Rewrite("sigmoid-log",          exp(neg(softplus(a))),                    sigmoid(neg(a)),                     ROUND,  "fewer roundings"),
    Rewrite("log-cosh",             log(mul(a, cosh(b))),                     add(log(a), function("log_cosh", b)),  STABLE, OVERFLOW, through=NAMED),

    # ---- logarithms of exponentials
    Rewrite("log-sigmoid",          log(sigmoid(a)),                          neg(softplus(neg(a))),               STABLE, "no underflow", through=NAMED),
    Rewrite("log-one-minus-sigmoid", log(sub(ONE, sigmoid(a))),               neg(softplus(a)),                    STABLE, "no underflow", through=NAMED),
    Rewrite("log1p-minus-sigmoid",  log1p(neg(sigmoid(a))),                   neg(softplus(a)),                    STABLE, "no underflow", through=NAMED),
    Rewrite("log-exp",              log(exp(a)),                              a,                                   STABLE, OVERFLOW, through=NAMED),
    Rewrite("log1p-expm1",          log1p(expm1(a)),                          a,                                   STABLE, OVERFLOW),
    Rewrite("log-sum-exp",          log(_SUM_EXP),                            _LSE,                                STABLE, OVERFLOW, through=NAMED),
    Rewrite("log-sum-exp-masked",   log(_MASKED),                             _MASKED_LSE,                         STABLE, OVERFLOW, through=NAMED),
    Rewrite("log-product-exp",      log(mul(a, raised(exp(b), n))),           add(log(a), mul(n, b)),              STABLE, OVERFLOW, through=NAMED),
    Rewrite("log-product-sigmoid",  log(mul(a, raised(sigmoid(b), n))),       sub(log(a), mul(n, softplus(neg(b)))), STABLE, "no underflow", through=NAMED),
    Rewrite("log-product-sum-exp",  log(mul(a, raised(_SUM_EXP, n))),         add(log(a), mul(n, _LSE)),           STABLE, OVERFLOW, through=NAMED),
    Rewrite("log-product-masked",   log(mul(a, raised(_MASKED, n))),          add(log(a), mul(n, _MASKED_LSE)),    STABLE, OVERFLOW, through=NAMED),
    Rewrite("log-product-terms",    log(mul(a, raised(_TERMS, n))),           add(log(a), mul(n, log(_TERMS))),    STABLE, OVERFLOW, (known(not_both_one, a, n),), through=NAMED),
    Rewrite("log-of-power",         log(function("power", a, b)),             function("log_power", a, b),         STABLE, OVERFLOW, through=NAMED),
    Rewrite("log-even-power",       log(raised(a, n)),                        mul(n, log(absolute(a))),            STABLE, OVERFLOW, (known(even, n), known(varies, a)), through=NAMED),
    Rewrite("log-power",            log(raised(a, n)),                        mul(n, log(a)),                      STABLE, OVERFLOW, (known(not_even, n), known(varies, a)), through=NAMED),
    Rewrite("log-add-exp",          log(add(exp(a), exp(b))),                 logaddexp(a, b),                     STABLE, OVERFLOW, (known(unshifted, add(exp(a), exp(b))),), last=True),
    Rewrite("log-terms-exp",        log(_TERMS),                              add(_LARGEST, log(each("add", exp(sub(b, _LARGEST))))), STABLE, OVERFLOW, (known(unshifted, _TERMS),), last=True),
    Rewrite("log1p",                log(add(ONE, a)),                         log1p(a),                            ROUND,  CANCELS, (known(varies, a),), last=True),
    Rewrite("exp-log",              exp(log(a)),                              a,                                   STABLE, SHORTER, (known(positive, a),)),
    Rewrite("exp-log-finite",       exp(log(a)),                              a,                                   FINITE, SHORTER),

    # ---- softmax, whatever way it is written
    Rewrite("sigmoid-of-two",       div(exp(a), add(exp(a), exp(b))),         sigmoid(sub(a, b)),                  STABLE, OVERFLOW),
    Rewrite("softmax",              div(exp(a), _SUM_EXP),                    exp(sub(a, _LSE)),                   STABLE, OVERFLOW, (known(spans, a, _LSE),), through=NAMED),
    Rewrite("softmax-masked",       div(exp(a), _MASKED),                     exp(sub(a, _MASKED_LSE)),            STABLE, OVERFLOW, (known(spans, a, _MASKED_LSE),), through=NAMED),
    Rewrite("softmax-terms",        div(exp(a), _TERMS),                      exp(sub(a, log(_TERMS))),            STABLE, OVERFLOW, (known(spans, a, _TERMS),)),

    # ---- powers
    Rewrite("root-of-square",       power(power(a, 2), _HALF),            absolute(a),                         STABLE, OVERFLOW),
    Rewrite("over-root-of-square",  power(power(a, 2), -_HALF),           power(absolute(a), -1),              STABLE, OVERFLOW),
    Rewrite("abs-of-negative",      absolute(neg(a)),                         absolute(a),                         BITS,   SHORTER, (known(unsigned, a),)),
    Rewrite("abs-of-known",         absolute(a),                              a,                                   ROUND,  SHORTER, (known(not_negative, a),)),

    # ---- entropies
    Rewrite("x-log-x",              mul(a, log(a)),                           xlogx(a),                            STABLE, LIMIT, (known(varies, a),)),
    Rewrite("x-log-x-plus",         mul(a, add(log(a), b)),                   add(xlogx(a), mul(a, b)),            STABLE, LIMIT, (known(varies, a),)),
    Rewrite("x-log-xy",             mul(a, log(mul(a, b))),                   xlogy(a, mul(a, b)),                 STABLE, LIMIT, (known(varies, a),)),
    Rewrite("x-log-y",              mul(a, log(b)),                           xlogy(a, b),                         FINITE, LIMIT, (known(varies, a), known(varies, b))),  # 0*log(-1) is nan

    # ---- determinants
    Rewrite("log-det-gram",         log(called("det", gram(A))),              mul(TWO, called("logabsdet", A)),    STABLE, OVERFLOW),
    Rewrite("log-det",              log(called("det", A)),                    called("logdet", A),                 STABLE, OVERFLOW),
    Rewrite("log-abs-det",          log(absolute(called("det", A))),          called("logabsdet", A),              STABLE, OVERFLOW),
    Rewrite("log-product-det",      log(mul(a, called("det", A))),            add(log(a), called("logdet", A)),    STABLE, OVERFLOW, (known(positive, a),)),
    Rewrite("det-inverse",          called("det", called("inv", A)),          power(called("det", A), -1),         STABLE, "no inverse"),
    Rewrite("logdet-gram",          called("logdet", gram(A)),                mul(TWO, called("logabsdet", A)),    STABLE, "half the digits are kept"),
    Rewrite("logdet-inverse",       called("logdet", called("inv", A)),       neg(called("logdet", A)),            STABLE, "no inverse"),
    Rewrite("logabsdet-inverse",    called("logabsdet", called("inv", A)),    neg(called("logabsdet", A)),         STABLE, "no inverse"),
    Rewrite("inverse-inverse",      called("inv", called("inv", A)),          A,                                   STABLE, "no inverse"),
)
# fmt: on

def rows_for(rewrites: str, last: bool) -> tuple[Rewrite, ...]:
    """The rows that a value of `rewrites=` allows; without `last`, those that leave plain derivatives."""
    limit = LEVELS[rewrites]
    return tuple(row for row in REWRITES if row.faith <= limit and (last or not row.last))
