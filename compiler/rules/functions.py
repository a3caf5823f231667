"""Operation → arity, NumPy meaning, exact (mpmath) meaning, and the SymPy function that shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from importlib import import_module
from math import factorial
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from sympile.compiler import language
from sympile.compiler.graph.arithmetic import add, div, mul, neg, power, sub
from sympile.compiler.graph.conditions import both, select, when
from sympile.compiler.graph.node import NAN, ONE, ZERO, Node, const, hole
from sympile.compiler.graph.rebuild import function
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """One elementwise operation."""

    op: str
    arity: int
    numpy: Callable[..., Any]
    exact: Callable[..., Any]  # of mpmath numbers
    shown: Callable[..., Any]  # SymPy expressions → SymPy expression
    text: str = ""  # its name in text, where SymPy's is another


def _special(name: str) -> Callable[..., Any]:
    """A function of scipy.special, which is loaded when it is called: at import it would take longer than all the rest."""
    return lambda *args: getattr(import_module("scipy.special"), name)(*args)  # optional: slow to load


def _sign(x: Any) -> Any:
    return mpmath.sign(x)


def _heaviside(x: Any, h: Any) -> Any:
    return h if x == 0 else mpmath.mpf(x > 0)


def _xlogy(x: Any, y: Any) -> Any:
    return mpmath.mpf(0) if x == 0 else x * mpmath.log(y)


def _softplus(x: Any) -> Any:
    return mpmath.log1p(mpmath.exp(x)) if x < 50 else x + mpmath.log1p(mpmath.exp(-x))


def _log_power(x: Any, y: Any) -> Any:
    return np.where(x < 0, np.log(np.power(x, y)), _special("xlogy")(y, x))


def _exact_log_power(x: Any, y: Any) -> Any:
    return mpmath.log(mpmath.power(x, y)) if x < 0 or (x == 0 and y != 0) else _xlogy(y, x)


def _log_cosh(x: Any) -> Any:
    size = np.abs(x)
    return np.where(size < 1, np.log1p(2 * np.sinh(np.minimum(size, 1) / 2) ** 2), size + np.log((1 + np.exp(-2 * size)) / 2))


def _logaddexp(x: Any, y: Any) -> Any:
    return max(x, y) + mpmath.log1p(mpmath.exp(-abs(x - y)))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


# fmt: off
_ROWS = (
    #        op            arity NumPy                                         exact                                       shown as
    Function("exp",         1, np.exp,                                         mpmath.exp,                                 sp.exp),
    Function("expm1",       1, np.expm1,                                       mpmath.expm1,                               language.expm1),
    Function("log",         1, np.log,                                         mpmath.log,                                 sp.log),
    Function("log1p",       1, np.log1p,                                       mpmath.log1p,                               language.log1p),
    Function("log2",        1, np.log2,                                        lambda x: mpmath.log(x, 2),                 language.log2),
    Function("log10",       1, np.log10,                                       mpmath.log10,                               language.log10),
    Function("sqrt",        1, np.sqrt,                                        mpmath.sqrt,                                sp.sqrt),
    Function("cbrt",        1, np.cbrt,                                        mpmath.cbrt,                                lambda x: sp.real_root(x, 3)),
    Function("root_square", 1, np.sqrt,                                        mpmath.sqrt,                                sp.sqrt),
    Function("tanh",        1, np.tanh,                                        mpmath.tanh,                                sp.tanh),
    Function("sigmoid",     1, _special("expit"),                              _sigmoid,                                   language.sigmoid),
    Function("softplus",    1, lambda x: np.logaddexp(0.0, x),                 _softplus,                                  language.softplus),
    Function("logaddexp",   2, np.logaddexp,                                   _logaddexp,                                 lambda x, y: sp.log(sp.exp(x) + sp.exp(y))),
    Function("relu",        1, lambda x: np.maximum(x, 0.0),                   lambda x: max(x, mpmath.mpf(0)),            language.relu),
    Function("leaky_relu",  2, lambda x, s: np.where(x > 0, x, s * x),         lambda x, s: x if x > 0 else s * x,         language.leaky_relu),
    Function("elu",         1, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x: x if x > 0 else mpmath.expm1(x), language.elu),
    Function("softsign",    1, lambda x: x / (1 + np.abs(x)),                  lambda x: x / (1 + abs(x)),                 language.softsign),
    Function("log_cosh",    1, _log_cosh,                                      lambda x: mpmath.log(mpmath.cosh(x)),       language.log_cosh),
    Function("hard_tanh",   1, lambda x: np.clip(x, -1.0, 1.0),                lambda x: min(max(x, mpmath.mpf(-1)), mpmath.mpf(1)), language.hard_tanh),
    Function("abs",         1, np.abs,                                         abs,                                        sp.Abs),
    Function("sign",        1, np.sign,                                        _sign,                                      sp.sign),
    Function("floor",       1, np.floor,                                       mpmath.floor,                               sp.floor),
    Function("ceiling",     1, np.ceil,                                        mpmath.ceil,                                sp.ceiling),
    Function("heaviside",   2, np.heaviside,                                   _heaviside,                                 sp.Heaviside),
    Function("sin",         1, np.sin,                                         mpmath.sin,                                 sp.sin),
    Function("cos",         1, np.cos,                                         mpmath.cos,                                 sp.cos),
    Function("tan",         1, np.tan,                                         mpmath.tan,                                 sp.tan),
    Function("asin",        1, np.arcsin,                                      mpmath.asin,                                sp.asin),
    Function("acos",        1, np.arccos,                                      mpmath.acos,                                sp.acos),
    Function("atan",        1, np.arctan,                                      mpmath.atan,                                sp.atan),
    Function("atan2",       2, np.arctan2,                                     mpmath.atan2,                               sp.atan2),
    Function("sinh",        1, np.sinh,                                        mpmath.sinh,                                sp.sinh),
    Function("cosh",        1, np.cosh,                                        mpmath.cosh,                                sp.cosh),
    Function("asinh",       1, np.arcsinh,                                     mpmath.asinh,                               sp.asinh),
    Function("acosh",       1, np.arccosh,                                     mpmath.acosh,                               sp.acosh),
    Function("atanh",       1, np.arctanh,                                     mpmath.atanh,                               sp.atanh),
    Function("erf",         1, _special("erf"),                                 mpmath.erf,                                 sp.erf),
    Function("erfc",        1, _special("erfc"),                                   mpmath.erfc,                                sp.erfc),
    Function("loggamma",    1, _special("gammaln"),                                mpmath.loggamma,                            sp.loggamma),
    Function("digamma",     1, _special("digamma"),                                mpmath.digamma,                             sp.digamma),
    Function("trigamma",    1, lambda x: _special("polygamma")(1, x),          lambda x: mpmath.psi(1, x),                 lambda x: sp.polygamma(1, x)),
    Function("power",       2, np.power,                                       mpmath.power,                               sp.Pow),
    Function("xlogy",       2, _special("xlogy"),                                  _xlogy,                                     lambda x, y: x * sp.log(y)),
    Function("log_power",   2, _log_power,                                     _exact_log_power,                           lambda x, y: y * sp.log(x)),
    Function("xlogx",       1, lambda x: _special("xlogy")(x, x),                  lambda x: _xlogy(x, x),                     lambda x: x * sp.log(x)),
)

FUNCTIONS: Mapping[str, Function] = {row.op: row for row in _ROWS}

CONSTANTS: Mapping[str, Callable[[], Any]] = {
    #  name            exact value, by mpmath at its precision of the moment
    "pi":            lambda: +mpmath.pi,
    "E":             lambda: +mpmath.e,
    "EulerGamma":    lambda: +mpmath.euler,
    "GoldenRatio":   lambda: +mpmath.phi,
    "Catalan":       lambda: +mpmath.catalan,
    "inf":           lambda: mpmath.inf,
    "-inf":          lambda: -mpmath.inf,
    "nan":           lambda: mpmath.nan,
    "2/sqrt(pi)":    lambda: 2 / mpmath.sqrt(mpmath.pi),
    "1/log(2)":      lambda: 1 / mpmath.log(2),
    "1/log(10)":     lambda: 1 / mpmath.log(10),
}

SHOWN_CONSTANTS: Mapping[str, Any] = {
    "pi": sp.pi, "E": sp.E, "EulerGamma": sp.EulerGamma, "GoldenRatio": sp.GoldenRatio, "Catalan": sp.Catalan,
    "inf": sp.oo, "-inf": -sp.oo, "nan": sp.nan,
    "2/sqrt(pi)": 2 / sp.sqrt(sp.pi), "1/log(2)": 1 / sp.log(2), "1/log(10)": 1 / sp.log(10),
}

# ------------------------------------------------------------------------------------------ reading
# SymPy's function, or ours, by class name → the operation that it is.
READ_AS: Mapping[str, str] = {
    "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "tanh": "tanh", "sigmoid": "sigmoid", "softplus": "softplus", "relu": "relu",
    "leaky_relu": "leaky_relu", "elu": "elu", "softsign": "softsign", "log_cosh": "log_cosh", "hard_tanh": "hard_tanh", "Abs": "abs", "abs": "abs", "sign": "sign", "floor": "floor", "ceiling": "ceiling",
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "atan2": "atan2", "sinh": "sinh", "cosh": "cosh",
    "asinh": "asinh", "acosh": "acosh", "atanh": "atanh", "erf": "erf", "erfc": "erfc", "loggamma": "loggamma", "digamma": "digamma", "trigamma": "trigamma", "Heaviside": "heaviside",
    "log2": "log2", "log10": "log10", "logaddexp": "logaddexp",
}

POLYGAMMA: Mapping[int, str] = {0: "digamma", 1: "trigamma"}       # by order

a, b = hole("a"), hole("b")


def _f(op: str, *args: Node) -> Node:
    return function(op, *args)


def _where_positive(value: Node, *arguments: Node) -> Node:
    """A value made of logarithms of gamma functions, which tell no sign: nan unless their arguments are positive."""
    return select(both(*[_f("less", ZERO, argument) for argument in arguments]), value, NAN)


_ROOT_HALF = power(const(Fraction(1, 2)), Fraction(1, 2))
_SELU_SCALE, _SELU_ALPHA = const(Fraction(1.0507009873554804934193349852946)), const(Fraction(1.6732632423543772848170429916717))
_SINC_SERIES = add(*[mul(const(Fraction((-1) ** k, factorial(2 * k + 1))), power(a, 2 * k)) for k in range(10)])    # 2^-64 off below 1

# What is written with other operations, by class name; holes a and b stand for the operands.
COMPOSED: Mapping[str, Node] = {
    "sqrt":       power(a, Fraction(1, 2)),
    "silu":       mul(a, _f("sigmoid", a)),
    "log_sigmoid": neg(_f("softplus", neg(a))),
    "mish":       mul(a, _f("tanh", _f("softplus", a))),                                          # Misra 2019
    "gelu":       mul(const(Fraction(1, 2)), a, add(ONE, _f("erf", mul(a, _ROOT_HALF)))),         # Hendrycks and Gimpel 2016
    "selu":       mul(_SELU_SCALE, select(_f("less", ZERO, a), a, mul(_SELU_ALPHA, _f("expm1", a)))),    # Klambauer et al. 2017
    "square":     power(a, 2),
    "gamma":      _where_positive(_f("exp", _f("loggamma", a)), a),
    "factorial":  _where_positive(_f("exp", _f("loggamma", add(ONE, a))), add(ONE, a)),
    "beta":       _where_positive(_f("exp", sub(add(_f("loggamma", a), _f("loggamma", b)), _f("loggamma", add(a, b)))), a, b),
    "binomial":   _where_positive(_f("exp", sub(_f("loggamma", add(ONE, a)), add(_f("loggamma", add(ONE, b)), _f("loggamma", add(ONE, sub(a, b)))))),
                                  add(ONE, b), add(ONE, sub(a, b))),
    "sec":        power(_f("cos", a), -1),
    "csc":        power(_f("sin", a), -1),
    "cot":        power(_f("tan", a), -1),
    "sech":       power(_f("cosh", a), -1),
    "csch":       power(_f("sinh", a), -1),
    "coth":       power(_f("tanh", a), -1),
    "acot":       select(_f("less", a, ZERO), neg(_f("atan2", ONE, neg(a))), _f("atan2", ONE, a)),    # pi/2 at 0
    "asec":       _f("acos", power(a, -1)),
    "acsc":       _f("asin", power(a, -1)),
    "asech":      _f("acosh", power(a, -1)),
    "acsch":      _f("asinh", power(a, -1)),
    "acoth":      _f("atanh", power(a, -1)),
    "sinc":       select(_f("less", power(a, 2), ONE), _SINC_SERIES, div(_f("sin", a), a)),              # whose slopes cancel near 0
    "Mod":        sub(a, mul(b, _f("floor", div(a, b)))),
    "frac":       sub(a, _f("floor", a)),
    "log2":       _f("log2", a),
    "re":         a,                                                   # SymPy writes Abs(exp(x)) as exp(re(x)): symbols are real
    "conjugate":  a,
    "im":         ZERO,
    "neg":        neg(a),
    "greater":    when(ONE, _f("less", b, a)),
    "less":       when(ONE, _f("less", a, b)),
}
# fmt: on
