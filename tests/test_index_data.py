"""Integer data in brackets: symbols, entries of arrays in any notation; against NumPy. What is no integer data is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import IndexOutOfRange

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


F, d, k, m = sp.IndexedBase("F", shape=(10,)), sp.Symbol("d"), *sm.indices("k m")
t = sp.IndexedBase("t", shape=(4,))
# fmt: off
WINDOWS: dict[str, Any] = {  # x[c + k] has a slope where c <= i <= c + 2, not everywhere
    "a sum of squares":       lambda: sp.Sum(F[c + k]**2, (k, 0, 2)),
    "two windows":            lambda: sp.Sum(F[c + k]*F[d + m]**2, (k, 0, 2), (m, 0, 2)),
    "two of one place":       lambda: sp.Sum(F[c + k]*F[c + m]**2, (k, 0, 2), (m, 0, 3)),
    "side by side":           lambda: sp.Sum(F[c + k]*F[d + k], (k, 0, 3)),
    "strided":                lambda: sp.Sum(F[c + 2*k]**2*F[c + k], (k, 0, 1)),
    "the largest":            lambda: sm.Maximum(F[c + k]**2, (k, 0, 3)),
    "log-sum-exp":            lambda: sm.LogSumExp(F[c + k], (k, 0, 3)),
    "weights by place":       lambda: sp.Sum(sp.sin(F[t[i] + k])*(k + 1), (k, 0, 2), (i, 0, 3)),
    "one from its end":       lambda: sp.Sum(sp.sin(F[c + 2 - k])*F[d + k], (k, 0, 2)),
}
# fmt: on


@pytest.mark.parametrize("window", WINDOWS)
def test_windows_at_data_have_slopes_there_only(window: str) -> None:
    loss, rng = WINDOWS[window](), np.random.default_rng(2)
    data = {c: rng.integers(0, 7, 9), d: rng.integers(0, 7, 9), t: rng.integers(0, 7, (9, 4))}
    names = {str(symbol) for symbol in loss.free_symbols}
    data = {symbol: array for symbol, array in data.items() if str(symbol) in names}
    model, at = sm.compile(loss, F), rng.normal(size=10)
    assert model.check({**data, F: at}).error < 1e-6
    moved = model.fit(data, epochs=1, start={F: at}, optimizer=sm.sgd(0.1), shuffle=False).parameters[F]
    np.testing.assert_allclose(moved, at - 0.1*model.backward({**data, F: at})[F], rtol=1e-13, atol=1e-14)
    slope = sm.lambdify([F, *data], sm.grad(loss, F))
    hessian = sm.lambdify([F, *data], sm.hessian(loss, F))
    row, step = [array[0] for array in data.values()], 1e-6
    differences = [(slope(at + step*e, *row) - slope(at - step*e, *row))/(2*step) for e in np.eye(10)]
    np.testing.assert_allclose(hessian(at, *row), differences, rtol=1e-6, atol=1e-7)


M, v = sp.MatrixSymbol("M", 8, 3), sp.MatrixSymbol("v", 3, 1)
n = sp.Symbol("n")
# fmt: off
SLICES: dict[str, Any] = {  # and by NumPy, of one row of data
    "a row":                  (sm.dot(M[c, :], v),                lambda a, c, v: a[c] @ v),
    "the next row":           (sm.dot(M[c + 1, :], v),            lambda a, c, v: a[c + 1] @ v),
    "a column":               (sm.sum(sp.HadamardPower(M[:, c], 2)),             lambda a, c, v: (a[:, c]**2).sum()),
    "some rows":              (sm.norm(M[c:c + 3, :]*v)**2,       lambda a, c, v: ((a[c:c + 3] @ v)**2).sum()),
    "a row of each":          (sp.Sum(sm.dot(M[i, :], v)**3, (i, 0, 7))*M[c, 0], lambda a, c, v: ((a @ v)**3).sum()*a[c, 0]),
}
# fmt: on


@pytest.mark.parametrize("slice_", SLICES)
def test_rows_and_columns_of_matrices_at_integer_data(slice_: str) -> None:
    """c in M[c, :] was taken for a size, and no value could be given for it."""
    loss, numpy = SLICES[slice_]
    rng = np.random.default_rng(3)
    values = {M: rng.normal(size=(8, 3)), c: rng.integers(0, 3, 6), v: rng.normal(size=(6, 3))}
    model = sm.compile(loss, M)
    wanted = [s for s in values if s in (M, c) or v in loss.free_symbols]
    values = {s: values[s] for s in wanted}
    rows = zip(values[c], values.get(v, np.zeros((6, 3))), strict=True)
    np.testing.assert_allclose(model.forward(values), np.mean([numpy(values[M], *row) for row in rows]), rtol=1e-13)
    assert model.check(values).error < 1e-6
    with pytest.raises(IndexOutOfRange, match="c holds 8"):
        model.forward({**values, c: [8] * 6})


def test_sizes_in_slices_are_sizes() -> None:
    A = sp.MatrixSymbol("A", n, 3)
    numbers = np.arange(12.0).reshape(4, 3)
    assert sm.lambdify([A, v], sm.dot(A[n - 1, :], v))(numbers, np.ones((3, 1))) == numbers[3].sum()
    assert sm.lambdify([A, v], sm.sum(A[1:n, :]*v))(numbers, np.ones((3, 1))) == numbers[1:].sum()


@pytest.mark.parametrize("length", [3, 10])
def test_deltas_of_data_beside_functions(length: int) -> None:
    """k + 1 = c is no k inside of the axis for every c; and integers in conditions are no numbers."""
    x, y = sp.IndexedBase("x", shape=(length,)), sp.IndexedBase("y", shape=(length,))
    met = sp.KroneckerDelta(k + 1, c) * sp.KroneckerDelta(k + 2, d - 1)
    model = sm.compile(sm.tanh(sp.Sum(met * x[k] * sp.exp(y[k]), (k, 0, length - 1))), x)
    rng = np.random.default_rng(4)
    values = {x: rng.normal(size=length), c: rng.integers(-2, length + 2, 70), y: rng.normal(size=(70, length))}
    values[d] = values[c] + 2 + (rng.random(70) < 0.2)
    terms = (values[d] == values[c] + 2) & (values[c] > 0) & (values[c] <= length)
    at = np.clip(values[c] - 1, 0, length - 1)
    expected = np.tanh(np.where(terms, values[x][at] * np.exp(values[y][np.arange(70), at]), 0)).mean()
    np.testing.assert_allclose(model.forward(values), expected, rtol=1e-13)
    assert model.check(values).error < 1e-6
    total = sm.lambdify([x, c], sp.Sum(sp.KroneckerDelta(k, c + m)*x[k], (k, 0, length - 1), (m, 0, 1)))
    assert total(np.arange(length) + 1.0, 1) == 5
