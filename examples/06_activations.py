"""Lesson 6: activation functions and their derivatives.

What stands between the layers of a network. `sm.grad` gives each derivative as a formula, `sm.lambdify`
compiles a formula to a function of NumPy arrays (as SymPy's `lambdify` does, but to machine code). At a
kink the convention is stated, never left to chance: the slope of relu at 0 is 0, that of leaky relu is the
one from the left.

    python examples/06_activations.py            draws them into a picture in a temporary folder
    python examples/06_activations.py --show     opens a window
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import sympy as sp

import sympile as sm

Compiled = Callable[..., np.ndarray]

x = sp.Symbol("x")
ACTIVATIONS = {
    "sigmoid": sm.sigmoid(x),
    "tanh": sm.tanh(x),
    "relu": sm.relu(x),
    "leaky relu": sm.leaky_relu(x, 0.1),
    "elu": sm.elu(x),
    "gelu": sm.gelu(x),
    "silu": sm.silu(x),
    "softplus": sm.softplus(x),
    "hard tanh": sm.hard_tanh(x),
}
AT_ZERO = {
    "sigmoid": 0.25,
    "tanh": 1,
    "relu": 0,
    "leaky relu": 0.1,
    "elu": 1,
    "gelu": 0.5,
    "silu": 0.5,
    "softplus": 0.5,
    "hard tanh": 1,
}


def check(name: str, function: Compiled, slope: Compiled) -> None:
    """The slope against central differences away from kinks, at 0 against the convention, and finite far out."""
    points = np.linspace(-4, 4, 82)                          # neither 0 nor ±1, where some have a kink
    h = 1e-6
    measured = (function(points + h) - function(points - h)) / (2 * h)
    assert np.allclose(slope(points), measured, atol=1e-8), name
    assert slope(0.0) == AT_ZERO[name], name
    assert np.isfinite(slope(np.array([-1e4, 1e4]))).all(), name


def draw(functions: Mapping[str, tuple[Compiled, Compiled]]) -> None:
    """Each function and its derivative; goes on without matplotlib."""
    try:
        import matplotlib.pyplot as plt  # optional
    except ImportError:
        print('no picture: matplotlib is missing (pip install ".[plots]")')
        return
    points = np.linspace(-4, 4, 801)
    figure, grid = plt.subplots(3, 3, figsize=(9, 8), sharex=True, layout="constrained")
    for axes, (name, (function, slope)) in zip(grid.flat, functions.items(), strict=True):
        axes.plot(points, function(points), label=name)
        axes.plot(points, slope(points), "--", label="derivative")
        axes.legend(fontsize=8)
    if "--show" in sys.argv:
        plt.show()
        return
    picture = Path(tempfile.mkdtemp(prefix="sympile-")) / "activations.png"
    figure.savefig(picture, dpi=120)
    print("\npicture:", picture)


def main() -> None:
    functions = {}
    for name, formula in ACTIVATIONS.items():
        derivative = sm.grad(formula, x)
        print(f"{name:<11} {formula!s:<32} derivative {derivative}")
        functions[name] = sm.lambdify(x, formula), sm.lambdify(x, derivative)
        check(name, *functions[name])
    draw(functions)


if __name__ == "__main__":
    main()
