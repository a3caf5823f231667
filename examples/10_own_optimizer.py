"""Lesson 10: writing one's own optimizer.

An optimizer is a few assignments of SymPy expressions, done for each entry of each parameter in the order
written: some update a state, the last one moves the parameter. They are compiled together with the model,
so an own rule runs as fast as a built-in one. Numbers such as the learning rate are run-time values; other
ones need no new compile. They may also be schedules: expressions in `sm.step` (which counts updates) or
`sm.epoch`.

First the heavy ball, which must go exactly the way of the built-in momentum; then Lion (Chen et al. 2023,
"Symbolic discovery of optimization algorithms", algorithm 2), which looks only at signs.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from sklearn.datasets import load_diabetes

import sympile as sm

lr, mu, beta1, beta2, m = sp.symbols("lr mu beta1 beta2 m")

heavy_ball = sm.optimizer(
    state={m: 0},
    update={m: mu * m + sm.gradient, sm.parameter: sm.parameter - lr * m},
    lr=0.01,
    mu=0.9,
)
lion = sm.optimizer(
    state={m: 0},
    update={
        sm.parameter: sm.parameter - lr * sp.sign(beta1 * m + (1 - beta1) * sm.gradient),
        m: beta2 * m + (1 - beta2) * sm.gradient,
    },
    lr=0.05 / (1 + sm.step / 100),                         # signs never get small, so the steps must
    beta1=0.9,
    beta2=0.99,
)


def patients() -> tuple[np.ndarray, np.ndarray]:
    """442 patients: ten measurements each, and how far their diabetes went in a year; mean 0, deviation 1."""
    measured, progress = load_diabetes(return_X_y=True)
    return measured / measured.std(axis=0), (progress - progress.mean()) / progress.std()


def main() -> None:
    print(heavy_ball)
    print(lion, "\n")
    w, x, y = sp.MatrixSymbol("w", 10, 1), sp.MatrixSymbol("x", 10, 1), sp.Symbol("y")
    model = sm.compile((sm.dot(w, x) - y) ** 2, parameters=w)
    measured, progress = patients()
    best = np.linalg.lstsq(measured, progress, rcond=None)[1][0] / len(progress)

    momentum = sm.sgd(0.01, momentum=0.9)
    rules = {"heavy ball": heavy_ball, "sm.sgd, momentum": momentum, "Lion": lion, "sm.adam": sm.adam(0.01)}
    fits = {
        name: model.fit({x: measured, y: progress}, start={w: np.zeros(10)}, optimizer=rule, epochs=5000)
        for name, rule in rules.items()
    }
    for name, fit in fits.items():
        print(f"{name:<17} loss {fit.loss:.8f} in {fit.history['seconds'].sum():.3f} s")
    print(f"{'least squares':<17} loss {best:.8f}")

    assert np.allclose(fits["heavy ball"].parameters[w], fits["sm.sgd, momentum"].parameters[w], rtol=1e-12)
    assert all(fit.loss < best + 1e-4 for fit in fits.values())


if __name__ == "__main__":
    main()
