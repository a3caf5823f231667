"""Lesson 4: the same logistic regression, written with indices.

Sums over indices are how many books and papers write it: score = Σⱼ wⱼ xⱼ + b. sympile reads matrices and
indices into one and the same inner form, its core. So the two models of this lesson are one: their cores
are the same object, their trained numbers agree to the last bit. Only the gradient is shown differently: in
the notation of its parameter.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from sklearn.datasets import load_breast_cancer

import sympile as sm
from sympile.compiler.graph.inline import core

d = 30
y, b = sp.symbols("y b")


def loss_of(score: sp.Expr) -> sp.Expr:
    return sp.log(1 + sp.exp(-y * score))


def by_matrices() -> sm.Model:
    w, x = sp.MatrixSymbol("w", d, 1), sp.MatrixSymbol("x", d, 1)
    return sm.compile(loss_of(sm.dot(w, x) + b), parameters=[w, b])


def by_indices() -> sm.Model:
    w, x = sp.IndexedBase("w", shape=(d,)), sp.IndexedBase("x", shape=(d,))
    j = sm.indices("j")
    return sm.compile(loss_of(sp.Sum(w[j] * x[j], (j, 0, d - 1)) + b), parameters=[w, b])


def main() -> None:
    models = {"matrices": by_matrices(), "indices": by_indices()}
    for notation, model in models.items():
        print(f"{notation:<9}{model.gradient['w']}")

    first, second = models.values()
    same = core([first.gradient["w"].definition]) == core([second.gradient["w"].definition])
    print("\none core:", same)
    assert same

    measured, benign = load_breast_cancer(return_X_y=True)
    measured = (measured - measured.mean(axis=0)) / measured.std(axis=0)
    values = {"x": measured, "y": 2 * benign - 1}
    fits = [m.fit(values, start={"w": np.zeros(d), "b": 0}, optimizer=sm.adam(0.01), epochs=20, batch_size=32)
            for m in models.values()]  # fmt: skip
    for notation, fit in zip(models, fits, strict=True):
        print(f"{notation:<9}loss {fit.loss:.15f}")
    assert fits[0].loss == fits[1].loss
    assert np.array_equal(fits[0].parameters["w"].ravel(), fits[1].parameters["w"])
    print("the same numbers, bit for bit")


if __name__ == "__main__":
    main()
