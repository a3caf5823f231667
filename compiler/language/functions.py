"""Elementwise functions of scalars, matrices and tensors alike; one table says what each is for scalars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from sympile.compiler.language import elementary
from sympile.compiler.language.bridges import as_scalar
from sympile.compiler.language.intake import is_relation, operand
from sympile.compiler.language.sizes import is_array, shape_of
from sympile.compiler.language.tensor import TensorExpr, build
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Elementwise:
    """A function applied to each entry."""

    name: str
    of_scalars: Callable[..., Any]
    arity: int
    meaning: str


def _where(condition: Any, yes: Any, no: Any) -> Any:
    holds = condition if is_relation(condition) else sp.Ne(condition, 0)
    return sp.Piecewise((yes, holds), (no, True))


# fmt: off
ELEMENTWISE: dict[str, Elementwise] = {row.name: row for row in (
    #            name          of scalars               operands  meaning
    Elementwise("exp",         sp.exp,                  1,        "e to the power x"),
    Elementwise("log",         sp.log,                  1,        "the natural logarithm of x"),
    Elementwise("log1p",       elementary.log1p,        1,        "log(1 + x), exact for small x"),
    Elementwise("expm1",       elementary.expm1,        1,        "exp(x) - 1, exact for small x"),
    Elementwise("log2",        elementary.log2,         1,        "the logarithm of x to the base 2"),
    Elementwise("log10",       elementary.log10,        1,        "the logarithm of x to the base 10"),
    Elementwise("sqrt",        sp.sqrt,                 1,        "the square root of x"),
    Elementwise("sin",         sp.sin,                  1,        "the sine of x"),
    Elementwise("cos",         sp.cos,                  1,        "the cosine of x"),
    Elementwise("tan",         sp.tan,                  1,        "the tangent of x"),
    Elementwise("asin",        sp.asin,                 1,        "the angle between ±pi/2 whose sine is x"),
    Elementwise("acos",        sp.acos,                 1,        "the angle between 0 and pi whose cosine is x"),
    Elementwise("atan",        sp.atan,                 1,        "the angle between ±pi/2 whose tangent is x"),
    Elementwise("atan2",       sp.atan2,                2,        "the angle of the point (b, a), between -pi and pi"),
    Elementwise("sinh",        sp.sinh,                 1,        "the hyperbolic sine of x"),
    Elementwise("cosh",        sp.cosh,                 1,        "the hyperbolic cosine of x"),
    Elementwise("tanh",        sp.tanh,                 1,        "the hyperbolic tangent of x"),
    Elementwise("asinh",       sp.asinh,                1,        "the number whose hyperbolic sine is x"),
    Elementwise("acosh",       sp.acosh,                1,        "the number from 0 on whose hyperbolic cosine is x"),
    Elementwise("atanh",       sp.atanh,                1,        "the number whose hyperbolic tangent is x"),
    Elementwise("log_cosh",    elementary.log_cosh,     1,        "log(cosh(x)), without overflow"),
    Elementwise("erf",         sp.erf,                  1,        "the error function of x"),
    Elementwise("erfc",        sp.erfc,                 1,        "1 - erf(x), exact for large x"),
    Elementwise("abs",         sp.Abs,                  1,        "the absolute value of x"),
    Elementwise("sign",        sp.sign,                 1,        "-1, 0 or 1"),
    Elementwise("floor",       sp.floor,                1,        "the largest integer up to x"),
    Elementwise("ceiling",     sp.ceiling,              1,        "the smallest integer from x on"),
    Elementwise("maximum",     sp.Max,                  2,        "the larger of a and b"),
    Elementwise("minimum",     sp.Min,                  2,        "the smaller of a and b"),
    Elementwise("where",       _where,                  3,        "a where the condition holds, b elsewhere"),
    Elementwise("greater",     sp.Gt,                   2,        "1 where a > b, 0 elsewhere; of scalars a relation"),
    Elementwise("less",        sp.Lt,                   2,        "1 where a < b, 0 elsewhere; of scalars a relation"),
    Elementwise("sigmoid",     elementary.sigmoid,      1,        "1/(1 + exp(-x))"),
    Elementwise("log_sigmoid", elementary.log_sigmoid,  1,        "log(sigmoid(x)), without overflow"),
    Elementwise("relu",        elementary.relu,         1,        "max(0, x)"),
    Elementwise("leaky_relu",  elementary.leaky_relu,   2,        "x where x > 0, slope*x elsewhere"),
    Elementwise("elu",         elementary.elu,          1,        "x where x > 0, exp(x) - 1 elsewhere"),
    Elementwise("selu",        elementary.selu,         1,        "elu, scaled to keep mean 0 and variance 1"),
    Elementwise("gelu",        elementary.gelu,         1,        "x times the normal distribution function of x"),
    Elementwise("silu",        elementary.silu,         1,        "x*sigmoid(x)"),
    Elementwise("mish",        elementary.mish,         1,        "x*tanh(softplus(x))"),
    Elementwise("softsign",    elementary.softsign,     1,        "x/(1 + |x|)"),
    Elementwise("softplus",    elementary.softplus,     1,        "log(1 + exp(x)), without overflow"),
    Elementwise("hard_tanh",   elementary.hard_tanh,    1,        "x kept between -1 and 1"),
)}
# fmt: on


def apply(name: str, *values: Any) -> Any:
    """The elementwise function of this name, of operands of any kind.

    Scalars broadcast over matrices and tensors. Matrices must agree in shape, tensors broadcast as in NumPy; a 1×1
    matrix beside a scalar, or beside a larger matrix, counts as a scalar.

    Raises:
        ShapeError: the shapes do not fit each other.
        UnsupportedNode: a value is an array, a list, or something that SymPy has distorted.
    """
    operands = [operand(value, name, condition=name == "where" and at == 0) for at, value in enumerate(values)]
    if any(isinstance(one, TensorExpr) for one in operands):
        return build(name, *operands)
    if _counts_as_scalars(operands):
        return ELEMENTWISE[name].of_scalars(*map(as_scalar, operands))
    larger = any(is_array(one) and shape_of(one) != (1, 1) for one in operands)
    return build(name, *(as_scalar(one) if larger and shape_of(one) == (1, 1) else one for one in operands))


def _counts_as_scalars(operands: list[Any]) -> bool:
    """Whether there is no array, or only 1×1 matrices beside a scalar that is not just a number."""
    arrays = [one for one in operands if is_array(one)]
    beside = any(not is_array(one) and not one.is_number for one in operands)
    return not arrays or (beside and all(shape_of(one) == (1, 1) for one in arrays))


def _unary(name: str) -> Any:
    def function(x: Any) -> Any:
        return apply(name, x)

    return _documented(function, ELEMENTWISE[name], f"{name}(x)")


def _binary(name: str) -> Any:
    def function(a: Any, b: Any) -> Any:
        return apply(name, a, b)

    return _documented(function, ELEMENTWISE[name], f"{name}(x, 0)")


def _documented(function: Any, row: Elementwise, example: str) -> Any:
    function.__name__ = function.__qualname__ = row.name
    function.__module__ = __name__
    function.__doc__ = _DOCUMENTATION.format(row.meaning, example)
    return function


_DOCUMENTATION = """Elementwise: {0}.

