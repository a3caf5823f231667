"""Programs to keep on disk: how a new process is played, and what programs are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from sympile.compiler.passes.built import Built
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.pipeline import Request, analyse, build
from sympile.compiler.program import Code
from sympile.runtime import load as loading
from sympile.runtime.model import course
from sympile.runtime.model.shelf import SHELF, program_key

RNG = np.random.default_rng(5)
N = 23
xs, ys = RNG.normal(size=N), RNG.normal(size=N)
rows, targets = RNG.normal(size=(N, 6)), np.eye(4)[np.arange(N) % 4]

x, y, a, b = sp.symbols("x y a b")
v, t = sp.MatrixSymbol("v", 6, 1), sp.MatrixSymbol("t", 4, 1)
W, d = sp.MatrixSymbol("W", 4, 6), sp.MatrixSymbol("d", 4, 1)
S, q = sp.MatrixSymbol("S", 3, 3), sp.MatrixSymbol("q", 3, 1)
n = sp.Symbol("n", integer=True, positive=True)
P, Q = sp.MatrixSymbol("P", n, 1), sp.MatrixSymbol("Q", n, 1)


def as_a_new_process() -> None:
    """Forgets the machine code that this process holds."""
    for remembered in (loading._loaded, course._loop, course._update_of):
        remembered.cache_clear()


CODE = Code("define void @run() { ret void }", "run")


@dataclass(frozen=True)
class Recipe:
    """What a program is made from."""

    expression: Any = x**2 + a
    dtype: str = "float64"
    batched: bool = True
    constants: Any = ()
    labels: tuple[str, ...] = ("f",)
    backwards: bool = False
    sizes: Any = ()
    math: str = "accurate"

    def build(self) -> Built:
        scope = Scope(batched=self.batched, constants=dict.fromkeys(self.constants), pinned=dict(self.sizes))
        work = analyse(Request({label: self.expression for label in self.labels}, scope, shelf=SHELF, math=self.math))
        inputs = [s.tensor for s in work.scope.symbols.values()]
        return build(work, work.outputs, inputs[::-1] if self.backwards else inputs, self.dtype)

    def key(self) -> bytes:
        return program_key(self.build()._describe())


# fmt: off
PROGRAMS: dict[str, Recipe] = {
    "itself":               Recipe(),
    "another number":       Recipe(x**3 + a),
    "another name":         Recipe(x**2 + b),
    "another function":     Recipe(sp.exp(x) + a),
    "another dtype":        Recipe(dtype="float32"),
    "no examples":          Recipe(batched=False),
    "another role":         Recipe(constants=("a",)),
    "a vector":             Recipe(q.T * q),
    "a vector of any size": Recipe(P.T * P),
    "of a given size":      Recipe(P.T * P, sizes=(("n", 4),)),
    "another label":        Recipe(labels=("g",)),
    "two labels":           Recipe(labels=("f", "g")),
    "another tier":         Recipe(math="fast"),
    "another order":        Recipe(backwards=True),
    "what sizes must be":   Recipe(P[n - 3, 0]),
}
# fmt: on
