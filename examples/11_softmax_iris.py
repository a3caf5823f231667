"""Lesson 11: softmax regression.

Three kinds of iris, told apart by four lengths of their flowers (Anderson 1935, Fisher 1936). The scores z
= Wx + b become probabilities by softmax; the loss is the cross-entropy of the kind t, a class number 0, 1
or 2. The gradient of the scores comes out as the lecture has it: softmax(z) minus the right answer.

A penalty on W keeps it small. Its weight is a constant: a run-time value without an axis of examples, not
trained. scikit-learn solves the same problem by another method (L-BFGS), so we can compare the
coefficients.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import sympile as sm

LENGTHS, KINDS = 4, 3

x, t, penalty = sp.MatrixSymbol("x", LENGTHS, 1), sp.Symbol("t"), sp.Symbol("penalty")
W, b = sp.MatrixSymbol("W", KINDS, LENGTHS), sp.MatrixSymbol("b", KINDS, 1)


def classifier() -> sm.Model:
    z = sm.named("z", W * x + b)
    loss = sm.cross_entropy(z, t) + penalty / 2 * sm.sum(sp.HadamardPower(W, 2), axis=None)
    return sm.compile(loss, parameters=[W, b], constants=[penalty], prediction=sm.softmax(z))


def flowers() -> tuple[np.ndarray, np.ndarray]:
    """Lengths of mean 0 and deviation 1, and kinds."""
    lengths, kind = load_iris(return_X_y=True)
    return (lengths - lengths.mean(axis=0)) / lengths.std(axis=0), kind


def main() -> None:
    model = classifier()
    print(model, "\n")
    print(model.gradient[W], "\n")

    lengths, kind = flowers()
    data = {x: lengths, t: kind, penalty: 1 / len(kind)}            # scikit-learn's C = 1
    result = model.fit(data, optimizer=sm.sgd(0.5, momentum=0.9), epochs=3000)
    right = result.predict({x: lengths}).argmax(axis=1) == kind
    print(result)
    print(f"right on {right.sum()} of {right.size} flowers")
    assert right.mean() >= 0.96

    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(lengths, kind)
    difference = np.abs(result.parameters[W] - theirs.coef_).max()
    print(f"largest difference from scikit-learn's coefficients: {difference:.1e}")
    assert difference < 1e-5


if __name__ == "__main__":
    main()
