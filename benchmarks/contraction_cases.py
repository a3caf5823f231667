"""What `contraction.py` measures: formulas in index notation, their arrays, and the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import sympy as sp

import sympile as sm

Array = np.ndarray[Any, Any]
Range = tuple[sp.Symbol, int, int]


@dataclass(frozen=True, slots=True)
class Case:
    """One contraction; `operations` counts a multiply-add as two."""

    name: str
    symbols: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    expression: Any
    operations: float
    numpy: Callable[..., Array]
    blas: tuple[bool, bool] | None = None
    constants: tuple[str, ...] = ()
    batched: bool = False
    examples: int = 1
    sizes: Mapping[str, int] = field(default_factory=dict)
    letters: str | None = None  # the same as JAX's einsum writes it; "": JAX's arrays go through `numpy` as it is

    def arrays(self) -> dict[str, Array]:
        rng = np.random.default_rng(0)
        return {name: rng.normal(size=shape) for name, shape in self.shapes.items()}


def over(index: sp.Symbol, length: Any) -> tuple[Any, Any, Any]:
    return index, 0, length - 1


def bases(**shapes: tuple[Any, ...]) -> dict[str, Any]:
    return {name: sp.IndexedBase(name, shape=shape) for name, shape in shapes.items()}


def matrices(m: int, n: int, k: int, ways: str = "NN") -> Case:
    """op(A) op(B) with all sizes known."""
    first, second = (way == "T" for way in ways)
    shapes = {"A": (k, m) if first else (m, k), "B": (n, k) if second else (k, n)}
    named = bases(**shapes)
    i, j, l = sm.indices("i j l")
    factors = named["A"][(l, i) if first else (i, l)] * named["B"][(j, l) if second else (l, j)]
    out = sm.comprehension(sp.Sum(factors, over(l, k)), (i, m), (j, n))

    def product(a: Array, b: Array) -> Array:
        return (a.T if first else a) @ (b.T if second else b)

    return Case(f"{ways} {m}x{k}x{n}", named, shapes, out, 2.0 * m * n * k, product, (first, second), ("A", "B"))


def dense(m: int, n: int, k: int) -> Case:
    """W x for each of m examples: their number is known only at run time."""
    shapes: dict[str, tuple[int, ...]] = {"x": (m, k), "W": (n, k)}
    named = bases(x=(k,), W=(n, k))
    i, j = sm.indices("i j")
    out = sm.comprehension(sp.Sum(named["W"][i, j] * named["x"][j], over(j, k)), (i, n))
    numbers = {"operations": 2.0 * m * n * k, "blas": (False, True), "constants": ("W",)}
    return Case(
        f"dense {m}x{k}x{n}", named, shapes, out, numpy=lambda x, w: x @ w.T, batched=True, examples=m, **numbers
    )  # type: ignore[arg-type]


def dense_back(m: int, n: int, k: int) -> Case:
    """W' g for each of m examples."""
    shapes: dict[str, tuple[int, ...]] = {"g": (m, n), "W": (n, k)}
    named = bases(g=(n,), W=(n, k))
    i, j = sm.indices("i j")
    out = sm.comprehension(sp.Sum(named["W"][i, j] * named["g"][i], over(i, n)), (j, k))
    numbers = {"operations": 2.0 * m * n * k, "blas": (False, False), "constants": ("W",)}
    return Case(
        f"dense back {m}x{n}x{k}", named, shapes, out, numpy=lambda g, w: g @ w, batched=True, examples=m, **numbers
    )  # type: ignore[arg-type]


def weights(m: int, n: int, k: int) -> Case:
    """The sum over m examples of g x'."""
    shapes: dict[str, tuple[int, ...]] = {"g": (m, n), "x": (m, k)}
    named = bases(g=(n,), x=(k,))
    i, j = sm.indices("i j")
    out = sm.comprehension(sm.batch_sum(named["g"][i] * named["x"][j]), (i, n), (j, k))
    numbers = {"operations": 2.0 * m * n * k, "blas": (True, False)}
    return Case(
        f"weights {m}x{n}x{k}", named, shapes, out, numpy=lambda g, x: g.T @ x, batched=True, examples=m, **numbers
    )  # type: ignore[arg-type]


def einsum(letters: str, **lengths: int) -> Case:
    """What np.einsum writes."""
    inputs, result = letters.split("->")
    operands = dict(zip("ABCDEF", inputs.split(","), strict=False))
    shapes = {name: tuple(lengths[letter] for letter in word) for name, word in operands.items()}
    index = {letter: sp.Symbol(letter, integer=True) for letter in lengths}
    named = bases(**shapes)
    factors = [named[name][tuple(index[letter] for letter in word)] for name, word in operands.items()]
    summed = [over(index[letter], lengths[letter]) for letter in lengths if letter not in result]
    body = sp.Sum(sp.Mul(*factors), *summed) if summed else sp.Mul(*factors)
    out = sm.comprehension(body, *[(index[letter], lengths[letter]) for letter in result]) if result else body
    sizes = "x".join(str(n) for n in lengths.values())
    return Case(
        f"{letters} {sizes}",
        named,
        shapes,
        out,
        multiplications(letters, lengths) * (2.0 if summed else 1.0),
        lambda *arrays: np.einsum(letters, *arrays, optimize=True),
        constants=tuple(shapes),
        letters=letters,
    )


