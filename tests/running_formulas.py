"""Reductions over all j <= i, or j >= i: formulas, numbers for them, and how the tests of them judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

import sympile as sm
from sympile.compiler.passes.fusing.group import domain_of

i, j, k, c = sm.indices("i j k c")
n, m = sp.symbols("n m")
a, g = sp.symbols("a g")
w, x, y = (sp.IndexedBase(name, shape=(n,)) for name in "wxy")
W = sp.IndexedBase("W", shape=(n, m))
LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 40)  # around whole registers of 8 and 16


def total(expression: Any) -> Any:
    """The sum over i, where SymPy cannot draw conditions on j out of it."""
    return sp.Sum(sm.comprehension(expression, (i, n))[k], (k, 0, n - 1))


def squares(expression: Any) -> Any:
    return total((y[i] - expression) ** 2)


def below(to: Any) -> Any:
    return (j, 0, to)


def above(start: Any) -> Any:
    return (j, start, n - 1)


# fmt: off
FORMULAS: dict[str, Any] = {  # a loss, its parameters
    "sum":                       (squares(sp.Sum(w[j], below(i))), [w]),
    "sum from here":             (squares(sp.Sum(w[j], above(i))), [w]),
    "sum of those before":       (squares(sp.Sum(w[j], below(i - 1))), [w]),
    "sum of those after":        (squares(sp.Sum(w[j], above(i + 1))), [w]),
    "sum of those well before":  (squares(sp.Sum(w[j], below(i - 3))), [w]),
    "counted from the end":      (squares(sp.Sum(w[j], below(n - 1 - i))), [w]),
    "a drift":                   (squares(a*sp.Sum(x[j], below(i))), [a]),
    "a factor on either side":   (squares(sp.Sum(x[i]*w[j]*x[j]/2, below(i))), [w]),
    "several terms":             (squares(sp.Sum(w[j]*x[j] - w[j]**2, above(i))), [w]),
    "of functions":              (squares(sp.Sum(sp.exp(w[j])*x[j], above(i))), [w]),
    "of a sum":                  (squares(sp.Sum(W[j, c]*x[j], (c, 0, m - 1), below(i))), [W]),
    "two at once":               (squares(sp.Sum(w[j], below(i)) + sp.Sum(w[j]**2, above(i))), [w]),
    "one of the other":          (squares(sp.Sum(sm.comprehension(sp.Sum(w[c], (c, j, n - 1)), (j, n))[j], below(i))), [w]),
    "summed again":              (total(y[i]*sp.Sum(w[j]*x[j], below(i))), [w]),
    "side by side":              (sp.Sum((W[i, c]*y[i] - sp.Sum(W[j, c]*x[j], below(i)))**2, (i, 0, n - 1), (c, 0, m - 1)), [W]),
    "under a condition on data": (squares(sp.Sum(sp.Piecewise((w[j], x[j] > 0), (0, True)), below(i))), [w]),
    "how many":                  (squares(a*sp.Sum(sp.Piecewise((1, x[j] > 0), (0, True)), below(i))), [a]),
    "a guard":                   (squares(sp.Sum(sp.Piecewise((w[j], j >= i + 2), (0, True)), (j, 0, n - 1))), [w]),
    "against the axis":          (squares(sp.Sum(w[i - j]*x[i], below(i))), [w]),
    "largest":                   (squares(sm.Maximum(w[j], below(i))), [w]),
    "largest from here":         (squares(sm.Maximum(w[j]*x[j], above(i))), [w]),
    "largest with a term":       (squares(sm.Maximum(w[j] - x[i], below(i))), [w]),
    "smallest":                  (squares(sm.Minimum(w[j], above(i))), [w]),
    "log-sum-exp":               (squares(sm.LogSumExp(w[j], below(i))), [w]),
    "log-sum-exp from here":     (squares(sm.LogSumExp(w[j] + x[j], above(i))), [w]),
    "log-sum-exp with a term":   (squares(sm.LogSumExp(w[j] - x[i], above(i))), [w]),
    "log of a sum":              (squares(sp.log(sp.Sum(sp.exp(w[j]), above(i)))), [w]),
    "discounted":                (squares(sp.Sum(g**(j - i)*w[j], above(i))), [g, w]),
    "discounted, from 0":        (squares(sp.Sum(g**j*w[i + j], below(n - 1 - i))), [g, w]),
    "discounted, those before":  (squares(sp.Sum(g**(i - j)*w[j], below(i - 1))), [g, w]),
    "discounted by two":         (squares(sp.Sum(g**(2*i - 2*j)*w[j], below(i))), [w]),
    "smoothed":                  (squares(a*sp.Sum((1 - a)**j*w[i - j], below(i))), [a, w]),
    "decay":                     (squares(sp.Sum(sp.exp(-g*(i - j))*w[j], below(i))), [g, w]),
    "product":                   (squares(sp.Product(w[j], below(i))), [w]),
    "product of those after":    (squares(sp.Product(1 + x[j]*w[j], above(i + 1))), [w]),
    "product of those before":   (squares(sp.Product(w[j] + 2, below(i - 1))/3**i), [w]),
    "product of all":            ((sp.Product(1 + w[i]*x[i], (i, 0, n - 1)) - a)**2, [w]),
    "distances":                 (squares(sp.Sum((i - j)*w[j], below(i))/n), [w]),
}
ROUNDED = {"largest with a term"}  # equal once they are rounded: its slopes look at every pair
# fmt: on

# fmt: off
SPECIAL: dict[str, Any] = {
    "spread out":               lambda rng, length: rng.uniform(-800, 800, length),
    "rising":                   lambda rng, length: np.linspace(-800, 800, length),
    "falling":                  lambda rng, length: np.linspace(800, -800, length),
    "nothing at first":         lambda rng, length: np.where(np.arange(length) < length // 2, -np.inf, -800.0),
    "nothing at last":          lambda rng, length: np.where(np.arange(length) < length // 2, 800.0, -np.inf),
    "nothing at all":           lambda rng, length: np.full(length, -np.inf),
    "nothing in between":       lambda rng, length: np.where(rng.random(length) < 0.5, -np.inf, 700 * rng.normal(size=length)),
    "infinite once":            lambda rng, length: np.where(np.arange(length) == length // 3, np.inf, -750.0),
    "nan once":                 lambda rng, length: np.where(np.arange(length) == length // 3, np.nan, rng.normal(size=length)),
    "zeros":                    lambda rng, length: np.zeros(length),
    "zeros of both signs":      lambda rng, length: np.where(rng.random(length) < 0.5, 0.0, -0.0),
    "ties":                     lambda rng, length: rng.integers(-2, 3, length).astype(float),
}
# fmt: on


def built(loss: Any, parameters: list[Any], **options: Any) -> Any:
    names = {label(symbol) for symbol in loss.free_symbols}
    constants = [symbol for symbol in (a, g, w, x, y, W) if label(symbol) in names and symbol not in parameters]
    return sm.compile(loss, parameters, constants=constants, **options)


def label(symbol: Any) -> str:
    return str(getattr(symbol, "label", symbol))


def numbers(loss: Any, length: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    values = {"a": 0.4, "g": 0.8, "W": rng.normal(size=(length, 5))} | {k: rng.normal(size=length) for k in "wxy"}
    return {name: values[name] for name in sorted({label(symbol) for symbol in loss.free_symbols} & set(values))}


def is_carried(tensors: Any) -> bool:
    """Whether nothing is computed for each pair of places."""
    return all(
        sum(str(index.data[1].data) == "n" for index in domain_of(t)) < 2 for t in tensors if t.kind == "formula"
    )


def agree(found: Any, expected: Any, rtol: float) -> None:
    (value, slopes), (value_, slopes_) = found, expected
    np.testing.assert_allclose(value, value_, rtol=rtol)
    for parameter, slope in slopes.items():
        scale = np.abs(slopes_[parameter][np.isfinite(slopes_[parameter])]).max(initial=0)
        np.testing.assert_allclose(slope, slopes_[parameter], rtol=rtol, atol=rtol * scale)


def agree_where_defined(found: Any, expected: Any) -> None:
    """Each on its own, a log-sum-exp of nothing passes nan back to what is its term nowhere; here it may pass 0."""
    (value, slopes), (value_, slopes_) = found, expected
    agree((value, slopes), (value_, {p: np.where(np.isnan(s), slopes[p], s) for p, s in slopes_.items()}), 1e-10)
