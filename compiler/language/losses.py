"""Losses of (prediction, target) for one example: compositions of the primitives, so that their gradients read well."""

from __future__ import annotations

from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError, ShapeError
from sympile.compiler.language import functions as f
from sympile.compiler.language import reductions as over
from sympile.compiler.language.bridges import add, as_scalar
from sympile.compiler.language.intake import operand
from sympile.compiler.language.sizes import described, is_array, mismatch, same_shape, shape_of


def mse(prediction: Any, target: Any) -> Any:
    """The mean over the components of (prediction - target)².

    Args:
        prediction: a scalar, a matrix or a tensor.
        target: one of the same shape.

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.mse(*sp.symbols("p y"))
        (p - y)**2
    """
    return over.mean(_square(_error("mse", prediction, target)), axis=None)


def mae(prediction: Any, target: Any) -> Any:
    """The mean over the components of |prediction - target|.

    Args:
        prediction: a scalar, a matrix or a tensor.
        target: one of the same shape.

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.mae(*sp.symbols("p y"))
        Abs(p - y)
    """
    return over.mean(f.abs(_error("mae", prediction, target)), axis=None)


def huber(prediction: Any, target: Any, delta: Any = 1) -> Any:
    """The mean over the components of e²/2 where |e| ≤ delta, delta*(|e| - delta/2) elsewhere (Huber 1964, eq. 2.1).

    Args:
        prediction: a scalar, a matrix or a tensor.
        target: one of the same shape.
        delta: a positive number or a scalar: from where on errors count linearly.

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: delta is not positive, or no scalar.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.huber(*sp.symbols("p y")).subs({"p": 3, "y": 0})
        5/2
    """
    width = operand(delta, "huber")
    if is_array(width) or (width.is_number and not width > 0):
        raise ArgumentError(f"huber: delta is a positive number or a scalar, not {delta}")
    error = _error("huber", prediction, target)
    size = f.abs(error)
    linear = add(width * size, -(width**2) / 2)
    return over.mean(f.where(f.greater(size, width), linear, _square(error) / 2), axis=None)


def cross_entropy(prediction: Any, target: Any) -> Any:
    """The cross-entropy of softmax(prediction) and the target; the mean over rows if there are several.

    Args:
        prediction: logits z: a vector, or rows of logits along the last axis.
        target: probabilities t of the same shape, giving sum(t)*logsumexp(z) - sum(t∘z); or a class number c between
            0 and k - 1 (one for each row), giving logsumexp(z) - z[c].

    Returns:
        A scalar.

    Raises:
        ShapeError: the target is neither, or the prediction is a single number.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> z, t = sp.MatrixSymbol("z", 10, 1), sp.MatrixSymbol("t", 10, 1)
        >>> sm.cross_entropy(z, t)
        sum(t)*logsumexp(z) - sum(HadamardProduct(t, z))
    """
    z, t = operand(prediction, "cross_entropy"), operand(target, "cross_entropy")
    if all(size == 1 for size in shape_of(z)):
        raise ShapeError(f"cross_entropy: {described(z)}, is the logit of one class; write binary_cross_entropy(z, t)")
    if not same_shape(shape_of(z), shape_of(t)):
        return _over_rows(over.logsumexp(z) - _logit(z, t))
    return _over_rows(_times(over.sum(t), over.logsumexp(z)) - over.sum(_times(t, z)))


def binary_cross_entropy(prediction: Any, target: Any) -> Any:
    """The mean over the components of the cross-entropy of sigmoid(prediction) and the target: softplus(z) - t*z.

    Args:
        prediction: logits z: a scalar, a matrix or a tensor.
        target: probabilities between 0 and 1, of the same shape.

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.binary_cross_entropy(*sp.symbols("z t"))
        -t*z + softplus(z)
    """
    z, t = _pair("binary_cross_entropy", prediction, target)
    return over.mean(f.softplus(z) - _times(t, z), axis=None)


def hinge(prediction: Any, target: Any) -> Any:
    """The mean over the components of max(0, 1 - target*prediction).

    Args:
        prediction: scores: a scalar, a matrix or a tensor.
        target: labels -1 or 1, of the same shape.

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.hinge(*sp.symbols("p y"))
        relu(-p*y + 1)
    """
    z, t = _pair("hinge", prediction, target)
    return over.mean(f.relu(add(-_times(t, z), 1)), axis=None)


def kl_divergence(p: Any, q: Any) -> Any:
    """The sum of p*log(p) - p*log(q) along the last axis; the mean over rows if there are several.

    Args:
        p: probabilities: a vector, or rows along the last axis; a scalar is one term of the sum.
        q: probabilities of the same shape.

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import sympile as sm, sympy as sp
        >>> sm.kl_divergence(*sp.symbols("p q"))
        p*log(p) - p*log(q)
    """
    first, second = _pair("kl_divergence", p, q)
    return _over_rows(over.sum(_times(first, f.log(first)) - _times(first, f.log(second))))


def _pair(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Prediction and target as operands of one shape; a 1×1 matrix counts as a scalar."""
    pair = operand(prediction, name), operand(target, name)
    if all(size == 1 for one in pair for size in shape_of(one)):
        return as_scalar(pair[0]), as_scalar(pair[1])
    if not same_shape(*map(shape_of, pair)):
        raise mismatch(name, pair, "prediction and target have one shape")
    return pair


def _error(name: str, prediction: Any, target: Any) -> Any:
    first, second = _pair(name, prediction, target)
    return first - second


def _square(value: Any) -> Any:
    return sp.HadamardPower(value, 2) if value.is_Matrix else value**2


def _times(a: Any, b: Any) -> Any:
    """The product, entry by entry."""
    return sp.HadamardProduct(a, b) if getattr(a, "is_Matrix", False) and getattr(b, "is_Matrix", False) else a * b


def _over_rows(values: Any) -> Any:
    """The mean over what is left after the last axis is gone."""
    return over.mean(values, axis=None)


def _logit(z: Any, number: Any) -> Any:
    """The logit of the class with this number; raises ShapeError if the target is no class number."""
    try:
        return over.pick(z, number)
    except ShapeError:
        advice = "a target is as many probabilities as there are logits, or a class number for each row of them"
        raise mismatch("cross_entropy", [z, number], advice) from None