def multiplications(letters: str, lengths: Mapping[str, int]) -> float:
    """In the best order of pairs, by NumPy."""
    inputs, result = letters.split("->")
    words, total = inputs.split(","), 0
    operands = [np.empty([lengths[letter] for letter in word]) for word in words]
    for places in np.einsum_path(letters, *operands, optimize="optimal")[0][1:]:
        here = {letter for place in sorted(places, reverse=True) for letter in words.pop(place)}
        total += prod(lengths[letter] for letter in here)
        words.append("".join(sorted(here & set("".join([result, *words])))))
    return float(total)


def gram(examples: int, features: int, weighted: bool = False) -> Case:
    """X'X, or X'DX, which are symmetric; twice as many operations are counted as are needed."""
    shapes: dict[str, tuple[int, ...]] = {"X": (examples, features), **({"d": (examples,)} if weighted else {})}
    named = bases(**shapes)
    i, j, k = sm.indices("i j k")
    weight = named["d"][k] if weighted else 1
    out = sm.comprehension(
        sp.Sum(named["X"][k, i] * weight * named["X"][k, j], over(k, examples)), (i, features), (j, features)
    )

    def product(x: Array, d: Array | None = None) -> Array:
        return x.T @ (x if d is None else d[:, None] * x)

    name = f"{'weighted gram' if weighted else 'gram'} {examples}x{features}"
    operations = 2.0 * examples * features**2
    return Case(name, named, shapes, out, operations, product, constants=tuple(shapes), letters="")


# ------------------------------------------------------------------------------------------------ convolutions

SIDE, FILTER = 28, 3


def convolved(x: Any, K: Any, side: int, channels: int, filters: int) -> Any:
    i, j, f, p, q, c = sm.indices("i j f p q c")
    body = K[p, q, c, f] * x[i + p, j + q, c]
    summed = sp.Sum(body, over(p, FILTER), over(q, FILTER), over(c, channels))
    return sm.comprehension(summed, (i, side - FILTER + 1), (j, side - FILTER + 1), (f, filters))


def windows(x: Array) -> Array:
    """(e, i, j, c, p, q)"""
    return np.lib.stride_tricks.sliding_window_view(x, (FILTER, FILTER), (1, 2))


def convolution(examples: int, side: int, channels: int, filters: int) -> Case:
    named = bases(x=(side, side, channels), K=(FILTER, FILTER, channels, filters))
    shapes = {"x": (examples, side, side, channels), "K": (FILTER, FILTER, channels, filters)}
    out = convolved(named["x"], named["K"], side, channels, filters)
    return Case(
        f"conv {examples}x{side}x{side}x{channels}->{filters}",
        named, shapes, out, flops(examples, side, channels, filters),
        lambda x, k: np.tensordot(windows(x), k, ((4, 5, 3), (0, 1, 2))), None, ("K",), True, examples,
    )  # fmt: skip


def flops(examples: int, side: int, channels: int, filters: int) -> float:
    return 2.0 * examples * (side - FILTER + 1) ** 2 * channels * filters * FILTER**2


