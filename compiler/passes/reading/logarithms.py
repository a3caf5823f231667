"""Logarithms of densities: of powers and gamma functions the sum that it is, where signs are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp


def _of_gamma(x: Any) -> Any:
    return sp.loggamma(x)


def _of_factorial(n: Any) -> Any:
    return sp.loggamma(n + 1)


def _of_beta(a: Any, b: Any) -> Any:
    return sp.loggamma(a) + sp.loggamma(b) - sp.loggamma(a + b)


def _of_binomial(n: Any, k: Any) -> Any:
    return sp.loggamma(n + 1) - sp.loggamma(k + 1) - sp.loggamma(n - k + 1)


LOGARITHMS: Mapping[str, Callable[..., Any]] = {  # of what overflows soon, by class name; arguments are positive
    "gamma": _of_gamma,
    "factorial": _of_factorial,
    "beta": _of_beta,
    "binomial": _of_binomial,
}


def split(logarithm: Any) -> Any | None:
    """log(b**c*gamma(a)*d) as c*log(b) + loggamma(a) + log(d), for b declared positive; None where nothing is gained.

    This is the one place where a declaration such as `positive=True` counts: without it log(b**c) has a value for a
    negative b and an even c, which c*log(b) has not.
    """
    (argument,) = logarithm.args
    if isinstance(argument, sp.Piecewise):
        return _branches(argument)
    factors = sp.Mul.make_args(argument)
    terms = [term for factor in factors if (term := _term(factor)) is not None]
    rest = [factor for factor in factors if _term(factor) is None]
    signs = [bool(factor.is_positive) for factor in rest]
    if not terms and (len(set(signs)) < 2 or not any(map(_varying_power, rest))):
        return None
    apart = [sp.Mul(*[f for f, known in zip(rest, signs, strict=True) if known is side]) for side in (True, False)]
    return sp.Add(*terms, *[sp.log(part) for part in apart if part != 1])


def _branches(pieces: Any) -> Any | None:
    """The log of each branch, where one is 0: outside of its support, a density has the log -oo."""
    if all(value != 0 for value, _ in pieces.args):
        return None
    return sp.Piecewise(*[(-sp.oo if value == 0 else sp.log(value), condition) for value, condition in pieces.args])


def _term(factor: Any) -> Any | None:
    """The log of a gamma function, or of a power of a positive number, to any power."""
    base, exponent = factor.as_base_exp()
    known = LOGARITHMS.get(type(base).__name__)
    if known is not None:
        return exponent * known(*base.args)
    return exponent * sp.log(base) if _varying_power(factor) and base.is_positive else None


def _varying_power(factor: Any) -> bool:
    base, exponent = factor.as_base_exp()
    return not exponent.is_number and not base.is_number
