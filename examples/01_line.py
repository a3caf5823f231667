"""Lesson 1: a line.

We write the loss of one example, (a x + b - y)², as it stands in the book. sympile derives its gradient,
which we can read, and compiles forward pass, backward pass and update into one native loop. The data are
many examples: each symbol that is not a parameter takes an array, and the objective is the mean over the
examples.

For a straight line the best a and b are also known in closed form (least squares), so we can see that
training finds them.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

import sympile as sm

x, y, a, b = sp.symbols("x y a b")


def noisy_line(examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Points around y = 3x - 1."""
    rng = np.random.default_rng(0)
    xs = rng.uniform(-1, 1, examples)
    return xs, 3 * xs - 1 + 0.1 * rng.normal(size=examples)


def main() -> None:
    model = sm.compile((a * x + b - y) ** 2, parameters=[a, b], prediction=a * x + b)
    print("d loss / d a =", model.gradient[a])
    print("d loss / d b =", model.gradient[b])
    assert model.gradient[a].expr == 2 * x * (a * x + b - y)
    assert model.gradient[b].expr == 2 * (a * x + b - y)

    xs, ys = noisy_line(100)
    print("\nThe gradient against central differences:")
    print(model.check({x: xs, y: ys, a: 0.0, b: 0.0}))
    assert model.check({x: xs, y: ys, a: 0.0, b: 0.0}).error < 1e-6

    result = model.fit({x: xs, y: ys}, start={a: 0, b: 0}, optimizer=sm.sgd(0.1), epochs=1000)
    slope, intercept = np.polyfit(xs, ys, 1)
    print(f"\n{result}")
    print(f"least squares says a = {slope:.12f}, b = {intercept:.12f}")
    print(f"training found     a = {result.parameters[a]:.12f}, b = {result.parameters[b]:.12f}")
    assert np.allclose([result.parameters[a], result.parameters[b]], [slope, intercept], rtol=1e-10)

    print("\nprediction at x = 0 and x = 1:", result.predict({x: [0.0, 1.0]}))


if __name__ == "__main__":
    main()