def convolution_weights(examples: int, side: int, channels: int, filters: int) -> Case:
    inner = side - FILTER + 1
    named = bases(x=(side, side, channels), g=(inner, inner, filters))
    shapes = {"x": (examples, side, side, channels), "g": (examples, inner, inner, filters)}
    i, j, f, p, q, c = sm.indices("i j f p q c")
    body = sp.Sum(named["x"][i + p, j + q, c] * named["g"][i, j, f], over(i, inner), over(j, inner))
    out = sm.comprehension(sm.batch_sum(body), (p, FILTER), (q, FILTER), (c, channels), (f, filters))
    return Case(
        f"conv dK {examples}x{side}x{side}x{channels}->{filters}",
        named, shapes, out, flops(examples, side, channels, filters),
        lambda x, g: np.tensordot(windows(x), g, ((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3),
        None, (), True, examples,
    )  # fmt: skip


def convolution_back(examples: int, side: int, channels: int, filters: int) -> Case:
    """The derivative by the image: each of its points is read by windows that lie partly outside."""
    inner = side - FILTER + 1
    named = bases(g=(inner, inner, filters), K=(FILTER, FILTER, channels, filters))
    shapes = {"g": (examples, inner, inner, filters), "K": (FILTER, FILTER, channels, filters)}
    x = sp.IndexedBase("x", shape=(side, side, channels))
    i, j, f = sm.indices("i j f")
    result = convolved(x, named["K"], side, channels, filters)
    summed = sp.Sum(result[i, j, f] * named["g"][i, j, f], over(i, inner), over(j, inner), over(f, filters))
    out = sm.grad(summed, x).expanded()

    def by_numpy(g: Array, k: Array) -> Array:
        padded = np.pad(g, ((0, 0), (2, 2), (2, 2), (0, 0)))
        return np.tensordot(windows(padded), k[::-1, ::-1], ((4, 5, 3), (0, 1, 3)))

    return Case(
        f"conv dx {examples}x{side}x{side}x{channels}->{filters}",
        named, shapes, out, flops(examples, side, channels, filters), by_numpy, None, ("K",), True, examples,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ the list


def products(ways: str, sizes: Iterable[int]) -> list[Case]:
    return [matrices(n, n, n, ways) for n in sizes]


GRAMS = ((64, 64), (512, 512), (1000, 300), (10_000, 100))
SQUARES = (32, 48, 64, 96, 128, 192, 256)

ALL: list[Case] = [
    *products("NN", (8, 16, *SQUARES, 512, 1024)),
    *products("TN", (*SQUARES, 512, 1024)),
    *products("NT", (*SQUARES, 512, 1024)),
    *products("TT", (32, 64, 128, 256, 512)),
    matrices(64, 128, 784),
    matrices(512, 128, 784),
    matrices(50, 70, 90),
    matrices(64, 10, 100),
    matrices(100, 10, 64, "TN"),
    matrices(64, 10, 100, "NT"),
    *[matrices(64, n, 64, ways) for ways in ("NN", "NT") for n in (3, 5)],
    matrices(10, 64, 64, "NT"),
    *[matrices(511, 511, 511, ways) for ways in ("NN", "TN", "NT")],
    matrices(1000, 500, 37),
    dense(64, 100, 64),
    dense(64, 10, 100),
    dense(64, 128, 784),
    dense(64, 64, 128),
    dense(512, 128, 784),
    dense_back(64, 10, 100),
    dense_back(64, 64, 128),
    dense_back(512, 64, 128),
    weights(64, 100, 64),
    weights(64, 10, 100),
    weights(64, 128, 784),
    weights(512, 128, 784),
    *[gram(*shape, weighted) for shape in GRAMS for weighted in (False, True)],
    einsum("ij,j->i", i=256, j=256),
    einsum("ij,i->j", i=256, j=256),
    einsum("ij,j->i", i=64, j=1000),
    einsum("ij,j->i", i=1000, j=1000),
    einsum("ij,i->j", i=1000, j=1000),
    einsum("ij,j->i", i=100_000, j=20),
    einsum("ij,i->j", i=100_000, j=20),
    einsum("i,j->ij", i=256, j=256),
    einsum("i,j->ij", i=1000, j=1000),
    einsum("i,ij,j->", i=1000, j=1000),
    einsum("bij,bjk->bik", b=32, i=32, j=32, k=32),
    einsum("bij,bkj->bik", b=16, i=64, j=32, k=64),
    *[einsum("bij,bjk->bik", b=10_000, i=n, j=n, k=n) for n in (3, 4)],
    *[einsum("bij,bj->bi", b=10_000, i=n, j=n) for n in (3, 4)],
    einsum("bhqd,bhkd->bhqk", b=2, h=4, q=64, k=64, d=32),
    einsum("bqhd,bkhd->bhqk", b=2, h=4, q=64, k=64, d=32),
    einsum("bhqk,bhkd->bhqd", b=2, h=4, q=64, k=64, d=32),
    einsum("ijkl,klmn->ijmn", i=16, j=16, k=16, l=16, m=16, n=16),
    einsum("abij,ijcd->abcd", a=10, b=10, i=20, j=20, c=10, d=10),
    einsum("ijkl,mjnl->imkn", i=12, j=12, k=12, l=12, m=12, n=12),
    einsum("ijkl,jl->ik", i=32, j=32, k=32, l=32),
    einsum("ijkl,ik->jl", i=32, j=32, k=32, l=32),
    einsum("ijkl,ijkm->lm", i=20, j=20, k=20, l=20, m=20),
    einsum("ijk,ia,jb,kc->abc", i=32, j=32, k=32, a=16, b=16, c=16),
    einsum("ai,bi,ci->abc", a=30, b=30, c=30, i=100),
    einsum("abcd,cde->abe", a=16, b=16, c=8, d=8, e=64),
    einsum("abcd,ebd->ace", a=16, b=8, c=16, d=8, e=64),
    *[kind(64, 28, 1, 8) for kind in (convolution, convolution_weights, convolution_back)],
    *[kind(64, 13, 8, 16) for kind in (convolution, convolution_weights, convolution_back)],
]
