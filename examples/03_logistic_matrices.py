"""Lesson 3: logistic regression, written with matrices.

One example is a vector x of measurements and a label y, which is +1 or -1. The model scores it by wᵀx + b;
the loss is log(1 + exp(-y (wᵀx + b))), which is small where the score has the label's sign. The formula is
written naively: for a score of -1000 its exp overflows. sympile recognises softplus, so that neither the
loss nor its gradient does.

The data are 569 breast tumours, 30 measurements each, benign (+1) or malignant (-1).
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from sklearn.datasets import load_breast_cancer

import sympile as sm

d = 30
x, w = sp.MatrixSymbol("x", d, 1), sp.MatrixSymbol("w", d, 1)
y, b = sp.symbols("y b")


def tumours() -> tuple[np.ndarray, np.ndarray]:
    """Measurements, each of mean 0 and deviation 1, and labels ±1."""
    measured, benign = load_breast_cancer(return_X_y=True)
    return (measured - measured.mean(axis=0)) / measured.std(axis=0), 2 * benign - 1


def main() -> None:
    score = sm.dot(w, x) + b
    model = sm.compile(sp.log(1 + sp.exp(-y * score)), parameters=[w, b], prediction=score)
    print("loss         =", model.loss)
    print("d loss / d w =", model.gradient[w])
    print("d loss / d b =", model.gradient[b])
    assert "\n" not in str(model.gradient[w])

    far = {x: np.full((1, d), 1000.0), y: [-1], w: np.ones((d, 1)), b: 0.0}
    print("\nloss of a wildly wrong score of 30000:", model.forward(far))
    assert model.forward(far) == 30000

    measured, label = tumours()
    train, test = slice(0, 400), slice(400, None)
    result = model.fit({x: measured[train], y: label[train]}, optimizer=sm.adam(0.01), epochs=50, batch_size=32, seed=1)
    right = np.sign(result.predict({x: measured[test]})) == label[test]
    print(f"\n{result}")
    print(f"right on {right.sum()} of {right.size} tumours that it has not seen: {right.mean():.3f}")
    assert right.mean() >= 0.96


if __name__ == "__main__":
    main()
