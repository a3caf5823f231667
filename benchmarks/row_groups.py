"""Row groups against the same programs without them: `python benchmarks/row_groups.py [examples ...]`.

Values and gradients of losses in which each row is reduced and used again; minima of alternating turns, one thread.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import sympy as sp

os.environ.setdefault("SYMPILE_NUM_THREADS", "1")
os.environ["SYMPILE_CACHE"] = "0"  # it would not know of the switch below

import sympile as sm
from sympile.compiler.passes import fuse
from sympile.compiler.pipeline import build
from sympile.compiler.program import BATCH
from sympile.runtime.native import NativeProgram

TURNS, SECONDS = 15, 5e-4


def _tensors(size: int, names: str) -> list[Any]:
    return [sm.Tensor(name, (size,)) for name in names]


def softmax(size: int) -> Any:
    x, b, t = _tensors(size, "xbt")
    return sm.compile(sm.cross_entropy(x * b, t), [b])


def layer_norm() -> Any:
    x, g, b, t = _tensors(32, "xgbt")
    centred = x - sm.mean(x)
    return sm.compile(sm.mse(centred / sp.sqrt(sm.mean(centred**2) + 1) * g + b, t), [g, b])


def huber() -> Any:
    x, w = _tensors(10, "xw")
    return sm.compile(sm.huber((x * w).sum(), sp.Symbol("y")), [w])


def kernels() -> Any:
    x, c, a = sm.Tensor("x", (4,)), sm.Tensor("c", (50, 4)), sm.Tensor("a", (50,))
    return sm.compile(((a * sm.exp(-((x - c) ** 2).sum(1))).sum() - sp.Symbol("y")) ** 2, [a, c])


def mixture() -> Any:
    x, mu, scale, weight = sm.Tensor("x", (4,)), sm.Tensor("mu", (8, 4)), sm.Tensor("s", (8, 4)), sm.Tensor("w", (8,))
    z = weight - (((x - mu) * sm.exp(-scale)) ** 2).sum(1) / 2 - scale.sum(1)
    return sm.compile(sm.logsumexp(weight) - sm.logsumexp(z), [mu, scale, weight])


MODELS: dict[str, Callable[[], Any]] = {
    "softmax of 10": lambda: softmax(10),
    "softmax of 1,000": lambda: softmax(1000),
    "layer norm of 32": layer_norm,
    "Huber regression": huber,
    "50 kernels": kernels,
    "mixture of 8": mixture,
}


def program(model: Any, rows: bool) -> NativeProgram:
    """The step, with row groups or without."""
    part, whole = model._step, fuse.with_row_groups
    if not rows:
        fuse.with_row_groups = lambda groups, outputs: list(groups)  # type: ignore[assignment]
    inputs = [model._work.scope.symbols[slot.name].tensor for slot in part.signature.slots]
    outputs = {name: model._work.outputs[name] for name in (array.name for array in part.built.program.outputs)}
    made = build(model._work, outputs, inputs, model.dtype).program
    fuse.with_row_groups = whole
    return NativeProgram(made)


def seconds(programs: Sequence[NativeProgram], values: dict[str, Any], sizes: dict[str, int]) -> list[float]:
    """Of one run of each."""
    kept = [native.run(values, sizes) for native in programs]  # the arrays that the code goes on writing to
    calls = [(native.native.call, native.desk(sizes)) for native in programs]
    best = [np.inf] * len(calls)
    for _ in range(TURNS):
        for k, (call, desk) in enumerate(calls):
            times = max(1, int(SECONDS / max(desk.seconds, 1e-6)))
            started = time.perf_counter()
            for _ in range(times):
                call(desk.address)
            best[k] = min(best[k], (time.perf_counter() - started) / times)
    assert all(np.allclose(kept[0][name], kept[1][name]) for name in kept[0])
    return best


def main(counts: Iterable[int]) -> None:
    for name, make in MODELS.items():
        model = make()
        programs = [program(model, rows) for rows in (False, True)]
        for count in counts:
            rng = np.random.default_rng(0)
            shapes = {s.name: [count if n == BATCH else n for n in s.shape] for s in model._step.signature.slots}
            values = {symbol: np.array(rng.uniform(0.1, 1.0, shape)) for symbol, shape in shapes.items()}
            without, with_rows = seconds(programs, values, {BATCH: count})
            shown = f"{without * 1e6:9.1f} → {with_rows * 1e6:9.1f} µs, ratio {with_rows / without:.2f}"
            print(f"{name:18} {count:6} examples: {shown}", flush=True)


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or (64, 10_000))
