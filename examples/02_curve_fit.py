"""Lesson 2: fitting a curve, with a formula to read.

y = a (1 - exp(-k x)) rises towards a, the faster the larger k. The data are a dental-research measurement
that the American standards institute publishes together with the right answer, certified to eleven digits:
NIST Statistical Reference Datasets, nonlinear regression, "Misra1a"
(https://www.itl.nist.gov/div898/strd/).

Gradient descent needs quantities of similar size, so x is counted in thousands and y in hundreds. The two
parameters are nearly interchangeable on these data (a larger a looks like a larger k), which makes a long
narrow valley: 200,000 steps with momentum. In a native loop these take a fraction of a second.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

import sympile as sm

VOLUME = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
PRESSURE = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
CERTIFIED_A, CERTIFIED_K = 238.94212918, 0.00055015643181

x, y, a, k = sp.symbols("x y a k")


def main() -> None:
    curve = a * (1 - sp.exp(-k * x))
    model = sm.compile((curve - y) ** 2, parameters=[a, k], prediction=curve)
    for parameter in (a, k):
        print(f"d loss / d {parameter} = {model.gradient[parameter]}")

    print("\nWhat sympile rewrote, so that no digits are lost where k x is small:")
    model.explain("rewrites")

    data = {x: np.array(PRESSURE) / 1000, y: np.array(VOLUME) / 100}
    result = model.fit(data, start={a: 1, k: 1}, optimizer=sm.sgd(0.2, momentum=0.99), epochs=200_000)
    found_a, found_k = 100 * result.parameters[a], result.parameters[k] / 1000
    print(f"\n{result}")
    print(f"found      a = {found_a:.7f}   k = {found_k:.13f}")
    print(f"certified  a = {CERTIFIED_A:.7f}   k = {CERTIFIED_K:.13f}")
    assert np.isclose(found_a, CERTIFIED_A, rtol=1e-6)
    assert np.isclose(found_k, CERTIFIED_K, rtol=1e-6)


if __name__ == "__main__":
    main()
