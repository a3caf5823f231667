"""Lesson 5: Rosenbrock's banana valley, with the path that was taken.

f(x, y) = (1 - x)² + 100 (y - x²)² has one minimum, at (1, 1), at the end of a long curved valley. There are
no data here: the loss is the objective itself, and x and y are the parameters. With `record=` the fit keeps
every point it went through.

The Hessian says why the valley is hard: at the minimum it curves 2,500 times as much across as along. Plain
gradient descent must take steps small enough for the steep direction, and hardly moves along the flat one;
momentum adds up along it.

    python examples/05_rosenbrock.py            draws the path into a picture in a temporary folder
    python examples/05_rosenbrock.py --show     opens a window
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import sympy as sp

import sympile as sm

x, y = sp.symbols("x y")
rosenbrock = (1 - x) ** 2 + 100 * (y - x**2) ** 2
START = {x: -1.2, y: 1.0}                                   # where everybody starts it
OPTIMIZERS = {"gradient descent": sm.sgd(0.001), "with momentum": sm.sgd(0.001, momentum=0.9)}


def condition_at_the_minimum() -> float:
    """How many times more the valley curves across than along."""
    second = sm.lambdify([x, y], sm.hessian(rosenbrock, [x, y]))
    flat, steep = np.linalg.eigvalsh(second(1.0, 1.0))
    return float(steep / flat)


def draw(paths: dict[str, sm.Result]) -> None:
    """The paths over the valley's contour lines; goes on without matplotlib."""
    try:
        import matplotlib.pyplot as plt  # optional
    except ImportError:
        print('no picture: matplotlib is missing (pip install ".[plots]")')
        return
    across, up = np.meshgrid(np.linspace(-1.6, 1.6, 300), np.linspace(-0.6, 1.8, 300))
    height = sm.lambdify([x, y], rosenbrock)(across, up)
    figure, axes = plt.subplots(figsize=(7, 5))
    axes.contour(across, up, np.log10(height), levels=20, cmap="Greys")
    for name, result in paths.items():
        axes.plot(result.path[x], result.path[y], label=f"{name}: {result.steps} steps", linewidth=1)
    axes.plot(1, 1, "k*", markersize=12)
    axes.legend()
    if "--show" in sys.argv:
        plt.show()
        return
    picture = Path(tempfile.mkdtemp(prefix="sympile-")) / "rosenbrock.png"
    figure.savefig(picture, dpi=120)
    print("picture:", picture)


def main() -> None:
    model = sm.compile(rosenbrock, parameters=[x, y])
    print("d f / d x =", model.gradient[x])
    print("d f / d y =", model.gradient[y])
    condition = condition_at_the_minimum()
    print(f"the valley curves {condition:.0f} times as much across as along\n")
    assert 2400 < condition < 2600

    paths = {
        name: model.fit(start=START, optimizer=optimizer, epochs=100_000, stop=sm.small_gradient(1e-9), record=[x, y])
        for name, optimizer in OPTIMIZERS.items()
    }
    for name, result in paths.items():
        print(f"{name:<17}{result.steps:>6} steps, {result.history['seconds'].sum():.3f} s: {result.message}")
        assert np.allclose([result.parameters[x], result.parameters[y]], [1, 1], atol=1e-6)
    assert paths["with momentum"].steps < paths["gradient descent"].steps / 5
    draw(paths)


if __name__ == "__main__":
    main()
