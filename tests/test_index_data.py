"""Integer data in brackets: symbols, entries of arrays in any notation; against NumPy. What is no integer data is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm

i = sm.indices("i")
E, W, w = sm.Tensor("E", (3, 3)), sm.Tensor("W", (5,)), sp.Symbol("w")
c = sp.Symbol("c")
NUMBERS = np.random.default_rng(0).normal(size=(3, 3))
TOKENS = np.arange(10).reshape(2, 5) % 3
# fmt: off
ARRAYS: dict[str, Any] = {
    "an indexed base":  lambda: sp.IndexedBase("t", shape=(5,)),
    "a tensor":         lambda: sm.Tensor("t", (5,)),
    "a column":         lambda: _Column(),
}
# fmt: on


class _Column:
    """A column read at one index."""

    def __getitem__(self, at: Any) -> Any:
        return sp.MatrixSymbol("t", 5, 1)[at, 0]


def entropy(logits: Any, target: int) -> Any:
    return np.log(np.exp(logits).sum()) - logits[target]


# fmt: off
LOSSES: dict[str, Any] = {  # with the array t, and by NumPy for one row of it
    "a row":                (lambda t: (E[t[0]]**2).sum(),                                  lambda t: (NUMBERS[t[0]]**2).sum()),
    "two entries":          (lambda t: E[t[0], t[1]]*E[t[4], 2],                            lambda t: NUMBERS[t[0], t[1]]*NUMBERS[t[4], 2]),
    "a class":              (lambda t: sm.cross_entropy(E[1], t[4]),                        lambda t: entropy(NUMBERS[1], t[4])),
    "a row and a class":    (lambda t: sm.cross_entropy(E[t[0]], t[4]),                     lambda t: entropy(NUMBERS[t[0]], t[4])),
    "each next one":        (lambda t: sp.Sum(sm.cross_entropy(E[t[i]], t[i + 1]), (i, 0, 3)),
                             lambda t: sum(entropy(NUMBERS[t[k]], t[k + 1]) for k in range(4))),
    "one hot":              (lambda t: (E[2].reshape(3, 1)*sm.one_hot(t[4], 3)).sum(),      lambda t: NUMBERS[2, t[4]]),
}
# fmt: on


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("array", ARRAYS)
def test_entries_of_arrays_are_indices(array: str, loss: str) -> None:
    written, numpy = LOSSES[loss]
    model = sm.compile(written(ARRAYS[array]()), [E])
    values = {E: NUMBERS, "t": TOKENS}
    np.testing.assert_allclose(model.forward(values), np.mean([numpy(row) for row in TOKENS]), rtol=1e-13)
    assert model.check(values).error < 1e-6


# fmt: off
REFUSED: dict[str, Any] = {
    "a function of data":     (E[sp.tanh(c)].sum(),                             "cannot be an index"),
    "an entry of a function": (E[sm.tanh(sm.Tensor("t", (5,)))[0]].sum(),       "cannot be an index"),
    "a sum of two":           (E[c + sp.Symbol("d")].sum(),                     "give the sum as data"),
    "a parameter":            (E[w].sum()*w,                                    "w is a parameter"),
    "a parameter's entry":    (E[W[0]].sum()*W[1],                              "W is a parameter"),
    "two lengths":            (E[c].sum() + W[c],                               "write a symbol for each"),
    "a number, too":          (E[c].sum() + c,                                  "both as an integer index and as a real number"),
    "an operand, too":        (E[c, 1] + sp.tanh(c),                            "both as an integer index and as a real number"),
    "an exponent, too":       (E[c, 0]**c,                                      "both as an integer index and as a real number"),
    "compared, too":          (sp.Piecewise((E[c, 0], c > 1), (0, True)),       "both as an integer index and as a real number"),
    "a class, compared":      (sm.where(sp.Eq(c, 1), sm.cross_entropy(E[0], c), 0), "both as an integer index and as a real number"),
}
# fmt: on


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_integer_data(kind: str) -> None:
    loss, words = REFUSED[kind]
    with pytest.raises(sm.SympileError, match=words):
        sm.compile(loss, [E, w, W], allow_unused=[w, W])
