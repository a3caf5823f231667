"""Lesson 9: a computation graph, forward and backward.

Automatic differentiation takes a formula apart into single steps v1, v2, …, each one operation. Forward,
the steps are computed in order. Backward, each step gets an adjoint dv: how much the result changes with
it. The last adjoint is 1; every other one is the sum, over the steps that use it, of their adjoint times
the derivative of that one operation. The adjoints of the inputs are the gradient.

Here f = sin(x²y) + exp(z): eight steps forward, eight adjoints backward. The last table does both with
numbers.
"""

from __future__ import annotations

import math

import sympy as sp

import sympile as sm

x, y, z = sp.symbols("x y z")
f = sp.sin(x**2 * y) + sp.exp(z)
POINT = {x: 1.5, y: 0.8, z: 0.3}


def with_numbers(steps: sm.Trace, point: dict[sp.Symbol, float]) -> dict[str, float]:
    """Every step's value, forward and then backward, as a machine does it: nothing is computed twice."""
    values: dict[str, float] = {symbol.name: number for symbol, number in point.items()}
    for step in (*steps.forward, *steps.adjoints):
        known = {symbol: values[symbol.name] for symbol in step.formula.free_symbols}
        values[step.name] = float(step.formula.subs(known))
    return values


def main() -> None:
    print("f =", f, "\n")
    steps = sm.trace(f)
    print(steps)
    assert [step.name for step in steps.forward] == [f"v{k}" for k in range(1, 9)]
    assert [step.name for step in steps.adjoints] == [f"dv{k}" for k in range(8, 0, -1)]

    values = with_numbers(steps, POINT)
    print("\nstep     value      adjoint")
    for step in steps.forward:
        print(f"{step.name}   {values[step.name]:>9.5f}  {values['d' + step.name]:>9.5f}   {step.formula}")
    assert math.isclose(values["v8"], math.sin(1.5**2 * 0.8) + math.exp(0.3), rel_tol=1e-12)

    gradient = sm.grad(f, [x, y, z])
    print("\nThe same as formulas:")
    for symbol, adjoint in zip((x, y, z), ("dv1", "dv2", "dv3"), strict=True):
        compiled = sm.lambdify([x, y, z], gradient[symbol])
        print(f"d f / d {symbol} = {gradient[symbol]!s:<18} = {values[adjoint]:.5f}")
        assert math.isclose(compiled(*POINT.values()), values[adjoint], rel_tol=1e-12)
        assert sp.simplify(gradient[symbol].expr - sp.diff(f, symbol)) == 0


if __name__ == "__main__":
    main()
