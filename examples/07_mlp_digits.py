"""Lesson 7: a network that reads handwritten digits.

The data are 1,797 digits that people wrote for the post office, 8 x 8 grey values each (scikit-learn ships
them). The network has one hidden layer, h = tanh(W1 x + b1), z = W2 h + b2, and its loss is the
cross-entropy of z against the digit t. All of it is written for one image; the gradient of W1 is printed as
backpropagation is taught: dz, dh, dv1, and last dv1 xᵀ.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from sklearn.datasets import load_digits

import sympile as sm

PIXELS, HIDDEN, DIGITS = 64, 32, 10

x, t = sp.MatrixSymbol("x", PIXELS, 1), sp.MatrixSymbol("t", DIGITS, 1)
W1, b1 = sp.MatrixSymbol("W1", HIDDEN, PIXELS), sp.MatrixSymbol("b1", HIDDEN, 1)
W2, b2 = sp.MatrixSymbol("W2", DIGITS, HIDDEN), sp.MatrixSymbol("b2", DIGITS, 1)


def network() -> sm.Model:
    h = sm.named("h", sm.tanh(W1 * x + b1))
    z = sm.named("z", W2 * h + b2)
    return sm.compile(sm.cross_entropy(z, t), parameters=[W1, b1, W2, b2], prediction=sm.softmax(z))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Grey values from 0 to 1, and which digit it is, in a shuffled order that is always the same."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    return images[order] / 16, labels[order]


def main() -> None:
    model = network()
    print(model, "\n")
    print(model.gradient[W1], "\n")

    images, labels = digits()
    train, test = slice(0, 1500), slice(1500, None)
    data = {x: images[train], t: np.eye(DIGITS)[labels[train]]}
    result = model.fit(data, optimizer=sm.adam(0.003), epochs=30, batch_size=32, seed=0, verbose=True)
    print(result)

    right = result.predict({x: images[test]}).argmax(axis=1) == labels[test]
    print(f"\ntest accuracy: {right.mean():.3f} ({right.sum()} of {right.size} digits that it has not seen)")
    assert right.mean() >= 0.96


if __name__ == "__main__":
    main()