Args:
    each: a scalar, a matrix or a tensor of real numbers; scalars broadcast, matrices agree in shape.

Returns:
    Of scalars, SymPy's own function where SymPy has it; otherwise a matrix or a tensor of the operands' shape.

Raises:
    ShapeError: the shapes do not fit each other.
    UnsupportedNode: an operand is an array, or something that SymPy has distorted.

Example:
    >>> import sympile as sm, sympy as sp
    >>> x = sp.MatrixSymbol("x", 3, 1)
    >>> sm.{1}
    {1}
"""

exp, log, log1p, log2, log10 = map(_unary, ("exp", "log", "log1p", "log2", "log10"))
expm1, sqrt, abs, sign, floor, ceiling = map(_unary, ("expm1", "sqrt", "abs", "sign", "floor", "ceiling"))
sin, cos, tan, asin, acos, atan = map(_unary, ("sin", "cos", "tan", "asin", "acos", "atan"))
sinh, cosh, tanh, asinh, acosh, atanh = map(_unary, ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"))
log_cosh, erf, erfc, sigmoid, log_sigmoid = map(_unary, ("log_cosh", "erf", "erfc", "sigmoid", "log_sigmoid"))
relu, selu, silu, mish = map(_unary, ("relu", "selu", "silu", "mish"))
softsign, softplus, hard_tanh = map(_unary, ("softsign", "softplus", "hard_tanh"))
maximum, minimum, greater, less, atan2 = map(_binary, ("maximum", "minimum", "greater", "less", "atan2"))


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Elementwise: `yes` where the condition holds, `no` elsewhere; the branch not taken never contributes.

    Args:
        condition: a relation of scalars such as `x > 0`, or a value of any kind that counts as true where it is not 0.
        yes: a scalar, a matrix or a tensor.
        no: a scalar, a matrix or a tensor.

    Returns:
        Of scalars a `sympy.Piecewise`; otherwise a matrix or a tensor.

    Raises:
        ShapeError: the shapes do not fit each other.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> x = sp.MatrixSymbol("x", 3, 1)
        >>> sm.where(sm.greater(x, 0), x, 0)
        where(greater(x, 0), x, 0)
    """
    return apply("where", condition, yes, no)


def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """Elementwise: x where x > 0, slope*x elsewhere.

    Args:
        x: a scalar, a matrix or a tensor.
        slope: a number or a scalar; 0.01 as in Keras' and PyTorch's layers of this name.

    Returns:
        A value of the shape of `x`.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.leaky_relu(sp.MatrixSymbol("x", 3, 1), 0.5)
        leaky_relu(x, 0.5)
    """
    return apply("leaky_relu", x, slope)
