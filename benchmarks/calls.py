"""What one call from Python costs: `python benchmarks/calls.py [--rounds N]`.

All ways of one line take turns, round after round; printed are microseconds of one call, the median of the rounds, and
the aim. The arrays are small on purpose: what is measured is the way there and back.
"""

from __future__ import annotations

import environment

environment.settle()  # before NumPy and the others read the environment

import argparse  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from statistics import median  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import sympy as sp  # noqa: E402

import sympile as sm  # noqa: E402

try:
    import jax
except ImportError:  # a peer, no need
    jax = None  # type: ignore[assignment]

Call = Callable[[], object]
SHORTEST = 2e-3  # seconds of one measurement
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Line:
    """One kind of call: ours, and how others do the same."""

    title: str
    ours: Call
    peers: dict[str, Call]
    aim: float | None = None  # microseconds


def functions(count: int, into: bool, aim: float | None = None) -> Line:
    """A sum of products of so many arrays of 8 numbers."""
    symbols = sp.symbols(f"x0:{count}")
    arrays, out = list(RNG.normal(size=(count, 8))), np.empty(8)
    f = sm.lambdify(list(symbols), product_sum(symbols))
    peers: dict[str, Call] = {"NumPy": lambda: product_sum(arrays)}
    if jax is not None:
        jitted, given = jax.jit(lambda *xs: product_sum(xs)), [jax.numpy.asarray(a) for a in arrays]
        peers["JAX"] = lambda: jitted(*given).block_until_ready()
    title = f"lambdify, {count} array{'s' if count > 1 else ''}{', out=' if into else ''}"
    return Line(title, (lambda: f(*arrays, out=out)) if into else (lambda: f(*arrays)), peers, aim)


def product_sum(values: Any) -> Any:
    return sum((v * w for v, w in zip(values[1:], values[:-1], strict=True)), values[0])


def numbers() -> Line:
    """Four Python floats."""
    symbols, values = sp.symbols("x0:4"), (0.5, 1.5, 2.5, 3.5)
    f, plain = sm.lambdify(list(symbols), product_sum(symbols)), sp.lambdify(symbols, product_sum(symbols))
    return Line("lambdify, 4 numbers", lambda: f(*values), {"sympy.lambdify": lambda: plain(*values)})


def models() -> list[Line]:
    """A straight line through 100 points."""
    a, b, x, y = sp.symbols("a b x y")
    model = sm.compile((a * x + b - y) ** 2, [a, b], prediction=a * x + b)
    xs, ys = RNG.normal(size=(2, 100))
    values: dict[Any, Any] = {x: xs, y: ys, a: 0.5, b: 0.25}
    data, start, rule = {x: xs, y: ys}, {a: 0.5, b: 0.25}, sm.sgd(0.1)

    def by_hand() -> tuple[Any, Any, Any]:
        error = 0.5 * xs + 0.25 - ys
        return (error * error).mean(), 2 * (error * xs).mean(), 2 * error.mean()

    peers: dict[str, Call] = {"NumPy": by_hand}
    if jax is not None:
        gradient = jax.jit(jax.value_and_grad(lambda p, xs, ys: ((p[0] * xs + p[1] - ys) ** 2).mean()))
        given = [jax.numpy.asarray(v) for v in ([0.5, 0.25], xs, ys)]
        peers["JAX"] = lambda: jax.block_until_ready(gradient(*given))
    return [
        Line("model.forward", lambda: model.forward(values), {}, 10),
        Line("model.backward", lambda: model.backward(values), {}, 10),
        Line("model.value_and_grad", lambda: model.value_and_grad(values), peers, 10),
        Line("model.predict", lambda: model.predict(values), {}, 10),
        Line(
            "model.fit, 1 epoch, from a start", lambda: model.fit(data, epochs=1, optimizer=rule, start=start), {}, 25
        ),
        Line("model.fit, 1 epoch", lambda: model.fit(data, epochs=1, optimizer=rule), {}),
    ]


def seconds(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def measured(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Microseconds of each, the median of interleaved rounds."""
    for call in calls.values():
        seconds(call, 3)
    repeats = {name: max(1, round(SHORTEST / seconds(call, 3))) for name, call in calls.items()}
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(seconds(call, repeats[name]))
    return {name: 1e6 * median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default 15)")
    rounds = parser.parse_args().rounds
    lines = [functions(1, True), functions(4, True, 1), functions(10, True)]
    lines += [functions(1, False), functions(4, False), functions(10, False), numbers(), *models()]
    print(f"{'call':<36}{'sympile':>9}{'aim':>6}   others, microseconds")
    for line in lines:
        found = measured({"sympile": line.ours, **line.peers}, rounds)
        ours = found.pop("sympile")
        others = ", ".join(f"{name} {time:.3g}" for name, time in found.items())
        print(f"{line.title:<36}{ours:>9.3g}{line.aim or '':>6}   {others}")


if __name__ == "__main__":
    main()
