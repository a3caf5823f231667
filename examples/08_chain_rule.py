"""Lesson 8: the chain rule, spelled out as in a lecture.

A single neuron: s = σ(z) with z = θ₁x + θ₂. How does its output change with θ₁? By the chain rule,

    ds/dθ₁ = ds/dz · dz/dθ₁,   with   ds/dz = σ(z) (1 - σ(z)) = s (1 - s)   and   dz/dθ₁ = x.

We ask sympile for each factor, multiply them, and see the same come out of the whole. With the loss L = ½(s
- y)² behind the neuron the chain is one link longer, dL/ds · ds/dz · dz/dθ₁. `sm.named` gives a step the
name under which formulas show it: then the gradient prints link by link, ds standing for dL/ds, dz for
dL/dz.

Where s is small or near 1, s (1 - s) makes that gradient tiny even if the answer is wrong. With the
cross-entropy loss the two factors cancel, and dz is simply σ(z) - y. So this is the one we train with: 20
students, how many hours each learned, and who passed (the usual example of logistic regression; maximum
likelihood is known to give θ₁ = 1.5046, θ₂ = -4.0777).
"""

from __future__ import annotations

import numpy as np
import sympy as sp

import sympile as sm

x, y, z, s, theta1, theta2 = sp.symbols("x y z s theta1 theta2")

HOURS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 4, 4.25, 4.5, 4.75, 5, 5.5]
PASSED = [0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1]


def value(formula: object, at: dict[sp.Symbol, float]) -> float:
    """A formula at one point."""
    symbols = list(at)
    return float(sm.lambdify(symbols, formula)(*[at[symbol] for symbol in symbols]))


def link_by_link() -> None:
    """The factors of the chain rule, their product, and the derivative of the whole."""
    ds_dz = sm.grad(sm.sigmoid(z), z)
    dz_dtheta1 = sm.grad(theta1 * x + theta2, theta1)
    whole = sm.grad(sm.sigmoid(theta1 * x + theta2), theta1)
    print("ds/dz      =", ds_dz)
    print("dz/dtheta1 =", dz_dtheta1)
    print("ds/dtheta1 =", whole)
    at = {x: 2.0, theta1: 0.5, theta2: -1.5}
    product = value(ds_dz, {z: 0.5 * 2.0 - 1.5}) * value(dz_dtheta1, at)
    print(f"at x = 2, theta1 = 0.5, theta2 = -1.5: {product:.6f} by links, {value(whole, at):.6f} as a whole\n")
    assert np.isclose(product, value(whole, at), rtol=1e-14)


def neuron_losses() -> tuple[sp.Expr, dict[str, sp.Expr]]:
    """The neuron, and two losses of it."""
    score = sm.named("z", theta1 * x + theta2)
    chance = sm.named("s", sm.sigmoid(score))
    return chance, {"half the square": (chance - y) ** 2 / 2, "cross-entropy": sm.binary_cross_entropy(score, y)}


def main() -> None:
    link_by_link()
    chance, losses = neuron_losses()
    models = {name: sm.compile(loss, parameters=[theta1, theta2], prediction=chance) for name, loss in losses.items()}
    for name, model in models.items():
        print(f"{name}:\n{model.gradient[theta1]}\n")
    squared = models["half the square"].gradient[theta1]
    assert list(squared.where) == ["z", "s", "ds", "dz"]
    assert squared.where["ds"] == s - y and squared.where["dz"] == sp.Symbol("ds") * s * (1 - s)

    model = models["cross-entropy"]
    start = {theta1: 0, theta2: 0}
    result = model.fit({x: HOURS, y: PASSED}, start=start, optimizer=sm.sgd(0.3, momentum=0.9), epochs=5000)
    found = [float(result.parameters[p]) for p in (theta1, theta2)]
    print("maximum likelihood: theta1 = {:.4f}, theta2 = {:.4f}".format(*found))
    for hours in (1, 2, 3, 4, 5):
        print(f"  {hours} hours: passes with a chance of {result.predict({x: [hours]})[0]:.2f}")
    assert np.allclose(found, [1.5046, -4.0777], atol=1e-4)


if __name__ == "__main__":
    main()
